/**
 * settle: one pass of what is left once writes are back (design, section 6): look, ask the core for the work, act,
 * look again; ends when nothing is left that it can do now. assess starts the next pass. It also keeps the record of
 * a steady cluster true (synchronous set, instance ids), since only steps and commands write the state.
 */
import { assertName, endPass } from './acts/passEnd.ts'
import { carryOut, seenBy } from './acts/settling.ts'
import { pollWithinStepMs, zombieWaitSeconds } from './core/limits.ts'
import { type SettleFacts, type SettleTask, settleWork } from './core/settle.ts'
import type { ProbeRow } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { type StepContext, stepEntry } from './entry.ts'
import { managedPhases } from './managed/dispatch.ts'
import { done, Operation, Refused, StoreUnavailable, Superseded, waiting } from './operation.ts'
import { lookRound } from './step.ts'

/** Looks of one pass; each may find that what was started before has come about. */
const roundsMost = 12
const betweenRoundsMs = 200

export async function settle(context: StepContext, input: WorkflowInput): Promise<StepResult> {
  const operation = await Operation.begin(context.operationOptions('settle'))
  const { state } = operation
  // Nobody is left who could acknowledge: no commit returns before redundancy does, so repoint waits here (S9, H27).
  const isAwaited = state.phase === 'repointing' && input.term === state.term
  if (state.phase !== 'settling' && state.phase !== 'steady' && !isAwaited) {
    return done(input, 'end', [`nothing to settle: the cluster is ${state.phase} in term ${state.term}`])
  }
  const other = state.claim
  if (other?.open && other.holder !== context.execution && other.id !== input.waitedFor) {
    // It acts outside the database, now or, if it died, for as long as its call may still arrive (S4).
    const reason = `${other.holder} is acting: its pass goes first`
    return { ...waiting({ ...input, waitedFor: other.id }, 'settle', reason), waitSeconds: zombieWaitSeconds }
  }
  await operation.beat()
  const managed = managedPhases(context.cluster)
  if (managed !== null) return managed.settle(context, operation, input)
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
  let primaryBefore: ProbeRow | null = null
  let standbysBefore: Record<string, ProbeRow | null> = {}
  let left: string[] = ['not looked yet']
  for (let round = 0; round < roundsMost && clock.monotonicMs() < deadlineMs; round++) {
    const looks = await lookRound(operation, { writeProbe: true })
    const seen = seenBy(context, looks)
    const work = settleWork({
      cluster: context.cluster,
      state: operation.state,
      seen,
      primaryBefore,
      standbysBefore,
      instances: await instanceStates(context, operation),
    })
    const settled = primaryBefore !== null
    primaryBefore = seen[operation.state.primary]?.row ?? null
    standbysBefore = Object.fromEntries(Object.entries(seen).map(([id, { row }]) => [id, row]))
    const tasks = work.tasks.filter((task) => !failed.has(keyOf(task)))
    left = [...work.left, ...failed.values()]
    for (const task of tasks) {
      const problem = await carryOut(context, operation, task).catch(problemOf)
      if (problem !== undefined) failed.set(keyOf(task), problem)
      if (operation.state.phase === 'halted') return [task.reason]
    }
    if (tasks.length > 0) left = [...left, 'work was done in the last look']
    else if (settled && !work.left.some((each) => /connecting|unknown/.test(each))) break
    await clock.sleep(betweenRoundsMs)
  }
  const name = await assertName(context, operation)
  return name === undefined ? left : [...left, name]
}

/** What a service refused or did not answer holds back one task, not the others. */
function problemOf(error: unknown): string {
  if (error instanceof Superseded || error instanceof StoreUnavailable || error instanceof Refused)
    throw error
  return error instanceof Error ? error.message : String(error)
}

const keyOf = (task: SettleTask) => `${task.row} ${'node' in task ? task.node : ''}`

async function instanceStates(context: StepContext, operation: Operation): Promise<SettleFacts['instances']> {
  const ids = new Map<string, Set<string>>()
  for (const node of context.cluster.nodes) {
    const known = [operation.state.nodes[node.id]?.instanceId, node.instanceId].filter(
      (id) => typeof id === 'string',
    )
    ids.set(node.region, new Set([...(ids.get(node.region) ?? []), ...known]))
  }
  const states: Record<string, { state: string; address: string | null }> = {}
  for (const [region, wanted] of ids) {
    try {
      for (const view of await context.ports.fence.observe(region, [...wanted]))
        states[view.instanceId] = { state: view.state, address: view.privateAddress }
    } catch (error) {
      context.ports.logger.warn('instances could not be described', { region, error: String(error) })
    }
  }
  return states
}

export const handler = stepEntry('settle', settle)
