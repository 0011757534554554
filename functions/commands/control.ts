/** Commands that change what automation may do: pause, resume, approve, acknowledge; and the workflow's halt. */

import type { CommandResult } from '../command.ts'
import { agreement } from '../core/looks.ts'
import { StoreUnavailable } from '../operation.ts'
import type { Command } from '../schemas.ts'
import { type CommandWorld, clockMs, freshLooks, observersOf, operationOf } from './world.ts'

type Asked<C extends Command['command']> = Extract<Command, { command: C }>

export async function pause(world: CommandWorld, asked: Asked<'pause'>): Promise<CommandResult> {
  const operation = await operationOf(world, asked.cluster, asked.owner)
  const untilMs = (await clockMs(world)) + asked.minutes * 60_000
  await writeBeside(
    operation,
    { pause: { owner: asked.owner, reason: asked.reason, untilMs } },
    'paused',
    `no automatic failover for ${asked.minutes} minutes: ${asked.reason}`,
  )
  return {
    outcome: 'done',
    message: `${asked.cluster} is paused until ${new Date(untilMs).toISOString()}; a failover by hand is still possible`,
    untilMs,
  }
}

export async function resume(world: CommandWorld, asked: Asked<'resume'>): Promise<CommandResult> {
  const operation = await operationOf(world, asked.cluster, asked.by)
  if (operation.state.pause === null)
    return { outcome: 'refused', reasons: [`${asked.cluster} is not paused`] }
  await writeBeside(
    operation,
    { pause: null },
    'resumed',
    'automatic failover is possible again; what is seen from now on counts',
  )
  return { outcome: 'done', message: `${asked.cluster} is watched again` }
}

/** A pause must not take the claim from a running operation: it is written beside it, on the same version. */
async function writeBeside(
  operation: Awaited<ReturnType<typeof operationOf>>,
  change: { pause: { owner: string; reason: string; untilMs: number } | null },
  kind: string,
  message: string,
): Promise<void> {
  await operation.write(change, { kind, message }, { keepClaim: true, wake: true })
}

export async function approve(world: CommandWorld, asked: Asked<'approve'>): Promise<CommandResult> {
  // A loss is accepted for one target: worse facts, such as another candidate, void it (H25).
  if (asked.acceptLoss && (asked.target ?? null) === null) {
    return {
      outcome: 'refused',
      reasons: [
        'a loss is accepted for one target: name it (--target); `understudy explain` shows the candidate',
      ],
    }
  }
  const outcome = await world.ports.store.writeApproval({
    cluster: asked.cluster,
    term: asked.term,
    target: asked.target ?? null,
    acceptLoss: asked.acceptLoss,
    unfenced: asked.unfenced,
    by: asked.by,
    reason: asked.reason,
    untilMs: (await clockMs(world)) + asked.minutes * 60_000,
  })
  if (outcome !== 'written') throw new StoreUnavailable('the approval was not stored')
  return {
    outcome: 'done',
    message: `term ${asked.term} of ${asked.cluster} is approved by ${asked.by} for ${asked.minutes} minutes: ${asked.reason}`,
  }
}

/** Leaves `halted` after a fresh look that shows the recorded primary writable; anything else needs `adopt`. */
export async function acknowledge(world: CommandWorld, asked: Asked<'acknowledge'>): Promise<CommandResult> {
  const operation = await operationOf(world, asked.cluster, asked.by)
  const { state } = operation
  if (state.phase !== 'halted')
    return {
      outcome: 'refused',
      reasons: [`${asked.cluster} is ${state.phase}, not halted: nothing is to be acknowledged`],
    }
  const looks = await freshLooks(world, asked.cluster)
  const seen = agreement(looks, observersOf(world), state.primary)
  if (seen.class !== 'writable') {
    return {
      outcome: 'refused',
      reasons: [
        `the recorded primary ${state.primary} is ${seen.class} to a majority of the observers: mend that, start a failover after an adopt, or adopt what is true`,
      ],
    }
  }
  await operation.write(
    { phase: 'settling', halted: null },
    { kind: 'acknowledged', message: asked.reason },
    { release: true, wake: true },
  )
  return { outcome: 'done', message: `${asked.cluster} goes on with ${state.primary} as its primary` }
}

/** The Catch of the workflow: whatever went wrong, automation stops on this cluster until a person has looked. */
export async function halt(world: CommandWorld, asked: Asked<'halt'>): Promise<CommandResult> {
  const operation = await operationOf(world, asked.cluster, 'workflow')
  const { state } = operation
  const running = ['confirming', 'fencing', 'promoting', 'repointing', 'settling'].includes(state.phase)
  // An execution that lost its claim has nothing to halt: somebody else is responsible by now.
  if (!running || (state.claim !== null && state.claim.holder !== asked.execution)) {
    return {
      outcome: 'done',
      message: `${asked.cluster} is ${state.phase} in term ${state.term} under ${state.claim?.holder ?? 'nobody'}: not halted`,
    }
  }
  const reason = `the workflow failed: ${JSON.stringify(asked.error ?? 'no error given').slice(0, 1_000)}`
  await operation.write(
    { phase: 'halted', halted: { reason, step: state.claim?.step ?? 'unknown' } },
    { kind: 'halted', message: reason },
    { release: true, wake: true },
  )
  return { outcome: 'done', message: reason }
}
