/** Loss bounded in time: a primary that nobody sees serves its clients alone, and somebody's report grows old (H21). */
import { hide, plain, strict, threeObservers, told, untilQuiet, untilState } from './tools.ts'

export const story = told({
  name: 'bounded',
  aims: ['S10', 'S3', 'H21', 'F48'],
  plan: (random) => ({
    seconds: random.pick([5, 10, 20]),
    stopMs: random.pick([2_000, 30_000, 60_000]),
    /** An observer that ran until then, and whose last report stands. */
    gone: random.pick(['x', 'y', null] as const),
    aloneMs: random.pick([0, 8_000, 30_000]),
    lastsMs: random.between(40_000, 90_000),
  }),
  setup: ({ seconds }) => ({
    ...plain,
    observers: threeObservers,
    policy: {
      ...strict,
      fence: 'power',
      loss: { mode: 'bounded', seconds },
      synchronous: 'none',
    },
  }),
  run: async (sim, { stopMs, gone, aloneMs, lastsMs }) => {
    sim.world.instances.stopMs = stopMs
    sim.change('a', 'asynchronous', (server) => Object.assign(server, { synchronousNames: '' }))
    await sim.sleep(70_000)
    if (gone !== null) {
      sim.note(`observer ${gone} runs no more`)
      sim.world.observersDown.add(gone)
    }
    // Loops that run already go on for a while.
    await sim.sleep(gone === null ? 0 : 135_000)
    for (const id of ['b', 'c']) sim.part(id, 'a')
    await sim.sleep(aloneMs)
    hide(sim, 'a')
    await untilState(sim, ({ phase, lastEvent }) => phase === 'settling' || lastEvent.row === 'R11', 200_000)
    await sim.sleep(lastsMs)
    sim.mend()
    await untilQuiet(sim, 30_000)
  },
})
