/** A write of an operation that is confirming is held up; a failover by hand takes over meanwhile, and the write arrives. */
import { heldMs, isOf, once, plain, strict, told, untilPhase, untilQuiet } from './tools.ts'

export const story = told({
  name: 'takeovers',
  aims: ['S1', 'S3', 'S4', 'H01', 'H06', 'H25'],
  plan: (random) => ({
    fence: random.pick(['quorum', 'power'] as const),
    /** Its claim, or its verdict. */
    nth: random.below(2),
    stallMs: random.between(500, 40_000),
    orderedAfterMs: random.between(20, 2_000),
    stopMs: random.pick([3_000, 25_000]),
  }),
  setup: ({ fence }) => ({ ...plain, policy: { ...strict, fence } }),
  run: async (sim, { nth, stallMs, orderedAfterMs, stopMs }) => {
    sim.world.instances.stopMs = stopMs
    const stalled = once(
      sim,
      (call) => isOf('confirm')(call) && call.name === 'writeState',
      (call) => heldMs(sim, call, stallMs),
      { nth },
    )
    sim.freeze('a')
    if (!(await sim.until(stalled.happened, 120_000, 20))) return
    await sim.sleep(orderedAfterMs)
    await sim.command({ command: 'failover', reason: 'by hand', by: 'anna' })
    await sim.sleep(stallMs)
    await untilPhase(sim, 'settling', 240_000)
    await untilQuiet(sim)
  },
})
