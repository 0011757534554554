/**
 * Step Functions' API over an interpreter that runs the state machine as synthesised. As on AWS a task's time-out
 * does not stop the function that it waits for. Not modelled: `$$.State` (placeholders), task tokens, JSONata.
 */
import { randomUUID } from 'node:crypto'
import {
  ExecutionAbortedError,
  ExecutionTimeoutError,
  type RunOptions,
  StateMachine,
  type StateMachineDefinition,
} from 'aws-local-stepfunctions'
import type { StateMachineResource } from './deployment.ts'
import { AwsError, unknownOperation } from './front.ts'
import type { InvokeResult } from './lambda.ts'

export interface WorkflowOptions {
  readonly machines: readonly StateMachineResource[]
  readonly invoke: (functionName: string, payload: unknown) => Promise<InvokeResult>
  readonly log: (line: string) => void
  /** By state name, milliseconds: for tests. */
  readonly waitTimeOverrides?: Record<string, number>
  readonly retryIntervalOverrides?: Record<string, number | number[]>
  /** Called as each state is entered. */
  readonly onState?: (execution: string, state: string) => void
}

type Status = 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'TIMED_OUT' | 'ABORTED'

export interface Execution {
  readonly arn: string
  readonly name: string
  readonly machine: Machine
  /** As given, byte for byte: what idempotency compares. */
  readonly input: string
  readonly startedAtMs: number
  readonly history: HistoryEvent[]
  status: Status
  stoppedAtMs: number | null
  output: string | null
  error: string | null
  cause: string | null
  abort: () => void
  /** Resolves, never rejects, when it has ended. */
  done: Promise<void>
}

interface Machine extends StateMachineResource {
  readonly interpreter: StateMachine
  readonly handlers: (execution: Execution) => Handlers
  readonly createdAtMs: number
}

interface HistoryEvent {
  readonly type: string
  readonly timestamp: number
  readonly state?: {
    readonly name: string
    readonly type: string
    readonly input?: unknown
    readonly output?: unknown
  }
  readonly [other: string]: unknown
}

type Handlers = NonNullable<NonNullable<RunOptions['overrides']>['taskResourceLocalHandlers']>

/** States.DataLimitExceeded above this many bytes. */
const payloadMost = 262_144

export class WorkflowService {
  readonly #machines = new Map<string, Machine>()
  readonly #executions = new Map<string, Execution>()
  readonly #options: WorkflowOptions

  constructor(options: WorkflowOptions) {
    this.#options = options
    for (const resource of options.machines) {
      this.#machines.set(resource.arn, {
        ...resource,
        // Validates, and throws: as a deployment would. Building is slow (100 ms), running is not.
        interpreter: new StateMachine(resource.definition as StateMachineDefinition),
        handlers: (execution) => this.#handlers(resource.definition, execution),
        createdAtMs: Date.now(),
      })
    }
  }

  get executions(): readonly Execution[] {
    return [...this.#executions.values()]
  }

  execution(nameOrArn: string): Execution | undefined {
    return this.executions.find(({ name, arn }) => name === nameOrArn || arn === nameOrArn)
  }

  /** Throws `AwsError` when it is refused. The same name and input of a running execution: that execution. */
  start(machineArn: string, name: string = randomUUID(), input = '{}'): Execution {
    const machine = this.#machines.get(machineArn)
    if (!machine)
      throw new AwsError('StateMachineDoesNotExist', `State Machine Does Not Exist: '${machineArn}'`)
    if (!/^[^\s<>{}[\]?*"#%\\^|~`$&,;:/]{1,80}$/.test(name))
      throw new AwsError('InvalidName', `Invalid Name: '${name}'`)
    const parsed = parseInput(input)
    const arn = `${machineArn.replace(':stateMachine:', ':execution:')}:${name}`
    const existing = this.#executions.get(arn)
    if (existing) {
      if (existing.status === 'RUNNING' && existing.input === input) return existing
      throw new AwsError('ExecutionAlreadyExists', `Execution Already Exists: '${arn}'`)
    }
    const execution: Execution = {
      arn,
      name,
      machine,
      input,
      startedAtMs: Date.now(),
      history: [],
      status: 'RUNNING',
      stoppedAtMs: null,
      output: null,
      error: null,
      cause: null,
      abort: () => {},
      done: Promise.resolve(),
    }
    this.#executions.set(arn, execution)
    this.#run(execution, parsed)
    return execution
  }

  stop(execution: Execution, error: string | null = null, cause: string | null = null): void {
    if (execution.status !== 'RUNNING') return
    finish(execution, 'ABORTED', { error, cause })
    execution.abort()
  }

  /** Stops what runs. */
  async close(): Promise<void> {
    for (const execution of this.executions) this.stop(execution)
    await Promise.all(this.executions.map(({ done }) => done))
  }

  handle(operation: string, input: Record<string, unknown>): unknown {
    const text = (key: string): string | undefined =>
      input[key] === undefined ? undefined : String(input[key])
    switch (operation) {
      case 'StartExecution': {
        const execution = this.start(text('stateMachineArn') ?? '', text('name'), text('input'))
        return { executionArn: execution.arn, startDate: execution.startedAtMs / 1000 }
      }
      case 'StopExecution': {
        const execution = this.#find(text('executionArn'))
        this.stop(execution, text('error') ?? null, text('cause') ?? null)
        return { stopDate: (execution.stoppedAtMs ?? Date.now()) / 1000 }
      }
      case 'DescribeExecution':
        return { ...summary(this.#find(text('executionArn'))), ...details(this.#find(text('executionArn'))) }
      case 'GetExecutionHistory':
        return { events: historyEvents(this.#find(text('executionArn')), input.reverseOrder === true) }
      case 'ListExecutions':
        return {
          executions: this.#list(
            text('stateMachineArn'),
            text('statusFilter'),
            Number(input.maxResults ?? 100),
          ),
        }
      case 'ListStateMachines':
        return { stateMachines: [...this.#machines.values()].map(machineSummary) }
      case 'DescribeStateMachine': {
        const machine = this.#machines.get(text('stateMachineArn') ?? '')
        if (!machine) throw new AwsError('StateMachineDoesNotExist', 'State Machine Does Not Exist')
        const definition = JSON.stringify(machine.definition)
        return {
          ...machineSummary(machine),
          status: 'ACTIVE',
          definition,
          roleArn: 'arn:aws:iam::000000000000:role/local',
        }
      }
    }
    throw unknownOperation(operation)
  }

  #find(arn: string | undefined): Execution {
    const execution = this.#executions.get(arn ?? '')
    if (!execution) throw new AwsError('ExecutionDoesNotExist', `Execution Does Not Exist: '${arn}'`)
    return execution
  }

  #list(machineArn: string | undefined, status: string | undefined, most: number): unknown[] {
    return this.executions
      .filter(({ machine }) => machine.arn === machineArn)
      .filter((execution) => status === undefined || execution.status === status)
      .reverse()
      .slice(0, most || 100)
      .map(summary)
  }

  #run(execution: Execution, input: unknown): void {
    const { machine } = execution
    const context = {
      Execution: { Id: execution.arn, Name: execution.name, RoleArn: 'arn:aws:iam::000000000000:role/local' },
      StateMachine: { Id: machine.arn, Name: machine.name },
      State: { Name: 'local', EnteredTime: new Date(execution.startedAtMs).toISOString(), RetryCount: 0 },
    }
    const run = machine.interpreter.run(input as never, {
      context,
      overrides: {
        taskResourceLocalHandlers: machine.handlers(execution),
        waitTimeOverrides: this.#options.waitTimeOverrides ?? {},
        retryIntervalOverrides: this.#options.retryIntervalOverrides ?? {},
      },
    })
    execution.abort = run.abort
    const history = this.#collect(execution, run.eventLogs as AsyncIterable<HistoryEvent>)
    const result = run.result.then(
      (output) => finish(execution, 'SUCCEEDED', { output: JSON.stringify(output) }),
      (error: Error) => this.#failed(execution, error),
    )
    execution.done = Promise.all([history, result]).then(() => {})
  }

  async #collect(execution: Execution, events: AsyncIterable<HistoryEvent>): Promise<void> {
    for await (const event of events) {
      execution.history.push(event)
      if (event.type === 'StateEntered' && event.state)
        this.#options.onState?.(execution.name, event.state.name)
    }
  }

  #failed(execution: Execution, error: Error): void {
    if (error instanceof ExecutionAbortedError) finish(execution, 'ABORTED', {})
    else if (error instanceof ExecutionTimeoutError) finish(execution, 'TIMED_OUT', {})
    else {
      const reason = (error.cause ?? error) as Error
      this.#options.log(`${execution.name}: failed: ${reason.name}: ${reason.message}`)
      finish(execution, 'FAILED', { error: reason.name, cause: reason.message })
    }
  }

  /** The interpreter asks for handlers by state name; states that call a function get one, wherever they are nested. */
  #handlers(definition: unknown, execution: Execution): Handlers {
    const handlers: Handlers = {}
    for (const [name, resource] of taskStates(definition)) {
      handlers[name] = (async (input: unknown) => {
        // The interpreter goes on to its next state or retry after an abort; nothing may be called then.
        if (execution.status !== 'RUNNING')
          throw new TaskError('States.Runtime', 'the execution was stopped', true)
        return this.#task(resource, input)
      }) as never
    }
    return handlers
  }

  async #task(resource: string, input: unknown): Promise<unknown> {
    const optimised = resource === 'arn:aws:states:::lambda:invoke'
    if (!optimised && !resource.includes(':lambda:')) {
      throw new TaskError('States.Runtime', `no local service for the resource ${resource}`, true)
    }
    const parameters = input as { FunctionName: string; Payload?: unknown }
    const [name, payload] = optimised
      ? [parameters.FunctionName, parameters.Payload ?? {}]
      : [resource, input]
    const result = await this.#options.invoke(name, payload).catch((error: Error) => {
      // Refusals by the service are called Lambda.<exception> in a state machine.
      throw new TaskError(`Lambda.${error instanceof AwsError ? error.code : 'Unknown'}`, error.message)
    })
    if (result.functionError) {
      throw new TaskError((JSON.parse(result.payload) as { errorType: string }).errorType, result.payload)
    }
    if (Buffer.byteLength(result.payload) > payloadMost) {
      throw new TaskError('States.DataLimitExceeded', 'the result exceeds 262144 bytes', true)
    }
    const output = JSON.parse(result.payload)
    return optimised ? { ExecutedVersion: result.executedVersion, Payload: output, StatusCode: 200 } : output
  }
}

/** `name` is what ErrorEquals compares; a `terminal` one is neither retried nor caught, by States.ALL either. */
class TaskError extends Error {
  readonly isRetryable: boolean
  readonly isCatchable: boolean
  constructor(name: string, cause: string, terminal = false) {
    super(cause)
    this.name = name
    this.isRetryable = !terminal
    this.isCatchable = !terminal
  }
}

function* taskStates(definition: unknown): Generator<[string, string]> {
  const { States } = definition as { States?: Record<string, Record<string, unknown>> }
  for (const [name, state] of Object.entries(States ?? {})) {
    if (state.Type === 'Task') yield [name, String(state.Resource)]
    const nested = [state.Iterator, state.ItemProcessor, ...((state.Branches as unknown[]) ?? [])]
    for (const inner of nested) if (inner) yield* taskStates(inner)
  }
}

function parseInput(input: string): unknown {
  try {
    return JSON.parse(input)
  } catch (error) {
    throw new AwsError('InvalidExecutionInput', `Invalid State Machine Execution Input: '${error}'`)
  }
}

function finish(
  execution: Execution,
  status: Status,
  result: { output?: string | null; error?: string | null; cause?: string | null },
): void {
  if (execution.status !== 'RUNNING') return
  execution.status = status
  execution.stoppedAtMs = Date.now()
  execution.output = result.output ?? null
  execution.error = result.error ?? null
  execution.cause = result.cause ?? null
}

function summary(execution: Execution): Record<string, unknown> {
  return {
    executionArn: execution.arn,
    stateMachineArn: execution.machine.arn,
    name: execution.name,
    status: execution.status,
    startDate: execution.startedAtMs / 1000,
    ...(execution.stoppedAtMs === null ? {} : { stopDate: execution.stoppedAtMs / 1000 }),
  }
}

function details({ input, output, error, cause }: Execution): Record<string, unknown> {
  const given = Object.entries({ input, output, error, cause }).filter(([, value]) => value !== null)
  return Object.fromEntries(given)
}

function machineSummary(machine: Machine): Record<string, unknown> {
  const { arn, name, createdAtMs } = machine
  return { stateMachineArn: arn, name, type: 'STANDARD', creationDate: createdAtMs / 1000 }
}

/** The interpreter's own event names where AWS has none that fit: enough to read what happened. */
function historyEvents(execution: Execution, reverse: boolean): unknown[] {
  const events = execution.history.map(({ type, timestamp, state, ...rest }, index) => {
    const named = state ? `${state.type}${type}` : type
    const common = { id: index + 1, previousEventId: index, timestamp: timestamp / 1000, type: named }
    if (type === 'StateEntered') {
      return {
        ...common,
        stateEnteredEventDetails: { name: state?.name, input: JSON.stringify(state?.input) },
      }
    }
    if (type === 'StateExited') {
      return {
        ...common,
        stateExitedEventDetails: { name: state?.name, output: JSON.stringify(state?.output) },
      }
    }
    if (type === 'StateFailed') {
      return {
        ...common,
        type: 'TaskFailed',
        taskFailedEventDetails: { error: rest.Error, cause: String(rest.Cause) },
      }
    }
    return common
  })
  return reverse ? events.reverse() : events
}
