/**
 * The network fence of one node: the closed group alone and `active`, *then* a reboot that was seen (S2). A rule change
 * alone cuts no connection that is tracked; a reboot before the group is in force lets pools come back (H26). One row a
 * look; each act is recorded before, observed after, and asked for again only when it did not come about (S5).
 *
 * An old primary that still answers is drained on the way, in two parts, since nobody promises that its replicas still
 * receive behind the closed group. Before it: sessions are ended, and a candidate catches up. While the group changes:
 * who comes back is ended again. Behind it: the last sessions are ended, and the end of the log is compared.
 */
import { byResource, isChangingTo, isClosed, type ProviderInstance, takesChanges } from './managedView.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type { Approval, NetworkFence, NodeConfig, NodeId, ProbeRow } from './types.ts'

export interface ManagedFenceInput {
  readonly node: NodeConfig
  readonly term: number
  /** Resource id that was recorded while the node was healthy. */
  readonly resourceId: string | null
  /** `plan.network` of the node. */
  readonly fence: NetworkFence | null
  /** Instances of its Region; null: RDS does not answer there. */
  readonly instances: readonly ProviderInstance[] | null
  /** What any observer's look read of it; null: it answers nobody. */
  readonly row: ProbeRow | null
  /** Newest restart in the provider's own events: its time as text; '': there is none; null: they could not be read. */
  readonly restart: string | null
  readonly approval: Approval | null
  /** The old primary, whose last commits a candidate should have before it goes down. */
  readonly drains: boolean
  readonly switchover: boolean
  /** How far the furthest candidate has received the log of the old primary; null: none answers. */
  readonly candidateBytes: number | null
  /** Some candidate streams. */
  readonly receives: boolean
  /** Looks in a row, in this invocation, in which the requested reboot did not show. */
  readonly unseen: number
  /** Wait states of the step so far. */
  readonly waits: number
}

export type ManagedFenceFacts = {
  readonly node: NodeId
  readonly term: number
  readonly approvedBy: string | null
  readonly resourceId: string | null
  readonly groupId: string | null
  readonly region: string
  readonly answers: boolean
  readonly identifier: string
  readonly status: string | null
  readonly stopped: boolean
  readonly recorded: boolean
  readonly closedNow: boolean
  readonly closing: boolean
  readonly takesChanges: boolean
  readonly groups: readonly string[]
  readonly closedSeen: boolean
  readonly writable: boolean
  readonly drains: boolean
  readonly switchover: boolean
  readonly drainBegun: boolean
  readonly firstEndBytes: number | null
  readonly caughtUp: boolean
  readonly drainToBytes: number | null
  readonly drained: boolean
  readonly reached: boolean
  readonly missingBytes: number | null
  readonly missingSaid: boolean
  readonly stream: string
  readonly drainOver: boolean
  readonly reboot: NetworkFence['reboot']
  readonly restarted: boolean
  readonly unseenTooOften: boolean
}

/**
 * `accept`, `evidence`: there is the positive fact. `needApproval`: nothing can be done without a person; it is looked at
 * again all the same. `seen`, `closedSeen`, `drained`, `notDrained`, `recordIntent`, `drainIntent`: only the record
 * changes. `endFirst` ends sessions once while clients can come back, `keepOut` for as long as the next look takes,
 * `endSessions` behind the closed group until nobody is left.
 */
export type FenceDoes =
  | 'accept'
  | 'needApproval'
  | 'recordIntent'
  | 'evidence'
  | 'wait'
  | 'drainIntent'
  | 'endFirst'
  | 'closeGroup'
  | 'keepOut'
  | 'closedSeen'
  | 'seen'
  | 'endSessions'
  | 'drained'
  | 'notDrained'
  | 'backOut'
  | 'reboot'

export interface FenceAnswer {
  readonly does: FenceDoes
  readonly row: string
  readonly reason: string
  readonly facts: ManagedFenceFacts
}

/**
 * A candidate gets so many returns of the step, of ten seconds of looks each, for either part of the drain; one from
 * whose stream there is no sign gets one.
 */
const drainReturns = 3
const drainReturnsWithoutStream = 1
/** Looks without a sign of a reboot that was accepted, until it is asked for again. */
const unseenMost = 8

const rows: readonly Row<ManagedFenceFacts, FenceDoes>[] = [
  {
    id: 'X1',
    when: 'a person accepted that it is not fenced, for this term',
    test: (f) => f.approvedBy !== null,
    does: 'accept',
    reason: '{approvedBy} accepts in term {term} that {node} is not fenced',
  },
  {
    id: 'X2',
    when: 'no resource id was recorded while the node was healthy',
    test: (f) => f.resourceId === null,
    does: 'needApproval',
    reason:
      '{node}: no instance was recorded while it was healthy, so nothing can be fenced for sure: approve term {term} without its fence',
  },
  {
    id: 'X3',
    when: 'no closed group is configured',
    test: (f) => f.groupId === null,
    does: 'needApproval',
    reason:
      '{node}: no closed security group is configured: approve term {term} without its fence, or configure closedGroupId',
  },
  {
    id: 'X4',
    when: 'RDS does not answer in its Region',
    test: (f) => !f.answers,
    does: 'needApproval',
    reason:
      '{node}: RDS does not answer in {region}, so it can not be fenced now; tried again, or approve term {term} without its fence',
  },
  {
    id: 'X5',
    when: 'there is no instance with that resource id any more',
    test: (f) => f.status === null,
    does: 'needApproval',
    reason:
      '{node}: {resourceId} is not among the instances of {region}, whatever is called {identifier} now: that is no fence; approve term {term} without it',
  },
  {
    id: 'X6',
    when: 'the fence is not recorded, or for another instance or group, or was opened after it had been seen closed',
    test: (f) => !f.recorded || (f.closedSeen && !f.closedNow),
    does: 'recordIntent',
    reason: '{node}: {groupId} will be the only group of {resourceId} (now {groups})',
  },
  {
    id: 'X7',
    when: 'stopped behind the closed group: no session is left, and no client meets its next start',
    test: (f) => f.stopped && f.closedNow,
    does: 'evidence',
    reason: '{node}: {resourceId} is stopped, with {groupId} as its only group',
  },
  {
    id: 'X8',
    when: 'stopped with other groups, which can not be changed while it is stopped; RDS starts it after seven days',
    test: (f) => f.stopped,
    does: 'needApproval',
    reason:
      '{node}: {resourceId} is stopped with the groups {groups}, which RDS does not change while it is stopped: start it, or approve term {term} without its fence',
  },
  {
    id: 'X9',
    when: 'the change of the groups is under way, and the old primary answers: it is kept free of sessions until then',
    test: (f) => !f.closedNow && f.closing && f.drains && f.writable,
    does: 'keepOut',
    reason:
      '{node}: {groupId} is not yet the only group of {resourceId} (now {groups}); sessions that come back are ended until it is',
  },
  {
    id: 'X10',
    when: 'the change of the groups is under way',
    test: (f) => !f.closedNow && f.closing,
    does: 'wait',
    reason: '{node}: {groupId} is not yet the only group of {resourceId} (now {groups})',
  },
  {
    id: 'X11',
    when: 'its groups can not be changed now',
    test: (f) => !f.closedNow && !f.takesChanges,
    does: 'wait',
    reason: '{node}: {resourceId} is {status}, its groups can not be changed yet',
  },
  {
    id: 'X12',
    when: 'the old primary answers, or a switchover stops it: it is drained before its group is closed, which may cut its replicas off',
    test: (f) => !f.closedNow && f.drains && (f.switchover || f.writable) && !f.drainBegun,
    does: 'drainIntent',
    reason: '{node}: its sessions are ended and a candidate catches up, before {groupId} is its only group',
  },
  {
    id: 'X13',
    when: 'its sessions have not been ended yet',
    test: (f) => !f.closedNow && f.drains && f.writable && f.firstEndBytes === null && !f.drainOver,
    does: 'endFirst',
    reason: '{node} still answers: its sessions are ended, and the end of its log is read',
  },
  {
    id: 'X14',
    when: 'no candidate has caught up with that yet, or a switchover does not know it',
    test: (f) => !f.closedNow && f.drains && (f.switchover || f.writable) && !f.caughtUp && !f.drainOver,
    does: 'wait',
    reason:
      '{node}: no candidate has its log up to byte {firstEndBytes} yet{stream}; then its group is closed',
  },
  {
    id: 'X15',
    when: 'a switchover whose candidate does not catch up, or whose primary does not say where its log ends: nothing is closed',
    test: (f) => !f.closedNow && f.drains && f.switchover && !f.caughtUp,
    does: 'backOut',
    reason:
      'no candidate got the log of {node} up to byte {firstEndBytes} in time{stream}: its group was not closed',
  },
  {
    id: 'X16',
    when: 'the closed group is not its only one',
    test: (f) => !f.closedNow,
    does: 'closeGroup',
    reason: '{node}: {groupId} becomes the only group of {resourceId} (now {groups})',
  },
  {
    id: 'X17',
    when: 'closed, and what tells a later reboot from an earlier one is not recorded; nothing is under way',
    test: (f) => !f.closedSeen && f.takesChanges,
    does: 'closedSeen',
    reason: '{node}: {groupId} alone is active on {resourceId}; a reboot from here on ends the sessions',
  },
  {
    id: 'X18',
    when: 'closed, but something else is under way, perhaps an older reboot',
    test: (f) => !f.closedSeen,
    does: 'wait',
    reason: '{node}: {resourceId} is {status}; what happens from before its group was closed proves nothing',
  },
  {
    id: 'X19',
    when: 'a reboot was seen, and the instance is available again behind the closed group',
    test: (f) => f.reboot === 'seen' && f.takesChanges,
    does: 'evidence',
    reason: '{node}: {resourceId} was rebooted behind {groupId}, its only group',
  },
  {
    id: 'X20',
    when: 'a reboot was seen and is not over',
    test: (f) => f.reboot === 'seen',
    does: 'wait',
    reason: '{node}: {resourceId} is {status} after its reboot',
  },
  {
    id: 'X21',
    when: 'a reboot shows that began behind the closed group',
    test: (f) => f.restarted,
    does: 'seen',
    reason: '{node}: {resourceId} went down after {groupId} was its only group',
  },
  {
    id: 'X22',
    when: 'the old primary answers, and its sessions have not been ended',
    test: (f) => f.drains && f.writable && f.drainToBytes === null && !f.drainOver,
    does: 'endSessions',
    reason:
      '{node} still answers: its sessions are ended behind the closed group, and the end of its log is read',
  },
  {
    id: 'X23',
    when: 'a candidate has all that was committed before the sessions ended',
    test: (f) => f.drains && f.drainToBytes !== null && !f.drained && f.reached,
    does: 'drained',
    reason: 'a candidate has the log of {node} up to byte {drainToBytes}, where its sessions had ended',
  },
  {
    id: 'X24',
    when: 'no candidate has it yet, or a switchover does not know the end of the log yet',
    test: (f) => f.drains && (f.switchover || f.drainToBytes !== null) && !f.drained && !f.drainOver,
    does: 'wait',
    reason: '{node}: no candidate has its log up to its end (byte {drainToBytes}) yet{stream}',
  },
  {
    id: 'X25',
    when: 'a switchover whose candidate does not get everything, or whose primary does not say where its log ends',
    test: (f) => f.drains && f.switchover && !f.drained && f.drainOver && f.reboot === 'none',
    does: 'backOut',
    reason: 'no candidate got the log of {node} up to its end (byte {drainToBytes}) in time{stream}',
  },
  {
    id: 'X26',
    when: 'a failover whose candidate does not get everything: it goes on within what the policy lets it lose, and says so',
    test: (f) => f.drains && f.drainToBytes !== null && !f.drained && !f.missingSaid && f.reboot === 'none',
    does: 'notDrained',
    reason:
      '{node}: no candidate got its log up to its end (byte {drainToBytes}) in time{stream}: {missingBytes} bytes are missing to the furthest, and the policy decides about them',
  },
  {
    id: 'X27',
    when: 'a reboot was accepted and has not shown for many looks',
    test: (f) => f.reboot === 'requested' && f.takesChanges && f.unseenTooOften,
    does: 'reboot',
    reason: '{node}: the reboot of {resourceId} that was asked for does not show: asked for again',
  },
  {
    id: 'X28',
    when: 'a reboot was accepted and has not shown yet',
    test: (f) => f.reboot === 'requested',
    does: 'wait',
    reason: '{node}: the reboot of {resourceId} does not show yet (it is {status})',
  },
  {
    id: 'X29',
    when: 'closed, and no reboot was asked for since',
    test: (f) => f.takesChanges,
    does: 'reboot',
    reason: '{node}: {resourceId} is rebooted behind {groupId}, which ends every session',
  },
  {
    id: 'X30',
    when: 'closed, and it can not be rebooted now',
    test: () => true,
    does: 'wait',
    reason: '{node}: {resourceId} is {status} and can not be rebooted yet',
  },
]

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const managedFenceRows = listRows(rows)

export const fenceBy = (facts: ManagedFenceFacts) => firstMatch(rows, facts)

export function decideFence(input: ManagedFenceInput): FenceAnswer {
  const facts = readFacts(input)
  const row = fenceBy(facts)
  return { does: row.does, row: row.id, reason: fill(row.reason, facts), facts }
}

function readFacts(input: ManagedFenceInput): ManagedFenceFacts {
  const { node, fence, resourceId, instances, approval, row } = input
  const view = byResource(instances, resourceId)
  const groupId = node.closedGroupId
  const closedNow = view !== null && groupId !== null && isClosed(view, groupId)
  const { candidateBytes, receives } = input
  const firstEndBytes = fence?.firstEndBytes ?? null
  const drainToBytes = fence?.drainToBytes ?? null
  // A position of 0 is none: nothing is drained by it.
  const has = (end: number | null) => Boolean(end) && candidateBytes !== null && candidateBytes >= (end ?? 0)
  const isCutOff = candidateBytes !== null && !receives
  const returns = input.waits - (fence?.drainSince ?? 0)
  return {
    node: node.id,
    term: input.term,
    approvedBy: approval?.unfenced.includes(node.id) ? approval.by : null,
    resourceId,
    groupId,
    region: node.region,
    answers: instances !== null,
    identifier: node.instanceId,
    status: view?.status ?? null,
    stopped: view?.status === 'stopped',
    recorded: fence !== null && fence.resourceId === resourceId && fence.groupId === groupId,
    closedNow,
    closing: view !== null && groupId !== null && isChangingTo(view, [groupId]),
    takesChanges: view !== null && takesChanges(view.status),
    groups: view?.groups.map((each) => `${each.id} ${each.status}`) ?? [],
    closedSeen: fence?.closed ?? false,
    writable: row !== null && !row.inRecovery,
    drains: input.drains,
    switchover: input.switchover,
    drainBegun: fence !== null && fence.drainSince !== null,
    firstEndBytes,
    caughtUp: has(firstEndBytes),
    drainToBytes,
    drained: fence?.drained ?? false,
    reached: has(drainToBytes),
    missingBytes:
      drainToBytes === null || candidateBytes === null ? null : Math.max(0, drainToBytes - candidateBytes),
    missingSaid: fence !== null && fence.missingBytes !== null,
    stream: isCutOff ? ', and none of them receives' : '',
    drainOver: returns >= (isCutOff ? drainReturnsWithoutStream : drainReturns),
    reboot: fence?.reboot ?? 'none',
    restarted: fence !== null && hasRestarted(fence, view, row, input.restart),
    unseenTooOften: input.unseen >= unseenMost,
  }
}

/**
 * Signs of a reboot that began after the group was seen closed: another start of the server than the one that was
 * read then; a restart among the provider's events that was not there then; or `rebooting` seen after RDS accepted our
 * own request, which it does only of an instance that is not rebooting.
 */
function hasRestarted(
  fence: NetworkFence,
  view: ProviderInstance | null,
  row: ProbeRow | null,
  restart: string | null,
): boolean {
  const anotherStart =
    row !== null && fence.startedAtBefore !== null && row.startedAt !== fence.startedAtBefore
  const anotherEvent = Boolean(restart) && fence.restartBefore !== null && restart !== fence.restartBefore
  return anotherStart || anotherEvent || (fence.reboot === 'requested' && view?.status === 'rebooting')
}

const nothingSeen = {
  closed: false,
  startedAtBefore: null,
  restartBefore: null,
  reboot: 'none',
  drainSince: null,
  firstEndBytes: null,
  drainToBytes: null,
  drained: false,
  missingBytes: null,
} as const satisfies Partial<NetworkFence>

/** A new intent: nothing of it has been seen yet. `before` is kept over terms: it is what a write-stop opens again. */
export function fenceIntent(
  view: ProviderInstance,
  groupId: string,
  before: NetworkFence | null,
): NetworkFence {
  const same = before !== null && before.resourceId === view.resourceId && before.groupId === groupId
  const own = view.groups.filter((each) => each.status.toLowerCase() !== 'removing').map((each) => each.id)
  return {
    resourceId: view.resourceId,
    groupId,
    groupsBefore: same ? before.groupsBefore : own.filter((id) => id !== groupId),
    ...nothingSeen,
  }
}

/** What a new term takes over: what was begun, and nothing of what was seen (S2). */
export function fenceAnew(fence: NetworkFence): NetworkFence {
  return { ...fence, ...nothingSeen }
}
