/** Judging the primary by looks that were asked for after the claim, until the verdict is anything but `wait`. */
import { majority } from '../core/classify.ts'
import { judge, type Verdict } from '../core/confirm.ts'
import { anyRow } from '../core/looks.ts'
import type { ClusterState, Look, NodeId, Report } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, refused, waiting } from '../operation.ts'
import { lookRound, planOf } from '../step.ts'
import { standDown } from './compensate.ts'
import { freezeIntents } from './freeze.ts'
import { whySuperseded } from './name.ts'

/** At least this long between two looks, so that a stream has time to show progress. */
const betweenLooksMs = 50

/** Looks of one invocation are asked for during at most this long; then the step comes back. */
const judgeMs = 8_000

export async function judgeDeath(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult> {
  const [{ verdict, looks }, taken] = await Promise.all([
    judged(context, operation),
    nameTaken(context, operation.state),
  ])
  const plan = planOf(operation.state)
  const said = { row: verdict.row, message: verdict.reason, facts: verdict.facts }
  if (verdict.verdict === 'dead' && taken !== null) return haltSuperseded(operation, input, taken)
  if (verdict.verdict === 'dead') return goFence(operation, input, looks, said, verdict)
  if (verdict.verdict === 'wait') {
    await operation.write({ plan: { ...plan, looks: verdict.counts } }, { kind: 'waiting', ...said })
    return waiting(input, 'confirm', `${verdict.row}: ${verdict.reason}`)
  }
  // Behind our own fence an answer or a silence changes nothing any more: a fence is never undone, so go on (S5).
  if (plan.fenceRequested.length > 0) return goFence(operation, input, looks, said, verdict)
  const { row, reason, facts } = verdict
  return standDown(operation, input, row, reason, verdict.verdict === 'page', facts)
}

/**
 * H17: two deployments share no condition but the name. Whoever lost it fences and promotes nobody, since it could not
 * move the name afterwards. Read beside the looks; without an answer of Route 53 the failover goes on.
 */
async function nameTaken(context: StepContext, state: ClusterState): Promise<string | null> {
  try {
    return whySuperseded(state, await context.ports.endpoint.read(context.cluster))
  } catch (error) {
    context.ports.logger.warn('the name could not be read', { error: String(error) })
    return null
  }
}

async function haltSuperseded(
  operation: Operation,
  input: WorkflowInput,
  reason: string,
): Promise<StepResult> {
  const message = `${reason}: nobody is fenced or promoted by a state that is not the newest one`
  const halted = { reason, step: 'confirm' }
  await operation.write({ phase: 'halted', halted }, { kind: 'halted', message }, { release: true })
  return refused(input, [message])
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
  const { holdMs } = cluster.policy
  const { urgentIntervalMs } = cluster.observe
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
    const heldMs = alreadyHeldMs + lastStartMs - startedMs
    const verdict = judge({
      cluster,
      observers: context.observers,
      state,
      rounds,
      reports,
      counts: plan.looks,
      manual: !plan.automatic,
      heldMs,
      streamsAsked,
      lookIntervalMs: urgentIntervalMs,
    })
    const usedMs = ports.clock.monotonicMs() - startedMs
    if (verdict.verdict === 'askStreams') {
      await askStreams(operation, looks)
      streamsAsked = true
    } else if (verdict.verdict !== 'wait' || usedMs > judgeMs) return { verdict, looks }
    if (usedMs > 2 * judgeMs) return { verdict: { ...verdict, verdict: 'wait' }, looks }
    // To the end of the hold (S12), so that a death is judged as soon as it has lasted long enough; a long one in pieces.
    const leftMs = Math.min(holdMs - heldMs, urgentIntervalMs)
    const pauseMs =
      rounds.length === 1 ? Math.max(leftMs, betweenLooksMs) : leftMs > 0 ? leftMs : urgentIntervalMs
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
