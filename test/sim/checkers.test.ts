/** A checker that can not fail is worth nothing: one right history, and for each way of being wrong one that is reported. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../functions/core/decisions.ts'
import type { ClusterState, LossEstimate, NodeId, NodeStatus, Plan } from '../../functions/core/types.ts'
import { eventSchema } from '../../functions/schemas.ts'
import { approval, provable } from '../core/build.ts'
import { check } from './checkers/index.ts'
import { replay } from './checkers/replay.ts'
import {
  act,
  acts,
  base,
  changed,
  clockMs,
  failover,
  observers,
  plus,
  states,
  stoppedOld,
  withPolicy,
} from './histories.ts'
import type { ActEntry, Entry, EntryOf, History } from './history.ts'

const deployment = 'understudy'
const right = failover()
const foreign = { deployment: 'staging', owner: 'staging' } as const

const told = (atMs: number, commit: number, node: NodeId, reign: number): Entry => ({
  ...{ kind: 'acknowledged', atMs, client: 'c2', commit, node, reign },
})
const writer = (atMs: number, node: NodeId, accepts: boolean, reign: number): Entry => ({
  ...{ kind: 'writer', atMs, node, accepts, reign, timeline: reign },
})
const name = (atMs: number, change: Partial<EntryOf<'name'>>): Entry => ({
  ...{ kind: 'name', atMs, deployment, by: 'repoint', owner: deployment, term: 2, target: 'b' },
  ...change,
})
const isSql = (what: string) => (each: ActEntry) => each.what === 'sql' && each.action.do === what
const without = (history: History, test: (entry: Entry) => boolean) =>
  changed(history, (entry) => (test(entry) ? null : entry))
const withPlan = (kinds: readonly string[], change: (plan: Plan) => Partial<Plan>, history = right) =>
  states(history, kinds, (state) =>
    state.plan ? { ...state, plan: { ...state.plan, ...change(state.plan) } } : state,
  )
const loss = (provableLoss: LossEstimate['provable'], boundMs: number | null) =>
  withPlan(['target'], () => ({ loss: { provable: provableLoss, boundMs, reason: 'said' } }))
/** The promotion lacks these, and so does the end. */
const lacking = (history: History, ...missing: number[]): History => ({
  ...changed(history, (entry) => (entry.kind === 'promoted' ? { ...entry, missing } : entry)),
  ended: { ...history.ended, missing },
})
const stateAt = (kind: string): ClusterState => {
  const found = right.entries.find((each) => each.kind === 'state' && each.state.lastEvent.kind === kind)
  if (found?.kind !== 'state') throw new Error(`no state ${kind}`)
  return found.state
}
const status = (state: ClusterState, node: NodeId) => state.nodes[node] as NodeStatus
const withNode = (state: ClusterState, node: NodeId, change: Partial<NodeStatus>): ClusterState => ({
  ...state,
  nodes: { ...state.nodes, [node]: { ...status(state, node), ...change } },
})
/** All through the judging, this is what observers had of this node. */
const seenAs = (history: History, node: NodeId, answers: Readonly<Record<string, string>>): History =>
  changed(history, (entry) =>
    entry.kind === 'sight' && entry.node === node && entry.atMs < 3_000 && answers[entry.from]
      ? { ...entry, atMs: 0, answer: answers[entry.from] as EntryOf<'sight'>['answer'] }
      : entry,
  )
const all = (answer: string) => Object.fromEntries(observers.map((id) => [id, answer]))
const promotes = (state: ClusterState): Entry =>
  act(2_165, state, {
    what: 'sql',
    node: 'b',
    action: { do: 'promote', expectedTimeline: 1, synchronousStandbyNames: '' },
    term: 2,
  })
/** A longer hold, so that the interval is long enough to say good-bye in. */
const goodBye = (history: History, atMs: number): History =>
  plus(
    changed(history, (entry) =>
      entry.kind === 'server' && entry.change === 'untold' ? { ...entry, change: 'told', atMs } : entry,
    ),
    ...observers.map(
      (observer): Entry => ({
        ...{ kind: 'told', atMs: 1_100, deployment, observer, node: 'a', says: true },
      }),
    ),
  )
const claimed = (change: (before: ClusterState) => Partial<ClusterState>): History =>
  changed(right, (entry) =>
    entry.kind === 'state' && entry.atMs === 0
      ? { ...entry, state: { ...entry.state, ...change(entry.state) } }
      : entry,
  )
const power = (what: 'stop' | 'start', atMs: number, node: NodeId, stored: ClusterState): Entry =>
  act(atMs, stored, { what: 'power', node, act: what, instanceId: `i-${node}` })
const host = (command: string, stored: ClusterState, node = 'a'): Entry =>
  act(2_020, stored, { what: 'host', node, command, term: stored.term })

test('H22 a right failover breaks nothing', () => {
  expect(check(right)).toEqual([])
})

const wrong: Readonly<Record<string, readonly (readonly [string, History])[]>> = {
  'one writer': [
    ['S1 the old primary acknowledges after the new one did', plus(right, told(3_000, 9, 'a', 1))],
    ['S1 two nodes acknowledge in the same reign', plus(right, told(3_000, 9, 'c', 2))],
  ],
  'one promotion': [
    [
      'H01 a term promotes two nodes',
      plus(right, {
        ...{
          kind: 'promoted',
          atMs: 2_250,
          deployment,
          node: 'c',
          term: 2,
          reign: 3,
          timeline: 2,
          missing: [],
        },
      }),
    ],
  ],
  'true evidence': [
    [
      'H02 an instance counts as stopped whose server has written all the time',
      withPlan(
        ['fenced'],
        () => ({
          evidence: [{ kind: 'instanceStopped', node: 'a', instanceId: 'i-a', term: 2 }],
        }),
        later(
          100_000,
          without(right, (each) => each.kind === 'writer' && !each.accepts),
        ),
      ),
    ],
    [
      'H02 it is written to again when the promotion rests on it',
      plus(
        withPlan(
          ['fenced', 'target'],
          () => ({
            evidence: [{ kind: 'instanceStopped', node: 'a', instanceId: 'i-a', term: 2 }],
          }),
          delayed(2_120, 100_000),
        ),
        writer(2_110, 'a', true, 1),
      ),
    ],
  ],
  'nothing lost': [
    ['S8 something is lost of which none was said', lacking(right, 2)],
    ['S10 never, without an approval', lacking(loss('unknown', null), 2)],
    [
      'H25 never, with an approval of another target',
      lacking(
        plus(loss('unknown', null), {
          ...{ kind: 'approval', atMs: 1_600, deployment, approval: approval({ target: 'c' }) },
        }),
        2,
      ),
    ],
    ['H21 bounded, told before the bound', lacking(withPolicy(loss('bounded', 1_500), bounded(5)), 1)],
    ['S10 bounded by more than the policy', lacking(withPolicy(loss('bounded', 9_000), bounded(5)), 2)],
    ['S10 bounded, and no bound was recorded', lacking(withPolicy(loss('unknown', null), bounded(5)), 2)],
    [
      'S10 availability, told before what was said',
      lacking(withPolicy(loss('bounded', 1_000), { loss: { mode: 'availability' } }), 2),
    ],
    [
      'S1 no plan says what the promotion loses',
      lacking(
        changed(right, (entry) => (entry.kind === 'promoted' ? { ...entry, term: 7 } : entry)),
        2,
      ),
    ],
    [
      'S10 nothing was said at all',
      lacking(
        withPlan(['target'], () => ({ loss: null })),
        2,
      ),
    ],
    ['S8 a commit is nowhere and nobody was promoted', { ...right, ended: { ...right.ended, missing: [3] } }],
    [
      'S2 a commit is told after somebody else was promoted',
      { ...plus(right, told(2_345, 9, 'a', 1)), ended: { ...right.ended, missing: [9] } },
    ],
  ],
  'name forward': [
    ['S13 the term of the name goes back', plus(right, name(9_000, { term: 1, target: 'a' }))],
    ['H17 another deployment takes the name', plus(right, name(9_000, { ...foreign, term: 3 }))],
    [
      'H17 a take-over begins below the term that it finds',
      plus(right, name(9_000, { ...foreign, by: 'command adopt 2', term: 1 })),
    ],
    [
      'H17 a token is written for another deployment',
      plus(right, name(9_000, { owner: 'staging', by: 'adopt' })),
    ],
  ],
  'name of the target': [
    ['the name leads to a node that was not the target', plus(right, name(9_000, { target: 'c' }))],
    ['the name leads back to the old primary', plus(right, name(9_000, { target: 'a' }))],
    ['the name carries a term that has no state', plus(right, name(9_000, { term: 3 }))],
  ],
  'only the owner acts': [
    [
      'H17 who lost the name goes on',
      {
        ...plus(right, name(1_200, { ...foreign, by: 'command adopt 2', term: 1, target: 'a' })),
        deployments: [deployment, 'staging'],
      },
    ],
  ],
  'living primary': [
    ['S6 a quorum was answered all the time', seenAs(right, 'a', { az1: 'answers', az2: 'answers' })],
    [
      'S7 a standby received from it all the time',
      changed(seenAs(right, 'a', all('silent')), (each) =>
        each.kind === 'stream' && each.from === 'b' && each.atMs === 1_000 ? null : each,
      ),
    ],
    [
      'S6 nobody answered the observers',
      ['a', 'b', 'c'].reduce((history, node) => seenAs(history, node, all('silent')), right),
    ],
    ['S12 H15 it had said good-bye just before', goodBye(right, 1_000)],
    ['S12 it was gone for less than the hold', withPolicy(right, { holdMs: 3_000 })],
  ],
  'isolated behind power': [
    [
      'S6 a minority was answered all the time',
      withPolicy(seenAs(right, 'a', { az1: 'answers' }), { isolated: 'failover' }),
    ],
    ['S6 the policy is to page', behindPower(seenAs(right, 'a', { az1: 'answers' }))],
  ],
  'people first': [
    [
      'S14 H20 an operation begins in a pause',
      claimed(() => ({ pause: { owner: 'kim', reason: 'work', untilMs: clockMs + 1 } })),
    ],
    [
      'S14 an operation begins in the cooldown',
      claimed(() => ({ lastFailover: { term: 1, atMs: clockMs - 1_000 } })),
    ],
    ['an operation begins although it is halted', claimed(() => ({ phase: 'halted' }))],
    [
      'a step acts long after a halt',
      plus(
        right,
        { kind: 'state', atMs: 61_000, deployment, by: 'halt', state: halted() },
        power('stop', 200_000, 'c', withNode({ ...halted() }, 'c', { role: 'quarantined' })),
      ),
    ],
  ],
  'claims anew': [
    [
      'S4 H06 an invocation goes on with the claim of another',
      changed(right, (each) =>
        each.kind === 'state' && each.state.lastEvent.kind === 'target' ? { ...each, by: 'again' } : each,
      ),
    ],
  ],
  'claim at each act': [
    ['S4 an act without a look at the own claim', acts(right, isSql('freeze'), () => ({ mine: false }))],
    [
      'S4 a statement of an older term after an act of a newer one',
      plus(right, { ...promotes(stateAt('target')), atMs: 2_190, seen: { id: 'c0', term: 1 } } as Entry),
    ],
    [
      'S4 a power act of an older term',
      acts(
        right,
        (each) => each.what === 'power' && each.act === 'stop',
        () => ({ seen: { id: 'c0', term: 1 } }),
      ),
    ],
    [
      'S4 a statement that carries another term',
      acts(right, isSql('freeze'), () => ({ term: 3 }) as Partial<ActEntry>),
    ],
  ],
  'promotion allowed': [
    [
      'S1 who is promoted is not the target',
      acts(right, isSql('promote'), ({ stored }) => ({ stored: planned(stored, { target: 'c' }) })),
    ],
    [
      'H05 it is promoted in another term',
      acts(right, isSql('promote'), (each) => ({ stored: { ...(each.stored as ClusterState), term: 3 } })),
    ],
    [
      'S2 a possible writer has no evidence',
      acts(right, isSql('promote'), ({ stored }) => ({ stored: evidence(stored, []) })),
    ],
    [
      'S2 a fact of an older term is used again',
      acts(right, isSql('promote'), ({ stored }) => ({
        stored: evidence(
          stored,
          (stored?.plan?.evidence ?? []).map((each) => ({ ...each, term: 1 })),
        ),
      })),
    ],
    [
      'S8 from another timeline than the primary had',
      acts(
        right,
        isSql('promote'),
        () =>
          ({
            action: { do: 'promote', expectedTimeline: 4, synchronousStandbyNames: '' },
          }) as Partial<ActEntry>,
      ),
    ],
  ],
  'one target': [
    [
      'S1 the target of a term changes',
      changed(right, (entry) =>
        entry.kind === 'state' && entry.state.timeline === 2
          ? { ...entry, state: anotherTarget(entry.state) }
          : entry,
      ),
    ],
    [
      'S1 the target is no possible writer',
      states(right, ['target'], (state) => withNode(state, 'b', { possibleWriter: null })),
    ],
    [
      'S5 the operation goes back after its target',
      states(right, ['promoted'], (state) => ({ ...state, primary: 'a', phase: 'settling' })),
    ],
  ],
  'acts in order': [
    [
      'S5 a freeze that is not recorded',
      acts(right, isSql('freeze'), ({ stored }) => ({ stored: planned(stored, { frozen: {} }) })),
    ],
    ['S5 fence: power, and the freeze comes first', withPolicy(right, { fence: 'power' })],
    [
      'S5 a freeze is undone after the target',
      plus(
        right,
        act(2_170, stateAt('target'), {
          what: 'sql',
          node: 'c',
          action: { do: 'unfreeze', primaryConninfo: '', restoreCommand: '' },
          term: 2,
        }),
      ),
    ],
    [
      'S9 H03 who was measured beyond the target follows it',
      acts(right, isSql('follow'), ({ stored }) => ({
        stored: planned(stored, { targetPositionBytes: base - 1 }),
      })),
    ],
    [
      'it follows somebody else than the target',
      acts(
        right,
        isSql('follow'),
        () =>
          ({
            action: {
              do: 'follow',
              upstream: { address: '10.0.1.97', port: 5432 },
              applicationName: 'c',
              restoreCommand: '',
            },
          }) as Partial<ActEntry>,
      ),
    ],
    [
      'it follows before there is a target',
      acts(right, isSql('follow'), ({ stored }) => ({ stored: planned(stored, { target: null }) })),
    ],
    [
      'S5 a power fence that is not recorded',
      acts(
        right,
        (each) => each.what === 'power',
        ({ stored }) => ({ stored: planned(stored, { fenceRequested: [] }) }),
      ),
    ],
    [
      'the recorded primary is stopped by settle',
      plus(right, power('stop', 40_000, 'b', withNode(stateAt('starting'), 'b', { role: 'quarantined' }))),
    ],
    [
      'S11 H08 the old primary is started before its fence is recorded',
      acts(right, isStart, ({ stored }) => ({
        stored: withNode(stored as ClusterState, 'a', { fenced: false }),
      })),
    ],
    [
      'S11 it is started without a recorded rejoin',
      acts(right, isStart, ({ stored }) => ({
        stored: withNode(stored as ClusterState, 'a', { role: 'quarantined' }),
      })),
    ],
    [
      'S5 a fence is undone in an operation',
      acts(right, isStart, ({ stored }) => ({ stored: { ...(stored as ClusterState), phase: 'fencing' } })),
    ],
    ['the recorded primary is started anew', plus(right, power('start', 40_000, 'b', stateAt('starting')))],
    ['H07 a write-stop that is not recorded', plus(right, host('stopWrites', stateAt('confirmed')))],
    ['H07 a write-stop is undone after the target', plus(right, host('resumeWrites', stateAt('target')))],
    ['H08 a rejoin that is not recorded', plus(right, host('rejoin', stateAt('promoted')))],
    [
      'S5 the closed group of a failover is opened again',
      {
        ...plus(
          right,
          act(2_300, stateAt('promoted'), {
            what: 'rds',
            node: 'i-a',
            action: { do: 'setGroups', instance: 'i-a', groupIds: ['sg-1'] },
          }),
        ),
        config: {
          ...right.config,
          nodes: right.config.nodes.map((node) => ({ ...node, closedGroupId: 'sg-0' })),
        },
      },
    ],
  ],
  'never the newest writer': [
    [
      'H09 settle fences whoever is the newest writer',
      plus(
        right,
        writer(3_000, 'c', true, 3),
        power('stop', 40_000, 'c', withNode(stateAt('starting'), 'c', { role: 'quarantined' })),
      ),
    ],
    [
      'S11 settle fences with a state that is older than the name',
      plus(
        right,
        { ...name(3_000, { deployment: null, term: 7 }) },
        power('stop', 40_000, 'c', withNode(stateAt('starting'), 'c', { role: 'quarantined' })),
      ),
    ],
  ],
  'settling after a commit': [
    [
      'S9 settling, and no commit has returned',
      without(right, (each) => each.kind === 'acknowledged' && each.node === 'b'),
    ],
  ],
  undone: [
    [
      'S5 an operation stands down and leaves a standby frozen',
      {
        ...right,
        entries: [
          ...right.entries.filter((each) => each.atMs < 2_050),
          { kind: 'state', atMs: 2_060, deployment, by: 'step', state: stoodDown() },
        ],
      },
    ],
  ],
  'versions and events': [
    [
      'H22 a version is left out',
      without(right, (each) => each.kind === 'state' && each.state.lastEvent.kind === 'fenced'),
    ],
    [
      'a term goes back',
      withEvents(
        states(right, ['steady'], (state) => ({
          ...state,
          term: 1,
          lastEvent: { ...state.lastEvent, term: 1 },
        })),
      ),
    ],
    [
      'H22 an event is of another term than its version',
      withEvents(
        states(right, ['target'], (state) => ({ ...state, lastEvent: { ...state.lastEvent, term: 1 } })),
      ),
    ],
    [
      'H22 an event is not in the history',
      {
        ...right,
        ended: { ...right.ended, events: { [deployment]: right.ended.events[deployment]?.slice(2) ?? [] } },
      },
    ],
    [
      'H22 a version carries the event of another',
      withEvents(
        states(right, ['target'], (state) => ({ ...state, lastEvent: { ...state.lastEvent, version: 40 } })),
      ),
    ],
    [
      'H22 a beat changes the phase',
      states(right, ['promoted'], (state) => ({ ...state, lastEvent: stateAt('target').lastEvent })),
    ],
    ['a beat goes back', states(right, ['steady'], (state) => ({ ...state, beat: 0 }))],
  ],
  'decisions explained': [
    ['H22 a decision without a row', said('confirmed', { row: null })],
    ['H22 the facts of a judgement lead to another row', said('confirmed', { row: 'C22' })],
    ['H22 the facts of a judgement are missing', said('confirmed', { facts: {} })],
    ['H22 the facts of a choice are missing', said('target', { facts: {} })],
    ['H22 another was chosen than the facts say', withPlan(['target'], () => ({ target: 'c' }))],
    ['H22 the facts of the name are missing', said('repointed', { facts: {} })],
    ['H22 the facts of settle lead to another row', said('starting', { facts: { decided: stoppedOld } })],
    ['H22 what was done is not what the row says', said('starting', { kind: 'rejoining' })],
    [
      'H22 a claim without the facts that allowed it',
      said('claimed', { facts: stateAt('claimed').plan?.facts ?? {} }),
    ],
    ['H22 a claim that its facts refuse', claimFacts({ paused: true })],
    ['H22 a claim that names another row than allowed it', said('claimed', { row: 'L8' })],
    ['H22 a claim by facts of another state', claimFacts({ term: 7 })],
    ['H22 a row that no table has', said('fenced', { row: 'Q7' })],
  ],
  'promise kept': [
    [
      'S11 a writer goes on that should have ended',
      plus(right, { kind: 'promise', atMs: 3_000, what: 'the fence', untilMs: 4_000, ends: 'b' }),
    ],
    [
      'H28 the name does not lead to the writer in time',
      plus(right, { kind: 'promise', atMs: 1_000, what: 'the name', untilMs: 2_250 }),
    ],
  ],
  'well in the end': [
    ['it is not steady', end({ states: { [deployment]: { ...stateAt('steady'), phase: 'settling' } } })],
    ['the name leads elsewhere', end({ name: { owner: deployment, term: 2, target: 'a' } })],
    ['the name is newer than the state', end({ name: { owner: deployment, term: 9, target: 'b' } })],
    ['nobody has the name', end({ name: { owner: null, term: null, target: null } })],
    ['the primary is in recovery', endedServer('b', { inRecovery: true })],
    ['no commit returns', endedServer('b', { writable: false })],
    ['the primary does not run', endedServer('b', { running: false })],
    ['a standby does not run', endedServer('a', { running: false })],
    ['a standby streams from nobody', endedServer('a', { streamsFrom: null })],
    ['a standby is on an older timeline', endedServer('a', { timeline: 1 })],
    ['somebody writes beside the primary', endedServer('a', { inRecovery: false })],
    [
      'the list is not provable',
      end({
        states: { [deployment]: { ...stateAt('steady'), synchronous: { ...provable, status: 'unknown' } } },
      }),
    ],
  ],
}

describe.each(Object.entries(wrong))('%s', (property, cases) => {
  test.each(cases)('%s', (_, history) => {
    expect(check(history).map((each) => each.property)).toContain(property)
  })
})

describe('what is no violation', () => {
  const fine: readonly (readonly [string, History])[] = [
    [
      'S10 a loss that a person accepted for this term and target',
      lacking(
        plus(loss('unknown', null), { kind: 'approval', atMs: 1_600, deployment, approval: approval() }),
        2,
      ),
    ],
    ['S10 bounded, within the bound', lacking(withPolicy(loss('bounded', 2_000), bounded(5)), 2)],
    [
      'S2 a commit whose wait was cut short',
      lacking(plus(right, { kind: 'cutShort', atMs: 900, commit: 2 }), 2),
    ],
    ['S12 a good-bye whose grace is over', goodBye(withPolicy(right, { restartGraceMs: 1_000 }), 1_000)],
    [
      'S6 a living primary that a person replaces',
      withPlan(['claimed', 'confirmed'], () => ({ automatic: false }), seenAs(right, 'a', all('answers'))),
    ],
    [
      'S6 an isolated one behind power',
      behindPower(withPolicy(seenAs(right, 'a', { az1: 'answers' }), { isolated: 'failover' })),
    ],
    [
      'two writers by the hand of a person',
      plus(
        right,
        {
          kind: 'promoted',
          atMs: 200,
          deployment: null,
          node: 'c',
          term: null,
          reign: 9,
          timeline: 2,
          missing: [],
        },
        told(210, 9, 'c', 9),
      ),
    ],
    ['H09 a table that was put back', restored()],
    [
      'S14 a pause that is over',
      claimed(() => ({ pause: { owner: 'kim', reason: 'work', untilMs: clockMs } })),
    ],
    [
      'H17 a take-over by a person',
      plus(
        right,
        name(90_000, { ...foreign, by: 'command adopt 2', term: 3, target: 'b' }),
        adoptedElsewhere(),
      ),
    ],
    [
      'H28 a promise that is kept',
      plus(right, { kind: 'promise', atMs: 1_000, what: 'the name', untilMs: 2_320 }),
    ],
    ['rejoin by hand', withPolicy(endedServer('a', { running: false }), { rejoin: 'never' })],
  ]
  test.each(fine)('%s', (_, history) => {
    const ofInterest = check(history).filter((each) => each.property !== 'decisions explained')
    expect(ofInterest).toEqual([])
  })
})

test('H22 facts come back from the table as they went in: the decision is the same by them', () => {
  for (const entry of right.entries) {
    if (entry.kind !== 'state' || entry.state.lastEvent.row === null) continue
    const { row, facts } = eventSchema.parse(JSON.parse(JSON.stringify(entry.state.lastEvent)))
    expect(replay(row ?? '', (facts.decided ?? facts) as Record<string, unknown>).row).toBe(row)
  }
})

test('a table that nobody decides by is an error', () => {
  expect(() => replay('Z1', {})).toThrow('no table')
  expect(() => decide({} as never)).toThrow()
})

// ---------------------------------------------------------------------------------------------------------------

function bounded(seconds: number) {
  return { loss: { mode: 'bounded', seconds } } as const
}
function halted(): ClusterState {
  const state = stateAt('steady')
  const version = state.version + 1
  return {
    ...{ ...state, version, phase: 'halted', halted: { reason: 'kim', step: 'fence' } },
    lastEvent: { ...state.lastEvent, version, kind: 'halted' },
  }
}
function planned(stored: ClusterState | undefined, change: Partial<Plan>): ClusterState {
  if (!stored?.plan) throw new Error('no plan')
  return { ...stored, plan: { ...stored.plan, ...change } }
}
function evidence(stored: ClusterState | undefined, of: Plan['evidence']): ClusterState {
  return planned(stored, { evidence: of })
}
function stoodDown(): ClusterState {
  const state = stateAt('confirmed')
  const version = state.version + 1
  const lastEvent = { ...state.lastEvent, version, kind: 'stood down' }
  return { ...state, version, phase: 'steady', plan: null, claim: null, lastEvent }
}
function anotherTarget(state: ClusterState): ClusterState {
  const possibleWriter = { term: 2, timeline: 1, synchronous: provable }
  const other = withNode({ ...state, primary: 'c' }, 'c', { possibleWriter })
  return other.plan === null ? other : planned(other, { target: 'c' })
}
function behindPower(history: History): History {
  const evidence = [{ kind: 'instanceStopped', node: 'a', instanceId: 'i-a', term: 2 }] as const
  return withPlan(['fenced', 'target'], () => ({ evidence }), history)
}
/** With the history that its versions would have left. */
function withEvents(history: History): History {
  const events = history.entries.flatMap((each) =>
    each.kind === 'state' ? [`${each.state.lastEvent.term}.${each.state.lastEvent.version}`] : [],
  )
  return { ...history, ended: { ...history.ended, events: { [deployment]: events } } }
}
/** All that the failover did is done once more, after the table was put back to what it was before. */
function restored(): History {
  const state = right.entries.find((each) => each.kind === 'state')?.state as ClusterState
  const again = right.entries.filter((each) => each.kind === 'state' && each.state.version > 1)
  const back: Entry = { kind: 'restored', atMs: 80_000, deployment, state }
  // What waited in between is no matter here: repointing ends with the commit of the first time.
  const byHand = withPlan(['claimed', 'confirmed'], () => ({ automatic: false }), {
    ...right,
    entries: again,
  })
  return plus(right, back, ...byHand.entries.map((each) => ({ ...each, atMs: each.atMs + 100_000 })))
}
function isStart(each: ActEntry): boolean {
  return each.what === 'power' && each.act === 'start'
}
function said(kind: string, change: Partial<ClusterState['lastEvent']>): History {
  return states(right, [kind], (state) => ({ ...state, lastEvent: { ...state.lastEvent, ...change } }))
}
function claimFacts(change: Record<string, unknown>): History {
  const { facts } = stateAt('claimed').lastEvent
  const claim = facts.claim as { row: string; facts: Record<string, unknown> }
  return said('claimed', { facts: { ...facts, claim: { ...claim, facts: { ...claim.facts, ...change } } } })
}
function end(change: Partial<History['ended']>): History {
  return { ...right, ended: { ...right.ended, ...change } }
}
function endedServer(id: NodeId, change: Partial<History['ended']['servers'][number]>): History {
  return end({ servers: right.ended.servers.map((each) => (each.id === id ? { ...each, ...change } : each)) })
}
/** Everything after the death happens so much later. */
function later(ms: number, history: History): History {
  return delayed(1_100, ms, history)
}
function delayed(fromMs: number, ms: number, history = right): History {
  return {
    ...changed(history, (entry) => (entry.atMs < fromMs ? entry : { ...entry, atMs: entry.atMs + ms })),
    endedAtMs: history.endedAtMs + ms,
  }
}
function adoptedElsewhere(): Entry {
  const state = { ...stateAt('steady'), term: 3, deployment: 'staging', version: 1 }
  const lastEvent = { ...state.lastEvent, term: 3, version: 1, kind: 'adopted' }
  return {
    kind: 'state',
    atMs: 89_000,
    deployment: 'staging',
    by: 'command adopt 2',
    state: { ...state, lastEvent },
  }
}
