/**
 * The planned path of the same workflow: the primary lives, so its writes are stopped by a clean shutdown that every
 * connected standby receives to the end, and its server comes back in recovery, frozen for this term: that is the
 * evidence. It backs out cleanly at any point before a target is recorded.
 */

import { forbiddenTarget } from '../core/domains.ts'
import { hostOf } from '../core/host.ts'
import { agreement, anyRow } from '../core/looks.ts'
import { possibleWriters } from '../core/state.ts'
import type { Look, NodeId, ProbeRow } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import { stopWritesScript } from '../engines/postgres/host.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { lookRound, planOf } from '../step.ts'
import { standDown } from './compensate.ts'
import { freezeIntents } from './freeze.ts'
import { whyNameIsNotOurs } from './name.ts'

/** A switchover starts only from a cluster in which nothing is in doubt (F77). */
export async function checkSwitchover(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
): Promise<StepResult> {
  const [looks, name] = await Promise.all([
    lookRound(operation, { writeProbe: true }),
    whyNameIsNotOurs(context, operation.state),
  ])
  const problems = [...switchoverProblems(context, operation, looks), ...(name === null ? [] : [name])]
  if (problems.length > 0) {
    const result = await standDown(operation, input, 'C0', `no switchover: ${problems.join('; ')}`)
    return { ...result, outcome: result.outcome === 'done' ? 'refused' : result.outcome }
  }
  const plan = planOf(operation.state)
  await operation.write(
    {
      phase: 'fencing',
      plan: {
        ...plan,
        frozen: freezeIntents(operation, plan, looks),
        writeStop: { node: operation.state.primary, checkpointBytes: null },
      },
    },
    {
      kind: 'confirmed',
      row: 'C0',
      message: 'the primary writes, its standbys stream: the switchover may begin',
    },
  )
  return done(input, 'fence')
}

function switchoverProblems(context: StepContext, operation: Operation, looks: readonly Look[]): string[] {
  const { cluster, state } = operation
  const plan = planOf(state)
  const problems: string[] = []
  if (cluster.host === null)
    problems.push('no host access is configured, so the primary can not be stopped cleanly')
  // Its evidence would be waited for with the writes stopped; settle shows it harmless first.
  const others = possibleWriters(state).filter((id) => id !== state.primary)
  if (others.length > 0)
    problems.push(
      `${others.join(', ')} may still be a writer of an earlier term: wait until the cluster is steady`,
    )
  const writers = cluster.nodes.filter(({ id }) => id !== state.primary && isOut(looks, id))
  if (writers.length > 0)
    problems.push(
      `${writers.map(({ id }) => id).join(', ')} is out of recovery as well: what it was written is in no plan`,
    )
  const primary = agreement(looks, context.observers, state.primary)
  if (primary.class !== 'writable')
    problems.push(`the primary ${state.primary} is ${primary.class} to a majority of the observers`)
  const ready = cluster.nodes
    .filter((node) => node.id !== state.primary && forbiddenTarget(cluster, state.primary, node) === null)
    .filter((node) => followsPrimary(operation, agreement(looks, context.observers, node.id).row))
    .map((node) => node.id)
  if (plan.to !== null && !ready.includes(plan.to))
    problems.push(`${plan.to} does not stream from ${state.primary}`)
  if (ready.length === 0) problems.push('no promotable standby streams from the primary')
  return problems
}

/** For anybody. */
function isOut(looks: readonly Look[], node: NodeId): boolean {
  const row = anyRow(looks, node)
  return row !== null && !row.inRecovery
}

function followsPrimary(operation: Operation, row: ProbeRow | null): boolean {
  return (
    row?.inRecovery === true &&
    row.upstream?.status === 'streaming' &&
    row.upstream.timeline === operation.state.timeline &&
    !row.replayPaused &&
    row.applyDelayMs === 0
  )
}

/** Clean stop of the primary, which comes back in recovery and frozen. Idempotent: the script finds what is done. */
export async function stopWrites(
  operation: Operation,
  input: WorkflowInput,
): Promise<{ result: StepResult } | { checkpointBytes: number }> {
  const plan = planOf(operation.state)
  const known = plan.writeStop?.checkpointBytes
  if (known !== null && known !== undefined) return { checkpointBytes: known }
  const node = operation.cluster.nodes.find((each) => each.id === plan.from)
  const host = hostOf(operation.cluster, plan.from)
  if (node === undefined || host === null)
    return { result: await standDown(operation, input, 'C0', 'no host access any more') }
  const script = stopWritesScript({
    deployment: operation.state.deployment,
    term: operation.state.term,
    node: node.id,
    host,
  })
  const stopped = await operation.act(
    {},
    { kind: 'stopping writes', message: `clean shutdown of ${node.id}` },
    () => operation.ports.host.run(node, script, { deliveryTimeoutSeconds: 60, timeoutMs: 40_000 }),
  )
  if (stopped.outcome === 'unknown') {
    await operation.beat()
    // Whoever stopped has to say where the log ends: without that nobody may be promoted. Ask again, then back out.
    if ((input.waits ?? 0) < 5) return { result: waiting(input, 'fence', stopped.message) }
    return {
      result: await standDown(
        operation,
        input,
        'C0',
        `the primary could not be stopped cleanly: ${stopped.message}`,
        true,
      ),
    }
  }
  const checkpointBytes =
    stopped.outcome === 'done' ? Number(/checkpoint=(\d+)/.exec(stopped.stdout)?.[1]) : Number.NaN
  if (!Number.isSafeInteger(checkpointBytes)) {
    const why = stopped.outcome === 'refused' ? stopped.message : 'it did not say where its log ends'
    return {
      result: await standDown(
        operation,
        input,
        'C0',
        `the primary could not be stopped cleanly: ${why}`,
        true,
      ),
    }
  }
  const writeStop = { node: node.id, checkpointBytes }
  await operation.write(
    { plan: { ...planOf(operation.state), writeStop } },
    { kind: 'writes stopped', message: `${node.id} was shut down cleanly`, facts: writeStop },
  )
  return { checkpointBytes }
}
