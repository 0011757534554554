/**
 * fence: makes every possible writer unable to accept writes and holds the positive fact of it (S1, S2), freezes the
 * standbys and measures them. With `fence: quorum` the freeze is the fence; with `power` the freeze follows it.
 */
import { standDown } from './acts/compensate.ts'
import { frozenPrimary, notAnswering, quorumFor, requestStops, stoppedEvidence } from './acts/evidence.ts'
import { type Frozen, freezeAll } from './acts/freeze.ts'
import { stopWrites } from './acts/switchover.ts'
import { pollWithinStepMs } from './core/limits.ts'
import { formatLsn } from './core/positions.ts'
import { unproven } from './core/state.ts'
import type { Evidence, Plan } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { type StepContext, stepEntry } from './entry.ts'
import { managedPhases } from './managed/dispatch.ts'
import { done, Operation, waiting } from './operation.ts'
import { approvalOf, assertPhase, planOf } from './step.ts'

/** EC2 is asked again soon at first, then ever more rarely: a stop takes nothing or tens of seconds, and its API throttles. */
const pollMs = { first: 40, most: 1_000 }

/** A switchover that comes back this often for the same thing backs out. */
const patience = 10

export async function fence(context: StepContext, input: WorkflowInput): Promise<StepResult> {
  const operation = await Operation.begin(context.operationOptions('fence'))
  assertPhase(operation, input, 'fencing')
  await operation.beat()
  const managed = managedPhases(context.cluster)
  if (managed !== null) return managed.fence(context, operation, input)
  if (planOf(operation.state).kind === 'switchover') return fenceSwitchover(operation, input)
  await freezeFollowers(operation)
  const plan = planOf(operation.state)
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

/**
 * A writer of old that follows by now is a standby like the others: frozen for this term it is harmless (S2). Its power
 * fence would take a member of the list, and with it the proof that nothing is lost.
 */
async function freezeFollowers(operation: Operation): Promise<void> {
  const plan = planOf(operation.state)
  const followers = unproven(operation.state, plan, plan.target).filter(
    (id) => plan.frozen[id] !== undefined && operation.state.nodes[id]?.role === 'standby',
  )
  const { term } = operation.state
  const evidence: Evidence[] = []
  for (const node of followers) {
    const result = await operation.sql(node, { do: 'freeze' })
    if (result.outcome === 'done') evidence.push({ kind: 'frozenInRecovery', node, term })
  }
  if (evidence.length === 0) return
  await operation.write(
    { plan: { ...plan, evidence: [...plan.evidence, ...evidence] } },
    {
      kind: 'evidence',
      message: evidence.map((each) => `${each.node}: in recovery and frozen`).join(', '),
      facts: { evidence },
    },
  )
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
  // Promote and this step send each other on while a standby answers and can not be frozen: more and more rarely.
  return { ...done(input, 'promote'), waits: input.waits ?? 0 }
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
  let waitMs = pollMs.first
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
    await context.ports.clock.sleep(waitMs)
    waitMs = Math.min(2 * waitMs, pollMs.most)
  }
  return missing().map((id) => problems.get(id) ?? `${id}: its instance is not stopped yet`)
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
  // The script froze it for the term that stopped it; who resumes that freezes it, as recorded, for its own.
  const action = plan.frozen[plan.from] === undefined ? 'measure' : 'freeze'
  const primary = await frozenPrimary(operation, plan.from, action)
  if ('problem' in primary)
    return backOut(operation, input, `the old primary did not come back in recovery: ${primary.problem}`)
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
  const unfenced = unproven(operation.state, planOf(operation.state), plan.target)
  if (unfenced.length > 0) return backOut(operation, input, `not fenced: ${unfenced.join(', ')}`)
  return goPromote(operation, input)
}

/**
 * Comes back for a while, then undoes what was begun; a resumed one whose target is recorded has only forward (S5): its
 * beat stands still from here on, and assess resumes it in a new term.
 */
async function backOut(operation: Operation, input: WorkflowInput, reason: string): Promise<StepResult> {
  if ((input.waits ?? 0) < patience) return waiting(input, 'fence', reason)
  if (planOf(operation.state).target !== null)
    return done(input, 'end', [`${reason}; assess resumes in a new term`])
  return standDown(operation, input, 'C0', reason, true)
}

export const handler = stepEntry('fence', fence)
