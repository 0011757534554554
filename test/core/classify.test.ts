import { describe, expect, test } from 'vitest'
import { classify, isAlive, isDown, majority, observation } from '../../functions/core/classify.ts'
import { nodeClasses, type ProbeOutcome } from '../../functions/core/types.ts'
import { primaryRow, standbyRow } from './build.ts'

const sql = (sqlState: string, message = ''): ProbeOutcome => ({ kind: 'sqlError', sqlState, message })

describe('classify', () => {
  test.each<[string, ProbeOutcome, string]>([
    ['a primary', { kind: 'answered', row: primaryRow() }, 'writable'],
    [
      'a primary not asked to write',
      { kind: 'answered', row: primaryRow({ writeProbe: 'skipped' }) },
      'writable',
    ],
    [
      'F14 commits that do not return',
      { kind: 'answered', row: primaryRow({ writeProbe: 'blocked' }) },
      'writes blocked',
    ],
    ['a standby', { kind: 'answered', row: standbyRow() }, 'recovery'],
    ['F20 crash recovery', sql('57P03', 'the database system is starting up'), 'starting'],
    ['57P03 while it stops', sql('57P03', 'the database system is shutting down'), 'stopping'],
    ['57P01', sql('57P01'), 'stopping'],
    ['57P02', sql('57P02'), 'stopping'],
    ['F12 too many connections', sql('53300'), 'busy'],
    ['F12 wrong password', sql('28P01'), 'denied'],
    ['F12 no pg_hba entry', sql('28000'), 'denied'],
    ['TLS refused', sql('08P01'), 'denied'],
    ['no such database', sql('3D000'), 'denied'],
    ['no privilege', sql('42501'), 'denied'],
    ['a conflict with recovery', sql('40001'), 'denied'],
    ['F23 disk full', sql('53100'), 'broken'],
    ['F11 I/O error', sql('58030'), 'broken'],
    ['F11 internal error', sql('XX000'), 'broken'],
    ['F11 corrupted data', sql('XX001'), 'broken'],
    ['F11 another intervention', sql('57014'), 'broken'],
    ['F11 an error without SQLSTATE', sql(''), 'broken'],
    ['F11 wrong protocol', { kind: 'protocol', message: 'HTTP/1.1 400' }, 'broken'],
    ['F09 nobody listens', { kind: 'refused', message: '' }, 'refused'],
    ['F09 reset before any byte', { kind: 'reset', message: '' }, 'refused'],
    ['F08 H02 a time-out is not a refusal', { kind: 'timeout', stage: 'connect', afterMs: 1 }, 'silent'],
    [
      'F08 a frozen server accepts by its kernel',
      { kind: 'timeout', stage: 'startup', afterMs: 1 },
      'silent',
    ],
    ['F08 a query that hangs', { kind: 'timeout', stage: 'query', afterMs: 1 }, 'silent'],
    ['no route', { kind: 'unreachable', message: '' }, 'unreachable'],
    ['not probed', { kind: 'notProbed', message: '' }, 'unknown'],
  ])('%s', (_, outcome, expected) => {
    expect(classify(outcome)).toBe(expected)
    expect(observation(outcome, 7)).toEqual({ class: expected, outcome, tookMs: 7 })
  })

  test('S7 which classes prove life, which look dead; unknown is neither', () => {
    expect(nodeClasses.filter(isAlive)).toEqual([
      'writable',
      'writes blocked',
      'recovery',
      'starting',
      'stopping',
      'busy',
      'denied',
    ])
    expect(nodeClasses.filter(isDown)).toEqual(['refused', 'silent', 'unreachable', 'broken'])
  })

  test('H24 the majority is of the configured observers; of none it can not be reached', () => {
    expect([0, 1, 2, 3, 4, 5, 7].map(majority)).toEqual([1, 1, 2, 2, 3, 3, 4])
  })
})
