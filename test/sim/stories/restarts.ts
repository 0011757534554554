/** The primary is restarted, with a word or without, and is there again before its time is up: no failover (S12, H15). */
import { plain, strict, told, untilQuiet } from './tools.ts'

export const story = told({
  name: 'restarts',
  aims: ['S12', 'H15', 'F19', 'F20'],
  plan: (random) => {
    const how = random.pick(['told', 'untold'] as const)
    return {
      how,
      graceMs: random.pick([10_000, 20_000]),
      holdMs: random.pick([1_000, 3_000]),
      awayMs: how === 'told' ? random.between(1_000, 9_000) : random.between(50, 900),
      recoveryMs: random.pick([0, 300]),
    }
  },
  setup: ({ graceMs, holdMs }) => ({
    ...plain,
    policy: { ...strict, restartGraceMs: graceMs, holdMs, silentLooks: 3 },
  }),
  run: async (sim, { how, awayMs, recoveryMs }) => {
    // The observers' loops have seen enough of it to speak.
    await sim.sleep(12_000)
    sim.crash('a', how)
    await sim.sleep(awayMs)
    sim.restart('a', recoveryMs)
    await sim.sleep(30_000)
    await untilQuiet(sim, 60_000)
  },
})
