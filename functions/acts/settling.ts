/** The tasks of settle, one function each: recorded, then done (S4, S5). */
import { isManaged } from '../core/engine.ts'
import { hostOf } from '../core/host.ts'
import { agreement } from '../core/looks.ts'
import { type SettleTask, settleWork } from '../core/settle.ts'
import { withNodes } from '../core/state.ts'
import type { ClusterState, Look, NodeConfig, NodeId, NodeStatus } from '../core/types.ts'
import { detached, discardOldDataScript, rejoinScript } from '../engines/postgres/host.ts'
import type { StepContext } from '../entry.ts'
import type { Operation } from '../operation.ts'
import { nodeOf } from '../step.ts'
import { whySuperseded } from './name.ts'

export function seenBy(context: StepContext, looks: readonly Look[]) {
  return Object.fromEntries(
    context.cluster.nodes.map((node) => [node.id, agreement(looks, context.observers, node.id)] as const),
  )
}

/**
 * What repoint needs when no commit returns: standbys that were told to follow and did not get there. Until one
 * streams, the new primary keeps its commits waiting, and nothing else brings writes back.
 */
export async function followLeft(
  context: StepContext,
  operation: Operation,
  looks: readonly Look[],
): Promise<void> {
  if (isManaged(context.cluster)) return
  const work = settleWork({
    cluster: context.cluster,
    state: operation.state,
    seen: seenBy(context, looks),
    primaryBefore: null,
    instances: {},
  })
  for (const task of work.tasks) if (task.do === 'follow') await carryOut(context, operation, task)
}

/** Carries out one task; a problem in words means that it is not tried again in this pass. */
export async function carryOut(
  context: StepContext,
  operation: Operation,
  task: SettleTask,
): Promise<string | undefined> {
  const note = (kind: string, message: string) => ({
    ...{ kind, row: task.row, message },
    facts: { decided: task.facts },
  })
  switch (task.do) {
    case 'halt':
      await operation.write(
        { phase: 'halted', halted: { reason: task.reason, step: 'settle' } },
        note('halted', `${task.reason}: nothing is fenced or moved until somebody has looked`),
      )
      return undefined
    case 'alarm':
      // Said once, not at each look: the fence that ends it is asked for by the next task.
      if (operation.state.lastEvent.message !== task.reason)
        await operation.write({}, note('paged', task.reason))
      return undefined
    case 'fence':
      return stopNode(context, operation, task.node, note('fence requested', task.reason))
    case 'fenced':
      await patch(operation, task.node, { fenced: true, role: 'quarantined' }, note('fenced', task.reason))
      return undefined
    case 'harmless':
      await patch(operation, task.node, { possibleWriter: null }, note('harmless', task.reason))
      return undefined
    case 'joined':
      await patch(
        operation,
        task.node,
        { role: 'standby', possibleWriter: null, fenced: false, rejoin: 'none' },
        note(
          'rejoined',
          `${task.node} streams from ${operation.state.primary} on timeline ${operation.state.timeline}`,
        ),
      )
      return discardOldData(context, operation, task.node)
    case 'diverged':
      return setApart(operation, task.node, note('diverged', task.reason))
    case 'identify':
      await patch(
        operation,
        task.node,
        { instanceId: task.instanceId },
        note('identified', `${task.node} runs on ${task.instanceId}`),
      )
      return undefined
    case 'recordSet':
      await operation.write(
        { synchronous: task.set, nodes: writerList(operation.state, task.set) },
        {
          ...note('synchronous set', `${task.set.names || 'nobody'} (${task.set.status})`),
          facts: { reasons: task.set.reasons, decided: task.facts },
        },
      )
      return undefined
    case 'follow':
      return follow(context, operation, task.node, task.applicationName, note('following', task.reason))
    case 'start':
      return startNode(context, operation, task.node, note('starting', task.reason))
    case 'rejoin':
      return rejoin(context, operation, task.node, note('rejoining', task.reason))
    case 'list':
      return changeList(operation, task, note('list', `${task.names}: ${task.reason}`))
  }
}

export type Note = {
  kind: string
  row: string
  message: string
  facts: Readonly<Record<string, unknown>>
}

function patch(operation: Operation, node: NodeId, change: Partial<NodeStatus>, note: Note): Promise<void> {
  return operation.write({ nodes: withNodes(operation.state, { [node]: change }) }, note)
}

/** The primary's own list is what a quorum fence against it is computed from, so it is recorded with the set. */
function writerList(state: ClusterState, set: ClusterState['synchronous']): ClusterState['nodes'] {
  const writer = state.nodes[state.primary]?.possibleWriter
  return writer
    ? withNodes(state, { [state.primary]: { possibleWriter: { ...writer, synchronous: set } } })
    : state.nodes
}

/** S11: only a state that is provably current may fence: the name says when it is not. */
export async function haltIfSuperseded(
  context: StepContext,
  operation: Operation,
  note: Note,
): Promise<boolean> {
  const reason = whySuperseded(operation.state, await context.ports.endpoint.read(context.cluster))
  if (reason === null) return false
  await operation.write(
    { phase: 'halted', halted: { reason, step: 'settle' } },
    { ...note, kind: 'halted', message: `${reason}: nothing is fenced` },
  )
  return true
}

async function stopNode(
  context: StepContext,
  operation: Operation,
  id: NodeId,
  note: Note,
): Promise<string | undefined> {
  if (await haltIfSuperseded(context, operation, note)) return undefined
  // A node that came back out of recovery begins anew: quarantined, its rejoin forgotten (S11).
  const anew = { role: 'quarantined', fenced: false, rejoin: 'none' } as const
  return power(context, operation, { act: 'stop', id, change: anew, note })
}

function startNode(
  context: StepContext,
  operation: Operation,
  id: NodeId,
  note: Note,
): Promise<string | undefined> {
  const { term } = operation.state
  const change = { role: 'rebuilding', term, rejoin: 'starting' } as const
  return power(context, operation, { act: 'start', id, change, note })
}

/** Asks for a stop or a start of the node's recorded instance, once it is written down what that makes of the node. */
async function power(
  context: StepContext,
  operation: Operation,
  asked: { act: 'stop' | 'start'; id: NodeId; change: Partial<NodeStatus>; note: Note },
): Promise<string | undefined> {
  const { act, id, change, note } = asked
  const instanceId = operation.state.nodes[id]?.instanceId
  if (!instanceId) return `${id}: no instance is recorded to ${act}`
  const answer = await operation.act({ nodes: withNodes(operation.state, { [id]: change }) }, note, () =>
    context.ports.fence[act](nodeOf(context, id).region, instanceId),
  )
  await operation.beat()
  return answer === 'requested' ? undefined : `${id}: the ${act} of ${instanceId} was answered ${answer}`
}

async function follow(
  context: StepContext,
  operation: Operation,
  id: NodeId,
  applicationName: string,
  note: Note,
): Promise<string | undefined> {
  const { state } = operation
  const upstream = nodeOf(context, state.primary)
  const before = state.plan?.frozen[id]
  await operation.write({}, note)
  const follows = {
    do: 'follow' as const,
    upstream: { address: upstream.address, port: upstream.port },
    applicationName,
    restoreCommand: before?.restoreCommand ?? '',
  }
  const direct = await operation.sql(id, follows)
  if (direct.outcome === 'done') return undefined
  // It was away when the others were frozen: freeze and measure it before it may follow (S9).
  const frozen = await operation.sql(id, { do: 'freeze' })
  if (frozen.outcome !== 'done' || frozen.measurement === undefined)
    return `${id}: ${direct.message}; ${frozen.message}`
  const forkBytes = state.plan?.targetPositionBytes
  const onOurTimeline = frozen.measurement.timeline === state.timeline
  if (
    !onOurTimeline &&
    (forkBytes === null || forkBytes === undefined || frozen.measurement.positionBytes > forkBytes)
  ) {
    await patch(
      operation,
      id,
      { role: 'diverged', term: state.term },
      {
        ...note,
        kind: 'diverged',
        message: `${id} has log that ${state.primary} does not have: only a fresh copy helps`,
      },
    )
    return undefined
  }
  const restoreCommand = before?.restoreCommand ?? frozen.measurement.restoreCommand
  const again = await operation.sql(id, { ...follows, restoreCommand })
  return again.outcome === 'done' ? undefined : `${id}: ${again.message}`
}

/** Recorded, then frozen: it shall not attach under a listed name, nor take what it lacks for what it has (H03b). */
async function setApart(operation: Operation, id: NodeId, note: Note): Promise<string | undefined> {
  await patch(operation, id, { role: 'diverged', term: operation.state.term }, note)
  const frozen = await operation.sql(id, { do: 'freeze' })
  return frozen.outcome === 'done' ? undefined : `${id}: ${frozen.message}`
}

async function rejoin(
  context: StepContext,
  operation: Operation,
  id: NodeId,
  note: Note,
): Promise<string | undefined> {
  const host = hostOf(context.cluster, id)
  if (host === null) return `${id}: no host access is configured`
  const node: NodeConfig = nodeOf(context, id)
  const upstream = nodeOf(context, operation.state.primary)
  const script = rejoinScript({
    deployment: context.deployment,
    term: operation.state.term,
    node: id,
    upstream: { address: upstream.address, port: upstream.port },
    host,
    replicationUser: context.cluster.connection.replicationUser,
    applicationName: `${id}_unlisted`,
  })
  const change: Partial<NodeStatus> = { role: 'rebuilding', term: operation.state.term, rejoin: 'copying' }
  const result = await operation.act({ nodes: withNodes(operation.state, { [id]: change }) }, note, () =>
    context.ports.host.run(node, detached(script), { deliveryTimeoutSeconds: 60, timeoutMs: 30_000 }),
  )
  await operation.beat()
  return result.outcome === 'done' ? undefined : `${id}: ${result.message}`
}

/** The data that the rejoin moved aside is worth keeping only until the new copy streams; the script compares. */
async function discardOldData(
  context: StepContext,
  operation: Operation,
  id: NodeId,
): Promise<string | undefined> {
  const host = hostOf(context.cluster, id)
  if (host === null) return undefined
  const { deployment, term } = operation.state
  const script = discardOldDataScript({ deployment, term, node: id, host })
  const result = await operation.act({}, { kind: 'discarding', message: `old data of ${id}` }, () =>
    context.ports.host.run(nodeOf(context, id), detached(script), {
      deliveryTimeoutSeconds: 60,
      timeoutMs: 30_000,
    }),
  )
  await operation.beat()
  if (result.outcome !== 'done')
    context.ports.logger.warn('old data was not discarded', { node: id, why: result.message })
  return undefined
}

/** S9: whichever of record and setting comes first, the record covers every commit that may be acknowledged. */
async function changeList(
  operation: Operation,
  task: SettleTask & { do: 'list' },
  note: Note,
): Promise<string | undefined> {
  const { state } = operation
  const recorded = (set: ClusterState['synchronous']) => ({ synchronous: set, nodes: writerList(state, set) })
  if (task.order === 'recordFirst') await operation.write(recorded(task.set), note)
  if (task.order === 'unknownFirst') {
    await operation.write(
      recorded({ ...state.synchronous, status: 'unknown', reasons: ['the list is being changed'] }),
      note,
    )
  }
  const result = await operation.sql(state.primary, { do: 'list', synchronousStandbyNames: task.names })
  // Applied first and seen by two looks, it is recorded by row T10 in a later round.
  return result.outcome === 'done' ? undefined : `${state.primary}: ${result.message}`
}
