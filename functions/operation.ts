/**
 * One invocation's right to act on one cluster: the discipline of claims (design, sections 4 to 6) in one place, so
 * that a step reads as what it does.
 *
 * - `begin` reads the state and makes a claim with a new id; the first `write` stores it.
 * - `write` stores a change with its event, conditionally on the version that this invocation last saw.
 * - `act` reads the state consistently before an act outside the database and goes on only while the claim is ours;
 *   the claim is open exactly as long as the act lasts.
 */
import { isDeepStrictEqual } from 'node:util'
import { advance, type Change, type Happening } from './core/state.ts'
import type { Claim, ClusterConfig, ClusterState, Step } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import type { Ports, SqlAction, SqlResult } from './ports.ts'

/** The claim is not ours any more: somebody with a newer right acts. The step ends without another effect. */
export class Superseded extends Error {
  override readonly name = 'Superseded'
}

/** The table gives no answer. Nothing new is begun; the workflow comes back (S13). */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
}

/** The step's work was done by an attempt before it: the workflow goes on with `next`. */
export class MovedOn extends Error {
  override readonly name = 'MovedOn'
  readonly next: StepResult['next']
  readonly term: number
  constructor(next: StepResult['next'], term: number) {
    super(`going on with ${next} in term ${term}`)
    this.next = next
    this.term = term
  }
}

/** The step must not go on, for a reason that a person can read. Nothing was changed by it. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

export interface OperationOptions {
  readonly cluster: ClusterConfig
  readonly ports: Ports
  readonly step: Step
  readonly by: string
  /** The execution or command that the claim names as its holder. */
  readonly holder: string
}

export class Operation {
  readonly cluster: ClusterConfig
  readonly ports: Ports
  private readonly options: OperationOptions
  private readonly claimId: string
  private current: ClusterState
  private claimed = false

  private constructor(options: OperationOptions, state: ClusterState) {
    this.options = options
    this.cluster = options.cluster
    this.ports = options.ports
    this.claimId = options.ports.newId()
    this.current = state
  }

  /** Reads the state; throws when it is absent, unreadable or out of reach. Nothing is claimed until the first `write`. */
  static async begin(options: OperationOptions): Promise<Operation> {
    return new Operation(options, await readState(options.ports, options.cluster.id))
  }

  get state(): ClusterState {
    return this.current
  }

  get id(): string {
    return this.claimId
  }

  private claim(term: number, open: boolean): Claim {
    const before = this.current.claim
    const again = before?.term === term && before.step === this.options.step && before.id !== this.claimId
    const attempt = before?.id === this.claimId ? before.attempt : again ? before.attempt + 1 : 1
    return { term, step: this.options.step, attempt, id: this.claimId, open, holder: this.options.holder }
  }

  /** Stores a change; throws `Superseded` when somebody else wrote since, `StoreUnavailable` when nobody answers. */
  async write(
    change: Change,
    event: Omit<Happening, 'by' | 'atMs'>,
    options: {
      wake?: boolean
      release?: boolean
      open?: boolean
      keepClaim?: boolean
      claim?: Claim | null
      /** False: never made again on top of what was written beside it meanwhile. */
      again?: boolean
    } = {},
  ): Promise<void> {
    const term = change.term ?? this.current.term
    const mine = options.release ? null : this.claim(term, options.open ?? false)
    const claim = options.claim === undefined ? mine : options.claim
    const happening = { ...event, by: this.options.by, atMs: this.ports.clock.wallMs() }
    await this.store((state) => {
      const kept = options.keepClaim ? state.claim : claim
      return advance(state, { ...change, claim: kept }, happening, { wake: options.wake ?? false })
    }, options.again)
  }

  /** Shows that this operation lives, and closes an open claim, without an entry in the history. */
  async beat(): Promise<void> {
    const claim = this.claim(this.current.term, false)
    await this.store((state) => ({ ...state, version: state.version + 1, beat: state.beat + 1, claim }))
  }

  /** Gives the claim back without an entry in the history. */
  async release(): Promise<void> {
    await this.store((state) => ({ ...state, version: state.version + 1, beat: state.beat + 1, claim: null }))
  }

  private async store(change: (state: ClusterState) => ClusterState, again = true): Promise<void> {
    const next = change(this.current)
    const outcome = await this.ports.store.writeState(next, this.current)
    if (outcome === 'unknown')
      throw new StoreUnavailable('the table did not say whether the state was written')
    if (outcome === 'written') {
      this.current = next
      this.claimed = true
      return
    }
    // A pause is written beside a running operation and touches nothing of it: the change is made again on top.
    const newer = await readState(this.ports, this.cluster.id)
    if (!again || !isBeside(this.current, newer)) {
      throw new Superseded(
        `version ${next.version} was written by ${newer.claim?.holder ?? newer.lastEvent.by}`,
      )
    }
    this.current = newer
    await this.store(change, false)
  }

  /** Throws unless a consistent read shows that the claim is still this invocation's (S4). */
  async assertMine(): Promise<void> {
    if (!this.claimed) throw new Error('an act without a claim: write first')
    const state = await readState(this.ports, this.cluster.id)
    if (state.claim?.id !== this.claimId || state.term !== this.current.term) {
      throw new Superseded(`the claim is held by ${state.claim?.holder ?? 'nobody'} in term ${state.term}`)
    }
  }

  /** An act outside the database: intent recorded with the claim open, the act, the claim closed by the next write. */
  async act<T>(change: Change, intent: Omit<Happening, 'by' | 'atMs'>, doIt: () => Promise<T>): Promise<T> {
    await this.write(change, intent, { open: true })
    await this.assertMine()
    return doIt()
  }

  /** One SQL action on one node, by the function that has a session there. An exception of the call means unknown. */
  async sql(node: string, action: SqlAction): Promise<SqlResult> {
    try {
      return await this.ports.functions.operate({
        cluster: this.cluster.id,
        node,
        term: this.current.term,
        claimId: this.claimId,
        action,
      })
    } catch (error) {
      return { outcome: 'unknown', message: error instanceof Error ? error.message : String(error) }
    }
  }
}

/** Does the newer state differ in nothing that an operation acts upon? */
function isBeside(mine: ClusterState, newer: ClusterState): boolean {
  const acted = ({ term, phase, claim, plan, nodes, primary }: ClusterState) => ({
    ...{ term, phase, plan, nodes, primary },
    claim: claim?.id ?? null,
  })
  return isDeepStrictEqual(acted(mine), acted(newer))
}

/** The state, or the reason why there is none to act on. */
export async function readState(ports: Ports, cluster: string): Promise<ClusterState> {
  let read: Awaited<ReturnType<Ports['store']['readState']>>
  try {
    read = await ports.store.readState(cluster)
  } catch (error) {
    throw new StoreUnavailable(error instanceof Error ? error.message : String(error))
  }
  if (read.kind === 'found') return read.value
  if (read.kind === 'absent')
    throw new Refused(`${cluster} was never adopted: run \`understudy adopt ${cluster}\``)
  throw new Refused(
    `the state of ${cluster} can not be read, so nothing is done: ${read.problems.join('; ')}`,
  )
}

/** Results of a step, as the workflow routes them. */
export const done = (
  input: WorkflowInput,
  next: StepResult['next'],
  reasons: readonly string[] = [],
): StepResult => ({
  ...input,
  waits: 0,
  outcome: 'done',
  next,
  waitSeconds: 0,
  reasons,
})

/** Come back to the same step: soon at first, then more and more rarely, but always well before the beat is old. */
export const waiting = (input: WorkflowInput, step: StepResult['next'], reason: string): StepResult => {
  const waits = (input.waits ?? 0) + 1
  return {
    ...input,
    waits,
    outcome: 'waiting',
    next: step,
    waitSeconds: Math.min(2 ** Math.floor(waits / 4), 10),
    reasons: [reason],
  }
}

export const refused = (input: WorkflowInput, reasons: readonly string[]): StepResult => ({
  ...input,
  outcome: 'refused',
  next: 'end',
  waitSeconds: 0,
  reasons,
})

/**
 * Runs a step's body and turns the outcomes that are not bugs into results: superseded and refused end the execution,
 * a silent table waits without end. Everything else is a bug or an outage and goes to the workflow's Retry and Catch.
 */
export async function stepResult(
  input: WorkflowInput,
  step: StepResult['next'],
  body: () => Promise<StepResult>,
): Promise<StepResult> {
  try {
    return await body()
  } catch (error) {
    if (error instanceof MovedOn) return done({ ...input, term: error.term }, error.next)
    // A pass of settle that meets a newer one has nothing to regret: it is no failed execution.
    const over = step === 'settle' ? done(input, 'end') : refused(input, [])
    if (error instanceof Refused) return { ...over, reasons: [error.message] }
    if (error instanceof Superseded) return { ...over, reasons: [`superseded: ${error.message}`] }
    if (error instanceof StoreUnavailable)
      return waiting(input, step, `the table does not answer: ${error.message}`)
    if (isOutage(error)) return waiting(input, step, `a service does not answer: ${error.message}`)
    throw error
  }
}

/**
 * An error of a service or of the way to it, which the workflow waits out without end (S5, section 7), apart from a bug,
 * which halts. The SDK marks what a service answered with `$metadata`; what never reached one carries a code or name.
 */
function isOutage(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { $metadata, code } = error as { $metadata?: { httpStatusCode?: number }; code?: unknown }
  const status = $metadata?.httpStatusCode
  // Below 400: it answered, and the answer can not be read, which says as little as none.
  if (status !== undefined)
    return (
      status < 400 || status >= 500 || status === 429 || /throttl|toomany|limitexceeded/i.test(error.name)
    )
  return (
    $metadata !== undefined ||
    ['TimeoutError', 'AbortError', 'RequestTimeout'].includes(error.name) ||
    (typeof code === 'string' && /^E[A-Z]+$/.test(code))
  )
}
