import { expect, test } from 'vitest'
import { remember } from '../../functions/core/observe.ts'
import type { Observation } from '../../functions/core/types.ts'
import { standbyRow } from './build.ts'

const seen = (positionBytes: number): Observation => ({
  class: 'recovery',
  outcome: { kind: 'answered', row: standbyRow(positionBytes) },
  tookMs: 1,
})
const at = (primaryBytes: number | null) => ({ nowMs: 500, counts: true, ended: null, primaryBytes })

test('S10 a standby had everything when it was seen at or beyond the primary of the same tick', () => {
  expect(remember(undefined, seen(100), at(100)).caughtUpAtMs).toBe(500)
  expect(remember(undefined, seen(99), at(100)).caughtUpAtMs).toBeNull()
  expect(remember(undefined, seen(100), at(null)).caughtUpAtMs).toBeNull()
})

test('S10 engines without positions give 0, and two of those prove nothing', () => {
  expect(remember(undefined, seen(0), at(0)).caughtUpAtMs).toBeNull()
})
