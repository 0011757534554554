/** One table in memory with true conditional writes. Everything that goes in is what the schemas let in. */
import { isDeepStrictEqual } from 'node:util'
import type { z } from 'zod'
import { tokenLeadMost } from '../../../functions/core/limits.ts'
import type { Approval, ClusterState, Event, Fleet, Issue, Report } from '../../../functions/core/types.ts'
import type { PreviousState, Read, Store, WriteOutcome } from '../../../functions/ports.ts'
import {
  approvalSchema,
  eventSchema,
  fleetSchema,
  issueSchema,
  reportSchema,
  stateSchema,
} from '../../../functions/schemas.ts'

/** What the stream of the table tells of. */
export type ItemChange =
  | {
      readonly kind: 'state'
      readonly cluster: string
      readonly before: ClusterState | null
      readonly after: ClusterState
      readonly wakes: boolean
    }
  | { readonly kind: 'report'; readonly cluster: string; readonly after: Report }
  | { readonly kind: 'fleet'; readonly after: Fleet }
  | { readonly kind: 'approval'; readonly after: Approval }

/** The store, with the how-many-eth attempt of the same request: the SDK repeats one whose answer was lost (H06). */
export type RepeatingStore = Omit<Store, 'writeState'> & {
  writeState(next: ClusterState, previous: PreviousState | null, attempt?: number): Promise<WriteOutcome>
}

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
  changed: (change: ItemChange, by: string) => void = () => undefined
  /**
   * Whether each item passes its schema and is copied on its way in and out. What is read is never changed (its types
   * say so), so a run that is in a hurry may go without.
   */
  careful = true
  private readonly nowMs: () => number

  constructor(nowMs: () => number) {
    this.nowMs = nowMs
  }

  state(cluster: string): ClusterState {
    const state = this.states.get(cluster)
    if (state === undefined) throw new Error(`${cluster} has no state`)
    return state
  }

  private found<T>(value: T | undefined): Read<T> {
    if (value === undefined) return { kind: 'absent' }
    return { kind: 'found', value: this.careful ? structuredClone(value) : value }
  }

  private item<T>(schema: z.ZodType, value: T): T {
    return this.careful ? (schema.parse(structuredClone(value)) as T) : value
  }

  private keep(cluster: string, each: Event, beside?: string): boolean {
    const { term, version } = each
    const key = `${cluster} ${term}.${version}${beside === undefined ? '' : `.${beside}`}`
    if (this.events.has(key)) return false
    this.events.set(key, this.item(eventSchema, each))
    return true
  }

  private writeState(
    by: string,
    next: ClusterState,
    previous: PreviousState | null,
    attempt: number,
  ): WriteOutcome {
    const stored = this.states.get(next.cluster)
    if (previous && previous.lastEvent.version === previous.version)
      this.keep(next.cluster, previous.lastEvent)
    const state = this.item(stateSchema, next)
    const expected = previous?.version ?? 0
    if (state.version !== expected + 1)
      throw new Error(`a record of version ${state.version} cannot follow version ${expected}`)
    if ((stored?.version ?? 0) !== expected) {
      if (isDeepStrictEqual(stored, state)) return 'written'
      // Of a repeated request that meets a version beyond its own nobody knows whether it was among those passed.
      return attempt > 1 && (stored?.version ?? 0) > expected + 1 ? 'unknown' : 'lost'
    }
    this.states.set(next.cluster, state)
    this.written.push({ state, by, atMs: this.nowMs() })
    const wakes = state.wake > (previous?.wake ?? 0)
    this.changed({ kind: 'state', cluster: next.cluster, before: stored ?? null, after: state, wakes }, by)
    this.onState(state)
    return 'written'
  }

  /** The store as one invocation sees it; `by` names it. */
  as(by: string): RepeatingStore {
    return {
      readState: async (cluster) =>
        this.unreadable === cluster
          ? { kind: 'unreadable', problems: ['version: expected a number, got text'] }
          : this.found(this.states.get(cluster)),
      writeState: async (next, previous, attempt = 1) => this.writeState(by, next, previous, attempt),
      readReports: async (cluster) =>
        new Map([...(this.reports.get(cluster) ?? [])].map(([id, report]) => [id, this.found(report)])),
      writeReport: async (report) => {
        const all = this.reports.get(report.cluster) ?? new Map<string, Report>()
        this.reports.set(report.cluster, all)
        const aheadBy = (all.get(report.observer)?.token ?? 0) - report.token
        if (aheadBy > 0 && aheadBy <= tokenLeadMost) return 'lost'
        const after = this.item(reportSchema, report)
        all.set(report.observer, after)
        this.changed({ kind: 'report', cluster: report.cluster, after }, by)
        return 'written'
      },
      readApproval: async (cluster, term) => this.found(this.approvals.get(`${cluster} ${term}`)),
      writeApproval: async (approval) => {
        const after = this.item(approvalSchema, approval)
        this.approvals.set(`${approval.cluster} ${approval.term}`, after)
        this.changed({ kind: 'approval', after }, by)
        return 'written'
      },
      readIssues: async (cluster) => [...this.issues.values()].filter((each) => each.cluster === cluster),
      openIssue: async (issue) => {
        const key = `${issue.cluster} ${issue.key}`
        const sinceMs = this.issues.get(key)?.sinceMs ?? issue.sinceMs
        this.issues.set(key, this.item(issueSchema, { ...issue, sinceMs }))
      },
      closeIssue: async (cluster, key) => {
        this.issues.delete(`${cluster} ${key}`)
      },
      appendEvent: async (cluster, each, beside) => this.keep(cluster, each, beside),
      readEvents: async (cluster, limit) =>
        [...this.events]
          .filter(([key]) => key.startsWith(`${cluster} `))
          .toSorted(([x, a], [y, b]) => b.term - a.term || b.version - a.version || (x < y ? 1 : -1))
          .map(([, each]) => each)
          .slice(0, limit),
      readFleet: async () => this.found(this.fleet),
      writeFleet: async (next, expected) => {
        if ((this.fleet?.version ?? 0) !== expected) return 'lost'
        this.fleet = this.item(fleetSchema, next)
        this.changed({ kind: 'fleet', after: this.fleet }, by)
        return 'written'
      },
    }
  }
}
