import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { judge } from '../../functions/core/confirm.ts'
import type { ClusterState, Look, NodeStatus } from '../../functions/core/types.ts'
import {
  cluster,
  dead,
  ended,
  healthy,
  judgeInput,
  look,
  node,
  observers,
  plan,
  primaryRow,
  report,
  round,
  standbyRow,
  state,
  told,
  untold,
  words,
} from './build.ts'
import { expectGolden, readText } from './golden.ts'
import { runScenarios, titles } from './scenarios.ts'

test.each(titles(readText('./scenarios/judge.txt')))('scenario %s is told once', (title) => {
  expect(titles(readText('./scenarios/judge.txt')).filter((each) => each === title)).toHaveLength(1)
})

test('the transcripts of scenarios/judge.txt (F01 F02 F03 F04 F06 F08 F09 F11 F12 F14 F16 F17 F20 H14 H15 H24)', () => {
  expectGolden('./scenarios/judge.txt', runScenarios(readText('./scenarios/judge.txt')))
})

const sudden = (changes: Parameters<typeof judgeInput>[0] = {}) =>
  judgeInput({ rounds: [round(dead), round(dead)], reports: ended(untold), heldMs: 250, ...changes })

describe('what counts as a look', () => {
  test('H10 reports alone never make a death: without looks there is no quorum', () => {
    expect(judge(sudden({ rounds: [] })).row).toBe('C1')
    expect(judge(sudden({ rounds: [round(healthy)] })).verdict).toBe('alive')
  })

  test('H24 looks of strangers, of another cluster, twice the same, or of no observers at all do not count', () => {
    const one = look('az1', dead)
    const strangers = [one, look('az8', dead), look('az9', dead)]
    const others = [one, ...['az2', 'az3'].map((id) => ({ ...look(id, dead), cluster: 'other' }))]
    const none: Look[] = []
    for (const looks of [strangers, others, [one, one, one], none]) {
      expect(judge(sudden({ rounds: [looks, looks] })).verdict).toBe('wait')
    }
    expect(judge(sudden({ observers: [] })).verdict).toBe('wait')
    expect(judge(sudden({ observers: ['az1', 'az2', 'az3', 'az4', 'az5', 'az6'] })).verdict).toBe('wait')
  })

  test('S6 a look whose canary failed counts for nothing', () => {
    const failed = observers.map((id) => look(id, dead, false))
    expect(judge(sudden({ rounds: [failed, failed] })).verdict).toBe('wait')
  })
})

describe('S12 how the session ended', () => {
  test('the hold: not before holdMs, and not with one round', () => {
    expect(judge(sudden()).row).toBe('C15')
    expect(judge(sudden({ heldMs: 249 })).row).toBe('C23')
    expect(judge(sudden({ rounds: [round(dead)] })).row).toBe('C23')
  })

  test('untold needs a quorum of observers; told by one of them is a restart', () => {
    expect(judge(sudden({ reports: ended(untold, ['az1']) })).row).toBe('C23')
    expect(judge(sudden({ reports: new Map([...ended(untold), ...ended(told, ['az2'])]) })).row).toBe('C9')
  })

  test('H10 told about an earlier session than the last one does not count', () => {
    const reports = ended(untold)
    const older = { row: primaryRow({ startedAt: '2025-12-31 00:00:00+00' }), ageMs: 300 }
    reports.set('az1', report('az1', dead, { a: { sessionEnd: told, lastGood: older } }))
    expect(judge(sudden({ reports })).row).toBe('C15')
  })

  test('refused in the last round only is not refused throughout', () => {
    expect(judge(sudden({ rounds: [round(healthy), round(dead)] })).row).toBe('C23')
  })

  test('F21 no restart grace: a told end is death at once', () => {
    const given = sudden({ reports: ended(told), cluster: cluster({ policy: { restartGraceMs: 0 } }) })
    expect(judge(given).row).toBe('C16')
    const mixed = new Map([...ended(untold, ['az1', 'az2']), ...ended(told, ['az3'])])
    expect(judge({ ...given, reports: mixed }).row).toBe('C16')
  })
})

describe('counts over invocations', () => {
  const before = { asked: 2, dead: 2, silent: 2, restart: 0 }

  test('are continued, and saturate', () => {
    const silent = round({ ...dead, a: 'silent' })
    expect(judge(judgeInput({ rounds: [silent], counts: before })).row).toBe('C22')
    const full = { asked: 10_000, dead: 10_000, silent: 10_000, restart: 10_000 }
    expect(judge(sudden({ counts: full, reports: ended(told) })).counts).toEqual(full)
  })

  test('S6 a round without a quorum neither counts nor starts anew', () => {
    const few = round(dead).slice(0, 1)
    expect(judge(judgeInput({ rounds: [few], counts: before })).counts).toEqual({ ...before, asked: 3 })
  })

  test('start anew when it answers', () => {
    const { counts } = judge(judgeInput({ counts: before }))
    expect(counts).toEqual({ asked: 3, dead: 0, silent: 0, restart: 0 })
  })
})

describe('streams', () => {
  const feeding = (bytes: number, from: string) => standbyRow(bytes, {}, from)

  test('H14 a cascading standby that drains another standby proves nothing of the primary', () => {
    const looks = (bytes: number) => round({ a: 'silent', b: 'lone', c: feeding(bytes, 'b') })
    expect(judge(judgeInput({ rounds: [looks(100), looks(200), looks(300)] })).row).toBe('C22')
  })

  test('F06 S7 a delayed standby that receives proves life all the same', () => {
    const looks = (bytes: number) =>
      round({ a: 'refused', b: 'lone', c: { ...feeding(bytes, 'a'), applyDelayMs: 1000 } })
    expect(judge(sudden({ rounds: [looks(100), looks(200), looks(300)], heldMs: 500 })).row).toBe('C8')
  })

  test('progress before the last round is progress', () => {
    const looks = (bytes: number) => round({ a: 'refused', b: 'lone', c: feeding(bytes, 'a') })
    expect(judge(sudden({ rounds: [looks(100), looks(200), looks(200)], heldMs: 500 })).verdict).toBe('page')
  })
})

describe('S6 the observers as suspect', () => {
  const allDead = { a: 'silent', b: 'silent', c: 'silent' } as const
  const given = (nodes: ClusterState['nodes']) =>
    judgeInput({
      rounds: [round(allDead), round(allDead), round(allDead)],
      state: state({ phase: 'confirming', plan: plan(), nodes }),
    })

  test('a node that is down by our own fence does not make them suspect', () => {
    const { nodes } = state()
    const fenced: NodeStatus = { ...(nodes.c as NodeStatus), fenced: true, role: 'quarantined' }
    expect(judge(given(nodes)).row).toBe('C13')
    const lone = [round({ ...allDead, b: 'lone' })]
    const rounds = [...lone, ...lone, ...lone]
    expect(judge({ ...given({ ...nodes, c: fenced }), rounds }).row).toBe('C22')
    expect(judge(given({ ...nodes, b: fenced, c: fenced })).row).toBe('C22')
  })

  test('H19 a Region that died, with a survivor elsewhere', () => {
    const nodes = [node('a', '1'), node('b', '2'), node('c', '3', { region: 'eu-west-1' })]
    const rounds = [0, 1, 2].map(() => round({ a: 'silent', b: 'silent', c: 'silent' }, true))
    expect(judge(judgeInput({ cluster: cluster({ nodes }), rounds })).row).toBe('C13')
    const delayed = { ...standbyRow(), upstream: null, applyDelayMs: 1000 }
    const spared = [0, 1, 2].map(() => round({ a: 'silent', b: 'silent', c: delayed }, true))
    expect(judge(judgeInput({ cluster: cluster({ nodes }), rounds: spared })).verdict).toBe('dead')
  })
})

describe('properties', () => {
  const word = fc.constantFrom(...words)
  const seen = fc.record({ a: word, b: word, c: word })
  const anyLook = fc
    .tuple(fc.constantFrom(...observers, 'az9'), seen, fc.constantFrom(true, false, null))
    .map(([id, nodes, canary]) => look(id, nodes, canary))
  const deadLook = fc
    .tuple(fc.constantFrom(...observers), fc.constantFrom('refused', 'silent', 'broken'))
    .map(([id, a]) => look(id, { ...dead, a: a as 'refused' }, null))
  const rounds = fc.oneof(
    fc.array(fc.array(anyLook, { maxLength: 4 }), { maxLength: 5 }),
    fc.array(fc.array(deadLook, { minLength: 2, maxLength: 6 }), { minLength: 2, maxLength: 5 }),
  )
  const input = fc
    .record({
      rounds,
      manual: fc.boolean(),
      heldMs: fc.constantFrom(0, 250, 1000),
      streamsAsked: fc.boolean(),
      isolated: fc.constantFrom<'page' | 'failover'>('page', 'failover'),
      reports: fc.constantFrom(new Map(), ended(untold), ended(told)),
      counts: fc.record({ asked: fc.nat(9), dead: fc.nat(9), silent: fc.nat(9), restart: fc.nat(99) }),
    })
    .map(({ isolated, ...given }) => judgeInput({ ...given, cluster: cluster({ policy: { isolated } }) }))

  test('F16 H24 never dead without a quorum of looks in the last round', () => {
    let deaths = 0
    fc.assert(
      fc.property(input, (given) => {
        if (judge(given).verdict !== 'dead') return
        deaths += 1
        const told = (given.rounds.at(-1) ?? []).filter(
          (each) =>
            each.canary !== false && observers.includes(each.observer) && each.nodes.a?.class !== 'unknown',
        )
        expect(new Set(told.map((each) => each.observer)).size).toBeGreaterThanOrEqual(2)
      }),
      { numRuns: 1000, seed: 7 },
    )
    expect(deaths).toBeGreaterThan(20)
  })

  test('S7 one more answer of the primary never turns anything into dead', () => {
    const changed = fc.tuple(
      input,
      fc.nat(),
      fc.nat(),
      fc.constantFrom('primary', 'busy', 'denied', 'blocked', 'standby'),
    )
    fc.assert(
      fc.property(changed, ([given, r, l, alive]) => {
        fc.pre(given.rounds.length > 0 && !given.manual)
        const at = r % given.rounds.length
        const altered = given.rounds.map((looks, index) =>
          index !== at || looks.length === 0
            ? looks
            : looks.map((each, i) =>
                i === l % looks.length
                  ? {
                      ...each,
                      nodes: {
                        ...each.nodes,
                        a: look('az1', { a: alive as 'busy' }).nodes.a ?? each.nodes.a,
                      },
                    }
                  : each,
              ),
        ) as readonly (readonly Look[])[]
        const verdict = judge({ ...given, rounds: altered })
        // An answer to a minority can make it isolated, which a policy may replace, but only behind power (S6).
        const isIsolated = given.cluster.policy.isolated === 'failover' && verdict.facts.needsPower === true
        if (verdict.verdict === 'dead' && !isIsolated) expect(judge(given).verdict).toBe('dead')
      }),
      { numRuns: 2000 },
    )
  })

  test('a row always matches, and its reason leaves no placeholder', () => {
    fc.assert(
      fc.property(input, (given) => {
        const verdict = judge(given)
        expect(verdict.reason).not.toMatch(/[{}]|undefined|\[object/)
        expect(JSON.parse(JSON.stringify(verdict.facts))).toEqual(verdict.facts)
      }),
    )
  })
})
