import { expect, test } from 'vitest'
import { streamsFrom } from '../../functions/core/settle.ts'
import { adoptedState } from '../../functions/core/state.ts'
import type { ClusterState, NodeStatus } from '../../functions/core/types.ts'
import { cluster, provable, standbyRow, state } from './build.ts'

const writer = { term: 1, timeline: 1, synchronous: provable }
const known = (changes: Partial<NodeStatus>): NodeStatus => ({
  ...{ role: 'standby', term: 2, possibleWriter: null, instanceId: 'i-c', fenced: false, rejoin: 'none' },
  ...changes,
})

function adopted(c: NodeStatus, streaming: readonly string[] = [], changes: Partial<ClusterState> = {}) {
  const nodes = { ...state().nodes, c }
  const { nodes: after, claim } = adoptedState({
    ...{ cluster: cluster(), deployment: 'understudy', term: 9, primary: 'b', timeline: 3 },
    ...{ systemIdentifier: '7', synchronous: provable, instanceIds: { c: 'i-c' }, streaming, id: 'new' },
    happening: { kind: 'adopted', message: '', by: 'anna', atMs: 0 },
    previous: state({ term: 8, nodes, ...changes }),
  })
  return { c: after.c, a: after.a, b: after.b, claim }
}

test.each<[string, Partial<NodeStatus>, Partial<NodeStatus>]>([
  ['rebuilding', { role: 'rebuilding', rejoin: 'copying', fenced: true }, {}],
  ['diverged', { role: 'diverged' }, {}],
  ['quarantined', { role: 'quarantined', possibleWriter: writer, fenced: true }, {}],
  ['a standby that was a writer', { role: 'standby', possibleWriter: writer }, {}],
  ['a target', { role: 'target', possibleWriter: writer }, { role: 'quarantined', term: 9 }],
  ['the primary until now', { role: 'primary', possibleWriter: writer }, { role: 'quarantined', term: 9 }],
  ['frozen', { role: 'frozen' }, { role: 'standby', term: 9 }],
  ['a standby', { role: 'standby' }, { term: 9 }],
])('S1 S11 adopt over %s: kept until it is seen to stream', (_, before, after) => {
  const status = known(before)
  expect(adopted(status).c).toEqual({ ...status, ...after })
  expect(adopted(status, ['c']).c).toEqual(known({ role: 'standby', term: 9 }))
  expect(adopted(status).b).toMatchObject({ role: 'primary', possibleWriter: { term: 9, timeline: 3 } })
})

test('S4 an open claim is taken and stays open; one that is not open is forgotten', () => {
  const claim = { term: 8, step: 'settle', attempt: 1, id: 'old', open: true, holder: 'x' } as const
  expect(adopted(known({}), [], { claim }).claim).toMatchObject({ id: 'new', open: true })
  expect(adopted(known({}), [], { claim: { ...claim, open: false } }).claim).toBeNull()
})

test('S2 the proof: in recovery, streaming, from the primary, on its timeline, not frozen', () => {
  const row = standbyRow()
  const of = (changes: Partial<typeof row>) => streamsFrom(cluster(), 'a', 1, { ...row, ...changes })
  expect(of({})).toBe(true)
  expect(streamsFrom(cluster(), 'a', 1, null)).toBe(false)
  expect(streamsFrom(cluster(), 'b', 1, row)).toBe(false)
  expect(streamsFrom(cluster(), 'a', 2, row)).toBe(false)
  expect(of({ inRecovery: false })).toBe(false)
  expect(of({ upstream: null })).toBe(false)
  expect(of({ upstream: row.upstream && { ...row.upstream, status: 'waiting' } })).toBe(false)
  expect(of({ frozenBy: { deployment: 'understudy', term: 1 } })).toBe(false)
})
