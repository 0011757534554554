/**
 * One deployment of Understudy: its table with the stream, its functions, its state machine and its schedule, around a
 * world of servers that it may share with another one. The functions' own code runs; only AWS is a model.
 */
import { assess, type Trigger } from '../../../functions/assess.ts'
import { type CommandResult, command } from '../../../functions/command.ts'
import { confirm } from '../../../functions/confirm.ts'
import { functionTimeoutSeconds, type WorkflowStep } from '../../../functions/core/limits.ts'
import type { Look, ObserverId } from '../../../functions/core/types.ts'
import { runReadStep, runStep } from '../../../functions/entry.ts'
import { fence } from '../../../functions/fence.ts'
import { look } from '../../../functions/look.ts'
import { observe } from '../../../functions/observe.ts'
import { operate } from '../../../functions/operate.ts'
import type { Engine, LookRequest, OperateRequest, SqlResult } from '../../../functions/ports.ts'
import { promote } from '../../../functions/promote.ts'
import { record } from '../../../functions/record.ts'
import { repoint } from '../../../functions/repoint.ts'
import type { Resolve } from '../../../functions/resolve.ts'
import { isWorkflowHalt, type WorkflowData } from '../../../functions/schemas.ts'
import { settle } from '../../../functions/settle.ts'
import type { Invocation } from '../../steps/model/invocation.ts'
import type { World } from '../../steps/world.ts'
import type { Random } from '../random.ts'
import { Lambda } from './lambda.ts'
import type { Ways } from './probing.ts'
import { type Call, type Ending, type Run, type StateMachine, TaskError } from './stateMachine.ts'
import { imagesOf, Stream } from './stream.ts'

/** Outages and deaths; a halt that could not be written is tried again by the workflow. */
function isExpected(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  return (
    code === 'ETIMEDOUT' ||
    error instanceof TaskError ||
    ['Sandbox.Timedout', 'StoreUnavailable'].includes(error.name) ||
    /was written meanwhile|does not answer|the approval was not stored|did not say/.test(error.message)
  )
}

const bodies = { confirm, fence, promote, repoint, settle }

/** Wall time at virtual time 0, as the clocks of the world's functions have it: a full minute. */
const epochMs = 1_699_999_980_000
const minuteMs = 60_000

export interface Execution {
  readonly name: string
  readonly input: unknown
  readonly run: Run
  ending: Ending | null
}

export interface DeploymentOptions {
  readonly world: World
  readonly machine: StateMachine
  readonly ways: Ways
  readonly random: Random
  /** After each round of looks that came back to a step. */
  readonly onLooks?: (by: Invocation, arrived: readonly ObserverId[]) => void
}

export class Deployment {
  readonly world: World
  readonly lambda: Lambda
  readonly stream: Stream
  readonly executions: Execution[] = []
  /** What the scheduler's clock shows beyond the true time. */
  schedulerSkewMs = 0
  /** How often an event of the schedule, or of EC2, does not come. */
  eventsLost = 0
  /** Errors that functions ended with which are none of the troubles' making: bugs. */
  readonly bugs: string[] = []
  private readonly options: DeploymentOptions
  private readonly known = new Map<string, Execution>()
  private readonly random: Random
  private ended = false

  constructor(options: DeploymentOptions) {
    const { world, random } = options
    this.options = options
    this.world = world
    this.random = random.split('schedule')
    this.lambda = new Lambda(world, random.split('lambda'))
    this.lambda.failed = (name, error) => {
      if (!isExpected(error))
        this.bugs.push(`${name}: ${String(error instanceof Error ? error.stack : error)}`)
    }
    this.stream = new Stream(world.time, random.split('stream'), [
      {
        wants: (change) => (change.kind === 'state' ? change.wakes : change.after.changed),
        ...{ batchSize: 100, windowMs: 0, retries: 2 },
        deliver: async (records) => {
          const named = (kind: string) => [
            ...new Set(
              records.filter(({ change }) => change.kind === kind).map(({ change }) => change.cluster),
            ),
          ]
          await this.assess({ kind: 'hint', woken: named('state'), reported: named('report') })
          return []
        },
      },
      {
        wants: (change) => change.kind === 'state',
        ...{ batchSize: 25, windowMs: 1_000, retries: 10 },
        deliver: (records) =>
          this.lambda.invoke('record', functionTimeoutSeconds.record, (me) =>
            record(world.ports(me), imagesOf(records)),
          ),
      },
    ])
    world.startExecution = async (name, input) => (this.start(name, input) ? 'started' : 'exists')
    world.asked = {
      look: (by, request) => this.look(by, request),
      operate: (_by, request) => this.operate(request),
    }
  }

  get name(): string {
    return this.world.fleet.deployment
  }

  /** StartExecution: an execution's name is used once (H13). */
  start(name: string, input: unknown): Execution | undefined {
    if (this.known.has(name)) return undefined
    const { time } = this.world
    const run = this.options.machine.run(
      input,
      { execution: name },
      { time, invoke: (call) => this.task(name, call) },
    )
    const execution: Execution = { name, input, run, ending: null }
    this.known.set(name, execution)
    this.executions.push(execution)
    void run.ending.then((ending) => {
      execution.ending = ending
    })
    return execution
  }

  get running(): Execution[] {
    return this.executions.filter(({ ending }) => ending === null)
  }

  private task(execution: string, { FunctionName, Payload }: Call): Promise<unknown> {
    const name = /(?:^|-)([a-z]+)(?::\d+)?$/.exec(FunctionName)?.[1] ?? FunctionName
    if (name === 'command') return this.command(Payload)
    const step = name as WorkflowStep
    const { world } = this
    const { fleet } = world
    const { careful } = world.table
    return this.lambda.invoke(`${execution} ${step}`, functionTimeoutSeconds[step], (me) => {
      const ports = world.ports(me)
      if (careful) return runStep(Payload, step, bodies[step], { ports, fleet })
      const { input, execution } = Payload as { input: WorkflowData; execution: string }
      const { error: _caught, ...data } = input
      return runReadStep({ input: data, execution }, step, bodies[step], { ports, fleet })
    })
  }

  /** A person's, or the workflow's way out. */
  command(event: Readonly<Record<string, unknown>>): Promise<CommandResult> {
    const { fleet } = this.world
    return this.lambda.invoke(
      `command ${String(event.command)}`,
      functionTimeoutSeconds.command,
      async (me) => {
        const ports = this.world.ports(me)
        const result = await command({ ports, fleet }, event)
        if (result.outcome === 'refused' && isWorkflowHalt(event)) throw new Error(result.reasons.join('; '))
        return result
      },
    )
  }

  assess(trigger: Trigger): Promise<Record<string, string>> {
    const { fleet } = this.world
    return this.lambda.invoke('assess', functionTimeoutSeconds.assess, (me) =>
      assess({ ports: this.world.ports(me), fleet }, trigger),
    )
  }

  /** Every minute, each target by itself. */
  schedule(): void {
    const { time, fleet } = this.world
    const atMs = epochMs + Math.ceil(time.nowMs / minuteMs) * minuteMs
    const tick = () => {
      if (this.ended) return
      time.after(minuteMs, tick)
      this.minute(epochMs + Math.floor(time.nowMs / minuteMs) * minuteMs)
    }
    time.after(atMs - epochMs - time.nowMs, tick)
    // A deployment that is there for long has loops already.
    for (const { id } of fleet.observers) this.observe(id, atMs - minuteMs)
  }

  /** Nothing is scheduled any more. */
  end(): void {
    this.ended = true
  }

  private minute(trueMs: number): void {
    const { fleet, time } = this.world
    const eventMs = trueMs + this.schedulerSkewMs
    const deliver = (target: () => void) => {
      const wayMs = this.random.below(400)
      if (!this.random.chance(this.eventsLost)) time.after(wayMs, target)
    }
    deliver(() =>
      this.lambda.send('assess', functionTimeoutSeconds.assess, (me) =>
        assess({ ports: this.world.ports(me), fleet }, { kind: 'tick', eventMs }),
      ),
    )
    for (const { id } of fleet.observers) deliver(() => this.observe(id, eventMs))
  }

  private observe(observer: string, eventMs: number): void {
    const { world } = this
    if (world.observersDown.has(observer)) return
    this.lambda.send(`observe ${observer}`, functionTimeoutSeconds.observe, (me) => {
      const { store, clock, logger, remainingMs } = world.ports(me)
      return observe({
        ...{ fleet: world.fleet, observer, store, clock, logger, remainingMs },
        engine: () => this.options.ways.engineOf(observer, { isDead: () => me.dead }),
        canary: () => this.canary(observer),
        token: Math.floor(eventMs / minuteMs),
        holder: me.name,
      })
    })
  }

  private async canary(observer: string): Promise<boolean> {
    return this.world.canaries.get(observer) ?? true
  }

  /** An instance of EC2 has stopped or runs again: an event, which may not come. */
  instanceChanged(state: string): void {
    if (state !== 'running' && state !== 'stopped') return
    if (this.random.chance(this.eventsLost)) return
    const { time, fleet } = this.world
    const woken = fleet.clusters.map(({ id }) => id)
    time.after(500 + this.random.below(1_500), () =>
      this.lambda.send('assess', functionTimeoutSeconds.assess, (me) =>
        assess({ ports: this.world.ports(me), fleet }, { kind: 'hint', woken, reported: [] }),
      ),
    )
  }

  /** All observers at once, as the port does it: who does not answer in time is missing. */
  private async look(by: Invocation, request: LookRequest): Promise<readonly Look[]> {
    const { world } = this
    const deadlineMs = 3 * (world.config.observe.probeTimeoutMs ?? 1_000) + 3_000
    const asked = world.fleet.observers
    const arrived = new Map<string, Look>()
    const { promise: over, resolve: end } = Promise.withResolvers<void>()
    const alarm = world.time.after(deadlineMs, end)
    let left = asked.length
    const answered = () => {
      if (--left === 0) end()
    }
    for (const { id } of asked) {
      if (world.observersDown.has(id)) continue
      this.lookFrom(id, request)
        .then((seen) => void arrived.set(id, seen))
        .then(answered, answered)
    }
    await over
    alarm.cancel()
    // In the order in which they were asked; who comes later is not waited for.
    const looks = asked.flatMap(({ id }) => arrived.get(id) ?? [])
    this.options.onLooks?.(
      by,
      looks.map(({ observer }) => observer),
    )
    return looks
  }

  private lookFrom(observer: string, request: LookRequest): Promise<Look> {
    const { world, options } = this
    return this.lambda.invoke(`look ${observer}`, functionTimeoutSeconds.look, (me) =>
      look(
        {
          fleet: world.fleet,
          observer,
          engine: () => options.ways.engineOf(observer, { isDead: () => me.dead }),
          clock: world.clock(me),
          resolve: this.resolve,
          canary: () => this.canary(observer),
        },
        request,
      ),
    )
  }

  private readonly resolve: Resolve = async () => {
    const { names, config } = this.world
    const cname = names.answered?.target ?? null
    const node = config.nodes.find((each) => each.dnsName === cname)
    if (node === undefined) throw new Error('queryA ENOTFOUND')
    return { addresses: [node.address], cname }
  }

  private operate(request: OperateRequest): Promise<SqlResult> {
    const { world } = this
    const name = `operate ${request.action.do} on ${request.node}`
    return this.lambda.invoke(name, functionTimeoutSeconds.operate, (me) => {
      const engine = world.engine(me, request) as Engine
      return operate({ fleet: world.fleet, store: world.store(me), engine: () => engine }, request)
    })
  }
}
