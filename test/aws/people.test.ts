/** The workflow's start, messages to people and to the bus, and passwords. */
import { EventBridgeClient } from '@aws-sdk/client-eventbridge'
import { SFNClient } from '@aws-sdk/client-sfn'
import { SNSClient } from '@aws-sdk/client-sns'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createClients, timeouts } from '../../functions/aws/clients.ts'
import { createNotifier, subjectOf } from '../../functions/aws/notifier.ts'
import { createSecrets } from '../../functions/aws/secrets.ts'
import { createWorkflow } from '../../functions/aws/workflow.ts'
import { event } from './samples.ts'
import { credentials, type Reply, serve } from './servers.ts'

const common = (endpoint: string) => ({
  endpoint,
  region: 'eu-west-1',
  credentials,
  maxAttempts: 2,
  requestHandler: timeouts(1_000),
})
const failure = (type: string, status = 400) => ({
  status,
  body: JSON.stringify({ __type: type, message: 'no' }),
})

describe('workflow', () => {
  async function machine(answer: (n: number) => Reply) {
    const service = await serve((_, all) => answer(all.length))
    const client = new SFNClient(common(service.endpoint))
    return { workflow: createWorkflow({ client, stateMachineArn: 'arn:machine' }), seen: service.seen }
  }
  const startedReply = { body: JSON.stringify({ executionArn: 'arn:x', startDate: 1 }) }

  test('H13 the name is given, and the same input is the same bytes in whatever order it was made', async () => {
    const { workflow, seen } = await machine(() => startedReply)
    expect(await workflow.start('orders-8-failover-ab', { b: [{ y: 1, x: 2 }], a: null })).toBe('started')
    expect(await workflow.start('orders-8-failover-ab', { a: null, b: [{ x: 2, y: 1 }] })).toBe('started')
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({
      stateMachineArn: 'arn:machine',
      name: 'orders-8-failover-ab',
      input: '{"a":null,"b":[{"x":2,"y":1}]}',
    })
    expect(seen[1]?.body).toBe(seen[0]?.body)
  })

  test('H13 an execution of this name was there before', async () => {
    const { workflow } = await machine(() => failure('com.amazonaws.states#ExecutionAlreadyExists'))
    expect(await workflow.start('n', {})).toBe('exists')
  })

  test('S5 outages are unknown after a bounded number of tries; a request that is wrong is thrown', async () => {
    const outage = await machine(() => failure('InternalError', 500))
    expect(await outage.workflow.start('n', {})).toBe('unknown')
    expect(outage.seen).toHaveLength(2)
    const throttled = await machine(() => failure('ThrottlingException'))
    expect(await throttled.workflow.start('n', {})).toBe('unknown')
    const wrong = await machine(() => failure('StateMachineDoesNotExist'))
    await expect(wrong.workflow.start('n', {})).rejects.toThrow()
  })
})

describe('notifier', () => {
  const published = {
    body: '<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>',
  }
  const taken = { body: JSON.stringify({ FailedEntryCount: 0, Entries: [{ EventId: 'e' }] }) }

  async function people(sns: Reply = published, bus: Reply = taken) {
    const topic = await serve(() => sns)
    const events = await serve(() => bus)
    const notifier = createNotifier({
      sns: new SNSClient(common(topic.endpoint)),
      eventBridge: new EventBridgeClient(common(events.endpoint)),
      topicArn: 'arn:topic',
      busName: 'understudy',
      deployment: 'prod',
    })
    return { notifier, topic: topic.seen, bus: events.seen }
  }
  const issue = {
    cluster: 'orders',
    key: 'twoWriters',
    severity: 'critical' as const,
    message: 'a and b both accept writes',
    todo: 'stop one of them now',
    sinceMs: 0,
  }
  const failover = event({ term: 8, kind: 'promoted', row: 'P4', message: 'b was promoted', by: 'assess' })

  test('an event says what happened, why by which row, and what to do', async () => {
    const { notifier, topic, bus } = await people()
    await notifier.notify('orders', failover)
    const form = new URLSearchParams(topic[0]?.body)
    expect(form.get('TopicArn')).toBe('arn:topic')
    expect(form.get('Subject')).toBe('[prod] orders: promoted (term 8)')
    expect(form.get('Message')).toMatch(
      /^What happened: b was promoted\nWhy: row P4 of the decision table, term 8, state version 1\n.*\nWhat to do: nothing/s,
    )
    const [entry] = (JSON.parse(bus[0]?.body ?? '') as { Entries: Record<string, string>[] }).Entries
    expect(entry).toMatchObject({
      Source: 'understudy',
      DetailType: 'Understudy Event',
      EventBusName: 'understudy',
    })
    expect(JSON.parse(entry?.Detail ?? '')).toMatchObject({
      deployment: 'prod',
      cluster: 'orders',
      kind: 'promoted',
    })
  })

  test('a page says what to do', async () => {
    const { notifier, topic, bus } = await people()
    await notifier.page('orders', issue)
    expect(new URLSearchParams(topic[0]?.body).get('Message')).toContain('What to do: stop one of them now')
    expect(bus[0]?.body).toContain('Understudy Issue')
  })

  test.each([
    ['SNS is down', { status: 500, body: '' }, taken],
    ['the bus is down', published, { status: 500, body: '' }],
    [
      'the bus answers well and takes nothing',
      published,
      { body: JSON.stringify({ FailedEntryCount: 1, Entries: [{ ErrorCode: 'ThrottlingException' }] }) },
    ],
  ])('%s: the other one is still told, and the failure is thrown', async (_, sns, bus) => {
    const { notifier, topic, bus: seen } = await people(sns, bus)
    await expect(notifier.notify('orders', failover)).rejects.toThrow(/not handed over/)
    expect([topic.length > 0, seen.length > 0]).toEqual([true, true])
  })

  test('long facts are cut, an odd time and an odd subject do not stop a message', async () => {
    const { notifier, topic, bus } = await people()
    const facts = { long: 'x'.repeat(300_000) }
    await notifier.notify('orders', { ...failover, facts, atMs: Number.NaN, kind: `é\n${'k'.repeat(200)}` })
    expect(topic[0]?.body.length).toBeLessThan(20_000)
    expect(bus[0]?.body.length).toBeLessThan(20_000)
    expect(new URLSearchParams(topic[0]?.body).get('Subject')).toMatch(/^[\x20-\x7e]{100}$/)
    expect(subjectOf('a\r\nb – c')).toBe('a?b ? c')
  })
})

describe('secrets', () => {
  test('plain text and JSON; kept for a while; an outage does not take away a known password', async () => {
    let now = 0
    let answer: string | undefined = '{"username":"u","password":"one"}'
    let fetched = 0
    const fetch = async () => {
      fetched += 1
      if (answer === undefined) throw new Error('outage')
      return answer
    }
    const secrets = createSecrets({ fetch, monotonicMs: () => now, keepMs: 100 })
    expect([await secrets.password('s'), await secrets.password('s'), fetched]).toEqual(['one', 'one', 1])
    answer = undefined
    now = 200
    expect(await secrets.password('s')).toBe('one')
    answer = 'two'
    expect(await secrets.password('s')).toBe('two')
    secrets.forget('s')
    answer = undefined
    await expect(secrets.password('s')).rejects.toThrow('outage')
  })

  test('a secret without a password is refused without showing what is in it', async () => {
    const secrets = createSecrets({ fetch: async () => '{"passwort":"hunter2"}' })
    const error = await secrets.password('s').catch((thrown: unknown) => thrown)
    expect(String(error)).toContain('has no field "password"')
    expect(String(error)).not.toContain('hunter2')
  })
})

describe('clients', () => {
  afterEach(() => vi.unstubAllEnvs())

  test('every client has a time-out that throws, bounded tries, and its Region', async () => {
    vi.stubEnv('AWS_MAX_ATTEMPTS', '9')
    const clients = createClients({ region: 'eu-central-1' })
    const { dynamo, route53, lambda, sfn, sns, eventBridge } = clients
    const all = [
      dynamo,
      route53,
      lambda,
      sfn,
      sns,
      eventBridge,
      clients.ec2('eu-west-1'),
      clients.ssm('eu-west-1'),
    ]
    const facts = await Promise.all(
      all.map(async ({ config }) => [await config.region(), await config.maxAttempts()]),
    )
    expect(facts).toEqual([
      ['eu-central-1', 3],
      ['us-east-1', 3],
      ['eu-central-1', 1],
      ['eu-central-1', 3],
      ['eu-central-1', 3],
      ['eu-central-1', 3],
      ['eu-west-1', 3],
      ['eu-west-1', 1],
    ])
    expect(clients.ec2('eu-west-1')).toBe(clients.ec2('eu-west-1'))
    expect(timeouts(5)).toMatchObject({ connectionTimeout: 1_000, throwOnRequestTimeout: true })
  })
})
