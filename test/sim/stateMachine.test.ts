/** The interpreter in virtual time against the one that the embedded default runs: the same states, in the same order. */
import { StateMachine as Interpreter, type StateMachineDefinition } from 'aws-local-stepfunctions'
import { describe, expect, test } from 'vitest'
import { VirtualTime } from '../steps/model/time.ts'
import { definition } from './world/definition.ts'
import { type Call, StateMachine, TaskError } from './world/stateMachine.ts'

const synthesised = await definition()
// It writes into what it is given.
const other = new Interpreter(structuredClone(synthesised) as StateMachineDefinition)

/** What a task comes to, each time that it is called: an answer, or the name of an error. */
type Script = Readonly<Record<string, readonly (Record<string, unknown> | string)[]>>
type Data = Record<string, unknown>

const input = { cluster: 'orders', kind: 'failover', reason: 'test' }
const next = (step: string, rest: Data = {}) => ({ outcome: 'done', next: step, waitSeconds: 0, ...rest })
const waits = (step: string, seconds: number) => ({ outcome: 'waiting', next: step, waitSeconds: seconds })
const happy: Script = {
  Confirm: [next('fence')],
  Fence: [next('promote')],
  Promote: [next('repoint')],
  Repoint: [next('settle')],
  Settle: [next('end')],
  Halt: [{ outcome: 'done' }],
}

/** The next answer of a task; its last one stands for all that follow. */
function player(script: Script) {
  const calls: Record<string, number> = {}
  return (state: string, payload: unknown): unknown => {
    const answers = script[state] ?? []
    const count = calls[state] ?? 0
    calls[state] = count + 1
    const answer = answers[Math.min(count, answers.length - 1)]
    if (typeof answer === 'string') throw new TaskError(answer, 'as written')
    return { ...((payload as { input?: object }).input ?? {}), ...answer }
  }
}

async function inVirtualTime(script: Script, data: Data) {
  const time = new VirtualTime()
  const states: string[] = []
  const play = player(script)
  const machine = new StateMachine(synthesised)
  const invoke = async ({ Payload }: Call) => play(states.at(-1) ?? '', Payload)
  const run = machine.run(
    data,
    { execution: 'one' },
    { time, invoke, entered: (state) => states.push(state) },
  )
  const ending = await time.run(run.ending)
  const error = ending.status === 'failed' ? ending.error : null
  return { states, status: ending.status, error, output: 'output' in ending ? ending.output : null }
}

async function inTheOther(script: Script, data: Data) {
  const play = player(script)
  const tasks = Object.keys(happy)
  const handlers = Object.fromEntries(
    tasks.map((state) => [
      state,
      async ({ Payload }: { Payload: unknown }) => ({ StatusCode: 200, Payload: play(state, Payload) }),
    ]),
  )
  const run = other.run(data as never, {
    context: { Execution: { Id: 'one' } } as never,
    overrides: {
      taskResourceLocalHandlers: handlers as never,
      waitTimeOverrides: { ResumeWait: 0, Pause: 0 },
      retryIntervalOverrides: Object.fromEntries(tasks.map((state) => [state, 0])),
    },
  })
  const states: string[] = []
  const log = (async () => {
    for await (const event of run.eventLogs)
      if (event.type === 'StateEntered' && 'state' in event) states.push(event.state.name)
  })()
  const ended = await run.result.then(
    (output) => ({ status: 'succeeded', error: null, output }),
    (error: Error) => ({ status: 'failed', error: ((error.cause ?? error) as Error).name, output: null }),
  )
  await log
  return { states, ...ended }
}

type Case = readonly [name: string, script: Script, data?: Data]
const cases: readonly Case[] = [
  ['the flow', happy],
  ['a resume waits first', happy, { ...input, kind: 'resume' }],
  ['a settle goes to settle alone', happy, { ...input, kind: 'settle' }],
  ['no kind at all goes to confirm', happy, { cluster: 'orders' }],
  ['a step that waits', { ...happy, Fence: [waits('fence', 1), waits('fence', 2), next('promote')] }],
  ['a refusal of a person', { ...happy, Confirm: [{ outcome: 'refused', next: 'end' }] }],
  ['a refusal of assess', { ...happy, Confirm: [{ outcome: 'refused', next: 'end', automatic: {} }] }],
  ['an answer without a step', { ...happy, Promote: [{ outcome: 'done', next: 'nowhere' }] }],
  ['an error that passes', { ...happy, Promote: ['Lambda.Unknown', 'Sandbox.Timedout', next('repoint')] }],
  ['an error that stays', { ...happy, Repoint: ['TypeError'] }],
  ['an outage that stays', { ...happy, Fence: ['Lambda.ServiceException'] }],
  ['no cluster, and an error', { ...happy, Confirm: ['TypeError'] }, { kind: 'failover' }],
  ['a halt that fails for good', { ...happy, Promote: ['TypeError'], Halt: ['Error'] }],
]

describe('the same states as the interpreter of the embedded default', () => {
  test.each(cases.map(([name, script, data]) => ({ name, script, data: data ?? input })))(
    '$name',
    async ({ script, data }) => {
      const ours = await inVirtualTime(script, data)
      expect(ours).toEqual(await inTheOther(script, data))
      expect(ours.states.length).toBeGreaterThan(1)
    },
  )
})

describe('of its own', () => {
  test('nobody goes on after an error of the machine itself, with States.ALL either', async () => {
    const { status, error } = await inVirtualTime({ ...happy, Fence: ['States.Runtime'] }, input)
    expect([status, error]).toEqual(['failed', 'States.Runtime'])
  })

  test('H06 a time-out of a task does not stop its function, and is tried again', async () => {
    const time = new VirtualTime()
    const ended: number[] = []
    const machine = new StateMachine(synthesised)
    const invoke = async () => {
      await time.sleep(100_000)
      ended.push(time.nowMs)
      return next('end')
    }
    const run = machine.run(input, { execution: 'one' }, { time, invoke })
    expect(await time.run(run.ending)).toMatchObject({ status: 'failed', error: 'Understudy.Halted' })
    expect(ended[0]).toBe(101_000)
  })

  test('an execution that is stopped calls nothing any more', async () => {
    const time = new VirtualTime()
    let calls = 0
    const machine = new StateMachine(synthesised)
    const invoke = async () => {
      calls++
      await time.sleep(1_000)
      return waits('confirm', 5)
    }
    const run = machine.run(input, { execution: 'one' }, { time, invoke })
    time.after(2_000, run.abort)
    expect(await time.run(run.ending)).toEqual({ status: 'aborted' })
    await time.run(time.sleep(60_000))
    expect(calls).toBe(1)
  })

  test('what it does not know is refused', () => {
    const states = (state: object) => ({ StartAt: 'One', States: { One: state } })
    expect(() => new StateMachine(states({ Type: 'Map' }))).toThrow(/type Map/)
    expect(() => new StateMachine(states({ Type: 'Succeed', OutputPath: '$.x' }))).toThrow(/OutputPath/)
    expect(() => new StateMachine(states({ Type: 'Pass', Next: 'Two', ResultPath: '$.x' }))).toThrow(
      /no state Two/,
    )
  })
})
