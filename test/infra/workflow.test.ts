/** The definition, run by an interpreter of the language with handlers in place of functions. */
import { StateMachine, type StateMachineDefinition } from 'aws-local-stepfunctions'
import { describe, expect, test } from 'vitest'
import {
  functionTimeoutSeconds,
  taskMarginSeconds,
  type WorkflowStep,
  workflowSteps,
  zombieWaitSeconds,
} from '../../functions/core/limits.ts'
import { stateOf, workflowDefinition } from '../../infra/workflow.ts'

const arns = Object.fromEntries(
  [...workflowSteps, 'command'].map((name) => [
    name,
    `arn:aws:lambda:eu-central-1:123456789012:function:understudy-${name}:7`,
  ]),
) as Parameters<typeof workflowDefinition>[0]
const definition = workflowDefinition(arns)
// The constructor validates the language, its paths and its ARNs.
const machine = new StateMachine(definition as unknown as StateMachineDefinition)

type Data = Record<string, unknown>
interface Invocation {
  readonly FunctionName: string
  readonly Payload: Data
}
type Handler = (payload: Data, call: number) => unknown

const execution = 'arn:aws:states:eu-central-1:123456789012:execution:understudy-failover:orders-8-x'
const input = { cluster: 'orders', kind: 'failover', reason: 'test' }
const steps = workflowSteps.map((name) => [name, stateOf[name]] as const)
const tasks = [...Object.values(stateOf), 'Halt']

/** A step's answer: its input with what comes next. */
const answer =
  (next: string, rest: Data = {}): Handler =>
  (payload) => ({ ...(payload.input as Data), outcome: 'done', next, waitSeconds: 0, reasons: [], ...rest })
const happy: Record<string, Handler> = {
  Confirm: answer('fence'),
  Fence: answer('promote'),
  Promote: answer('repoint'),
  Repoint: answer('settle'),
  Settle: answer('end'),
  Halt: () => ({ halted: true }),
}

/** Errors of Lambda itself, and of the way to it. */
const transientErrors = [
  'Lambda.TooManyRequestsException',
  'Lambda.ServiceException',
  'Lambda.AWSLambdaException',
  'Lambda.SdkClientException',
  'Lambda.Unknown',
  'Lambda.ClientExecutionTimeoutException',
  'Sandbox.Timedout',
  'States.Timeout',
]

class LambdaError extends Error {
  constructor(name: string) {
    super(`as thrown by ${name}`)
    this.name = name
  }
}
const fail =
  (name: string, times = Number.POSITIVE_INFINITY, then: Handler = () => ({})): Handler =>
  (payload, call) => {
    if (call <= times) throw new LambdaError(name)
    return then(payload, call)
  }

/** Runs to the end; `path` holds the states that were entered, `error` that of a Fail state. */
async function run(handlers: Record<string, Handler>, data: unknown = input) {
  const calls: Record<string, Invocation[]> = {}
  const call = (state: string) => (invocation: unknown) => {
    const seen = [...(calls[state] ?? []), invocation as Invocation]
    calls[state] = seen
    const handler = handlers[state] ?? happy[state]
    return { Payload: handler?.((invocation as Invocation).Payload, seen.length) } as never
  }
  const started = machine.run(data as never, {
    overrides: {
      taskResourceLocalHandlers: Object.fromEntries(tasks.map((state) => [state, call(state)])),
      waitTimeOverrides: { ResumeWait: 0, Pause: 0 },
      retryIntervalOverrides: Object.fromEntries(tasks.map((state) => [state, 0])),
    },
    context: { Execution: { Id: execution } },
  })
  // The log says how it ended; the promise only that it did.
  const ended = started.result.catch(() => undefined)
  const path: string[] = []
  let error: string | undefined
  for await (const event of started.eventLogs) {
    if (event.type === 'StateEntered') path.push(event.state.name)
    if (event.type === 'ExecutionFailed') error = event.Error
  }
  const output = (await ended) as Data | undefined
  return {
    output,
    error,
    path: path.filter((state) => !['Route', 'Dispatch', 'Fault'].includes(state)),
    calls,
  }
}

describe('the path', () => {
  test('F01 a failover goes through all steps, and no state on its way waits (H29)', async () => {
    const { path, output, error } = await run({})
    expect(error).toBeUndefined()
    expect(path).toEqual(['Admit', 'Confirm', 'Fence', 'Promote', 'Repoint', 'Settle', 'Done'])
    expect(output).toMatchObject({ cluster: 'orders', next: 'end' })
  })

  test('each step gets the whole data and the execution that it acts for', async () => {
    const { calls } = await run({ Confirm: answer('fence', { term: 8 }) })
    expect(calls.Confirm).toEqual([{ FunctionName: arns.confirm, Payload: { input, execution } }])
    expect(calls.Fence?.[0]?.FunctionName).toBe(arns.fence)
    expect(calls.Fence?.[0]?.Payload).toMatchObject({ execution, input: { ...input, term: 8 } })
  })

  test('S4 resume waits before it confirms', async () => {
    const { path } = await run({ Confirm: answer('end') }, { ...input, kind: 'resume' })
    expect(path).toEqual(['Admit', 'ResumeWait', 'Confirm', 'Done'])
    expect(definition.States.ResumeWait).toMatchObject({ Seconds: zombieWaitSeconds })
  })

  test('settle goes straight to its step', async () => {
    const { path } = await run({}, { ...input, kind: 'settle' })
    expect(path).toEqual(['Admit', 'Settle', 'Done'])
  })

  test.each([
    ['no kind', { cluster: 'orders' }],
    ['an unknown kind', { ...input, kind: 'explode' }],
    ['a kind that is no text', { ...input, kind: 7 }],
    ['nothing', {}],
  ])('manual input with %s reaches confirm, which refuses it', async (_, data) => {
    const { path, error, calls } = await run({ Confirm: answer('end', { outcome: 'refused' }) }, data)
    expect(path).toEqual(['Admit', 'Confirm', 'Refused'])
    expect(error).toBe('Understudy.Refused')
    expect(calls.Confirm?.[0]?.Payload.input).toEqual(data)
  })

  test.each(steps)('%s is dispatched to from any step, itself included', async (name, state) => {
    const seen: string[] = []
    const { path } = await run({
      Confirm: (payload, call) => {
        seen.push('Confirm')
        return answer(call === 1 ? name : 'end')(payload, call)
      },
      ...(state === 'Confirm' ? {} : { [state]: answer('end') }),
    })
    expect(path).toEqual(['Admit', 'Confirm', state, 'Done'])
  })

  test.each(steps)(
    '%s: a waiting step pauses for as long as it says, then is asked again',
    async (name, state) => {
      const waits = (payload: Data, call: number) =>
        answer(call < 3 ? name : 'end', call < 3 ? { outcome: 'waiting', waitSeconds: 15 } : {})(
          payload,
          call,
        )
      const { path } = await run({ Confirm: answer(name), [state]: waits }, { ...input, kind: 'failover' })
      const expected = ['Pause', state, 'Pause', state, 'Done']
      expect(path.slice(-5)).toEqual(expected)
      expect(definition.States.Pause).toMatchObject({ Type: 'Wait', SecondsPath: '$.waitSeconds' })
    },
  )

  test.each(steps)('%s: refused ends the execution at once, without halting', async (name, state) => {
    const { path, error, calls } = await run({
      Confirm: answer(name),
      [state]: answer('fence', { outcome: 'refused' }),
    })
    expect(error).toBe('Understudy.Refused')
    expect(path.at(-1)).toBe('Refused')
    expect(calls.Halt).toBeUndefined()
  })
})

describe('retry and catch', () => {
  describe.each(steps)('%s', (name, state) => {
    /** The first step is confirm; it leads to the one under test. */
    const at = (handler: Handler) =>
      state === 'Confirm' ? { Confirm: handler } : { Confirm: answer(name), [state]: handler }

    test.each(transientErrors)('%s is retried eight times, then halts', async (error) => {
      const saved = await run(at(fail(error, 8, answer('end'))))
      expect(saved.error).toBeUndefined()
      expect(saved.calls[state]).toHaveLength(9)
      const lost = await run(at(fail(error)))
      expect(lost.calls[state]).toHaveLength(9)
      expect(lost.path.slice(-2)).toEqual(['Halt', 'Halted'])
    })

    test('any other error is retried twice, then halts with what was thrown', async () => {
      const saved = await run(at(fail('TypeError', 2, answer('end'))))
      expect(saved.error).toBeUndefined()
      expect(saved.calls[state]).toHaveLength(3)
      const lost = await run(at(fail('TypeError')))
      expect(lost.calls[state]).toHaveLength(3)
      expect(lost.error).toBe('Understudy.Halted')
      expect(lost.calls.Halt).toEqual([
        {
          FunctionName: arns.command,
          Payload: {
            command: 'halt',
            cluster: 'orders',
            execution,
            error: { Error: 'TypeError', Cause: 'as thrown by TypeError' },
          },
        },
      ])
    })

    test.each([
      ['names no step', { next: undefined }],
      ['names an unknown step', { next: 'explode' }],
      ['waits for no number', { next: 'explode', outcome: 'waiting', waitSeconds: 'soon' }],
      ['says nothing', { next: undefined, outcome: undefined }],
    ])('an answer that %s halts instead of ending elsewhere', async (_, rest) => {
      const broken: Handler = (payload) => JSON.parse(JSON.stringify(answer('end', rest)(payload, 1)))
      const { error, calls, path } = await run(at(broken))
      expect(path).not.toContain('Pause')
      expect(error).toBe('Understudy.Halted')
      expect(calls.Halt?.[0]?.Payload.error).toMatchObject({ Error: 'Understudy.Lost' })
    })
  })

  test('halt is tried twenty times more, and its failure still ends in Halted', async () => {
    const saved = await run({ Confirm: fail('TypeError'), Halt: fail('Lambda.Unknown', 20) })
    expect(saved.calls.Halt).toHaveLength(21)
    const lost = await run({ Confirm: fail('TypeError'), Halt: fail('Lambda.Unknown') })
    expect(lost.calls.Halt).toHaveLength(21)
    expect([saved.error, lost.error]).toEqual(['Understudy.Halted', 'Understudy.Halted'])
  })

  test('an execution without a cluster that fails still ends in Halted', async () => {
    const { error } = await run({ Confirm: fail('TypeError') }, {})
    expect(error).toBe('Understudy.Halted')
  })
})

describe('the definition', () => {
  const states = Object.entries(definition.States)

  test('every task has Retry, and a Catch that leads to Halt, or from there to Halted', () => {
    for (const [name, state] of states.filter(([, state]) => state.Type === 'Task')) {
      expect(state.Retry, name).not.toHaveLength(0)
      expect(state.Catch, name).toEqual([
        expect.objectContaining({ ErrorEquals: ['States.ALL'], Next: name === 'Halt' ? 'Halted' : 'Fault' }),
      ])
    }
  })

  test('H06 H29 the workflow waits longer for a task than its function may run', () => {
    for (const name of workflowSteps)
      expect(definition.States[stateOf[name as WorkflowStep]]?.TimeoutSeconds).toBe(
        functionTimeoutSeconds[name] + taskMarginSeconds,
      )
    expect(definition.States.Halt?.TimeoutSeconds).toBeGreaterThan(functionTimeoutSeconds.command)
  })

  test('H29 numbers of seconds are whole', () => {
    const seconds = JSON.stringify(definition).match(/"\w*Seconds":[^,}]+/g) ?? []
    expect(seconds.length).toBeGreaterThan(5)
    for (const found of seconds) expect(found).toMatch(/:(\d+|"\$\.waitSeconds")$/)
  })

  test('H29 only a resume and a waiting step ever wait', () => {
    expect(states.filter(([, { Type }]) => Type === 'Wait').map(([name]) => name)).toEqual([
      'ResumeWait',
      'Pause',
    ])
  })

  test('H29 the function is called by a version', () => {
    for (const [name, state] of states.filter(([, { Type }]) => Type === 'Task'))
      expect((state.Parameters as Invocation).FunctionName, name).toMatch(/:7$/)
  })
})
