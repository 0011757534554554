/**
 * Names, time-outs and limits that more than one part must agree on: the stacks set them, the steps count on them.
 */
import type { Step } from './types.ts'

/** Time-outs of the functions, seconds. The caller's time-out is always above the callee's. */
export const functionTimeoutSeconds = {
  observe: 150,
  look: 15,
  assess: 60,
  confirm: 60,
  fence: 60,
  promote: 60,
  repoint: 60,
  settle: 60,
  operate: 20,
  record: 30,
  command: 60,
} as const
export type FunctionName = keyof typeof functionTimeoutSeconds

/** How much longer than the function's own time-out the workflow waits for it: no retry overlaps its predecessor (H06). */
export const taskMarginSeconds = 5

/** A stalled invocation of a function that acts is surely over after this long (S4, resume). */
export const zombieWaitSeconds =
  Math.max(
    ...(['confirm', 'fence', 'promote', 'repoint', 'settle', 'operate', 'command'] as const).map(
      (name) => functionTimeoutSeconds[name],
    ),
  ) + 10

/** A step polls inside for at most this long, then returns `waiting`. */
export const pollWithinStepMs = 10_000

/** An observer's loop ends after this long at the latest. */
export const loopMs = 130_000

/**
 * No two loops of an observer that live are so many minutes of the scheduler apart: a report whose token is further ahead was
 * written with a wrong time of an event, and is overtaken at once (S3, H20).
 */
export const tokenLeadMost = 10

/** A clock jump above this is accepted only when two ticks in a row agree (S3). */
export const clockJumpMs = 180_000

/** More clusters than this between `fencing` and `repointing`: wait and page (S6). */
export const fleetFailoversMost = 5

/** Steps of the workflow, in the order of the flow. */
export const workflowSteps = [
  'confirm',
  'fence',
  'promote',
  'repoint',
  'settle',
] as const satisfies readonly Step[]
export type WorkflowStep = (typeof workflowSteps)[number]

/** `application_name` of a frozen or following standby: never in a synchronous list. */
export function freezeName(deployment: string, term: number): string {
  return `understudy_${deployment}_${term}`
}

/** The host of a frozen standby's `primary_conninfo`: a socket directory that does not exist. */
export const frozenHost = '/understudy-frozen'
