/**
 * fence, rds: the closed group alone and `active` on every possible writer, then a reboot that was seen. While the old
 * primary still answers, its sessions are ended and a candidate receives all that they committed: before the group is
 * closed, and once more behind it.
 */
import { standDown } from '../acts/compensate.ts'
import { pollWithinStepMs } from '../core/limits.ts'
import { unproven } from '../core/state.ts'
import type { Plan } from '../core/types.ts'
import type { StepResult } from '../core/workflow.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { planOf } from '../step.ts'
import type { ManagedPhase } from './dispatch.ts'
import { type Advance, advanceFence, type FenceOptions, keepOut, lookForFence } from './fencing.ts'
import { providerPollMs } from './provider.ts'

/**
 * A switchover whose fence does not come about in so many returns opens the primary again: after about ten minutes, and
 * after two of them while its clients are kept out and RDS is slow to change the group.
 */
const patience = { fence: 40, closing: 12 }

export const fenceManaged: ManagedPhase = async (context, operation, input) => {
  const plan = planOf(operation.state)
  const switchover = plan.kind === 'switchover'
  const waits = input.waits ?? 0
  const options: FenceOptions = {
    ...{ drains: plan.from, switchover, waits, unseen: new Map() },
    // A return of the step lets clients back in for a moment: kept out again from the first look on.
    keptOut: new Set(isClosing(plan) ? [plan.from] : []),
  }
  const deadlineMs = context.ports.clock.monotonicMs() + pollWithinStepMs
  for (;;) {
    const { answers, kept } = await advanceAll(operation, options)
    if (answers.length === 0) return goPromote(operation, input)
    const back = answers.find((each) => each.does === 'backOut')
    if (back) return standDown(operation, input, back.row, `no switchover: ${back.reason}`, true, back.facts)
    if (context.ports.clock.monotonicMs() > deadlineMs) return notYet(operation, input, answers)
    if (!kept && !answers.some((each) => each.moved)) await context.ports.clock.sleep(providerPollMs)
  }
}

/** Its sessions were ended before its group was closed, and the group has not been seen closed. */
function isClosing({ network, from }: Plan): boolean {
  const fence = network[from]
  return fence !== undefined && fence.firstEndBytes !== null && !fence.closed
}

/**
 * One look, and one row for each possible writer that has no evidence yet; no answers when there is none left. `kept`:
 * clients were kept out meanwhile, which took as long as the pause between two looks.
 */
async function advanceAll(
  operation: Operation,
  options: FenceOptions,
): Promise<{ answers: Advance[]; kept: boolean }> {
  const missing = () => unproven(operation.state, planOf(operation.state), planOf(operation.state).target)
  const nodes = missing()
  if (nodes.length === 0) return { answers: [], kept: false }
  const [sight, ...kept] = await Promise.all([
    lookForFence(operation, nodes, { approvals: true }),
    ...nodes.filter((id) => options.keptOut.has(id)).map((id) => keepOut(operation, id)),
  ])
  const answers: Advance[] = []
  // One after the other: each writes the state.
  for (const id of nodes) answers.push(await advanceFence(operation, id, sight, options))
  return { answers: missing().length === 0 ? [] : answers, kept: kept.includes(true) }
}

async function notYet(
  operation: Operation,
  input: Parameters<ManagedPhase>[2],
  answers: readonly Advance[],
): Promise<StepResult> {
  const reason = answers.map((each) => `${each.row}: ${each.reason}`).join('; ')
  const plan = planOf(operation.state)
  const isUndoable = plan.kind === 'switchover' && plan.target === null
  const waits = input.waits ?? 0
  const keptOut = isClosing(plan) ? waits - (plan.network[plan.from]?.drainSince ?? 0) : 0
  if (isUndoable && (waits >= patience.fence || keptOut >= patience.closing))
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
