/** What the command function answers to `status`, `explain` and a start by hand, as far as the CLI shows it. */
import type { ApprovalView } from '../functions/core/approval.ts'
import type { Decision } from '../functions/core/decisions.ts'
import type { Availability, ClusterState, Event, Issue, Report } from '../functions/core/types.ts'

export type Answer =
  | { readonly outcome: 'done'; readonly message: string; readonly [key: string]: unknown }
  | { readonly outcome: 'refused'; readonly reasons: readonly string[] }

export interface ClusterStatus {
  readonly cluster: string
  readonly endpoint: string
  /** Null: not adopted, or not readable (then `problems` says why). */
  readonly state: ClusterState | null
  readonly problems: readonly string[]
  readonly reports: Readonly<Record<string, Report | null>>
  readonly decision: Decision
  readonly availability: Availability
  readonly issues: readonly Issue[]
  /** The scheduler's clock; null: no tick was seen yet. Absent in answers of an older deployment. */
  readonly clockMs?: number | null
  readonly approval?: ApprovalView | null
  readonly nodes: readonly {
    readonly id: string
    readonly address: string
    readonly port: number
    readonly availabilityZone: string
  }[]
}

export interface Explanation {
  /** Newest first. */
  readonly events: readonly Event[]
  readonly now: Decision
}

export interface Started {
  readonly execution: string
  readonly term: number
}

/** The answer, or undefined when it is not one: another version is deployed, or another function has the name. */
export function readAnswer(result: unknown): Answer | undefined {
  const { outcome, message, reasons } = (result ?? {}) as Record<string, unknown>
  if (outcome === 'done' && typeof message === 'string') return result as Answer
  if (outcome === 'refused' && Array.isArray(reasons)) return result as Answer
  return undefined
}

export const clustersOf = (answer: Answer) => (answer as unknown as { clusters: ClusterStatus[] }).clusters
export const explanationOf = (answer: Answer) => answer as unknown as Explanation
export const startedOf = (answer: Answer) => answer as unknown as Started
