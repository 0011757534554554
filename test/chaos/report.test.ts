import { expect, test } from 'vitest'
import { planRound } from './plan.ts'
import { problemsOf, roundHeader, roundLine, summarise, summaryTable } from './report.ts'
import { isHeld, type RoundResult } from './result.ts'

const held: RoundResult = {
  round: 7,
  planned: planRound(1, 1),
  verdict: { acknowledged: 100, lost: [], unexpected: [], twoWriters: [], disorder: [] },
  vanished: 0,
  outages: [{ fromMs: 1_000, toMs: 3_500 }],
  availability: 0.75,
  writableMs: 20,
  wholeMs: 9_000,
  term: 3,
  failovers: 1,
  missing: null,
}
const wrong = (verdict: Partial<RoundResult['verdict']>): RoundResult => ({
  ...held,
  verdict: { ...held.verdict, ...verdict },
})

test('a round is one line of a terminal, whatever was drawn', () => {
  const rounds = Array.from({ length: 100 }, (_, at) => ({ ...held, round: at, planned: planRound(1, at) }))
  for (const line of [roundHeader(), ...rounds.map(roundLine)]) {
    expect(line.length).toBeLessThanOrEqual(80)
    expect(line).not.toContain('\n')
  }
  expect(roundLine(held)).toMatch(/^ +7 +2\.5 s +75\.0 % +9\.0 s +3 {2}\w/)
})

test.each<[string, RoundResult]>([
  ['acknowledged and lost: x', wrong({ lost: ['x'] })],
  ['there, and never attempted or known to have failed: x', wrong({ unexpected: ['x'] })],
  ['two writers: x', wrong({ twoWriters: ['x'] })],
  ['no order of compare-and-sets: x', wrong({ disorder: ['x'] })],
  ['2 rows of earlier rounds are not there any more', { ...held, vanished: 2 }],
  ['not writable in time after healing', { ...held, writableMs: null }],
  ['not whole in time after healing; it lacks a name', { ...held, wholeMs: null, missing: 'a name' }],
])('what is wrong is said, and fails the round: %s', (text, result) => {
  expect(isHeld(held)).toBe(true)
  expect(problemsOf(held)).toEqual([])
  expect(isHeld(result)).toBe(false)
  expect(problemsOf(result)).toEqual([text])
  expect(roundLine(result)).toContain('FAILED')
})

test('a summary adds up rounds, and keeps every outage', () => {
  const twice = wrong({ twoWriters: ['x', 'y'], lost: ['z'] })
  const results = [held, { ...twice, vanished: 2 }, { ...held, writableMs: null, wholeMs: null, outages: [] }]
  const summary = summarise(5, results, '/history')
  expect(summary).toMatchObject({
    seed: 5,
    rounds: 3,
    acknowledged: 300,
    lost: 3,
    unexpected: 0,
    twoWriters: 1,
  })
  expect(summary).toMatchObject({ notWritable: 1, notWhole: 1, failovers: 3, availability: 0.75 })
  expect(summary).toMatchObject({ outagesMs: [2_500, 2_500], recoveryMs: { median: 20, max: 20 } })
  for (const line of summaryTable(summary).split('\n')) expect(line.length).toBeLessThanOrEqual(80)
})
