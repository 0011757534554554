/** What an observer's loop makes of its probes: pure, so that the loop itself only probes, waits and writes. */
import type { ClusterConfig, Observation, Report, ReportedNode, SessionEnd } from './types.ts'

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
  const ids = new Set([...Object.keys(before.nodes), ...Object.keys(after.nodes)])
  for (const id of ids) {
    const old = before.nodes[id]
    const now = after.nodes[id]
    if (!old || !now || fingerprint(old, cluster) !== fingerprint(now, cluster)) return true
  }
  return false
}

function fingerprint(node: ReportedNode, { policy, observe }: ClusterConfig): string {
  const row = node.observation.outcome.kind === 'answered' ? node.observation.outcome.row : null
  const end = node.sessionEnd
  return JSON.stringify([
    node.class,
    node.ticks >= policy.silentLooks,
    // The grace is counted in ticks, as the decision table counts it.
    end && [end.how, end.ticks * observe.urgentIntervalMs >= policy.restartGraceMs],
    row && [
      row.inRecovery,
      row.timeline,
      row.systemIdentifier,
      row.primaryConninfo,
      row.replayPaused,
      row.synchronous,
      row.upstream && [row.upstream.status, row.upstream.timeline, row.upstream.host, row.upstream.port],
      row.downstream.map((each) => `${each.applicationName} ${each.clientAddress} ${each.state}`).sort(),
      row.writeProbe,
    ],
  ])
}

/** Any reason to tick faster than the ordinary interval. */
export function troubled(nodes: Readonly<Record<string, ReportedNode>>): boolean {
  return Object.values(nodes).some((node) => node.class !== 'writable' && node.class !== 'recovery')
}
