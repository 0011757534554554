/**
 * fence, rds: the closed group alone and `active` on every possible writer, then a reboot that was seen. While the old
 * primary still answers, its sessions are ended behind the group and a candidate receives all that they committed.
 */
import { standDown } from '../acts/compensate.ts'
import { pollWithinStepMs } from '../core/limits.ts'
import { unproven } from '../core/state.ts'
import type { StepResult } from '../core/workflow.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { planOf } from '../step.ts'
import type { ManagedPhase } from './dispatch.ts'
import { type Advance, advanceFence, type FenceOptions, lookForFence } from './fencing.ts'
import { providerPollMs } from './provider.ts'

/** A switchover whose fence does not come about in so many returns opens the primary again: about ten minutes. */
const patience = 40

export const fenceManaged: ManagedPhase = async (context, operation, input) => {
  const plan = planOf(operation.state)
  const switchover = plan.kind === 'switchover'
  const waits = input.waits ?? 0
  const options: FenceOptions = { drains: plan.from, switchover, waits, unseen: new Map() }
  const deadlineMs = context.ports.clock.monotonicMs() + pollWithinStepMs
  for (;;) {
    const answers = await advanceAll(operation, options)
    if (answers.length === 0) return goPromote(operation, input)
    const back = answers.find((each) => each.does === 'backOut')
    if (back) return standDown(operation, input, back.row, `no switchover: ${back.reason}`, true)
    if (context.ports.clock.monotonicMs() > deadlineMs) return notYet(operation, input, answers)
    if (!answers.some((each) => each.moved)) await context.ports.clock.sleep(providerPollMs)
  }
}

/** One look, and one row for each possible writer that has no evidence yet. [] when there is none left. */
async function advanceAll(operation: Operation, options: FenceOptions): Promise<Advance[]> {
  const missing = () => unproven(operation.state, planOf(operation.state), planOf(operation.state).target)
  const nodes = missing()
  if (nodes.length === 0) return []
  const sight = await lookForFence(operation, nodes, { approvals: true })
  const answers: Advance[] = []
  // One after the other: each writes the state.
  for (const id of nodes) answers.push(await advanceFence(operation, id, sight, options))
  return missing().length === 0 ? [] : answers
}

async function notYet(
  operation: Operation,
  input: Parameters<ManagedPhase>[2],
  answers: readonly Advance[],
): Promise<StepResult> {
  const reason = answers.map((each) => `${each.row}: ${each.reason}`).join('; ')
  const isUndoable = planOf(operation.state).kind === 'switchover' && planOf(operation.state).target === null
  if (isUndoable && (input.waits ?? 0) >= patience)
    return standDown(operation, input, 'C0', `no switchover: ${reason}`, true)
  return waiting(input, 'fence', reason)
}

async function goPromote(operation: Operation, input: Parameters<ManagedPhase>[2]): Promise<StepResult> {
  const { evidence, network, from } = planOf(operation.state)
  const facts = evidence.map((each) => `${each.node}: ${each.kind}`).join(', ')
  const drained = network[from]?.drained ? `; drained to byte ${network[from]?.drainToBytes}` : ''
  await operation.write(
    { phase: 'promoting' },
    { kind: 'fenced', message: `${facts || 'no other writer'}${drained}`, facts: { evidence, network } },
  )
  return done(input, 'promote')
}
