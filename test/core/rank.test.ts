import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type RankInput, rank } from '../../functions/core/rank.ts'
import type { ClusterState, LossPolicy, NodeStatus } from '../../functions/core/types.ts'
import { approval, base, cluster, node, plan, provable, rankInput, state } from './build.ts'

const promoting = (changes: Partial<ClusterState> = {}) => state({ phase: 'promoting', term: 2, ...changes })
const withStatus = (id: string, changes: Partial<NodeStatus>) => {
  const { nodes } = state()
  const known = nodes[id]
  if (!known) throw new Error(id)
  return promoting({ nodes: { ...nodes, [id]: { ...known, ...changes } } })
}
const loss = (policy: LossPolicy) => cluster({ policy: { loss: policy } })
const asynchronous = promoting({
  synchronous: { ...provable, status: 'asynchronous', listed: [], k: 0, reasons: ['empty'] },
})

describe('S8 the furthest of the frozen', () => {
  test('F46 the most advanced is chosen, whatever is preferred', () => {
    const nodes = [node('a', '1'), node('b', '2', { preference: 9 }), node('c', '3')]
    const ranking = rank(rankInput({ b: 0, c: 8 }, { cluster: cluster({ nodes }) }))
    expect(ranking).toMatchObject({
      target: 'c',
      row: 'R7',
      positionBytes: base + 8,
      loss: { provable: 'none' },
    })
    expect(ranking.passedOver).toEqual({ a: 'it is the old primary', b: 'c is further or preferred' })
  })

  test('preference breaks ties', () => {
    const nodes = [node('a', '1'), node('b', '2'), node('c', '3', { preference: 1 })]
    expect(rank(rankInput({ b: 8, c: 8 }, { cluster: cluster({ nodes }) })).target).toBe('c')
    expect(rank(rankInput({ b: 8, c: 8 })).target).toBe('b')
  })

  test.each<[string, Partial<RankInput>, string]>([
    [
      'F52 never to be promoted',
      {
        cluster: cluster({ nodes: [node('a', '1'), node('b', '2'), node('c', '3', { promotable: false })] }),
      },
      'promotable',
    ],
    ['H08 half rebuilt', { state: withStatus('c', { role: 'rebuilding' }) }, 'rebuilt'],
    ['diverged', { state: withStatus('c', { role: 'diverged' }) }, 'diverged'],
    ['quarantined', { state: withStatus('c', { role: 'quarantined' }) }, 'quarantined'],
    ['fenced', { state: withStatus('c', { fenced: true }) }, 'fenced'],
    [
      'F36 not known to the state',
      {
        state: promoting({
          nodes: Object.fromEntries(Object.entries(state().nodes).filter(([id]) => id !== 'c')),
        }),
      },
      'does not know',
    ],
  ])('%s is passed over with the reason, even if it is the furthest', (_, changes, reason) => {
    const policy = { loss: { mode: 'availability' as const } }
    const config = changes.cluster ?? cluster()
    const ranking = rank(
      rankInput(
        { b: 0, c: 8 },
        { ...changes, cluster: { ...config, policy: { ...config.policy, ...policy } } },
      ),
    )
    expect(ranking.target).toBe('b')
    expect(ranking.passedOver.c).toContain(reason)
  })

  test('H05 F36 a node that is not frozen, not measured, or can not replay is not eligible', () => {
    const given = rankInput({ b: 0, c: 8 })
    expect(rank({ ...given, plan: plan() })).toMatchObject({ target: null, row: 'R3' })
    expect(
      rank({ ...rankInput({ b: null, c: null }), unmeasured: { b: 'no answer' } }).passedOver,
    ).toMatchObject({ b: 'no answer' })
    const c = { timeline: 1, positionBytes: base + 8, replayable: false }
    const ranking = rank({
      ...given,
      cluster: loss({ mode: 'availability' }),
      measurements: { ...given.measurements, c },
    })
    expect(ranking).toMatchObject({ target: 'b', passedOver: { c: expect.stringContaining('replay') } })
  })

  test('positions across timelines are not compared: neither the one before the freeze nor the measured one', () => {
    const given = rankInput({ b: 0, c: 8 }, { cluster: loss({ mode: 'availability' }) })
    const c = { timeline: 2, positionBytes: base + 8, replayable: true }
    expect(rank({ ...given, measurements: { ...given.measurements, c } }).target).toBe('b')
    const frozen = given.plan.frozen.c
    if (!frozen) throw new Error('c')
    const before = { ...given.plan, frozen: { ...given.plan.frozen, c: { ...frozen, timeline: 2 } } }
    expect(rank({ ...given, plan: before }).target).toBe('b')
  })

  test('S1 the target of a term is never another one', () => {
    const given = rankInput({ b: 0, c: 8 })
    const ranking = rank({ ...given, plan: { ...given.plan, target: 'b', targetPositionBytes: base } })
    expect(ranking).toMatchObject({ target: 'b', row: 'R1', positionBytes: base })
  })

  test('never behind another eligible node on the same timeline', () => {
    const offset = fc.option(fc.nat(20), { nil: null })
    const anyLoss = fc.constantFrom<LossPolicy>(
      { mode: 'never' },
      { mode: 'bounded', seconds: 5 },
      { mode: 'availability' },
    )
    const to = fc.constantFrom(null, 'a', 'b', 'c', 'd', 'x')
    fc.assert(
      fc.property(offset, offset, offset, anyLoss, to, fc.boolean(), (b, c, d, mode, wanted, approved) => {
        const nodes = [node('a', '1'), node('b', '2', { preference: 5 }), node('c', '3'), node('d', '1')]
        const known = state().nodes
        const given = rankInput(
          { b, c, d },
          {
            cluster: cluster({ nodes, policy: { loss: mode } }),
            state: promoting({ nodes: { ...known, d: { ...(known.c as NodeStatus) } } }),
            to: wanted,
            approval: approved ? approval({ target: 'c' }) : null,
          },
        )
        const { target } = rank(given)
        const at = (id: string | null) => given.measurements[id ?? '']?.positionBytes ?? -1
        if (target !== null) expect(at(target)).toBe(Math.max(at('b'), at('c'), at('d')))
      }),
    )
  })
})

describe('S10 loss is a decision', () => {
  test('F55 primary and one quorum standby die together: the survivor needs an approval', () => {
    const given = rankInput({ b: 8, c: null })
    const refused = rank(given)
    expect(refused).toMatchObject({ target: null, row: 'R12', loss: { provable: 'unknown' } })
    expect(refused.reason).toContain('2 of them must be frozen and measured, and 1 are (b)')
    expect(rank({ ...given, approval: approval() })).toMatchObject({
      target: 'b',
      row: 'R10',
      loss: { provable: 'unknown' },
    })
  })

  test.each([
    ['another term', { term: 1 }],
    ['another target', { target: 'c' }],
    ['any target', { target: null }],
    ['no loss', { acceptLoss: false }],
    ['another cluster', { cluster: 'other' }],
  ])('H25 an approval of %s does not count', (_, changes) => {
    expect(rank({ ...rankInput({ b: 8, c: null }), approval: approval(changes) }).target).toBeNull()
  })

  test('H03 one listed standby of two is not proof, however far it is', () => {
    const nodes = [node('a', '1'), node('b', '2'), node('c', '3'), node('d', '1')]
    const known = state().nodes
    const given = {
      cluster: cluster({ nodes }),
      state: promoting({ nodes: { ...known, d: known.c as NodeStatus } }),
    }
    expect(rank(rankInput({ b: 8, d: 900 }, given))).toMatchObject({ target: null, row: 'R12' })
    expect(rank(rankInput({ b: 8, c: 0, d: 900 }, given))).toMatchObject({ target: 'd', row: 'R7' })
  })

  test('F52 S8 a listed node that is further but may not be promoted holds commits that the target lacks', () => {
    const nodes = [node('a', '1'), node('b', '2'), node('c', '3', { promotable: false })]
    expect(rank(rankInput({ b: 0, c: 8 }, { cluster: cluster({ nodes }) }))).toMatchObject({
      target: null,
      row: 'R12',
    })
    expect(rank(rankInput({ b: 8, c: 8 }, { cluster: cluster({ nodes }) }))).toMatchObject({
      target: 'b',
      row: 'R7',
    })
  })

  test('the list of another primary proves nothing', () => {
    const other = promoting({ synchronous: { ...provable, primary: 'c' } })
    expect(rank(rankInput({ b: 8, c: 8 }, { state: other })).target).toBeNull()
  })

  test('F62 asynchronous with loss never: no failover', () => {
    expect(rank(rankInput({ b: 8, c: 8 }, { state: asynchronous }))).toMatchObject({
      target: null,
      row: 'R12',
    })
  })

  test('F48 H21 bounded: by the age of the last look at which it had everything, never by bytes', () => {
    const given = rankInput(
      { b: 8, c: 0 },
      { cluster: loss({ mode: 'bounded', seconds: 5 }), state: asynchronous },
    )
    expect(rank(given)).toMatchObject({ target: null, row: 'R11' })
    expect(rank({ ...given, caughtUpAgeMs: { b: 5001, c: null } })).toMatchObject({
      target: null,
      row: 'R11',
    })
    expect(rank({ ...given, caughtUpAgeMs: { b: 5000 } })).toMatchObject({
      target: 'b',
      row: 'R8',
      loss: { provable: 'bounded', boundMs: 5000 },
    })
  })

  test('bounded: what a node behind the target had, the target has; what one ahead had, it may not have', () => {
    const given = rankInput(
      { b: 8, c: 0 },
      { cluster: loss({ mode: 'bounded', seconds: 5 }), state: asynchronous },
    )
    expect(rank({ ...given, caughtUpAgeMs: { b: null, c: 300 } })).toMatchObject({
      target: 'b',
      loss: { boundMs: 300 },
    })
    const nodes = [node('a', '1'), node('b', '2', { promotable: false }), node('c', '3')]
    const behind = {
      ...given,
      cluster: cluster({ nodes, policy: { loss: { mode: 'bounded', seconds: 5 } } }),
    }
    expect(rank({ ...behind, caughtUpAgeMs: { b: 300 } })).toMatchObject({ target: null, row: 'R11' })
  })

  test('F59 after a total outage the stale standby is elected with availability, not with never', () => {
    expect(rank(rankInput({ b: null, c: 0 }, { cluster: loss({ mode: 'availability' }) }))).toMatchObject({
      target: 'c',
      row: 'R9',
      loss: { provable: 'unknown' },
    })
    expect(rank(rankInput({ b: null, c: 0 })).target).toBeNull()
  })
})

describe('a wanted target, and a switchover', () => {
  test('F77 not eligible, not configured, or behind: refused', () => {
    const given = rankInput({ b: 0, c: 8 }, { cluster: loss({ mode: 'availability' }) })
    expect(rank({ ...given, to: 'a' })).toMatchObject({ target: null, row: 'R2' })
    expect(rank({ ...given, to: 'x' })).toMatchObject({
      target: null,
      row: 'R2',
      passedOver: { x: 'it is not a configured node' },
    })
    expect(rank({ ...given, to: 'b' })).toMatchObject({ target: null, row: 'R4' })
    expect(rank({ ...given, to: 'c' }).target).toBe('c')
    expect(rank({ ...rankInput({ b: 8, c: 8 }), to: 'c' }).target).toBe('c')
  })

  test('H07 the target has received the end of the old log', () => {
    const given = rankInput({ b: 8, c: null }, { to: 'b' })
    const switchover = { ...given, plan: { ...given.plan, kind: 'switchover' as const } }
    expect(rank(switchover)).toMatchObject({ target: null, row: 'R5' })
    expect(rank({ ...switchover, mustReachBytes: base + 9 })).toMatchObject({ target: null, row: 'R6' })
    expect(rank({ ...switchover, mustReachBytes: base + 8 })).toMatchObject({
      target: 'b',
      row: 'R7',
      loss: { provable: 'none', boundMs: 0 },
    })
  })
})
