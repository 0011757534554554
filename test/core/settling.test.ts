import { describe, expect, test } from 'vitest'
import { assess } from '../../functions/core/assess.ts'
import { conditions } from '../../functions/core/issues.ts'
import type { Report } from '../../functions/core/types.ts'
import { afterFailover, all, decided, followerOfB, keys, newPrimary, nodesWith, tick } from './assessCases.ts'
import {
  assessInput,
  clockMs,
  cluster,
  dead,
  healthy,
  type Nodes,
  observers,
  plan,
  primaryRow,
  report,
  untold,
} from './build.ts'

describe('two writers', () => {
  const second = (timeline: number): Nodes => ({ a: primaryRow({ timeline }), b: newPrimary, c: followerOfB })

  test('an old writer of ours, on a timeline that is not newer, is fenced again', () => {
    const input = assessInput(all(second(1)), { state: afterFailover })
    expect(decided(input)).toBe('A10 start settle')
    expect(keys(input)).toContain('two-writers')
  })

  test('H09 a newer timeline, or a node that never was our writer: page, fence nobody', () => {
    const newer = assessInput(all(second(3)), { state: afterFailover })
    expect(decided(newer)).toBe('A8 page')
    expect(assess(newer).facts.refenceable).toEqual([])
    const notOurs = { ...afterFailover.nodes, a: { ...afterFailover.nodes.a, possibleWriter: null } }
    expect(decided(assessInput(all(second(1)), { state: { ...afterFailover, nodes: notOurs } }))).toBe(
      'A11 page',
    )
  })

  test('while paused, halted or in an operation: the page, and nothing else', () => {
    const pause = { owner: 'kim', reason: 'x', untilMs: clockMs + 1 }
    for (const changes of [{ pause }, { phase: 'halted' as const }, { phase: 'confirming' as const }]) {
      expect(decided(assessInput(all(second(1)), { state: { ...afterFailover, ...changes } }))).toBe(
        'A4 page',
      )
    }
  })

  test('the target of the running operation is not a second writer', () => {
    const during = { phase: 'repointing' as const, plan: plan({ target: 'b' }) }
    const input = assessInput(all({ a: 'primary', b: primaryRow({ timeline: 2 }), c: 'lone' }), {
      state: during,
    })
    expect(decided(input)).toBe('A6 wait')
    expect(keys(input)).not.toContain('two-writers')
  })

  test('a report from before the promotion is history, not a second writer', () => {
    const old = report('az1', { a: 'primary', b: 'standby', c: 'standby' })
    const now = ['az2', 'az3'].map((id) => report(id, { a: 'refused', b: newPrimary, c: followerOfB }))
    expect(keys(assessInput([old, ...now], { state: afterFailover }))).not.toContain('two-writers')
  })

  test('S2 a quorum-fenced writer is not the loudest alarm, but its fence is finished', () => {
    const evidence = [
      { kind: 'quorum' as const, node: 'a', term: 2, listed: ['b', 'c'], k: 1, counted: ['b', 'c'] },
    ]
    const given = { ...afterFailover, phase: 'settling' as const, plan: plan({ evidence, target: 'b' }) }
    const input = assessInput(all(second(1)), { state: given })
    expect(decided(input)).toBe('A12 start settle')
    expect(keys(input)).not.toContain('two-writers')
    const older = { ...given, plan: plan({ evidence: [{ ...evidence[0], term: 1 } as never], target: 'b' }) }
    expect(decided(assessInput(all(second(1)), { state: older }))).toBe('A10 start settle')
  })

  test('an old writer shows up while the primary can not be asked', () => {
    const input = assessInput(all({ a: 'primary', b: 'starting', c: 'lone' }), { state: afterFailover })
    expect(decided(input)).toBe('A12 start settle')
    expect(keys(input)).toContain('unfenced-writer')
  })
})

describe('settling', () => {
  const settling = { ...afterFailover, phase: 'settling' as const }
  const seen: Nodes = { a: 'refused', b: newPrimary, c: followerOfB }

  test('one pass each minute tick while work is left', () => {
    expect(decided(assessInput(all(seen), { state: settling, tick }))).toBe('A15 start settle')
    expect(decided(assessInput(all(seen), { state: settling }))).toBe('A19 wait')
    expect(decided(assessInput(all(healthy), { tick }))).toBe('A20 wait')
  })

  test('a node that is being brought back and streams is not kept waiting', () => {
    const nodes = { ...afterFailover.nodes, c: { ...afterFailover.nodes.c, role: 'rebuilding' as const } }
    expect(decided(assessInput(all(seen), { state: { ...settling, nodes } }))).toBe('A14 start settle')
  })

  test('H18 a new primary that dies while settling is failed over', () => {
    const gone = observers.map((id) => {
      const base = report(id, { a: 'refused', b: 'refused', c: 'lone' })
      const b = { ...base.nodes.b, sessionEnd: untold } as Report['nodes'][string]
      return { ...base, nodes: { ...base.nodes, b } }
    })
    expect(decided(assessInput(gone, { state: settling }))).toBe('A33 start failover')
  })

  test('H04 S9 another list than the recorded one: looked at, and an issue', () => {
    const emptied = primaryRow({ synchronous: { ...primaryRow().synchronous, names: '' } })
    expect(decided(assessInput(all({ ...healthy, a: emptied })))).toBe('A13 start settle')
    expect(keys(assessInput(all({ ...healthy, a: emptied })))).toContain('synchronous-set-unknown')
    const one = [report('az1', { ...healthy, a: emptied }), ...all(healthy).slice(1)]
    expect(decided(assessInput(one))).toBe('A13 start settle')
    expect(decided(assessInput(one, { tick }))).toBe('A20 wait')
    const policy = { cluster: cluster({ policy: { synchronous: 'none' } }) }
    expect(decided(assessInput(all({ ...healthy, a: emptied }), policy))).toBe('A20 wait')
  })
})

describe('availability', () => {
  const of = (nodes: Nodes, changes: Parameters<typeof assessInput>[1] = {}) =>
    assess(assessInput(all(nodes), changes)).availability

  test('writes, reads and stale reads as the observers see them', () => {
    expect(of(dead)).toMatchObject({ writes: false, reads: true, staleReads: true })
    expect(of({ ...healthy, a: 'blocked' })).toMatchObject({ writes: false, reads: true, staleReads: false })
    expect(of({ ...healthy, c: 'lone' })).toMatchObject({ writes: true, reads: true, staleReads: true })
    expect(of({ a: 'silent', b: 'silent', c: 'silent' })).toMatchObject({
      writes: false,
      reads: false,
      staleReads: false,
    })
    const writeStop = { node: 'a', checkpointBytes: null }
    expect(of(healthy, { state: { phase: 'fencing', plan: plan({ writeStop }) } }).writes).toBe(false)
  })
})

describe('issues', () => {
  test('keys are stable, unique and kebab-case', () => {
    const names = conditions.map((condition) => condition.key)
    expect(new Set(names).size).toBe(names.length)
    for (const name of names) expect(name).toMatch(/^[a-z]+(-[a-z]+)*(:[a-z-]+)?$/)
  })

  test('slow settings, a lost node, no redundancy, cancelled waits', () => {
    const slow = primaryRow({ settings: { wal_retrieve_retry_interval: '5s' } })
    const state = { nodes: nodesWith('a', 'primary', { instanceId: 'i-a' }) }
    const open = (nodes: Nodes) => keys(assessInput(all(nodes), { state }))
    expect(open({ ...healthy, a: slow })).toEqual(['slow-promotion-setting:a'])
    expect(open({ ...healthy, c: 'refused' })).toEqual(['node-down:c'])
    expect(open({ ...healthy, b: 'lone', c: 'lone' })).toEqual(['not-redundant'])
    const policy = { fence: 'quorum', cancelledWaits: 'accepted' } as const
    expect(keys(assessInput(undefined, { state, cluster: cluster({ policy }) }))).toEqual(['cancelled-waits'])
  })
})
