/**
 * Decision tables: numbered rows that match named facts, the first match wins. A row is data (its reason is a
 * template over the same facts), so that a test, the docs and the CLI can list the very table that decides.
 */

export interface Row<F, D extends string> {
  /** Stands in events, logs and issues: never reused for another meaning. */
  readonly id: string
  /** In words, for the listing. */
  readonly when: string
  readonly test: (facts: F) => boolean
  readonly does: D
  /** For an operator at 3 am; `{name}` is replaced by the fact of that name. */
  readonly reason: string
}

/** Throws when no row matches: every table ends in a row that always does. */
export function firstMatch<F, R extends Row<F, string>>(rows: readonly R[], facts: F): R {
  const row = rows.find((candidate) => candidate.test(facts))
  if (!row) throw new Error('no row of the decision table matches')
  return row
}

/** Fills `{name}` from the facts. */
export function fill(template: string, facts: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => text(facts[name]))
}

function text(value: unknown): string {
  if (value === null || value === undefined || value === '') return 'unknown'
  // People read whole numbers; an age or a wait is never said shorter than it is.
  if (typeof value === 'number') return String(Math.ceil(value))
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(text).join(', ')
  return String(value)
}

/** One line of a listing. */
export interface ListedRow {
  readonly id: string
  readonly when: string
  readonly does: string
  readonly reason: string
}

export function listRows(rows: readonly Row<never, string>[]): readonly ListedRow[] {
  return rows.map(({ id, when, does, reason }) => ({ id, when, does, reason }))
}
