/** Nobody is left who could acknowledge: the new primary keeps its commits waiting, and that is not settled (H27). */
import { once, plain, strict, threeObservers, told, untilPhase, untilQuiet } from './tools.ts'

export const story = told({
  name: 'alone',
  aims: ['S9', 'H27', 'F62'],
  plan: (random) => ({
    fence: random.pick(['power', 'quorum'] as const),
    /** Nobody can bring the old primary back for it. */
    hostsAway: random.chance(0.5),
    lastsMs: random.between(30_000, 400_000),
    ttlSeconds: random.pick([0, 5]),
  }),
  setup: ({ fence, ttlSeconds }) => ({
    ...plain,
    observers: threeObservers,
    endpoint: { ttlSeconds },
    policy: { ...strict, fence },
  }),
  run: async (sim, { lastsMs, hostsAway }) => {
    sim.world.instances.stopMs = 5_000
    if (hostsAway) sim.turn({ hosts: 1 })
    once(
      sim,
      (call) => /^follow:[bc]$/.test(call.name),
      () => undefined,
      { meanwhile: ({ name }) => sim.crash(name.slice(-1)) },
    )
    sim.crash('a')
    await untilPhase(sim, 'settling', lastsMs)
    for (const id of sim.nodes.slice(1)) sim.restart(id)
    await untilQuiet(sim)
  },
})
