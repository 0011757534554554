/** Every property, each in the words of the design's rule that it judges; none of them asks the code under test. */
import type { Checker, History, Violation } from '../history.ts'
import {
  actsInOrder,
  claimsAtActs,
  neverTheNewest,
  oneTarget,
  promotionsAllowed,
  settlingAfterCommit,
  undone,
} from './acts.ts'
import { promisesKept, wellInTheEnd } from './ended.ts'
import { isolatedBehindPower, livingPrimary, peopleFirst } from './living.ts'
import { nothingLost } from './loss.ts'
import { nameForward, nameOfTarget, ownerActs } from './names.ts'
import { decisionsExplained } from './replay.ts'
import { claimsAnew, versionsAndEvents } from './versions.ts'
import { onePromotion, oneWriter, trueEvidence } from './writers.ts'

/** What must hold of every history, whatever happened in it. */
export const safety: readonly Checker[] = [
  oneWriter,
  onePromotion,
  trueEvidence,
  nothingLost,
  nameForward,
  nameOfTarget,
  ownerActs,
  livingPrimary,
  isolatedBehindPower,
  peopleFirst,
  claimsAnew,
  claimsAtActs,
  promotionsAllowed,
  oneTarget,
  actsInOrder,
  neverTheNewest,
  settlingAfterCommit,
  undone,
  versionsAndEvents,
  decisionsExplained,
  promisesKept,
]

/** In order of time. `wellInTheEnd` counts only where everything was healed. */
export function check(history: History): Violation[] {
  const checkers = history.healedAtMs === null ? safety : [...safety, wellInTheEnd]
  return checkers.flatMap((each) => each(history)).toSorted((a, b) => a.atMs - b.atMs)
}

export { wellInTheEnd }
