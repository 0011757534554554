/** A switchover meets trouble at its worst moment: it goes through, or everything is as it was (H07). */
import { abortAll, isOf, plain, promise, strict, threeObservers, told, untilQuiet } from './tools.ts'

const places = [
  'host:stopWrites',
  'stopWrites-aside:a',
  'stopWrites-stop:a',
  'stopWrites-freeze:a',
  'stopWrites-start:a',
  'measure:a',
  'freeze:b',
  'freeze:c',
  'promote:b',
  'follow:c',
  'writeState',
] as const

export const story = told({
  name: 'switchovers',
  aims: ['S5', 'S8', 'S10', 'H07', 'F77'],
  plan: (random) => ({
    place: random.pick(places),
    nth: random.pick([0, 0, 0, 1, 2]),
    fault: random.pick(['refuse', 'lose', 'crash', 'crashAfter'] as const),
    lasts: random.chance(0.6),
    abort: random.chance(0.4),
    /** Both standbys lose sight of the primary before the end of its log. */
    behind: random.chance(0.4),
    waitMs: random.between(20_000, 300_000),
  }),
  setup: () => ({
    ...plain,
    observers: threeObservers,
    policy: { ...strict, fence: 'quorum' },
  }),
  run: async (sim, { place, nth, fault, lasts, abort, behind, waitMs }) => {
    let left = nth
    sim.addRule((call) => {
      if (behind && call.name === 'stopWrites-stop:a') {
        for (const id of ['b', 'c']) sim.server(id).stuck = true
        sim.world.databases.commit('a')
      }
      if (call.name !== place || (place === 'writeState' && !isOf('fence')(call)) || left-- > 0)
        return undefined
      if (!lasts) left = Number.POSITIVE_INFINITY
      if (abort) sim.time.after(50, () => abortAll(sim))
      return fault
    })
    await sim.command({ command: 'switchover', reason: 'work', by: 'anna' })
    // One fault alone: it went through, or the primary writes again.
    const isSmall = !lasts && !abort
    if (isSmall) promise(sim, 'a switchover with one fault on its way ends with a writer', 240_000)
    await sim.sleep(isSmall ? 245_000 : waitMs)
    for (const id of ['b', 'c']) sim.server(id).stuck = false
    await untilQuiet(sim, 60_000)
  },
})
