/** The name carries a newer term than our state: somebody else has gone on with the cluster, and fences are his (H09). */
import { plain, strict, told, untilPhase, untilQuiet } from './tools.ts'

export const story = told({
  name: 'newer',
  aims: ['S11', 'H09', 'H17'],
  plan: (random) => ({
    later: random.between(1, 9),
    waitMs: random.between(70_000, 200_000),
    stopMs: random.pick([5_000, 60_000]),
  }),
  setup: () => ({ ...plain, policy: { ...strict, fence: 'quorum' } }),
  run: async (sim, { later, waitMs, stopMs }) => {
    const { names, instances } = sim.world
    instances.stopMs = stopMs
    // The fence behind the quorum is not heard of, so that settle would have to ask for it.
    const deaf = sim.addRule((call) => (call.name === 'stop' ? 'refuse' : undefined))
    sim.freeze('a')
    if (!(await untilPhase(sim, 'settling', 180_000))) return
    sim.note('the name carries a newer term')
    names.token = { raw: `understudy understudy orders ${sim.state.term + later}`, ttlSeconds: 60 }
    names.changed()
    deaf.end()
    sim.thaw('a')
    await sim.sleep(waitMs)
    // A person looks, stops the old one by hand, and adopts what is true.
    sim.stopInstance('a')
    await sim.until(() => sim.instance('a').state === 'stopped', 120_000)
    await sim.command({ command: 'adopt', by: 'anna' })
    await untilQuiet(sim)
  },
})
