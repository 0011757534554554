/** What a resume goes on with: nothing that an older term saw, and forward once a target is recorded (S5, S6). */
import { majority } from '../core/classify.ts'
import { agreement, anyRow } from '../core/looks.ts'
import { fenceAnew } from '../core/managedFence.ts'
import { decideResume, type ResumeAnswer, type TargetSeen } from '../core/resume.ts'
import type { FrozenNode, Look, NetworkFence, NodeId, Plan } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { lookRound, planOf } from '../step.ts'
import { standDown } from './compensate.ts'
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
  const plan = planOf(operation.state)
  const { silentLooks } = context.cluster.policy
  if (plan.promotedTimeline !== null)
    return goOnWithName(operation, input, decideResume(plan, null, silentLooks))
  const looks = await lookRound(operation, { writeProbe: false })
  const row = anyRow(looks, target)
  const answer = decideResume(
    plan,
    {
      ...downOf(context, looks, target),
      promoted: row !== null && !row.inRecovery && row.timeline > plan.fromTimeline,
      standby: row?.inRecovery === true,
      gone: false,
    },
    silentLooks,
  )
  const resumed = { row: answer.row, message: answer.reason, facts: answer.facts }
  switch (answer.does) {
    case 'promote':
      await operation.write(
        { phase: 'promoting', plan: { ...plan, promotedTimeline: row?.timeline ?? null } },
        { kind: 'resumed', ...resumed },
      )
      return done(input, 'promote')
    case 'fence':
      await operation.write(
        { phase: 'fencing', plan: { ...plan, frozen: freezeIntents(operation, plan, looks) } },
        { kind: 'resumed', ...resumed },
      )
      return done(input, 'fence')
    case 'anew': {
      // Positions of an older term count for nothing: who does not answer now can not be chosen (S8).
      const anew = resumedPlan({ ...plan, target: null, targetPositionBytes: null, loss: null })
      const frozen = freezeIntents(operation, anew, looks)
      // It stays a possible writer: the new target needs evidence against it as well as against the old primary (S1).
      await operation.write(
        { phase: 'fencing', plan: { ...anew, kind: 'failover', looks: answer.counts, frozen } },
        { kind: 'confirmed', ...resumed },
      )
      return done({ ...input, kind: 'failover' }, 'fence')
    }
    default:
      await operation.write({ plan: { ...plan, looks: answer.counts } }, { kind: 'waiting', ...resumed })
      return waiting(input, 'confirm', `${answer.row}: ${answer.reason}`)
  }
}

/** The promotion is recorded: the name is what is left. */
export async function goOnWithName(
  operation: Operation,
  input: WorkflowInput,
  { row, reason, facts }: ResumeAnswer,
): Promise<StepResult> {
  const { target, promotedTimeline } = planOf(operation.state)
  if (target === null || promotedTimeline === null) throw new Error('no promotion is recorded')
  await operation.write({ phase: 'repointing' }, { kind: 'resumed', row, message: reason, facts })
  return done({ ...input, promoted: { node: target, timeline: promotedTimeline } }, 'repoint')
}

/** To how many observers it is down. */
export function downOf(
  context: StepContext,
  looks: readonly Look[],
  target: NodeId,
): Pick<TargetSeen, 'class' | 'down' | 'quorum'> {
  const seen = agreement(looks, context.observers, target)
  const { refused = 0, silent = 0, unreachable = 0, broken = 0 } = seen.votes
  const down = refused + silent + unreachable + broken
  return { class: seen.class, down, quorum: majority(context.observers.length) }
}

/** S5: a switchover is undoable before its target is recorded, and a resume undoes it. */
export function undoSwitchover(operation: Operation, input: WorkflowInput): Promise<StepResult> {
  const { row, reason, facts } = decideResume(planOf(operation.state), null, 0)
  return standDown(operation, input, row, reason, false, facts)
}
