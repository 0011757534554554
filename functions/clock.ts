/** The clocks of a running function. Everything else gets its time from here, as an argument. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from './ports.ts'

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep: async (ms, signal) => {
    // An aborted sleep just ends: whoever aborted it knows why.
    await delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined)
  },
}
