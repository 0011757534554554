import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatSynchronousNames,
  listForTarget,
  parseSynchronousNames,
  quorumEvidence,
  quorumNeeded,
  readSynchronousSet,
} from '../../functions/core/synchronous.ts'
import type { LossPolicy, ProbeRow, SynchronousSetting } from '../../functions/core/types.ts'
import { base, cluster, node, primaryRow, provable, sender } from './build.ts'

const list = (method: 'ANY' | 'FIRST', k: number, ...names: string[]) => ({ kind: 'list', method, k, names })

describe('the grammar of PostgreSQL', () => {
  test.each([
    ['', { kind: 'none' }],
    [' \n', { kind: 'none' }],
    ['b', list('FIRST', 1, 'b')],
    ['b,c', list('FIRST', 1, 'b', 'c')],
    ['2 (a,b)', list('FIRST', 2, 'a', 'b')],
    ['FIRST 1 (a, b)', list('FIRST', 1, 'a', 'b')],
    ['any 2(a,b,c)', list('ANY', 2, 'a', 'b', 'c')],
    ['ANY 1 ("x-1", "a ""b""")', list('ANY', 1, 'x-1', 'a "b"')],
    ['"any"', list('FIRST', 1, 'any')],
    ['*', list('FIRST', 1, '*')],
    ['ANY 1 (*)', list('ANY', 1, '*')],
    ['1, 2', list('FIRST', 1, '1', '2')],
  ])('%j', (text, expected) => {
    expect(parseSynchronousNames(text)).toEqual(expected)
  })

  test.each([
    'a b',
    'a,',
    ',a',
    'ANY (a)',
    'ANY 1 a',
    'ANY 1 (a',
    'ANY 1 ()',
    'ANY 0 (a)',
    'any, b',
    'ANY 1 (a) b',
    '"a',
    'x-1',
    'a;b',
    ')',
  ])('%j is no list', (text) => {
    expect(parseSynchronousNames(text).kind).toBe('unparseable')
  })

  test('what is formatted is read back', () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1, unit: 'grapheme-ascii' }), {
      minLength: 1,
      maxLength: 5,
    })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), names, (k, ids) => {
        expect(parseSynchronousNames(formatSynchronousNames(k, ids))).toEqual(list('ANY', k, ...ids))
      }),
    )
  })

  test('H27 of no names: a list that nobody can satisfy', () => {
    expect(formatSynchronousNames(2, [])).toBe('ANY 1 ("understudy_nobody")')
  })
})

describe('S9 a provable list', () => {
  const read = (row: Partial<ProbeRow>, config = cluster()) =>
    readSynchronousSet(config, 'a', primaryRow(row))
  const setting = (changes: Partial<SynchronousSetting>): Partial<ProbeRow> => ({
    synchronous: { ...primaryRow().synchronous, ...changes },
  })

  test('is provable when nothing speaks against it', () => {
    expect(read({})).toEqual(provable)
    expect(read({ downstream: [] })).toEqual(provable)
    expect(read(setting({ commit: 'remote_apply' })).status).toBe('provable')
  })

  test.each<[string, Partial<ProbeRow>, string]>([
    ['H04 emptied', setting({ names: '' }), 'empty'],
    ['a wildcard', setting({ names: 'ANY 1 (*)' }), '*'],
    ['a quoted wildcard', setting({ names: 'ANY 1 (b,"*")' }), '*'],
    ['an unknown name', setting({ names: 'ANY 1 (b,x)' }), '"x"'],
    ['twice the same', setting({ names: 'ANY 2 (b,B)' }), 'twice'],
    ['the primary itself', setting({ names: 'ANY 1 (a,b,c)' }), 'itself'],
    ['more than there are', setting({ names: 'ANY 3 (b,c)' }), 'every commit waits'],
    ['not a list', setting({ names: 'b c' }), 'unexpected'],
    ['files that differ', setting({ filesAgree: false }), 'files'],
    ['files that could not be read', setting({ filesAgree: null }), 'could not be read'],
    ['synchronous_commit local', setting({ commit: 'local' }), 'local'],
    ['synchronous_commit remote_write', setting({ commit: 'remote_write' }), 'remote_write'],
    ['H04 a role that overrides', setting({ overrides: ['role app'] }), 'role app'],
    [
      'a clone that carries a listed name',
      { downstream: [sender('b', { clientAddress: '10.0.9.9' })] },
      '10.0.9.9',
    ],
    ['a clone by another case', { downstream: [sender('B', { clientAddress: '10.0.9.9' })] }, '10.0.9.9'],
    [
      'a local process with a listed name',
      { downstream: [sender('b', { clientAddress: null })] },
      'local socket',
    ],
    ['two connections of one name', { downstream: [sender('b'), sender('b')] }, '2 connections'],
  ])('%s is asynchronous', (_, row, reason) => {
    const set = read(row)
    expect(set.status).toBe('asynchronous')
    expect(set.reasons.join('; ')).toContain(reason)
  })

  test('every reason is listed', () => {
    expect(
      read({ ...setting({ commit: 'off', filesAgree: false }), downstream: [sender('b'), sender('b')] })
        .reasons,
    ).toHaveLength(3)
  })

  test('the policy none is asynchronous whatever the server says; a standby has no list in force', () => {
    expect(read({}, cluster({ policy: { synchronous: 'none' } })).status).toBe('asynchronous')
    expect(read({ inRecovery: true }).status).toBe('unknown')
  })

  test('a strange connection under another name does no harm; addresses may be masked or mapped', () => {
    const rows = [
      sender('pg_basebackup'),
      sender('b', { clientAddress: '::ffff:10.0.2.98' }),
      sender('c', { clientAddress: '10.0.3.99/32' }),
    ]
    expect(read({ downstream: rows })).toEqual(provable)
  })
})

describe('S2 the quorum fence', () => {
  test('N-k+1, never none', () => {
    expect(quorumNeeded({ listed: ['b', 'c'], k: 1 })).toBe(2)
    expect(quorumNeeded({ listed: ['b', 'c', 'd'], k: 2 })).toBe(2)
    expect(quorumNeeded({ listed: [], k: 0 })).toBe(1)
    expect(quorumNeeded({ listed: ['b'], k: 3 })).toBe(1)
  })

  test('H02 is never given for nobody, for another writer, or for a list that is not provable', () => {
    const args = { set: provable, writer: 'a', term: 4, counted: ['b', 'c'] }
    expect(quorumEvidence(args)).toEqual({
      kind: 'quorum',
      node: 'a',
      term: 4,
      listed: ['b', 'c'],
      k: 1,
      counted: ['b', 'c'],
    })
    expect(quorumEvidence({ ...args, counted: [] })).toBeNull()
    expect(quorumEvidence({ ...args, counted: ['b'] })).toBeNull()
    expect(quorumEvidence({ ...args, counted: ['b', 'b'] })).toBeNull()
    expect(quorumEvidence({ ...args, counted: ['b', 'x', 'y'] })).toBeNull()
    expect(quorumEvidence({ ...args, writer: 'b' })).toBeNull()
    expect(quorumEvidence({ ...args, writer: 'd' })).toBeNull()
    expect(quorumEvidence({ ...args, set: { ...provable, status: 'asynchronous' } })).toBeNull()
    expect(quorumEvidence({ ...args, set: { ...provable, status: 'unknown' } })).toBeNull()
  })

  test('H03 given, no k of the listed can acknowledge without a counted one; not given, some could (brute force)', () => {
    const names = ['b', 'c', 'd', 'e', 'f']
    const cases = fc
      .subarray(names, { minLength: 1 })
      .chain((listed) =>
        fc.tuple(
          fc.constant(listed),
          fc.integer({ min: 1, max: listed.length }),
          fc.subarray([...names, 'x']),
        ),
      )
    fc.assert(
      fc.property(cases, ([listed, k, counted]) => {
        const evidence = quorumEvidence({ set: { ...provable, listed, k }, writer: 'a', term: 2, counted })
        const acknowledging = subsets(listed).filter((subset) => subset.length === k)
        const fenced = acknowledging.every((subset) => subset.some((id) => counted.includes(id)))
        expect(evidence !== null).toBe(fenced)
      }),
    )
  })
})

function subsets(of: readonly string[]): string[][] {
  const [first, ...rest] = of
  if (first === undefined) return [[]]
  const without = subsets(rest)
  return [...without, ...without.map((subset) => [first, ...subset])]
}

describe('S9 the list of the target, set before its promotion', () => {
  const at = (positionBytes: number, timeline = 1) => ({ positionBytes, timeline })
  const make = (loss: LossPolicy, measurements: Record<string, ReturnType<typeof at>>, k = 1) =>
    listForTarget({
      cluster: cluster({
        policy: { synchronousCount: k },
        nodes: [node('a', '1'), node('b', '2'), node('c', '3'), node('d', '1')],
      }),
      target: 'b',
      targetPositionBytes: base,
      measurements,
      loss,
    })
  const never: LossPolicy = { mode: 'never' }

  test('lists those at or before the fork; H03b beyond it is diverged, unmeasured is neither', () => {
    const made = make(never, { b: at(base), c: at(base + 1), d: at(base) })
    expect(made).toMatchObject({ names: 'ANY 1 ("d")', listed: ['d'], diverged: ['c'], k: 1 })
    expect(make(never, { b: at(base), c: at(base - 1) })).toMatchObject({ listed: ['c'], diverged: [] })
  })

  test('another timeline can not be compared', () => {
    expect(make(never, { b: at(base), c: at(base - 5, 2) })).toMatchObject({ listed: [], diverged: ['c'] })
  })

  test('H27 too few can follow: never keeps commits waiting, others lower k', () => {
    const few = { b: at(base), c: at(base) }
    expect(make(never, few, 2)).toMatchObject({ names: 'ANY 2 ("c")', k: 2 })
    expect(make(never, { b: at(base) }, 2)).toMatchObject({ names: 'ANY 1 ("understudy_nobody")', k: 2 })
    expect(make({ mode: 'availability' }, few, 2)).toMatchObject({ names: 'ANY 1 ("c")', k: 1 })
    expect(make({ mode: 'bounded', seconds: 1 }, { b: at(base) }, 2)).toMatchObject({ names: '', k: 0 })
  })

  test('a target without a measurement lists nobody; asynchronous clusters have no list', () => {
    expect(make(never, { c: at(base) }).listed).toEqual([])
    const args = {
      target: 'b',
      targetPositionBytes: base,
      measurements: { b: at(base), c: at(base) },
      loss: never,
    }
    expect(listForTarget({ ...args, cluster: cluster({ policy: { synchronous: 'none' } }) }).names).toBe('')
  })
})
