/** What an observer's loop makes of its probes: pure, so that the loop itself only probes, waits and writes. */
import type {
  ClusterConfig,
  Downstream,
  Observation,
  ProbeRow,
  Report,
  ReportedNode,
  SessionEnd,
  Upstream,
} from './types.ts'

/** What the loop remembers of one node between ticks. Ages are taken from `atMs`, all on the loop's monotonic clock. */
export interface NodeMemory {
  readonly observation: Observation
  readonly ticks: number
  readonly sessionEnd: {
    readonly how: 'told' | 'untold'
    readonly code: string | null
    readonly ticks: number
    readonly atMs: number
  } | null
  readonly caughtUpAtMs: number | null
  readonly lastGood: { readonly observation: Observation; readonly atMs: number } | null
}

const ticksMost = 10_000

/**
 * One more tick of one node. A tick that does not count (the loop was late, or its canary failed) changes nothing but
 * the observation itself (S6).
 */
export function remember(
  before: NodeMemory | undefined,
  observation: Observation,
  context: {
    readonly nowMs: number
    readonly counts: boolean
    /** A session that ended since the last tick. */
    readonly ended: {
      readonly how: 'told' | 'untold'
      readonly code: string | null
      readonly atMs: number
    } | null
    /** Flushed position of the primary in this same tick; null when it did not answer. */
    readonly primaryBytes: number | null
  },
): NodeMemory {
  const answered = observation.outcome.kind === 'answered' ? observation.outcome.row : null
  const sameClass = before !== undefined && before.observation.class === observation.class
  const ticks = context.counts
    ? sameClass
      ? Math.min(before.ticks + 1, ticksMost)
      : 1
    : sameClass
      ? before.ticks
      : 0
  // A position of 0 is none at all (MySQL, Aurora): two of them do not show that anything was received (S10).
  const primaryBytes = context.primaryBytes ?? 0
  const caughtUp = answered !== null && primaryBytes > 0 && answered.positionBytes >= primaryBytes
  return {
    observation,
    ticks,
    sessionEnd: answered ? null : endedSession(before, context),
    caughtUpAtMs: caughtUp ? context.nowMs : (before?.caughtUpAtMs ?? null),
    lastGood: answered ? { observation, atMs: context.nowMs } : (before?.lastGood ?? null),
  }
}

function endedSession(
  before: NodeMemory | undefined,
  context: Parameters<typeof remember>[2],
): NodeMemory['sessionEnd'] {
  const known = before?.sessionEnd ?? null
  if (context.ended !== null) {
    // Told once, told for as long as it does not answer: a crash restart ends first told, then refused.
    if (known?.how === 'told') return { ...known, ticks: Math.min(known.ticks + 1, ticksMost) }
    return { ...context.ended, ticks: 1 }
  }
  if (known === null) return null
  return context.counts ? { ...known, ticks: Math.min(known.ticks + 1, ticksMost) } : known
}

/** The report's view of one node's memory, with ages as of `nowMs`. */
export function reported(memory: NodeMemory, nowMs: number): ReportedNode {
  const end: SessionEnd | null =
    memory.sessionEnd === null
      ? null
      : {
          how: memory.sessionEnd.how,
          code: memory.sessionEnd.code,
          ticks: memory.sessionEnd.ticks,
          ageMs: nowMs - memory.sessionEnd.atMs,
        }
  const good = memory.lastGood
  return {
    class: memory.observation.class,
    ticks: memory.ticks,
    observation: memory.observation,
    sessionEnd: end,
    caughtUpAgeMs: memory.caughtUpAtMs === null ? null : nowMs - memory.caughtUpAtMs,
    lastGood:
      good === null || good.observation.outcome.kind !== 'answered'
        ? null
        : { row: good.observation.outcome.row, ageMs: nowMs - good.atMs },
  }
}

/**
 * Does the report differ in something that a decision looks at? Ages, positions and tick counts do not, except where
 * a count crosses the threshold that a row of the decision table asks for.
 */
export function reportChanged(
  before: Report | undefined,
  after: Pick<Report, 'nodes' | 'canary'>,
  cluster: ClusterConfig,
): boolean {
  if (before === undefined || before.canary !== after.canary) return true
  const ids = Object.keys(after.nodes)
  if (ids.length !== Object.keys(before.nodes).length) return true
  return ids.some((id) => {
    const old = before.nodes[id]
    const now = after.nodes[id]
    return old === undefined || now === undefined || !isSame(old, now, cluster)
  })
}

function isSame(a: ReportedNode, b: ReportedNode, { policy, observe }: ClusterConfig): boolean {
  const isLong = ({ ticks }: ReportedNode) => ticks >= policy.silentLooks
  // The grace is counted in ticks, as the decision table counts it.
  const isOver = (end: SessionEnd) => end.ticks * observe.urgentIntervalMs >= policy.restartGraceMs
  return (
    a.class === b.class &&
    isLong(a) === isLong(b) &&
    isBoth(a.sessionEnd, b.sessionEnd, (x, y) => x.how === y.how && isOver(x) === isOver(y)) &&
    isBoth(rowOf(a), rowOf(b), isSameRow)
  )
}

/** Both are absent, or both are there and the same. */
function isBoth<T>(a: T | null, b: T | null, same: (a: T, b: T) => boolean): boolean {
  return a === null || b === null ? a === b : same(a, b)
}

function rowOf({ observation: { outcome } }: ReportedNode): ProbeRow | null {
  return outcome.kind === 'answered' ? outcome.row : null
}

function isSameRow(a: ProbeRow, b: ProbeRow): boolean {
  return (
    a.inRecovery === b.inRecovery &&
    a.timeline === b.timeline &&
    a.systemIdentifier === b.systemIdentifier &&
    a.primaryConninfo === b.primaryConninfo &&
    a.replayPaused === b.replayPaused &&
    a.writeProbe === b.writeProbe &&
    a.synchronous.names === b.synchronous.names &&
    a.synchronous.commit === b.synchronous.commit &&
    a.synchronous.filesAgree === b.synchronous.filesAgree &&
    a.synchronous.overrides.join('\n') === b.synchronous.overrides.join('\n') &&
    isBoth(a.upstream, b.upstream, isSameUpstream) &&
    namesOf(a.downstream) === namesOf(b.downstream)
  )
}

function isSameUpstream(a: Upstream, b: Upstream): boolean {
  return a.status === b.status && a.timeline === b.timeline && a.host === b.host && a.port === b.port
}

/** In an order that does not hang on that of the rows. */
function namesOf(downstream: readonly Downstream[]): string {
  return downstream
    .map((each) => `${each.applicationName} ${each.clientAddress} ${each.state}`)
    .sort()
    .join('\n')
}

/** Any reason to tick faster than the ordinary interval. */
export function troubled(nodes: Readonly<Record<string, ReportedNode>>): boolean {
  return Object.values(nodes).some((node) => node.class !== 'writable' && node.class !== 'recovery')
}
