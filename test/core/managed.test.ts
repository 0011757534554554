import { describe, expect, test } from 'vitest'
import { followProvider, managedConfirmRows } from '../../functions/core/managedConfirm.ts'
import {
  decideFence,
  fenceAnew,
  fenceIntent,
  type ManagedFenceInput,
  managedFenceRows,
} from '../../functions/core/managedFence.ts'
import { decidePromotion } from '../../functions/core/managedPromote.ts'
import { type ManagedRankInput, rankManaged } from '../../functions/core/managedRank.ts'
import { managedSettleWork, renamed, settingsDiffer } from '../../functions/core/managedSettle.ts'
import { isClosed, type ProviderInstance, waitedMs } from '../../functions/core/managedView.ts'
import type { Approval, ClusterConfig, NetworkFence, NodeId, ProbeRow } from '../../functions/core/types.ts'
import {
  base,
  cluster,
  loneRow,
  node,
  observers,
  plan,
  primaryRow,
  round,
  standbyRow,
  state,
} from './build.ts'

const closedGroupId = 'sg-closed'
const managed = {
  family: 'postgres',
  providerGraceMs: 60_000,
  backupGraceMs: 60_000,
  clusterId: null,
  globalClusterId: null,
  globalEndpoint: false,
} as const
const nodes = ['a', 'b', 'c'].map((id, index) =>
  node(id, String(index + 1), { instanceId: `orders-${id}`, closedGroupId, groupIds: ['sg-open'] }),
)
const rds: ClusterConfig = {
  ...cluster({ nodes, policy: { fence: 'network', loss: { mode: 'availability' }, rebuild: 'automatic' } }),
  engine: 'rds',
  managed,
}
const region = 'eu-central-1'

function view(id: NodeId, changes: Partial<ProviderInstance> = {}): ProviderInstance {
  return {
    identifier: `orders-${id}`,
    resourceId: `db-${id}`,
    region,
    status: 'available',
    address: null,
    port: 5432,
    multiAz: false,
    source: id === 'a' ? null : { identifier: 'orders-a', region },
    replicas: id === 'a' ? ['orders-b', 'orders-c'] : [],
    groups: [{ id: 'sg-open', status: 'active' }],
    parameterGroups: ['default'],
    backupRetentionDays: 7,
    replication: id === 'a' ? null : { status: 'replicating', normal: true },
    instanceClass: 'db.r8g.large',
    pendingReboot: false,
    deletionProtected: false,
    pendingGroups: false,
    ...changes,
  }
}

const known = (id: NodeId, role: 'primary' | 'standby') => ({
  role,
  term: 1,
  possibleWriter: role === 'primary' ? { term: 1, timeline: 1, synchronous: state().synchronous } : null,
  instanceId: `db-${id}`,
  fenced: false,
  rejoin: 'none' as const,
})
const identified = { a: known('a', 'primary'), b: known('b', 'standby'), c: known('c', 'standby') }

const approval = (changes: Partial<Approval> = {}): Approval => ({
  ...{ cluster: 'orders', term: 1, target: null, acceptLoss: false, unfenced: [] },
  ...{ by: 'sam', reason: 'test', untilMs: 0, ...changes },
})

const legible = (text: string) => expect(text).not.toMatch(/[{}]|undefined/)

// ---------------------------------------------------------------------------------------------------------------

describe('confirm: what RDS says', () => {
  const ask = (changes: Partial<Parameters<typeof followProvider>[0]> = {}) =>
    followProvider({
      managed,
      observers,
      primary: 'a',
      resourceId: 'db-a',
      answers: true,
      view: view('a'),
      looks: round({ a: 'refused', b: 'lone', c: 'lone' }),
      manual: false,
      waits: 0,
      nobody: null,
      ...changes,
    })

  test.each([
    ['V1', 'page', { nobody: 'b: it is being rebuilt (term 2)', manual: true }],
    ['V2', 'judge', { manual: true }],
    [
      'V3',
      'judge',
      { looks: round({ a: 'primary', b: 'standby' }), view: view('a', { status: 'modifying' }) },
    ],
    ['V4', 'judge', { answers: false, view: null }],
    ['V5', 'judge', { view: null }],
    ['V6', 'page', { view: view('a', { status: 'stopping' }) }],
    ['V7', 'follow', { view: view('a', { status: 'rebooting' }) }],
    ['V7', 'follow', { view: view('a', { status: 'a status that nobody knows' }) }],
    ['V8', 'judge', { view: view('a', { status: 'rebooting' }), waits: 40 }],
    ['V9', 'follow', { view: view('a', { multiAz: true }) }],
    ['V10', 'judge', { view: view('a', { multiAz: true }), waits: 40 }],
    ['V10', 'judge', {}],
    ['V10', 'judge', { view: view('a', { status: 'storage-full' }) }],
  ] as const)('%s: %s', (row, does, changes) => {
    const answer = ask(changes)
    expect([answer.row, answer.does]).toEqual([row, does])
    legible(answer.reason)
  })

  test('reasons name only facts that there are', () => {
    const facts = Object.keys(ask().facts)
    const names = managedConfirmRows.flatMap(({ reason }) => [...reason.matchAll(/\{(\w+)\}/g)])
    expect(names.map((match) => match[1]).filter((name) => !facts.includes(name ?? ''))).toEqual([])
  })

  test('Wait states are counted as they are waited', () => {
    expect([0, 1, 4, 12].map(waitedMs)).toEqual([0, 1_000, 5_000, 35_000])
  })
})

describe('fence: the closed group alone, then a reboot that was seen', () => {
  const closed = [{ id: closedGroupId, status: 'active' }]
  const fence = (changes: Partial<NetworkFence> = {}): NetworkFence => ({
    ...fenceIntent(view('a'), closedGroupId, null),
    ...changes,
  })
  const seen = fence({ closed: true, startedAtBefore: 'one', restartBefore: 'event 1' })
  const open = { groups: view('a').groups }
  const changing = {
    groups: [
      { id: 'sg-open', status: 'removing' },
      { id: closedGroupId, status: 'adding' },
    ],
  }
  const ask = (changes: Partial<ManagedFenceInput> & { view?: Partial<ProviderInstance> } = {}) =>
    decideFence({
      node: nodes[0] as (typeof nodes)[number],
      term: 2,
      resourceId: 'db-a',
      fence: fence(),
      instances: [view('a', { groups: closed, ...changes.view })],
      row: null,
      restart: '',
      approval: null,
      drains: true,
      switchover: false,
      candidateBytes: null,
      receives: true,
      unseen: 0,
      waits: 0,
      ...changes,
    })
  const alive = (startedAt: string) => primaryRow({ startedAt })
  const begun = fence({ drainSince: 0, firstEndBytes: 8 })

  test.each([
    ['X1', 'accept', { approval: approval({ unfenced: ['a'] }) }],
    ['X2', 'needApproval', { resourceId: null }],
    ['X3', 'needApproval', { node: { ...(nodes[0] as (typeof nodes)[number]), closedGroupId: null } }],
    ['X4', 'needApproval', { instances: null }],
    // The name belongs to another instance now: whatever that one shows proves nothing (H02).
    ['X5', 'needApproval', { instances: [view('a', { resourceId: 'db-other', groups: closed })] }],
    ['X6', 'recordIntent', { fence: null }],
    ['X6', 'recordIntent', { fence: fence({ resourceId: 'db-before' }) }],
    // Opened again: whoever came in meanwhile has a session that no reboot before ended.
    ['X6', 'recordIntent', { fence: { ...seen, reboot: 'seen' }, view: { groups: view('a').groups } }],
    ['X7', 'evidence', { view: { status: 'stopped' } }],
    ['X8', 'needApproval', { view: { status: 'stopped', groups: view('a').groups } }],
    ['X9', 'keepOut', { view: changing, row: alive('one') }],
    ['X10', 'wait', { view: changing, row: alive('one'), drains: false }],
    ['X10', 'wait', { view: changing }],
    ['X10', 'wait', { view: { pendingGroups: true } }],
    ['X11', 'wait', { view: { status: 'modifying', groups: view('a').groups } }],
    ['X12', 'drainIntent', { view: open, row: alive('one') }],
    ['X12', 'drainIntent', { view: open, switchover: true }],
    ['X13', 'endFirst', { view: open, row: alive('one'), fence: fence({ drainSince: 0 }) }],
    ['X14', 'wait', { view: open, row: alive('one'), fence: begun, candidateBytes: 7 }],
    ['X14', 'wait', { view: open, row: alive('one'), fence: begun, waits: 2 }],
    // Who has lost its stream is waited for once, and no longer.
    ['X14', 'wait', { view: open, fence: begun, switchover: true, candidateBytes: 7, receives: false }],
    ['X15', 'backOut', { view: open, fence: begun, switchover: true, candidateBytes: 7, waits: 3 }],
    [
      'X15',
      'backOut',
      { view: open, fence: begun, switchover: true, candidateBytes: 7, receives: false, waits: 1 },
    ],
    ['X15', 'backOut', { view: open, fence: fence({ drainSince: 0 }), switchover: true, waits: 3 }],
    // The time of either part begins when it begins, however long the step took to get there.
    ['X14', 'wait', { view: open, row: alive('one'), fence: { ...begun, drainSince: 9 }, waits: 11 }],
    ['X24', 'wait', { fence: { ...seen, drainSince: 9, drainToBytes: 8 }, waits: 11 }],
    ['X16', 'closeGroup', { view: open, row: alive('one'), fence: begun, candidateBytes: 8 }],
    ['X16', 'closeGroup', { view: open, row: alive('one'), fence: begun, candidateBytes: 7, waits: 3 }],
    ['X16', 'closeGroup', { view: open, fence: begun, candidateBytes: 7 }],
    ['X16', 'closeGroup', { view: open, row: alive('one'), drains: false }],
    ['X16', 'closeGroup', { view: open, fence: begun, switchover: true, candidateBytes: 8, waits: 20 }],
    ['X16', 'closeGroup', { view: { groups: view('a').groups } }],
    ['X16', 'closeGroup', { view: { groups: [...closed, ...view('a').groups] } }],
    ['X17', 'closedSeen', {}],
    ['X18', 'wait', { view: { status: 'rebooting' } }],
    ['X19', 'evidence', { fence: { ...seen, reboot: 'seen' } }],
    ['X20', 'wait', { fence: { ...seen, reboot: 'seen' }, view: { status: 'rebooting' } }],
    ['X21', 'seen', { fence: seen, row: alive('two') }],
    ['X21', 'seen', { fence: seen, restart: 'event 2' }],
    ['X21', 'seen', { fence: { ...seen, reboot: 'requested' }, view: { status: 'rebooting' } }],
    ['X22', 'endSessions', { fence: seen, row: alive('one') }],
    ['X23', 'drained', { fence: { ...seen, drainToBytes: 8 }, row: alive('one'), candidateBytes: 8 }],
    // Cut off, and it has everything all the same.
    ['X23', 'drained', { fence: { ...seen, drainToBytes: 8 }, candidateBytes: 8, receives: false, waits: 9 }],
    // A position of 0 is none.
    ['X24', 'wait', { fence: { ...seen, drainToBytes: 0 }, candidateBytes: 8 }],
    ['X24', 'wait', { fence: { ...seen, drainToBytes: 8 }, row: alive('one') }],
    ['X24', 'wait', { fence: seen, switchover: true }],
    ['X25', 'backOut', { fence: seen, switchover: true, waits: 20 }],
    ['X25', 'backOut', { fence: { ...seen, drainToBytes: 8 }, switchover: true, waits: 20 }],
    ['X26', 'notDrained', { fence: { ...seen, drainToBytes: 8 }, candidateBytes: 7, waits: 3 }],
    [
      'X26',
      'notDrained',
      { fence: { ...seen, drainToBytes: 8 }, candidateBytes: 7, receives: false, waits: 1 },
    ],
    ['X29', 'reboot', { fence: { ...seen, drainToBytes: 8, missingBytes: 1 }, candidateBytes: 7, waits: 3 }],
    ['X27', 'reboot', { fence: { ...seen, reboot: 'requested' }, unseen: 8 }],
    ['X28', 'wait', { fence: { ...seen, reboot: 'requested' } }],
    // An older reboot that is still under way, without one of ours: nothing is seen yet.
    ['X30', 'wait', { fence: seen, view: { status: 'rebooting' } }],
    ['X29', 'reboot', { fence: seen }],
    ['X29', 'reboot', { fence: seen, row: alive('one'), waits: 20 }],
  ] as const)('%s: %s', (row, does, changes) => {
    const answer = ask(changes as Parameters<typeof ask>[0])
    expect([answer.row, answer.does]).toEqual([row, does])
    legible(answer.reason)
  })

  test('a restart that was not there before counts only when it was known that there was none', () => {
    const unknown = { ...seen, startedAtBefore: null, restartBefore: null }
    expect(ask({ fence: unknown, restart: 'event 2' }).does).toBe('reboot')
    expect(ask({ fence: { ...unknown, restartBefore: '' }, restart: 'event 2' }).does).toBe('seen')
    expect(ask({ fence: seen, restart: null }).does).toBe('reboot')
  })

  test('reasons name only facts that there are', () => {
    const facts = Object.keys(ask().facts)
    const names = managedFenceRows.flatMap(({ reason }) => [...reason.matchAll(/\{(\w+)\}/g)])
    expect(names.map((match) => match[1]).filter((name) => !facts.includes(name ?? ''))).toEqual([])
  })

  test('S2 a new term keeps what was begun, and nothing that was seen or measured', () => {
    const measured = { drainSince: 3, firstEndBytes: 8, drainToBytes: 9, drained: true, missingBytes: 1 }
    const { groupsBefore, groupId, resourceId, ...rest } = fenceAnew({
      ...{ ...seen, ...measured, reboot: 'seen' },
    })
    expect([groupsBefore, groupId, resourceId]).toEqual([['sg-open'], closedGroupId, 'db-a'])
    expect(Object.values(rest).filter((value) => value !== null && value !== false)).toEqual(['none'])
  })

  test('the groups that it had are kept over terms, and what was seen is not', () => {
    const again = fenceIntent(view('a', { groups: closed }), closedGroupId, fence({ closed: true }))
    expect(again).toMatchObject({ groupsBefore: ['sg-open'], closed: false })
    expect(isClosed(view('a', { groups: closed }), closedGroupId)).toBe(true)
    expect(isClosed(view('a', { groups: [{ id: closedGroupId, status: 'adding' }] }), closedGroupId)).toBe(
      false,
    )
  })
})

describe('promote: which replica', () => {
  const network = (changes: Partial<NetworkFence>) => ({
    a: { ...fenceIntent(view('a'), closedGroupId, null), ...changes },
  })
  const ask = (changes: Partial<ManagedRankInput> & { views?: readonly ProviderInstance[] } = {}) =>
    rankManaged({
      cluster: rds,
      state: state({ term: 1, nodes: identified }),
      plan: plan(),
      provider: new Map([[region, changes.views ?? [view('a'), view('b'), view('c')]]]),
      rows: { a: null, b: loneRow(base), c: loneRow(base) },
      to: null,
      approval: null,
      caughtUpAgeMs: {},
      lag: {},
      waits: 0,
      ...changes,
    })
  const bounded = { ...rds, policy: { ...rds.policy, loss: { mode: 'bounded' as const, seconds: 5 } } }
  const never = { ...rds, policy: { ...rds.policy, loss: { mode: 'never' as const } } }
  const switchover = plan({ kind: 'switchover' })

  test.each([
    ['P1', 'c', { plan: plan({ target: 'c' }) }],
    [
      'P2',
      null,
      {
        views: [view('a'), view('b', { status: 'backing-up' }), view('c')],
        rows: { b: loneRow(base + 8), c: loneRow() },
      },
    ],
    [
      'P9',
      'c',
      {
        views: [view('a'), view('b', { status: 'backing-up' }), view('c')],
        rows: { b: loneRow(base + 8), c: loneRow() },
        waits: 40,
      },
    ],
    ['P9', 'c', { views: [view('a'), view('b', { status: 'backing-up' }), view('c')] }],
    ['P3', null, { to: 'b', rows: { c: loneRow() } }],
    ['P4', null, { rows: {} }],
    ['P5', null, { to: 'b', rows: { b: loneRow(base), c: loneRow(base + 8) } }],
    ['P6', null, { plan: switchover }],
    ['P7', 'b', { plan: { ...switchover, network: network({ drainToBytes: base, drained: true }) } }],
    ['P6', null, { plan: { ...switchover, network: network({ drainToBytes: base + 8, drained: true }) } }],
    ['P8', 'b', { cluster: bounded, caughtUpAgeMs: { b: 4_000 } }],
    ['P11', null, { cluster: bounded, caughtUpAgeMs: { b: 6_000 } }],
    // A missing sample is unknown; one of CloudWatch's is for people only (S3).
    ['P11', null, { cluster: bounded, lag: { b: { lagMs: 0, ageMs: 1 } } }],
    ['P9', 'b', {}],
    ['P10', 'b', { cluster: never, approval: approval({ acceptLoss: true, target: 'b' }) }],
    ['P12', null, { cluster: never, approval: approval({ acceptLoss: true, target: 'c' }) }],
  ] as const)('%s: %s', (row, target, changes) => {
    const ranking = ask(changes as Parameters<typeof ask>[0])
    expect([ranking.row, ranking.target]).toEqual([row, target])
    legible(ranking.reason)
  })

  test('the furthest one; every other one with its reason', () => {
    const far = ask({ rows: { b: loneRow(base), c: loneRow(base + 8) } })
    expect(far).toMatchObject({ target: 'c', passedOver: { b: expect.stringMatching(/further/) } })
    const why = (id: NodeId, changes: Parameters<typeof ask>[0]) => ask(changes).passedOver[id]
    const rows = { b: loneRow(), c: loneRow() }
    expect(why('b', { rows: { ...rows, b: primaryRow() } })).toMatch(/out of recovery/)
    expect(why('b', { rows: { ...rows, b: loneRow(base, { timeline: 2 }) } })).toMatch(/timeline 2/)
    expect(why('b', { rows: { ...rows, b: loneRow(base, { replayPaused: true }) } })).toMatch(/paused/)
    expect(why('b', { rows: { ...rows, b: loneRow(base, { applyDelayMs: 60_000 }) } })).toMatch(/delay/)
    const odd = (changes: Partial<ProviderInstance>) => ({
      views: [view('a'), view('b', changes), view('c')],
    })
    expect(why('b', odd({ source: null }))).toMatch(/no.*replica/)
    expect(why('b', odd({ source: { identifier: 'orders-x', region } }))).toMatch(/from orders-x/)
    expect(why('b', odd({ resourceId: 'db-new' }))).toMatch(/db-b, recorded/)
    expect(why('b', odd({ status: 'modifying' }))).toMatch(/modifying/)
    expect(why('b', odd({ replication: { status: 'terminated', normal: false } }))).toMatch(/terminated/)
  })

  test('a replica of the old primary that has another name by now is known by its resource id', () => {
    const views = [
      view('a', { identifier: 'orders-a-old' }),
      view('b', { source: { identifier: 'orders-a-old', region } }),
      view('c'),
    ]
    expect(ask({ views })).toMatchObject({
      target: 'b',
      passedOver: { c: expect.stringMatching(/orders-a,/) },
    })
  })

  test('with the Region of the old primary away, its configured name counts', () => {
    const abroad = nodes.map((each) => (each.id === 'a' ? each : { ...each, region: 'eu-west-1' }))
    const provider = new Map([
      [region, null],
      ['eu-west-1', [view('b', { region: 'eu-west-1' }), view('c', { region: 'eu-west-1' })]],
    ])
    expect(ask({ cluster: { ...rds, nodes: abroad }, provider })).toMatchObject({ target: 'b' })
  })
})

describe('promote: done only when the status, the source and a write agree', () => {
  const ask = (changes: Partial<Parameters<typeof decidePromotion>[0]> = {}) =>
    decidePromotion({
      managed,
      target: 'b',
      resourceId: 'db-b',
      answers: true,
      view: view('b'),
      row: standbyRow(),
      fromTimeline: 1,
      accepted: false,
      unseen: 0,
      waits: 0,
      ...changes,
    })
  const out = (changes: Partial<ProbeRow> = {}) => primaryRow({ timeline: 2, ...changes })
  const alone = (changes: Partial<ProviderInstance> = {}) => view('b', { source: null, ...changes })
  const mysql = { ...managed, family: 'mysql' as const }

  test.each([
    ['M1', 'wait', { answers: false, view: null }],
    ['M2', 'lost', { view: null }],
    ['M3', 'done', { view: alone(), row: out() }],
    ['M3', 'done', { view: alone(), row: out({ timeline: 0 }), managed: mysql, fromTimeline: 0 }],
    ['M4', 'wait', { view: alone() }],
    ['M4', 'wait', { view: alone(), row: out({ writeProbe: 'blocked' }) }],
    ['M4', 'wait', { view: alone(), row: out({ timeline: 1 }) }],
    ['M5', 'wait', { view: alone({ status: 'backing-up' }), row: out() }],
    ['M6', 'wait', { row: out() }],
    ['M7', 'wait', { view: view('b', { status: 'backing-up' }) }],
    ['M8', 'wait', { view: view('b', { status: 'rebooting' }), row: null }],
    ['M9', 'wait', { accepted: true }],
    ['M10', 'promote', { accepted: true, unseen: 8, waits: 5 }],
    ['M10', 'promote', {}],
  ] as const)('%s: %s', (row, does, changes) => {
    const answer = ask(changes)
    expect([answer.row, answer.does]).toEqual([row, does])
    legible(answer.reason)
  })
})

describe('settle', () => {
  const old = { ...known('a', 'primary'), role: 'quarantined' as const, fenced: true, term: 2 }
  const lost = { ...known('c', 'standby'), role: 'diverged' as const, term: 2 }
  const now = { ...known('b', 'primary'), term: 2 }
  const settled = (changes: Partial<Parameters<typeof state>[0]> = {}) =>
    state({
      term: 2,
      phase: 'settling',
      primary: 'b',
      timeline: 2,
      nodes: { a: old, b: now, c: lost },
      replaced: [{ node: 'a', resourceId: 'db-a', region, term: 2, was: 'primary' }],
      ...changes,
    })
  const shut = { groups: [{ id: closedGroupId, status: 'active' }] }
  const primary = view('b', { source: null, replication: null })
  const ofB = { source: { identifier: 'orders-b', region } }
  const seenAs = (id: NodeId, row: ProbeRow | null) => ({
    [id]: {
      class:
        row === null
          ? ('unreachable' as const)
          : row.inRecovery
            ? ('recovery' as const)
            : ('writable' as const),
      row,
    },
  })
  const following = (changes: Partial<ProbeRow> = {}) => {
    const row = standbyRow(base, { timeline: 2, ...changes }, 'b')
    return row
  }
  const ask = (
    views: readonly ProviderInstance[],
    changes: Partial<Parameters<typeof managedSettleWork>[0]> = {},
  ) =>
    managedSettleWork({
      cluster: rds,
      state: settled(),
      seen: {
        ...seenAs('a', primaryRow()),
        ...seenAs('b', primaryRow({ timeline: 2 })),
        ...seenAs('c', loneRow()),
      },
      provider: new Map([[region, views]]),
      approved: false,
      alarms: null,
      ...changes,
    })
  const tasks = (work: ReturnType<typeof ask>) =>
    work.tasks.map((task) => `${task.row} ${task.do} ${task.node}`)

  test('both names are freed first', () => {
    const work = ask([view('a', shut), primary, view('c')])
    expect(tasks(work)).toEqual(['B16 rename a', 'B16 rename c'])
    expect(work.tasks[0]).toMatchObject({ to: 'orders-a-t2', was: 'primary', resourceId: 'db-a' })
    for (const task of work.tasks) legible(task.reason)
  })

  test('a fence that does not hold comes first; renamed or not', () => {
    expect(tasks(ask([view('a'), primary, view('c')]))).toContain('B4 fence a')
    const open = settled({ nodes: { a: { ...old, fenced: false }, b: now, c: lost } })
    expect(tasks(ask([view('a', shut), primary, view('c')], { state: open }))).toContain('B4 fence a')
    const renamedAway = view('a', { ...shut, identifier: 'orders-a-t2' })
    expect(tasks(ask([renamedAway, primary, view('c')]))).toEqual(['B20 create a', 'B16 rename c'])
  })

  test('the policy, and an approval of the term', () => {
    const views = [view('a', shut), primary, view('c')]
    const approve = { ...rds, policy: { ...rds.policy, rebuild: 'approve' as const } }
    const never = { ...rds, policy: { ...rds.policy, rebuild: 'never' as const } }
    expect(tasks(ask(views, { cluster: approve }))).toEqual([])
    expect(ask(views, { cluster: approve }).findings.map((each) => each.key)).toEqual([
      'replica-unapproved:a',
      'replica-unapproved:c',
    ])
    expect(tasks(ask(views, { cluster: approve, approved: true }))).toEqual(['B16 rename a', 'B16 rename c'])
    expect(ask(views, { cluster: never, approved: true }).findings).toHaveLength(2)
    // Without replicas it could be stopped; but a stopped instance can not be renamed any more.
    const alone = [view('a', { ...shut, replicas: [] }), primary]
    expect(tasks(ask(alone, { cluster: approve }))).toEqual([])
    expect(tasks(ask(alone, { cluster: never }))).toEqual(['B34 stop a'])
    // What was begun is finished, whether or not its approval has run out.
    const begun = settled({ nodes: { a: old, b: now, c: { ...lost, role: 'rebuilding' } } })
    const gone = [view('a', shut), primary, view('c', { identifier: 'orders-c-t2' })]
    expect(tasks(ask(gone, { cluster: approve, state: begun }))).toContain('B20 create c')
  })

  test('a successor joins when RDS and its own word agree; a stranger never does', () => {
    const gone = view('c', { identifier: 'orders-c-t2' })
    const next = (changes: Partial<ProviderInstance> = {}) =>
      view('c', { resourceId: 'db-c2', ...ofB, ...changes })
    const seen = {
      ...seenAs('a', primaryRow()),
      ...seenAs('b', primaryRow({ timeline: 2 })),
      ...seenAs('c', following()),
    }
    const views = (c: ProviderInstance) => [view('a', shut), primary, gone, c]
    expect(tasks(ask(views(next()), { seen }))).toContain('B10 joined c')
    expect(tasks(ask(views(next({ status: 'backing-up' })), { seen }))).not.toContain('B10 joined c')
    const older = { ...seen, ...seenAs('c', following({ timeline: 1 })) }
    expect(tasks(ask(views(next()), { seen: older }))).not.toContain('B10 joined c')
    const broken = next({ replication: { status: 'error', normal: false } })
    expect(tasks(ask(views(broken), { seen }))).not.toContain('B10 joined c')
    const stranger = ask(views(next({ source: null })), { seen })
    expect(tasks(stranger)).toEqual(['B16 rename a'])
    expect(stranger.left.join()).toMatch(/db-c2.*neither ours nor a replica/)
    expect(ask(views(next({ status: 'failed' })), { seen }).findings.map((each) => each.key)).toContain(
      'replica-missing:c',
    )
  })

  test('a replaced replica goes once its successor is in place; a former primary is stopped, never deleted', () => {
    const nodesNow = {
      a: { ...known('a', 'standby'), instanceId: 'db-a2' },
      b: now,
      c: { ...known('c', 'standby'), instanceId: 'db-c2' },
    }
    const replaced = [
      { node: 'a', resourceId: 'db-a', region, term: 2, was: 'primary' as const },
      { node: 'c', resourceId: 'db-c', region, term: 2, was: 'replica' as const },
    ]
    const seen = {
      ...seenAs('a', following()),
      ...seenAs('b', primaryRow({ timeline: 2 })),
      ...seenAs('c', following()),
    }
    const fresh = [
      view('a', { resourceId: 'db-a2', ...ofB }),
      primary,
      view('c', { resourceId: 'db-c2', ...ofB }),
    ]
    const former = (changes: Partial<ProviderInstance>) =>
      view('a', { ...shut, identifier: 'orders-a-t2', replicas: [], ...changes })
    const former2 = view('c', { identifier: 'orders-c-t2' })
    const given = { state: settled({ nodes: nodesNow, replaced }), seen }
    const work = (...views: ProviderInstance[]) => tasks(ask([...fresh, ...views], given))
    expect(work(former({ replicas: ['orders-c-t2'] }), former2)).toEqual(['B26 delete c'])
    expect(work(former({}), { ...former2, status: 'deleting' })).toEqual(['B34 stop a'])
    expect(work(former({}))).toEqual(['B34 stop a', 'B23 forget c'])
    expect(work(former({ status: 'stopped' }))).toEqual(['B23 forget c'])
    // RDS starts it after seven days: it is stopped again, behind its closed group.
    expect(work(former({ status: 'starting' }))).toEqual(['B23 forget c'])
    expect(work(former({ groups: view('a').groups }))).toEqual(['B31 close a', 'B23 forget c'])
    const closing = { ...former2, status: 'stopped' }
    expect(tasks(ask([...fresh, former({ status: 'stopped' }), closing], given))).toEqual(['B26 delete c'])
  })

  test('an instance that is in service again is not kept in mind as replaced', () => {
    const back = settled({ primary: 'a', nodes: { ...identified, a: now } })
    const again = { ...back, nodes: { ...identified } }
    const views = [view('a'), view('b'), view('c')]
    const seen = {
      ...seenAs('a', primaryRow({ timeline: 2 })),
      ...seenAs('b', following()),
      ...seenAs('c', following()),
    }
    expect(tasks(ask(views, { state: again, seen }))).toEqual(['B21 forget a'])
  })

  test('while the new primary is not writable, nothing is taken apart', () => {
    const seen = { ...seenAs('a', null), ...seenAs('b', null), ...seenAs('c', loneRow()) }
    const work = ask([view('a', shut), primary, view('c')], { seen })
    expect(tasks(work)).toEqual([])
    expect(work.left.join()).toMatch(/the primary is unreachable/)
  })

  test('what the new primary lacks of the old one is a finding', () => {
    const less = { ...primary, backupRetentionDays: 1, multiAz: false, instanceClass: 'db.r8g.medium' }
    const before = view('a', { multiAz: true, parameterGroups: ['tuned'] })
    expect(settingsDiffer(before, less)).toEqual([
      'backup retention is 1 days, was 7 days',
      'Multi-AZ is off, was on',
      'parameter group is default, was tuned',
      'instance class is db.r8g.medium, was db.r8g.large',
    ])
    const work = ask([{ ...before, ...shut }, less, view('c')])
    expect(work.findings.map((each) => each.key)).toContain('settings-differ:b')
    // The Region is away: what was found before stands.
    const found = work.findings.filter((each) => each.key === 'settings-differ:b')
    const silent = new Map([[region, null]])
    expect(ask([], { provider: silent, state: settled({ findings: found }) }).findings).toEqual(found)
  })

  test('alarms that watched the old primary and nothing watches now are a finding', () => {
    const replaced = [view('a', shut), primary, view('c')]
    const found = (alarms: ReadonlyMap<string, readonly string[]> | null) =>
      ask(replaced, { alarms }).findings.filter((each) => each.key === 'settings-differ:b')
    const [a, b] = rds.nodes.map((node) => node.instanceId)
    const watched = ['CPUUtilization', 'FreeStorageSpace']
    expect(found(new Map([[a ?? '', watched]]))).toMatchObject([
      { message: expect.stringContaining('no alarm watches its CPUUtilization, FreeStorageSpace') },
    ])
    expect(
      found(
        new Map([
          [a ?? '', watched],
          [b ?? '', ['FreeStorageSpace', 'CPUUtilization']],
        ]),
      ),
    ).toEqual([])
    expect(
      found(
        new Map([
          [a ?? '', watched],
          [b ?? '', ['CPUUtilization']],
        ]),
      ),
    ).toMatchObject([{ message: expect.stringContaining('no alarm watches its FreeStorageSpace') }])
    expect(found(null)).toEqual([])
  })

  test('the primary alone in its closed group is the loudest finding', () => {
    expect(ask([view('a', shut), { ...primary, ...shut }, view('c')]).findings).toContainEqual(
      expect.objectContaining({ key: 'primary-closed:b', severity: 'critical' }),
    )
  })

  test('names stay names of RDS', () => {
    expect(renamed('orders', 12)).toBe('orders-t12')
    expect(renamed(`${'x'.repeat(58)}-y`, 4)).toHaveLength(63)
    expect(renamed(`${'x'.repeat(59)}-y`, 4)).toBe(`${'x'.repeat(59)}-t4`)
  })
})
