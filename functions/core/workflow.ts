/** What travels through the state machine: its input, and what every step returns in its place. */
import type { WorkflowStep } from './limits.ts'
import type { NodeId, OperationKind } from './types.ts'

/**
 * Input of the state machine. A person in the console gives `cluster`, `kind` and `reason`; the rest is assess's or
 * the steps' own. It is validated by the first step (`schemas.ts`), which lists everything wrong at once.
 */
export interface WorkflowInput {
  readonly cluster: string
  readonly kind: OperationKind
  readonly reason: string
  readonly by?: string | undefined
  /** Wanted target of a switchover or a manual failover. */
  readonly to?: NodeId | undefined
  /** Present when assess started it: the state that it judged. */
  readonly automatic?:
    | {
        readonly version: number
        readonly beat: number
        readonly row: string
        readonly facts: Readonly<Record<string, unknown>>
      }
    | undefined
  /** The term that this operation claimed. */
  readonly term?: number | undefined
  /** What was promoted in this term: all that repoint needs when the table can not be read (S13). */
  readonly promoted?: { readonly node: NodeId; readonly timeline: number } | undefined
  /** Open claim of a predecessor that was waited out (S4). */
  readonly waitedFor?: string | undefined
  /** Times that the present step answered `waiting`. */
  readonly waits?: number | undefined
}

export interface StepResult extends WorkflowInput {
  readonly outcome: 'done' | 'waiting' | 'refused'
  /** The step to enter next; with `waiting` the same step again, after `waitSeconds`. */
  readonly next: WorkflowStep | 'end'
  readonly waitSeconds: number
  readonly reasons: readonly string[]
}

/** What the state machine hands to a step: its data, and who runs it. */
export interface StepPayload {
  readonly input: unknown
  readonly execution: string
}

/** `<cluster>-<term+1>-<hash>`: the same look gives the same name (at most 80 characters). */
export function executionName(cluster: string, term: number, kind: OperationKind, factsHash: string): string {
  return `${cluster}-${term + 1}-${kind}-${factsHash}`.slice(0, 80)
}
