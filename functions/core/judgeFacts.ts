/** The one function that turns confirm's looks into named facts. Rows of the judge match these and nothing else. */
import { isAlive, isDown, isInTransit, majority } from './classify.ts'
import { sharedDomain } from './domains.ts'
import { progressed, reconnected, type StreamSight, streamSight } from './streams.ts'
import type {
  ClusterConfig,
  ClusterState,
  Look,
  LookCounts,
  NodeClass,
  NodeConfig,
  NodeId,
  ObserverId,
  ProbeRow,
  Report,
} from './types.ts'

export interface JudgeInput {
  readonly cluster: ClusterConfig
  readonly observers: readonly ObserverId[]
  readonly state: ClusterState
  /** Rounds of looks, oldest first, all asked for after the claim, in this invocation. */
  readonly rounds: readonly (readonly Look[])[]
  /** Hints only: how the open sessions ended. */
  readonly reports: ReadonlyMap<ObserverId, Report>
  /** Counted before this invocation. */
  readonly counts: LookCounts
  readonly manual: boolean
  /** Monotonic time between the start of the first and of the last round. */
  readonly heldMs: number
  /** The standbys' WAL receivers were made to reconnect before the last round. */
  readonly streamsAsked: boolean
  readonly lookIntervalMs: number
}

/** Flat: every value stands for itself in an event. Counts of observers are of the last round. */
export type JudgeFacts = {
  readonly primary: NodeId
  readonly manual: boolean
  readonly configured: number
  readonly quorum: number
  readonly answered: number
  readonly missing: readonly ObserverId[]
  readonly alive: number
  readonly usable: number
  readonly refused: number
  readonly down: number
  readonly rounds: number
  /** In every round of this invocation, by a quorum, and alive for nobody. */
  readonly refusedThroughout: boolean
  readonly aliveFor: readonly ObserverId[]
  /** The count of silent looks may hold some in which a minority had an answer. */
  readonly maybeIsolated: boolean
  readonly heldMs: number
  readonly holdMs: number
  readonly told: readonly ObserverId[]
  readonly untold: readonly ObserverId[]
  readonly graceLeftMs: number
  readonly restartGraceMs: number
  readonly asked: number
  readonly deadLooks: number
  readonly silentLooks: number
  readonly silentLooksWanted: number
  /** So many looks in a row last as long as the hold, at the interval between two. */
  readonly holdLooks: number
  /** Standbys whose stream from the primary moved, or was made anew, between two rounds. */
  readonly streamsAlive: readonly NodeId[]
  /** Standbys whose receiver still says that it streams from the primary. */
  readonly streamsSaid: readonly NodeId[]
  readonly streamsAsked: boolean
  readonly replicasDown: readonly NodeId[]
  readonly allReplicasDown: boolean
  readonly sharedDomain: string | null
  readonly canaries: number
  readonly isolatedPolicy: 'page' | 'failover'
}

const saturation = 10_000

/** What one round says of the primary. A look whose canary failed, or of a stranger, counts for nothing. */
interface Round {
  readonly looks: ReadonlyMap<ObserverId, Look>
  readonly classes: ReadonlyMap<ObserverId, NodeClass>
}

export function judgeFacts(input: JudgeInput): { facts: JudgeFacts; counts: LookCounts } {
  const { cluster, observers, state, reports } = input
  const primary = state.primary
  const quorum = majority(observers.length)
  const rounds = input.rounds.map((looks) => readRound(input, looks))
  const last = rounds.at(-1) ?? { looks: new Map(), classes: new Map() }
  const count = (test: (c: NodeClass) => boolean, round: Round = last) =>
    [...round.classes.values()].filter(test).length
  const ends = sessionEnds(reports, observers, primary)
  const counts = countRounds(input, rounds, ends.told.length > 0)
  const replicas = replicaFacts(input, last, quorum)
  const streams = streamFacts(cluster, primary, rounds, replicas.delayed)
  const answered = count((c) => c !== 'unknown')
  const facts: JudgeFacts = {
    primary,
    manual: input.manual,
    configured: observers.length,
    quorum,
    answered,
    missing: observers.filter((id) => (last.classes.get(id) ?? 'unknown') === 'unknown'),
    alive: count(isAlive),
    usable: count((c) => isAlive(c) && !isInTransit(c)),
    refused: count((c) => c === 'refused'),
    down: count(isDown),
    rounds: rounds.length,
    refusedThroughout:
      rounds.length > 0 &&
      rounds.every((round) => count((c) => c === 'refused', round) >= quorum && count(isAlive, round) === 0),
    aliveFor: observers.filter((id) => isAlive(last.classes.get(id) ?? 'unknown')),
    maybeIsolated:
      cluster.policy.isolated === 'failover' &&
      (input.counts.silent > 0 || rounds.some((round) => count(isAlive, round) > 0)),
    heldMs: input.heldMs,
    holdMs: cluster.policy.holdMs,
    ...ends,
    graceLeftMs: Math.max(0, cluster.policy.restartGraceMs - counts.restart * input.lookIntervalMs),
    restartGraceMs: cluster.policy.restartGraceMs,
    asked: counts.asked,
    deadLooks: counts.dead,
    silentLooks: counts.silent,
    silentLooksWanted: cluster.policy.silentLooks,
    holdLooks: 1 + Math.ceil(cluster.policy.holdMs / input.lookIntervalMs),
    ...streams,
    streamsAsked: input.streamsAsked,
    replicasDown: replicas.down,
    allReplicasDown: replicas.allDown,
    sharedDomain: replicas.sharedDomain,
    canaries: [...last.looks.values()].filter((look) => look.canary === true).length,
    isolatedPolicy: cluster.policy.isolated,
  }
  return { facts, counts }
}

function readRound({ cluster, observers, state }: JudgeInput, looks: readonly Look[]): Round {
  const counted = new Map<ObserverId, Look>()
  for (const look of looks) {
    const valid = look.cluster === cluster.id && observers.includes(look.observer) && look.canary !== false
    if (valid) counted.set(look.observer, look)
  }
  const classes = new Map(
    [...counted].map(([id, look]) => [id, look.nodes[state.primary]?.class ?? 'unknown'] as const),
  )
  return { looks: counted, classes }
}

/**
 * Consecutive looks by a quorum: `dead` refused, `silent` without a usable answer of any kind (refused included, so
 * that a server that alternates comes to an end), `restart` looks since a told end or on the way up. An answer to
 * anybody starts the first two anew, unless the policy is to fail an isolated primary over. Looks without a quorum
 * count for nothing. Saturates.
 */
function countRounds(input: JudgeInput, rounds: readonly Round[], told: boolean): LookCounts {
  const quorum = majority(input.observers.length)
  let { asked, dead, silent, restart } = input.counts
  for (const { classes } of rounds) {
    const seen = [...classes.values()]
    const of = (test: (c: NodeClass) => boolean) => seen.filter(test).length
    asked += 1
    if (of((c) => c !== 'unknown') < quorum) continue
    const anybody = of(isAlive) > 0
    const isDownByQuorum = of(isDown) >= quorum
    const patient = anybody && input.cluster.policy.isolated === 'failover'
    if (!anybody && of((c) => c === 'refused') >= quorum) dead += 1
    else dead = 0
    if (isDownByQuorum && (!anybody || patient)) silent += 1
    else if (anybody && !(isDownByQuorum && patient)) silent = 0
    if (of(isAlive) < quorum ? told : of((c) => isAlive(c) && !isInTransit(c)) === 0) restart += 1
  }
  const cap = (n: number) => Math.min(saturation, n)
  return { asked: cap(asked), dead: cap(dead), silent: cap(silent), restart: cap(restart) }
}

/**
 * How the last session of the primary ended, by observer (S12). An observer whose last answer came from an earlier
 * start of the server than a majority of the reporting observers knows did not see the last session.
 */
export function sessionEnds(
  reports: ReadonlyMap<ObserverId, Report>,
  observers: readonly ObserverId[],
  primary: NodeId,
): { told: readonly ObserverId[]; untold: readonly ObserverId[] } {
  const ended = observers.flatMap((id) => {
    const node = reports.get(id)?.nodes[primary]
    return node ? [{ id, end: node.sessionEnd, startedAt: node.lastGood?.row.startedAt ?? null }] : []
  })
  const starts = ended.flatMap(({ startedAt }) => (startedAt === null ? [] : [startedAt]))
  const known = starts.find((start) => starts.filter((s) => s === start).length * 2 > starts.length)
  const saw = ended.filter(
    ({ startedAt }) => startedAt === null || known === undefined || startedAt === known,
  )
  const by = (how: 'told' | 'untold') => saw.filter(({ end }) => end?.how === how).map(({ id }) => id)
  return { told: by('told'), untold: by('untold') }
}

function rowsOf(round: Round, node: NodeId): ProbeRow[] {
  return [...round.looks.values()].flatMap((look) => {
    const outcome = look.nodes[node]?.outcome
    return outcome?.kind === 'answered' ? [outcome.row] : []
  })
}

/**
 * The replicas whose fall would make the observers the suspect (S6). Not among them: delayed ones (F06), and nodes
 * that are out of service by our own doing, which look dead for a reason.
 */
function replicaFacts(input: JudgeInput, last: Round, quorum: number) {
  const { cluster, state, reports } = input
  const delayed = cluster.nodes.filter(({ id }) => isDelayed(id, rowsOf(last, id), reports)).map((n) => n.id)
  const isDownByQuorum = ({ id }: NodeConfig) =>
    [...last.looks.values()].filter((look) => isDown(look.nodes[id]?.class ?? 'unknown')).length >= quorum
  const isAliveByQuorum = ({ id }: NodeConfig) =>
    [...last.looks.values()].filter((look) => isAlive(look.nodes[id]?.class ?? 'unknown')).length >= quorum
  const replicas = cluster.nodes.filter(
    ({ id }) => id !== state.primary && !delayed.includes(id) && isInService(state, id),
  )
  const down = replicas.filter(isDownByQuorum)
  const primary = cluster.nodes.filter((node) => node.id === state.primary)
  return {
    delayed,
    down: down.map((node) => node.id),
    allDown: replicas.length > 0 && down.length === replicas.length,
    sharedDomain: sharedDomain([...primary, ...down], cluster.nodes.filter(isAliveByQuorum)),
  }
}

function isDelayed(id: NodeId, rows: readonly ProbeRow[], reports: ReadonlyMap<ObserverId, Report>): boolean {
  const known = [...reports.values()].flatMap((report) => report.nodes[id]?.lastGood?.row ?? [])
  return (rows.length > 0 ? rows : known).some((row) => row.applyDelayMs > 0)
}

/** A fenced, quarantined or half-rebuilt node is down because of us. */
export function isInService(state: ClusterState, id: NodeId): boolean {
  const status = state.nodes[id]
  return !status || (!status.fenced && !['quarantined', 'rebuilding', 'diverged'].includes(status.role))
}

function streamFacts(
  cluster: ClusterConfig,
  primary: NodeId,
  rounds: readonly Round[],
  delayed: readonly NodeId[],
) {
  const standbys = cluster.nodes.map((node) => node.id).filter((id) => id !== primary)
  const alive: NodeId[] = []
  const said: NodeId[] = []
  for (const id of standbys) {
    // Rounds in which nobody had an answer of this standby say nothing about its stream.
    const sights = rounds.flatMap((round): StreamSight[] => {
      const rows = rowsOf(round, id)
      return rows.length === 0 ? [] : [streamSight(cluster, primary, id, rows)]
    })
    const pairs = sights.slice(1).map((later, index) => [sights[index] ?? later, later] as const)
    if (pairs.some(([earlier, later]) => progressed(earlier, later) || reconnected(earlier, later))) {
      alive.push(id)
    }
    // A delayed standby receives like any other, so its progress proves life; but nobody waits for its silence.
    if (sights.at(-1)?.streaming && !delayed.includes(id)) said.push(id)
  }
  return { streamsAlive: alive, streamsSaid: said }
}
