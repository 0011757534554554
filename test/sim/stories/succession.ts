/**
 * One primary after the other falls, each as soon as the cluster is whole again, while calls of every service go wrong now
 * and then: what a year of failovers does, one upon the next.
 */
import type { Random } from '../random.ts'
import type { Sim } from '../world/sim.ts'
import type { Story } from './index.ts'

interface Parameters {
  readonly falls: number
  /** How often calls go wrong. */
  readonly rate: number
  readonly random: Random
}

type Fall = (sim: Sim) => unknown

const falls: readonly Fall[] = [
  (sim) => sim.crash(sim.state.primary),
  (sim) => sim.crash(sim.state.primary),
  (sim) => sim.crash(sim.state.primary),
  (sim) => sim.stopInstance(sim.state.primary),
  (sim) => sim.freeze(sim.state.primary),
  (sim) => away(sim),
  (sim) => sim.command({ command: 'failover', reason: 'by hand', by: 'anna' }),
]

/** The primary is cut off from everybody, and goes on by itself. */
function away(sim: Sim): void {
  const { primary } = sim.state
  for (const each of [...sim.observers, ...sim.nodes, 'operator', 'clients'])
    if (each !== primary) sim.part(each, primary)
}

export const story: Story<Parameters> = {
  name: 'succession',
  // Beside stories of a tenth each: about half of all, and a third are aimed ones.
  weight: 2.6,
  aims: ['F1', 'S1', 'S5', 'S11'],
  plan: (random) => ({ falls: random.between(16, 48), rate: random.pick([0, 0, 0.002, 0.01]), random }),
  setup: () => ({
    policy: { cooldownMs: 0, loss: { mode: 'never' }, synchronousCount: 1 },
    count: 3,
    observers: ['x', 'y', 'z'].map((id) => ({ id })),
    // Whoever waits for nothing looks rarely.
    observe: { intervalMs: 20_000, urgentIntervalMs: 3_000, probeTimeoutMs: 300 },
    supervisorMs: null,
  }),
  run: async (sim, { falls: count, rate, random }) => {
    sim.clients.everyMs = 5_000
    sim.world.instances.stopMs = random.between(200, 3_000)
    sim.world.instances.startMs = random.between(200, 2_000)
    sim.turn({ table: rate, names: rate, instances: rate, hosts: rate, sessions: rate, deaths: rate / 4 })
    for (let i = 0; i < count; i++) {
      const { term } = sim.state
      await random.pick(falls)(sim)
      const done = () => sim.state.phase === 'steady' && sim.state.term > term
      await sim.until(() => sim.state.term > term && sim.state.phase === 'settling', 120_000, 500)
      sim.mend()
      for (const node of sim.nodes) sim.thaw(node)
      if (!(await sim.until(done, 240_000, 500))) return
    }
  },
}
