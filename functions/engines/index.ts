/** The engine of a cluster, with the passwords that its configuration names. */
import type { ClusterConfig } from '../core/types.ts'
import type { Clock, Engine } from '../ports.ts'
import { createPostgresEngine } from './postgres/index.ts'

/** One engine per kind; `password` reads a secret and is asked only where the configuration names one. */
export function createEngines(options: { clock: Clock; password: (secretId: string) => Promise<string> }): {
  of(cluster: ClusterConfig): Engine
} {
  const postgres = createPostgresEngine({
    clock: options.clock,
    password: async (cluster) =>
      cluster.connection.password.from === 'secret'
        ? options.password(cluster.connection.password.secretId)
        : undefined,
  })
  return { of: () => postgres }
}
