/** The old primary comes back: thawed, started by somebody, or in the middle of its rejoin (S11, H08). */
import { plain, promise, startByHand, strict, threeObservers, told, untilPhase, untilQuiet } from './tools.ts'

export const story = told({
  name: 'oldPrimary',
  aims: ['S2', 'S11', 'H08', 'F49'],
  plan: (random) => ({
    back: random.pick(['thaws', 'started', 'stays', 'copied'] as const),
    afterMs: random.between(1_000, 120_000),
    fence: random.pick(['quorum', 'power'] as const),
    step: random.pick(['rejoin-signal:a', 'rejoin-half:a', 'rejoin-copy:a', 'rejoin-start:a'] as const),
    stopMs: random.between(3_000, 40_000),
  }),
  setup: ({ fence, back }) => ({
    ...plain,
    observers: threeObservers,
    policy: {
      ...strict,
      fence: back === 'stays' ? 'quorum' : fence,
    },
  }),
  run: async (sim, { back, afterMs, step, stopMs }) => {
    sim.world.instances.stopMs = stopMs
    if (back === 'copied') sim.addRule((call) => (call.name === step ? 'crash' : undefined))
    if (back === 'thaws' || back === 'stays') sim.freeze('a')
    else sim.crash('a')
    if (!(await untilPhase(sim, 'settling', 240_000))) return
    if (back === 'stays') promise(sim, 'what only a quorum holds is fenced by power', 200_000, 'a')
    await sim.sleep(afterMs)
    if (back === 'thaws') sim.thaw('a')
    if (back === 'started') await startByHand(sim, 'a')
    await sim.sleep(220_000)
    await untilQuiet(sim)
  },
})
