/** Another deployment is made with this one's configuration, and nobody told it to take the cluster over (H17). */
import { plain, strict, told, untilQuiet } from './tools.ts'

export const story = told({
  name: 'twoDeployments',
  aims: ['H17', 'S11', 'S13'],
  plan: (random) => ({
    fence: random.pick(['quorum', 'power'] as const),
    takesOver: random.chance(0.3),
    crashes: random.pick(['before', 'after', 'never'] as const),
    betweenMs: random.between(1_000, 60_000),
  }),
  setup: ({ fence }) => ({
    ...plain,
    deployments: ['understudy', 'staging'],
    policy: { ...strict, fence },
  }),
  run: async (sim, { takesOver, crashes, betweenMs }) => {
    const staging = sim.deployments[1]
    if (crashes === 'before') sim.crash('a')
    await sim.sleep(betweenMs)
    await sim.command({ command: 'adopt', takeOver: takesOver, by: 'bert' }, staging)
    await sim.sleep(betweenMs)
    if (crashes === 'after') sim.crash(sim.state.primary)
    await sim.sleep(120_000)
    await untilQuiet(sim)
  },
})
