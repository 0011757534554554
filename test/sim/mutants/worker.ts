/**
 * A process of its own for one mutant, or for none: applies it before anything of the product is loaded, then runs the
 * seeds that it is told, in order, until one shows a violation. Tells of each; whoever started it ends it.
 */

import { mutants } from './list.ts'
import { applyMutant } from './loader.ts'

export interface Order {
  readonly mutant: string | null
  /** The state machine as synthesised. */
  readonly definition: unknown
  readonly runs: readonly { readonly story: string; readonly seed: number }[]
  /** Stop at the first seed with a violation. */
  readonly untilCaught: boolean
}

export type Told =
  | {
      readonly kind: 'ran'
      readonly story: string
      readonly seed: number
      readonly violations: readonly { readonly property: string; readonly message: string }[]
      /** What went wrong with the run itself, which is no verdict on the mutant. */
      readonly crashed: string | null
    }
  /** `loaded`: its text went into a module that was imported. */
  | { readonly kind: 'over'; readonly loaded: boolean }
  | { readonly kind: 'broken'; readonly message: string }

const tell = (told: Told) => process.send?.(told)

async function work({ mutant: id, definition, runs, untilCaught }: Order): Promise<void> {
  const mutant = mutants.find((each) => each.id === id)
  const applied = mutant ? applyMutant(mutant) : undefined
  const [{ runSeed }, { stories }, { StateMachine }] = await Promise.all([
    import('../run.ts'),
    import('../stories/index.ts'),
    import('../world/stateMachine.ts'),
  ])
  const machine = new StateMachine(definition)
  const isLoaded = () => mutant === undefined || (applied?.loaded.size ?? 0) > 0
  if (!isLoaded()) throw new Error('no module of the simulation is mutated by it')
  for (const { story, seed } of runs) {
    try {
      const told = stories.filter(({ name }) => name === story)
      if (told.length !== 1) throw new Error(`there is no story ${story}`)
      const all = (await runSeed(seed, { machine, stories: told })).violations
      // An error that a function ended with is no property of a history: it says that the mutant breaks, not what it harms.
      const violations = all.filter(({ property }) => property !== 'no bugs').slice(0, 5)
      const crashed = violations.length > 0 ? null : (all[0]?.message ?? null)
      tell({ kind: 'ran', story, seed, violations, crashed })
      if (untilCaught && violations.length > 0) break
    } catch (error) {
      const crashed = error instanceof Error ? (error.stack ?? error.message) : String(error)
      tell({ kind: 'ran', story, seed, violations: [], crashed })
    }
  }
  tell({ kind: 'over', loaded: isLoaded() })
}

process.once('message', (order) => {
  work(order as Order)
    .catch((error) =>
      tell({ kind: 'broken', message: error instanceof Error ? error.message : String(error) }),
    )
    .finally(() => process.disconnect())
})
