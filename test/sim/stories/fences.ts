/** The fence by power: stops that take their time, instances that are another's, and people who start them again. */
import { Instance } from '../../steps/model/aws.ts'
import type { Sim } from '../world/sim.ts'
import {
  heldMs,
  hide,
  isOf,
  once,
  plain,
  startByHand,
  strict,
  threeObservers,
  told,
  untilPhase,
  untilQuiet,
} from './tools.ts'

/** Its clients are told of every commit, whoever of its standbys has it. */
async function makeAsynchronous(sim: Sim): Promise<void> {
  sim.change('a', 'asynchronous', (server) => Object.assign(server, { synchronousNames: '' }))
  await sim.sleep(70_000)
}

const isAlone = (trouble: string) => trouble !== 'replaced'

export const story = told({
  name: 'fences',
  aims: ['S1', 'S2', 'H02'],
  plan: (random) => ({
    trouble: random.pick(['slow', 'replaced', 'started', 'refused'] as const),
    stopMs: random.between(5_000, 90_000),
    startMs: random.between(500, 4_000),
    stallMs: random.between(6_000, 30_000),
  }),
  setup: ({ trouble }) => ({
    ...plain,
    observers: threeObservers,
    policy: {
      ...strict,
      fence: 'power',
      ...(isAlone(trouble)
        ? { loss: { mode: 'availability' }, synchronous: 'none' }
        : { loss: { mode: 'never' } }),
      isolated: 'failover',
    },
  }),
  run: async (sim, { trouble, stopMs, startMs, stallMs }) => {
    const { instances } = sim.world
    instances.stopMs = stopMs
    instances.startMs = startMs
    if (trouble === 'replaced') {
      await sim.sleep(80_000)
      // The machine was replaced at the same address; what is recorded is the old one, which is stopped.
      const { config } = sim.server('a')
      instances.add(new Instance('i-0000000f', config.address, sim.server('a')))
      const old = sim.instance('a')
      old.state = 'stopped'
      instances.refusing.add(old.id)
      sim.note('the instance of a was replaced by another one at the same address')
      hide(sim, 'a', ['y', 'z', 'operator'])
      for (const id of ['b', 'c']) sim.part(id, 'a')
      await sim.sleep(120_000)
      return
    }
    if (trouble === 'refused') instances.refusing.add(sim.instance('a').id)
    if (trouble === 'started') {
      once(
        sim,
        (call) => isOf('promote')(call) && call.name === 'operate',
        (call) => heldMs(sim, call, stallMs),
        { meanwhile: () => void startByHand(sim, 'a') },
      )
      await makeAsynchronous(sim)
      sim.freeze('a')
    } else {
      await makeAsynchronous(sim)
      hide(sim, 'a', [...sim.observers, 'operator', 'b', 'c'])
    }
    await untilPhase(sim, 'settling', 200_000)
    await sim.sleep(90_000)
    sim.mend()
    await untilQuiet(sim)
  },
})
