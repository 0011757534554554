/**
 * promote: chooses the target among the frozen standbys, writes it once (S1), and only then tells it to accept writes;
 * points the other standbys at it at once, since until one streams no commit can return. After `plan.target` there is
 * only forward (S5).
 */
import { caughtUpAges } from './acts/ages.ts'
import { standDown } from './acts/compensate.ts'
import { frozenPrimary, quorumFor, stoppedEvidence } from './acts/evidence.ts'
import { freezeAll, freezeIntents, measurementsOf } from './acts/freeze.ts'
import { anyRow } from './core/looks.ts'
import { formatLsn } from './core/positions.ts'
import { type Ranking, rank } from './core/rank.ts'
import { followName } from './core/settle.ts'
import { evidenceFor, possibleWriters, promotedNodes, withNodes } from './core/state.ts'
import { listForTarget, parseSynchronousNames } from './core/synchronous.ts'
import type { Evidence, FrozenNode, NodeId, Plan, SynchronousSet } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { type StepContext, stepEntry } from './entry.ts'
import { managedPhases } from './managed/dispatch.ts'
import { done, Operation, waiting } from './operation.ts'
import { approvalOf, assertPhase, lookRound, nodeOf, planOf } from './step.ts'

/** After this many returns without a promotion the target is doubted: confirm looks at it in a new term. */
const patience = 8

export async function promote(context: StepContext, input: WorkflowInput): Promise<StepResult> {
  const operation = await Operation.begin(context.operationOptions('promote'))
  assertPhase(operation, input, 'promoting')
  await operation.beat()
  const managed = managedPhases(context.cluster)
  if (managed !== null) return managed.promote(context, operation, input)
  if (planOf(operation.state).target === null) {
    const chosen = await choose(context, operation, input)
    if (chosen !== undefined) return chosen
  } else {
    const missing = await missingEvidence(operation, planOf(operation.state).target)
    if (missing.length > 0 && !(await isPromoted(operation))) return withoutFence(input, missing)
  }
  return promoteTarget(operation, input)
}

/**
 * An attempt before this one may have promoted the target and died: what held a quorum fence follows the target by now,
 * which is a fence as good (S2), and there is only forward (S5).
 */
async function isPromoted(operation: Operation): Promise<boolean> {
  const { target, fromTimeline, promotedTimeline } = planOf(operation.state)
  if (promotedTimeline !== null) return true
  const looks = await lookRound(operation, { writeProbe: false })
  const row = target === null ? null : anyRow(looks, target)
  return row !== null && !row.inRecovery && row.timeline > fromTimeline
}

/** Evidence that is gone does not come back by waiting: a new term judges and fences anew. */
function withoutFence(input: WorkflowInput, missing: readonly string[]): StepResult {
  const reason = `the fence does not hold any more: ${missing.join('; ')}`
  if ((input.waits ?? 0) < patience) return waiting(input, 'promote', reason)
  // The beat stands still from here on, and assess resumes the operation.
  return done(input, 'end', [`${reason}; assess resumes in a new term`])
}

/** Reads the evidence again, measures, ranks, and records the target; a result only when it can not go on. */
async function choose(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult | undefined> {
  const [missing, approval] = await Promise.all([
    missingEvidence(operation, null),
    approvalOf(operation.ports, operation.state.cluster, operation.state.term),
  ])
  if (missing.length > 0) return withoutFence(input, missing)
  const plan = planOf(operation.state)
  const ranking = rank({
    cluster: context.cluster,
    state: operation.state,
    plan,
    measurements: measurementsOf(plan),
    unmeasured: unmeasuredOf(context, plan),
    to: plan.to,
    approval,
    caughtUpAgeMs: context.cluster.policy.loss.mode === 'bounded' ? await caughtUpAges(context) : {},
    mustReachBytes: plan.writeStop?.checkpointBytes ?? null,
  })
  if (ranking.target === null) return noTarget(operation, input, ranking)
  await recordTarget(operation, plan, ranking, ranking.target)
  return undefined
}

async function recordTarget(
  operation: Operation,
  plan: Plan,
  ranking: Ranking,
  target: NodeId,
): Promise<void> {
  const { state } = operation
  const possibleWriter = {
    term: state.term,
    timeline: plan.fromTimeline,
    synchronous: listOf(operation, plan, target).set,
  }
  await operation.write(
    {
      plan: {
        ...plan,
        target,
        targetPositionBytes: ranking.positionBytes,
        loss: ranking.loss,
        fenceRequested: [...plan.fenceRequested, ...heldByQuorum(plan, state.term, target)],
      },
      // The same write makes the target a possible writer: from here on nobody may promote without evidence against it.
      nodes: withNodes(state, { [target]: { role: 'target', term: state.term, possibleWriter } }),
    },
    {
      kind: 'target',
      row: ranking.row,
      message: `${target} at ${formatLsn(ranking.positionBytes ?? 0)}: ${ranking.reason}`,
      facts: {
        passedOver: ranking.passedOver,
        loss: ranking.loss,
        positions: measurementsOf(plan),
        decided: ranking.facts,
      },
    },
    { open: true },
  )
}

/** Writers that only a quorum holds: their power fence is asked for as soon as the target is recorded (S2). */
function heldByQuorum(plan: Plan, term: number, target: NodeId): NodeId[] {
  return plan.evidence
    .filter((each) => each.kind === 'quorum' && each.node !== target && each.term === term)
    .map((each) => each.node)
    .filter((node) => !plan.fenceRequested.includes(node))
}

async function noTarget(operation: Operation, input: WorkflowInput, ranking: Ranking): Promise<StepResult> {
  const plan = planOf(operation.state)
  const passedOver = Object.entries(ranking.passedOver).map(([id, why]) => `${id}: ${why}`)
  const message = `${ranking.reason}${passedOver.length > 0 ? ` (${passedOver.join('; ')})` : ''}`
  if (plan.kind === 'switchover')
    return standDown(operation, input, ranking.row, `no switchover: ${message}`, true, ranking.facts)
  const returned = await returnedStandbys(operation, plan)
  if (returned !== null) {
    await operation.write(
      { phase: 'fencing', plan: { ...plan, frozen: returned } },
      {
        kind: 'waiting',
        row: ranking.row,
        message: `a standby is back and is measured too: ${message}`,
        facts: { decided: ranking.facts },
      },
    )
    return waiting(input, 'fence', message)
  }
  if (operation.state.lastEvent.row !== ranking.row || operation.state.lastEvent.message !== message) {
    await operation.write(
      {},
      {
        kind: 'paged',
        row: ranking.row,
        message,
        facts: {
          candidate: ranking.candidate,
          loss: ranking.loss,
          passedOver: ranking.passedOver,
          decided: ranking.facts,
        },
      },
    )
  }
  return waiting(input, 'promote', `${ranking.row}: ${message}`)
}

/** The plan's frozen nodes with those that were away when it was made and answer now; null when there are none. */
async function returnedStandbys(operation: Operation, plan: Plan): Promise<Plan['frozen'] | null> {
  const looks = await lookRound(operation, { writeProbe: false })
  const frozen = freezeIntents(operation, plan, looks)
  const isBack = ([id, node]: [NodeId, FrozenNode]) =>
    node.positionBytes === null && anyRow(looks, id)?.inRecovery === true
  return Object.entries(frozen).some(isBack) ? frozen : null
}

async function promoteTarget(operation: Operation, input: WorkflowInput): Promise<StepResult> {
  const plan = planOf(operation.state)
  const target = plan.target
  if (target === null) throw new Error('promoting without a target')
  const list = listOf(operation, plan, target)
  // A quorum holds the old primary only while it is watched; the power fence is asked for as soon as the target is
  // recorded, beside the promotion, and settle insists on it (S2). What comes of it does not delay the writes.
  const fencing = requestPowerBehindQuorum(operation, plan)
  const result = await operation.sql(target, {
    do: 'promote',
    expectedTimeline: plan.fromTimeline,
    synchronousStandbyNames: list.set.names,
  })
  if (result.outcome !== 'done' || result.timeline === undefined) {
    await fencing
    return notPromoted(operation, input, target, result.message)
  }
  const following = await follow(operation, plan, target, list)
  await fencing
  const timeline = result.timeline
  await operation.write(
    {
      phase: 'repointing',
      primary: target,
      timeline,
      synchronous: { ...list.set, primary: target },
      nodes: promotedNodes(operation.state, plan, {
        target,
        timeline,
        set: list.set,
        diverged: list.diverged,
        following,
      }),
      plan: { ...planOf(operation.state), promotedTimeline: timeline },
    },
    {
      kind: 'promoted',
      message: `${target} accepts writes on timeline ${timeline}; ${following.length > 0 ? `${following.join(', ')} follow${following.length > 1 ? '' : 's'}` : 'nobody follows yet'}`,
      facts: {
        target,
        timeline,
        following,
        diverged: list.diverged,
        list: list.set.names,
        listReason: list.reason,
      },
    },
  )
  return done({ ...input, promoted: { node: target, timeline } }, 'repoint')
}

async function notPromoted(
  operation: Operation,
  input: WorkflowInput,
  target: NodeId,
  message: string,
): Promise<StepResult> {
  await operation.write({}, { kind: 'waiting', message: `${target} is not promoted yet: ${message}` })
  if ((input.waits ?? 0) < patience) return waiting(input, 'promote', `${target}: ${message}`)
  // Only a new term may choose another target. The beat stands still from here on, and assess resumes the operation.
  return {
    ...done(input, 'end', [`${target} could not be promoted: ${message}; assess resumes in a new term`]),
  }
}

interface TargetList {
  readonly set: SynchronousSet
  readonly listed: readonly NodeId[]
  readonly diverged: readonly NodeId[]
  readonly reason: string
}

/** The target's own synchronous list, set before it is promoted: nobody who was measured beyond it (S9, H03b). */
function listOf(operation: Operation, plan: Plan, target: NodeId): TargetList {
  const measurements = measurementsOf(plan)
  const list = listForTarget({
    cluster: operation.cluster,
    target,
    targetPositionBytes: plan.targetPositionBytes ?? measurements[target]?.positionBytes ?? 0,
    measurements,
    loss: operation.cluster.policy.loss,
  })
  const parsed = parseSynchronousNames(list.names)
  const isList = parsed.kind === 'list'
  const set: SynchronousSet = {
    status: isList ? 'provable' : 'asynchronous',
    names: list.names,
    method: isList ? parsed.method : null,
    k: isList ? parsed.k : 0,
    listed: list.listed,
    primary: target,
    reasons: isList ? [] : [list.reason],
  }
  return { set, listed: list.listed, diverged: list.diverged, reason: list.reason }
}

/** Points the others at the new primary; who was measured beyond it would never stream and is left frozen. */
async function follow(operation: Operation, plan: Plan, target: NodeId, list: TargetList): Promise<NodeId[]> {
  const upstream = operation.cluster.nodes.find((node) => node.id === target)
  if (upstream === undefined) return []
  const others = Object.entries(plan.frozen).filter(
    ([id, node]) => id !== target && node.positionBytes !== null && !list.diverged.includes(id),
  )
  const results = await Promise.all(
    others.map(async ([id, before]) => {
      const result = await operation.sql(id, {
        do: 'follow',
        upstream: { address: upstream.address, port: upstream.port },
        applicationName: followName(id, list.listed.includes(id)),
        restoreCommand: before.restoreCommand,
      })
      return result.outcome === 'done' ? [id] : []
    }),
  )
  return results.flat()
}

/**
 * Beside the promotion, whose write recorded the intent. What comes of it does not delay the writes, so it never
 * throws: settle reads the instances and asks again.
 */
async function requestPowerBehindQuorum(operation: Operation, plan: Plan): Promise<void> {
  const held = plan.evidence.filter(
    (each) => each.kind === 'quorum' && plan.fenceRequested.includes(each.node),
  )
  try {
    await operation.assertMine()
    await Promise.all(
      held.map(async ({ node }) => {
        const instanceId = operation.state.nodes[node]?.instanceId
        if (instanceId) await operation.ports.fence.stop(nodeOf(operation, node).region, instanceId)
      }),
    )
  } catch (error) {
    operation.ports.logger.warn('the power fence behind the quorum could not be requested', {
      error: String(error),
    })
  }
}

/** S1: evidence for every possible writer but the target, read again now; what is missing, in words. */
async function missingEvidence(operation: Operation, target: NodeId | null): Promise<string[]> {
  const plan = planOf(operation.state)
  const missing: string[] = []
  const frozen = Object.keys((await freezeAll(operation, { do: 'measure' })).frozen)
  const quorum = quorumFor(operation, frozen)
  for (const node of possibleWriters(operation.state)) {
    if (node === target) continue
    const evidence = evidenceFor(plan, node, operation.state.term)
    if (evidence === undefined) missing.push(`${node}: no evidence in term ${operation.state.term}`)
    else if (!(await holds(operation, evidence, quorum)))
      missing.push(`${node}: ${evidence.kind} does not hold any more`)
  }
  return missing
}

async function holds(
  operation: Operation,
  evidence: Evidence,
  quorum: readonly Evidence[],
): Promise<boolean> {
  switch (evidence.kind) {
    case 'quorum':
      return quorum.some((each) => each.node === evidence.node)
    case 'instanceStopped':
      return (await stoppedEvidence(operation, [evidence.node])).length > 0
    case 'frozenInRecovery':
      return 'evidence' in (await frozenPrimary(operation, evidence.node))
    case 'closedAndRebooted':
    case 'elected':
      return false // facts of managed engines, which have their own step
    case 'approved': {
      const approval = await approvalOf(operation.ports, operation.state.cluster, operation.state.term)
      return approval?.unfenced.includes(evidence.node) ?? false
    }
  }
}

function unmeasuredOf(context: StepContext, plan: Plan): Record<NodeId, string> {
  const why: Record<NodeId, string> = {}
  for (const node of context.cluster.nodes) {
    if (node.id === plan.from && !plan.frozen[node.id]) why[node.id] = 'it is the old primary'
    else if (!plan.frozen[node.id]) why[node.id] = 'it did not answer as a standby when the operation began'
    else if (plan.frozen[node.id]?.positionBytes == null) why[node.id] = 'it could not be frozen and measured'
  }
  return why
}

export const handler = stepEntry('promote', promote)
