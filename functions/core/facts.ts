/** The one function that turns reports and state into named facts. Rows of assess match these and nothing else. */
import { isDown, isInTransit } from './classify.ts'
import { forbiddenTarget, sharedDomain } from './domains.ts'
import { electsNatively, isManaged } from './engine.ts'
import { isInService, sessionEnds } from './judgeFacts.ts'
import { isBehindFence, managedWorkLeft } from './managedReports.ts'
import { electedWriter, nativeWorkLeft, nativeWriters, writersNotBlocked } from './nativeReports.ts'
import { isAheadOf, isGone } from './settle.ts'
import {
  type AssessInput,
  countOf,
  isUsable,
  type NodeSight,
  readSight,
  type Sight,
  seenOutOfRecovery,
  streamingStandbys,
} from './sight.ts'
import { readSynchronousSet } from './synchronous.ts'
import type {
  ClusterConfig,
  ClusterState,
  NodeId,
  ObserverId,
  Phase,
  Report,
  SynchronousSet,
} from './types.ts'

/** Flat: every value stands for itself in an event. Counts are of observers. */
export type Facts = {
  readonly cluster: string
  readonly state: 'found' | 'absent' | 'unreadable'
  readonly problems: readonly string[]
  readonly phase: Phase | null
  readonly term: number
  readonly version: number
  readonly holder: string | null
  readonly haltedReason: string | null
  readonly halted: boolean
  readonly paused: boolean
  readonly pausedBy: string | null
  readonly pauseReason: string | null
  readonly pauseLeftMinutes: number
  readonly inOperation: boolean
  readonly stoodStill: boolean
  /** A pass of settle holds the claim, and its beat moved since the last tick: it looks for itself. */
  readonly passUnderWay: boolean
  readonly isTick: boolean
  /** The provider elects the writer: it is followed. */
  readonly electsNatively: boolean
  /** Of such an engine: another node than the recorded primary that a quorum sees as the writer, and not the primary. */
  readonly elected: NodeId | null
  /** aurora-global: old writers that the storage is not known to block. */
  readonly mayWrite: readonly NodeId[]
  /** aurora-global: a failover completed within the last days, so that its snapshot may still be there. */
  readonly failedOverDaysAgo: number | null
  /** This very set of reports was already acted upon: only a minute tick looks again. */
  readonly alreadyJudged: boolean
  readonly sequences: string
  readonly superseded: readonly string[]
  readonly primary: NodeId
  readonly configured: number
  readonly quorum: number
  readonly readable: number
  readonly missing: readonly ObserverId[]
  readonly alive: number
  readonly usable: number
  readonly starting: number
  readonly blocked: number
  readonly inRecovery: number
  readonly refused: number
  readonly down: number
  readonly aliveFor: readonly ObserverId[]
  /** Observers for which it has been down for enough ticks in a row. */
  readonly longDown: number
  readonly silentLooksWanted: number
  readonly told: readonly ObserverId[]
  readonly untold: readonly ObserverId[]
  readonly graceLeftMs: number
  readonly restartGraceMs: number
  /** Others than the primary, seen out of recovery. */
  readonly otherWriters: readonly NodeId[]
  readonly primaryOut: boolean
  /** Of those: possible writers on a timeline that is not newer, so that fencing them is ours to do. */
  readonly refenceable: readonly NodeId[]
  readonly quorumFenced: readonly NodeId[]
  readonly replicasDown: readonly NodeId[]
  readonly allReplicasDown: boolean
  readonly sharedDomain: string | null
  readonly canaries: number
  /** confirm's last verdict was that a minority has answers of it. */
  readonly isolatedBefore: boolean
  readonly hungBefore: boolean
  readonly hungReason: string | null
  readonly settling: boolean
  readonly workLeft: readonly string[]
  readonly canAdvance: readonly NodeId[]
  /** Standbys that do not stream and have log that the primary does not have, for a quorum. */
  readonly errant: readonly NodeId[]
  readonly listDiffers: boolean
  readonly listSeen: string | null
  readonly listRecorded: string | null
  readonly streaming: readonly NodeId[]
  readonly candidates: readonly NodeId[]
  readonly isolatedPolicy: 'page' | 'failover'
  readonly cooldownLeftMinutes: number
  readonly approvedBy: string | null
  readonly breakerOpen: boolean
  readonly failoversUnderWay: number
  readonly dyingDomains: readonly string[]
}

const operating: readonly Phase[] = ['confirming', 'fencing', 'promoting', 'repointing']

/** Facts, and what they were read from. */
export interface Reading {
  readonly facts: Facts
  readonly sight: Sight
  readonly state: ClusterState | null
}

export function readFacts(input: AssessInput): Reading {
  const sight = readSight(input)
  const state = input.state.kind === 'found' ? input.state.value : null
  const primary = state ? sight.nodes.get(state.primary) : undefined
  const facts: Facts = {
    cluster: input.cluster.id,
    state: input.state.kind,
    problems: input.state.kind === 'unreadable' ? input.state.problems : [],
    sequences: sight.sequences,
    configured: input.observers.length,
    quorum: sight.quorum,
    readable: sight.readable.length,
    missing: input.observers.filter((id) => !sight.readable.includes(id)),
    canaries: sight.canaries,
    isolatedPolicy: input.cluster.policy.isolated,
    silentLooksWanted: input.cluster.policy.silentLooks,
    restartGraceMs: input.cluster.policy.restartGraceMs,
    isTick: input.tick !== null,
    ...nativeStateFacts(input, state, sight),
    ...stateFacts(input, state, sight),
    ...primaryFacts(input, state, primary),
    ...writerFacts(input, state, sight),
    ...replicaFacts(input, state, sight),
    ...workFacts(input, state, sight, primary),
    ...permissionFacts(input, state),
  }
  return { facts, sight, state }
}

function stateFacts(
  { tick, fleet, deployment, cluster }: AssessInput,
  state: ClusterState | null,
  sight: Sight,
) {
  const inOperation = state !== null && operating.includes(state.phase)
  const seen = tick?.seen ?? null
  const isStill = seen !== null && seen.version === state?.version && seen.beat === state.beat
  const last = state?.lastEvent
  const untilMs = state?.pause?.untilMs ?? 0
  // A verdict of confirm that found the primary alive by its streams; C8 and C20 are its rows for it.
  const hungBefore = last?.row === 'C8' || last?.row === 'C20'
  return {
    phase: state?.phase ?? null,
    term: state?.term ?? 0,
    version: state?.version ?? 0,
    holder: state?.claim?.holder ?? null,
    halted: state !== null && (state.phase === 'halted' || state.halted !== null),
    haltedReason: state?.halted ? `${state.halted.reason} (step ${state.halted.step})` : null,
    // The scheduler's clock, never a host's (S3, H20).
    paused: untilMs > fleet.clockMs,
    pausedBy: state?.pause?.owner ?? null,
    pauseReason: state?.pause?.reason ?? null,
    pauseLeftMinutes: Math.max(0, Math.ceil((untilMs - fleet.clockMs) / 60_000)),
    inOperation,
    stoodStill: inOperation && isStill,
    passUnderWay: !inOperation && (state?.claim ?? null) !== null && !isStill,
    alreadyJudged: !inOperation && last !== undefined && last.facts.sequences === sight.sequences,
    // Timelines of Aurora do not rise, and nobody freezes its readers.
    superseded: state && !electsNatively(cluster) ? supersededBy(state, deployment, sight) : [],
    settling: state?.phase === 'settling',
    isolatedBefore: last?.row === 'C11',
    hungBefore,
    hungReason: hungBefore && last ? last.message : null,
  }
}

/** Signs that the world is newer than our state: a foreign or newer freeze, a newer timeline (S11, H09, H17). */
function supersededBy(state: ClusterState, deployment: string, sight: Sight): string[] {
  const ours = state.plan?.target ?? null
  return [...sight.nodes]
    .flatMap(([id, node]) =>
      [...node.rows.values()].flatMap((row) => {
        const mark = row.frozenBy
        if (mark && mark.deployment !== deployment)
          return [`${id} is frozen by deployment ${mark.deployment}`]
        if (mark && mark.term > state.term) return [`${id} is frozen for term ${mark.term}`]
        if (!row.inRecovery && row.timeline > state.timeline && id !== ours) {
          return [
            `${id} is out of recovery on timeline ${row.timeline}, the recorded one is ${state.timeline}`,
          ]
        }
        return []
      }),
    )
    .filter((sign, index, all) => all.indexOf(sign) === index)
}

function primaryFacts(input: AssessInput, state: ClusterState | null, sight: NodeSight | undefined) {
  const { policy, observe } = input.cluster
  const found = new Map<ObserverId, Report>()
  for (const [id, read] of input.reports) {
    if (read.kind === 'found' && sight?.by.has(id)) found.set(id, read.value)
  }
  const ends = sessionEnds(found, input.observers, state?.primary ?? '')
  const by = [...(sight?.by ?? [])]
  // Counted in ticks, by the observer that was told last: no host's clock is asked.
  const sinceTold = ends.told.map((id) => sight?.by.get(id)?.sessionEnd?.ticks ?? 0)
  const graceMs = policy.restartGraceMs - Math.min(...sinceTold) * observe.urgentIntervalMs
  return {
    primary: state?.primary ?? '',
    alive: sight?.alive ?? 0,
    usable: countOf(sight, isUsable),
    starting: countOf(sight, isInTransit),
    blocked: countOf(sight, (c) => c === 'writes blocked'),
    inRecovery: countOf(sight, (c) => c === 'recovery'),
    refused: countOf(sight, (c) => c === 'refused'),
    down: sight?.down ?? 0,
    aliveFor: by.filter(([, node]) => !isDown(node.class) && node.class !== 'unknown').map(([id]) => id),
    longDown: by.filter(([, node]) => isDown(node.class) && node.ticks >= policy.silentLooks).length,
    ...ends,
    graceLeftMs: ends.told.length === 0 ? 0 : Math.max(0, graceMs),
  }
}

/** Who elects natively moves its writer by itself: that is no second writer, and no sign of a newer state. */
function nativeStateFacts({ cluster, fleet }: AssessInput, state: ClusterState | null, sight: Sight) {
  const native = electsNatively(cluster)
  const global = cluster.engine === 'aurora-global'
  const days = state?.lastFailover ? (fleet.clockMs - state.lastFailover.atMs) / 86_400_000 : null
  return {
    electsNatively: native,
    elected: native && state ? electedWriter(state, sight) : null,
    mayWrite: global && state ? writersNotBlocked(state) : [],
    failedOverDaysAgo: global && days !== null && days < 7 ? Math.max(0, Math.floor(days)) : null,
  }
}

function writerFacts({ cluster }: AssessInput, state: ClusterState | null, sight: Sight) {
  if (electsNatively(cluster))
    return { ...nativeWriters(state, sight, operationTarget(state)), refenceable: [], quorumFenced: [] }
  const out = state ? seenOutOfRecovery(state, sight) : []
  const others = out.filter((id) => {
    if (id === state?.primary || id === operationTarget(state)) return false
    return !(isManaged(cluster) && state !== null && isBehindFence(state, id))
  })
  const isOurs = (id: NodeId) => {
    const known = state?.nodes[id]?.possibleWriter
    const timelines = [...(sight.nodes.get(id)?.rows.values() ?? [])].map((row) => row.timeline)
    return Boolean(known) && timelines.length > 0 && timelines.every((t) => t <= (state?.timeline ?? 0))
  }
  const isQuorumFenced = (id: NodeId) =>
    Boolean(
      state?.plan?.evidence.some(
        (fact) => fact.kind === 'quorum' && fact.node === id && fact.term === state.term,
      ),
    )
  return {
    otherWriters: others,
    primaryOut: state !== null && out.includes(state.primary),
    refenceable: others.filter(isOurs),
    quorumFenced: others.filter(isQuorumFenced),
  }
}

/** During an operation the target is expected to be out of recovery. */
function operationTarget(state: ClusterState | null): NodeId | null {
  return state && operating.includes(state.phase) ? (state.plan?.target ?? null) : null
}

function replicaFacts({ cluster }: AssessInput, state: ClusterState | null, sight: Sight) {
  const all = [...sight.nodes]
  const replicas = all.filter(
    ([id, node]) => state !== null && id !== state.primary && !node.delayed && isInService(state, id),
  )
  const down = replicas.filter(([, node]) => node.down >= sight.quorum)
  const dead = cluster.nodes.filter(
    (node) => node.id === state?.primary || down.some(([id]) => id === node.id),
  )
  const survivors = all.filter(([, node]) => node.alive >= sight.quorum).map(([, node]) => node.config)
  return {
    replicasDown: down.map(([id]) => id),
    allReplicasDown: replicas.length > 0 && down.length === replicas.length,
    sharedDomain: sharedDomain(dead, survivors),
    streaming: state ? streamingStandbys(cluster, state, sight) : [],
    candidates: state ? candidatesOf(cluster, state, sight) : [],
  }
}

/** Nodes that could be a target if they were measured now: known, allowed, in recovery, not delayed, not ours to heal. */
function candidatesOf(cluster: ClusterConfig, state: ClusterState, sight: Sight): NodeId[] {
  return [...sight.nodes].flatMap(([id, node]) => {
    const isStandby = ['standby', 'frozen', 'target'].includes(state.nodes[id]?.role ?? '')
    const answers = countOf(node, (c) => c === 'recovery') > 0
    const isAllowed = forbiddenTarget(cluster, state.primary, node.config) === null
    const eligible = id !== state.primary && isAllowed && isStandby && answers && !node.delayed
    return eligible && isInService(state, id) ? [id] : []
  })
}

function workFacts(
  input: AssessInput,
  state: ClusterState | null,
  sight: Sight,
  primary: NodeSight | undefined,
) {
  const streaming = state ? streamingStandbys(input.cluster, state, sight) : []
  const errant = state && !isManaged(input.cluster) ? errantStandbys(state, sight) : []
  const differing = state && primary ? differingLists(input, state, primary) : []
  // One report may be the leftover of a dead observer: the minute tick follows only a quorum, a fresh change anyone.
  const listDiffers = differing.length >= (input.tick === null ? 1 : sight.quorum)
  return {
    workLeft: state ? [...workLeft(input, state), ...errant.map((id) => `set ${id} apart`)] : [],
    errant,
    canAdvance: streaming.filter((id) => {
      const role = state?.nodes[id]?.role
      return role === 'rebuilding' || role === 'frozen'
    }),
    listDiffers,
    listSeen: differing[0] ? describeSet(differing[0]) : null,
    listRecorded: state ? describeSet(state.synchronous) : null,
  }
}

/** By the reports of a quorum, each of which compares what it saw itself; settle looks twice before it records it. */
function errantStandbys(state: ClusterState, sight: Sight): NodeId[] {
  const primary = sight.nodes.get(state.primary)
  return [...sight.nodes].flatMap(([id, node]) => {
    const ahead = [...node.rows].filter(([observer, row]) => {
      const upstream = primary?.rows.get(observer)
      const isUp = upstream !== undefined && !upstream.inRecovery
      return isUp && row.inRecovery && row.upstream?.status !== 'streaming' && isAheadOf(state, row, upstream)
    })
    return state.nodes[id]?.role === 'standby' && ahead.length >= sight.quorum ? [id] : []
  })
}

/** What settle would find to do, by the state alone. */
function workLeft({ cluster, tick }: AssessInput, state: ClusterState): string[] {
  if (electsNatively(cluster)) return nativeWorkLeft(state)
  if (isManaged(cluster)) return managedWorkLeft(state, tick)
  const automatic = cluster.policy.rejoin === 'automatic'
  const work = Object.entries(state.nodes).flatMap(([id, status]) => {
    if (id === state.primary || isGone(cluster, id, status)) return []
    if (status.possibleWriter && !status.fenced && status.role !== 'standby') return [`fence ${id}`]
    if (status.role === 'frozen' || status.role === 'target') return [`point ${id} at ${state.primary}`]
    if (status.role === 'rebuilding') return [`finish the rejoin of ${id}`]
    if (automatic && (status.role === 'quarantined' || status.role === 'diverged')) return [`rejoin ${id}`]
    return []
  })
  const unsure = cluster.policy.synchronous !== 'none' && state.synchronous.status === 'unknown'
  return unsure ? [...work, 'establish the synchronous list'] : work
}

function differingLists({ cluster }: AssessInput, state: ClusterState, primary: NodeSight): SynchronousSet[] {
  if (cluster.policy.synchronous === 'none' || electsNatively(cluster)) return []
  return [...primary.rows.values()]
    .filter((row) => !row.inRecovery)
    .map((row) => readSynchronousSet(cluster, state.primary, row))
    .filter((seen) => !isSameSet(seen, state.synchronous))
}

/** Reasons may vary from look to look; what decisions rest on may not. */
export function isSameSet(a: SynchronousSet, b: SynchronousSet): boolean {
  const names = (set: SynchronousSet) => [...set.listed].sort().join(' ')
  return (
    a.status === b.status &&
    a.names === b.names &&
    a.k === b.k &&
    a.primary === b.primary &&
    names(a) === names(b)
  )
}

function describeSet(set: SynchronousSet): string {
  const why = set.reasons.length === 0 ? '' : `: ${set.reasons.join('; ')}`
  return `'${set.names}' (${set.status}${why})`
}

function permissionFacts({ cluster, fleet, approval }: AssessInput, state: ClusterState | null) {
  const sinceMs = state?.lastFailover ? fleet.clockMs - state.lastFailover.atMs : Number.POSITIVE_INFINITY
  // For the operation that would begin now: one that was given for a term already claimed is used up (H25).
  const valid =
    approval !== null &&
    state !== null &&
    approval.cluster === state.cluster &&
    approval.term > state.term &&
    approval.untilMs > fleet.clockMs
  return {
    cooldownLeftMinutes: Math.max(0, Math.ceil((cluster.policy.cooldownMs - sinceMs) / 60_000)),
    approvedBy: valid ? approval.by : null,
    breakerOpen: fleet.breakerOpen,
    failoversUnderWay: fleet.failoversUnderWay,
    dyingDomains: fleet.dyingDomains,
  }
}
