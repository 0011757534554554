/**
 * What is left to do after writes are back: unfinished fences first, then followers, the rejoin of the old primary,
 * the synchronous list (design, section 6). A pass looks, asks here, acts, and ends; `settleRows` is its table.
 *
 * S9: the recorded set must cover every commit that may have been acknowledged, at every moment of a change.
 */
import { formatSynchronousNames, readSynchronousSet } from './synchronous.ts'
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
  /** State and private address of the instances, by their ids. */
  readonly instances: Readonly<Record<string, { readonly state: string; readonly address: string | null }>>
}

export type SettleTask = { readonly row: string; readonly reason: string } & (
  | { readonly do: 'fence'; readonly node: NodeId }
  | { readonly do: 'fenced'; readonly node: NodeId }
  | { readonly do: 'harmless'; readonly node: NodeId }
  | { readonly do: 'halt' }
  | { readonly do: 'alarm' }
  | { readonly do: 'follow'; readonly node: NodeId; readonly applicationName: string }
  | { readonly do: 'start'; readonly node: NodeId }
  | { readonly do: 'rejoin'; readonly node: NodeId }
  | { readonly do: 'joined'; readonly node: NodeId }
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

/** Names and meaning of the rows, in the order in which they are tried. */
export const settleRows = [
  {
    id: 'T1',
    when: 'a possible writer is writable on a newer timeline than ours',
    does: 'halt and page: our state may be older than the world',
  },
  {
    id: 'T0',
    when: 'a standby feeds on a possible writer that only a quorum holds',
    does: 'the loudest alarm: its commits may return; its power fence goes on',
  },
  {
    id: 'T2',
    when: 'a possible writer streams from the primary on its timeline',
    does: 'record it as harmless',
  },
  { id: 'T3', when: 'the instance of a possible writer is stopped', does: 'record the fence' },
  {
    id: 'T4',
    when: 'a possible writer is neither fenced nor following, and its instance is not stopping',
    does: 'request the power fence',
  },
  {
    id: 'T5',
    when: 'a fenced or diverged node may rejoin and its instance is stopped',
    does: 'start the instance; its server must not start by itself',
  },
  {
    id: 'T6',
    when: 'the instance of a rejoining node runs and its server does not stream',
    does: 'rewind or copy anew, then start as a standby',
  },
  { id: 'T7', when: 'a rejoining node streams on the current timeline', does: 'record it as a standby' },
  {
    id: 'T8',
    when: 'a standby is frozen, or does not stream from the primary',
    does: 'point it at the primary',
  },
  {
    id: 'T9',
    when: 'a standby streams under a name outside the list',
    does: 'give it its own name, so that it can be listed',
  },
  { id: 'T10', when: 'two looks agree on a synchronous set that differs from the record', does: 'record it' },
  { id: 'T11', when: 'the managed list lacks a standby that streams', does: 'list it' },
  {
    id: 'T12',
    when: 'a healthy node runs on an instance that is not recorded',
    does: 'record the instance id',
  },
] as const

const reasonOf = (id: (typeof settleRows)[number]['id']) =>
  settleRows.find((row) => row.id === id)?.when ?? id

/** Work of this pass, in the order in which it is to be done, and what is left that this pass can not do. */
export function settleWork(facts: SettleFacts): { tasks: SettleTask[]; left: string[] } {
  const tasks: SettleTask[] = []
  const left: string[] = []
  for (const [id, status] of Object.entries(facts.state.nodes)) {
    if (id === facts.state.primary) continue
    tasks.push(...alarms(facts, id, status))
    const task = nodeTask(facts, id, status)
    if (task?.do === 'left') left.push(`${id}: ${task.reason}`)
    else if (task) tasks.push(task)
  }
  tasks.sort((a, b) => rank(a.row) - rank(b.row))
  const list = setTask(facts)
  if (list) tasks.push(list)
  tasks.push(...identifyTasks(facts))
  if (facts.seen[facts.state.primary]?.class !== 'writable') {
    left.push(`${facts.state.primary}: the primary is ${facts.seen[facts.state.primary]?.class ?? 'unknown'}`)
  }
  if (facts.state.synchronous.status === 'unknown') left.push('the synchronous set is unknown')
  return { tasks, left }
}

/** A healthy node whose instance runs, and is not the one that the state knows: what a fence will be aimed at (S2). */
function identifyTasks(facts: SettleFacts): SettleTask[] {
  const tasks: SettleTask[] = []
  for (const node of facts.cluster.nodes) {
    const seen = facts.seen[node.id]?.class
    const healthy = seen === 'writable' || seen === 'recovery'
    if (!healthy || facts.state.nodes[node.id]?.instanceId === node.instanceId) continue
    const instance = facts.instances[node.instanceId]
    // An instance at another address is not the one that this node's probes reach (H02).
    const isThere = instance?.address === null || instance?.address === node.address
    if (instance?.state !== 'running' || !isThere) continue
    tasks.push({
      do: 'identify',
      node: node.id,
      instanceId: node.instanceId,
      row: 'T12',
      reason: `${node.id}: ${reasonOf('T12')}`,
    })
  }
  return tasks
}

const rank = (row: string) => Number(row.slice(1))

type NodeAnswer = SettleTask | { readonly do: 'left'; readonly reason: string } | undefined

function nodeTask(facts: SettleFacts, id: NodeId, status: NodeStatus): NodeAnswer {
  const seen = facts.seen[id] ?? { class: 'unknown' as const, row: null }
  const streaming = streams(facts, seen.row)
  const task = <T extends object>(row: (typeof settleRows)[number]['id'], rest: T) => ({
    row,
    reason: `${id}: ${reasonOf(row)}`,
    ...rest,
  })
  if (status.possibleWriter !== null) {
    if (seen.row && !seen.row.inRecovery && seen.row.timeline > facts.state.timeline)
      return task('T1', { do: 'halt' as const })
    if (streaming) return task('T2', { do: 'harmless' as const, node: id })
    const fence = fenceTask(facts, status, seen.row)
    if (fence === 'wait') return { do: 'left', reason: 'its power fence is under way' }
    if (fence === 'wrong') {
      return {
        do: 'left',
        reason:
          'it is out of recovery although its recorded instance is stopped: stop it by hand, then adopt',
      }
    }
    if (fence === 'T3') return task('T3', { do: 'fenced' as const, node: id })
    if (fence === 'T4') return task('T4', { do: 'fence' as const, node: id })
  }
  if (status.role === 'quarantined' || status.role === 'diverged' || status.role === 'rebuilding') {
    return rejoinTask(facts, id, status, streaming, task)
  }
  return followTask(facts, id, streaming, seen, task)
}

/** S2: until the power fence has evidence, no counted standby may feed the old primary. */
function alarms(facts: SettleFacts, id: NodeId, status: NodeStatus): SettleTask[] {
  const row = facts.seen[id]?.row
  if (status.possibleWriter === null || status.fenced || !row || row.inRecovery) return []
  const feeds = row.downstream
    .filter((each) => each.state === 'streaming')
    .map((each) => each.applicationName)
  if (feeds.length === 0) return []
  const reason = `TWO WRITERS POSSIBLE: ${feeds.join(', ')} ${feeds.length > 1 ? 'stream' : 'streams'} from ${id}, which is out of recovery on timeline ${row.timeline}; stop it by hand if its power fence does not end at once`
  return [{ row: 'T0', reason, do: 'alarm' }]
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

function fenceTask(
  facts: SettleFacts,
  status: NodeStatus,
  row: ProbeRow | null,
): 'T3' | 'T4' | 'wait' | 'wrong' | undefined {
  // S11: a quarantined node that shows up writable is fenced again, however far its fence or its rejoin had come.
  const isOut = row !== null && !row.inRecovery
  if (!isOut && (status.fenced || status.rejoin !== 'none' || hasFollowed(status))) return undefined
  const state = status.instanceId === null ? undefined : facts.instances[status.instanceId]?.state
  // Stopped while it answers: the instance is not this node's (H02). Asking for its stop again would prove nothing.
  if (state === 'stopped') return isOut ? 'wrong' : 'T3'
  // A switchover's old primary is in recovery and frozen for this term: evidence of its own, no power fence needed.
  if (row?.inRecovery === true && row.frozenBy?.term === facts.state.term) return undefined
  if (state === 'stopping' || state === 'shutting-down') return 'wait'
  return status.instanceId === null ? undefined : 'T4'
}

/**
 * S2: seen following a primary of a newer term than the one in which it could write. promote records that: it found
 * the node in recovery and frozen for its term, and saw the new upstream in force. Without this a former primary that
 * goes silent, or has not connected yet, would lose its power for nothing. It stays a possible writer until T2.
 */
function hasFollowed({ role, term, possibleWriter }: NodeStatus): boolean {
  return role === 'standby' && possibleWriter !== null && term > possibleWriter.term
}

type TaskMaker = <T extends object>(
  row: (typeof settleRows)[number]['id'],
  rest: T,
) => { row: string; reason: string } & T

function rejoinTask(
  facts: SettleFacts,
  id: NodeId,
  status: NodeStatus,
  streaming: boolean,
  task: TaskMaker,
): NodeAnswer {
  if (streaming) return task('T7', { do: 'joined' as const, node: id })
  const row = facts.seen[id]?.row ?? null
  if (status.role === 'quarantined' && row?.inRecovery && row.frozenBy?.term === facts.state.term) {
    return task('T8', { do: 'follow' as const, node: id, applicationName: followName(id, false) })
  }
  if (facts.cluster.policy.rejoin === 'never' || facts.cluster.host === null) {
    return {
      do: 'left',
      reason: `${status.role}: rebuild it by hand (policy rejoin: ${facts.cluster.policy.rejoin})`,
    }
  }
  const instance = status.instanceId === null ? undefined : facts.instances[status.instanceId]?.state
  if (instance === 'stopped') return task('T5', { do: 'start' as const, node: id })
  if (instance === 'running') return task('T6', { do: 'rejoin' as const, node: id })
  return { do: 'left', reason: `${status.role}: its instance is ${instance ?? 'not known'}` }
}

function followTask(
  facts: SettleFacts,
  id: NodeId,
  streaming: boolean,
  seen: { class: NodeClass; row: ProbeRow | null },
  task: TaskMaker,
): NodeAnswer {
  if (seen.class !== 'recovery' || seen.row === null)
    return { do: 'left', reason: `a standby that is ${seen.class}` }
  const mayBeListed = facts.state.synchronous.listed.includes(id)
  if (!streaming) {
    const follows =
      seen.row.upstream !== null && isAddressOf(facts.cluster, facts.state.primary, seen.row.upstream)
    if (follows && seen.row.frozenBy === null) return { do: 'left', reason: 'a standby that is connecting' }
    return task('T8', { do: 'follow' as const, node: id, applicationName: followName(id, mayBeListed) })
  }
  const names = facts.seen[facts.state.primary]?.row?.downstream.map((each) => each.applicationName) ?? []
  if (!names.includes(id) && names.includes(followName(id, false))) {
    return task('T9', { do: 'follow' as const, node: id, applicationName: followName(id, true) })
  }
  return undefined
}

/** T10 and T11: the record first follows what two looks agree on, then the list follows who streams. */
function setTask(facts: SettleFacts): SettleTask | undefined {
  const { cluster, state } = facts
  const row = facts.seen[state.primary]?.row ?? null
  if (row === null || facts.primaryBefore === null || row.inRecovery) return undefined
  const set = readSynchronousSet(cluster, state.primary, row)
  const before = readSynchronousSet(cluster, state.primary, facts.primaryBefore)
  if (!sameSet(set, before)) return undefined
  if (!sameSet(set, state.synchronous)) return { do: 'recordSet', set, row: 'T10', reason: reasonOf('T10') }
  if (cluster.policy.synchronous !== 'managed') return undefined
  const wanted = wantedList(facts, set, row)
  if (wanted === undefined) return undefined
  const next: SynchronousSet = { ...set, ...wanted, status: 'provable', method: 'ANY', reasons: [] }
  return {
    do: 'list',
    names: next.names,
    set: next,
    order: listOrder(set, next),
    row: 'T11',
    reason: reasonOf('T11'),
  }
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
  if (listed.length === 0 || (sameMembers(listed, set.listed) && k === set.k && set.method === 'ANY'))
    return undefined
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
