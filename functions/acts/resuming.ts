/** What a resume goes on with: nothing that an older term saw, and forward once a target is recorded (S5, S6). */
import { majority } from '../core/classify.ts'
import { agreement, anyRow } from '../core/looks.ts'
import { fenceAnew } from '../core/managedFence.ts'
import type { FrozenNode, NetworkFence, NodeId, Plan } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { lookRound, planOf } from '../step.ts'
import { freezeIntents } from './freeze.ts'

/** A new term needs every measurement and every fact of a fence anew; what was begun is kept. */
export function resumedPlan(plan: Plan): Plan {
  // With a target recorded the choice stands, and with it the positions that it was made by.
  const looks = { asked: 0, dead: 0, silent: 0, restart: 0 }
  const network: Record<NodeId, NetworkFence> = {}
  for (const [id, fence] of Object.entries(plan.network)) network[id] = fenceAnew(fence)
  if (plan.target !== null) return { ...plan, network, evidence: [], looks }
  const frozen: Record<NodeId, FrozenNode> = {}
  for (const [id, node] of Object.entries(plan.frozen)) {
    frozen[id] = { ...node, positionBytes: null, replayable: null }
  }
  return { ...plan, frozen, network, evidence: [], looks }
}

/** S6, S5: the target is recorded, so only forward; with another target only when a quorum finds this one dead. */
export async function resumeForward(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
  target: NodeId,
): Promise<StepResult> {
  const looks = await lookRound(operation, { writeProbe: false })
  const plan = planOf(operation.state)
  const seen = agreement(looks, context.observers, target)
  const row = anyRow(looks, target)
  if (plan.promotedTimeline !== null) {
    await operation.write(
      { phase: 'repointing' },
      { kind: 'resumed', row: 'L8', message: `${target} was promoted and recorded: going on with the name` },
    )
    return done({ ...input, promoted: { node: target, timeline: plan.promotedTimeline } }, 'repoint')
  }
  if (row && !row.inRecovery && row.timeline > plan.fromTimeline) {
    await operation.write(
      { phase: 'promoting', plan: { ...plan, promotedTimeline: row.timeline } },
      { kind: 'resumed', row: 'L8', message: `${target} was promoted: going on from there` },
    )
    return done(input, 'promote')
  }
  if (row?.inRecovery) {
    await operation.write(
      { phase: 'fencing', plan: { ...plan, frozen: freezeIntents(operation, plan, looks) } },
      {
        kind: 'resumed',
        row: 'L8',
        message: `${target} is still in recovery: fenced and frozen again, then promoted`,
      },
    )
    return done(input, 'fence')
  }
  const dead =
    (seen.votes.refused ?? 0) +
    (seen.votes.silent ?? 0) +
    (seen.votes.unreachable ?? 0) +
    (seen.votes.broken ?? 0)
  const looksDead = dead >= majority(context.observers.length)
  const counts = { ...plan.looks, asked: plan.looks.asked + 1, dead: looksDead ? plan.looks.dead + 1 : 0 }
  if (counts.dead < context.cluster.policy.silentLooks) {
    await operation.write(
      { plan: { ...plan, looks: counts } },
      { kind: 'waiting', row: 'L8', message: `${target} does not answer` },
    )
    return waiting(input, 'confirm', `target ${target} is ${seen.class}`)
  }
  // Positions of an older term count for nothing: who does not answer now can not be chosen (S8).
  const anew = resumedPlan({ ...plan, target: null, targetPositionBytes: null, loss: null })
  // It stays a possible writer: the new target needs evidence against it as well as against the old primary (S1).
  await operation.write(
    {
      phase: 'fencing',
      plan: { ...anew, kind: 'failover', looks: counts, frozen: freezeIntents(operation, anew, looks) },
    },
    {
      kind: 'confirmed',
      row: 'L8',
      message: `target ${target} of the older term is dead: another one is chosen`,
    },
  )
  return done({ ...input, kind: 'failover' }, 'fence')
}
