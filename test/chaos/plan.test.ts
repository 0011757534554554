import { expect, test } from 'vitest'
import { describeFault, faultKinds, planRound } from './plan.ts'

const rounds = Array.from({ length: 300 }, (_, at) => at + 1)

test('the same seed gives the same faults, whichever rounds were planned before', () => {
  const all = rounds.map((round) => planRound(7, round))
  expect(planRound(7, 123)).toEqual(all[122])
  expect(rounds.map((round) => planRound(8, round))).not.toEqual(all)
})

test('every kind is drawn; only those that are asked for, and the death that a step needs', () => {
  const kinds = (some?: (typeof faultKinds)[number][]) =>
    new Set(rounds.flatMap((round) => planRound(1, round, some).map(({ fault }) => fault.kind)))
  expect(kinds()).toEqual(new Set(faultKinds))
  expect(kinds(['link'])).toEqual(new Set(['link', 'kill']))
  expect(kinds(['step'])).toEqual(new Set(['step', 'kill']))
})

test('what waits for a failover gets one', () => {
  for (const planned of rounds.map((round) => planRound(3, round))) {
    const waits = planned.some(({ fault, when }) => fault.kind === 'step' || 'phase' in when)
    const dies = planned.some(
      ({ fault, when }) => fault.kind === 'kill' && fault.node === 'primary' && 'atMs' in when,
    )
    expect(dies || !waits).toBe(true)
  }
})

test('nothing is cut off from itself alone', () => {
  const planned = rounds.flatMap((round) => planRound(5, round, ['oneway']))
  for (const { fault } of planned) if (fault.kind === 'oneway') expect(fault.from).not.toBe(fault.to)
})

test('every fault has a text', () => {
  for (const planned of rounds.flatMap((round) => planRound(2, round)))
    expect(describeFault(planned)).toMatch(/^[a-z][\w ,-]+$/)
})
