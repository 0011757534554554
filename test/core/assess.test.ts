import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AssessInput, assess } from '../../functions/core/assess.ts'
import type { NodeStatus, Phase, Report } from '../../functions/core/types.ts'
import { all, decided, event, keys, nodesWith, tick } from './assessCases.ts'
import {
  approval,
  assessInput,
  clockMs,
  cluster,
  dead,
  deathReports,
  ended,
  healthy,
  loneRow,
  type Nodes,
  node,
  observers,
  plan,
  primaryRow,
  report,
  state,
  told,
  untold,
  words,
} from './build.ts'

describe('a healthy cluster', () => {
  test('nothing to do, no issue, all available', () => {
    const nodes = nodesWith('a', 'primary', { instanceId: 'i-a' })
    const { decision, availability, issues } = assess(assessInput(undefined, { state: { nodes } }))
    expect(decision).toEqual({
      action: 'wait',
      row: 'A20',
      reason: 'a answers 3 of 3 observers, streaming from it: b, c; nothing to do',
    })
    expect(issues).toEqual([])
    expect(availability).toMatchObject({ writes: true, reads: true, staleReads: false })
  })
})

describe('who may act at all', () => {
  test('an unreadable state: no action, whatever the reports say', () => {
    const input: AssessInput = {
      ...assessInput(deathReports()),
      state: { kind: 'unreadable', problems: ['term: text'] },
    }
    expect(decided(input)).toBe('A1 page')
    expect(keys(input)).toContain('unreadable:state')
  })

  test('no state: adopt first', () => {
    const input: AssessInput = { ...assessInput(deathReports()), state: { kind: 'absent' } }
    expect(decided(input)).toBe('A2 wait')
  })

  test('H12 an operation is left alone while its beat moves, and resumed when it stood still for a tick', () => {
    const during = (seen: { version: number; beat: number } | null, phase: Phase = 'fencing') =>
      assessInput(deathReports(), { state: { phase, plan: plan() }, tick: { clockMs, seen } })
    expect(decided(assessInput(deathReports(), { state: { phase: 'fencing' } }))).toBe('A6 wait')
    expect(decided(during(null))).toBe('A6 wait')
    expect(decided(during({ version: 5, beat: 0 }))).toBe('A6 wait')
    expect(decided(during({ version: 4, beat: 1 }))).toBe('A6 wait')
    for (const phase of ['confirming', 'fencing', 'promoting', 'repointing'] as const) {
      expect(decided(during({ version: 5, beat: 1 }, phase))).toBe('A3 start resume')
    }
    expect(decided(during({ version: 5, beat: 1 }, 'steady'))).not.toContain('resume')
  })

  test('halted: nothing but a page', () => {
    const changes = { state: { phase: 'halted' as const, halted: { reason: 'boom', step: 'promote' } } }
    expect(decided(assessInput(deathReports(), changes))).toBe('A5 page')
    expect(keys(assessInput(deathReports(), changes))).toContain('halted')
  })

  test('F80 H20 paused: a death is not acted upon; what ends a pause is the clock of the scheduler', () => {
    const paused = (untilMs: number) =>
      assessInput(deathReports(), { state: { pause: { owner: 'kim', reason: 'kernel', untilMs } } })
    expect(decided(paused(clockMs + 1))).toBe('A7 wait')
    expect(keys(paused(clockMs + 1))).toEqual(expect.arrayContaining(['paused', 'node-down:a']))
    expect(decided(paused(clockMs))).toBe('A33 start failover')
  })

  test('H24 no quorum of readable reports: unreadable, absent and failed canaries do not count', () => {
    const [one, two] = deathReports()
    const given = assessInput([one as Report])
    expect(decided(given)).toBe('A9 page')
    expect(keys(given)).toEqual(
      expect.arrayContaining(['no-quorum', 'observer-silent:az2', 'observer-silent:az3']),
    )
    expect(decided(assessInput([one as Report, { ...(two as Report), canary: false }]))).toBe('A9 page')
    const broken = new Map(given.reports).set('az2', { kind: 'unreadable', problems: ['sequence'] })
    expect(decided({ ...given, reports: broken })).toBe('A9 page')
    expect(keys({ ...given, reports: broken })).toContain('unreadable:report-az2')
    expect(decided(assessInput([one as Report, { ...(two as Report), cluster: 'other' }]))).toBe('A9 page')
  })

  test('H09 H17 superseded: a foreign or newer freeze, a newer timeline', () => {
    const frozen = (deployment: string, term: number) =>
      decided(assessInput(all({ ...healthy, b: loneRow(undefined, { frozenBy: { deployment, term } }) })))
    expect(frozen('staging', 1)).toBe('A8 page')
    expect(frozen('understudy', 2)).toBe('A8 page')
    expect(frozen('understudy', 1)).toBe('A20 wait')
    expect(decided(assessInput(all({ ...dead, b: primaryRow({ timeline: 2 }) })))).toBe('A8 page')
  })
})

describe('death', () => {
  test('F09 F02 untold end and refused on a quorum: failover', () => {
    expect(decided(assessInput(deathReports()))).toBe('A33 start failover')
    expect(keys(assessInput(deathReports()))).toContain('node-down:a')
  })

  test('F16 fewer observers than a quorum', () => {
    const [one] = deathReports()
    const input = assessInput([one as Report, ...['az2', 'az3'].map((id) => report(id, healthy))])
    expect(decided(input)).toBe('A20 wait')
  })

  test('F08 F11 silent, unreachable or broken: after enough ticks on a quorum', () => {
    for (const a of ['silent', 'unreachable', 'broken', 'refused'] as const) {
      const seen = (ticks: number) => assessInput(all({ ...dead, a }, { ticks }))
      expect(decided(seen(2))).toBe('A23 wait')
      expect(decided(seen(3))).toBe('A35 start failover')
    }
  })

  test('F12 F14 F20 alive, but not well: no failover', () => {
    const long = { ticks: 99 }
    expect(decided(assessInput(all({ ...healthy, a: 'busy' }, long)))).toBe('A20 wait')
    expect(decided(assessInput(all({ ...healthy, a: 'denied' }, long)))).toBe('A20 wait')
    expect(decided(assessInput(all({ ...healthy, a: 'blocked' }, long)))).toBe('A18 page')
    expect(keys(assessInput(all({ ...healthy, a: 'blocked' }, long)))).toContain('writes-blocked')
    expect(decided(assessInput(all({ ...healthy, a: 'starting' }, long)))).toBe('A16 wait')
    expect(keys(assessInput(all({ ...healthy, a: 'starting' }, long)))).toContain('primary-starting')
    expect(decided(assessInput(all({ ...healthy, a: 'standby' }, long)))).toBe('A17 page')
  })

  test('H15 S12 a told end: the grace is counted in ticks', () => {
    const stopped = (ticks: number) => assessInput([...ended({ ...told, ticks }).values()])
    expect(decided(stopped(1))).toBe('A21 wait')
    expect(decided(stopped(39))).toBe('A21 wait')
    expect(decided(stopped(40))).toBe('A34 start failover')
    const mixed = [
      ...ended(untold, ['az1', 'az2']).values(),
      ...ended({ ...told, ticks: 40 }, ['az3']).values(),
    ]
    expect(decided(assessInput(mixed))).toBe('A34 start failover')
  })

  test('F03 F06 primary and all replicas look dead: the observers are the suspect', () => {
    const lost = { a: 'silent', b: 'silent', c: 'silent' } as const
    expect(decided(assessInput(all(lost, { ticks: 9 })))).toBe('A24 page')
    expect(keys(assessInput(all(lost, { ticks: 9 })))).toContain('observers-suspect')
    const delayed = loneRow(undefined, { applyDelayMs: 1000 })
    expect(decided(assessInput(all({ ...lost, c: delayed }, { ticks: 9 })))).toBe('A24 page')
  })

  test('F04 primary and some replicas unreachable, the rest broken: failover', () => {
    expect(decided(assessInput(all({ a: 'silent', b: 'silent', c: 'lone' }, { ticks: 9 })))).toBe(
      'A35 start failover',
    )
  })

  test('H19 an Availability Zone died: a delayed survivor elsewhere and the canaries excuse the observers', () => {
    const nodes = [node('a', '1'), node('b', '1'), node('c', '2'), node('d', '2')]
    const known = { ...state().nodes, d: state().nodes.c as NodeStatus }
    const seen = { a: 'silent', b: 'silent', c: loneRow(undefined, { applyDelayMs: 9 }) } as const
    const changes = { cluster: cluster({ nodes: nodes.slice(0, 3) }), state: { nodes: known } }
    expect(decided(assessInput(all(seen, { ticks: 9, canary: true }), changes))).toBe('A31 page')
    expect(decided(assessInput(all(seen, { ticks: 9 }), changes))).toBe('A24 page')
  })

  test('S6 H10 isolated: confirm looks whether the minority is true; what it found stays a page for a minute', () => {
    const seen = [report('az1', healthy), ...all({ ...healthy, a: 'silent' }, { ticks: 9 }).slice(1)]
    expect(decided(assessInput(seen))).toBe('A32 start failover')
    expect(keys(assessInput(seen))).toContain('isolated')
    const lastEvent = event({ row: 'C11', message: 'isolated' })
    expect(decided(assessInput(seen, { state: { lastEvent } }))).toBe('A22 page')
    expect(decided(assessInput(seen, { state: { lastEvent }, tick }))).toBe('A32 start failover')
    const failover = { cluster: cluster({ policy: { isolated: 'failover' } }) }
    expect(decided(assessInput(seen, failover))).toBe('A32 start failover')
  })

  test('F17 no side has a quorum', () => {
    const seen = [
      report('az1', healthy),
      report('az2', { ...healthy, a: 'silent' }),
      report('az3', { ...healthy, a: 'unknown' }),
    ]
    expect(decided(assessInput(seen))).toBe('A36 wait')
  })

  test('F01 H14 hung: what confirm found stays a page, and is looked at again each minute', () => {
    const lastEvent = event({ row: 'C8', message: 'hung: b still receives from a' })
    const seen = all({ ...healthy, a: 'silent' }, { ticks: 9 })
    expect(decided(assessInput(seen, { state: { lastEvent } }))).toBe('A25 page')
    expect(keys(assessInput(seen, { state: { lastEvent } }))).toContain('hung')
    expect(decided(assessInput(seen, { state: { lastEvent }, tick }))).toBe('A35 start failover')
    expect(keys(assessInput(all(healthy), { state: { lastEvent } }))).not.toContain('hung')
  })

  test('H13 the same reports do not start the same thing again, but for the minute tick', () => {
    const lastEvent = event({ facts: { sequences: 'az1:1 az2:1 az3:1' } })
    expect(decided(assessInput(deathReports(), { state: { lastEvent } }))).toBe('A26 wait')
    expect(decided(assessInput(deathReports(), { state: { lastEvent }, tick }))).toBe('A33 start failover')
    const newer = deathReports().map((each) => ({ ...each, sequence: 2 }))
    expect(decided(assessInput(newer, { state: { lastEvent } }))).toBe('A33 start failover')
  })
})

describe('S14 permission', () => {
  const lastFailover = { term: 1, atMs: clockMs - 60_000 }

  test('F68 inside the cooldown: an approval for the next term, or nothing', () => {
    const recent = (changes: Partial<AssessInput> = {}) =>
      assessInput(deathReports(), { ...changes, state: { lastFailover } } as Parameters<
        typeof assessInput
      >[1])
    expect(decided(recent())).toBe('A27 page')
    expect(keys(recent())).toContain('cooldown')
    expect(decided(recent({ approval: approval({ term: 2 }) }))).toBe('A33 start failover')
    expect(decided(recent({ approval: approval({ term: 1 }) }))).toBe('A27 page')
    expect(decided(recent({ approval: approval({ cluster: 'other' }) }))).toBe('A27 page')
    expect(decided(recent({ approval: approval({ untilMs: clockMs }) }))).toBe('A27 page')
    const over = { term: 1, atMs: clockMs - 3_600_000 }
    expect(decided(assessInput(deathReports(), { state: { lastFailover: over } }))).toBe('A33 start failover')
  })

  test('H19 S6 the breaker, failovers under way, deaths across domains', () => {
    const fleet = { clockMs, breakerOpen: false, failoversUnderWay: 4, dyingDomains: ['eu-central-1a'] }
    expect(decided(assessInput(deathReports(), { fleet }))).toBe('A33 start failover')
    expect(decided(assessInput(deathReports(), { fleet: { ...fleet, failoversUnderWay: 5 } }))).toBe(
      'A30 page',
    )
    expect(decided(assessInput(deathReports(), { fleet: { ...fleet, breakerOpen: true } }))).toBe('A28 page')
    const domains = { ...fleet, dyingDomains: ['eu-central-1a', 'eu-central-1b'] }
    expect(decided(assessInput(deathReports(), { fleet: domains }))).toBe('A29 page')
  })

  test('F36 F52 no candidate: unknown, forbidden, delayed or rebuilding nodes are none', () => {
    const only = (nodes: ReturnType<typeof nodesWith>, seen: Nodes = { ...dead, b: 'silent' }) =>
      decided(assessInput(deathReports(seen), { state: { nodes } }))
    expect(only(state().nodes)).toBe('A33 start failover')
    expect(only(nodesWith('c', 'rebuilding'))).not.toContain('start')
    expect(only(nodesWith('c', 'diverged'))).not.toContain('start')
    const { c: _, ...unknown } = state().nodes
    expect(only(unknown)).toBe('A31 page')
    const nodes = [node('a', '1'), node('b', '2'), node('c', '3', { promotable: false })]
    const forbidden = assessInput(deathReports({ ...dead, b: 'silent' }), { cluster: cluster({ nodes }) })
    expect(decided(forbidden)).toBe('A31 page')
    expect(keys(forbidden)).toContain('no-candidate')
  })
})

describe('properties', () => {
  const word = fc.constantFrom(...words)
  const anyReport = fc
    .record({
      id: fc.constantFrom(...observers),
      nodes: fc.record({ a: word, b: word, c: word }),
      ticks: fc.constantFrom(1, 9),
      end: fc.constantFrom(null, untold, told),
      canary: fc.constantFrom(true, false, null),
    })
    .map(({ id, nodes, ticks, end, canary }) => report(id, nodes, { ticks, canary, a: { sessionEnd: end } }))
  const input = fc
    .record({
      reports: fc.array(anyReport, { maxLength: 4 }),
      phase: fc.constantFrom<Phase>('steady', 'settling', 'confirming', 'promoting', 'halted'),
      isTick: fc.boolean(),
    })
    .map(({ reports, phase, isTick }) =>
      assessInput(reports, { state: { phase }, tick: isTick ? tick : null }),
    )

  test('a row always matches, its reason and every issue leave no placeholder, facts survive JSON', () => {
    fc.assert(
      fc.property(input, (given) => {
        const { decision, issues, facts } = assess(given)
        expect(decision.reason).not.toMatch(/[{}]|undefined|\[object/)
        for (const issue of issues) expect(issue.message + issue.todo).not.toMatch(/[{}]|undefined|\[object/)
        expect(new Set(issues.map((issue) => issue.key)).size).toBe(issues.length)
        expect(JSON.parse(JSON.stringify(facts))).toEqual(facts)
      }),
      { numRuns: 500 },
    )
  })

  const likelyDead = fc
    .array(
      fc.tuple(
        fc.constantFrom(...words, 'refused', 'refused', 'silent', 'silent'),
        fc.constantFrom(true, null, false),
      ),
      {
        minLength: 1,
        maxLength: 3,
      },
    )
    .map((seen) =>
      assessInput(
        seen.map(([a, canary], index) =>
          report(observers[index] ?? '', { ...dead, a: a as 'refused' }, { canary, ticks: 9 }),
        ),
      ),
    )

  test('F16 H24 a failover is never started unless a quorum of counting reports sees it down', () => {
    let starts = 0
    fc.assert(
      fc.property(likelyDead, (given) => {
        const { decision } = assess(given)
        if (decision.action !== 'start' || decision.kind !== 'failover') return
        starts += 1
        const down = [...given.reports.values()].filter(
          (read) =>
            read.kind === 'found' &&
            read.value.canary !== false &&
            ['refused', 'silent', 'unreachable', 'broken'].includes(read.value.nodes.a?.class ?? ''),
        )
        expect(down.length).toBeGreaterThanOrEqual(2)
      }),
      { numRuns: 1000, seed: 7 },
    )
    expect(starts).toBeGreaterThan(5)
  })
})
