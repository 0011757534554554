/** What an operation of an engine that elects by itself remembers between its invocations: kept in the plan's facts. */
import type { Plan } from './types.ts'

export interface NativeProgress {
  /** Monotonic time of its invocations and Wait states since the claim: what the grace is counted by (S3). */
  readonly usedMs: number
  /** What became of the last call; `unknown` from before the call until its answer is stored (S5). */
  readonly asked: 'no' | 'requested' | 'later' | 'refused' | 'unknown'
  /** Some call of this operation may have had an effect: a later refusal proves nothing any more. */
  readonly doubt: boolean
  readonly refusal: string
  /** Readings of the provider since the last call. */
  readonly sinceAsk: number
  /** The row that a person was told of last: once, not at each return. */
  readonly paged: string | null
  /** Events of the storage's fence that were there before the call: those of older failovers. */
  readonly eventsBefore: readonly string[]
}

const none: NativeProgress = {
  usedMs: 0,
  asked: 'no',
  doubt: false,
  refusal: '',
  sinceAsk: 0,
  paged: null,
  eventsBefore: [],
}

export function nativeProgress(plan: Plan): NativeProgress {
  const stored = plan.facts.native
  return typeof stored === 'object' && stored !== null ? { ...none, ...stored } : none
}

export function withProgress(plan: Plan, change: Partial<NativeProgress>): Plan {
  return { ...plan, facts: { ...plan.facts, native: { ...nativeProgress(plan), ...change } } }
}
