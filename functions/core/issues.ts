/** Named conditions that a person should know of. They open and close by themselves: each is a function of now. */

import type { Decision } from './decisions.ts'
import { electsNatively, isManaged } from './engine.ts'
import type { Facts } from './facts.ts'
import { isInService } from './judgeFacts.ts'
import { nobodyToPromote } from './managedReports.ts'
import { checkSettings } from './settings.ts'
import type { AssessInput, NodeSight, Sight } from './sight.ts'
import { fill } from './table.ts'
import type { ClusterState, Issue, NodeId, ProbeRow } from './types.ts'

export interface IssueInput {
  readonly input: AssessInput
  readonly facts: Facts
  readonly sight: Sight
  readonly state: ClusterState | null
  readonly decision: Decision
}

type OpenIssue = Omit<Issue, 'sinceMs'>

/** One condition over the facts; `key` is stable, message and todo are templates over the facts. */
interface Condition {
  readonly key: string
  readonly severity: Issue['severity']
  readonly test: (f: Facts) => boolean
  readonly message: string
  readonly todo: string
}

const isDownByQuorum = (f: Facts) => f.down >= f.quorum

export const conditions: readonly Condition[] = [
  {
    key: 'unreadable:state',
    severity: 'critical',
    test: (f) => f.state === 'unreadable',
    message:
      'the state of {cluster} can not be read: {problems}; the databases serve on, but nothing is decided',
    todo: 'Restore access to the table, or correct the item; then look at status.',
  },
  {
    key: 'not-adopted',
    severity: 'warning',
    test: (f) => f.state === 'absent',
    message: '{cluster} is configured but not protected: it has not been adopted',
    todo: 'Run adopt while exactly one node is writable.',
  },
  {
    key: 'two-writers',
    severity: 'critical',
    test: (f) => f.primaryOut && f.otherWriters.some((id) => !f.quorumFenced.includes(id)),
    message:
      'TWO WRITERS: {primary} is the recorded primary of term {term}, and {otherWriters} is out of recovery as well',
    todo: 'Stop the node that must not be written to, now. If the state is the one that is wrong, halt and adopt.',
  },
  {
    key: 'unfenced-writer',
    severity: 'critical',
    test: (f) => f.otherWriters.length > 0 && !f.primaryOut,
    message: 'the old writer {otherWriters} is out of recovery',
    todo: 'Nothing, if its fence ends within a minute; otherwise stop its instance.',
  },
  {
    key: 'old-writer-may-accept-writes',
    severity: 'critical',
    test: (f) => f.mayWrite.length > 0,
    message:
      'Aurora is not known to block writes in {mayWrite}, an old primary cluster: what clients that still reach it write there is lost',
    todo: 'Keep clients away from its endpoints until Aurora has brought it back as a secondary; then this closes by itself.',
  },
  {
    key: 'unplanned-failover-snapshot',
    severity: 'info',
    test: (f) => f.failedOverDaysAgo !== null,
    message:
      'a failover completed {failedOverDaysAgo} days ago; if it was unplanned, what the old primary had alone is only in the snapshot rds:unplanned-global-failover-…, which Aurora deletes with its retention',
    todo: 'Copy that snapshot if writes may be missing; it is made when the Region of the old primary is back.',
  },
  {
    key: 'superseded',
    severity: 'critical',
    test: (f) => f.superseded.length > 0,
    message: 'the world is newer than our state: {superseded}',
    todo: 'Find out who acted (another deployment, a person, a restored table), then run adopt.',
  },
  {
    key: 'halted',
    severity: 'critical',
    test: (f) => f.halted,
    message: 'halted in term {term}: {haltedReason}',
    todo: 'Look at the cluster with status, then run acknowledge or adopt.',
  },
  {
    key: 'paused',
    severity: 'info',
    test: (f) => f.paused,
    message: 'paused by {pausedBy} for {pauseLeftMinutes} more minutes: {pauseReason}',
    todo: 'Run resume when the work is done; until then a death is not acted upon.',
  },
  {
    key: 'no-quorum',
    severity: 'critical',
    test: (f) => f.readable < f.quorum,
    message:
      'reports of {readable} of {configured} observers count, {quorum} are needed (missing: {missing}): no failover is possible',
    todo: 'Look at the logs of the observe functions of the missing observers.',
  },
  {
    key: 'isolated',
    severity: 'critical',
    test: (f) => isDownByQuorum(f) && f.aliveFor.length > 0,
    message: '{primary} answers {aliveFor} but not {down} of {configured} observers',
    todo: 'Find out whether clients reach it. If not, run failover; it is fenced by power first.',
  },
  {
    key: 'hung',
    severity: 'critical',
    test: (f) => isDownByQuorum(f) && f.hungBefore,
    message: '{hungReason}',
    todo: 'Look at the server (disk, memory, connections). If it is lost, run failover.',
  },
  {
    key: 'observers-suspect',
    severity: 'critical',
    test: (f) =>
      isDownByQuorum(f) && f.allReplicasDown && !(f.canaries >= f.quorum && f.sharedDomain !== null),
    message: '{primary} and all replicas ({replicasDown}) look dead at once: the observers may be cut off',
    todo: 'Look at routes and security groups of the observers. If the nodes are really lost, restore one and run adopt.',
  },
  {
    key: 'writes-blocked',
    severity: 'critical',
    test: (f) => f.blocked >= f.quorum,
    message: '{primary} answers, but commits do not return for {blocked} of {configured} observers',
    todo: 'Bring back a standby of the synchronous list, or look at the disk of the primary.',
  },
  {
    key: 'primary-in-recovery',
    severity: 'critical',
    test: (f) => f.inRecovery >= f.quorum,
    message: '{primary} is the recorded primary but is in recovery',
    todo: 'Find out who made it a standby, then run adopt.',
  },
  {
    key: 'primary-starting',
    severity: 'warning',
    test: (f) => f.alive >= f.quorum && f.usable === 0,
    message:
      '{primary} is starting or stopping for {starting} of {configured} observers; it lives, so it is waited for',
    todo: 'Look at the log of the server: crash recovery and shutdown checkpoints can take minutes. If it is lost, run failover.',
  },
  {
    key: 'synchronous-set-unknown',
    severity: 'warning',
    test: (f) => f.listDiffers || f.workLeft.includes('establish the synchronous list'),
    message:
      'the synchronous list of {primary} is not known for sure: seen {listSeen}, recorded {listRecorded}',
    todo: 'Nothing, if it closes within two minutes; otherwise find out who changes the list.',
  },
  {
    key: 'cooldown',
    severity: 'critical',
    test: (f) => isDownByQuorum(f) && f.cooldownLeftMinutes > 0 && f.approvedBy === null,
    message:
      '{primary} looks dead {cooldownLeftMinutes} minutes before the cooldown of the last failover ends',
    todo: 'Run approve for the next term, or failover.',
  },
  {
    key: 'breaker',
    severity: 'critical',
    test: (f) => f.breakerOpen,
    message: 'the breaker of the fleet is open: no automatic failover',
    todo: 'Find out what happened to the fleet, then close the breaker.',
  },
  {
    key: 'no-candidate',
    severity: 'warning',
    test: (f) => f.state === 'found' && f.readable >= f.quorum && f.candidates.length === 0,
    message: 'no node could take over from {primary}: none is a known, allowed, answering standby',
    todo: 'Bring back a standby.',
  },
  {
    key: 'not-redundant',
    severity: 'warning',
    test: (f) =>
      f.state === 'found' && f.readable >= f.quorum && f.alive >= f.quorum && f.streaming.length === 0,
    message: 'no standby streams from {primary}: its loss would lose data',
    todo: 'Nothing while a rejoin runs; otherwise look at the standbys.',
  },
]

/** All that are open now. */
export function findIssues(args: IssueInput): readonly OpenIssue[] {
  const { facts } = args
  const open = conditions
    .filter((condition) => condition.test(facts))
    .map(({ key, severity, message, todo }) => ({
      cluster: facts.cluster,
      key,
      severity,
      message: fill(message, facts),
      todo,
    }))
  const nobody = args.state && nobodyToPromote(args.input.cluster, args.state)
  const found = args.state?.findings.map((each) => ({ cluster: facts.cluster, ...each })) ?? []
  return [
    ...open,
    ...observerIssues(args),
    ...nodeIssues(args),
    ...policyIssues(args),
    ...(nobody ? [nobody] : []),
    ...found,
  ]
}

function observerIssues({ input, facts, sight }: IssueInput): OpenIssue[] {
  const cluster = facts.cluster
  return facts.missing.map((id) => {
    if (sight.unreadable.includes(id)) {
      const read = input.reports.get(id)
      const problems = read?.kind === 'unreadable' ? read.problems.join('; ') : ''
      const message = `the report of observer ${id} can not be read: ${problems}`
      return {
        cluster,
        key: `unreadable:report-${id}`,
        severity: 'warning',
        message,
        todo: 'Delete the report item; it is written anew.',
      }
    }
    const failed = sight.canaryFailed.includes(id)
    const message = failed
      ? `the canary of observer ${id} does not answer: what it sees counts for nothing`
      : `observer ${id} has no report`
    const todo = `Look at the logs of the observe function of ${id}.`
    return { cluster, key: `observer-silent:${id}`, severity: 'warning', message, todo }
  })
}

function nodeIssues({ input, facts, sight, state }: IssueInput): OpenIssue[] {
  const cluster = facts.cluster
  return [...sight.nodes].flatMap(([id, node]): OpenIssue[] => {
    const open: OpenIssue[] = []
    const expected = !state || isInService(state, id)
    if (node.down >= facts.quorum && expected) {
      const severity = id === facts.primary ? 'critical' : 'warning'
      const message = `${id} does not answer ${node.down} of ${facts.configured} observers${errorOf(node)}`
      open.push({ cluster, key: `node-down:${id}`, severity, message, todo: `Look at the server of ${id}.` })
    }
    open.push(...standbyIssues({ input, facts, state }, id, node), ...fenceIssues({ input, state }, id))
    const advice = node.lastRow ? checkSettings(node.lastRow) : []
    if (advice.length > 0) {
      const message = `settings of ${id}: ${advice.map((a) => `${a.setting} is ${a.value} (${a.why})`).join('; ')}`
      const todo = `Set ${advice.map((a) => `${a.setting} to ${a.wanted}`).join('; ')}.`
      open.push({ cluster, key: `slow-promotion-setting:${id}`, severity: 'info', message, todo })
    }
    return open
  })
}

/** What a server that is out of order says of itself, such as a full disk (F23); '' when it says nothing. */
function errorOf(node: NodeSight): string {
  const outcomes = [...node.by.values()].map(({ observation }) => observation.outcome)
  const said = outcomes.find((outcome) => outcome.kind === 'sqlError')
  return said ? `; it says ${said.sqlState}: ${said.message}` : ''
}

/** A standby that does not follow: it is stale, and what it lacks grows (F63). The provider's replicas have their own. */
function standbyIssues(
  { input, facts, state }: Pick<IssueInput, 'input' | 'facts' | 'state'>,
  id: NodeId,
  node: NodeSight,
): OpenIssue[] {
  const cluster = facts.cluster
  const role = state?.nodes[id]?.role
  if (state === null || isManaged(input.cluster)) return []
  if (role === 'diverged' || facts.errant.includes(id)) {
    const message = `${id} has log that ${state.primary} does not have: it is not promoted, and only a fresh copy brings it back`
    const todo =
      input.cluster.policy.rejoin === 'automatic'
        ? 'Nothing if a rejoin is under way; save what only it has before its old data is discarded.'
        : 'Save what only it has, then rebuild it.'
    return [{ cluster, key: `diverged:${id}`, severity: 'warning', message, todo }]
  }
  const isSettled = state.phase === 'steady' || state.phase === 'settling'
  const rows = [...node.rows.values()].filter((row) => row.inRecovery)
  const follows = ({ upstream }: ProbeRow) =>
    upstream?.status === 'streaming' && upstream.timeline === state.timeline
  const isApart = rows.length >= facts.quorum && !rows.some(follows) && facts.alive >= facts.quorum
  const key = `not-following:${id}`
  // A receiver that connects anew is no news: what still stands apart with the next minute is.
  const isOld = facts.isTick || input.issues.some((each) => each.key === key)
  if (role !== 'standby' || !isSettled || !isApart || !isOld) return []
  const message = `${id} answers and does not stream from ${state.primary}: it falls behind`
  const todo = `Look at the log of ${id}: its receiver says why it does not connect.`
  return [{ cluster, key, severity: 'warning', message, todo }]
}

/** Who can not be fenced goes on writing when it is only cut off from us (F27): said before it matters, and while it does. */
function fenceIssues({ input, state }: Pick<IssueInput, 'input' | 'state'>, id: NodeId): OpenIssue[] {
  const status = state?.nodes[id]
  const node = input.cluster.nodes.find((each) => each.id === id)
  if (!state || !status || !node || electsNatively(input.cluster)) return []
  const cluster = input.cluster.id
  const noGroup = isManaged(input.cluster) && node.closedGroupId === null
  const lacks = noGroup
    ? 'no closed group is configured for it'
    : status.instanceId === null
      ? 'no instance of it was recorded while it was healthy'
      : null
  if (id === state.primary) {
    if (lacks === null) return []
    const message = `${id} can not be fenced: ${lacks}. Cut off from us it would go on, so a failover waits for an approval, and with one ${id} may still accept writes`
    const todo = noGroup
      ? 'Give it a closedGroupId.'
      : 'Compare its instanceId and address with EC2, and whether the deployment may describe instances; then run adopt.'
    return [{ cluster, key: `no-fence:${id}`, severity: 'warning', message, todo }]
  }
  const accepted = state.plan?.evidence.some((each) => each.kind === 'approved' && each.node === id) ?? false
  const isFree = status.possibleWriter !== null && !status.fenced && status.role === 'quarantined'
  if (!isFree || (lacks === null && !accepted)) return []
  const message = `${id}, a writer of term ${status.possibleWriter?.term}, is neither fenced nor seen to follow${lacks === null ? '' : ` (${lacks})`}: it may still accept writes, which will be lost`
  const todo =
    'Stop it by hand, and keep clients away from it; this closes when it is seen to follow the primary.'
  return [{ cluster, key: `unfenced:${id}`, severity: 'critical', message, todo }]
}

/** What the owner's policy costs, said as long as it is so (S2). */
function policyIssues({ input, facts }: IssueInput): OpenIssue[] {
  const { fence, loss, cancelledWaits } = input.cluster.policy
  if (fence !== 'quorum' || loss.mode !== 'never') return []
  const accepted = cancelledWaits === 'accepted'
  return [
    {
      cluster: facts.cluster,
      key: 'cancelled-waits',
      severity: accepted ? 'info' : 'critical',
      message:
        'with the quorum fence, a commit whose wait is cancelled by a driver is reported as done and can be lost in a failover',
      todo: accepted
        ? 'Nothing: the owner accepted it. Prefer time-outs of the driver that close the connection.'
        : 'Declare cancelledWaits accepted, or use the power fence.',
    },
  ]
}
