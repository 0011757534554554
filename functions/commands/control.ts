/** Commands that change what automation may do: pause, resume, approve, acknowledge. */

import type { CommandResult } from '../command.ts'
import { agreement } from '../core/looks.ts'
import { Refused, StoreUnavailable } from '../operation.ts'
import type { Command } from '../schemas.ts'
import { type CommandWorld, clockMs, freshLooks, observersOf, onFreshReads, operationOf } from './world.ts'

type Asked<C extends Command['command']> = Extract<Command, { command: C }>

export async function pause(world: CommandWorld, asked: Asked<'pause'>): Promise<CommandResult> {
  const untilMs = await endOf(world, asked.minutes)
  const { owner, reason } = asked
  return onFreshReads(2, async () => {
    const operation = await operationOf(world, asked.cluster, owner)
    await writeBeside(
      operation,
      { pause: { owner, reason, untilMs } },
      'paused',
      `no automatic failover for ${asked.minutes} minutes: ${reason}`,
    )
    return {
      outcome: 'done',
      message: `${asked.cluster} is paused until ${new Date(untilMs).toISOString()}; a failover by hand is still possible`,
      untilMs,
    }
  })
}

export async function resume(world: CommandWorld, asked: Asked<'resume'>): Promise<CommandResult> {
  return onFreshReads(2, async () => {
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
  })
}

/** In so many minutes, by the scheduler's clock. */
async function endOf(world: CommandWorld, minutes: number): Promise<number> {
  const untilMs = (await clockMs(world)) + minutes * 60_000
  if (Number.isNaN(new Date(untilMs).getTime()))
    throw new Refused(
      `the clock in the item fleet / fleet is ${untilMs} ms, which is no time: correct it, or delete the item, which is written anew`,
    )
  return untilMs
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
    untilMs: await endOf(world, asked.minutes),
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
  // It was seen to accept writes, so what a switchover had stopped is lifted.
  const plan = state.plan && { ...state.plan, writeStop: null }
  await operation.write(
    { phase: 'settling', halted: null, plan },
    { kind: 'acknowledged', message: asked.reason },
    // An open claim stays, nobody's: whoever acts next waits out what may still arrive (S4).
    { ...(state.claim?.open ? { keepClaim: true } : { release: true }), wake: true },
  )
  return { outcome: 'done', message: `${asked.cluster} goes on with ${state.primary} as its primary` }
}
