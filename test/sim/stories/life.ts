/** The primary lives, and looks dead to somebody: partly cut off, busy, starting, frozen for a moment, or unobserved. */
import type { Sim } from '../world/sim.ts'
import { hide, isOf, once, plain, promise, strict, threeObservers, told, untilQuiet } from './tools.ts'

const cases = [
  'blink',
  'few looks',
  'all cut',
  'isolated',
  'isolated',
  'unseen',
  'frozen',
  'errors',
  'starting',
  'blocked',
] as const

interface Drawn {
  readonly lookers: readonly string[]
  readonly says: string
  /** Its standbys receive from it. */
  readonly streams: boolean
  readonly lastsMs: number
}

/** As soon as an operation begins, and before it has claimed: its first call takes its time. */
function whenConfirming(sim: Sim, meanwhile: () => void): void {
  once(
    sim,
    (call) => isOf('confirm')(call) && call.name === 'readState',
    () => 2_000,
    { meanwhile },
  )
}

const noStreams = (sim: Sim) => {
  for (const id of sim.nodes.slice(1)) sim.part(id, 'a')
}

const troubles: Readonly<Record<(typeof cases)[number], (sim: Sim, drawn: Drawn) => unknown>> = {
  blink: (sim) => {
    whenConfirming(sim, () => sim.restart('a', 0))
    sim.crash('a')
  },
  'few looks': (sim, { lookers }) => {
    noStreams(sim)
    whenConfirming(sim, () => {
      for (const each of lookers.slice(1)) {
        sim.mend(each, 'a')
        sim.world.observersDown.add(each)
      }
    })
    hide(sim, 'a', sim.observers)
  },
  'all cut': (sim) => {
    noStreams(sim)
    whenConfirming(sim, () => {
      for (const node of sim.nodes) hide(sim, node, sim.observers)
    })
    hide(sim, 'a', sim.observers)
  },
  isolated: (sim, { lookers, streams }) => {
    if (!streams) noStreams(sim)
    hide(sim, 'a', [...lookers.slice(1), 'operator'])
  },
  unseen: (sim) => hide(sim, 'a'),
  frozen: async (sim) => {
    sim.freeze('a')
    sim.world.instances.stopMs = 5_000
    promise(sim, 'a frozen primary, whose streams are idle, is replaced', 50_000, 'a')
    await sim.sleep(60_000)
  },
  errors: (sim, { says }) => {
    noStreams(sim)
    sim.change('a', `answers ${says}`, (server) => Object.assign(server, { says }))
  },
  starting: (sim, { lastsMs }) => {
    sim.crash('a')
    sim.restart('a', lastsMs)
  },
  blocked: (sim) => noStreams(sim),
}

export const story = told({
  name: 'life',
  aims: ['S6', 'S7', 'H10', 'H14', 'H24', 'H30', 'F01', 'F03', 'F12', 'F14', 'F16', 'F17', 'F26'],
  plan: (random) => ({
    trouble: random.pick(cases),
    lookers: random.some(['x', 'y', 'z'], 3),
    says: random.pick(['53300', '28P01', '57P03']),
    streams: random.chance(0.3),
    isolated: random.pick(['page', 'failover'] as const),
    fence: random.pick(['quorum', 'quorum', 'power'] as const),
    lastsMs: random.between(20_000, 60_000),
  }),
  setup: ({ isolated, fence, trouble }) => ({
    ...plain,
    observers: threeObservers,
    observe: { intervalMs: 2_000, urgentIntervalMs: 500, probeTimeoutMs: 1_000 },
    policy: {
      ...strict,
      fence: trouble === 'frozen' ? 'quorum' : fence,
      isolated,
      silentLooks: 3,
      holdMs: 250,
      restartGraceMs: 3_000,
    },
  }),
  run: async (sim, drawn) => {
    await troubles[drawn.trouble](sim, drawn)
    await sim.sleep(drawn.lastsMs)
    await untilQuiet(sim, 60_000)
  },
})
