/** A failover or switchover by hand: the same workflow, claim, fence and term as an automatic one. */
import { recordRefusal } from '../acts/refusal.ts'
import type { CommandResult } from '../command.ts'
import { mayClaim } from '../core/claim.ts'
import { executionName, type WorkflowInput } from '../core/workflow.ts'
import { readState } from '../operation.ts'
import type { Command } from '../schemas.ts'
import { type CommandWorld, clockMs, clusterOf } from './world.ts'

type Asked = Extract<Command, { command: 'failover' | 'switchover' }>

/** Refuses at once what the first step would refuse; answers with the execution's name otherwise. */
export async function startByHand(world: CommandWorld, asked: Asked): Promise<CommandResult> {
  const { ports } = world
  const cluster = clusterOf(world, asked.cluster)
  const state = await readState(ports, asked.cluster)
  const input: WorkflowInput = {
    cluster: asked.cluster,
    kind: asked.command,
    reason: asked.reason,
    by: asked.by,
    ...(asked.to === undefined ? {} : { to: asked.to }),
  }
  const name = executionName(asked.cluster, state.term, asked.command, `by-hand-${ports.newId().slice(0, 8)}`)
  const answer = mayClaim({
    cluster,
    state,
    input,
    execution: name,
    clockMs: await clockMs(world),
    approved: false,
  })
  if (answer.may === 'refuse') {
    const { row, reason, facts } = answer
    await recordRefusal(ports, state, { input, execution: name, row, reason, decided: facts })
    return { outcome: 'refused', reasons: [`${row}: ${reason}`] }
  }
  const started = await ports.workflow.start(name, input)
  if (started === 'unknown')
    return {
      outcome: 'refused',
      reasons: [
        `Step Functions did not say whether ${name} was started: look at its executions before trying again`,
      ],
    }
  return {
    outcome: 'done',
    message: `${asked.command} of ${asked.cluster} is started as ${name}`,
    execution: name,
    term: state.term + 1,
  }
}
