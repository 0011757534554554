/**
 * assess: the pure result of looking at reports and state. It may be wrong (confirm may not), it must never be
 * silent: whatever it decides, waiting included, carries the row and the facts.
 */
import { availability } from './availability.ts'
import { type Decision, decide } from './decisions.ts'
import { type Facts, readFacts } from './facts.ts'
import { findIssues } from './issues.ts'
import type { AssessInput } from './sight.ts'
import type { Availability, Issue } from './types.ts'

export { assessElectionRows, assessRows, type Decision } from './decisions.ts'
export type { Facts } from './facts.ts'
export type { AssessInput } from './sight.ts'

export interface Assessment {
  readonly facts: Facts
  readonly decision: Decision
  readonly availability: Availability
  /** All that are open now: a known key that is missing here has closed. */
  readonly issues: readonly Omit<Issue, 'sinceMs'>[]
}

export function assess(input: AssessInput): Assessment {
  const reading = readFacts(input)
  const { facts } = reading
  const decision = decide(facts)
  return {
    facts,
    decision,
    availability: availability(reading),
    issues: findIssues({ input, ...reading, decision }),
  }
}
