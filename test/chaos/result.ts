/** What came of a round. Apart from how it is made, so that who only reports need not load what makes it. */
import type { Outage, Verdict } from './checker.ts'
import type { Planned } from './plan.ts'

/** After healing: until a write through the name, and until a cluster that lacks nothing. */
export const writableWithinMs = 60_000
export const wholeWithinMs = 120_000

export interface RoundResult {
  readonly round: number
  readonly planned: readonly Planned[]
  readonly verdict: Verdict
  /** Of rows that were there when an earlier round ended, so many are not there any more. */
  readonly vanished: number
  readonly outages: readonly Outage[]
  /** Part of the time in which writes were acknowledged, from 0 to 1. */
  readonly availability: number
  /** From healing to the first write through the name that was asked for after it; null: not in time. */
  readonly writableMs: number | null
  /** From healing until the cluster is steady, redundant and correctly named; null: not in time. */
  readonly wholeMs: number | null
  readonly term: number
  readonly failovers: number
  /** What was still missing, when time was up. */
  readonly missing: string | null
}

export function isHeld(result: RoundResult): boolean {
  const { verdict, vanished, writableMs, wholeMs } = result
  const problems = [verdict.lost, verdict.unexpected, verdict.twoWriters, verdict.disorder]
  return (
    problems.every((each) => each.length === 0) && vanished === 0 && writableMs !== null && wholeMs !== null
  )
}
