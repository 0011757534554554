/** What a rule between settings is. */
import type { FleetDraft } from './config.ts'

/** `message` says what is wrong and what to do. */
export interface RuleProblem {
  readonly path: readonly PropertyKey[]
  readonly message: string
}

export interface Rule<T> {
  /** Paths that the rule reads, `*` for each entry: `nodes.*.id`. */
  readonly reads: readonly string[]
  readonly check: (value: T, fleet: FleetDraft) => readonly RuleProblem[]
}

export const wrong = (path: string | readonly PropertyKey[], message: string): RuleProblem => ({
  path: typeof path === 'string' ? path.split('.') : path,
  message,
})

/** One problem for each entry whose key an earlier one has. */
export function repeated<T>(
  entries: readonly T[],
  keyOf: (entry: T) => string,
  problem: (entry: T, first: T) => RuleProblem,
): RuleProblem[] {
  const firsts = new Map<string, T>()
  return entries.flatMap((entry) => {
    const first = firsts.get(keyOf(entry))
    if (first !== undefined) return [problem(entry, first)]
    firsts.set(keyOf(entry), entry)
    return []
  })
}

/** As RDS keeps identifiers: lower case, a letter first, hyphens single and inside. */
export const rdsIdentifier = /^(?=.{1,63}$)[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/
