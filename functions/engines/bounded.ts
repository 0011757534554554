/** Deadlines that do not depend on the good will of a driver. */
import type { Clock } from '../ports.ts'
import { type Stage, TimedOut } from './postgres/errors.ts'

/** Settles with the work, or rejects with `TimedOut` once `giveUp` was called: what was begun must not go on unseen. */
export async function bounded<T>(
  work: Promise<T>,
  options: { clock: Clock; timeoutMs: number; stage: () => Stage; giveUp: () => void },
): Promise<T> {
  const began = options.clock.monotonicMs()
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        options.giveUp()
        reject(new TimedOut(options.stage(), options.clock.monotonicMs() - began))
      },
      Math.max(0, options.timeoutMs),
    )
  })
  work.catch(() => {}) // what loses the race is never unhandled
  try {
    return await Promise.race([work, expired])
  } finally {
    clearTimeout(timer)
  }
}
