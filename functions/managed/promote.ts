/**
 * promote, rds: chooses among the replicas of the old primary, writes the target once (S1), and only then asks RDS to
 * promote it; done when RDS and a write of our own agree. After `plan.target` there is only forward (S5).
 */
import { caughtUpAges } from '../acts/ages.ts'
import { standDown } from '../acts/compensate.ts'
import { pollWithinStepMs } from '../core/limits.ts'
import { anyRow } from '../core/looks.ts'
import {
  asynchronousSet,
  decidePromotion,
  managedPromotedNodes,
  type PromoteAnswer,
  withReplaced,
} from '../core/managedPromote.ts'
import { type ManagedRanking, rankManaged } from '../core/managedRank.ts'
import type { ProviderInstance } from '../core/managedView.ts'
import { evidenceFor, possibleWriters, withNodes } from '../core/state.ts'
import type { NodeId, Plan, ProbeRow } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { approvalOf, lookRound, nodeOf, planOf } from '../step.ts'
import type { ManagedPhase } from './dispatch.ts'
import { fenceProblem } from './fencing.ts'
import { actOnRds, problemOfAct, providerPollMs, readProvider, recordedView } from './provider.ts'

/** After so many returns without a fence that holds, a new term judges and fences anew. */
const fencePatience = 8
/** A promotion takes minutes, or longer with the size (USER_ReadRepl.Promote): a person is told, and later a new term goes on. */
const patience = { page: 60, end: 400 }

export const promoteManaged: ManagedPhase = async (context, operation, input) => {
  if (planOf(operation.state).target === null) {
    const chosen = await choose(context, operation, input)
    if (chosen !== undefined) return chosen
  } else {
    const missing = await missingEvidence(operation, planOf(operation.state).target)
    if (missing.length > 0 && !(await isUnderWay(operation))) return withoutFence(input, missing)
  }
  return promoteTarget(context, operation, input)
}

/** Evidence that is gone does not come back by waiting: a new term judges and fences anew. */
function withoutFence(input: WorkflowInput, missing: readonly string[]): StepResult {
  const reason = `the fence does not hold: ${missing.join('; ')}`
  if ((input.waits ?? 0) < fencePatience) return waiting(input, 'promote', reason)
  // The beat stands still from here on, and assess resumes the operation.
  return done(input, 'end', [`${reason}; assess resumes in a new term`])
}

/** S1: evidence for every possible writer but the target, read again now; what is missing, in words. */
async function missingEvidence(operation: Operation, target: NodeId | null): Promise<string[]> {
  const plan = planOf(operation.state)
  const writers = possibleWriters(operation.state).filter((id) => id !== target)
  if (writers.length === 0) return []
  const provider = await readProvider(operation, writers)
  const missing: string[] = []
  for (const node of writers) {
    const evidence = evidenceFor(plan, node, operation.state.term)
    const problem =
      evidence === undefined
        ? `no evidence in term ${operation.state.term}`
        : await fenceProblem(operation, evidence, provider)
    if (problem !== undefined) missing.push(`${node}: ${problem}`)
  }
  return missing
}

/** An attempt before this one may have promoted the target: what can not be undone is finished (S5). */
async function isUnderWay(operation: Operation): Promise<boolean> {
  const { target, fromTimeline, promotedTimeline } = planOf(operation.state)
  if (target === null) return false
  if (promotedTimeline !== null) return true
  const view = recordedView(operation, await readProvider(operation, [target]), target)
  if (view?.source === null) return true
  const row = anyRow(await lookRound(operation, { writeProbe: false }), target)
  return row !== null && !row.inRecovery && row.timeline > fromTimeline
}

// ---------------------------------------------------------------------------------------------------------------
// The choice

/** Reads the evidence again, ranks, and records the target; a result only when it can not go on. */
async function choose(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult | undefined> {
  const missing = await missingEvidence(operation, null)
  if (missing.length > 0) return withoutFence(input, missing)
  const ranking = await ranked(context, operation, input)
  if (ranking.target === null) return noTarget(operation, input, ranking)
  await recordTarget(operation, ranking, ranking.target)
  return undefined
}

async function ranked(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<ManagedRanking> {
  const { cluster, state, ports } = operation
  const plan = planOf(state)
  // Ages count from when the last fact of the fence arrived (S10); what is drained needs none.
  const isDrained = plan.network[plan.from]?.drained === true
  const [provider, approval, caughtUpAgeMs] = await Promise.all([
    readProvider(operation),
    approvalOf(ports, state.cluster, state.term),
    isDrained ? {} : caughtUpAges(context),
  ])
  const looks = await lookRound(operation, { writeProbe: false })
  const rows: Record<NodeId, ProbeRow | null> = {}
  for (const { id } of cluster.nodes) rows[id] = anyRow(looks, id)
  return rankManaged({
    cluster,
    state,
    plan,
    provider,
    rows,
    to: plan.to,
    approval,
    caughtUpAgeMs,
    lag: isDrained ? {} : await lagSamples(operation, provider),
    waits: input.waits ?? 0,
  })
}

/** For people: what CloudWatch says of each replica. A missing sample is unknown. */
async function lagSamples(operation: Operation, provider: Awaited<ReturnType<typeof readProvider>>) {
  const { cluster, ports, state } = operation
  const samples: Record<NodeId, { lagMs: number; ageMs: number } | null> = {}
  await Promise.all(
    cluster.nodes.map(async (node) => {
      const view = recordedView(operation, provider, node.id)
      if (node.id === state.primary || !view?.source) return
      samples[node.id] = await ports.rds.lag(node.region, view.identifier).catch(() => null)
    }),
  )
  return samples
}

async function noTarget(
  operation: Operation,
  input: WorkflowInput,
  ranking: ManagedRanking,
): Promise<StepResult> {
  const passedOver = Object.entries(ranking.passedOver).map(([id, why]) => `${id}: ${why}`)
  const message = `${ranking.reason}${passedOver.length > 0 ? ` (${passedOver.join('; ')})` : ''}`
  const { row, candidate, loss } = ranking
  if (planOf(operation.state).kind === 'switchover' && !ranking.waits)
    return standDown(operation, input, row, `no switchover: ${message}`, true, ranking.facts)
  if (
    operation.state.lastEvent.row !== row ||
    (!ranking.waits && operation.state.lastEvent.message !== message)
  ) {
    const kind = ranking.waits ? 'waiting' : 'paged'
    const facts = { candidate, loss, passedOver: ranking.passedOver, decided: ranking.facts }
    await operation.write({}, { kind, row, message, facts })
  }
  return waiting(input, 'promote', `${row}: ${message}`)
}

async function recordTarget(operation: Operation, ranking: ManagedRanking, target: NodeId): Promise<void> {
  const { state } = operation
  const plan = planOf(state)
  const possibleWriter = {
    term: state.term,
    timeline: plan.fromTimeline,
    synchronous: asynchronousSet(target),
  }
  await operation.write(
    {
      plan: { ...plan, target, targetPositionBytes: ranking.positionBytes, loss: ranking.loss },
      // The same write makes the target a possible writer: from here on nobody may promote without evidence against it.
      nodes: withNodes(state, { [target]: { role: 'target', term: state.term, possibleWriter } }),
    },
    {
      kind: 'target',
      row: ranking.row,
      message: `${target} at byte ${ranking.positionBytes}: ${ranking.reason}`,
      facts: { passedOver: ranking.passedOver, loss: ranking.loss, decided: ranking.facts },
    },
  )
}

// ---------------------------------------------------------------------------------------------------------------
// The promotion

async function promoteTarget(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult> {
  const { clock } = context.ports
  const deadlineMs = clock.monotonicMs() + pollWithinStepMs
  let unseen = 0
  let problem: string | null = null
  for (;;) {
    const { target, promotion } = promotionOf(planOf(operation.state))
    const { answer, row, view } = await lookAtTarget(operation, {
      target,
      promotion,
      unseen,
      waits: input.waits ?? 0,
    })
    if (answer.does === 'done' && row !== null) return promoted(operation, input, { target, row, answer })
    if (answer.does === 'lost') return lost(operation, input, answer)
    if (answer.does === 'promote' && view !== null) {
      problem = await askForPromotion(operation, { target, view, answer })
      unseen = 0
    } else unseen++
    if (clock.monotonicMs() > deadlineMs) return notYet(operation, input, { target, answer, problem })
    await clock.sleep(providerPollMs)
  }
}

function promotionOf(plan: Plan): { target: NodeId; promotion: 'accepted' | 'no' } {
  if (plan.target === null) throw new Error('promoting without a target')
  return { target: plan.target, promotion: plan.facts.promotion === 'accepted' ? 'accepted' : 'no' }
}

async function lookAtTarget(
  operation: Operation,
  args: { target: NodeId; promotion: 'accepted' | 'no'; unseen: number; waits: number },
): Promise<{ answer: PromoteAnswer; row: ProbeRow | null; view: ProviderInstance | null }> {
  const { target } = args
  const { managed } = operation.cluster
  if (managed === null) throw new Error(`${operation.cluster.id} is not run by the provider`)
  const provider = await readProvider(operation, [target])
  const view = recordedView(operation, provider, target)
  const looks = await lookRound(operation, { writeProbe: true, on: target })
  const rows = looks.flatMap((look) => {
    const outcome = look.nodes[target]?.outcome
    return outcome?.kind === 'answered' ? [outcome.row] : []
  })
  const row = rows.find((each) => each.writeProbe === 'ok') ?? rows[0] ?? null
  const answer = decidePromotion({
    managed,
    target,
    resourceId: operation.state.nodes[target]?.instanceId ?? null,
    answers: provider.get(nodeOf(operation, target).region) !== null,
    view,
    row,
    fromTimeline: planOf(operation.state).fromTimeline,
    accepted: args.promotion === 'accepted',
    unseen: args.unseen,
    waits: args.waits,
  })
  return { answer, row, view }
}

/** Observed, and not yet done: asked for. What came of it, for people; null: it was accepted. */
async function askForPromotion(
  operation: Operation,
  args: { target: NodeId; view: ProviderInstance; answer: PromoteAnswer },
): Promise<string | null> {
  const { target, view, answer } = args
  const plan = planOf(operation.state)
  const outcome = await actOnRds(operation, {
    node: nodeOf(operation, target),
    act: { do: 'promote', instance: view.identifier, backupRetentionDays: await retention(operation, view) },
    note: { kind: 'promotion requested', row: answer.row, message: answer.reason, facts: answer.facts },
  })
  if (outcome.outcome === 'requested' && plan.facts.promotion !== 'accepted') {
    const current = planOf(operation.state)
    await operation.write(
      { plan: { ...current, facts: { ...current.facts, promotion: 'accepted' } } },
      {
        kind: 'promotion accepted',
        row: answer.row,
        message: `RDS accepted the promotion of ${target}`,
        facts: answer.facts,
      },
    )
  }
  return problemOfAct(outcome)
}

/** That of the old primary, since the default is one day; without backups the new one could have no replicas. */
async function retention(operation: Operation, target: ProviderInstance): Promise<number> {
  const { from } = planOf(operation.state)
  const old = recordedView(operation, await readProvider(operation, [from]), from)
  return Math.max(1, old?.backupRetentionDays ?? target.backupRetentionDays)
}

async function promoted(
  operation: Operation,
  input: WorkflowInput,
  args: { target: NodeId; row: ProbeRow; answer: PromoteAnswer },
): Promise<StepResult> {
  const { target, row, answer } = args
  const { timeline } = row
  const { state } = operation
  const plan = planOf(state)
  const old = state.nodes[plan.from]?.instanceId
  const replaced = old
    ? {
        node: plan.from,
        resourceId: old,
        region: nodeOf(operation, plan.from).region,
        term: state.term,
        was: 'primary' as const,
      }
    : null
  await operation.write(
    {
      phase: 'repointing',
      primary: target,
      timeline,
      synchronous: asynchronousSet(target),
      nodes: managedPromotedNodes(state, plan, { target, timeline }),
      replaced: withReplaced(state.replaced, replaced),
      plan: { ...plan, promotedTimeline: timeline },
    },
    {
      kind: 'promoted',
      row: answer.row,
      message: `${answer.reason}; it writes on timeline ${timeline}, and nobody replicates from it yet`,
      facts: { target, timeline, loss: plan.loss, decided: answer.facts },
    },
  )
  return done({ ...input, promoted: { node: target, timeline } }, 'repoint')
}

/** Only a new term may choose another target. The beat stands still from here on, and assess resumes the operation. */
async function lost(operation: Operation, input: WorkflowInput, answer: PromoteAnswer): Promise<StepResult> {
  if (operation.state.lastEvent.message !== answer.reason)
    await operation.write({}, { kind: 'paged', row: answer.row, message: answer.reason, facts: answer.facts })
  if ((input.waits ?? 0) < fencePatience) return waiting(input, 'promote', answer.reason)
  return done(input, 'end', [`${answer.reason}; assess resumes in a new term`])
}

async function notYet(
  operation: Operation,
  input: WorkflowInput,
  args: { target: NodeId; answer: PromoteAnswer; problem: string | null },
): Promise<StepResult> {
  const { target, answer } = args
  const waits = input.waits ?? 0
  const problem = args.problem === null ? '' : ` (last answer of RDS: ${args.problem})`
  const message = `${answer.reason}${problem}`
  if (waits === patience.page)
    await operation.write({}, { kind: 'paged', row: answer.row, message, facts: answer.facts })
  if (waits < patience.end) return waiting(input, 'promote', `${answer.row}: ${message}`)
  return done(input, 'end', [`${target} is not promoted: ${message}; assess resumes in a new term`])
}
