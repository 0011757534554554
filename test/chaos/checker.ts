/**
 * Judges one round by what the clients were told and by what is there at the end. Pure; knows nothing of the product.
 *
 * The workload is a set, to which clients add ids that are never used twice, and registers, each moved from one version
 * to the next by compare-and-set, with a log of who made which version, written in the same transaction.
 */

/** `indeterminate`: it may have happened, and nobody was promised anything. */
export type Outcome = 'ok' | 'failed' | 'indeterminate'

/** One operation of one client. Times by one monotonic clock of all clients, in milliseconds. */
export interface Operation {
  readonly id: string
  readonly client: string
  readonly kind: 'add' | 'set'
  /** Of `set`: the register, and the version from which it was to be moved. */
  readonly register: string | null
  readonly fromVersion: number | null
  readonly invokedMs: number
  /** When the answer came, or when the client gave up. */
  readonly completedMs: number
  readonly outcome: Outcome
  /** Of `ok`: who acknowledged it, and in which timeline the server wrote. */
  readonly server: string | null
  readonly timeline: number | null
  /** Whether the client asked the name for the server, or kept to one address. */
  readonly byName: boolean
  /** Why it was not acknowledged, in the words of the server or the driver. */
  readonly reason: string | null
}

/** What the primary has at the end of a round. */
export interface Final {
  readonly ids: readonly string[]
  readonly versions: readonly { readonly register: string; readonly version: number; readonly id: string }[]
  readonly registers: readonly { readonly register: string; readonly version: number }[]
}

export interface Verdict {
  readonly acknowledged: number
  /** Acknowledged, and not there. */
  readonly lost: readonly string[]
  /** There, and never attempted, or known to have failed; or there twice. */
  readonly unexpected: readonly string[]
  /** Acknowledged in an older timeline after a newer one had acknowledged: two servers took writes. */
  readonly twoWriters: readonly string[]
  /** What is no order of compare-and-sets, in words. */
  readonly disorder: readonly string[]
}

/** Without a final state only what the clients were told is judged. */
export function check(operations: readonly Operation[], final: Final | null): Verdict {
  const acknowledged = operations.filter(({ outcome }) => outcome === 'ok')
  const told = {
    acknowledged: acknowledged.length,
    twoWriters: twoWriters(acknowledged),
    disorder: disorder(acknowledged),
  }
  if (final === null) return { ...told, lost: [], unexpected: [] }
  const there = [...final.ids, ...final.versions.map(keyOf)]
  const thereOnce = new Set(there)
  // What was known to fail, or was never tried, has no business being there.
  const possible = new Set(operations.filter(({ outcome }) => outcome !== 'failed').map(traceOf))
  const twice =
    there.length === thereOnce.size ? [] : there.filter((trace, at) => there.indexOf(trace) !== at)
  return {
    ...told,
    lost: acknowledged.map(traceOf).filter((trace) => !thereOnce.has(trace)),
    unexpected: [...[...thereOnce].filter((trace) => !possible.has(trace)), ...twice],
    disorder: [...told.disorder, ...brokenChains(final)],
  }
}

/** What an operation leaves behind if it happens. */
function traceOf({ kind, id, register, fromVersion }: Operation): string {
  return kind === 'add' ? id : keyOf({ register: register ?? '', version: (fromVersion ?? 0) + 1, id })
}

function keyOf({ register, version, id }: Final['versions'][number]): string {
  return `${register}@${version} ${id}`
}

/** Looks at each operation with what was acknowledged, at the latest, before it was asked for. */
function* withPast<Known>(
  operations: readonly Operation[],
  know: (past: Known | null, operation: Operation) => Known,
): Generator<{ operation: Operation; past: Known | null }> {
  const asked = operations.toSorted((a, b) => a.invokedMs - b.invokedMs)
  const answered = operations.toSorted((a, b) => a.completedMs - b.completedMs)
  let past: Known | null = null
  let next = 0
  for (const operation of asked) {
    for (; (answered[next]?.completedMs ?? Infinity) < operation.invokedMs; next++)
      past = know(past, answered[next] as Operation)
    yield { operation, past }
  }
}

/**
 * An answer that was under way while the newer timeline began may arrive late, and is true: what counts is an operation
 * that was begun when the newer one had acknowledged already.
 */
function twoWriters(acknowledged: readonly Operation[]): string[] {
  const newest = (past: number | null, { timeline }: Operation) => Math.max(past ?? 0, timeline ?? 0)
  return [...withPast(acknowledged, newest)]
    .filter(({ operation, past }) => past !== null && (operation.timeline ?? 0) < past)
    .map(({ operation: { id, server, timeline }, past }) => `${id} by ${server} on ${timeline} after ${past}`)
}

function disorder(acknowledged: readonly Operation[]): string[] {
  const problems: string[] = []
  const byRegister = Map.groupBy(
    acknowledged.filter(({ kind }) => kind === 'set'),
    ({ register }) => register,
  )
  for (const [register, operations] of byRegister) {
    const from = Map.groupBy(operations, ({ fromVersion }) => fromVersion)
    for (const [version, winners] of from) {
      if (winners.length > 1)
        problems.push(
          `${register}: ${winners.map(({ id }) => id).join(' and ')} both moved version ${version}`,
        )
    }
    const highest = (past: number | null, { fromVersion }: Operation) => Math.max(past ?? 0, fromVersion ?? 0)
    for (const { operation, past } of withPast(operations, highest)) {
      if (past !== null && (operation.fromVersion ?? 0) < past)
        problems.push(
          `${register}: ${operation.id} moved version ${operation.fromVersion} after ${past} was moved`,
        )
    }
  }
  return problems
}

/** Each version follows from the one before, and the register stands at the last. */
function brokenChains({ versions, registers }: Final): string[] {
  return registers.flatMap(({ register, version: last }) => {
    const numbers = versions
      .filter((each) => each.register === register)
      .map(({ version }) => version)
      .toSorted((a, b) => a - b)
    const isChain = numbers.length === last && numbers.every((version, at) => version === at + 1)
    return isChain
      ? []
      : [
          `${register}: stands at ${last}, its log has ${numbers.length} versions up to ${numbers.at(-1) ?? 0}`,
        ]
  })
}

/** Times in which no client that asks the name was acknowledged anything. */
export interface Outage {
  readonly fromMs: number
  readonly toMs: number
}

/** Shorter gaps than this between two acknowledgements are not called an outage. */
export const outageLeastMs = 250

export function outagesOf(operations: readonly Operation[], fromMs: number, toMs: number): Outage[] {
  const times = operations
    .filter(({ outcome, byName }) => outcome === 'ok' && byName)
    .map(({ completedMs }) => completedMs)
    .filter((atMs) => atMs > fromMs && atMs < toMs)
    .toSorted((a, b) => a - b)
  const ends = [fromMs, ...times, toMs]
  return ends.slice(1).flatMap((end, at) => {
    const start = ends[at] as number
    return end - start >= outageLeastMs ? [{ fromMs: start, toMs: end }] : []
  })
}
