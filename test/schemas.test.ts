/** What is accepted from outside, and the words in which anything else is refused. */
import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import type {
  Approval,
  ClusterState,
  Event,
  Fleet,
  Issue,
  Look,
  ProbeRow,
  Report,
} from '../functions/core/types.ts'
import type { WorkflowInput } from '../functions/core/workflow.ts'
import type { LookRequest, OperateRequest, SqlResult } from '../functions/ports.ts'
import {
  type approvalSchema,
  commandSchema,
  eventSchema,
  type fleetSchema,
  type issueSchema,
  isWorkflowHalt,
  type lookRequestSchema,
  lookSchema,
  operateRequestSchema,
  probeRowSchema,
  problemsOf,
  readWorkflowInput,
  reportSchema,
  type sqlResultSchema,
  stateSchema,
  stepPayloadSchema,
  workflowHaltSchema,
  type workflowInputSchema,
} from '../functions/schemas.ts'
import { claimed, event, look, report, row, state } from './aws/samples.ts'

/** Does not compile when a schema and the core's type part: `true` only when each fits the other. */
type Fits<S extends z.ZodType, T> = [z.output<S>] extends [T]
  ? [T] extends [z.input<S>]
    ? true
    : 'core lacks'
  : 'schema lacks'
const fits: [
  Fits<typeof stateSchema, ClusterState>,
  Fits<typeof reportSchema, Report>,
  Fits<typeof approvalSchema, Approval>,
  Fits<typeof issueSchema, Issue>,
  Fits<typeof eventSchema, Event>,
  Fits<typeof fleetSchema, Fleet>,
  Fits<typeof lookSchema, Look>,
  Fits<typeof probeRowSchema, ProbeRow>,
  Fits<typeof lookRequestSchema, LookRequest>,
  Fits<typeof operateRequestSchema, OperateRequest>,
  Fits<typeof sqlResultSchema, SqlResult>,
  Fits<typeof workflowInputSchema, WorkflowInput>,
] = [true, true, true, true, true, true, true, true, true, true, true, true]

const problems = (schema: z.ZodType, value: unknown) => {
  const read = schema.safeParse(value)
  return read.success ? [] : problemsOf(read.error)
}

describe('records', () => {
  test('what the core makes is accepted unchanged', () => {
    expect(fits).toHaveLength(12)
    const plan: ClusterState['plan'] = {
      kind: 'failover',
      reason: 'dead',
      by: 'assess',
      automatic: true,
      to: null,
      returnTo: 'steady',
      facts: { looks: 3 },
      from: 'a',
      fromTimeline: 1,
      looks: { asked: 2, dead: 2, silent: 0, restart: 0 },
      frozen: {
        b: { primaryConninfo: '', restoreCommand: '', timeline: null, positionBytes: null, replayable: null },
      },
      network: {},
      writeStop: null,
      evidence: [
        { kind: 'instanceStopped', node: 'a', instanceId: 'i-0a', term: 2 },
        { kind: 'quorum', node: 'a', term: 2, listed: ['b', 'c'], k: 1, counted: ['b', 'c'] },
      ],
      fenceRequested: ['a'],
      target: 'b',
      targetPositionBytes: 9,
      loss: { provable: 'none', boundMs: null, reason: '' },
      promotedTimeline: null,
    }
    const full = claimed(3, 'claim', { plan, pause: { owner: 'anna', reason: 'upgrade', untilMs: 1 } })
    expect(stateSchema.parse(full)).toEqual(full)
    expect(reportSchema.parse(report())).toEqual(report())
    expect(lookSchema.parse(look())).toEqual(look())
    expect(eventSchema.parse(event())).toEqual(event())
    expect(probeRowSchema.parse(row)).toEqual(row)
  })

  test('H02 evidence is a closed list', () => {
    const evidence = { kind: 'timedOut', node: 'a', term: 2 }
    const plan = { evidence: [evidence] }
    expect(problems(stateSchema, { ...state(1), plan })).toContainEqual(
      expect.stringMatching(/^plan\.evidence\.0\.kind: expected one of 'instanceStopped' \|/),
    )
  })

  test('H23 each problem is one line, path first, in words', () => {
    const nodes = { b: { ...report().nodes.b, class: 'dead', ticks: '3' } }
    expect(problems(reportSchema, { ...report(), token: 1.5, nodes, holder: undefined })).toEqual([
      'token: expected a whole number, got a fraction or one too large',
      'holder: missing (expected text)',
      expect.stringMatching(/^nodes\.b\.class: expected one of writable, .*, got "dead"$/),
      'nodes.b.ticks: expected a number, got text',
    ])
    expect(problems(reportSchema, null)).toEqual(['expected an object, got null'])
    expect(problems(stateSchema, { ...state(1), claim: 'mine' })).toEqual([
      'claim: expected an object, got text',
    ])
    expect(problems(stateSchema, { ...state(1), version: 0 })).toEqual(['version: must be at least 1'])
  })
})

describe('input of the workflow', () => {
  const message = (input: unknown) => {
    const read = readWorkflowInput(input)
    return read.ok ? 'accepted' : read.message
  }

  test('what a person types in the console is accepted', () => {
    const input = { cluster: 'orders', kind: 'failover', reason: 'disk is failing' }
    expect(readWorkflowInput(input)).toEqual({ ok: true, value: input })
    expect(message({ ...input, by: 'anna', to: 'b' })).toBe('accepted')
  })

  test('what a step answered is input of the next, and what Step Functions adds is tolerated', () => {
    const input = { cluster: 'orders', kind: 'resume', reason: 'beat stood still' }
    const answered = {
      outcome: 'waiting',
      next: 'fence',
      waitSeconds: 2,
      reasons: ['stopping'],
      waits: 3,
      term: 4,
    }
    const error = { Error: 'States.Timeout', Cause: '' }
    expect(message({ ...input, ...answered, error })).toBe('accepted')
  })

  test('all problems are in one message that says what to do', () => {
    const said = message({ cluster: 'Orders!', kind: 'fail-over', reason: ' ', cluser: 'orders' })
    expect(said).toContain('cluster: must be 1 to 40 of a-z, 0-9 and -')
    expect(said).toContain('kind: expected one of failover, switchover, resume, settle, got "fail-over"')
    expect(said).toContain('reason: is empty; say why')
    expect(said).toContain('cluser: unknown, remove it')
    expect(said).toContain('Nothing was done. Start again with an input such as {"cluster":"orders"')
    expect(message({})).toContain('cluster: missing (expected text); kind: missing (expected one of')
    expect(message(null)).toContain('expected an object, got null')
    expect(message('orders')).toContain('expected an object, got text')
  })

  test('a payload of a step needs its execution', () => {
    expect(problems(stepPayloadSchema, { input: {}, execution: 'arn' })).toEqual([])
    expect(problems(stepPayloadSchema, { input: {} })).toEqual(['execution: missing (expected text)'])
  })
})

describe('requests and commands', () => {
  test('an unknown SQL action is refused', () => {
    const request = { cluster: 'orders', node: 'b', term: 2, claimId: 'x', action: { do: 'drop' } }
    expect(problems(operateRequestSchema, request)).toEqual([
      expect.stringMatching(/^action\.do: expected one of/),
    ])
    expect(problems(operateRequestSchema, { ...request, action: { do: 'freeze' } })).toEqual([])
  })

  test.each([
    { command: 'adopt', cluster: 'orders', takeOver: true },
    { command: 'acknowledge', cluster: 'orders', reason: 'seen', by: 'anna' },
    { command: 'pause', cluster: 'orders', owner: 'anna', reason: 'upgrade', minutes: 60 },
    { command: 'resume', cluster: 'orders', by: 'anna' },
    { command: 'failover', cluster: 'orders', reason: 'disk', by: 'anna', to: 'b' },
    { command: 'switchover', cluster: 'orders', reason: 'patch', by: 'anna' },
    {
      command: 'approve',
      cluster: 'orders',
      term: 3,
      target: 'b',
      acceptLoss: true,
      unfenced: ['a'],
      reason: 'gone',
      by: 'anna',
      minutes: 30,
    },
    { command: 'status' },
    { command: 'explain', cluster: 'orders', limit: 5 },
    { command: 'doctor', cluster: 'orders' },
    { command: 'halt', cluster: 'orders', reason: 'it waits and will not end', by: 'anna' },
  ])('$command is accepted as it is meant', (command) => {
    expect(problems(commandSchema, command)).toEqual([])
  })

  test('the halt of the workflow takes whatever is left of its data, that of a person says who and why', () => {
    const failed = { command: 'halt', cluster: 'orders', error: { Error: 'States.TaskFailed' }, more: 1 }
    expect(problems(workflowHaltSchema, { ...failed, execution: 'arn' })).toEqual([])
    expect([isWorkflowHalt({ ...failed, execution: 'arn' }), isWorkflowHalt(failed)]).toEqual([true, false])
    expect(problems(commandSchema, { command: 'halt', cluster: 'orders' })).toEqual([
      'reason: missing (expected text)',
      'by: missing (expected text)',
    ])
  })

  test('H25 an approval names its term, what is lost and who', () => {
    expect(problems(commandSchema, { command: 'approve', cluster: 'orders', by: '' })).toEqual([
      'term: missing (expected a number)',
      'acceptLoss: missing (expected true or false)',
      'unfenced: missing (expected a list)',
      'reason: missing (expected text)',
      'by: is empty',
      'minutes: missing (expected a number)',
    ])
  })

  test('a typing mistake, an endless pause and an unknown command are refused', () => {
    const pause = { command: 'pause', cluster: 'orders', owner: 'anna', reason: 'x', minutes: 1_000_000 }
    expect(problems(commandSchema, pause)).toHaveLength(1)
    expect(problems(commandSchema, { command: 'status', clutser: 'orders' })).toEqual([
      'clutser: unknown, remove it',
    ])
    expect(problems(commandSchema, { command: 'promote' })).toEqual([
      expect.stringMatching(/^command: expected one of/),
    ])
  })
})
