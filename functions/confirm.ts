/**
 * confirm: claims the cluster (term + 1) and judges by looks that it asked for after its claim whether the primary is
 * dead. It alone may decide so: reports and assess are hints. Rows `L…` (claim) and `C…` (judgement) name each answer.
 */
import { standDown } from './acts/compensate.ts'
import { freezeIntents } from './acts/freeze.ts'
import { recordRefusal } from './acts/refusal.ts'
import { checkSwitchover } from './acts/switchover.ts'
import { mayClaim } from './core/claim.ts'
import { majority } from './core/classify.ts'
import { judge, type Verdict } from './core/confirm.ts'
import { zombieWaitSeconds } from './core/limits.ts'
import { agreement, anyRow } from './core/looks.ts'
import type { ClusterState, FrozenNode, Look, NodeId, Plan, Report } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { type StepContext, stepEntry } from './entry.ts'
import { done, Operation, refused, waiting } from './operation.ts'
import { approvalOf, assertPhase, lookRound, planOf } from './step.ts'

/** At least this long between two looks, so that a stream has time to show progress. */
const betweenLooksMs = 50

/** Looks of one invocation are asked for during at most this long; then the step comes back. */
const judgeMs = 8_000

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
    const { row, reason } = answer
    await recordRefusal(ports, state, { input, execution: context.execution, row, reason })
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
      facts: { execution: context.execution, ...input.automatic?.facts },
    },
  )
  return { ...input, term }
}

function newPlan(input: WorkflowInput, state: ClusterState, returnTo: Plan['returnTo']): Plan {
  return {
    kind: input.kind,
    reason: input.reason,
    by: input.by ?? (input.automatic ? 'assess' : 'operator'),
    automatic: input.automatic !== undefined,
    to: input.to ?? null,
    returnTo,
    facts: input.automatic?.facts ?? {},
    from: state.primary,
    fromTimeline: state.timeline,
    looks: { asked: 0, dead: 0, silent: 0, restart: 0 },
    frozen: {},
    writeStop: null,
    evidence: [],
    fenceRequested: [],
    target: null,
    targetPositionBytes: null,
    loss: null,
    promotedTimeline: null,
  }
}

/** A new term needs every measurement and every fact of a fence anew; what was begun is kept. */
function resumedPlan(plan: Plan): Plan {
  // With a target recorded the choice stands, and with it the positions that it was made by.
  const looks = { asked: 0, dead: 0, silent: 0, restart: 0 }
  if (plan.target !== null) return { ...plan, evidence: [], looks }
  const frozen: Record<NodeId, FrozenNode> = {}
  for (const [id, node] of Object.entries(plan.frozen)) {
    frozen[id] = { ...node, positionBytes: null, replayable: null }
  }
  return { ...plan, frozen, evidence: [], looks }
}

async function proceed(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult> {
  const plan = planOf(operation.state)
  if (input.kind === 'resume' && plan.target !== null)
    return resumeForward(context, operation, input, plan.target)
  if (plan.kind === 'switchover') {
    return input.kind === 'resume'
      ? standDown(operation, input, 'L8', 'an interrupted switchover is undone: nothing was promoted')
      : checkSwitchover(context, operation, input)
  }
  return judgeDeath(context, operation, input)
}

async function judgeDeath(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult> {
  const { verdict, looks } = await judged(context, operation)
  const plan = planOf(operation.state)
  const said = { row: verdict.row, message: verdict.reason, facts: verdict.facts }
  if (verdict.verdict === 'dead') return goFence(operation, input, looks, said, verdict)
  if (verdict.verdict === 'wait') {
    await operation.write({ plan: { ...plan, looks: verdict.counts } }, { kind: 'waiting', ...said })
    return waiting(input, 'confirm', `${verdict.row}: ${verdict.reason}`)
  }
  // Behind our own fence an answer or a silence changes nothing any more: a fence is never undone, so go on (S5).
  if (plan.fenceRequested.length > 0) return goFence(operation, input, looks, said, verdict)
  return standDown(operation, input, verdict.row, verdict.reason, verdict.verdict === 'page')
}

async function goFence(
  operation: Operation,
  input: WorkflowInput,
  looks: readonly Look[],
  said: { row: string; message: string; facts: Record<string, unknown> },
  verdict: Verdict,
): Promise<StepResult> {
  const plan = planOf(operation.state)
  // An isolated primary may still acknowledge through a standby that nobody sees: only power or network evidence (S6).
  const facts = verdict.facts.needsPower === true ? { ...plan.facts, needsPower: true } : plan.facts
  await operation.write(
    {
      phase: 'fencing',
      plan: { ...plan, looks: verdict.counts, facts, frozen: freezeIntents(operation, plan, looks) },
    },
    { kind: 'confirmed', ...said },
  )
  return done(input, 'fence', [`${verdict.row}: ${verdict.reason}`])
}

/** Looks until the judgement is anything but `wait`, or the time of this invocation is used up. */
async function judged(
  context: StepContext,
  operation: Operation,
): Promise<{ verdict: Verdict; looks: readonly Look[] }> {
  const { ports, cluster, state } = operation
  const plan = planOf(state)
  const reports = await readableReports(context)
  const alreadyHeldMs = heldBefore(context, state.primary, reports)
  const rounds: (readonly Look[])[] = []
  const startedMs = ports.clock.monotonicMs()
  let streamsAsked = false
  let lastStartMs = startedMs
  for (;;) {
    lastStartMs = ports.clock.monotonicMs()
    const looks = await lookRound(operation, { writeProbe: true })
    rounds.push(looks)
    const verdict = judge({
      cluster,
      observers: context.observers,
      state,
      rounds,
      reports,
      counts: plan.looks,
      manual: !plan.automatic,
      heldMs: alreadyHeldMs + lastStartMs - startedMs,
      streamsAsked,
      lookIntervalMs: cluster.observe.urgentIntervalMs,
    })
    const usedMs = ports.clock.monotonicMs() - startedMs
    if (verdict.verdict === 'askStreams') {
      await askStreams(operation, looks)
      streamsAsked = true
    } else if (verdict.verdict !== 'wait' || usedMs > judgeMs) return { verdict, looks }
    if (usedMs > 2 * judgeMs) return { verdict: { ...verdict, verdict: 'wait' }, looks }
    // The first pause is the hold (S12), so that a death is judged as soon as it has lasted long enough.
    const pauseMs =
      rounds.length === 1
        ? Math.max(cluster.policy.holdMs - alreadyHeldMs, betweenLooksMs)
        : cluster.observe.urgentIntervalMs
    await ports.clock.sleep(Math.max(0, lastStartMs + pauseMs - ports.clock.monotonicMs()))
  }
}

/**
 * The hold counts from when the sessions ended (S12). An age that stands in a report was true when it was written, so
 * it is at least that old by now; what a majority says counts, and the least of it. Half of the hold is always looked at
 * here: a report may be the leftover of a loop that died (H10).
 */
function heldBefore(context: StepContext, primary: NodeId, reports: ReadonlyMap<string, Report>): number {
  const ends = [...reports.values()].flatMap((report) => report.nodes[primary]?.sessionEnd ?? [])
  const ages = ends.filter((end) => end.how === 'untold').map((end) => end.ageMs)
  if (ages.length < majority(context.observers.length)) return 0
  return Math.min(...ages, context.cluster.policy.holdMs / 2)
}

async function readableReports(context: StepContext): Promise<ReadonlyMap<string, Report>> {
  const all = await context.ports.store.readReports(context.cluster.id)
  const readable = new Map<string, Report>()
  for (const [observer, report] of all) if (report.kind === 'found') readable.set(observer, report.value)
  return readable
}

/** S7: an idle stream says nothing; made to reconnect, it shows whether its primary still answers. */
async function askStreams(operation: Operation, looks: readonly Look[]): Promise<void> {
  const standbys = operation.cluster.nodes.filter(
    (node) => anyRow(looks, node.id)?.upstream?.status === 'streaming',
  )
  await Promise.all(standbys.map((node) => operation.sql(node.id, { do: 'reconnect' })))
}

/** S6, S5: the target is recorded, so only forward; with another target only when a quorum finds this one dead. */
async function resumeForward(
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

export const handler = stepEntry('confirm', confirm)
