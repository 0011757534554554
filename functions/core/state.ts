/**
 * Transitions of the cluster state. Every change of state goes through `advance`: the version and the beat rise by
 * one, and the event that explains the change is inside the same write, so that the two cannot part.
 */
import type {
  Claim,
  ClusterConfig,
  ClusterState,
  Event,
  Evidence,
  NodeId,
  NodeStatus,
  Plan,
  SynchronousSet,
} from './types.ts'

/** What happened, without the numbers that `advance` fills in. */
export type Happening = Pick<Event, 'kind' | 'message' | 'by'> &
  Partial<Pick<Event, 'row' | 'facts'>> & { readonly atMs: number }

/** Fields that a change may set; everything else stays. */
export type Change = Partial<
  Omit<ClusterState, 'cluster' | 'deployment' | 'version' | 'beat' | 'lastEvent' | 'wake'>
>

/** The next state. `wake` asks assess to look at once. */
export function advance(
  state: ClusterState,
  change: Change,
  happening: Happening,
  options: { wake?: boolean } = {},
): ClusterState {
  const version = state.version + 1
  const term = change.term ?? state.term
  const lastEvent: Event = {
    term,
    version,
    kind: happening.kind,
    row: happening.row ?? null,
    message: happening.message,
    by: happening.by,
    facts: happening.facts ?? {},
    atMs: happening.atMs,
  }
  return {
    ...state,
    ...change,
    version,
    beat: state.beat + 1,
    wake: state.wake + (options.wake ? 1 : 0),
    lastEvent,
  }
}

export interface Adoption {
  readonly cluster: ClusterConfig
  readonly deployment: string
  readonly term: number
  readonly primary: NodeId
  readonly timeline: number
  readonly systemIdentifier: string
  readonly synchronous: SynchronousSet
  readonly instanceIds: Readonly<Record<NodeId, string | null>>
  /** Nodes that a quorum sees streaming from the primary on its timeline: harmless, whatever was recorded (S2). */
  readonly streaming: readonly NodeId[]
  /** For a claim that has to be taken from its holder. */
  readonly id: string
  readonly happening: Happening
  readonly previous: ClusterState | null
}

/** The state of a cluster that was just adopted. `version` 1: the item must not exist before. */
export function adoptedState(args: Adoption): ClusterState {
  const nodes: Record<NodeId, NodeStatus> = {}
  for (const { id } of args.cluster.nodes) nodes[id] = adoptedStatus(args, id)
  const blank: ClusterState = {
    cluster: args.cluster.id,
    deployment: args.deployment,
    version: args.previous?.version ?? 0,
    term: args.term,
    phase: 'settling',
    claim: takenClaim(args.previous?.claim ?? null, args.id),
    beat: args.previous?.beat ?? 0,
    plan: null,
    primary: args.primary,
    timeline: args.timeline,
    systemIdentifier: args.systemIdentifier,
    nodes,
    synchronous: args.synchronous,
    lastFailover: args.previous?.lastFailover ?? null,
    pause: args.previous?.pause ?? null,
    halted: null,
    endpointTerm: args.term,
    lastEvent: { ...args.happening, term: args.term, version: 0, row: null, facts: {} },
    wake: args.previous?.wake ?? 0,
    replaced: args.previous?.replaced ?? [],
    findings: args.previous?.findings ?? [],
  }
  return advance(blank, {}, args.happening, { wake: true })
}

/**
 * What was recorded of a node stands until it is seen to stream: a half-copied node is no standby (S8, H08), and a
 * possible writer that merely does not answer may still be one (S1, S2).
 */
function adoptedStatus(args: Adoption, id: NodeId): NodeStatus {
  const { term, timeline, synchronous } = args
  const instanceId = args.instanceIds[id] ?? null
  const blank = { term, possibleWriter: null, instanceId, fenced: false, rejoin: 'none' } as const
  if (id === args.primary)
    return { ...blank, role: 'primary', possibleWriter: { term, timeline, synchronous } }
  const before = args.previous?.nodes[id]
  const standby = { ...blank, role: 'standby' } as const
  if (before === undefined || args.streaming.includes(id)) return standby
  const { role, possibleWriter } = before
  if (role === 'rebuilding' || role === 'diverged' || role === 'quarantined') return { ...before, instanceId }
  if (possibleWriter === null) return standby
  // It was told to follow in a newer term than the one in which it wrote: that stays known, too.
  return role === 'standby' ? { ...before, instanceId } : { ...before, instanceId, term, role: 'quarantined' }
}

/** Nodes of an adopted cluster that are no plain standbys, for people: `a (quarantined, possible writer)`. */
export function keptStatuses(state: ClusterState): string[] {
  return Object.entries(state.nodes).flatMap(([id, { role, possibleWriter }]) => {
    if (id === state.primary || (role === 'standby' && possibleWriter === null)) return []
    return [`${id} (${role}${possibleWriter === null ? '' : ', possible writer'})`]
  })
}

/**
 * The claim after it was taken from its holder without a new operation: nobody's to act by. While it is open it stays
 * open, so that whoever claims next waits out what may still arrive (S4).
 */
export function takenClaim(claim: Claim | null, id: string): Claim | null {
  return claim?.open ? { ...claim, id, holder: `${claim.holder} (its claim was taken away)` } : null
}

/** A plan of which nothing has been done yet. */
export function freshPlan(
  state: ClusterState,
  wanted: Pick<Plan, 'kind' | 'reason' | 'by' | 'automatic' | 'to' | 'returnTo' | 'facts' | 'from'>,
): Plan {
  return {
    ...wanted,
    fromTimeline: state.timeline,
    looks: { asked: 0, dead: 0, silent: 0, restart: 0 },
    frozen: {},
    writeStop: null,
    network: {},
    evidence: [],
    fenceRequested: [],
    target: null,
    targetPositionBytes: null,
    loss: null,
    promotedTimeline: null,
  }
}

/** Nodes that were primary or target in any term and have not been shown harmless since (S1). */
export function possibleWriters(state: ClusterState): NodeId[] {
  return Object.keys(state.nodes).filter((id) => state.nodes[id]?.possibleWriter !== null)
}

/** The statuses with some nodes changed. Nodes that are not in the state are left alone. */
export function withNodes(
  state: ClusterState,
  patches: Readonly<Record<NodeId, Partial<NodeStatus>>>,
): ClusterState['nodes'] {
  const nodes: Record<NodeId, NodeStatus> = { ...state.nodes }
  for (const [id, patch] of Object.entries(patches)) {
    const before = nodes[id]
    if (before) nodes[id] = { ...before, ...patch }
  }
  return nodes
}

/** Evidence of this term for one node; evidence of older terms never counts (S2). */
export function evidenceFor(plan: Plan, node: NodeId, term: number): Evidence | undefined {
  return plan.evidence.find((evidence) => evidence.node === node && evidence.term === term)
}

/** Possible writers other than `except` for which this term has no evidence yet. */
export function unproven(state: ClusterState, plan: Plan, except: NodeId | null): NodeId[] {
  return possibleWriters(state).filter((id) => id !== except && !evidenceFor(plan, id, state.term))
}

/**
 * Nodes that can not feed `writer` although they are not frozen: they were promoted themselves onto a newer timeline
 * than the one that the writer writes on ("highest timeline 1 of the primary is behind recovery timeline 2").
 */
export function beyondReachOf(state: ClusterState, writer: NodeId): NodeId[] {
  const timeline = state.nodes[writer]?.possibleWriter?.timeline
  if (timeline === undefined) return []
  return Object.keys(state.nodes).filter((id) => {
    const other = state.nodes[id]?.possibleWriter
    return id !== writer && other !== null && other !== undefined && other.timeline > timeline
  })
}

/** The statuses and the set after `target` was seen writable on `timeline`. The old primary is quarantined. */
export function promotedNodes(
  state: ClusterState,
  plan: Plan,
  args: {
    target: NodeId
    timeline: number
    set: SynchronousSet
    diverged: readonly NodeId[]
    following: readonly NodeId[]
  },
): ClusterState['nodes'] {
  const patches: Record<NodeId, Partial<NodeStatus>> = {}
  for (const [id, status] of Object.entries(state.nodes)) {
    if (id === args.target) {
      patches[id] = {
        role: 'primary',
        term: state.term,
        possibleWriter: { term: state.term, timeline: args.timeline, synchronous: args.set },
        fenced: false,
        rejoin: 'none',
      }
    } else if (args.following.includes(id)) patches[id] = { role: 'standby', term: state.term }
    else if (args.diverged.includes(id)) patches[id] = { role: 'diverged', term: state.term }
    else if (status.possibleWriter !== null) {
      patches[id] = { role: 'quarantined', term: state.term, rejoin: 'none' }
    } else if (status.role !== 'rebuilding') {
      // Neither frozen nor followed: it was away. Settle looks at what it is when it shows up.
      patches[id] = { role: plan.frozen[id] ? 'frozen' : 'standby', term: state.term }
    }
  }
  return withNodes(state, patches)
}
