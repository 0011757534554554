/**
 * halt: automation stops on a cluster until a person has looked. Asked for by an operator whose operation waits and will
 * not end, and by the Catch of the workflow. It writes the state and touches neither database nor instance nor name.
 */
import type { CommandResult } from '../command.ts'
import { zombieWaitSeconds } from '../core/limits.ts'
import { takenClaim } from '../core/state.ts'
import type { ClusterState, Phase } from '../core/types.ts'
import type { Operation } from '../operation.ts'
import type { Command, WorkflowHalt } from '../schemas.ts'
import { type CommandWorld, onFreshReads, operationOf } from './world.ts'

type Asked = Extract<Command, { command: 'halt' }>

const running: readonly Phase[] = ['confirming', 'fencing', 'promoting', 'repointing', 'settling']

/** A step that waits writes every few seconds: a halt that loses this often has met something else. */
const racesMost = 8

/** By hand. The running step loses its claim, so that its next act is refused (S4); what it did stays as it is. */
export async function halt(world: CommandWorld, asked: Asked): Promise<CommandResult> {
  return onFreshReads(racesMost, async () => {
    const operation = await operationOf(world, asked.cluster, asked.by)
    const { state } = operation
    if (!running.includes(state.phase)) return { outcome: 'refused', reasons: [nothingToHalt(state)] }
    const left = leftBehind(state)
    const said = `halted in ${state.phase}: ${asked.reason}`
    await haltNow(operation, {
      reason: `${asked.by}: ${asked.reason}`,
      message: left.length === 0 ? said : `${said}; left as it is: ${left.join('; ')}`,
      facts: { phase: state.phase, holder: state.claim?.holder ?? null, left },
    })
    return {
      outcome: 'done',
      message: `${asked.cluster} is halted; it was ${state.phase} in term ${state.term}. ${[...left, wayOut(state)].join('. ')}`,
      left,
    }
  })
}

/** The Catch of the workflow, whatever went wrong. */
export async function haltFailed(world: CommandWorld, asked: WorkflowHalt): Promise<CommandResult> {
  const operation = await operationOf(world, asked.cluster, 'workflow')
  const { state } = operation
  // An execution that lost its claim has nothing to halt: somebody else is responsible by now.
  if (!running.includes(state.phase) || (state.claim !== null && state.claim.holder !== asked.execution)) {
    return {
      outcome: 'done',
      message: `${asked.cluster} is ${state.phase} in term ${state.term} under ${state.claim?.holder ?? 'nobody'}: not halted`,
    }
  }
  const reason = `the workflow failed: ${JSON.stringify(asked.error ?? 'no error given').slice(0, 1_000)}`
  await haltNow(operation, { reason, message: reason, facts: {} })
  return { outcome: 'done', message: reason }
}

async function haltNow(
  operation: Operation,
  { reason, message, facts }: { reason: string; message: string; facts: Record<string, unknown> },
): Promise<void> {
  const { claim } = operation.state
  await operation.write(
    { phase: 'halted', halted: { reason, step: claim?.step ?? 'unknown' } },
    { kind: 'halted', message, facts },
    { claim: takenClaim(claim, operation.id), wake: true },
  )
}

function nothingToHalt({ cluster, phase, term, halted }: ClusterState): string {
  return phase === 'halted'
    ? `${cluster} is halted already, in term ${term} (${halted?.reason ?? 'no reason recorded'})`
    : `${cluster} is ${phase}: no operation is under way; \`understudy pause ${cluster}\` keeps one from beginning`
}

/** What the operation had begun: nobody undoes or finishes it before a person has looked. */
function leftBehind({ plan, claim, nodes }: ClusterState): string[] {
  const left: string[] = []
  if (claim?.open)
    left.push(
      `${claim.holder} may still be acting in step ${claim.step}: what it asked of EC2 or of a host can arrive for ${zombieWaitSeconds} s more, and who begins next waits that long`,
    )
  if (plan === null) return left
  if (plan.target !== null && plan.promotedTimeline === null)
    left.push(
      `${plan.target} is the target of this term and may be promoted, or be about to be: look at it before another node is started`,
    )
  const fenced = plan.fenceRequested.filter((id) => nodes[id])
  if (fenced.length > 0)
    left.push(`the power fence of ${fenced.join(', ')} was requested: its instance is stopped, or will be`)
  if (plan.writeStop !== null)
    left.push(`${plan.writeStop.node} was stopped for a switchover and is not started again by itself`)
  const frozen = Object.keys(plan.frozen)
  if (frozen.length > 0 && plan.promotedTimeline === null)
    left.push(`frozen: ${frozen.join(', ')}; commits that wait for them do not return until then`)
  return left
}

const wayOut = ({ cluster, primary }: ClusterState) =>
  `When exactly one node accepts writes: \`understudy acknowledge ${cluster}\` if it is ${primary}, else \`understudy adopt ${cluster}\``
