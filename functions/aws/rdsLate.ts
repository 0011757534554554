/** The port of RDS, whose code is loaded on first use: without clusters that AWS runs no cold start pays for it. */
import type { Rds } from '../ports.ts'
import type { RdsOptions } from './rds.ts'

export function rdsLate(options: RdsOptions): Rds {
  let loaded: Promise<Rds> | undefined
  const rds = () => {
    loaded ??= import('./rds.ts').then(({ createRds }) => createRds(options))
    return loaded
  }
  return {
    instances: async (...args) => (await rds()).instances(...args),
    clusters: async (...args) => (await rds()).clusters(...args),
    global: async (...args) => (await rds()).global(...args),
    events: async (...args) => (await rds()).events(...args),
    act: async (...args) => (await rds()).act(...args),
    alarms: async (...args) => (await rds()).alarms(...args),
    lag: async (...args) => (await rds()).lag(...args),
  }
}
