/** Small valid records, to be changed where a test needs it. */
import type {
  ClusterState,
  Event,
  Look,
  Observation,
  ProbeRow,
  Report,
  SynchronousSet,
} from '../../functions/core/types.ts'

export const row: ProbeRow = {
  inRecovery: true,
  timeline: 1,
  systemIdentifier: '7400000000000000001',
  positionBytes: 50_331_648,
  receivedBytes: 50_331_648,
  replayedBytes: 50_331_648,
  replayPaused: false,
  applyDelayMs: 0,
  upstream: {
    pid: 77,
    status: 'streaming',
    timeline: 1,
    host: '10.0.0.1',
    port: 5432,
    latestEndBytes: 50_331_648,
    lastMessageAgeMs: 12,
  },
  primaryConninfo: 'host=10.0.0.1',
  restoreCommand: '',
  frozenBy: null,
  downstream: [],
  synchronous: { names: '', commit: 'on', filesAgree: true, overrides: [] },
  readOnlyDefault: false,
  writeProbe: 'skipped',
  startedAt: '2026-01-01 00:00:00+00',
  settings: {},
}

export const observation: Observation = { class: 'recovery', outcome: { kind: 'answered', row }, tookMs: 1.5 }

export function report(change: Partial<Report> = {}): Report {
  return {
    cluster: 'orders',
    observer: 'a',
    token: 100,
    holder: 'invocation-1',
    sequence: 1,
    changed: false,
    canary: null,
    nodes: {
      b: {
        class: 'recovery',
        ticks: 3,
        observation,
        sessionEnd: { how: 'untold', code: null, ticks: 1, ageMs: 20 },
        caughtUpAgeMs: 2_000,
        lastGood: { row, ageMs: 0 },
      },
    },
    ...change,
  }
}

export function look(change: Partial<Look> = {}): Look {
  return {
    lookId: 'look-1',
    cluster: 'orders',
    observer: 'a',
    nodes: { b: observation },
    canary: true,
    ...change,
  }
}

export const synchronous: SynchronousSet = {
  status: 'provable',
  names: 'ANY 1 (b, c)',
  method: 'ANY',
  k: 1,
  listed: ['b', 'c'],
  primary: 'a',
  reasons: [],
}

export function event(change: Partial<Event> = {}): Event {
  return {
    term: 1,
    version: 1,
    kind: 'adopted',
    row: null,
    message: 'a quorum sees exactly one writable node',
    by: 'anna',
    facts: { seen: ['a'], nothing: null },
    atMs: 1_700_000_000_000,
    ...change,
  }
}

/** A steady state of some version, with its event. */
export function state(version: number, change: Partial<ClusterState> = {}): ClusterState {
  return {
    cluster: 'orders',
    deployment: 'understudy',
    version,
    term: 1,
    phase: 'steady',
    claim: null,
    beat: 0,
    plan: null,
    primary: 'a',
    timeline: 1,
    systemIdentifier: row.systemIdentifier,
    nodes: {
      a: {
        role: 'primary',
        term: 1,
        possibleWriter: { term: 1, timeline: 1, synchronous },
        instanceId: 'i-0a',
        fenced: false,
        rejoin: 'none',
      },
    },
    synchronous,
    replaced: [],
    findings: [],
    lastFailover: null,
    pause: null,
    halted: null,
    endpointTerm: 1,
    lastEvent: event({ version }),
    wake: 0,
    ...change,
  }
}

/** A state in which `id` holds the claim of a confirming term. */
export function claimed(version: number, id: string, change: Partial<ClusterState> = {}): ClusterState {
  return state(version, {
    term: 2,
    phase: 'confirming',
    claim: { term: 2, step: 'confirm', attempt: 1, id, open: false, holder: 'orders-2-failover-abc' },
    lastEvent: event({ term: 2, version, kind: 'claimed' }),
    ...change,
  })
}
