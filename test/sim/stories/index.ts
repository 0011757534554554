/**
 * Stories: what happens to a cluster. Each draws its parameters from the seed, makes its troubles, and leaves the rest to
 * the run, which then heals everything and looks at what has become of the cluster.
 */
import type { Setup } from '../plan.ts'
import type { Random } from '../random.ts'
import type { Sim } from '../world/sim.ts'
import { aimed } from './aimed.ts'
import { story as random } from './random.ts'
import { story as succession } from './succession.ts'

export interface Story<P = unknown> {
  /** Unique; as given to `--story`. */
  readonly name: string
  /** Rules, hazards and scenarios that it is about. */
  readonly aims: readonly string[]
  /** How often it is told, among all: 1 if absent. */
  readonly weight?: number
  /** Draws everything that it leaves to the seed. */
  plan(random: Random): P
  /** What it needs to be so from the beginning; the rest is drawn. */
  setup?(parameters: P): Partial<Setup>
  run(sim: Sim, parameters: P): Promise<void>
}

/** For a story whose parameters have a type of their own. */
export const story = <P>(told: Story<P>): Story => told as Story

export const stories: readonly Story[] = [story(succession), story(random), ...aimed]
