/**
 * Runs a state machine in Amazon States Language (JSONPath) in virtual time: exactly what the synthesised definition
 * uses, and an error for anything else. As on AWS, a task's time-out does not stop the function that it waits for.
 */
import type { VirtualTime } from '../../steps/model/time.ts'

type Data = unknown
type Json = Readonly<Record<string, unknown>>

/** `name` is what ErrorEquals compares. */
export class TaskError extends Error {
  constructor(name: string, cause: string) {
    super(cause)
    this.name = name
  }
}

export interface Call {
  readonly FunctionName: string
  readonly Payload: Json
}

export interface Services {
  readonly time: VirtualTime
  /** Calls a function; rejects with an error whose name says what went wrong. */
  readonly invoke: (call: Call) => Promise<unknown>
  /** Called as each state is entered. */
  readonly entered?: (state: string, input: Data) => void
}

export type Ending =
  | { readonly status: 'succeeded'; readonly output: Data }
  | { readonly status: 'failed'; readonly error: string; readonly cause: string }
  | { readonly status: 'aborted' }

export interface Run {
  readonly ending: Promise<Ending>
  /** StopExecution: nothing is entered or called any more; what was called goes on. */
  abort(): void
}

interface Context {
  readonly execution: string
}

interface Going {
  readonly services: Services
  readonly context: Context
  readonly isOver: () => boolean
}

/** What a state comes to: the next one with its data, or an ending. */
type Outcome = { readonly next: string; readonly data: Data } | { readonly ending: Ending }
type State = (going: Going, data: Data) => Outcome | Promise<Outcome>

export class StateMachine {
  private readonly states: ReadonlyMap<string, State>
  private readonly first: string

  /** Throws on everything in the definition that it does not know. */
  constructor(definition: unknown) {
    const machine = only(definition, ['Comment', 'StartAt', 'TimeoutSeconds', 'States'])
    this.first = String(machine.StartAt)
    this.states = new Map(
      Object.entries(machine.States as Json).map(([name, state]) => [name, compile(name, state)]),
    )
    for (const name of [this.first, ...nextStates(machine.States)])
      if (!this.states.has(name)) throw new Error(`there is no state ${name}`)
  }

  run(input: Data, context: Context, services: Services): Run {
    let over = false
    const aborted = Promise.withResolvers<Ending>()
    const going = { services, context, isOver: () => over }
    const ran = this.goThrough(going, input).then((ending) => {
      over = true
      return ending
    })
    return {
      ending: Promise.race([ran, aborted.promise]),
      abort: () => {
        over = true
        aborted.resolve({ status: 'aborted' })
      },
    }
  }

  private async goThrough(going: Going, input: Data): Promise<Ending> {
    let at = this.first
    let data = input
    for (;;) {
      going.services.entered?.(at, data)
      const state = this.states.get(at) as State
      const outcome = await state(going, data)
      if (going.isOver()) return { status: 'aborted' }
      if ('ending' in outcome) return outcome.ending
      at = outcome.next
      data = outcome.data
    }
  }
}

function only(value: unknown, keys: readonly string[], where = 'the state machine'): Json {
  if (typeof value !== 'object' || value === null) throw new Error(`${where} is no object`)
  for (const key of Object.keys(value))
    if (!keys.includes(key)) throw new Error(`${where}: ${key} is not known to this interpreter`)
  return value as Json
}

function nextStates(states: unknown): string[] {
  if (Array.isArray(states)) return states.flatMap(nextStates)
  if (typeof states !== 'object' || states === null) return []
  return Object.entries(states).flatMap(([key, value]) =>
    (key === 'Next' || key === 'Default') && typeof value === 'string' ? [value] : nextStates(value),
  )
}

function compile(name: string, state: unknown): State {
  const type = String((state as Json).Type)
  const make = makers[type]
  if (make === undefined) throw new Error(`${name}: states of type ${type} are not known to this interpreter`)
  return make(name, state)
}

const makers: Readonly<Record<string, (name: string, state: unknown) => State>> = {
  Choice: (name, state) => {
    const { Choices, Default } = only(state, ['Type', 'Choices', 'Default'], name)
    const choices = (Choices as unknown[]).map((choice) => {
      const { Next, ...rule } = choice as Json
      return { test: condition(name, rule), next: String(Next) }
    })
    return (_going, data) => {
      const next = choices.find(({ test }) => test(data))?.next ?? Default
      if (next === undefined) return failed('States.NoChoiceMatched', name)
      return { next: String(next), data }
    }
  },
  Wait: (name, state) => {
    const { Seconds, SecondsPath, Next } = only(state, ['Type', 'Seconds', 'SecondsPath', 'Next'], name)
    return async ({ services }, data) => {
      const seconds = SecondsPath === undefined ? Seconds : read(data, String(SecondsPath))
      if (!Number.isInteger(seconds) || Number(seconds) < 0)
        return failed('States.Runtime', `${name}: ${String(seconds)} is not a number of seconds`)
      await services.time.sleep(Number(seconds) * 1_000)
      return { next: String(Next), data }
    }
  },
  Pass: (name, state) => {
    const { Result, ResultPath, Next } = only(state, ['Type', 'Result', 'ResultPath', 'Next'], name)
    return (_going, data) => ({ next: String(Next), data: placed(data, ResultPath, Result) })
  },
  Succeed: (name, state) => {
    only(state, ['Type'], name)
    return (_going, output) => ({ ending: { status: 'succeeded', output } })
  },
  Fail: (name, state) => {
    const { Error: error, Cause } = only(state, ['Type', 'Error', 'Cause'], name)
    return () => failed(String(error), String(Cause))
  },
  Task: compileTask,
}

const failed = (error: string, cause: string): Outcome => ({ ending: { status: 'failed', error, cause } })

type Test = (data: Data) => boolean

function condition(name: string, rule: Json): Test {
  if ('And' in rule) {
    const tests = (only(rule, ['And'], name).And as Json[]).map((each) => condition(name, each))
    return (data) => tests.every((test) => test(data))
  }
  const { Variable, ...operators } = only(rule, ['Variable', 'IsPresent', 'IsNumeric', 'StringEquals'], name)
  const path = String(Variable)
  const [[operator, operand] = ['', undefined], ...others] = Object.entries(operators)
  if (operator === '' || others.length > 0) throw new Error(`${name}: a choice needs one comparison`)
  const compare: Record<string, Test> = {
    IsPresent: (data) => (read(data, path) !== undefined) === operand,
    IsNumeric: (data) => (typeof read(data, path) === 'number') === operand,
    StringEquals: (data) => read(data, path) === operand,
  }
  return compare[operator] as Test
}

interface Retrier {
  readonly matches: (error: Error) => boolean
  readonly attempts: number
  readonly waitMs: (attempt: number) => number
}

function compileTask(name: string, state: unknown): State {
  const task = only(
    state,
    ['Type', 'Resource', 'Parameters', 'OutputPath', 'TimeoutSeconds', 'Retry', 'Catch', 'Next'],
    name,
  )
  if (!/^arn:[^:]+:states:::lambda:invoke$/.test(String(task.Resource)))
    throw new Error(`${name}: the resource ${String(task.Resource)} is not known to this interpreter`)
  const parameters = template(name, task.Parameters)
  const retriers = ((task.Retry ?? []) as unknown[]).map((each) => retrier(name, each))
  const catchers = ((task.Catch ?? []) as unknown[]).map((each) => {
    const { ErrorEquals, ResultPath, Next } = only(each, ['ErrorEquals', 'ResultPath', 'Next'], name)
    return { matches: matcher(ErrorEquals), path: ResultPath, next: String(Next) }
  })
  const timeoutMs = Number(task.TimeoutSeconds) * 1_000
  if (!(timeoutMs > 0)) throw new Error(`${name}: a task needs a time-out`)

  return async (going, data) => {
    const { services, context } = going
    const tried = retriers.map(() => 0)
    for (;;) {
      try {
        const payload = await bounded(
          services.time,
          timeoutMs,
          services.invoke(parameters(data, context) as unknown as Call),
        )
        const result = { StatusCode: 200, Payload: payload }
        const output = task.OutputPath === undefined ? result : read(result, String(task.OutputPath))
        return { next: String(task.Next), data: output }
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown))
        if (going.isOver()) return { ending: { status: 'aborted' } }
        const index = retriers.findIndex((each) => each.matches(error))
        const found = retriers[index]
        const attempt = tried[index] ?? 0
        if (found && attempt < found.attempts) {
          tried[index] = attempt + 1
          await services.time.sleep(found.waitMs(attempt))
          if (going.isOver()) return { ending: { status: 'aborted' } }
          continue
        }
        const caught = catchers.find((each) => each.matches(error))
        if (caught === undefined) return failed(error.name, error.message)
        const result = { Error: error.name, Cause: error.message }
        return { next: caught.next, data: placed(data, caught.path, result) }
      }
    }
  }
}

function retrier(name: string, each: unknown): Retrier {
  const known = ['ErrorEquals', 'IntervalSeconds', 'MaxAttempts', 'BackoffRate', 'MaxDelaySeconds']
  const { ErrorEquals, IntervalSeconds, MaxAttempts, BackoffRate, MaxDelaySeconds } = only(each, known, name)
  const most = MaxDelaySeconds === undefined ? Number.POSITIVE_INFINITY : Number(MaxDelaySeconds)
  return {
    matches: matcher(ErrorEquals),
    attempts: Number(MaxAttempts ?? 3),
    waitMs: (attempt) =>
      1_000 * Math.min(Number(IntervalSeconds ?? 1) * Number(BackoffRate ?? 2) ** attempt, most),
  }
}

/** States.ALL leaves out what nobody may go on after. */
function matcher(names: unknown): (error: Error) => boolean {
  const wanted = names as string[]
  const terminal = ['States.Runtime', 'States.DataLimitExceeded']
  return ({ name }) => wanted.includes(name) || (wanted.includes('States.ALL') && !terminal.includes(name))
}

function bounded<T>(time: VirtualTime, ms: number, promise: Promise<T>): Promise<T> {
  const { promise: result, resolve, reject } = Promise.withResolvers<T>()
  const alarm = time.after(ms, () => reject(new TaskError('States.Timeout', `no answer in ${ms} ms`)))
  promise.then(
    (value) => {
      alarm.cancel()
      resolve(value)
    },
    (error) => {
      alarm.cancel()
      reject(error)
    },
  )
  return result
}

type Template = (data: Data, context: Context) => unknown

/** Keys that end in `.$` are paths into the data, or into the context object. */
function template(name: string, value: unknown): Template {
  if (typeof value !== 'object' || value === null) return () => value
  if (Array.isArray(value)) throw new Error(`${name}: lists in parameters are not known to this interpreter`)
  const fields = Object.entries(value).map(([key, each]): [string, Template] => {
    if (!key.endsWith('.$')) return [key, template(name, each)]
    const path = String(each)
    if (path === '$$.Execution.Id') return [key.slice(0, -2), (_data, context) => context.execution]
    if (path.startsWith('$$')) throw new Error(`${name}: ${path} is not known to this interpreter`)
    return [key.slice(0, -2), (data) => read(data, path)]
  })
  return (data, context) => Object.fromEntries(fields.map(([key, make]) => [key, make(data, context)]))
}

const paths = new Map<string, readonly string[]>()

/** `$` and `$.a.b`; undefined: nothing is there. */
function read(data: Data, path: string): unknown {
  let keys = paths.get(path)
  if (keys === undefined) {
    if (!/^\$(\.[A-Za-z_]\w*)*$/.test(path))
      throw new Error(`the path ${path} is not known to this interpreter`)
    keys = path.split('.').slice(1)
    paths.set(path, keys)
  }
  let value = data
  for (const key of keys) value = (value as Json | null | undefined)?.[key]
  return value
}

function placed(data: Data, path: unknown, result: unknown): Data {
  const key = /^\$\.([A-Za-z_]\w*)$/.exec(String(path))?.[1]
  if (key === undefined) throw new Error(`the result path ${String(path)} is not known to this interpreter`)
  return { ...(data as object), [key]: result }
}
