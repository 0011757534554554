/** Small builders: a healthy cluster a (primary), b, c in three zones, seen by three observers; tests change one thing. */
import { observation } from '../../functions/core/classify.ts'
import type { JudgeInput } from '../../functions/core/confirm.ts'
import { parseLsn } from '../../functions/core/positions.ts'
import type { RankInput } from '../../functions/core/rank.ts'
import type { AssessInput } from '../../functions/core/sight.ts'
import type {
  Approval,
  ClusterConfig,
  ClusterState,
  Downstream,
  Look,
  NodeConfig,
  NodeId,
  Observation,
  Plan,
  Policy,
  ProbeOutcome,
  ProbeRow,
  Report,
  ReportedNode,
  SessionEnd,
  SynchronousSet,
} from '../../functions/core/types.ts'

export const observers = ['az1', 'az2', 'az3']
export const base = parseLsn('0/3000000')

export function node(id: NodeId, zone: string, changes: Partial<NodeConfig> = {}): NodeConfig {
  const address = `10.0.${zone}.${id.charCodeAt(0)}`
  return {
    id,
    address,
    port: 5432,
    dnsName: `${id}.db.internal`,
    instanceId: `i-${id}`,
    region: 'eu-central-1',
    availabilityZone: `eu-central-1${zone}`,
    promotable: true,
    preference: 0,
    readerAddress: null,
    closedGroupId: null,
    groupIds: null,
    sourceAddresses: [address],
    ...changes,
  }
}

export const policy: Policy = {
  fence: 'power',
  cancelledWaits: 'refused',
  loss: { mode: 'never' },
  synchronous: 'managed',
  synchronousCount: 1,
  isolated: 'page',
  crossRegion: 'allowed',
  rejoin: 'automatic',
  rebuild: 'approve',
  holdMs: 250,
  restartGraceMs: 20_000,
  silentLooks: 3,
  cooldownMs: 3_600_000,
}

export function cluster(
  changes: { policy?: Partial<Policy>; nodes?: readonly NodeConfig[] } = {},
): ClusterConfig {
  return {
    id: 'orders',
    engine: 'postgres',
    nodes: changes.nodes ?? [node('a', '1'), node('b', '2'), node('c', '3')],
    endpoint: { name: 'orders.example.org', zoneId: 'Z1', ttlSeconds: 5, resolver: null },
    policy: { ...policy, ...changes.policy },
    observe: { intervalMs: 2000, urgentIntervalMs: 500, probeTimeoutMs: 1000, heartbeatMs: 27_000 },
    connection: {
      database: 'postgres',
      observerUser: 'observer',
      operatorUser: 'operator',
      replicationUser: 'replicator',
      password: { from: 'none' },
      tls: 'require',
    },
    host: null,
    managed: null,
  }
}

export function sender(name: string, changes: Partial<Downstream> = {}): Downstream {
  const known = cluster().nodes.find((each) => each.id === name)
  return {
    applicationName: name,
    clientAddress: known?.address ?? '10.9.9.9',
    state: 'streaming',
    syncState: 'quorum',
    flushedBytes: base,
    ...changes,
  }
}

export function primaryRow(changes: Partial<ProbeRow> = {}): ProbeRow {
  return {
    inRecovery: false,
    timeline: 1,
    systemIdentifier: '7',
    positionBytes: base,
    receivedBytes: null,
    replayedBytes: null,
    replayPaused: false,
    applyDelayMs: 0,
    upstream: null,
    primaryConninfo: '',
    restoreCommand: '',
    frozenBy: null,
    downstream: [sender('b'), sender('c')],
    synchronous: { names: 'ANY 1 (b,c)', commit: 'on', filesAgree: true, overrides: [] },
    readOnlyDefault: false,
    writeProbe: 'ok',
    startedAt: '2026-01-01 00:00:00+00',
    settings: {},
    ...changes,
  }
}

/** A standby that streams from `from`, as far as `bytes`. */
export function standbyRow(bytes: number = base, changes: Partial<ProbeRow> = {}, from = 'a'): ProbeRow {
  const upstream = cluster().nodes.find((each) => each.id === from)
  return primaryRow({
    inRecovery: true,
    positionBytes: bytes,
    receivedBytes: bytes,
    replayedBytes: bytes,
    downstream: [],
    writeProbe: 'skipped',
    upstream: {
      pid: 100,
      status: 'streaming',
      timeline: 1,
      host: upstream?.address ?? '',
      port: 5432,
      latestEndBytes: bytes,
      lastMessageAgeMs: 10,
    },
    ...changes,
  })
}

/** A standby whose receiver is gone. */
export function loneRow(bytes: number = base, changes: Partial<ProbeRow> = {}): ProbeRow {
  return standbyRow(bytes, { upstream: null, ...changes })
}

const outcomes = {
  refused: { kind: 'refused', message: 'ECONNREFUSED' },
  silent: { kind: 'timeout', stage: 'connect', afterMs: 1000 },
  unreachable: { kind: 'unreachable', message: 'EHOSTUNREACH' },
  broken: { kind: 'protocol', message: 'HTTP/1.1 400' },
  starting: { kind: 'sqlError', sqlState: '57P03', message: 'the database system is starting up' },
  busy: { kind: 'sqlError', sqlState: '53300', message: 'too many connections' },
  denied: { kind: 'sqlError', sqlState: '28P01', message: 'password authentication failed' },
  unknown: { kind: 'notProbed', message: 'not looked at' },
  primary: { kind: 'answered', row: primaryRow() },
  blocked: { kind: 'answered', row: primaryRow({ writeProbe: 'blocked' }) },
  standby: { kind: 'answered', row: standbyRow() },
  lone: { kind: 'answered', row: loneRow() },
} as const satisfies Record<string, ProbeOutcome>
export type Word = keyof typeof outcomes
export const words = Object.keys(outcomes) as Word[]

/** What a node shows: a word, or a whole row. */
export type Shown = Word | ProbeRow

export function shown(what: Shown): Observation {
  return observation(typeof what === 'string' ? outcomes[what] : { kind: 'answered', row: what }, 1)
}

export type Nodes = Readonly<Record<NodeId, Shown>>
export const healthy: Nodes = { a: 'primary', b: 'standby', c: 'standby' }
/** The primary is gone and so are its streams. */
export const dead: Nodes = { a: 'refused', b: 'lone', c: 'lone' }

export function look(observer: string, nodes: Nodes, canary: boolean | null = null): Look {
  const entries = Object.entries(nodes).map(([id, what]) => [id, shown(what)] as const)
  return { lookId: 'l', cluster: 'orders', observer, nodes: Object.fromEntries(entries), canary }
}

/** One round in which every observer sees the same. */
export function round(nodes: Nodes, canary: boolean | null = null): Look[] {
  return observers.map((observer) => look(observer, nodes, canary))
}

export const untold: SessionEnd = { how: 'untold', code: null, ticks: 1, ageMs: 300 }
export const told: SessionEnd = { how: 'told', code: '57P01', ticks: 1, ageMs: 300 }

export function reportedNode(what: Shown, changes: Partial<ReportedNode> = {}): ReportedNode {
  const seen = shown(what)
  const row = seen.outcome.kind === 'answered' ? seen.outcome.row : null
  return {
    class: seen.class,
    ticks: 1,
    observation: seen,
    sessionEnd: null,
    caughtUpAgeMs: null,
    lastGood: row && { row, ageMs: 0 },
    ...changes,
  }
}

export function report(
  observer: string,
  nodes: Nodes,
  changes: { a?: Partial<ReportedNode>; canary?: boolean | null; sequence?: number; ticks?: number } = {},
): Report {
  const ticks = changes.ticks === undefined ? {} : { ticks: changes.ticks }
  const entries = Object.entries(nodes).map(
    ([id, what]) => [id, reportedNode(what, { ...ticks, ...(id === 'a' ? changes.a : {}) })] as const,
  )
  return {
    cluster: 'orders',
    observer,
    token: 1,
    holder: 'h',
    sequence: changes.sequence ?? 1,
    changed: true,
    canary: changes.canary ?? null,
    nodes: Object.fromEntries(entries),
  }
}

export const provable: SynchronousSet = {
  status: 'provable',
  names: 'ANY 1 (b,c)',
  method: 'ANY',
  k: 1,
  listed: ['b', 'c'],
  primary: 'a',
  reasons: [],
}

export function plan(changes: Partial<Plan> = {}): Plan {
  return {
    kind: 'failover',
    reason: 'test',
    by: 'assess',
    automatic: true,
    to: null,
    returnTo: 'steady',
    facts: {},
    from: 'a',
    fromTimeline: 1,
    looks: { asked: 0, dead: 0, silent: 0, restart: 0 },
    frozen: {},
    network: {},
    writeStop: null,
    evidence: [],
    fenceRequested: [],
    target: null,
    targetPositionBytes: null,
    loss: null,
    promotedTimeline: null,
    ...changes,
  }
}

const status = (role: 'primary' | 'standby') => ({
  role,
  term: 1,
  possibleWriter: role === 'primary' ? { term: 1, timeline: 1, synchronous: provable } : null,
  instanceId: null,
  fenced: false,
  rejoin: 'none' as const,
})

export function state(changes: Partial<ClusterState> = {}): ClusterState {
  return {
    cluster: 'orders',
    deployment: 'understudy',
    version: 5,
    term: 1,
    phase: 'steady',
    claim: null,
    beat: 1,
    plan: null,
    primary: 'a',
    timeline: 1,
    systemIdentifier: '7',
    nodes: { a: status('primary'), b: status('standby'), c: status('standby') },
    synchronous: provable,
    lastFailover: null,
    pause: null,
    halted: null,
    endpointTerm: 1,
    lastEvent: {
      term: 1,
      version: 5,
      kind: 'adopted',
      row: null,
      message: '',
      by: 'test',
      facts: {},
      atMs: 0,
    },
    wake: 0,
    replaced: [],
    findings: [],
    ...changes,
  }
}

export function judgeInput(changes: Partial<JudgeInput> = {}): JudgeInput {
  return {
    cluster: cluster(),
    observers,
    state: state({ phase: 'confirming', plan: plan() }),
    rounds: [round(healthy)],
    reports: new Map(),
    counts: { asked: 0, dead: 0, silent: 0, restart: 0 },
    manual: false,
    heldMs: 0,
    streamsAsked: false,
    lookIntervalMs: 500,
    ...changes,
  }
}

/** Reports of all observers in which the primary's session ended so. */
export function ended(end: SessionEnd, of: readonly string[] = observers): Map<string, Report> {
  const good = { row: primaryRow(), ageMs: 300 }
  return new Map(of.map((id) => [id, report(id, dead, { a: { sessionEnd: end, lastGood: good } })]))
}

export const clockMs = 10_000_000_000

export function assessInput(
  reports: readonly Report[] = observers.map((id) => report(id, healthy)),
  changes: Partial<Omit<AssessInput, 'state' | 'reports'>> & { state?: Partial<ClusterState> } = {},
): AssessInput {
  const { state: stateChanges, ...rest } = changes
  return {
    deployment: 'understudy',
    cluster: cluster(),
    observers,
    state: { kind: 'found', value: state(stateChanges) },
    reports: new Map(reports.map((each) => [each.observer, { kind: 'found', value: each }])),
    issues: [],
    approval: null,
    tick: null,
    fleet: { clockMs, breakerOpen: false, failoversUnderWay: 0, dyingDomains: [] },
    ...rest,
  }
}

/** Reports of a sudden death by all observers. */
export function deathReports(nodes: Nodes = dead): Report[] {
  const good = { row: primaryRow(), ageMs: 300 }
  return observers.map((id) => report(id, nodes, { a: { sessionEnd: untold, lastGood: good } }))
}

export function approval(changes: Partial<Approval> = {}): Approval {
  return {
    cluster: 'orders',
    term: 2,
    target: 'b',
    acceptLoss: true,
    unfenced: [],
    by: 'kim',
    reason: 'seen the risk',
    untilMs: clockMs + 1,
    ...changes,
  }
}

/** Ranking in term 2 with nodes frozen and measured at `base` + the given bytes; `null`: not measured. */
export function rankInput(
  offsets: Readonly<Record<NodeId, number | null>>,
  changes: Partial<RankInput> = {},
): RankInput {
  const measured = Object.entries(offsets).filter((entry): entry is [string, number] => entry[1] !== null)
  const frozen = (offset: number) => ({
    primaryConninfo: '',
    restoreCommand: '',
    timeline: 1,
    positionBytes: base + offset,
    replayable: true,
  })
  return {
    cluster: cluster(),
    state: state({ phase: 'promoting', term: 2 }),
    plan: plan({ frozen: Object.fromEntries(measured.map(([id, offset]) => [id, frozen(offset)])) }),
    measurements: Object.fromEntries(
      measured.map(([id, offset]) => [id, { timeline: 1, positionBytes: base + offset, replayable: true }]),
    ),
    unmeasured: {},
    to: null,
    approval: null,
    caughtUpAgeMs: {},
    mustReachBytes: null,
    ...changes,
  }
}
