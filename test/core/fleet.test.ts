import { expect, test } from 'vitest'
import { firstFleet, nextFleet } from '../../functions/core/fleet.ts'

const minute = 60_000
const start = 1_700_000_000_000

test('S3 H20 the clock goes forwards only, minute by minute', () => {
  const next = nextFleet(firstFleet(start), start + minute, [])
  expect(next).toMatchObject({ clockMs: start + minute, jumpMs: null, version: 2 })
  expect(nextFleet(next, start, []).clockMs).toBe(start + minute)
})

test('S3 H20 one event with a wrong time moves no clock; a second one that agrees does', () => {
  const jumped = nextFleet(firstFleet(start), start + 120 * minute, [])
  expect(jumped.clockMs).toBe(start)
  expect(nextFleet(jumped, start + minute, [])).toMatchObject({ clockMs: start + minute, jumpMs: null })
  expect(nextFleet(jumped, start + 121 * minute, [])).toMatchObject({ clockMs: start + 121 * minute })
})
