/** What a seed means: which story is told of which cluster. A pure function of the seed. */
import { Random } from './random.ts'
import type { Story } from './stories/index.ts'

/** The cluster and its surroundings, before any trouble. */
export interface Setup {
  readonly policy: Readonly<Record<string, unknown>>
  /** How many nodes: a, b, c, … */
  readonly count: number
  /** What differs from the ordinary in single nodes, as in the configuration. */
  readonly nodes?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly observers: readonly { readonly id: string; readonly canary?: string }[]
  readonly observe: Readonly<Record<string, unknown>>
  readonly endpoint: Readonly<Record<string, unknown>>
  readonly host: boolean
  /** Names of the deployments that look after the same cluster; the first one has adopted it. */
  readonly deployments: readonly string[]
  /** Everything written passes its schema, and is copied. */
  readonly careful: boolean
  /** Whether a server starts by itself when its instance does (H08). */
  readonly autostart: boolean
  /** How long a supervisor takes to start a server that ended; null: nobody does. */
  readonly supervisorMs: number | null
}

export interface Plan {
  readonly seed: number
  readonly story: string
  readonly setup: Setup
  readonly parameters: unknown
}

/** One seed in so many is checked by the schemas, and copied, wherever something is written. */
const carefulOne = 200

export function planOf(seed: number, stories: readonly Story[]): Plan {
  const random = Random.of(seed)
  const story = pickStory(random.split('story'), stories)
  const parameters = story.plan(random.split('parameters'))
  const ordinary = setupOf(random.split('setup'))
  const wanted = story.setup?.(parameters) ?? {}
  const setup = { ...ordinary, ...wanted, policy: { ...ordinary.policy, ...wanted.policy } }
  return { seed, story: story.name, setup, parameters }
}

/** By their weights. */
function pickStory(random: Random, stories: readonly Story[]): Story {
  const whole = stories.reduce((sum, { weight = 1 }) => sum + weight, 0)
  let left = random.next() * whole
  for (const story of stories) {
    left -= story.weight ?? 1
    if (left < 0) return story
  }
  throw new Error('there is no story')
}

function setupOf(random: Random): Setup {
  const fence = random.pick(['quorum', 'power'] as const)
  const modes = [
    { mode: 'never' },
    { mode: 'never' },
    { mode: 'bounded', seconds: 60 },
    { mode: 'availability' },
  ]
  const count = random.pick([3, 3, 3, 4, 5])
  const observers = ['x', 'y', 'z', 'v', 'w'].slice(0, random.pick([3, 3, 3, 5]))
  const canaries = random.chance(0.5)
  return {
    policy: {
      fence,
      loss: random.pick(modes),
      synchronousCount: count > 3 && random.chance(0.5) ? 2 : 1,
      isolated: random.pick(['page', 'page', 'failover']),
      cooldownMs: random.pick([0, 0, 0, 600_000]),
      holdMs: random.pick([0, 250, 250, 1_000]),
      restartGraceMs: random.pick([3_000, 5_000, 20_000]),
      silentLooks: random.pick([2, 3, 3]),
    },
    count,
    observers: observers.map((id) => ({ id, ...(canaries ? { canary: `canary-${id}:53` } : {}) })),
    observe: {
      intervalMs: random.pick([2_000, 5_000, 10_000]),
      urgentIntervalMs: random.pick([500, 1_000, 2_000]),
      probeTimeoutMs: random.pick([300, 1_000]),
    },
    endpoint: { ttlSeconds: random.pick([0, 5, 5, 30]) },
    host: true,
    deployments: ['understudy'],
    careful: random.below(carefulOne) === 0,
    autostart: false,
    supervisorMs: random.pick([null, null, 1_000, 8_000]),
  }
}
