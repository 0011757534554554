/** The tasks of settle for rds, one function each: recorded, then done (S4, S5). */
import { haltIfSuperseded } from '../acts/settling.ts'
import { asynchronousSet, withReplaced } from '../core/managedPromote.ts'
import type { ManagedTask } from '../core/managedSettle.ts'
import { freshPlan, possibleWriters, withNodes } from '../core/state.ts'
import type { ClusterState, NodeId, NodeStatus, Plan } from '../core/types.ts'
import type { StepContext } from '../entry.ts'
import type { Operation } from '../operation.ts'
import type { RdsAct } from '../ports.ts'
import { nodeOf } from '../step.ts'
import { advanceFence, type FenceOptions, lookForFence } from './fencing.ts'
import { actOnRds, problemOfAct } from './provider.ts'

type Task<D extends ManagedTask['do']> = Extract<ManagedTask, { do: D }>

/** Carries out one task; a problem in words means that it is not tried again in this pass. */
export async function carryOut(
  context: StepContext,
  operation: Operation,
  task: ManagedTask,
  options: FenceOptions,
): Promise<string | undefined> {
  switch (task.do) {
    case 'halt':
      await operation.write(
        { phase: 'halted', halted: { reason: task.reason, step: 'settle' } },
        noteOf(task, 'halted'),
      )
      return undefined
    case 'fence':
      return fence(context, operation, task, options)
    case 'identify':
      await patch(operation, task.node, { instanceId: task.resourceId }, noteOf(task, 'identified'))
      return undefined
    case 'joined':
      return joined(operation, task)
    case 'rename':
      return rename(operation, task)
    case 'create':
      return create(operation, task)
    case 'configure':
      return act(operation, task, {
        do: 'setParameterGroup',
        instance: task.identifier,
        name: task.name,
      })
    case 'restart':
      return act(operation, task, { do: 'reboot', instance: task.identifier })
    case 'delete':
      return act(operation, task, { do: 'deleteReplica', instance: task.identifier })
    case 'stop':
      return act(operation, task, { do: 'stop', instance: task.identifier })
    case 'close': {
      const groupId = nodeOf(operation, task.node).closedGroupId
      if (groupId === null) return `${task.node}: no closed group is configured`
      if (await haltIfSuperseded(context, operation, noteOf(task, 'fence requested'))) return undefined
      return act(operation, task, { do: 'setGroups', instance: task.identifier, groupIds: [groupId] })
    }
    case 'forget': {
      const replaced = operation.state.replaced.filter((each) => each.resourceId !== task.resourceId)
      await operation.write({ replaced }, noteOf(task, 'forgotten'))
      return undefined
    }
  }
}

const noteOf = ({ row, reason, facts }: ManagedTask, kind: string) => ({ kind, row, message: reason, facts })

function patch(
  operation: Operation,
  node: NodeId,
  change: Partial<NodeStatus>,
  note: ReturnType<typeof noteOf>,
): Promise<void> {
  return operation.write({ nodes: withNodes(operation.state, { [node]: change }) }, note)
}

async function act(
  operation: Operation,
  task: ManagedTask,
  asked: RdsAct,
  change: Partial<Pick<ClusterState, 'nodes' | 'replaced'>> = {},
): Promise<string | undefined> {
  const outcome = await actOnRds(operation, {
    node: nodeOf(operation, task.node),
    act: asked,
    change,
    note: noteOf(task, asked.do),
  })
  const problem = problemOfAct(outcome)
  return problem === null ? undefined : `${task.node}: ${asked.do} was ${problem}`
}

/** S11: one more look at the fence of an old writer; the same rows as in an operation, without its approvals. */
async function fence(
  context: StepContext,
  operation: Operation,
  task: Task<'fence'>,
  options: FenceOptions,
): Promise<string | undefined> {
  const { node } = task
  if (await haltIfSuperseded(context, operation, noteOf(task, 'fence requested'))) return undefined
  const status = operation.state.nodes[node]
  if (status?.fenced || operation.state.plan === null) {
    // It was fenced and is not any more: everything that was seen of it is void, and begins anew.
    const plan = operation.state.plan ?? settlePlan(operation.state)
    const { [node]: _void, ...network } = plan.network
    const evidence = plan.evidence.filter((each) => each.node !== node)
    await operation.write(
      {
        plan: { ...plan, network, evidence },
        nodes: withNodes(operation.state, { [node]: { fenced: false, role: 'quarantined' } }),
      },
      { ...noteOf(task, 'paged'), message: `TWO WRITERS POSSIBLE: ${task.reason}` },
    )
  }
  const sight = await lookForFence(operation, [node], { approvals: false })
  const answer = await advanceFence(operation, node, sight, options)
  if (answer.does !== 'evidence') return `${answer.row}: ${answer.reason}`
  await patch(operation, node, { fenced: true }, { ...noteOf(task, 'fenced'), message: answer.reason })
  return undefined
}

/** Where a fence outside an operation is recorded: it is of this term like any other. */
function settlePlan(state: ClusterState): Plan {
  return freshPlan(state, {
    kind: 'settle',
    reason: 'an old writer is fenced again',
    by: 'settle',
    automatic: true,
    to: null,
    returnTo: 'settling',
    facts: {},
    from: possibleWriters(state).find((id) => id !== state.primary) ?? state.primary,
  })
}

async function joined(operation: Operation, task: Task<'joined'>): Promise<undefined> {
  const { state } = operation
  const change: Partial<NodeStatus> = {
    role: 'standby',
    term: state.term,
    instanceId: task.resourceId,
    possibleWriter: null,
    fenced: false,
    rejoin: 'none',
  }
  await operation.write(
    {
      nodes: withNodes(state, { [task.node]: change }),
      synchronous: asynchronousSet(state.primary),
    },
    noteOf(task, 'rejoined'),
  )
}

/** What is renamed is kept in mind by the same write, under its resource id: it is deleted or stopped by that alone. */
function rename(operation: Operation, task: Task<'rename'>): Promise<string | undefined> {
  const { state } = operation
  const { node, resourceId, was } = task
  const { region } = nodeOf(operation, node)
  return act(
    operation,
    task,
    { do: 'rename', instance: task.identifier, to: task.to },
    {
      nodes: withNodes(state, { [node]: { role: 'rebuilding', rejoin: 'starting' } }),
      replaced: withReplaced(state.replaced, { node, resourceId, region, term: state.term, was }),
    },
  )
}

function create(operation: Operation, task: Task<'create'>): Promise<string | undefined> {
  const { state } = operation
  const node = nodeOf(operation, task.node)
  const { source, groupIds, instanceClass } = task
  return act(
    operation,
    task,
    {
      do: 'createReplica',
      instance: node.instanceId,
      source: { identifier: source.identifier, region: source.region },
      like: task.like,
      groupIds,
      availabilityZone: node.availabilityZone,
      instanceClass,
      tags: { 'understudy:cluster': state.cluster, 'understudy:term': String(state.term) },
    },
    { nodes: withNodes(state, { [task.node]: { role: 'rebuilding', rejoin: 'copying' } }) },
  )
}
