/** Hooks for `Front.onCall` that make RDS' API behave as badly as it can, repeatably. */
import type { Mishap, MishapHook } from '../front.ts'

export const rdsVersion = '2014-10-31'

/** What RDS answers who asks too often; the rates are not published. */
export const throttled: Mishap = { when: 'before', code: 'Throttling', message: 'Rate exceeded' }
export const noAnswer: Mishap = { when: 'before', silent: true }
export const answerLost: Mishap = { when: 'after', silent: true }

export interface Chances {
  readonly seed: number
  /** Each from 0 to 1, of calls to RDS. */
  readonly throttled?: number
  readonly noAnswer?: number
  readonly answerLost?: number
  readonly stale?: { readonly chance: number; readonly msMost: number }
  readonly delayed?: { readonly chance: number; readonly msMost: number }
}

export function chance(chances: Chances): MishapHook {
  const random = generator(chances.seed)
  return ({ service, operation }) => {
    if (service !== rdsVersion) return undefined
    // All are drawn for every call, so that one chance does not shift the others.
    const drawn = {
      throttled: random(),
      noAnswer: random(),
      answerLost: random(),
      stale: random(),
      staleness: random(),
      delayed: random(),
      delay: random(),
    }
    if (drawn.throttled < (chances.throttled ?? 0)) return throttled
    if (drawn.noAnswer < (chances.noAnswer ?? 0)) return noAnswer
    if (drawn.answerLost < (chances.answerLost ?? 0)) return answerLost
    const { stale, delayed } = chances
    const isStale = stale && operation.startsWith('Describe') && drawn.stale < stale.chance
    const mishap: Mishap = {
      ...(isStale ? { staleMs: drawn.staleness * stale.msMost } : {}),
      ...(delayed && drawn.delayed < delayed.chance ? { delayMs: drawn.delay * delayed.msMost } : {}),
    }
    return Object.keys(mishap).length > 0 ? mishap : undefined
  }
}

/** Mulberry32: small, and the same everywhere. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
