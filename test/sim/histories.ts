/** A failover as it should be, made by hand, and the means to change one thing of it. */
import { assess } from '../../functions/core/assess.ts'
import { mayClaim } from '../../functions/core/claim.ts'
import { judge } from '../../functions/core/confirm.ts'
import { decideEndpoint, endpointFacts } from '../../functions/core/endpoint.ts'
import { rank } from '../../functions/core/rank.ts'
import type { SettleNodeFacts } from '../../functions/core/settle.ts'
import type { ClusterState, NodeId, NodeStatus } from '../../functions/core/types.ts'
import {
  assessInput,
  base,
  clockMs,
  cluster,
  dead,
  deathReports,
  ended,
  judgeInput,
  observers,
  plan,
  provable,
  rankInput,
  round,
  state,
  untold,
} from '../core/build.ts'
import type { ActEntry, Entry, EntryOf, History } from './history.ts'

const deployment = 'understudy'
export const config: History['config'] = {
  ...cluster({ policy: { fence: 'quorum', cancelledWaits: 'accepted' } }),
  host: {
    dataDirectory: '/data',
    binDirectory: '/bin',
    osUser: null,
    startCommand: 'up',
    stopCommand: 'down',
  },
}
const configured = endpointFacts(
  config,
  { deployment, cluster: 'orders', term: 2, endpointTerm: 1 },
  {
    token: { deployment, cluster: 'orders', term: 1 },
    foreignToken: null,
    cname: { target: 'a.db.internal', ttlSeconds: 5 },
    foreignRecord: null,
  },
  'b',
)

/** What settle sees of the stopped old primary. */
export const stoppedOld: SettleNodeFacts = {
  ...{ node: 'a', primary: 'b', term: 2, role: 'quarantined', writer: true, fenced: false, rejoin: 'none' },
  ...{ followed: false, sees: 'refused', answers: false, out: false, timeline: null, ownTimeline: 2 },
  ...{
    streaming: false,
    frozen: false,
    frozenForTerm: false,
    errant: false,
    connects: false,
    feeds: [],
    recorded: true,
  },
  ...{
    instance: 'stopped',
    rejoins: true,
    policy: 'automatic',
    named: false,
    unlisted: false,
    errant: false,
  },
}

interface Told {
  readonly kind: string
  readonly row?: string | null
  readonly facts?: Readonly<Record<string, unknown>>
}

/** States of one deployment, each with its version and its event. */
class Writer {
  private now: ClusterState
  readonly entries: Entry[] = []

  constructor(first: ClusterState) {
    this.now = first
    this.entries.push({ kind: 'state', atMs: 0, deployment, state: first, by: 'command adopt 1' })
  }

  get state(): ClusterState {
    return this.now
  }

  write(atMs: number, change: Partial<ClusterState>, { kind, row = null, facts = {} }: Told): void {
    const version = this.now.version + 1
    const term = change.term ?? this.now.term
    const lastEvent = { term, version, kind, row, message: '', by: 'step', facts, atMs }
    this.now = { ...this.now, ...change, version, beat: this.now.beat + 1, lastEvent }
    this.entries.push({ kind: 'state', atMs, deployment, state: this.now, by: 'step' })
  }

  patch(node: NodeId, change: Partial<NodeStatus>): ClusterState['nodes'] {
    const status = this.now.nodes[node] as NodeStatus
    return { ...this.now.nodes, [node]: { ...status, ...change } }
  }
}

type Did<W extends ActEntry['what']> = Extract<ActEntry, { what: W }>

export function act<W extends ActEntry['what']>(
  atMs: number,
  stored: ClusterState,
  what: Omit<Did<W>, 'kind' | 'deployment' | 'by' | 'seen' | 'mine' | 'stalled' | 'stored'> & { what: W },
): Entry {
  const seen = { id: stored.claim?.id ?? null, term: stored.term }
  const doing = { kind: 'act', atMs, deployment, by: 'step', seen, mine: true, stalled: false, stored }
  return { ...doing, ...what } as unknown as Entry
}

/** a dies at 1 s, b is promoted behind a quorum, a is fenced by power, comes back as a standby. */
export function failover(): History {
  const claim = { term: 2, step: 'confirm', attempt: 1, id: 'c1', open: false, holder: 'orders-2' } as const
  const w = new Writer(
    state({
      version: 1,
      lastEvent: { ...state().lastEvent, version: 1 },
      nodes: {
        ...state().nodes,
        a: { ...(state().nodes.a as NodeStatus), instanceId: 'i-a' },
      },
    }),
  )
  const { decision, facts } = assess(assessInput(deathReports()))
  const automatic = { version: 1, beat: 1, row: decision.row, facts: facts as Record<string, unknown> }
  const allowed = mayClaim({
    cluster: config,
    state: w.state,
    input: { cluster: 'orders', kind: 'failover', reason: 'dead', automatic },
    execution: 'orders-2',
    clockMs,
    approved: false,
  })
  w.write(
    1_500,
    { term: 2, phase: 'confirming', claim, plan: plan({ facts: automatic.facts }) },
    {
      kind: 'claimed',
      row: decision.row,
      facts: { ...automatic.facts, claim: { row: allowed.row, facts: allowed.facts } },
    },
  )
  const verdict = judge(
    judgeInput({ rounds: [round(dead), round(dead)], heldMs: 300, reports: ended(untold) }),
  )
  const intent = {
    primaryConninfo: '',
    restoreCommand: '',
    timeline: null,
    positionBytes: null,
    replayable: null,
  }
  const fencing = plan({ facts: automatic.facts, frozen: { b: intent, c: intent } })
  w.write(
    2_000,
    { phase: 'fencing', plan: fencing },
    { kind: 'confirmed', row: verdict.row, facts: verdict.facts },
  )
  const freezes = ['b', 'c'].map((node) =>
    act(2_010, w.state, { what: 'sql', node, action: { do: 'freeze' }, term: 2 }),
  )
  const ranked = rankInput({ b: 8, c: 0 }, { cluster: config })
  const measured = {
    ...fencing,
    frozen: ranked.plan.frozen,
    evidence: [
      { kind: 'quorum', node: 'a', term: 2, listed: ['b', 'c'], k: 1, counted: ['b', 'c'] },
    ] as const,
  }
  w.write(2_100, { phase: 'promoting', plan: measured }, { kind: 'fenced' })
  const chosen = rank(ranked)
  const possibleWriter = { term: 2, timeline: 1, synchronous: provable }
  const targeted = {
    ...measured,
    target: 'b',
    targetPositionBytes: chosen.positionBytes,
    loss: chosen.loss,
    fenceRequested: ['a'],
  }
  w.write(
    2_150,
    { plan: targeted, nodes: w.patch('b', { role: 'target', term: 2, possibleWriter }) },
    { kind: 'target', row: chosen.row, facts: { decided: chosen.facts } },
  )
  const promoting = [
    act(2_160, w.state, {
      what: 'sql',
      node: 'b',
      action: { do: 'promote', expectedTimeline: 1, synchronousStandbyNames: '' },
      term: 2,
    }),
    act(2_160, w.state, { what: 'power', node: 'a', act: 'stop', instanceId: 'i-a' }),
  ]
  const upstream = { address: config.nodes[1]?.address ?? '', port: 5432 }
  const follow = act(2_180, w.state, {
    what: 'sql',
    node: 'c',
    action: { do: 'follow', upstream, applicationName: 'c', restoreCommand: '' },
    term: 2,
  })
  const nodes = {
    ...w.patch('a', { role: 'quarantined', term: 2 }),
    b: { ...(w.state.nodes.b as NodeStatus), role: 'primary' as const },
  }
  w.write(
    2_200,
    { phase: 'repointing', primary: 'b', timeline: 2, nodes, plan: { ...targeted, promotedTimeline: 2 } },
    { kind: 'promoted' },
  )
  const named = decideEndpoint(configured)
  w.write(
    2_400,
    { phase: 'settling', endpointTerm: 2, lastFailover: { term: 2, atMs: clockMs } },
    { kind: 'repointed', row: named.row, facts: { decided: configured } },
  )
  w.write(
    30_000,
    { nodes: w.patch('a', { fenced: true }) },
    { kind: 'fenced', row: 'T3', facts: { decided: stoppedOld } },
  )
  w.write(
    30_100,
    { nodes: w.patch('a', { role: 'rebuilding', rejoin: 'starting' }) },
    { kind: 'starting', row: 'T5', facts: { decided: { ...stoppedOld, fenced: true } } },
  )
  const start = act(30_110, w.state, { what: 'power', node: 'a', act: 'start', instanceId: 'i-a' })
  w.write(
    60_000,
    {
      phase: 'steady',
      plan: null,
      claim: null,
      nodes: w.patch('a', { role: 'standby', possibleWriter: null }),
    },
    { kind: 'steady' },
  )
  const told = (atMs: number, commit: number, node: NodeId, reign: number): Entry => ({
    ...{ kind: 'acknowledged', atMs, client: 'c1', commit, node, reign },
  })
  const sights = (atMs: number, node: NodeId, answer: EntryOf<'sight'>['answer']): Entry[] =>
    observers.map((from) => ({ kind: 'sight', atMs, from, node, answer }))
  const stream = (atMs: number, from: NodeId, node: NodeId, progresses: boolean): Entry => ({
    ...{ kind: 'stream', atMs, from, node, progresses },
  })
  const writer = (atMs: number, node: NodeId, accepts: boolean, reign: number): Entry => ({
    ...{ kind: 'writer', atMs, node, accepts, reign, timeline: reign },
  })
  const name = (atMs: number, by: string, term: number, target: NodeId): Entry => ({
    ...{ kind: 'name', atMs, deployment, by, owner: deployment, term, target },
  })
  const happened: Entry[] = [
    ...['a', 'b', 'c'].flatMap((node) => sights(0, node, 'answers')),
    ...[writer(0, 'a', true, 1), stream(0, 'b', 'a', true), stream(0, 'c', 'a', true)],
    { kind: 'clock', atMs: 0, deployment, clockMs },
    ...[told(100, 1, 'a', 1), told(900, 2, 'a', 1), name(50, 'command adopt 1', 1, 'a')],
    { kind: 'server', atMs: 1_000, node: 'a', change: 'untold' },
    ...[writer(1_000, 'a', false, 1), ...sights(1_000, 'a', 'refused')],
    ...[stream(1_000, 'b', 'a', false), stream(1_000, 'c', 'a', false)],
    { kind: 'looks', atMs: 1_990, deployment, by: 'confirm', arrived: observers },
    ...[...freezes, ...promoting],
    { kind: 'promoted', atMs: 2_170, deployment, node: 'b', term: 2, reign: 2, timeline: 2, missing: [] },
    ...[writer(2_170, 'b', true, 2), follow, stream(2_190, 'c', 'b', true)],
    ...[name(2_300, 'repoint', 2, 'b'), told(2_350, 3, 'b', 2), start],
    ...[...sights(50_000, 'a', 'answers'), stream(50_000, 'a', 'b', true)],
  ]
  const entries = [...w.entries, ...happened].toSorted((x, y) => x.atMs - y.atMs)
  const server = (id: NodeId) => ({
    id,
    running: true,
    inRecovery: id !== 'b',
    writable: id === 'b',
    timeline: 2,
    streamsFrom: id === 'b' ? null : 'b',
  })
  return {
    seed: 1,
    story: 'by hand',
    config,
    observers,
    deployments: [deployment],
    entries,
    endedAtMs: 70_000,
    healedAtMs: 40_000,
    ended: {
      states: { [deployment]: w.state },
      name: { owner: deployment, term: 2, target: 'b' },
      servers: [server('a'), server('b'), server('c')],
      missing: [],
      events: { [deployment]: w.entries.map((each) => eventKey(each)) },
    },
  }
}

const eventKey = (entry: Entry) =>
  entry.kind === 'state' ? `${entry.state.lastEvent.term}.${entry.state.lastEvent.version}` : ''

/** The history with these entries beside its own, at their times. */
export function plus(history: History, ...more: Entry[]): History {
  return { ...history, entries: [...history.entries, ...more].toSorted((x, y) => x.atMs - y.atMs) }
}

/** The history with every entry changed; null: left out. */
export function changed(history: History, change: (entry: Entry) => Entry | null): History {
  return { ...history, entries: history.entries.flatMap((entry) => change(entry) ?? []) }
}

/** Of every state of these kinds of events. */
export function states(
  history: History,
  kinds: readonly string[],
  change: (state: ClusterState) => ClusterState,
): History {
  return changed(history, (entry) =>
    entry.kind === 'state' && kinds.includes(entry.state.lastEvent.kind)
      ? { ...entry, state: change(entry.state) }
      : entry,
  )
}

/** Of every act that is one of these, with the state that it is said to have met. */
export function acts(
  history: History,
  which: (act: ActEntry) => boolean,
  change: (act: ActEntry) => Partial<ActEntry>,
): History {
  return changed(history, (entry) =>
    entry.kind === 'act' && which(entry) ? ({ ...entry, ...change(entry) } as Entry) : entry,
  )
}

export const withPolicy = (history: History, policy: Partial<History['config']['policy']>): History => ({
  ...history,
  config: { ...history.config, policy: { ...history.config.policy, ...policy } },
})

export { base, clockMs, observers }
