/**
 * confirm, rds: the same judge by the same looks, once RDS is not doing something with the primary by itself. And what a
 * switchover checks before it begins, and what a resume goes on with.
 */
import { standDown } from '../acts/compensate.ts'
import { judgeDeath } from '../acts/judging.ts'
import { downOf, goOnWithName, undoSwitchover } from '../acts/resuming.ts'
import { forbiddenTarget } from '../core/domains.ts'
import { agreement, anyRow } from '../core/looks.ts'
import { followProvider } from '../core/managedConfirm.ts'
import { whyNobody } from '../core/managedRank.ts'
import { byResource, isBusy, isClosed, type Provider, replicatesFrom, waitedMs } from '../core/managedView.ts'
import { decideResume } from '../core/resume.ts'
import { possibleWriters } from '../core/state.ts'
import type { Look, NodeConfig, NodeId, Plan, ProbeRow } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { lookRound, nodeOf, planOf } from '../step.ts'
import type { ManagedPhase } from './dispatch.ts'
import { readProvider, recordedView } from './provider.ts'

export const confirmManaged: ManagedPhase = async (context, operation, input) => {
  const plan = planOf(operation.state)
  if (plan.target !== null) return resumeForward(context, operation, input, plan.target)
  if (plan.kind === 'switchover') {
    if (input.kind === 'resume') return undoSwitchover(operation, input)
    // Recorded before it was applied: it is on its way back, and does not begin again.
    if (plan.writeStop !== null)
      return standDown(
        operation,
        input,
        'C0',
        'the switchover was given up: its primary is opened again',
        true,
      )
    return checkSwitchover(context, operation, input)
  }
  // Behind our own fence what RDS does is our own doing; the fence is never undone (S5).
  if (plan.fenceRequested.length > 0) return judgeDeath(context, operation, input)
  return follow(context, operation, input)
}

async function follow(context: StepContext, operation: Operation, input: WorkflowInput): Promise<StepResult> {
  const { cluster, state } = operation
  const { managed } = cluster
  if (managed === null) throw new Error(`${cluster.id} is not run by the provider`)
  const plan = planOf(state)
  const provider = await readProvider(operation)
  const looks = await lookRound(operation, { writeProbe: false })
  const rows: Record<NodeId, ProbeRow | null> = {}
  for (const { id } of cluster.nodes) rows[id] = anyRow(looks, id)
  const ranked = { cluster, state, plan, provider, rows, to: plan.to, approval: null }
  const answer = followProvider({
    managed,
    observers: context.observers,
    primary: state.primary,
    resourceId: state.nodes[state.primary]?.instanceId ?? null,
    answers: provider.get(nodeOf(operation, state.primary).region) !== null,
    view: recordedView(operation, provider, state.primary),
    looks,
    manual: !plan.automatic,
    waits: input.waits ?? 0,
    nobody: whyNobody({ ...ranked, caughtUpAgeMs: {}, lag: {}, waits: 0 }),
  })
  const { does, row, reason, facts } = answer
  if (does === 'page') return standDown(operation, input, row, reason, true, facts)
  if (does === 'judge') return judgeDeath(context, operation, input)
  const counts = { ...plan.looks, asked: plan.looks.asked + 1 }
  await operation.write(
    { plan: { ...plan, looks: counts } },
    { kind: 'waiting', row, message: reason, facts },
  )
  return waiting(input, 'confirm', `${row}: ${reason}`)
}

/** A switchover starts only from a cluster in which nothing is in doubt (F77). */
async function checkSwitchover(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult> {
  const provider = await readProvider(operation)
  const looks = await lookRound(operation, { writeProbe: true })
  const problems = switchoverProblems(context, operation, { provider, looks })
  if (problems.length > 0) {
    const result = await standDown(operation, input, 'C0', `no switchover: ${problems.join('; ')}`)
    return { ...result, outcome: result.outcome === 'done' ? 'refused' : result.outcome }
  }
  const plan = planOf(operation.state)
  await operation.write(
    {
      phase: 'fencing',
      plan: { ...plan, writeStop: { node: operation.state.primary, checkpointBytes: null } },
    },
    {
      kind: 'confirmed',
      row: 'C0',
      message: 'the primary writes, a replica of it streams, RDS has both at rest: the switchover may begin',
    },
  )
  return done(input, 'fence')
}

interface Seen {
  readonly provider: Provider
  readonly looks: readonly Look[]
}

function switchoverProblems(context: StepContext, operation: Operation, { provider, looks }: Seen): string[] {
  const { cluster, state } = operation
  const problems: string[] = []
  const primary = nodeOf(operation, state.primary)
  const view = recordedView(operation, provider, primary.id)
  if (primary.closedGroupId === null)
    problems.push(
      `no closed security group is configured for ${primary.id}, so its writes can not be stopped`,
    )
  else if (view && isClosed(view, primary.closedGroupId))
    problems.push(`${primary.id} is behind its closed group already: give it its own groups back`)
  if (view === null) problems.push(`RDS does not show the recorded instance of ${primary.id}`)
  else if (view.status !== 'available') problems.push(`${primary.id} is ${view.status}`)
  // Its evidence would be waited for with the writes stopped; settle shows it harmless first.
  const others = possibleWriters(state).filter((id) => id !== primary.id)
  if (others.length > 0)
    problems.push(
      `${others.join(', ')} may still be a writer of an earlier term: wait until the cluster is steady`,
    )
  const seen = agreement(looks, context.observers, primary.id)
  if (seen.class !== 'writable')
    problems.push(`the primary ${primary.id} is ${seen.class} to a majority of the observers`)
  else if (seen.row?.positionBytes === 0)
    problems.push(`${primary.id} does not say where its log ends, so nobody can be shown to have all of it`)
  const ready = cluster.nodes.filter((node) => isReady(context, operation, { provider, looks }, node))
  const { to } = planOf(state)
  if (to !== null && !ready.some((node) => node.id === to))
    problems.push(`${to} is no available replica of ${primary.id} that answers and receives`)
  if (ready.length === 0) problems.push(`no promotable replica of ${primary.id} is available`)
  return problems
}

function isReady(
  context: StepContext,
  operation: Operation,
  { provider, looks }: Seen,
  node: NodeConfig,
): boolean {
  const { state } = operation
  const view = recordedView(operation, provider, node.id)
  const { row } = agreement(looks, context.observers, node.id)
  return (
    node.id !== state.primary &&
    forbiddenTarget(operation.cluster, state.primary, node) === null &&
    state.nodes[node.id]?.role === 'standby' &&
    view?.status === 'available' &&
    replicatesFrom(view, recordedView(operation, provider, state.primary)) &&
    row?.inRecovery === true &&
    row.timeline === state.timeline &&
    !row.replayPaused &&
    row.applyDelayMs === 0
  )
}

/** S6, S5: the target is recorded, so only forward; with another one only when this one is dead or gone. */
async function resumeForward(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
  target: NodeId,
): Promise<StepResult> {
  const plan = planOf(operation.state)
  const { silentLooks } = context.cluster.policy
  if (plan.promotedTimeline !== null)
    return goOnWithName(operation, input, decideResume(plan, null, silentLooks))
  const provider = await readProvider(operation, [target])
  const looks = await lookRound(operation, { writeProbe: false })
  const instances = provider.get(nodeOf(operation, target).region)
  const view = byResource(instances, operation.state.nodes[target]?.instanceId)
  const row = anyRow(looks, target)
  const hasForked = row !== null && !row.inRecovery && row.timeline > plan.fromTimeline
  const graceLeftMs = (operation.cluster.managed?.providerGraceMs ?? 0) - waitedMs(input.waits ?? 0)
  const isFollowed = view !== null && (isBusy(view.status) || view.status === 'backing-up') && graceLeftMs > 0
  const answer = decideResume(
    plan,
    {
      ...downOf(context, looks, target),
      promoted: view?.source === null || hasForked,
      standby: row?.inRecovery === true || isFollowed,
      gone: instances !== null && view === null,
    },
    silentLooks,
  )
  const resumed = { row: answer.row, message: answer.reason, facts: answer.facts }
  switch (answer.does) {
    case 'promote':
      await operation.write({ phase: 'promoting' }, { kind: 'resumed', ...resumed })
      return done(input, 'promote')
    case 'fence':
      await operation.write({ phase: 'fencing' }, { kind: 'resumed', ...resumed })
      return done(input, 'fence')
    case 'anew':
      // It stays a possible writer: the new target needs evidence against it as well as against the old primary (S1).
      await operation.write(
        { phase: 'fencing', plan: { ...anotherTarget(plan), looks: answer.counts } },
        { kind: 'confirmed', ...resumed },
      )
      return done({ ...input, kind: 'failover' }, 'fence')
    default:
      await operation.write({ plan: { ...plan, looks: answer.counts } }, { kind: 'waiting', ...resumed })
      return waiting(input, 'confirm', `${answer.row}: ${answer.reason}`)
  }
}

/** What a switchover had closed is a failover's fence from here on, which is not undone (S5). */
function anotherTarget(plan: Plan): Plan {
  const { promotion: _accepted, ...facts } = plan.facts
  return {
    ...plan,
    kind: 'failover',
    facts,
    to: null,
    writeStop: null,
    fenceRequested: [...new Set([...plan.fenceRequested, plan.from])],
    target: null,
    targetPositionBytes: null,
    loss: null,
  }
}
