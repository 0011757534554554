/**
 * rds: what is left to do after the promotion. A replica of the old primary never comes over to the new one, so each
 * place is filled anew: the instance that has the name is renamed out of the way, a new replica of the new primary is made
 * under it. The old primary is stopped once no replica hangs on it, and never deleted.
 */

import {
  type IdentifyFacts,
  identifyRow,
  type NodeDoes,
  type NodeFacts,
  nodeBy,
  type ReplacedFacts,
  replacedBy,
} from './managedSettleRows.ts'
import {
  byIdentifier,
  byResource,
  isClosed,
  type Provider,
  type ProviderInstance,
  replicatesFrom,
} from './managedView.ts'
import { fill } from './table.ts'
import type {
  ClusterConfig,
  ClusterState,
  Finding,
  NodeClass,
  NodeConfig,
  NodeId,
  NodeStatus,
  ProbeRow,
  ReplacedInstance,
} from './types.ts'

export interface ManagedSettleInput {
  readonly cluster: ClusterConfig
  readonly state: ClusterState
  /** Class and row of each node that a quorum of the observers agrees on, in this pass's newest look. */
  readonly seen: Readonly<Record<NodeId, { readonly class: NodeClass; readonly row: ProbeRow | null }>>
  readonly provider: Provider
  /** An approval of the term is in force. */
  readonly approved: boolean
  /** Metrics that alarms watch, by DB instance identifier; null: they could not be read, or nobody asks. */
  readonly alarms: ReadonlyMap<string, readonly string[]> | null
}

export type ManagedTask = {
  readonly row: string
  readonly reason: string
  /** What the row was chosen by, for the event (H22). */
  readonly facts: NodeFacts | ReplacedFacts | IdentifyFacts
} & (
  | { readonly do: 'halt'; readonly node: NodeId }
  | { readonly do: 'fence'; readonly node: NodeId }
  | { readonly do: 'identify'; readonly node: NodeId; readonly resourceId: string }
  | { readonly do: 'joined'; readonly node: NodeId; readonly resourceId: string }
  | {
      readonly do: 'rename'
      readonly node: NodeId
      readonly resourceId: string
      readonly was: ReplacedInstance['was']
      readonly identifier: string
      readonly to: string
    }
  | {
      readonly do: 'create'
      readonly node: NodeId
      readonly source: ProviderInstance
      /** Present identifier of what it replaces, as whose settings it gets; null: that is gone. */
      readonly like: string | null
      readonly groupIds: readonly string[] | null
      readonly instanceClass: string | null
    }
  | { readonly do: 'configure'; readonly node: NodeId; readonly identifier: string; readonly name: string }
  | { readonly do: 'restart'; readonly node: NodeId; readonly identifier: string }
  | {
      readonly do: 'delete' | 'stop' | 'close' | 'forget'
      readonly node: NodeId
      readonly resourceId: string
      readonly identifier: string
    }
)

export interface ManagedWork {
  readonly tasks: readonly ManagedTask[]
  readonly left: readonly string[]
  readonly findings: readonly Finding[]
}

/** Work of this pass in the order in which it is to be done, what it can not do, and what a person should know. */
export function managedSettleWork(input: ManagedSettleInput): ManagedWork {
  const tasks: ManagedTask[] = []
  const left: string[] = []
  const findings: Finding[] = []
  const { cluster, state } = input
  for (const node of cluster.nodes) {
    if (node.id === state.primary || !state.nodes[node.id]) continue
    const facts = nodeFacts(input, node)
    const row = nodeBy(facts)
    const reason = fill(row.reason, facts)
    if (row.does === 'left' || row.does === 'missing' || row.does === 'unapproved') left.push(reason)
    if (row.does === 'missing' || row.does === 'unapproved') findings.push(missing(node, row.does, reason))
    const task = nodeTask(input, { node, row: row.id, does: row.does, reason, facts })
    if (task) tasks.push(task)
  }
  for (const each of state.replaced) {
    const facts = replacedFacts(input, each)
    const row = replacedBy(facts)
    const reason = fill(row.reason, facts)
    if (row.does === 'left') left.push(reason)
    if (row.does === 'missing') findings.push(kept(each, reason))
    if (row.does === 'nothing' || row.does === 'left' || row.does === 'missing') continue
    const { node, resourceId } = each
    tasks.push({ row: row.id, reason, facts, do: row.does, node, resourceId, identifier: facts.name ?? '' })
  }
  tasks.push(...identifyTasks(input))
  tasks.sort((a, b) => Number(isFencing(b)) - Number(isFencing(a)))
  const primary = input.seen[state.primary]?.class ?? 'unknown'
  findings.push(...settingsFindings(input), ...closedFindings(input))
  if (primary === 'writable') return { tasks, left, findings }
  // Nothing is taken apart while the new primary is not there for sure.
  left.push(`${state.primary}: the primary is ${primary}`)
  const safe: readonly ManagedTask['do'][] = ['halt', 'fence', 'close', 'identify', 'joined', 'forget']
  return { tasks: tasks.filter((task) => safe.includes(task.do)), left, findings }
}

/** Unfinished fences come before anything else. */
const isFencing = (task: ManagedTask) => ['halt', 'fence', 'close'].includes(task.do)

function missing(node: NodeConfig, does: 'missing' | 'unapproved', message: string): Finding {
  return {
    key: `replica-${does}:${node.id}`,
    severity: 'warning',
    message,
    todo:
      does === 'unapproved'
        ? 'Run approve for the term that the message names.'
        : 'Do as the message says: until then the loss of the primary is worse.',
  }
}

function kept({ node }: ReplacedInstance, message: string): Finding {
  return {
    key: `replica-kept:${node}`,
    severity: 'info',
    message,
    todo: 'Turn its deletion protection off, then it is deleted; until then it is paid for.',
  }
}

function viewsOf({ provider, state }: ManagedSettleInput, node: NodeConfig) {
  const instances = provider.get(node.region) ?? null
  return {
    instances,
    recorded: byResource(instances, state.nodes[node.id]?.instanceId),
    held: byIdentifier(instances, node.instanceId),
  }
}

export function primaryViewOf({
  cluster,
  state,
  provider,
}: Pick<ManagedSettleInput, 'cluster' | 'state' | 'provider'>): ProviderInstance | null {
  const node = cluster.nodes.find((each) => each.id === state.primary)
  return node ? byResource(provider.get(node.region), state.nodes[node.id]?.instanceId) : null
}

function nodeFacts(input: ManagedSettleInput, node: NodeConfig): NodeFacts {
  const { state, seen, cluster } = input
  const status = state.nodes[node.id] as NodeStatus
  const { instances, recorded, held } = viewsOf(input, node)
  const primary = primaryViewOf(input)
  const row = seen[node.id]?.row ?? null
  const isSuccessor =
    held !== null &&
    held.resourceId !== status.instanceId &&
    replicatesFrom(held, primary) &&
    isAtAddress(node, held)
  const view = isSuccessor ? held : recorded
  return {
    node: node.id,
    primary: state.primary,
    role: status.role,
    term: state.term,
    identifier: node.instanceId,
    region: node.region,
    answers: instances !== null,
    newer: row !== null && !row.inRecovery && row.timeline > state.timeline,
    writer: status.possibleWriter !== null,
    fenced: status.fenced,
    closed: recorded !== null && node.closedGroupId !== null && isClosed(recorded, node.closedGroupId),
    resourceId: status.instanceId,
    recordedIdentifier: recorded?.identifier ?? null,
    recordedStatus: recorded?.status ?? null,
    follows: recorded !== null && replicatesFrom(recorded, primary),
    healthy: view !== null && isFollowing(cluster, state, { view, row }),
    sees: seen[node.id]?.class ?? 'unknown',
    heldBy: held?.resourceId ?? null,
    heldStatus: held?.status ?? null,
    isSuccessor,
    ...parameterGroupOf(input, node, { held, primary }),
    rebuild: cluster.policy.rebuild,
    approved: input.approved,
    renamedTo: renamed(node.instanceId, status.term),
    primaryStatus: primary?.status ?? null,
    primaryBackups: primary?.backupRetentionDays ?? 0,
  }
}

/**
 * RDS takes no parameter group for a new replica of PostgreSQL, and gives one in another Region the default of that
 * Region. One that somebody chose stays, whichever it is.
 */
function parameterGroupOf(
  input: ManagedSettleInput,
  node: NodeConfig,
  { held, primary }: { held: ProviderInstance | null; primary: ProviderInstance | null },
): Pick<NodeFacts, 'parameterGroup' | 'wantedGroup' | 'pendingReboot'> {
  const now = held?.parameterGroups[0] ?? null
  const before = predecessorOf(input, node)?.parameterGroups[0] ?? null
  const isDefault = (name: string | null) => name?.startsWith('default.') ?? true
  const isFar = primary !== null && primary.region !== node.region
  return {
    parameterGroup: now,
    wantedGroup: isFar && now !== null && isDefault(now) && !isDefault(before) ? before : null,
    pendingReboot: held?.pendingReboot ?? false,
  }
}

/** The instance that had the place before, under whatever name it has now. */
function predecessorOf(input: ManagedSettleInput, node: NodeConfig): ProviderInstance | null {
  const { instances, recorded } = viewsOf(input, node)
  return (
    recorded ??
    byResource(instances, input.state.replaced.findLast((each) => each.node === node.id)?.resourceId)
  )
}

/** S11: seen streaming on the current timeline, by SQL; RDS's own word for it is not enough, and its contrary is. */
function isFollowing(
  { managed }: ClusterConfig,
  state: ClusterState,
  { view, row }: { view: ProviderInstance; row: ProbeRow | null },
): boolean {
  if (row === null || !row.inRecovery || row.timeline !== state.timeline) return false
  if (view.replication !== null && !view.replication.normal) return false
  if (row.upstream !== null) return row.upstream.status === 'streaming'
  // Without a receiver to look at (MySQL), RDS has to say that it replicates.
  return managed?.family !== 'postgres' && view.replication?.normal === true
}

/** Where the instance goes that had the name: at most 63 characters, without two hyphens in a row. */
export function renamed(identifier: string, term: number): string {
  const suffix = `-t${term}`
  return `${identifier.slice(0, 63 - suffix.length).replace(/-+$/, '')}${suffix}`
}

function nodeTask(
  input: ManagedSettleInput,
  found: { node: NodeConfig; row: string; does: NodeDoes; reason: string; facts: NodeFacts },
): ManagedTask | undefined {
  const { node, row, does, reason, facts } = found
  const { recorded, held } = viewsOf(input, node)
  const status = input.state.nodes[node.id]
  switch (does) {
    case 'left':
    case 'missing':
    case 'unapproved':
    case 'nothing':
      return undefined
    case 'halt':
    case 'fence':
      return { row, reason, facts, do: does, node: node.id }
    case 'joined': {
      const isSuccessor = held !== null && replicatesFrom(held, primaryViewOf(input))
      const joined = isSuccessor ? held : recorded
      return joined
        ? { row, reason, facts, do: 'joined', node: node.id, resourceId: joined.resourceId }
        : undefined
    }
    case 'configure': {
      const { wantedGroup } = parameterGroupOf(input, node, { held, primary: primaryViewOf(input) })
      return held && wantedGroup
        ? {
            row,
            reason,
            facts,
            do: 'configure',
            node: node.id,
            identifier: held.identifier,
            name: wantedGroup,
          }
        : undefined
    }
    case 'restart':
      return held
        ? { row, reason, facts, do: 'restart', node: node.id, identifier: held.identifier }
        : undefined
    case 'rename':
      if (!recorded || !status) return undefined
      return {
        row,
        reason,
        facts,
        do: 'rename',
        node: node.id,
        resourceId: recorded.resourceId,
        // A target that was never promoted is still a replica.
        was: recorded.source === null ? 'primary' : 'replica',
        identifier: recorded.identifier,
        to: renamed(node.instanceId, status.term),
      }
    case 'create': {
      const source = primaryViewOf(input)
      return source
        ? { row, reason, facts, do: 'create', node: node.id, source, ...likeBefore(input, node, source) }
        : undefined
    }
  }
}

/**
 * Groups as configured, else those of the primary in the same Region, else those that it had itself, which a former
 * primary has no more. The rest as it was in this place.
 */
function likeBefore(input: ManagedSettleInput, node: NodeConfig, source: ProviderInstance) {
  const before = predecessorOf(input, node)
  const ofPrimary = source.region === node.region ? source.groups.map((each) => each.id) : null
  const own = (before?.groups ?? []).map((each) => each.id).filter((id) => id !== node.closedGroupId)
  return {
    like: before?.identifier ?? null,
    groupIds: node.groupIds ?? ofPrimary ?? (own.length > 0 ? own : null),
    instanceClass: before?.instanceClass ?? source.instanceClass,
  }
}

function replacedFacts(input: ManagedSettleInput, replaced: ReplacedInstance): ReplacedFacts {
  const { cluster, state, provider } = input
  const { node: id, resourceId, region } = replaced
  const instances = provider.get(region) ?? null
  const view = byResource(instances, resourceId)
  const node = cluster.nodes.find((each) => each.id === id)
  const status = state.nodes[id]
  const groupId = node?.closedGroupId ?? null
  return {
    node: id,
    resourceId,
    was: replaced.was,
    inService: Object.values(state.nodes).some((each) => each.instanceId === resourceId && isInPlace(each)),
    region,
    answers: instances !== null,
    name: view?.identifier ?? null,
    status: view?.status ?? null,
    succeeded: status !== undefined && isInPlace(status) && status.instanceId !== resourceId,
    closed: view !== null && groupId !== null && isClosed(view, groupId),
    hasGroup: groupId !== null,
    replicas: view?.replicas ?? [],
    renamed: view !== null && view.identifier !== node?.instanceId,
    protected: view?.deletionProtected ?? false,
    rebuild: cluster.policy.rebuild,
    writer: status?.possibleWriter != null && status.instanceId === resourceId,
  }
}

/** Its place is taken by an instance that is in service: what was there before is needed no more. */
function isInPlace({ role, instanceId }: NodeStatus): boolean {
  return instanceId !== null && (role === 'standby' || role === 'primary')
}

function identifyTasks(input: ManagedSettleInput): ManagedTask[] {
  return input.cluster.nodes.flatMap((node): ManagedTask[] => {
    const status = input.state.nodes[node.id]
    const seen = input.seen[node.id]
    const { held } = viewsOf(input, node)
    if (!status || !seen || held === null || !isIdentified(node, seen, held)) return []
    const isOurs =
      node.id === input.state.primary
        ? seen.class === 'writable'
        : status.role === 'standby' && seen.class === 'recovery' && replicatesFrom(held, primaryViewOf(input))
    if (!isOurs || status.instanceId === held.resourceId) return []
    const facts = { node: node.id, resourceId: held.resourceId, recorded: status.instanceId }
    const reason = fill(identifyRow.reason, facts)
    return [
      { row: identifyRow.id, reason, facts, do: 'identify', node: node.id, resourceId: held.resourceId },
    ]
  })
}

/** The instance that has the node's name is the one that its probes reach (H02). */
export function isIdentified(
  node: NodeConfig,
  seen: { readonly class: NodeClass },
  held: ProviderInstance | null,
): boolean {
  if (held === null || (seen.class !== 'writable' && seen.class !== 'recovery')) return false
  if (['creating', 'deleting', 'failed', 'stopped', 'renaming'].includes(held.status)) return false
  return isAtAddress(node, held)
}

/** H02: an instance at another address is not the one that this node's probes reach. */
export function isAtAddress(node: NodeConfig, { address, port }: ProviderInstance): boolean {
  const isThere = address === null || address === node.address || address === node.dnsName
  return isThere && (port === null || port === node.port)
}

// ---------------------------------------------------------------------------------------------------------------
// Settings that a promoted replica does not take over

/** A late answer to a switchover that backed out, or a person: the primary is cut off from its clients. */
function closedFindings(input: ManagedSettleInput): Finding[] {
  const node = input.cluster.nodes.find((each) => each.id === input.state.primary)
  const view = primaryViewOf(input)
  if (!node || view === null || node.closedGroupId === null || !isClosed(view, node.closedGroupId)) return []
  return [
    {
      key: `primary-closed:${node.id}`,
      severity: 'critical',
      message: `${node.id} is the primary, and ${node.closedGroupId}, which admits no client, is its only security group`,
      todo: 'Give the instance its own security groups back.',
    },
  ]
}

/** What the new primary lacks of what the old one had; the old one is known by its resource id. */
function settingsFindings(input: ManagedSettleInput): Finding[] {
  const { state, provider } = input
  const key = `settings-differ:${state.primary}`
  const own = state.nodes[state.primary]?.instanceId
  const old = state.replaced.findLast((each) => each.was === 'primary' && each.resourceId !== own)
  if (old === undefined) return []
  const instances = provider.get(old.region)
  const now = primaryViewOf(input)
  // Nothing is known now: what was found before stands.
  if (!instances || now === null) return state.findings.filter((each) => each.key === key)
  const before = byResource(instances, old.resourceId)
  if (before === null) return []
  const differences = [...settingsDiffer(before, now), ...alarmsMissing(input, old.node)]
  if (differences.length === 0) return []
  return [
    {
      key,
      severity: 'warning',
      message: `${state.primary} is not set up as the primary before it (${old.node}): ${differences.join('; ')}`,
      todo: 'Modify the new primary and make its alarms, or accept it by deleting the old one.',
    },
  ]
}

/** Alarms watch an identifier, and do not come over to the new primary: what watched the old one and nothing watches now. */
function alarmsMissing({ cluster, state, alarms }: ManagedSettleInput, oldNode: NodeId): string[] {
  const metricsOf = (id: NodeId) => {
    const identifier = cluster.nodes.find((node) => node.id === id)?.instanceId ?? ''
    return alarms?.get(identifier) ?? []
  }
  if (alarms === null || oldNode === state.primary) return []
  const present = metricsOf(state.primary)
  const missing = metricsOf(oldNode).filter((metric) => !present.includes(metric))
  return missing.length === 0 ? [] : [`no alarm watches its ${missing.join(', ')}`]
}

export function settingsDiffer(before: ProviderInstance, now: ProviderInstance): string[] {
  const differences: string[] = []
  const compare = (what: string, old: string, is: string) => {
    if (old !== is) differences.push(`${what} is ${is}, was ${old}`)
  }
  compare('backup retention', days(before), days(now))
  compare('Multi-AZ', onOff(before.multiAz), onOff(now.multiAz))
  compare('parameter group', names(before.parameterGroups), names(now.parameterGroups))
  compare('instance class', before.instanceClass ?? 'unknown', now.instanceClass ?? 'unknown')
  return differences
}

const days = ({ backupRetentionDays }: ProviderInstance) => `${backupRetentionDays} days`
const onOff = (value: boolean) => (value ? 'on' : 'off')
const names = (list: readonly string[]) => [...list].sort().join(', ') || 'none'
