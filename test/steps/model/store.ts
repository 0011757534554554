/** One table in memory with true conditional writes. Everything that goes in is what the schemas let in. */
import type { Approval, ClusterState, Event, Fleet, Issue, Report } from '../../../functions/core/types.ts'
import type { Read, Store } from '../../../functions/ports.ts'
import {
  approvalSchema,
  eventSchema,
  fleetSchema,
  issueSchema,
  reportSchema,
  stateSchema,
} from '../../../functions/schemas.ts'

const found = <T>(value: T | undefined): Read<T> =>
  value === undefined ? { kind: 'absent' } : { kind: 'found', value: structuredClone(value) }

export class Table {
  readonly states = new Map<string, ClusterState>()
  readonly reports = new Map<string, Map<string, Report>>()
  readonly approvals = new Map<string, Approval>()
  readonly issues = new Map<string, Issue>()
  readonly events = new Map<string, Event>()
  fleet: Fleet | undefined
  /** An item that a person edited by hand (H23). */
  unreadable: string | null = null
  /** Every state that was written, with who wrote it, in order. */
  readonly written: { state: ClusterState; by: string; atMs: number }[] = []
  onState: (state: ClusterState) => void = () => undefined
  private readonly nowMs: () => number

  constructor(nowMs: () => number) {
    this.nowMs = nowMs
  }

  state(cluster: string): ClusterState {
    const state = this.states.get(cluster)
    if (state === undefined) throw new Error(`${cluster} has no state`)
    return state
  }

  /** The store as one invocation sees it; `by` names it. */
  as(by: string): Store {
    const keep = (cluster: string, each: Event, beside?: string) => {
      const { term, version } = each
      const key = `${cluster} ${term}.${version}${beside === undefined ? '' : `.${beside}`}`
      if (this.events.has(key)) return false
      this.events.set(key, eventSchema.parse(structuredClone(each)) as Event)
      return true
    }
    return {
      readState: async (cluster) =>
        this.unreadable === cluster
          ? { kind: 'unreadable', problems: ['version: expected a number, got text'] }
          : found(this.states.get(cluster)),
      writeState: async (next, previous) => {
        const stored = this.states.get(next.cluster)
        if (previous && previous.lastEvent.version === previous.version)
          keep(next.cluster, previous.lastEvent)
        const same = JSON.stringify(stored) === JSON.stringify(stateSchema.parse(structuredClone(next)))
        if (stored && same) return 'written'
        if ((stored?.version ?? 0) !== (previous?.version ?? 0)) return 'lost'
        const state = stateSchema.parse(structuredClone(next)) as ClusterState
        this.states.set(next.cluster, state)
        this.written.push({ state, by, atMs: this.nowMs() })
        this.onState(state)
        return 'written'
      },
      readReports: async (cluster) =>
        new Map([...(this.reports.get(cluster) ?? [])].map(([id, report]) => [id, found(report)])),
      writeReport: async (report) => {
        const all = this.reports.get(report.cluster) ?? new Map<string, Report>()
        this.reports.set(report.cluster, all)
        if ((all.get(report.observer)?.token ?? 0) > report.token) return 'lost'
        all.set(report.observer, reportSchema.parse(structuredClone(report)) as Report)
        return 'written'
      },
      readApproval: async (cluster, term) => found(this.approvals.get(`${cluster} ${term}`)),
      writeApproval: async (approval) => {
        const key = `${approval.cluster} ${approval.term}`
        this.approvals.set(key, approvalSchema.parse(approval) as Approval)
        return 'written'
      },
      readIssues: async (cluster) => [...this.issues.values()].filter((each) => each.cluster === cluster),
      openIssue: async (issue) => {
        this.issues.set(`${issue.cluster} ${issue.key}`, issueSchema.parse(issue) as Issue)
      },
      closeIssue: async (cluster, key) => {
        this.issues.delete(`${cluster} ${key}`)
      },
      appendEvent: async (cluster, each, beside) => keep(cluster, each, beside),
      readEvents: async (cluster, limit) =>
        [...this.events]
          .filter(([key]) => key.startsWith(`${cluster} `))
          .toSorted(([x, a], [y, b]) => b.term - a.term || b.version - a.version || (x < y ? 1 : -1))
          .map(([, each]) => each)
          .slice(0, limit),
      readFleet: async () => found(this.fleet),
      writeFleet: async (next, expected) => {
        if ((this.fleet?.version ?? 0) !== expected) return 'lost'
        this.fleet = fleetSchema.parse(structuredClone(next)) as Fleet
        return 'written'
      },
    }
  }
}
