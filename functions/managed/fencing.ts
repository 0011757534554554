/** One look at the network fence of one node, and what row of `managedFence.ts` says is next, carried out. */
import { forbiddenTarget } from '../core/domains.ts'
import { anyRow } from '../core/looks.ts'
import {
  decideFence,
  type FenceAnswer,
  type FenceDoes,
  fenceIntent,
  type ManagedFenceInput,
} from '../core/managedFence.ts'
import { byResource, isClosed, type Provider, type ProviderInstance } from '../core/managedView.ts'
import type { Approval, Evidence, Look, NetworkFence, NodeConfig, NodeId, Plan } from '../core/types.ts'
import type { Operation } from '../operation.ts'
import { approvalOf, lookRound, nodeOf, planOf } from '../step.ts'
import {
  actOnRds,
  newestRestart,
  problemOfAct,
  providerPollMs,
  readProvider,
  recordedView,
} from './provider.ts'

export interface FenceSight {
  readonly provider: Provider
  /** Asked for after the provider was read: a start of the server that they show is later than the groups that it shows. */
  readonly looks: readonly Look[]
  readonly approval: Approval | null
}

export interface FenceOptions {
  /** The old primary, which a candidate may drain. */
  readonly drains: NodeId | null
  readonly switchover: boolean
  readonly waits: number
  /** Looks in a row in which a reboot did not show, by node; of this invocation. */
  readonly unseen: Map<NodeId, number>
  /** Whose clients are kept out while the next look is taken, since their group is changing; of this invocation. */
  readonly keptOut: Set<NodeId>
}

export async function lookForFence(
  operation: Operation,
  nodes: readonly NodeId[],
  options: { approvals: boolean },
): Promise<FenceSight> {
  const provider = await readProvider(operation, nodes)
  const { cluster, term } = operation.state
  const [looks, approval] = await Promise.all([
    lookRound(operation, { writeProbe: false }),
    options.approvals ? approvalOf(operation.ports, cluster, term) : null,
  ])
  return { provider, looks, approval }
}

export interface Advance extends FenceAnswer {
  /** Something changed by it that may be looked at again at once. */
  readonly moved: boolean
}

const moves: readonly FenceDoes[] = [
  'accept',
  'evidence',
  'recordIntent',
  'drainIntent',
  'endFirst',
  'closedSeen',
  'seen',
  'drained',
  'notDrained',
]

/**
 * Ends whoever comes back, for as long as a look takes: what is committed between the last moment at which a candidate
 * receives and the end of the last session is lost. RDS knows no better way to stop writers (docs/engines.md). False: it
 * did not come about.
 */
export async function keepOut(operation: Operation, id: NodeId): Promise<boolean> {
  const result = await operation.sql(id, { do: 'endSessions', keepOutMs: providerPollMs })
  return result.outcome === 'done'
}

/** Decides by one row and carries it out; every write and act of it explains itself by that row. */
export async function advanceFence(
  operation: Operation,
  id: NodeId,
  sight: FenceSight,
  options: FenceOptions,
): Promise<Advance> {
  const node = nodeOf(operation, id)
  const view = recordedView(operation, sight.provider, id)
  const row = anyRow(sight.looks, id)
  const fence = planOf(operation.state).network[id] ?? null
  const restart =
    view && fence?.reboot !== 'seen' ? await newestRestart(operation, node, view.identifier) : null
  const answer = decideFence({
    node,
    term: operation.state.term,
    resourceId: operation.state.nodes[id]?.instanceId ?? null,
    fence,
    instances: sight.provider.get(node.region) ?? null,
    row,
    restart,
    approval: sight.approval,
    // Without positions nothing can be shown to be drained; the reboot ends the sessions all the same.
    drains: options.drains === id && operation.cluster.managed?.family === 'postgres',
    switchover: options.switchover,
    ...candidates(operation, sight.looks),
    unseen: options.unseen.get(id) ?? 0,
    waits: options.waits,
  })
  options.unseen.set(id, fence?.reboot === 'requested' ? (options.unseen.get(id) ?? 0) + 1 : 0)
  const change = { startedAtBefore: row?.startedAt ?? null, restartBefore: restart }
  const problem = await carryOut(operation, { node, view, fence, answer, change, options })
  const { does, reason } = answer
  const wasKeptOut = options.keptOut.has(id)
  if (does === 'keepOut' || (does === 'closeGroup' && answer.facts.drainBegun)) options.keptOut.add(id)
  else options.keptOut.delete(id)
  return {
    ...answer,
    reason: problem ?? reason,
    moved: problem === undefined && (moves.includes(does) || (options.keptOut.has(id) && !wasKeptOut)),
  }
}

/** Who could be promoted: how far the furthest of them has received, and whether any of them goes on receiving. */
function candidates(
  operation: Operation,
  looks: readonly Look[],
): Pick<ManagedFenceInput, 'candidateBytes' | 'receives'> {
  const plan = planOf(operation.state)
  const seen = operation.cluster.nodes.flatMap((node) => {
    const isCandidate =
      plan.to === null ? forbiddenTarget(operation.cluster, plan.from, node) === null : node.id === plan.to
    const row = anyRow(looks, node.id)
    return isCandidate &&
      node.id !== plan.from &&
      operation.state.nodes[node.id]?.role === 'standby' &&
      row?.inRecovery === true &&
      row.timeline === plan.fromTimeline
      ? [row]
      : []
  })
  return {
    candidateBytes: seen.length === 0 ? null : Math.max(...seen.map((row) => row.positionBytes)),
    receives: seen.some((row) => row.upstream?.status === 'streaming'),
  }
}

async function carryOut(
  operation: Operation,
  step: {
    node: NodeConfig
    view: ProviderInstance | null
    fence: NetworkFence | null
    answer: FenceAnswer
    change: Pick<NetworkFence, 'startedAtBefore' | 'restartBefore'>
    options: FenceOptions
  },
): Promise<string | undefined> {
  const { node, view, fence, answer, options } = step
  const note = (kind: string) => ({ kind, row: answer.row, message: answer.reason, facts: answer.facts })
  const record = (kind: string, patch: Partial<NetworkFence>) =>
    fence === null
      ? undefined
      : operation.write({ plan: withFence(operation, node.id, { ...fence, ...patch }) }, note(kind))
  switch (answer.does) {
    case 'wait':
    case 'backOut':
    case 'keepOut':
      return undefined
    case 'needApproval':
      // Said once, not at each look.
      if (operation.state.lastEvent.message !== answer.reason) await operation.write({}, note('paged'))
      return undefined
    case 'accept':
    case 'evidence':
      await addEvidence(operation, evidenceOf(operation, node, answer, fence), note('evidence'))
      return undefined
    case 'recordIntent':
      if (view === null || node.closedGroupId === null) return undefined
      await operation.write(
        { plan: withFence(operation, node.id, fenceIntent(view, node.closedGroupId, fence)) },
        note('fence intended'),
      )
      return undefined
    case 'drainIntent':
      await record('draining', { drainSince: options.waits })
      return undefined
    case 'closedSeen':
      await record('closed', { closed: true, drainSince: options.waits, ...step.change })
      return undefined
    case 'notDrained':
      await record('not drained', { missingBytes: answer.facts.missingBytes ?? 0 })
      return undefined
    case 'endFirst':
      return endSessions(operation, { node, fence, note: note('sessions ended'), first: true })
    case 'seen':
      await record('rebooting', { reboot: 'seen' })
      return undefined
    case 'drained':
      await record('drained', { drained: true })
      return undefined
    case 'endSessions':
      return endSessions(operation, { node, fence, note: note('sessions ended'), first: false })
    case 'closeGroup':
      return view === null ? undefined : closeGroup(operation, node, view, options, note('fence requested'))
    case 'reboot':
      return view === null ? undefined : reboot(operation, node, view, note('reboot requested'))
  }
}

const withFence = (operation: Operation, id: NodeId, fence: NetworkFence): Plan => {
  const plan = planOf(operation.state)
  return { ...plan, network: { ...plan.network, [id]: fence } }
}

type Note = { kind: string; row: string; message: string; facts: Readonly<Record<string, unknown>> }

function evidenceOf(
  operation: Operation,
  node: NodeConfig,
  answer: FenceAnswer,
  fence: NetworkFence | null,
): Evidence {
  const { term } = operation.state
  const { approvedBy } = answer.facts
  if (answer.does === 'accept' || fence === null)
    return { kind: 'approved', node: node.id, term, by: approvedBy ?? 'unknown', reason: answer.reason }
  const { resourceId, groupId } = fence
  return { kind: 'closedAndRebooted', node: node.id, term, resourceId, groupId }
}

async function addEvidence(operation: Operation, evidence: Evidence, note: Note): Promise<void> {
  const plan = planOf(operation.state)
  await operation.write({ plan: { ...plan, evidence: [...plan.evidence, evidence] } }, note)
}

/** A failover's fence is never undone (S5), so it is marked as requested; a switchover's write-stop may still be. */
async function closeGroup(
  operation: Operation,
  node: NodeConfig,
  view: ProviderInstance,
  options: FenceOptions,
  note: Note,
): Promise<string | undefined> {
  const plan = planOf(operation.state)
  const requested = options.switchover ? [] : [node.id]
  const fenceRequested = [...new Set([...plan.fenceRequested, ...requested])]
  const outcome = await actOnRds(operation, {
    node,
    act: { do: 'setGroups', instance: view.identifier, groupIds: [node.closedGroupId ?? ''] },
    change: { plan: { ...plan, fenceRequested } },
    note,
  })
  const problem = problemOfAct(outcome)
  return problem === null ? undefined : `${node.id}: the closed group was ${problem}`
}

/** Recorded as requested only once RDS accepted it: only then does `rebooting` mean ours, and no older one. */
async function reboot(
  operation: Operation,
  node: NodeConfig,
  view: ProviderInstance,
  note: Note,
): Promise<string | undefined> {
  const outcome = await actOnRds(operation, { node, act: { do: 'reboot', instance: view.identifier }, note })
  const fence = planOf(operation.state).network[node.id]
  if (outcome.outcome === 'requested' && fence && fence.reboot !== 'requested') {
    const plan = withFence(operation, node.id, { ...fence, reboot: 'requested' })
    const message = `${node.id}: RDS accepted the reboot`
    await operation.write({ plan }, { ...note, kind: 'reboot accepted', message })
  }
  const problem = problemOfAct(outcome)
  return problem === null ? undefined : `${node.id}: its reboot was ${problem}`
}

/** `first`: before the group is closed, when clients can come back. */
async function endSessions(
  operation: Operation,
  step: { node: NodeConfig; fence: NetworkFence | null; note: Note; first: boolean },
): Promise<string | undefined> {
  const { node, fence, note, first } = step
  const result = await operation.sql(node.id, { do: 'endSessions', ...(first ? { keepOutMs: 0 } : {}) })
  if (result.outcome !== 'done' || result.measurement === undefined || fence === null)
    return `${node.id}: its sessions could not be ended: ${result.message}`
  const { positionBytes } = result.measurement
  const ended = first ? { firstEndBytes: positionBytes } : { drainToBytes: positionBytes, drained: false }
  const when = first ? 'its sessions were ended' : 'its sessions ended behind its closed group'
  await operation.write(
    { plan: withFence(operation, node.id, { ...fence, ...ended }) },
    { ...note, message: `${node.id}: ${when} at byte ${positionBytes} of its log` },
  )
  return undefined
}

/** S1: does the fact hold now? Read again by whoever promotes. Undefined: yes. */
export async function fenceProblem(
  operation: Operation,
  evidence: Evidence,
  provider: Provider,
): Promise<string | undefined> {
  const { cluster, term } = operation.state
  switch (evidence.kind) {
    case 'closedAndRebooted': {
      const instances = provider.get(nodeOf(operation, evidence.node).region)
      if (!instances) return 'RDS does not answer, so its fence can not be read again'
      const view = byResource(instances, evidence.resourceId)
      if (view === null) return `${evidence.resourceId} is not among the instances any more`
      return isClosed(view, evidence.groupId)
        ? undefined
        : `${evidence.groupId} is not its only group any more`
    }
    case 'approved': {
      const approval = await approvalOf(operation.ports, cluster, term)
      return approval?.unfenced.includes(evidence.node) ? undefined : 'its approval does not count any more'
    }
    default:
      return `${evidence.kind} is no fact of an instance of RDS`
  }
}
