/** Executions end in the middle, or before they began, and redundancy is long in coming: the next failover comes all the same. */
import {
  abortAll,
  isOf,
  plain,
  promise,
  strict,
  threeObservers,
  told,
  untilPhase,
  untilQuiet,
  untilState,
} from './tools.ts'

const minuteMs = 60_000

export const story = told({
  name: 'resumes',
  aims: ['S5', 'H12', 'H13', 'H18', 'F41', 'F42', 'F69'],
  plan: (random) => ({
    trouble: random.pick(['aborted', 'never began', 'settling'] as const),
    phase: random.pick(['confirming', 'fencing', 'promoting', 'repointing'] as const),
    afterMs: random.pick([0, 30, 200, 1_000]),
    fence: random.pick(['quorum', 'power'] as const),
  }),
  setup: ({ fence }) => ({
    ...plain,
    observers: threeObservers,
    policy: {
      ...strict,
      fence,
    },
  }),
  run: async (sim, { trouble, phase, afterMs }) => {
    sim.world.instances.stopMs = 5_000
    if (trouble === 'never began') {
      // Each attempt dies before its claim, until the execution has failed.
      const dying = sim.addRule((call) =>
        isOf('confirm')(call) && call.name === 'readState' ? 'crash' : undefined,
      )
      sim.crash('a')
      await sim.until(
        () => sim.deployment.executions.some(({ name, ending }) => /failover/.test(name) && ending !== null),
        180_000,
      )
      dying.end()
      promise(sim, 'an execution that never began blocks nothing', 4 * minuteMs)
      await sim.sleep(4 * minuteMs + 5_000)
      return
    }
    sim.crash('a')
    if (trouble === 'aborted') {
      if (!(await untilPhase(sim, phase, 120_000))) return
      await sim.sleep(afterMs)
      abortAll(sim)
      promise(sim, 'an operation that was stopped in the middle is resumed', 7 * minuteMs)
      await sim.sleep(7 * minuteMs + 5_000)
    } else {
      // The old primary can not be brought back for long.
      sim.turn({ hosts: 1 })
      if (!(await untilPhase(sim, 'settling', 120_000))) return
      await untilState(sim, ({ nodes }) => nodes.c?.role === 'standby', 60_000)
      await sim.sleep(minuteMs)
      // The one that is left has everything: nobody else ever acknowledged.
      sim.crash(sim.state.primary)
      promise(sim, 'a primary that dies while settling is failed over', 4 * minuteMs)
      await sim.sleep(4 * minuteMs + 5_000)
    }
    await untilQuiet(sim, 30_000)
  },
})
