/** What a mutant is: one guard removed or weakened, and who notices. */

/** One place in the text of a file; `find` occurs in it exactly once. */
export interface Edit {
  /** From the root of the repository. */
  readonly file: string
  readonly find: string
  readonly replace: string
}

/**
 * The simulation: a story whose troubles are aimed at the guard, a seed of it that shows the harm, and the property of
 * the checkers that says so.
 */
export interface CaughtByStory {
  readonly story: string
  readonly seed: number
  readonly property: string
}

/**
 * A test, where the guard lives in what the simulation only models (SQL, scripts on a host, requests to AWS) or in what
 * it has only one of: the file, words of the name of the test that goes red, and why it is not the simulation's.
 */
export interface CaughtByTest {
  readonly test: string
  readonly name: string
  readonly why: string
}

export interface Mutant {
  readonly id: string
  /** In words, for whoever reads that it survived. */
  readonly removes: string
  /** Rules `S1` to `S14`, hazards `H01` to `H30`, and `protocol: <words>` for a line of postgresql.md. */
  readonly answers: readonly string[]
  /** One edit; more where a second guard stands behind the first, and only both together let the harm happen. */
  readonly edits: readonly [Edit, ...Edit[]]
  readonly caughtBy: CaughtByStory | CaughtByTest
}

export const isByStory = (caught: CaughtByStory | CaughtByTest): caught is CaughtByStory => 'story' in caught

/** The text of `file` with the mutant's edits in it. Throws when a text to find is not there exactly once. */
export function mutated(mutant: Mutant, file: string, source: string): string {
  let text = source
  for (const edit of mutant.edits) {
    if (edit.file !== file) continue
    const times = text.split(edit.find).length - 1
    if (times !== 1) {
      throw new Error(
        `mutant ${mutant.id}: the text to find occurs ${times} times in ${file} and not once: ${JSON.stringify(edit.find)}; the guard has moved, so look for it and correct test/sim/mutants/list.ts`,
      )
    }
    text = text.replace(edit.find, () => edit.replace)
  }
  return text
}

/** Files of this mutant, each once. */
export function filesOf(mutant: Mutant): string[] {
  return [...new Set(mutant.edits.map((edit) => edit.file))]
}
