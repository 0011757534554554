/**
 * confirm: claims the cluster (term + 1) and judges by looks that it asked for after its claim whether the primary is
 * dead. It alone may decide so: reports and assess are hints. Rows `L…` (claim) and `C…` (judgement) name each answer.
 */
import { judgeDeath } from './acts/judging.ts'
import { recordRefusal } from './acts/refusal.ts'
import { resumedPlan, resumeForward, undoSwitchover } from './acts/resuming.ts'
import { checkSwitchover } from './acts/switchover.ts'
import { mayClaim } from './core/claim.ts'
import { zombieWaitSeconds } from './core/limits.ts'
import { freshPlan } from './core/state.ts'
import type { ClusterState, Plan } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { type StepContext, stepEntry } from './entry.ts'
import { managedPhases } from './managed/dispatch.ts'
import { Operation, refused, waiting } from './operation.ts'
import { approvalOf, assertPhase, planOf } from './step.ts'

export async function confirm(context: StepContext, input: WorkflowInput): Promise<StepResult> {
  const operation = await Operation.begin(context.operationOptions('confirm'))
  if (input.term === undefined) {
    const claimed = await claim(context, operation, input)
    if ('outcome' in claimed) return claimed
    return proceed(context, operation, claimed)
  }
  assertPhase(operation, input, 'confirming')
  await operation.beat()
  return proceed(context, operation, input)
}

/** Raises the term. From here on whoever acts for an older term is refused. */
async function claim(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult | (WorkflowInput & { term: number })> {
  const { state, ports } = operation
  // A retry of this very execution whose first attempt claimed and never answered: the term is ours already.
  if (state.claim?.holder === context.execution && state.phase !== 'steady' && state.phase !== 'settling') {
    const mine = { ...input, term: state.term }
    assertPhase(operation, mine, 'confirming')
    await operation.beat()
    return mine
  }
  const [fleet, approval] = await Promise.all([
    ports.store.readFleet(),
    // Only a cooldown asks for it, and only from automation (L7).
    input.automatic && state.lastFailover ? approvalOf(ports, state.cluster, state.term + 1) : null,
  ])
  const answer = mayClaim({
    cluster: context.cluster,
    state,
    input,
    execution: context.execution,
    clockMs: fleet.kind === 'found' ? fleet.value.clockMs : null,
    approved: approval !== null,
  })
  if (answer.may === 'refuse') {
    const { row, reason, facts } = answer
    await recordRefusal(ports, state, { input, execution: context.execution, row, reason, decided: facts })
    return refused(input, [`${row}: ${reason}`])
  }
  if (answer.may === 'wait') {
    return {
      ...waiting({ ...input, waitedFor: answer.claimId }, 'confirm', `${answer.row}: ${answer.reason}`),
      waitSeconds: zombieWaitSeconds,
    }
  }
  const term = state.term + 1
  const resumed = input.kind === 'resume' ? state.plan : null
  await operation.write(
    {
      term,
      phase: 'confirming',
      plan: resumed ? resumedPlan(resumed) : newPlan(input, state, answer.returnTo),
    },
    {
      kind: 'claimed',
      row: input.automatic?.row ?? answer.row,
      message: `${input.kind} claimed the cluster as term ${term}: ${input.reason}`,
      facts: {
        ...input.automatic?.facts,
        execution: context.execution,
        claim: { row: answer.row, facts: answer.facts },
      },
    },
    // It was judged by this very state: a pause that came meanwhile is asked about anew (S14).
    { again: false },
  )
  return { ...input, term }
}

function newPlan(input: WorkflowInput, state: ClusterState, returnTo: Plan['returnTo']): Plan {
  return freshPlan(state, {
    kind: input.kind,
    reason: input.reason,
    by: input.by ?? (input.automatic ? 'assess' : 'operator'),
    automatic: input.automatic !== undefined,
    to: input.to ?? null,
    returnTo,
    facts: input.automatic?.facts ?? {},
    from: state.primary,
  })
}

async function proceed(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult> {
  const managed = managedPhases(context.cluster)
  if (managed !== null) return managed.confirm(context, operation, input)
  const plan = planOf(operation.state)
  if (input.kind === 'resume' && plan.target !== null)
    return resumeForward(context, operation, input, plan.target)
  if (plan.kind === 'switchover') {
    return input.kind === 'resume'
      ? undoSwitchover(operation, input)
      : checkSwitchover(context, operation, input)
  }
  return judgeDeath(context, operation, input)
}

export const handler = stepEntry('confirm', confirm)
