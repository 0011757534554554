/**
 * Looking and deciding, again and again: reads the provider and the observers, asks the core, and ends with its answer
 * when that is more than `wait`, or when the time of this invocation is over.
 */
import { judge, type Verdict } from '../core/confirm.ts'
import { pollWithinStepMs } from '../core/limits.ts'
import { decideNative, type NativeDecision } from '../core/native.ts'
import type { LagSample, NativePhase, NativeSight } from '../core/nativeFacts.ts'
import { nativeProgress, withProgress } from '../core/nativeProgress.ts'
import type { Approval, Look, NodeId, Plan } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { approvalOf, lookRound, planOf } from '../step.ts'
import { readLags, readSight } from './nativeSight.ts'

/** Readings within one second may share an answer: those that are to count as two are further apart. */
const betweenReadingsMs = 1_100

export type NativeStep = (
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
) => Promise<StepResult>

export class Watch {
  readonly context: StepContext
  readonly operation: Operation
  readonly input: WorkflowInput
  private readonly phase: NativePhase
  private readonly startedMs: number
  private readonly sights: NativeSight[] = []
  private readonly rounds: (readonly Look[])[] = []
  /** The last round of looks. */
  lastLooks: readonly Look[] = []
  private verdict: Verdict | null = null
  /** Readings since the last call that are not stored yet. */
  private readings = 0
  private approval: Approval | null = null
  private lags: Readonly<Record<NodeId, LagSample>> = {}
  private lastMs = Number.NEGATIVE_INFINITY

  constructor(context: StepContext, operation: Operation, input: WorkflowInput, phase: NativePhase) {
    this.context = context
    this.operation = operation
    this.input = input
    this.phase = phase
    this.startedMs = context.ports.clock.monotonicMs()
  }

  private get elapsedMs(): number {
    return this.context.ports.clock.monotonicMs() - this.startedMs
  }

  /** The next answer that asks for something; `wait` when the time of this invocation is over. */
  async next(): Promise<NativeDecision> {
    const { clock, rds } = this.context.ports
    const { cluster, state } = this.operation
    const plan = planOf(state)
    if (this.sights.length === 0) {
      const mayLose = cluster.engine === 'aurora-global' && plan.kind !== 'switchover'
      const [approval, lags] = await Promise.all([
        approvalOf(this.context.ports, state.cluster, state.term),
        mayLose ? readLags({ rds }, cluster, plan.from) : {},
      ])
      this.approval = approval
      this.lags = lags
    }
    for (;;) {
      await clock.sleep(Math.max(0, this.lastMs + betweenReadingsMs - clock.monotonicMs()))
      this.lastMs = clock.monotonicMs()
      const [sight, looks] = await Promise.all([
        readSight({ rds, clock }, cluster),
        lookRound(this.operation, { writeProbe: true, on: planOf(this.operation.state).target ?? plan.from }),
      ])
      this.sights.push(sight)
      this.lastLooks = looks
      this.readings++
      if (this.phase === 'confirming') await this.judge(plan)
      const decision = this.decide()
      // A person is told at the end of an invocation: until then another reading may say more. However long the first
      // one took, there is a second: what is to be read twice would never be, one invocation after the other.
      const isWaiting = decision.does === 'wait' || decision.does === 'page'
      if (!isWaiting || (this.elapsedMs > pollWithinStepMs && this.sights.length > 1)) return decision
    }
  }

  private decide(): NativeDecision {
    const { operation, context } = this
    return decideNative(operation.cluster.engine, {
      cluster: operation.cluster,
      observers: context.observers,
      state: operation.state,
      plan: this.plan(),
      phase: this.phase,
      sights: this.sights,
      looks: this.lastLooks,
      verdict: this.verdict,
      elapsedMs: this.elapsedMs,
      waits: this.input.waits ?? 0,
      approval: this.approval,
      lags: this.lags,
    })
  }

  private async judge(plan: Plan): Promise<void> {
    const { store } = this.context.ports
    // A reader of Aurora has no stream of its own: what looks like one proves no life of the writer.
    this.rounds.push(this.lastLooks.map(withoutStreams))
    const reports = new Map(
      [...(await store.readReports(this.operation.cluster.id))].flatMap(([id, report]) =>
        report.kind === 'found' ? [[id, report.value] as const] : [],
      ),
    )
    this.verdict = judge({
      cluster: this.operation.cluster,
      observers: this.context.observers,
      state: this.operation.state,
      rounds: this.rounds,
      reports,
      counts: plan.looks,
      manual: !plan.automatic,
      heldMs: this.lastMs - this.startedMs,
      streamsAsked: true,
      lookIntervalMs: betweenReadingsMs,
    })
  }

  /** The plan with what this invocation has counted so far. */
  plan(): Plan {
    const plan = planOf(this.operation.state)
    return withProgress(plan, { sinceAsk: nativeProgress(plan).sinceAsk + this.readings })
  }

  /** After a call its readings begin anew. */
  asked(): void {
    this.readings = 0
  }

  /** The time of this invocation is used up: even an answer that asks for more waits for the next one. */
  get isOver(): boolean {
    return this.elapsedMs > 2 * pollWithinStepMs
  }

  /** Counts what was used and comes back; a person is told of a row once, not at each return. */
  async leave(step: StepResult['next'], decision: NativeDecision): Promise<StepResult> {
    const { row, reason, does, facts } = decision
    const result = waiting(this.input, step, `${row}: ${reason}`)
    const usedMs =
      nativeProgress(planOf(this.operation.state)).usedMs + this.elapsedMs + result.waitSeconds * 1_000
    const isNews = does === 'page' && nativeProgress(this.plan()).paged !== row
    const plan = withProgress(this.plan(), { usedMs, ...(isNews ? { paged: row } : {}) })
    await this.operation.write(
      { plan: { ...plan, looks: this.verdict?.counts ?? plan.looks } },
      { kind: isNews ? 'paged' : 'waiting', row, message: reason, facts },
    )
    return result
  }

  /** On to the next phase with what was counted. */
  async goOn(
    phase: 'fencing' | 'promoting',
    decision: NativeDecision,
    kind: string,
    plan = this.plan(),
    input: WorkflowInput = this.input,
  ): Promise<StepResult> {
    const { row, reason, facts } = decision
    const usedMs = nativeProgress(plan).usedMs + this.elapsedMs
    await this.operation.write(
      { phase, plan: { ...withProgress(plan, { usedMs }), looks: this.verdict?.counts ?? plan.looks } },
      { kind, row, message: reason, facts },
    )
    return done(input, phase === 'fencing' ? 'fence' : 'promote', [`${row}: ${reason}`])
  }
}

function withoutStreams(look: Look): Look {
  const nodes = Object.entries(look.nodes).map(([id, seen]) => {
    if (seen.outcome.kind !== 'answered') return [id, seen] as const
    const row = { ...seen.outcome.row, upstream: null }
    return [id, { ...seen, outcome: { ...seen.outcome, row } }] as const
  })
  return { ...look, nodes: Object.fromEntries(nodes) }
}
