/** Behind a quorum alone: a primary that nobody sees goes on writing, with the standbys that can not be frozen. */
import { abortAll, hide, strict, threeObservers, told, untilPhase, untilQuiet, untilState } from './tools.ts'

export const story = told({
  name: 'quorum',
  aims: ['S2', 'S9', 'H03', 'F30'],
  plan: (random) => {
    const count = random.pick([3, 3, 4, 5])
    const standbys = [...'bcdef'.slice(0, count - 1)]
    return {
      count,
      acknowledging: count > 3 ? random.pick([1, 2]) : 1,
      loyal: random.some(standbys, random.between(1, count - 2)),
      stopMs: random.between(20_000, 120_000),
      lastsMs: random.between(30_000, 150_000),
      /** With `never`, too few measured standbys hold a promotion back as well (S8). */
      loss: random.pick(['never', 'availability'] as const),
      thaws: random.chance(0.3),
      abort: random.chance(0.3),
    }
  },
  setup: ({ count, acknowledging, loss }) => ({
    count,
    supervisorMs: null,
    observers: threeObservers,
    policy: {
      ...strict,
      fence: 'quorum',
      synchronousCount: acknowledging,
      loss: { mode: loss },
    },
  }),
  run: async (sim, { loyal, stopMs, lastsMs, thaws, abort }) => {
    sim.world.instances.stopMs = stopMs
    hide(sim, 'a')
    for (const id of sim.nodes.slice(1)) {
      if (loyal.includes(id)) hide(sim, id)
      else sim.part(id, 'a')
    }
    if (abort && (await untilState(sim, ({ phase }) => phase === 'promoting', 60_000))) abortAll(sim)
    if (thaws) {
      await untilPhase(sim, 'fencing', 60_000)
      for (const id of loyal) sim.mend('operator', id)
    }
    await sim.sleep(lastsMs)
    sim.mend()
    await untilQuiet(sim)
  },
})
