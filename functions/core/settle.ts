/**
 * What is left to do after writes are back: unfinished fences first, then followers, the rejoin of the old primary,
 * the synchronous list (design, section 6). A pass looks, asks here, acts, and ends; `settleRows` is its table.
 *
 * S9: the recorded set must cover every commit that may have been acknowledged, at every moment of a change.
 */
import { formatSynchronousNames, parseSynchronousNames, readSynchronousSet } from './synchronous.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type {
  ClusterConfig,
  ClusterState,
  NodeClass,
  NodeId,
  NodeStatus,
  ProbeRow,
  SynchronousSet,
} from './types.ts'

export interface SettleFacts {
  readonly cluster: ClusterConfig
  readonly state: ClusterState
  /** Class and row of each node that a quorum of the observers agrees on, in this pass's newest look. */
  readonly seen: Readonly<Record<NodeId, { readonly class: NodeClass; readonly row: ProbeRow | null }>>
  /** The primary's row of the look before: a set counts when two looks agree. */
  readonly primaryBefore: ProbeRow | null
  /** The standbys' rows of the look before: what they had then, the primary must have now (T22). */
  readonly standbysBefore?: Readonly<Record<NodeId, ProbeRow | null>>
  /** State and private address of the instances, by their ids. */
  readonly instances: Readonly<Record<string, { readonly state: string; readonly address: string | null }>>
}

export type SettleTask = {
  readonly row: string
  readonly reason: string
  /** What the row was chosen by, for the event (H22). */
  readonly facts: SettleNodeFacts | SetFacts | InstanceFacts
} & (
  | { readonly do: 'fence'; readonly node: NodeId }
  | { readonly do: 'fenced'; readonly node: NodeId }
  | { readonly do: 'harmless'; readonly node: NodeId }
  | { readonly do: 'halt' }
  | { readonly do: 'alarm' }
  | { readonly do: 'follow'; readonly node: NodeId; readonly applicationName: string }
  | { readonly do: 'start'; readonly node: NodeId }
  | { readonly do: 'rejoin'; readonly node: NodeId }
  | { readonly do: 'joined'; readonly node: NodeId }
  | { readonly do: 'diverged'; readonly node: NodeId }
  | { readonly do: 'identify'; readonly node: NodeId; readonly instanceId: string }
  | { readonly do: 'recordSet'; readonly set: SynchronousSet }
  | {
      readonly do: 'list'
      readonly names: string
      readonly order: ListOrder
      readonly set: SynchronousSet
    }
)

/** Which comes first when the list changes: the record, or the setting; or neither is safe without an interlude. */
export type ListOrder = 'recordFirst' | 'applyFirst' | 'unknownFirst'

/** Application name of a standby: its id when it may be listed, else one that no list carries. */
export function followName(node: NodeId, mayBeListed: boolean): string {
  return mayBeListed ? node : `${node}_unlisted`
}

/** Of one node that is not the primary. Flat: every value stands for itself in an event. */
export type SettleNodeFacts = {
  readonly node: NodeId
  readonly primary: NodeId
  readonly term: number
  readonly role: NodeStatus['role']
  readonly writer: boolean
  readonly fenced: boolean
  readonly rejoin: NodeStatus['rejoin']
  /** Promoted by nobody since it was told to follow in a newer term than the one in which it could write (S2). */
  readonly followed: boolean
  readonly sees: NodeClass
  readonly answers: boolean
  readonly out: boolean
  readonly timeline: number | null
  readonly ownTimeline: number
  /** In recovery, unfrozen, fed by the primary on its timeline. */
  readonly streaming: boolean
  readonly frozen: boolean
  readonly frozenForTerm: boolean
  /** Its receiver is pointed at the primary, whether or not it streams. */
  readonly connects: boolean
  /** By two looks it has log that the primary does not have. */
  readonly errant: boolean
  /** Standbys that stream from it. */
  readonly feeds: readonly string[]
  readonly recorded: boolean
  readonly instance: string
  readonly rejoins: boolean
  readonly policy: string
  /** The primary sees its name, or the one that no list carries. */
  readonly named: boolean
  readonly unlisted: boolean
}

type SettleDoes =
  | 'halt'
  | 'harmless'
  | 'fenced'
  | 'fence'
  | 'start'
  | 'rejoin'
  | 'joined'
  | 'diverged'
  | 'follow'
  | 'rename'
  | 'left'
  | 'nothing'

const isRejoining = (f: SettleNodeFacts) => ['quarantined', 'diverged', 'rebuilding'].includes(f.role)
const isStandby = (f: SettleNodeFacts) => !isRejoining(f) && f.sees === 'recovery' && f.answers
/**
 * S11: a quarantined node that shows up writable is fenced again, however far its fence or its rejoin had come. A
 * switchover's old primary is in recovery and frozen for this term: evidence of its own, no power fence needed.
 */
const needsFence = (f: SettleNodeFacts) =>
  f.writer && (f.out || !(f.fenced || f.rejoin !== 'none' || f.followed))
const isStopped = (f: SettleNodeFacts) => f.recorded && f.instance === 'stopped'

const nodeRows: readonly Row<SettleNodeFacts, SettleDoes>[] = [
  {
    id: 'T1',
    when: 'a possible writer is writable on a newer timeline than ours',
    test: (f) => f.writer && f.out && (f.timeline ?? 0) > f.ownTimeline,
    does: 'halt',
    reason: '{node}: a possible writer is writable on a newer timeline than ours',
  },
  {
    id: 'T2',
    when: 'a possible writer streams from the primary on its timeline',
    test: (f) => f.writer && f.streaming,
    does: 'harmless',
    reason: '{node}: a possible writer streams from the primary on its timeline',
  },
  {
    // Stopped while it answers: the instance is not this node's (H02). Asking for its stop again would prove nothing.
    id: 'T13',
    when: 'a possible writer is out of recovery although its instance is stopped',
    test: (f) => needsFence(f) && isStopped(f) && f.out,
    does: 'left',
    reason: 'it is out of recovery although its recorded instance is stopped: stop it by hand, then adopt',
  },
  {
    id: 'T3',
    when: 'the instance of a possible writer is stopped',
    test: (f) => needsFence(f) && isStopped(f),
    does: 'fenced',
    reason: '{node}: the instance of a possible writer is stopped',
  },
  {
    id: 'T14',
    when: 'the instance of a possible writer is on its way down',
    test: (f) => needsFence(f) && !f.frozenForTerm && ['stopping', 'shutting-down'].includes(f.instance),
    does: 'left',
    reason: 'its power fence is under way',
  },
  {
    id: 'T4',
    when: 'a possible writer is neither fenced nor following, and its instance is not stopping',
    test: (f) => needsFence(f) && !f.frozenForTerm && f.recorded,
    does: 'fence',
    reason: '{node}: a possible writer is neither fenced nor following, and its instance is not stopping',
  },
  {
    id: 'T7',
    when: 'a rejoining node streams on the current timeline',
    test: (f) => isRejoining(f) && f.streaming,
    does: 'joined',
    reason: '{node}: a rejoining node streams on the current timeline',
  },
  {
    id: 'T22',
    when: 'a standby that does not stream has log that the primary does not have, by two looks',
    test: (f) => isStandby(f) && !f.streaming && f.errant,
    does: 'diverged',
    reason: '{node}: a standby that does not stream has log that {primary} does not have',
  },
  {
    id: 'T8',
    when: 'a standby is frozen, or does not stream from the primary',
    test: (f) =>
      (f.role === 'quarantined' && f.frozenForTerm) ||
      (isStandby(f) && !f.streaming && !(f.connects && !f.frozen)),
    does: 'follow',
    reason: '{node}: a standby is frozen, or does not stream from the primary',
  },
  {
    id: 'T15',
    when: 'a fenced or diverged node, and the policy or the missing host access leaves its rejoin to a person',
    test: (f) => isRejoining(f) && !f.rejoins,
    does: 'left',
    reason: '{role}: rebuild it by hand (policy rejoin: {policy})',
  },
  {
    id: 'T5',
    when: 'a fenced or diverged node may rejoin and its instance is stopped',
    test: (f) => isRejoining(f) && isStopped(f),
    does: 'start',
    reason: '{node}: a fenced or diverged node may rejoin and its instance is stopped',
  },
  {
    id: 'T6',
    when: 'the instance of a rejoining node runs and its server does not stream',
    test: (f) => isRejoining(f) && f.recorded && f.instance === 'running',
    does: 'rejoin',
    reason: '{node}: the instance of a rejoining node runs and its server does not stream',
  },
  {
    id: 'T16',
    when: 'the instance of a rejoining node is on its way, or not known',
    test: isRejoining,
    does: 'left',
    reason: '{role}: its instance is {instance}',
  },
  {
    id: 'T17',
    when: 'a standby does not answer as one',
    test: (f) => !isStandby(f),
    does: 'left',
    reason: 'a standby that is {sees}',
  },
  {
    id: 'T18',
    when: 'a standby is pointed at the primary and does not stream yet',
    test: (f) => !f.streaming,
    does: 'left',
    reason: 'a standby that is connecting',
  },
  {
    id: 'T9',
    when: 'a standby streams under a name outside the list',
    test: (f) => !f.named && f.unlisted,
    does: 'rename',
    reason: '{node}: a standby streams under a name outside the list',
  },
  {
    id: 'T19',
    when: 'a standby streams',
    test: () => true,
    does: 'nothing',
    reason: '{node} streams from {primary}',
  },
]

export const settleNodeBy = (facts: SettleNodeFacts) => firstMatch(nodeRows, facts)

/** S2: until the power fence has evidence, no counted standby may feed the old primary. */
const alarmRow: Row<SettleNodeFacts, 'alarm'> = {
  id: 'T0',
  when: 'a standby feeds on a possible writer that only a quorum holds',
  test: (f) => f.writer && !f.fenced && f.out && f.feeds.length > 0,
  does: 'alarm',
  reason:
    'TWO WRITERS POSSIBLE: {feeds} streams from {node}, which is out of recovery on timeline {timeline}; stop it by hand if its power fence does not end at once',
}

export const isAlarm = (facts: SettleNodeFacts) => alarmRow.test(facts)

/**
 * Of the primary's synchronous list. `wanted`: the list that a managed one should be; null: it is. `held`: what was
 * acknowledged before the list was in force is on as many of its standbys as it wants, too.
 */
export type SetFacts = {
  readonly seen: SynchronousSet
  readonly seenBefore: SynchronousSet
  readonly recorded: SynchronousSet
  readonly managed: boolean
  readonly wanted: SynchronousSet | null
  readonly held: boolean
}

const setRows: readonly Row<SetFacts, 'recordSet' | 'list' | 'left' | 'nothing'>[] = [
  {
    id: 'T20',
    when: 'two looks do not agree on the synchronous set',
    test: (f) => !sameSet(f.seen, f.seenBefore),
    does: 'nothing',
    reason: 'two looks do not agree on the synchronous set',
  },
  {
    id: 'T10',
    when: 'two looks agree on a synchronous set that differs from the record, and it holds what was acknowledged before it',
    test: (f) => !sameSet(f.seen, f.recorded) && (f.seen.status !== 'provable' || f.held),
    does: 'recordSet',
    reason: 'two looks agree on a synchronous set that differs from the record',
  },
  {
    id: 'T11',
    when: 'the managed list lacks a standby that streams',
    test: (f) => f.managed && f.wanted !== null,
    does: 'list',
    reason: 'the managed list lacks a standby that streams',
  },
  {
    id: 'T23',
    when: 'the synchronous set differs from the record, and what was acknowledged before it may be on nobody of it',
    test: (f) => !sameSet(f.seen, f.recorded),
    does: 'left',
    reason: 'the synchronous list is not seen to hold yet what was acknowledged before it',
  },
  {
    id: 'T21',
    when: 'the synchronous set is the recorded one, and nothing is missing in it',
    test: () => true,
    does: 'nothing',
    reason: 'the synchronous set is the recorded one, and nothing is missing in it',
  },
]

export const setBy = (facts: SetFacts) => firstMatch(setRows, facts)

export type InstanceFacts = {
  readonly node: NodeId
  readonly sees: NodeClass
  readonly recorded: string | null
  readonly configured: string
  readonly instance: string | null
  /** An instance at another address is not the one that this node's probes reach (H02). */
  readonly isThere: boolean
}

/** Of each node, beside its own row: what a fence will be aimed at (S2). */
const instanceRow: Row<InstanceFacts, 'identify'> = {
  id: 'T12',
  when: 'a healthy node runs on an instance that is not recorded',
  test: (f) =>
    (f.sees === 'writable' || f.sees === 'recovery') &&
    f.recorded !== f.configured &&
    f.instance === 'running' &&
    f.isThere,
  does: 'identify',
  reason: '{node}: a healthy node runs on an instance that is not recorded',
}

export const isUnrecorded = (facts: InstanceFacts) => instanceRow.test(facts)

/** The table as it decides, for the docs: first the rows of each node, then those of the list and of the instances. */
export const settleRows = [
  ...listRows([alarmRow]),
  ...listRows(nodeRows),
  ...listRows(setRows),
  ...listRows([instanceRow]),
]

/** Work of this pass, in the order in which it is to be done, and what is left that this pass can not do. */
export function settleWork(facts: SettleFacts): { tasks: SettleTask[]; left: string[] } {
  const tasks: SettleTask[] = []
  const left: string[] = []
  for (const [id, status] of Object.entries(facts.state.nodes)) {
    if (id === facts.state.primary || isGone(facts.cluster, id, status)) continue
    const node = nodeFacts(facts, id, status)
    if (isAlarm(node))
      tasks.push({ row: alarmRow.id, reason: fill(alarmRow.reason, node), facts: node, do: 'alarm' })
    const row = settleNodeBy(node)
    const reason = fill(row.reason, node)
    if (row.does === 'left') left.push(`${id}: ${reason}`)
    const task = nodeTask(facts, { row: row.id, does: row.does, reason, facts: node })
    if (task) tasks.push(task)
  }
  tasks.sort((a, b) => rank(a.row) - rank(b.row))
  const list = setTask(facts)
  if (list?.do === 'left') left.push(list.reason)
  else if (list) tasks.push(list)
  tasks.push(...identifyTasks(facts))
  if (facts.seen[facts.state.primary]?.class !== 'writable') {
    left.push(`${facts.state.primary}: the primary is ${facts.seen[facts.state.primary]?.class ?? 'unknown'}`)
  }
  if (facts.state.synchronous.status === 'unknown') left.push('the synchronous set is unknown')
  return { tasks, left }
}

/** A healthy node whose instance runs, and is not the one that the state knows. */
function identifyTasks({ cluster, state, seen, instances }: SettleFacts): SettleTask[] {
  return cluster.nodes.flatMap((node): SettleTask[] => {
    const instance = instances[node.instanceId]
    const facts: InstanceFacts = {
      node: node.id,
      sees: seen[node.id]?.class ?? 'unknown',
      recorded: state.nodes[node.id]?.instanceId ?? null,
      configured: node.instanceId,
      instance: instance?.state ?? null,
      isThere: instance !== undefined && (instance.address === null || instance.address === node.address),
    }
    if (!isUnrecorded(facts)) return []
    const { id: row, reason } = instanceRow
    const told = { row, reason: fill(reason, facts), facts }
    return [{ do: 'identify', node: node.id, instanceId: node.instanceId, ...told }]
  })
}

const rank = (row: string) => Number(row.slice(1))

function nodeFacts(facts: SettleFacts, id: NodeId, status: NodeStatus): SettleNodeFacts {
  const { cluster, state, instances } = facts
  const seen = facts.seen[id]
  const row = seen?.row ?? null
  const feeds = (row?.downstream ?? []).filter((each) => each.state === 'streaming')
  const names = facts.seen[state.primary]?.row?.downstream.map((each) => each.applicationName) ?? []
  return {
    node: id,
    primary: state.primary,
    term: state.term,
    role: status.role,
    writer: status.possibleWriter !== null,
    fenced: status.fenced,
    rejoin: status.rejoin,
    followed: hasFollowed(status),
    sees: seen?.class ?? 'unknown',
    answers: row !== null,
    out: row !== null && !row.inRecovery,
    timeline: row?.timeline ?? null,
    ownTimeline: state.timeline,
    streaming: streams(facts, row),
    frozen: row !== null && row.frozenBy !== null,
    frozenForTerm: row?.inRecovery === true && row.frozenBy?.term === state.term,
    connects: row !== null && row.upstream !== null && isAddressOf(cluster, state.primary, row.upstream),
    errant: row !== null && hasErrantLog(facts, id, row),
    feeds: feeds.map((each) => each.applicationName),
    recorded: status.instanceId !== null,
    instance: (status.instanceId === null ? undefined : instances[status.instanceId]?.state) ?? 'not known',
    rejoins: cluster.policy.rejoin !== 'never' && cluster.host !== null,
    policy: cluster.policy.rejoin,
    named: names.includes(id),
    unlisted: names.includes(followName(id, false)),
  }
}

function nodeTask(
  { state }: SettleFacts,
  found: { row: string; does: SettleDoes; reason: string; facts: SettleNodeFacts },
): SettleTask | undefined {
  const { row, does, reason, facts } = found
  const { node } = facts
  const told = { row, reason, facts }
  switch (does) {
    case 'left':
    case 'nothing':
      return undefined
    case 'halt':
      return { ...told, do: does }
    case 'follow': {
      const mayBeListed = !isRejoining(facts) && state.synchronous.listed.includes(node)
      return { ...told, do: 'follow', node, applicationName: followName(node, mayBeListed) }
    }
    case 'rename':
      return { ...told, do: 'follow', node, applicationName: followName(node, true) }
    default:
      return { ...told, do: does, node }
  }
}

function streams({ cluster, state }: SettleFacts, row: ProbeRow | null): boolean {
  return streamsFrom(cluster, state.primary, state.timeline, row)
}

/** Does this row show a standby that streams from the primary, on its timeline? The proof that it is harmless (S2). */
export function streamsFrom(
  cluster: ClusterConfig,
  primary: NodeId,
  timeline: number,
  row: ProbeRow | null,
): boolean {
  return (
    row?.inRecovery === true &&
    row.frozenBy === null &&
    row.upstream !== null &&
    row.upstream.status === 'streaming' &&
    row.upstream.timeline === timeline &&
    isAddressOf(cluster, primary, row.upstream)
  )
}

function isAddressOf(
  cluster: ClusterConfig,
  id: NodeId,
  { host, port }: { host: string; port: number },
): boolean {
  const node = cluster.nodes.find((each) => each.id === id)
  return node !== undefined && node.address === host && node.port === port
}

/**
 * S2: seen following a primary of a newer term than the one in which it could write. promote records that: it found
 * the node in recovery and frozen for its term, and saw the new upstream in force. Without this a former primary that
 * goes silent, or has not connected yet, would lose its power for nothing. It stays a possible writer until T2.
 */
function hasFollowed({ role, term, possibleWriter }: NodeStatus): boolean {
  return role === 'standby' && possibleWriter !== null && term > possibleWriter.term
}

/**
 * Log that the primary does not have: nothing comes from it (F63), and a commit that this standby acknowledged would be
 * one that it does not have (H03b). The primary's position is read after the standby's, so that log which was on its way
 * between two probes looks like no such thing.
 */
function hasErrantLog({ state, seen, standbysBefore }: SettleFacts, id: NodeId, row: ProbeRow): boolean {
  const before = standbysBefore?.[id] ?? null
  const primary = seen[state.primary]?.row ?? null
  if (before === null || primary === null || primary.inRecovery || !before.inRecovery) return false
  return [before, row].every((each) => isAheadOf(state, each, primary))
}

/** On the primary's timeline further than it, on a newer one, or on that before the last promotion and beyond the fork. */
export function isAheadOf(
  { plan, timeline }: Pick<ClusterState, 'plan' | 'timeline'>,
  standby: ProbeRow,
  primary: ProbeRow,
): boolean {
  if (standby.timeline === primary.timeline) return standby.positionBytes > primary.positionBytes
  if (standby.timeline > primary.timeline) return true
  const forkBytes = plan?.promotedTimeline === timeline ? plan.targetPositionBytes : null
  return forkBytes !== null && standby.timeline === plan?.fromTimeline && standby.positionBytes > forkBytes
}

/** No node of the configuration any more: nothing is left to do with it (F74), unless it may still be a writer (S1). */
export function isGone(cluster: ClusterConfig, id: NodeId, { possibleWriter }: NodeStatus): boolean {
  return possibleWriter === null && !cluster.nodes.some((node) => node.id === id)
}

/** T10 and T11: the record first follows what two looks agree on, then the list follows who streams. */
function setTask(
  facts: SettleFacts,
): SettleTask | { readonly do: 'left'; readonly reason: string } | undefined {
  const { cluster, state } = facts
  const row = facts.seen[state.primary]?.row ?? null
  if (row === null || facts.primaryBefore === null || row.inRecovery) return undefined
  const seen = readSynchronousSet(cluster, state.primary, row)
  const wanted = wantedList(facts, seen, row)
  const { synchronous: recorded } = state
  const known: SetFacts = {
    seen,
    seenBefore: readSynchronousSet(cluster, state.primary, facts.primaryBefore),
    recorded,
    held: isHeld(seen, facts.primaryBefore, row),
    managed: cluster.policy.synchronous === 'managed',
    wanted:
      wanted === undefined ? null : { ...seen, ...wanted, status: 'provable', method: 'ANY', reasons: [] },
  }
  const { id, does, reason } = setBy(known)
  const told = { row: id, reason, facts: known }
  if (does === 'recordSet') return { do: 'recordSet', set: seen, ...told }
  if (does === 'left') return { do: 'left', reason }
  if (does === 'nothing' || known.wanted === null) return undefined
  const next = known.wanted
  const order = sameSet(seen, recorded) ? listOrder(seen, next) : unrecordedOrder(recorded)
  return { do: 'list', names: next.names, set: next, order, ...told }
}

/** Neither set is known to hold everything: nothing is provable until the new one is seen to. */
const unrecordedOrder = (recorded: SynchronousSet): ListOrder =>
  recorded.status === 'provable' ? 'unknownFirst' : 'applyFirst'

/**
 * S9: a list says nothing of the commits from before it. It holds them when a commit returned under it, and as many of
 * its standbys as it wants have flushed what the primary had in the look before, in which it was in force already.
 */
function isHeld(set: SynchronousSet, before: ProbeRow, row: ProbeRow): boolean {
  const holders = row.downstream.filter(
    ({ applicationName, flushedBytes }) =>
      set.listed.some((id) => id.toLowerCase() === applicationName.toLowerCase()) &&
      (flushedBytes ?? -1) >= before.positionBytes,
  )
  return row.writeProbe === 'ok' && holders.length >= set.k
}

function wantedList(
  facts: SettleFacts,
  set: SynchronousSet,
  row: ProbeRow,
): Pick<SynchronousSet, 'names' | 'k' | 'listed'> | undefined {
  const { state, cluster } = facts
  const streamingNames = row.downstream
    .filter((each) => each.state === 'streaming')
    .map((each) => each.applicationName)
  const joins = cluster.nodes
    .map((node) => node.id)
    .filter((id) => id !== state.primary && state.nodes[id]?.role === 'standby')
    .filter((id) => streamingNames.includes(id) && streams(facts, facts.seen[id]?.row ?? null))
  const listed = cluster.nodes
    .map((node) => node.id)
    .filter((id) => joins.includes(id) || (set.listed.includes(id) && state.nodes[id]?.role === 'standby'))
  // Fewer than k that stream would stop the commits: the list is only made longer by those who are there.
  const k = Math.min(cluster.policy.synchronousCount, Math.max(listed.length, 1))
  const inForce = parseSynchronousNames(set.names)
  // A name that is no node any more is none of `set.listed`, and keeps the list from being provable (F74).
  const isRight =
    inForce.kind === 'list' &&
    inForce.names.length === listed.length &&
    sameMembers(listed, set.listed) &&
    k === set.k &&
    set.method === 'ANY'
  if (listed.length === 0 || isRight) return undefined
  return { names: formatSynchronousNames(k, listed), k, listed }
}

const sameMembers = (a: readonly string[], b: readonly string[]) =>
  a.length === b.length && a.every((each) => b.includes(each))

export function sameSet(a: SynchronousSet, b: SynchronousSet): boolean {
  return (
    a.status === b.status &&
    a.method === b.method &&
    a.k === b.k &&
    a.primary === b.primary &&
    sameMembers(a.listed, b.listed)
  )
}

/**
 * The order of a change such that the recorded set covers every acknowledged commit at every moment. A set of frozen
 * nodes blocks a list when fewer than k of its members are left. Record first when whatever blocks the new list
 * blocks the old one too; apply first in the other case; when neither implies the other, record `unknown` in between.
 */
export function listOrder(before: SynchronousSet, after: SynchronousSet): ListOrder {
  if (before.status !== 'provable') return 'applyFirst'
  const members = [...new Set([...before.listed, ...after.listed])]
  let newBlocksOld = true
  let oldBlocksNew = true
  for (let bits = 0; bits < 2 ** members.length; bits++) {
    const frozen = members.filter((_, index) => (bits >> index) & 1)
    const old = blocks(before, frozen)
    const next = blocks(after, frozen)
    if (next && !old) newBlocksOld = false
    if (old && !next) oldBlocksNew = false
  }
  if (newBlocksOld) return 'recordFirst'
  return oldBlocksNew ? 'applyFirst' : 'unknownFirst'
}

function blocks(set: SynchronousSet, frozen: readonly NodeId[]): boolean {
  return set.listed.filter((id) => !frozen.includes(id)).length < set.k
}
