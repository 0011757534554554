/** A request to a service is under way when somebody else raises the term, or another pass begins: it arrives late. */
import { abortAll, heldMs, isOf, once, plain, strict, told, untilPhase, untilQuiet } from './tools.ts'

export const story = told({
  name: 'openClaims',
  aims: ['S4', 'S5', 'H06', 'L10'],
  plan: (random) => ({
    call: random.pick(['stop', 'stop', 'start', 'host:rejoin'] as const),
    stallMs: random.between(20_000, 68_000),
    orderedAfterMs: random.between(200, 20_000),
    abort: random.chance(0.5),
    stopMs: random.pick([3_000, 25_000]),
    hung: random.chance(0.5),
  }),
  setup: () => ({ ...plain, policy: { ...strict, fence: 'quorum' } }),
  run: async (sim, { call, stallMs, orderedAfterMs, abort, stopMs, hung }) => {
    sim.world.instances.stopMs = stopMs
    // The fence behind the quorum is not heard of: settle has to ask for it.
    const deaf = sim.addRule((each) => (isOf('promote')(each) && each.name === 'stop' ? 'refuse' : undefined))
    if (hung) sim.freeze('a')
    else sim.crash('a')
    await untilPhase(sim, 'settling', 180_000)
    deaf.end()
    const stalled = once(
      sim,
      (each) => isOf('settle')(each) && each.name === call,
      (each) => heldMs(sim, each, stallMs),
    )
    if (!(await sim.until(stalled.happened, 300_000, 20))) return
    await sim.sleep(orderedAfterMs)
    if (abort) abortAll(sim)
    await sim.command({ command: 'failover', reason: 'by hand', by: 'anna' })
    await sim.sleep(stallMs + 60_000)
    await untilQuiet(sim)
  },
})
