import { describe, expect, test } from 'vitest'
import { type SettleFacts, settleWork } from '../../functions/core/settle.ts'
import type { NodeStatus, ProbeRow } from '../../functions/core/types.ts'
import { afterFailover, followerOfB, newPrimary } from './assessCases.ts'
import { cluster, primaryRow, provable, standbyRow, state } from './build.ts'

const writer = { term: 1, timeline: 1, synchronous: provable }
const unknown = { class: 'silent' as const, row: null }

/** What is to be done about a, once the primary of term 1, in term 2 with b as the primary. */
function about(a: Partial<NodeStatus>, row: ProbeRow | null, changes: Partial<SettleFacts> = {}): string[] {
  const status = { ...(afterFailover.nodes.a as NodeStatus), instanceId: 'i-a', ...a }
  const seen = row === null ? unknown : { class: row.inRecovery ? 'recovery' : 'writable', row }
  const work = settleWork({
    cluster: cluster(),
    state: state({ ...afterFailover, phase: 'settling', nodes: { ...afterFailover.nodes, a: status } }),
    seen: {
      a: seen as SettleFacts['seen'][string],
      b: { class: 'writable', row: newPrimary },
      c: { class: 'recovery', row: followerOfB },
    },
    primaryBefore: null,
    instances: { 'i-a': { state: 'running', address: null } },
    ...changes,
  })
  const tasks = work.tasks.flatMap((task) => ('node' in task && task.node === 'a' ? [task.row] : []))
  return [...tasks, ...work.left.filter((each) => each.startsWith('a: '))]
}

describe('a former primary', () => {
  const followed = { role: 'standby', term: 2, possibleWriter: writer } as const
  const connecting = standbyRow(undefined, { timeline: 1, upstream: null })

  test('S2 that was seen following the primary of a newer term, and is silent now: its power is not cut', () => {
    expect(about(followed, null)).toEqual(['a: a standby that is silent'])
    expect(about(followed, connecting)).toEqual(['T8'])
  })

  test('S1 it stays a possible writer until it is seen to stream', () => {
    expect(about(followed, standbyRow(undefined, followerOfB))).toEqual(['T2'])
  })

  test('S11 that shows up out of recovery all the same is fenced', () => {
    expect(about(followed, primaryRow({ timeline: 1 }))).toEqual(['T4'])
  })

  test('S2 a silence without that fact is no evidence: fenced by power', () => {
    expect(about({ role: 'quarantined', term: 2, possibleWriter: writer }, null)).toEqual(['T4'])
    // A standby of the very term in which it may have been promoted has followed nobody since.
    expect(about({ ...followed, possibleWriter: { ...writer, term: 2 } }, null)).toEqual(['T4'])
    expect(about({ ...followed, role: 'target' }, null)).toEqual(['T4'])
  })
})
