/**
 * One pass of what is left after an election: nodes that Aurora brought back are standbys again, what the storage said
 * of its fence is recorded when it comes late, our own name is kept where it belongs.
 */
import { assertName, endPass } from '../acts/passEnd.ts'
import { agreement } from '../core/looks.ts'
import { fenceResult } from '../core/nativeEvents.ts'
import type { NativeSight } from '../core/nativeFacts.ts'
import { nativeProgress } from '../core/nativeProgress.ts'
import { type NativeTask, nativeWork } from '../core/nativeSettle.ts'
import { withNodes } from '../core/state.ts'
import type { StepContext } from '../entry.ts'
import { type Operation, waiting } from '../operation.ts'
import { lookRound } from '../step.ts'
import { movesNoName } from './nativeRepoint.ts'
import { fenceEvents, readSight } from './nativeSight.ts'
import type { NativeStep } from './nativeWatch.ts'

const betweenReadingsMs = 1_100

export const settleNative: NativeStep = async (context, operation, input) => {
  // No commit returns yet, and nothing that is done here brings one back: Aurora does.
  if (operation.state.phase === 'repointing')
    return waiting(input, 'repoint', 'no commit returns yet: Aurora is waited for')
  await recordFence(context, operation)
  const sight = await twice(context)
  const looks = await lookRound(operation, { writeProbe: true })
  const { observers } = context
  const classes = Object.fromEntries(
    context.cluster.nodes.map(({ id }) => [id, agreement(looks, observers, id).class] as const),
  )
  const { tasks, left } = nativeWork({ state: operation.state, sight, classes })
  for (const task of tasks) await carryOut(operation, task)
  if (classes[operation.state.primary] !== 'writable')
    left.push(`${operation.state.primary} is ${classes[operation.state.primary] ?? 'unknown'}`)
  const name = movesNoName(context.cluster) ? undefined : await assertName(context, operation)
  return endPass(operation, input, name === undefined ? left : [...left, name])
}

/** Two readings that agree, more than a second apart; null: they do not. */
async function twice({ ports, cluster }: StepContext): Promise<NativeSight | null> {
  const first = await readSight(ports, cluster)
  await ports.clock.sleep(betweenReadingsMs)
  const second = await readSight(ports, cluster)
  const agree = first.problem === null && second.problem === null && first.writer === second.writer
  return agree ? second : null
}

/** The event may come minutes after the failover: known late is better than not known. */
async function recordFence({ ports }: StepContext, operation: Operation): Promise<void> {
  const { state, cluster } = operation
  const { plan } = state
  if (cluster.engine !== 'aurora-global' || plan === null || plan.kind === 'switchover') return
  const { asked, eventsBefore } = nativeProgress(plan)
  const status = state.nodes[plan.from]
  if (asked === 'no' || status?.possibleWriter == null || status.fenced || plan.facts.fence === 'timed out')
    return
  const fence = fenceResult(await fenceEvents(ports, cluster, plan.from), eventsBefore)
  if (fence === null) return
  const held = fence === 'held'
  await operation.write(
    {
      plan: { ...plan, facts: { ...plan.facts, fence } },
      nodes: withNodes(state, held ? { [plan.from]: { fenced: true } } : {}),
    },
    {
      kind: held ? 'fenced' : 'paged',
      message: held
        ? `the storage blocks writes in the old primary ${plan.from}`
        : `the storage could not block writes in the old primary ${plan.from} in time: it may still accept them`,
    },
  )
}

async function carryOut(operation: Operation, task: NativeTask): Promise<void> {
  const { state } = operation
  if (task.do === 'identify') {
    await operation.write(
      { nodes: withNodes(state, { [task.node]: { instanceId: task.resourceId } }) },
      { kind: 'identified', message: `${task.node} is ${task.resourceId}` },
    )
    return
  }
  const change = { role: 'standby', possibleWriter: null, fenced: false, rejoin: 'none' } as const
  await operation.write(
    { nodes: withNodes(state, { [task.node]: { ...change, term: state.term } }) },
    { kind: 'rejoined', message: task.reason },
  )
}
