/** Who is left is not who acknowledged: standbys behind, standbys that may not be promoted, and people who accept a loss. */
import { plain, strict, threeObservers, told, untilQuiet, untilState } from './tools.ts'

export const story = told({
  name: 'survivors',
  aims: ['S8', 'S9', 'S10', 'H03', 'H03b', 'H05', 'H25', 'F55', 'F59'],
  plan: (random) => ({
    /** Behind when the primary dies. */
    behind: random.pick(['b', 'c'] as const),
    /** What becomes of the one that is ahead. */
    ahead: random.pick(['dies', 'stays', 'unpromotable', 'away'] as const),
    behindMs: random.between(3_000, 12_000),
    loss: random.pick(['never', 'never', 'availability'] as const),
    preferred: random.pick(['b', 'c', null] as const),
    approves: random.chance(0.4),
    backAfterMs: random.between(20_000, 120_000),
  }),
  setup: ({ behind, ahead, loss, preferred }) => {
    const other = behind === 'b' ? 'c' : 'b'
    return {
      ...plain,
      observers: threeObservers,
      nodes: {
        ...(preferred === null ? {} : { [preferred]: { preference: 5 } }),
        ...(ahead === 'unpromotable' ? { [other]: { promotable: false } } : {}),
      },
      policy: { ...strict, fence: 'power', loss: { mode: loss } },
    }
  },
  run: async (sim, { behind, ahead, behindMs, approves, backAfterMs }) => {
    const other = behind === 'b' ? 'c' : 'b'
    sim.world.instances.stopMs = 5_000
    sim.change(behind, 'stream stuck', (server) => Object.assign(server, { stuck: true }))
    await sim.sleep(behindMs)
    if (ahead === 'dies' || ahead === 'away') sim.crash(other)
    sim.crash('a')
    const { term } = sim.state
    if (approves) {
      const approval = {
        term: term + 1,
        target: other,
        acceptLoss: true,
        unfenced: [],
        minutes: 60,
        reason: 'ok',
        by: 'anna',
      }
      await sim.command({ command: 'approve', ...approval })
    }
    await untilState(sim, ({ phase, lastEvent }) => phase === 'settling' || lastEvent.row === 'R12', 200_000)
    await sim.sleep(backAfterMs)
    if (ahead === 'away') sim.restart(other)
    await sim.sleep(30_000)
    await untilQuiet(sim, 60_000)
  },
})
