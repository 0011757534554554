/** The tables of engines that elect by themselves, as they decide; and what assess makes of an election. */
import { describe, expect, test } from 'vitest'
import { assess } from '../../functions/core/assess.ts'
import { mayClaim } from '../../functions/core/claim.ts'
import { observation } from '../../functions/core/classify.ts'
import { decideNative, globalRows, nativeRows } from '../../functions/core/native.ts'
import { lossOf, type NativeInput, type NativeSight, nativeFacts } from '../../functions/core/nativeFacts.ts'
import { nativeWork } from '../../functions/core/nativeSettle.ts'
import type { ClusterConfig, NodeClass, NodeId, Observation, Plan } from '../../functions/core/types.ts'
import * as build from '../core/build.ts'

const aurora: ClusterConfig = {
  ...build.cluster({ policy: { fence: 'native', synchronous: 'none' } }),
  engine: 'aurora',
  managed: {
    ...{ family: 'postgres', providerGraceMs: 60_000, backupGraceMs: 60_000, clusterId: null },
    ...{ globalClusterId: null, globalEndpoint: false },
  },
}

const row = (inRecovery: boolean) =>
  build.primaryRow({ inRecovery, timeline: 0, positionBytes: 0, downstream: [] })
const writable: Observation = { class: 'writable', outcome: { kind: 'answered', row: row(false) }, tookMs: 1 }
const reader: Observation = { class: 'recovery', outcome: { kind: 'answered', row: row(true) }, tookMs: 1 }

/** What each observer's report has of a, b and c, one word each. */
function judged(seen: readonly string[], change: { tick?: boolean; engine?: 'aurora' | 'postgres' } = {}) {
  const input = build.assessInput()
  const word: Record<string, Observation> = { w: writable, r: reader }
  const reports = new Map(
    [...input.reports].map(([observer, read], index) => {
      if (read.kind !== 'found') throw new Error('no report')
      const nodes = Object.entries(read.value.nodes).map(([id, node], place) => {
        const observation = word[seen[index]?.[place] ?? 'r'] ?? reader
        return [id, { ...node, class: observation.class, observation }] as const
      })
      return [observer, { ...read, value: { ...read.value, nodes: Object.fromEntries(nodes) } }] as const
    }),
  )
  const cluster = change.engine === 'postgres' ? build.cluster() : aurora
  const tick = change.tick ? { clockMs: 0, seen: null } : null
  return assess({ ...input, cluster, reports, tick })
}

describe('assess', () => {
  test('E1: another writer, seen by a quorum that does not see the old one write', () => {
    expect(judged(['rwr', 'rwr', 'wrr']).decision).toMatchObject({ row: 'E1', kind: 'failover' })
    expect(judged(['rwr', 'wrr', 'wrr']).decision.row).not.toBe('E1')
  })

  test('reports of before and after an election are no two writers; both in the same reports are', () => {
    const mixed = judged(['rwr', 'wrr', 'rwr'])
    expect(mixed.issues.map(({ key }) => key)).not.toContain('two-writers')
    const both = judged(['wwr', 'wwr', 'rwr'])
    expect(both.decision).toMatchObject({ row: 'A11', action: 'page' })
    expect(both.issues.map(({ key }) => key)).toContain('two-writers')
  })

  test('E3 E4: nobody writes: AWS is given the time to the next tick', () => {
    expect(judged(['rrr', 'rrr', 'rrr']).decision).toMatchObject({ row: 'E4', action: 'wait' })
    expect(judged(['rrr', 'rrr', 'rrr'], { tick: true }).decision).toMatchObject({ row: 'E3' })
  })

  test('PostgreSQL of our own is judged as before', () => {
    expect(judged(['rrr', 'rrr', 'rrr'], { engine: 'postgres' }).decision.row).toBe('A17')
  })

  test('S14 a cooldown does not hold back an election that is followed, and nothing else', () => {
    const state = { ...build.state(), lastFailover: { term: 1, atMs: 0 } }
    const asked = (row: string) =>
      mayClaim({
        cluster: aurora,
        state,
        input: {
          ...{ cluster: 'orders', kind: 'failover', reason: 'x' },
          automatic: { version: 1, beat: 1, row, facts: {} },
        },
        ...{ execution: 'e', clockMs: 1, approved: false },
      })
    expect(asked('E1')).toMatchObject({ may: 'claim' })
    expect(asked('E3')).toMatchObject({ may: 'refuse', row: 'L7' })
    expect(asked('A33')).toMatchObject({ may: 'refuse', row: 'L7' })
  })
})

describe.each([
  ['N', nativeRows],
  ['G', globalRows],
] as const)('%s', (letter, rows) => {
  test('ids are unique and rise', () => {
    const numbers = rows.map(({ id }) => Number(id.slice(1)))
    expect(rows.every(({ id }) => id.startsWith(letter))).toBe(true)
    expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b))
  })

  test('reasons name only facts that there are', () => {
    const { facts } = decideNative('aurora', input('promoting', []))
    const named = rows.flatMap(({ reason }) => [...reason.matchAll(/\{(\w+)\}/g)].map((match) => match[1]))
    expect(named.filter((name) => !(name !== undefined && name in facts))).toEqual([])
  })
})

const says = (writer: NodeId | null, change: Partial<NativeSight> = {}): NativeSight => ({
  ...{ problem: null, writer, stranger: null, underWay: null, announced: null },
  nodes: Object.fromEntries(
    ['a', 'b', 'c'].map((id) => [id, { available: true, connected: true, resourceId: null }]),
  ),
  ...change,
})

function input(
  phase: NativeInput['phase'],
  sights: readonly NativeSight[],
  seen = 'arr',
  change: Partial<Plan> = {},
): NativeInput {
  const plan = build.plan({ kind: 'failover', automatic: true, target: null, ...change })
  const nodes = (['a', 'b', 'c'] as const).map(
    (id, place) => [id, seen[place] === 'w' ? writable : reader] as const,
  )
  const look = (observer: string) => ({
    ...{ lookId: 'l', cluster: 'orders', observer, canary: null },
    nodes: Object.fromEntries(nodes),
  })
  return {
    ...{ cluster: aurora, observers: build.observers, state: build.state(), plan, phase, sights },
    looks: build.observers.map(look),
    ...{ verdict: null, elapsedMs: 0, waits: 0, approval: null, lags: {} },
  }
}

describe('what counts as an election', () => {
  const decide = (sights: NativeSight[], seen?: string) =>
    decideNative('aurora', input('fencing', sights, seen)).does
  test.each<[string, string, NativeSight[], string]>([
    ['read twice, and a quorum sees it write', 'follow', [says('b'), says('b')], 'rwr'],
    ['read once', 'wait', [says('b')], 'rwr'],
    ['two writers in turn', 'wait', [says('c'), says('b')], 'rwr'],
    ['something under way between', 'wait', [says('b'), says('b', { underWay: 'failing-over' })], 'rwr'],
    ['the second reading failed', 'wait', [says('b'), says(null, { problem: 'away' })], 'rwr'],
    ['nobody sees it write', 'wait', [says('b'), says('b')], 'rrr'],
    ['the observers see another', 'wait', [says('b'), says('b')], 'rrw'],
    ['nobody is the writer', 'wait', [says(null), says(null)], 'rrr'],
    ['the recorded one still is', 'wait', [says('a'), says('a')], 'rrr'],
  ])('%s: %s', (_, does, sights, seen) => {
    expect(decide(sights, seen)).toBe(does)
  })
})

describe('what is not asked for', () => {
  const home = [says('a'), says('a')]
  const decide = (change: Partial<Plan>, more: Partial<NativeInput> = {}, sights = home) =>
    decideNative('aurora', { ...input('fencing', sights, 'rrr', change), ...more })
  const later = { elapsedMs: 60_001 }

  test('H26 a failover that AWS announced is not raced by hand, as long as AWS is given its time', () => {
    const announced = home.map((each) => ({ ...each, announced: 'Started cross AZ failover' }))
    expect(decide({ automatic: false }).does).toBe('go')
    expect(decide({ automatic: false }, {}, announced).does).toBe('wait')
    expect(decide({ kind: 'switchover' }, {}, announced).does).toBe('wait')
    // Its end may have been lost: an event alone holds nothing back for ever.
    expect(decide({ automatic: false }, later, announced).does).toBe('go')
  })

  test('S14 inside the cooldown none is asked for without an approval, except by hand', () => {
    const cooldown = { cooldownLeftMinutes: 5, approvedBy: null }
    expect(decide({}, later).does).toBe('go')
    expect(decide({ facts: cooldown }, later).does).toBe('give up')
    expect(decide({ facts: { ...cooldown, approvedBy: 'anna' } }, later).does).toBe('go')
    expect(decide({ facts: cooldown, automatic: false }).does).toBe('go')
  })

  test('none within the time of AWS, counted over invocations', () => {
    const used = (usedMs: number) => ({ facts: { native: { usedMs } } })
    expect(decide(used(59_000)).does).toBe('wait')
    expect(decide(used(60_000)).does).toBe('go')
  })
})

describe('whom AWS may be asked for', () => {
  const home = says('a')
  const withB = (change: Partial<NativeSight['nodes'][string]>): NativeSight => ({
    ...home,
    nodes: { ...home.nodes, b: { available: true, connected: true, resourceId: 'db-b', ...change } },
  })
  const candidate = (sight: NativeSight, change: Partial<NativeInput> = {}) =>
    nativeFacts({ ...input('promoting', [sight], 'rrr'), ...change }).candidate
  const known = (instanceId: string, role: 'standby' | 'quarantined' = 'standby') => {
    const state = build.state()
    const b = state.nodes.b
    if (b === undefined) throw new Error('no b')
    return { state: { ...state, nodes: { ...state.nodes, b: { ...b, role, instanceId } } } }
  }

  test('the first that is a healthy, known reader', () => {
    expect(candidate(withB({}), known('db-b'))).toBe('b')
  })
  test('not one that AWS does not call available', () => {
    expect(candidate(withB({ available: false }), known('db-b'))).toBe('c')
  })
  test('H02 not one whose resource is not the recorded one', () => {
    expect(candidate(withB({}), known('db-of-another'))).toBe('c')
  })
  test('not one that was a writer and is not shown harmless', () => {
    expect(candidate(withB({}), known('db-b', 'quarantined'))).toBe('c')
  })
  test('not one that does not answer a majority', () => {
    const silent = observation({ kind: 'refused', message: 'ECONNREFUSED' }, 1)
    const { looks } = input('promoting', [])
    const dark = looks.map((look, index) =>
      index < 2 ? { ...look, nodes: { ...look.nodes, b: silent } } : look,
    )
    expect(candidate(withB({}), { ...known('db-b'), looks: dark })).toBe('c')
  })
})

test('S10 H25 an approval counts for its own term, target and cluster only', () => {
  const global = { ...aurora, engine: 'aurora-global' as const }
  const { state, plan } = input('promoting', [])
  const given = build.approval({ term: state.term, target: 'b', acceptLoss: true })
  const allowed = (approval: typeof given | null) =>
    lossOf({ cluster: global, state, plan, approval, lags: {} }, 'b').allowed
  expect(allowed(null)).toBe(false)
  expect(allowed(given)).toBe(true)
  expect(allowed({ ...given, term: state.term - 1 })).toBe(false)
  expect(allowed({ ...given, target: 'c' })).toBe(false)
  expect(allowed({ ...given, target: null })).toBe(false)
  expect(allowed({ ...given, acceptLoss: false })).toBe(false)
  expect(allowed({ ...given, cluster: 'users' })).toBe(false)
})

describe('a switchover begins only without a doubt (F77)', () => {
  const decide = (sights: NativeSight[], seen: string, change: Partial<NativeInput> = {}) =>
    decideNative('aurora', { ...input('confirming', sights, seen, { kind: 'switchover' }), ...change }).does
  test.each<[string, string, NativeSight[], string]>([
    ['nothing', 'go', [says('a'), says('a')], 'wrr'],
    ['read once', 'wait', [says('a')], 'wrr'],
    ['the primary does not write', 'stand down', [says('a'), says('a')], 'rrr'],
    ['another is the writer by AWS', 'stand down', [says('b'), says('b')], 'wrr'],
  ])('%s: %s', (_, does, sights, seen) => {
    expect(decide(sights, seen)).toBe(does)
  })
  test('a writer of an earlier term is not shown harmless', () => {
    const state = build.state()
    const { a, c } = state.nodes
    if (a === undefined || c === undefined) throw new Error('no a or c')
    const nodes = { ...state.nodes, c: { ...c, possibleWriter: a.possibleWriter } }
    expect(decide([says('a'), says('a')], 'wrr', { state: { ...state, nodes } })).toBe('stand down')
  })
})

test('S5 asked again only while the primary does not write, or by hand', () => {
  const decide = (seen: string, change: Partial<Plan> = {}) => {
    const facts = { native: { usedMs: 60_000, asked: 'requested', doubt: true, sinceAsk: 30 } }
    const given = input('promoting', [says('a'), says('a')], seen, { target: 'b', facts, ...change })
    return decideNative('aurora', { ...given, waits: 1 }).does
  }
  expect(decide('rrr')).toBe('ask')
  expect(decide('wrr')).toBe('wait')
  expect(decide('wrr', { automatic: false })).toBe('ask')
})

describe('settle: an old writer is a standby again', () => {
  const state = build.state()
  const { a, b } = state.nodes
  if (a === undefined || b === undefined) throw new Error('no a or b')
  const left = { ...b, role: 'quarantined' as const, possibleWriter: a.possibleWriter }
  const of = (
    change: Partial<NativeSight['nodes'][string]>,
    sees: NodeClass,
    more: Partial<NativeSight> = {},
  ) => {
    const node = { available: true, connected: true, resourceId: null, ...change }
    const home = says('a', more)
    const sight = { ...home, nodes: { ...home.nodes, b: node } }
    const classes = { a: 'writable', b: sees, c: 'recovery' } as const
    const nodes = { ...state.nodes, b: left }
    return nativeWork({ state: { ...state, nodes }, sight, classes }).tasks.map((task) => task.do)
  }
  test.each<[string, string[], Parameters<typeof of>]>([
    ['a connected reader', ['joined'], [{}, 'recovery']],
    ['it writes', [], [{}, 'writable']],
    ['it does not answer', [], [{}, 'silent']],
    ['not synchronised', [], [{ connected: false }, 'recovery']],
    ['not available', [], [{ available: false }, 'recovery']],
    ['AWS is at work', [], [{}, 'recovery', { underWay: 'failing-over' }]],
    ['the writer is another by AWS', [], [{}, 'recovery', { writer: 'c' }]],
  ])('%s: %o', (_, tasks, given) => {
    expect(of(...given)).toEqual(tasks)
  })
})

test('S9 done when a commit was seen to return on the target, not when it is merely writable', () => {
  const given = input('promoting', [says('b'), says('b')], 'rwr', { target: 'b' })
  expect(decideNative('aurora', given).does).toBe('done')
  const skipped = {
    ...writable,
    outcome: { kind: 'answered', row: { ...row(false), writeProbe: 'skipped' } },
  }
  const looks = given.looks.map((look) => ({ ...look, nodes: { ...look.nodes, b: skipped as Observation } }))
  expect(decideNative('aurora', { ...given, looks }).does).toBe('wait')
})
