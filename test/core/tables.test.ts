import { describe, expect, test } from 'vitest'
import { assess, assessElectionRows, assessRows } from '../../functions/core/assess.ts'
import { judge, judgeRows } from '../../functions/core/confirm.ts'
import { conditions } from '../../functions/core/issues.ts'
import { managedConfirmRows } from '../../functions/core/managedConfirm.ts'
import { managedFenceRows } from '../../functions/core/managedFence.ts'
import { managedPromoteRows } from '../../functions/core/managedPromote.ts'
import { managedRankRows } from '../../functions/core/managedRank.ts'
import { managedSettleRows } from '../../functions/core/managedSettleRows.ts'
import { rank, rankRows } from '../../functions/core/rank.ts'
import { resumeRows } from '../../functions/core/resume.ts'
import { fill, firstMatch, type ListedRow } from '../../functions/core/table.ts'
import { assessInput, judgeInput, rankInput } from './build.ts'
import { expectGolden } from './golden.ts'

const tables = [
  ['assess: what is done about a cluster', assessRows, Object.keys(assess(assessInput()).facts)],
  [
    'assess: of engines that elect by themselves',
    assessElectionRows,
    Object.keys(assess(assessInput()).facts),
  ],
  ['confirm: is the primary dead', judgeRows, Object.keys(judge(judgeInput()).facts)],
  ['resume: what is done with what is recorded', resumeRows, null],
  ['promote: which node, and what that loses', rankRows, null],
  ['rds, confirm: what RDS says of the primary', managedConfirmRows, null],
  ['rds, fence: what is next for one node', managedFenceRows, null],
  ['rds, promote: which replica, and what that loses', managedRankRows, null],
  ['rds, promote: is it done', managedPromoteRows, null],
  ['rds, settle: what is left to do', managedSettleRows, null],
] as const

test('the decision tables as they decide are those of golden/decisions.txt', () => {
  const print = (row: ListedRow) =>
    `${row.id.padEnd(4)}${row.does}\n    when ${row.when}\n    says ${row.reason}\n`
  const text = tables.map(([title, rows]) => `## ${title}\n\n${rows.map(print).join('\n')}`)
  expectGolden('./golden/decisions.txt', text.join('\n'))
})

describe.each(tables)('%s', (_, rows, facts) => {
  test('ids are unique and in order', () => {
    const letter = rows[0]?.id[0]
    expect(rows.map((row) => row.id)).toEqual(rows.map((_row, index) => `${letter}${index + 1}`))
  })

  if (facts === null) return
  test('reasons name only facts that there are', () => {
    const named = rows.flatMap((row) => [...row.reason.matchAll(/\{(\w+)\}/g)].map((match) => match[1]))
    expect(named.filter((name) => !facts.includes(name ?? ''))).toEqual([])
  })
})

test('messages of issues name only facts that there are', () => {
  const facts = Object.keys(assess(assessInput()).facts)
  const named = conditions.flatMap(({ message, todo }) => [...(message + todo).matchAll(/\{(\w+)\}/g)])
  expect(named.map((match) => match[1]).filter((name) => !facts.includes(name ?? ''))).toEqual([])
})

test('reasons of the ranking leave no placeholder', () => {
  for (const given of [
    rankInput({ b: 0, c: 8 }),
    rankInput({ b: 0 }),
    rankInput({}),
    rankInput({ b: 0 }, { to: 'c' }),
  ]) {
    expect(rank(given).reason).not.toMatch(/[{}]|undefined/)
  }
})

test('a table without a last resort is a bug, and the first match wins', () => {
  const row = (id: string, matches: boolean) => ({ id, when: '', test: () => matches, does: 'x', reason: '' })
  expect(firstMatch([row('1', false), row('2', true), row('3', true)], {}).id).toBe('2')
  expect(() => firstMatch([row('1', false)], {})).toThrow()
})

test('a template says unknown and none, never undefined', () => {
  expect(fill('{a} {b} {c} {d}', { a: null, b: [], c: ['x', 'y'], d: 0 })).toBe('unknown none x, y 0')
})
