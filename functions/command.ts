/** command: what operators ask for, and the workflow's way out. Bad input gets one error that lists everything wrong. */

import { adopt } from './commands/adopt.ts'
import { acknowledge, approve, pause, resume } from './commands/control.ts'
import { doctor } from './commands/doctor.ts'
import { halt, haltFailed } from './commands/halt.ts'
import { explain, status } from './commands/inspect.ts'
import { startByHand } from './commands/start.ts'
import type { CommandWorld } from './commands/world.ts'
import { entry, portsOf } from './entry.ts'
import { Refused, StoreUnavailable, Superseded } from './operation.ts'
import {
  type Command,
  commandSchema,
  isWorkflowHalt,
  problemsOf,
  type WorkflowHalt,
  workflowHaltSchema,
} from './schemas.ts'

/** What every command answers: done with what it found or did, or refused with every reason. */
export type CommandResult =
  | { readonly outcome: 'done'; readonly message: string; readonly [key: string]: unknown }
  | { readonly outcome: 'refused'; readonly reasons: readonly string[] }

export async function command(world: CommandWorld, event: unknown): Promise<CommandResult> {
  const read = isWorkflowHalt(event) ? workflowHaltSchema.safeParse(event) : commandSchema.safeParse(event)
  if (!read.success) return { outcome: 'refused', reasons: problemsOf(read.error) }
  const known = world.fleet.clusters.map((each) => each.id)
  if (read.data.cluster !== undefined && !known.includes(read.data.cluster)) {
    return {
      outcome: 'refused',
      reasons: [
        `cluster ${read.data.cluster} is not configured; the configured ones are ${known.join(', ')}`,
      ],
    }
  }
  try {
    return await carryOut(world, read.data)
  } catch (error) {
    if (error instanceof Refused || error instanceof StoreUnavailable)
      return { outcome: 'refused', reasons: [error.message] }
    if (error instanceof Superseded)
      return {
        outcome: 'refused',
        reasons: [`somebody else changed the cluster meanwhile (${error.message}): look again`],
      }
    throw error
  }
}

function carryOut(world: CommandWorld, asked: Command | WorkflowHalt): Promise<CommandResult> {
  switch (asked.command) {
    case 'adopt':
      return adopt(world, asked)
    case 'acknowledge':
      return acknowledge(world, asked)
    case 'pause':
      return pause(world, asked)
    case 'resume':
      return resume(world, asked)
    case 'failover':
    case 'switchover':
      return startByHand(world, asked)
    case 'approve':
      return approve(world, asked)
    case 'status':
      return status(world, asked.cluster)
    case 'explain':
      return explain(world, asked)
    case 'doctor':
      return doctor(world, asked)
    case 'halt':
      return 'execution' in asked ? haltFailed(world, asked) : halt(world, asked)
  }
}

export const handler = entry<unknown, CommandResult>('command', async (event, surroundings) => {
  const result = await command({ ports: portsOf(surroundings), fleet: surroundings.fleet }, event)
  // The workflow's Retry must see that a halt did not come about.
  if (result.outcome === 'refused' && isWorkflowHalt(event)) throw new Error(result.reasons.join('; '))
  return result
})
