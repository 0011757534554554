/**
 * aurora and aurora-global elect by themselves: the election is waited for, asked for where none comes, followed and
 * verified; then our own record is moved. Nothing is fenced by us: a reader of Aurora can not accept writes, and what the
 * storage does about the old primary of a global database is recorded for what it is. Rows `N…` and `G…` decide.
 *
 * Every call names its target, which is recorded before (S1): made twice, or late, it can not lead to anybody else.
 */
import { standDown } from '../acts/compensate.ts'
import { goOnWithName, undoSwitchover } from '../acts/resuming.ts'
import { anyRow } from '../core/looks.ts'
import type { NativeDecision } from '../core/native.ts'
import { fenceResult } from '../core/nativeEvents.ts'
import { lossOf } from '../core/nativeFacts.ts'
import { nativeProgress, withProgress } from '../core/nativeProgress.ts'
import { decideResume } from '../core/resume.ts'
import { possibleWriters, promotedNodes, withNodes } from '../core/state.ts'
import type { Evidence, NodeId, Plan, SynchronousSet } from '../core/types.ts'
import type { WorkflowInput } from '../core/workflow.ts'
import { done, type Operation } from '../operation.ts'
import type { RdsAct, RdsOutcome } from '../ports.ts'
import { approvalOf, nodeOf, planOf } from '../step.ts'
import { auroraCluster, endpointEvents, fenceEvents, readGlobal, readLags } from './nativeSight.ts'
import { type NativeStep, Watch } from './nativeWatch.ts'

export { movesNoName, repointNative } from './nativeRepoint.ts'
export { settleNative } from './nativeSettle.ts'
export type { NativeStep } from './nativeWatch.ts'

/** Is there anything to follow or to ask for? Claims are made by the step. */
export const confirmNative: NativeStep = async (context, operation, input) => {
  const plan = planOf(operation.state)
  if (input.kind === 'resume') {
    if (plan.target !== null) return resumeForward(context, operation, input)
    if (plan.kind === 'switchover') return undoSwitchover(operation, input)
  }
  const watch = new Watch(context, operation, input, 'confirming')
  const decision = await watch.next()
  if (decision.does === 'go') return watch.goOn('fencing', decision, 'confirmed')
  if (decision.does === 'wait' || decision.does === 'page') return watch.leave('confirm', decision)
  const result = await end(operation, input, decision)
  // A switchover that does not begin is a refusal, whoever asked.
  return plan.kind === 'switchover' && result.outcome === 'done' ? { ...result, outcome: 'refused' } : result
}

/** A recorded target is a possible writer until settle has shown that it is a reader still (S1). */
async function end(operation: Operation, input: WorkflowInput, { does, row, reason, facts }: NativeDecision) {
  const plan = planOf(operation.state)
  if (plan.target !== null && plan.returnTo === 'steady') {
    const message = `${plan.target} was recorded as the target: it is looked at before the cluster is steady`
    const note = { kind: 'waiting', row, message, facts }
    await operation.write({ plan: { ...plan, returnTo: 'settling' } }, note)
  }
  return standDown(operation, input, row, reason, does === 'give up', facts)
}

/** The target is recorded: forward with it; with another one only when it was not elected and can not be. */
const resumeForward: NativeStep = async (context, operation, input) => {
  const plan = planOf(operation.state)
  if (plan.promotedTimeline !== null) return goOnWithName(operation, input, decideResume(plan, null, 0))
  const watch = new Watch(context, operation, input, 'resuming')
  const decision = await watch.next()
  if (decision.does === 'forward') {
    // Whatever was sent in the older term has arrived or never will, but nobody knows which (S5).
    const asked = nativeProgress(plan).asked !== 'no'
    const doubt = asked ? ({ asked: 'unknown', doubt: true, sinceAsk: 0 } as const) : {}
    return watch.goOn('promoting', decision, 'resumed', withProgress(watch.plan(), doubt))
  }
  if (decision.does === 'anew') {
    const none = { asked: 'no', doubt: false, refusal: '', sinceAsk: 0 } as const
    // It stays a possible writer: evidence of this term covers it as well (S1).
    const anew: Plan = {
      ...withProgress(watch.plan(), none),
      ...{ kind: 'failover', target: null, targetPositionBytes: null, loss: null },
    }
    return watch.goOn('fencing', decision, 'confirmed', anew, { ...input, kind: 'failover' })
  }
  if (decision.does === 'stand down') return end(operation, input, decision)
  return watch.leave('confirm', decision)
}

/** AWS is given its time: who elects by itself is not raced. */
export const fenceNative: NativeStep = async (context, operation, input) => {
  const watch = new Watch(context, operation, input, 'fencing')
  const decision = await watch.next()
  switch (decision.does) {
    case 'follow':
      return watch.goOn('promoting', decision, 'elected', await follow(watch, decision))
    case 'go':
      return watch.goOn('promoting', decision, 'waited')
    case 'stand down':
    case 'give up':
      return end(operation, input, decision)
    default:
      return watch.leave('fence', decision)
  }
}

/** Records whom we ask for or follow, asks, and is done when the election was read twice and a commit returned. */
export const promoteNative: NativeStep = async (context, operation, input) => {
  const watch = new Watch(context, operation, input, 'promoting')
  for (;;) {
    const decision = await watch.next()
    const { does, row, reason, facts } = decision
    const later = () => watch.leave('promote', { ...decision, does: 'wait' })
    if (watch.isOver) return later()
    if (does === 'follow') await follow(watch, decision)
    else if (does === 'choose') {
      if (!(await choose(watch, decision))) return later()
    } else if (does === 'ask') await ask(watch, decision)
    else if (does === 'done') return finish(watch, decision)
    else if (does === 'stand down' || does === 'give up') return end(operation, input, decision)
    else if (does === 'renew') {
      await operation.write({ plan: watch.plan() }, { kind: 'waiting', row, message: reason, facts })
      // The beat stands still from here on, and assess resumes the operation.
      return done(input, 'end', [`${row}: ${reason}; assess resumes in a new term`])
    } else return watch.leave('promote', decision)
  }
}

/**
 * The provider's election is a fact that we record: its writer is the one target of this term (S1), and the election is
 * the evidence for every possible writer but it (S2). Returns the plan; the same write makes the target a possible writer.
 */
async function follow(watch: Watch, { facts, row, reason }: NativeDecision): Promise<Plan> {
  const { operation } = watch
  const target = facts.writer
  if (target === null) throw new Error('an election without a writer')
  const plan: Plan = {
    ...watch.plan(),
    target,
    loss:
      operation.cluster.engine === 'aurora'
        ? lossOf({ ...noLags(operation), plan: watch.plan() }, target).estimate
        : { provable: 'unknown', boundMs: null, reason: 'the election was not asked for by Understudy' },
    evidence: [...watch.plan().evidence, ...electedEvidence(operation, target)],
  }
  await recordTarget(operation, plan, target, { row, message: reason, facts })
  return plan
}

const noLags = (operation: Operation) => ({
  cluster: operation.cluster,
  state: operation.state,
  approval: null,
  lags: {},
})

function electedEvidence(operation: Operation, target: NodeId): Evidence[] {
  const { state } = operation
  return possibleWriters(state)
    .filter((node) => node !== target)
    .map((node) => ({ kind: 'elected', node, term: state.term, writer: target }))
}

async function recordTarget(
  operation: Operation,
  plan: Plan,
  target: NodeId,
  said: { row: string; message: string; facts: Readonly<Record<string, unknown>> },
): Promise<void> {
  const { state } = operation
  if (planOf(state).target !== null) throw new Error(`the target of term ${state.term} is recorded already`)
  const possibleWriter = {
    term: state.term,
    timeline: plan.fromTimeline,
    synchronous: setOf(target),
  }
  await operation.write(
    { plan, nodes: withNodes(state, { [target]: { role: 'target', term: state.term, possibleWriter } }) },
    { kind: 'target', ...said },
  )
}

/** What the provider replicates is nobody's list: it proves nothing by itself. */
function setOf(primary: NodeId): SynchronousSet {
  const reasons = ['the provider replicates']
  return { status: 'asynchronous', names: '', method: null, k: 0, listed: [], primary, reasons }
}

/** False: what may be lost got worse since it was judged. */
async function choose(watch: Watch, { facts, row, reason }: NativeDecision): Promise<boolean> {
  const { operation, context } = watch
  const target = facts.candidate
  if (target === null) throw new Error('nobody to ask for')
  const { cluster, state } = operation
  const mayLose = cluster.engine === 'aurora-global' && !facts.planned
  const [approval, lags, events] = await Promise.all([
    approvalOf(context.ports, state.cluster, state.term),
    mayLose ? readLags(context.ports, cluster, facts.primary) : {},
    Promise.all([
      fenceEvents(context.ports, cluster, facts.primary),
      endpointEvents(context.ports, cluster, target),
    ]),
  ])
  const { estimate, allowed } = lossOf({ cluster, state, plan: watch.plan(), approval, lags }, target)
  if (!allowed) return false
  const plan: Plan = {
    ...withProgress(watch.plan(), {
      eventsBefore: events.flat().map((each) => `${each.atText} ${each.message}`),
    }),
    target,
    loss: estimate,
  }
  await recordTarget(operation, plan, target, { row, message: reason, facts: { ...facts, loss: estimate } })
  return true
}

/** Recorded before, as what may have happened; what the answer says is recorded after (S5). */
async function ask(watch: Watch, { row, reason, facts }: NativeDecision): Promise<void> {
  const { operation, context } = watch
  const plan = watch.plan()
  const act = await callFor(watch, plan).catch(() => null)
  const before = nativeProgress(plan)
  const intent = withProgress(plan, { asked: 'unknown', doubt: true, refusal: '', sinceAsk: 0 })
  const outcome: RdsOutcome =
    act === null
      ? { outcome: 'refused', code: 'unknown', later: true, message: 'AWS does not show the target' }
      : await operation.act(
          { plan: intent },
          { kind: 'asked', row, message: `${reason} (${act.call.do})`, facts },
          () => context.ports.rds.act(act.region, act.call),
        )
  watch.asked()
  const answer = answerOf(outcome, before.doubt)
  await operation.write(
    { plan: withProgress(intent, answer) },
    { kind: 'waiting', row, message: `AWS answered: ${outcome.outcome} ${answer.refusal}`, facts },
  )
}

function answerOf(outcome: RdsOutcome, doubtBefore: boolean) {
  if (outcome.outcome === 'requested') return { asked: 'requested', doubt: true, refusal: '' } as const
  if (outcome.outcome === 'unknown')
    return { asked: 'unknown', doubt: true, refusal: outcome.message } as const
  const asked = outcome.later ? ('later' as const) : ('refused' as const)
  return { asked, doubt: doubtBefore, refusal: `${outcome.code}: ${outcome.message}` }
}

/** A failover of a global database is called for in the Region that is to be promoted. */
async function callFor(watch: Watch, plan: Plan): Promise<{ region: string; call: RdsAct } | null> {
  const { operation, context } = watch
  const { cluster } = operation
  const { rds } = context.ports
  const target = nodeOf(operation, plan.target ?? '')
  if (cluster.engine === 'aurora') {
    const own = auroraCluster(cluster, await rds.clusters(target.region))
    if (own === undefined) return null
    const call = { do: 'failoverCluster', cluster: own.identifier, target: target.instanceId } as const
    return { region: target.region, call }
  }
  const view = await readGlobal(context.ports, cluster)
  const member = view.members.find(
    (each) => each.region === target.region && each.clusterIdentifier === target.instanceId,
  )
  if (member === undefined) return null
  const planned = plan.kind === 'switchover'
  const region = planned ? nodeOf(operation, plan.from).region : target.region
  const act = planned ? 'switchoverGlobal' : 'failoverGlobal'
  return { region, call: { do: act, global: view.identifier, targetArn: member.clusterArn } }
}

async function finish(watch: Watch, { facts, row, reason }: NativeDecision) {
  const { operation, input } = watch
  const { state } = operation
  const plan = watch.plan()
  const target = plan.target
  if (target === null) throw new Error('an election without a target')
  const timeline = Math.max(anyRow(watch.lastLooks, target)?.timeline ?? 0, plan.fromTimeline)
  const evidence = [
    ...plan.evidence.filter((each) => each.kind !== 'elected'),
    ...electedEvidence(operation, target),
  ]
  const fence = await fenceSaid(watch, plan)
  const nodes = promotedNodes(state, plan, {
    ...{ target, timeline, set: setOf(target), diverged: [] },
    following: Object.keys(state.nodes).filter(
      (id) => id !== target && state.nodes[id]?.possibleWriter === null,
    ),
  })
  await operation.write(
    {
      phase: 'repointing',
      primary: target,
      timeline,
      synchronous: setOf(target),
      nodes: withNodes({ ...state, nodes }, fence === 'held' ? { [plan.from]: { fenced: true } } : {}),
      plan: { ...plan, evidence, promotedTimeline: timeline },
    },
    {
      kind: 'promoted',
      row,
      message: `${reason}${fenceWords(operation, plan, fence)}`,
      facts: { ...facts, evidence, fence },
    },
  )
  return done({ ...input, promoted: { node: target, timeline } }, 'repoint')
}

/** Only of a failover that we asked for ourselves do we know which of the events are new. */
async function fenceSaid(watch: Watch, plan: Plan): Promise<'held' | 'timed out' | null> {
  const { operation, context } = watch
  if (operation.cluster.engine === 'aurora') return 'held'
  const progress = nativeProgress(plan)
  if (progress.asked === 'no') return null
  // A switchover ends the old primary in an orderly way before the new one begins.
  if (plan.kind === 'switchover') return 'held'
  return fenceResult(await fenceEvents(context.ports, operation.cluster, plan.from), progress.eventsBefore)
}

function fenceWords({ cluster }: Operation, plan: Plan, fence: 'held' | 'timed out' | null): string {
  if (cluster.engine === 'aurora' || fence === 'held') return ''
  const why = fence === 'timed out' ? 'Aurora could not block it in time' : 'Aurora has not said that it did'
  return `; writes in the old primary ${plan.from} may still be accepted: ${why}`
}
