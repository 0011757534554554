/** Histories made by hand: each way of being wrong is told, and what only looks wrong is not. */
import { describe, expect, test } from 'vitest'
import { check, type Final, type Operation, outagesOf } from './checker.ts'

/** An acknowledged addition; times in milliseconds. */
function add(id: string, invokedMs: number, rest: Partial<Operation> = {}): Operation {
  return {
    id,
    client: 'c1',
    kind: 'add',
    register: null,
    fromVersion: null,
    invokedMs,
    completedMs: invokedMs + 10,
    outcome: 'ok',
    server: '10.0.0.1',
    timeline: 1,
    byName: true,
    reason: null,
    ...rest,
  }
}

function move(id: string, fromVersion: number, invokedMs: number, rest: Partial<Operation> = {}): Operation {
  return add(id, invokedMs, { kind: 'set', register: 'r', fromVersion, ...rest })
}

/** The ids that are there, and by whom each version of the register was made, from 1. */
function left(ids: string[], makers: string[] = []): Final {
  return {
    ids,
    versions: makers.map((id, at) => ({ register: 'r', version: at + 1, id })),
    registers: makers.length > 0 ? [{ register: 'r', version: makers.length }] : [],
  }
}

const sound = { lost: [], unexpected: [], twoWriters: [], disorder: [] }

describe('what is in order', () => {
  test('everything that was acknowledged is there, and what failed is not', () => {
    const operations = [add('1', 0), add('2', 20, { outcome: 'failed' }), move('3', 0, 40), move('4', 1, 60)]
    expect(check(operations, left(['1'], ['3', '4']))).toEqual({ ...sound, acknowledged: 3 })
  })

  test('an indeterminate operation may have happened, or not', () => {
    const operations = [add('1', 0, { outcome: 'indeterminate' }), add('2', 20, { outcome: 'indeterminate' })]
    expect(check(operations, left(['2']))).toEqual({ ...sound, acknowledged: 0 })
  })

  test('an indeterminate move may be the one from which the next goes on', () => {
    const operations = [move('1', 0, 0, { outcome: 'indeterminate' }), move('2', 1, 20)]
    expect(check(operations, left([], ['1', '2']))).toEqual({ ...sound, acknowledged: 1 })
  })

  test('moves that overlap may be acknowledged in any order', () => {
    const operations = [move('1', 0, 0, { completedMs: 100 }), move('2', 1, 20, { completedMs: 50 })]
    expect(check(operations, left([], ['1', '2']))).toEqual({ ...sound, acknowledged: 2 })
  })
})

describe('what is wrong', () => {
  test('an acknowledged addition that is not there is lost', () => {
    expect(check([add('1', 0), add('2', 20)], left(['1']))).toMatchObject({ ...sound, lost: ['2'] })
  })

  test('an acknowledged move that is not in the log is lost, even if the register stands higher', () => {
    const operations = [move('1', 0, 0), move('2', 0, 5, { outcome: 'indeterminate' })]
    expect(check(operations, left([], ['2'])).lost).toEqual(['r@1 1'])
  })

  test('what was never attempted, or failed for certain, and is there, is unexpected', () => {
    const operations = [add('1', 0, { outcome: 'failed' }), move('2', 0, 20, { outcome: 'failed' })]
    expect(check(operations, left(['1', 'x'], ['2'])).unexpected).toEqual(['1', 'x', 'r@1 2'])
  })

  test('what is there twice is unexpected', () => {
    expect(check([add('1', 0)], left(['1', '1']))).toMatchObject({ ...sound, unexpected: ['1'] })
  })

  test('S1 a write in an older timeline that began after one in a newer was acknowledged: two writers', () => {
    const newer = add('1', 0, { timeline: 2, server: '10.0.0.2' })
    const operations = [newer, add('2', 20, { timeline: 1, server: '10.0.0.1' })]
    expect(check(operations, left(['1', '2']))).toMatchObject({
      ...sound,
      twoWriters: ['2 by 10.0.0.1 on 1 after 2'],
    })
  })

  test('a true answer that was held up on its way is no second writer', () => {
    const held = add('1', 0, { completedMs: 500, timeline: 1 })
    const operations = [held, add('2', 100, { timeline: 2 })]
    expect(check(operations, left(['1', '2']))).toMatchObject(sound)
  })

  test('two moves from the same version are no compare-and-set', () => {
    const operations = [move('1', 0, 0), move('2', 0, 5)]
    expect(check(operations, left([], ['1'])).disorder).toEqual(['r: 1 and 2 both moved version 0'])
  })

  test('a version that goes back is told', () => {
    const operations = [move('2', 1, 0), move('1', 0, 20)]
    expect(check(operations, left([], ['1', '2'])).disorder).toEqual([
      'r: 1 moved version 0 after 1 was moved',
    ])
  })

  test('a log with a gap, or with a version twice, and a register that does not stand at its last version', () => {
    const final = left([], ['1', '2', '3'])
    const gap = { ...final, versions: final.versions.filter(({ version }) => version !== 2) }
    expect(check([move('1', 0, 0), move('3', 2, 20)], gap).disorder).toHaveLength(1)
    const doubled = {
      ...final,
      versions: final.versions.map((each) => ({ ...each, version: Math.min(each.version, 2) })),
    }
    expect(check([], doubled).disorder).toHaveLength(1)
    const behind = { ...final, registers: [{ register: 'r', version: 2 }] }
    expect(check([], behind).disorder).toHaveLength(1)
  })

  test('without a final state what the clients were told is judged all the same', () => {
    const operations = [add('1', 0, { timeline: 2 }), add('2', 20), move('3', 0, 40), move('4', 0, 60)]
    const verdict = check(operations, null)
    expect(verdict).toMatchObject({ acknowledged: 4, lost: [], unexpected: [] })
    expect(verdict.twoWriters).toHaveLength(3)
    expect(verdict.disorder).not.toEqual([])
  })
})

describe('outages', () => {
  test('gaps between acknowledgements, from the beginning to the end, of clients that ask the name', () => {
    const operations = [
      add('1', 90),
      add('2', 200, { byName: false }),
      add('3', 300, { outcome: 'indeterminate' }),
      add('4', 990),
      add('5', 1_100),
    ]
    expect(outagesOf(operations, 50, 1_500)).toEqual([
      { fromMs: 100, toMs: 1_000 },
      { fromMs: 1_110, toMs: 1_500 },
    ])
  })

  test('nothing at all is one outage', () => {
    expect(outagesOf([], 0, 1_000)).toEqual([{ fromMs: 0, toMs: 1_000 }])
  })
})
