/** A node is told to promote and then goes silent; a later term chooses another one, and the first comes back. */
import { abortAll, plain, strict, told, untilQuiet, untilState } from './tools.ts'

export const story = told({
  name: 'targets',
  aims: ['S1', 'S2', 'S5', 'H01', 'H05'],
  plan: (random) => ({
    fence: random.pick(['quorum', 'power'] as const),
    promotionMs: random.pick([5, 1_000, 20_000, 90_000]),
    silentAfterMs: random.pick([0, 30, 100, 400, 1_500]),
    how: random.pick(['hang', 'cut', 'cut', 'none'] as const),
    silentMs: random.pick([30_000, 200_000, 420_000]),
    abort: random.chance(0.5),
    /** The old primary lives and writes wherever it may. */
    alive: random.chance(0.5),
    stopMs: random.pick([5_000, 40_000]),
  }),
  setup: ({ fence }) => ({ ...plain, policy: { ...strict, fence } }),
  run: async (sim, { promotionMs, silentAfterMs, how, silentMs, abort, alive, stopMs }) => {
    sim.world.promotionMs = promotionMs
    sim.world.instances.stopMs = stopMs
    if (alive) void sim.command({ command: 'failover', reason: 'by hand', by: 'anna' })
    else sim.crash('a')
    if (!(await untilState(sim, ({ plan }) => plan?.target != null, 240_000))) return
    const target = sim.state.plan?.target ?? 'b'
    await sim.sleep(silentAfterMs)
    if (how === 'hang') sim.freeze(target)
    if (how === 'cut') for (const each of [...sim.observers, 'operator', 'clients']) sim.cut(each, target)
    if (abort) abortAll(sim)
    await sim.sleep(silentMs)
    if (how === 'hang') sim.thaw(target)
    sim.mend()
    sim.world.promotionMs = 5
    await sim.sleep(60_000)
    await untilQuiet(sim)
  },
})
