/**
 * fence: makes every possible writer unable to accept writes and holds the positive fact of it (S1, S2), freezes the
 * standbys and measures them. With `fence: quorum` the freeze is the fence; with `power` the freeze follows it.
 */

import { standDown } from './confirm.ts'
import { isAlive } from './core/classify.ts'
import { pollWithinStepMs } from './core/limits.ts'
import { formatLsn } from './core/positions.ts'
import { beyondReachOf, possibleWriters, unproven } from './core/state.ts'
import { quorumEvidence } from './core/synchronous.ts'
import type { Evidence, FrozenNode, NodeConfig, NodeId, Plan } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { type StepContext, stepEntry } from './entry.ts'
import { done, Operation, waiting } from './operation.ts'
import type { SqlAction } from './ports.ts'
import { approvalOf, assertPhase, lookRound, planOf } from './step.ts'
import { frozenPrimary, stopWrites } from './switchover.ts'

const pollMs = 250

/** A switchover that comes back this often for the same thing backs out. */
const patience = 10

export async function fence(context: StepContext, input: WorkflowInput): Promise<StepResult> {
  const operation = await Operation.begin(context.operationOptions('fence'))
  assertPhase(operation, input, 'fencing')
  await operation.beat()
  const plan = planOf(operation.state)
  if (plan.kind === 'switchover') return fenceSwitchover(operation, input)
  const byQuorum = context.cluster.policy.fence === 'quorum' && plan.facts.needsPower !== true
  if (byQuorum) {
    const result = await freezeAll(operation)
    const evidence = quorumFor(operation, Object.keys(result.frozen))
    const measured = {
      ...plan,
      frozen: { ...plan.frozen, ...result.frozen },
      evidence: [...plan.evidence, ...evidence],
    }
    if (unproven(operation.state, measured, plan.target).length === 0)
      return goPromote(operation, input, measured)
    await record(operation, result, evidence, input)
  }
  const unfenced = await powerFence(operation, context)
  if (unfenced.length > 0) return waiting(input, 'fence', `not fenced yet: ${unfenced.join('; ')}`)
  if (!byQuorum) await record(operation, await freezeAll(operation), [], input)
  return goPromote(operation, input)
}

async function goPromote(
  operation: Operation,
  input: WorkflowInput,
  plan: Plan = planOf(operation.state),
): Promise<StepResult> {
  const { evidence, frozen } = plan
  const positions = Object.entries(frozen).map(
    ([id, node]) => `${id} ${node.positionBytes === null ? 'not measured' : formatLsn(node.positionBytes)}`,
  )
  await operation.write(
    { phase: 'promoting', plan },
    {
      kind: 'fenced',
      message: `${evidence.map((each) => `${each.node}: ${each.kind}`).join(', ')}; positions: ${positions.join(', ')}`,
      facts: { evidence, frozen },
    },
  )
  return done(input, 'promote')
}

interface Frozen {
  readonly frozen: Readonly<Record<NodeId, FrozenNode>>
  readonly problems: readonly string[]
}

/** Freezes (or measures again) every planned standby at the same time. A node that does not answer is just not counted. */
export async function freezeAll(operation: Operation, action: SqlAction = { do: 'freeze' }): Promise<Frozen> {
  const plan = planOf(operation.state)
  const frozen: Record<NodeId, FrozenNode> = {}
  const problems: string[] = []
  await Promise.all(
    Object.entries(plan.frozen).map(async ([id, before]) => {
      const result = await operation.sql(id, action)
      if (result.outcome !== 'done' || result.measurement === undefined) {
        problems.push(`${id}: ${result.message}`)
        return
      }
      const { timeline, positionBytes, replayable } = result.measurement
      // The timeline counts as it was read before the freeze: a frozen node has no receiver to tell it any more (S8).
      frozen[id] = { ...before, timeline: before.timeline ?? timeline, positionBytes, replayable }
    }),
  )
  return { frozen, problems }
}

/** The quorum fence against each possible writer, by that writer's own list (S2). */
export function quorumFor(operation: Operation, frozen: readonly NodeId[]): Evidence[] {
  const { state, cluster } = operation
  if (cluster.policy.fence !== 'quorum') return []
  return possibleWriters(state).flatMap((writer) => {
    const set = state.nodes[writer]?.possibleWriter?.synchronous
    if (set === undefined) return []
    const counted = [...new Set([...frozen, ...beyondReachOf(state, writer)])].filter((id) => id !== writer)
    const evidence = quorumEvidence({ set, writer, term: state.term, counted })
    return evidence === null ? [] : [evidence]
  })
}

async function record(
  operation: Operation,
  result: Frozen,
  evidence: readonly Evidence[],
  input: WorkflowInput,
): Promise<void> {
  const plan = planOf(operation.state)
  const measured = Object.entries(result.frozen).map(
    ([id, node]) => `${id} at ${formatLsn(node.positionBytes ?? 0)}`,
  )
  await operation.write(
    {
      plan: {
        ...plan,
        frozen: { ...plan.frozen, ...result.frozen },
        evidence: [...plan.evidence, ...evidence],
      },
    },
    {
      kind: (input.waits ?? 0) > 0 ? 'waiting' : 'frozen',
      message: `frozen: ${measured.join(', ') || 'none'}${result.problems.length > 0 ? `; not frozen: ${result.problems.join('; ')}` : ''}`,
      facts: { evidence: evidence.map((each) => each.kind), problems: result.problems },
    },
  )
}

/** Requests the power fence of whoever has no evidence yet and polls until `stopped`; returns who is still not fenced. */
async function powerFence(operation: Operation, context: StepContext): Promise<string[]> {
  const plan = planOf(operation.state)
  await approvedUnfenced(operation)
  const missing = () => unproven(operation.state, planOf(operation.state), plan.target)
  if (missing().length === 0) return []
  const problems = await requestStops(operation, missing())
  const deadlineMs = context.ports.clock.monotonicMs() + pollWithinStepMs
  for (;;) {
    const stopped = await notAnswering(operation, await stoppedEvidence(operation, missing()), problems)
    if (stopped.length > 0) {
      const current = planOf(operation.state)
      await operation.write(
        { plan: { ...current, evidence: [...current.evidence, ...stopped] } },
        {
          kind: 'evidence',
          message: stopped.map((each) => `${each.node}: its instance is stopped`).join(', '),
          facts: { stopped },
        },
      )
    }
    if (missing().length === 0) return []
    if (context.ports.clock.monotonicMs() > deadlineMs) break
    await context.ports.clock.sleep(pollMs)
  }
  return missing().map((id) => problems.get(id) ?? `${id}: its instance is not stopped yet`)
}

/** An instance that is stopped while its node still answers is the wrong instance: the fact is void (H02). */
async function notAnswering(
  operation: Operation,
  stopped: readonly Evidence[],
  problems: Map<NodeId, string>,
): Promise<Evidence[]> {
  if (stopped.length === 0) return []
  const looks = await lookRound(operation, { writeProbe: false })
  return stopped.filter((each) => {
    const answers = looks.some((look) => isAlive(look.nodes[each.node]?.class ?? 'unknown'))
    if (answers)
      problems.set(
        each.node,
        `${each.node} answers although its recorded instance is stopped: the mapping is wrong, run adopt`,
      )
    return !answers
  })
}

/** Asks for the power fence of these nodes, recorded before; the reason where it can not be asked for. */
export async function requestStops(
  operation: Operation,
  nodes: readonly NodeId[],
): Promise<Map<NodeId, string>> {
  const problems = new Map<NodeId, string>()
  const stoppable: { node: NodeConfig; instanceId: string }[] = []
  for (const id of nodes) {
    const node = operation.cluster.nodes.find((each) => each.id === id)
    const instanceId = operation.state.nodes[id]?.instanceId ?? null
    if (node === undefined || instanceId === null) {
      problems.set(
        id,
        `${id}: no instance was recorded while it was healthy, so it can not be fenced: approve term ${operation.state.term} without its fence`,
      )
    } else stoppable.push({ node, instanceId })
  }
  if (stoppable.length === 0) return problems
  const plan = planOf(operation.state)
  const fenceRequested = [...new Set([...plan.fenceRequested, ...stoppable.map(({ node }) => node.id)])]
  await operation.act(
    { plan: { ...plan, fenceRequested } },
    {
      kind: 'fence requested',
      message: `power fence: ${stoppable.map(({ node, instanceId }) => `${node.id} (${instanceId})`).join(', ')}`,
    },
    () =>
      Promise.all(
        stoppable.map(async ({ node, instanceId }) => {
          const answer = await operation.ports.fence.stop(node.region, instanceId)
          if (answer !== 'requested')
            problems.set(node.id, `${node.id}: the stop of ${instanceId} was answered ${answer}`)
        }),
      ),
  )
  await operation.beat()
  return problems
}

/** The fact, read now: the instance that was recorded while the node was healthy is stopped (S2, H02). */
export async function stoppedEvidence(operation: Operation, nodes: readonly NodeId[]): Promise<Evidence[]> {
  const wanted = nodes.flatMap((id) => {
    const node = operation.cluster.nodes.find((each) => each.id === id)
    const instanceId = operation.state.nodes[id]?.instanceId ?? null
    return node === undefined || instanceId === null ? [] : [{ node, instanceId }]
  })
  const evidence: Evidence[] = []
  for (const region of new Set(wanted.map(({ node }) => node.region))) {
    const here = wanted.filter(({ node }) => node.region === region)
    const views = await operation.ports.fence.observe(
      region,
      here.map(({ instanceId }) => instanceId),
    )
    for (const { node, instanceId } of here) {
      const view = views.find((each) => each.instanceId === instanceId)
      if (view?.state === 'stopped')
        evidence.push({ kind: 'instanceStopped', node: node.id, instanceId, term: operation.state.term })
    }
  }
  return evidence
}

/** A person may accept that a possible writer is not fenced; recorded as what it is. */
async function approvedUnfenced(operation: Operation): Promise<void> {
  const plan = planOf(operation.state)
  const { cluster, term } = operation.state
  const approval = await approvalOf(operation.ports, cluster, term)
  if (approval === null) return
  const evidence = unproven(operation.state, plan, plan.target)
    .filter((node) => approval.unfenced.includes(node))
    .map(
      (node): Evidence => ({
        kind: 'approved',
        node,
        term,
        by: approval.by,
        reason: approval.reason,
      }),
    )
  if (evidence.length === 0) return
  await operation.write(
    { plan: { ...plan, evidence: [...plan.evidence, ...evidence] } },
    {
      kind: 'approved',
      message: `${approval.by} accepts a missing fence: ${evidence.map((each) => each.node).join(', ')} (${approval.reason})`,
    },
  )
}

async function fenceSwitchover(operation: Operation, input: WorkflowInput): Promise<StepResult> {
  const stopped = await stopWrites(operation, input)
  if ('result' in stopped) return stopped.result
  const plan = planOf(operation.state)
  const primary = await frozenPrimary(operation, plan.from)
  if ('problem' in primary) {
    if ((input.waits ?? 0) < patience) return waiting(input, 'fence', primary.problem)
    return standDown(
      operation,
      input,
      'C0',
      `the old primary did not come back in recovery: ${primary.problem}`,
      true,
    )
  }
  await record(operation, await freezeAll(operation), [primary.evidence], input)
  const current = planOf(operation.state)
  // The old primary is a follower like the others from here on: it stands exactly at the end of its own log.
  const frozen = {
    ...current.frozen,
    [plan.from]: {
      primaryConninfo: '',
      restoreCommand: '',
      timeline: primary.timeline,
      positionBytes: primary.positionBytes,
      replayable: true,
    },
  }
  await operation.write(
    { plan: { ...current, frozen } },
    { kind: 'frozen', message: `${plan.from} is in recovery and frozen for term ${operation.state.term}` },
  )
  // Another possible writer may be left over from an earlier term: it needs its evidence as in any failover.
  const unfenced = unproven(operation.state, planOf(operation.state), null)
  if (unfenced.length > 0) return waiting(input, 'fence', `not fenced: ${unfenced.join(', ')}`)
  return goPromote(operation, input)
}

export const handler = stepEntry('fence', fence)
