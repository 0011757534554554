/** One seed: one history, and what is wrong with it. Does no I/O and looks at no clock. */
import '../steps/model/quiet.ts'
import { Logger } from '@aws-lambda-powertools/logger'
import { check } from './checkers/index.ts'
import type { History, Violation } from './history.ts'
import { mend } from './people.ts'
import { type Plan, planOf } from './plan.ts'
import { stories as allStories, type Story } from './stories/index.ts'
import { definition } from './world/definition.ts'
import { Sim } from './world/sim.ts'
import { StateMachine } from './world/stateMachine.ts'

export interface RunOptions {
  /** The state machine as synthesised; default: synthesised once, or kept from the last time. */
  readonly machine?: StateMachine
  /** Of which the seed picks one; default: all. */
  readonly stories?: readonly Story[]
  /** Name of the one story to tell. */
  readonly story?: string
}

export interface Outcome {
  readonly history: History
  readonly violations: readonly Violation[]
  /** Completed ones: the target was promoted, and the name followed. */
  readonly failovers: number
  readonly switchovers: number
}

// Who writes nothing need not put it together, either.
for (const level of ['info', 'warn', 'error'] as const) Logger.prototype[level] = () => undefined

/** The same seed and stories give the same outcome, byte for byte. */
export async function runSeed(seed: number, options: RunOptions = {}): Promise<Outcome> {
  const stories = (options.stories ?? allStories).filter(({ name }) => (options.story ?? name) === name)
  const plan = planOf(seed, stories)
  const sim = new Sim(plan, options.machine ?? (await synthesised()))
  const told = stories.find(({ name }) => name === plan.story) as Story
  await sim.time.run(tell(sim, told, plan))
  const history = sim.history()
  const bugs = sim.deployments.flatMap(({ bugs }) => bugs)
  const violations = [
    ...check(history),
    ...bugs.map((message) => ({ property: 'no bugs', atMs: history.endedAtMs, message })),
  ]
  return { history, violations, ...completed(history) }
}

let kept: Promise<StateMachine> | undefined

const synthesised = () => {
  kept ??= definition().then((made) => new StateMachine(made))
  return kept
}

async function tell(sim: Sim, told: Story, plan: Plan): Promise<void> {
  await sim.begin()
  await told.run(sim, plan.parameters)
  await mend(sim)
}

/** Operations whose name was moved after their promotion. */
function completed({ entries }: History): { failovers: number; switchovers: number } {
  let failovers = 0
  let switchovers = 0
  for (const entry of entries) {
    if (entry.kind !== 'state' || entry.state.lastEvent.kind !== 'repointed') continue
    if (entry.state.lastEvent.version !== entry.state.version) continue
    if (entry.state.plan?.kind === 'switchover') switchovers++
    else failovers++
  }
  return { failovers, switchovers }
}
