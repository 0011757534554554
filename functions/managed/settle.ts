/**
 * settle, rds: a pass of look, work and end, like that of the other engines: unfinished fences first, then every place
 * filled anew, what was replaced deleted, and the old primary stopped.
 */
import { isDeepStrictEqual } from 'node:util'
import { assertName, endPass } from '../acts/passEnd.ts'
import { seenBy } from '../acts/settling.ts'
import { pollWithinStepMs } from '../core/limits.ts'
import { type ManagedTask, managedSettleWork } from '../core/managedSettle.ts'
import type { Finding } from '../core/types.ts'
import type { StepContext } from '../entry.ts'
import { type Operation, Refused, StoreUnavailable, Superseded, waiting } from '../operation.ts'
import { approvalOf, lookRound } from '../step.ts'
import type { ManagedPhase } from './dispatch.ts'
import type { FenceOptions } from './fencing.ts'
import { providerPollMs, readProvider } from './provider.ts'
import { carryOut } from './settling.ts'

export const settleManaged: ManagedPhase = async (context, operation, input) => {
  const isAwaited = operation.state.phase === 'repointing'
  const left = await passes(context, operation)
  if (isAwaited && operation.state.phase === 'repointing')
    return waiting(input, 'repoint', `no commit returns yet: ${left.join('; ')}`)
  return endPass(operation, input, left)
}

/** Rounds of look and work; returns what is left that nobody can do now, [] when nothing is. */
async function passes(context: StepContext, operation: Operation): Promise<string[]> {
  const { clock } = context.ports
  const deadlineMs = clock.monotonicMs() + pollWithinStepMs
  const failed = new Map<string, string>()
  const options: FenceOptions = {
    ...{ drains: null, switchover: false, waits: 0, unseen: new Map(), keptOut: new Set() },
  }
  let left: string[] = ['not looked yet']
  while (clock.monotonicMs() < deadlineMs) {
    const work = await look(context, operation)
    const tasks = work.tasks.filter((task) => !failed.has(keyOf(task)))
    left = [...work.left, ...failed.values()]
    for (const task of tasks) {
      const result = await carryOut(context, operation, task, options).catch(problemOf)
      // A fence is several looks: it goes on in the next round, until the pass is over.
      if (result !== undefined && task.do !== 'fence') failed.set(keyOf(task), result)
      if (operation.state.phase === 'halted') return [task.reason]
      left.push(result ?? task.reason)
    }
    await recordFindings(operation, work.findings)
    if (tasks.length === 0) break
    await clock.sleep(providerPollMs)
  }
  const name = await assertName(context, operation)
  return name === undefined ? left : [...left, name]
}

async function look(context: StepContext, operation: Operation) {
  const { state, ports } = operation
  const provider = await readProvider(operation)
  const [looks, approval] = await Promise.all([
    lookRound(operation, { writeProbe: true }),
    approvalOf(ports, state.cluster, state.term),
  ])
  return managedSettleWork({
    cluster: context.cluster,
    state,
    seen: seenBy(context, looks),
    provider,
    approved: approval !== null,
    alarms: await alarmsOf(context, operation),
  })
}

/** Read only while there is a former primary to compare with. They only inform: a pass does not fail for them. */
async function alarmsOf(context: StepContext, { state, ports }: Operation) {
  if (!state.replaced.some((each) => each.was === 'primary')) return null
  const regions = [...new Set(context.cluster.nodes.map((node) => node.region))]
  const read = await Promise.all(regions.map((region) => ports.rds.alarms(region)))
  if (read.includes(null)) return null
  return new Map(read.flatMap((alarms) => [...(alarms ?? [])]))
}

/** What a service refused or did not answer holds back one task, not the others. */
function problemOf(error: unknown): string {
  if (error instanceof Superseded || error instanceof StoreUnavailable || error instanceof Refused)
    throw error
  return error instanceof Error ? error.message : String(error)
}

const keyOf = (task: ManagedTask) => `${task.row} ${task.node}`

/** assess makes issues of them for as long as they stand in the state. */
async function recordFindings(operation: Operation, findings: readonly Finding[]): Promise<void> {
  if (isDeepStrictEqual(findings, operation.state.findings)) return
  const message = findings.map((each) => each.message).join('; ') || 'nothing is amiss any more'
  await operation.write({ findings }, { kind: 'findings', message })
}
