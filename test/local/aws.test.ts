/** Contract of the whole: real SDK clients, a synthesised assembly, the functions in their environments. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { EC2Client, StopInstancesCommand } from '@aws-sdk/client-ec2'
import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge'
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import {
  DescribeExecutionCommand,
  DescribeStateMachineCommand,
  GetExecutionHistoryCommand,
  ListExecutionsCommand,
  ListStateMachinesCommand,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn'
import { PublishCommand, SNSClient } from '@aws-sdk/client-sns'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Message } from '../../local/sns.ts'
import { type LocalAws, startLocalAws } from '../../local/stack.ts'
import { clientConfig, countingMachine, eventually, type Fixture, writeAssembly } from './fixture.ts'
import { handlers, resources } from './resources.ts'

let fixture: Fixture
let aws: LocalAws
let lambda: LambdaClient
let sfn: SFNClient
let dynamodb: DynamoDBClient
const lines: string[] = []
const messages: Message[] = []
const machine = countingMachine('i-1')

beforeAll(async () => {
  fixture = await writeAssembly(resources, { main: handlers })
  aws = await startLocalAws({
    assembly: fixture.directory,
    config: ({ resolver }: { resolver: string }) => ({ resolver, mine: true }),
    machines: [machine],
    hosts: {},
    zone: { id: 'Z1', name: 'example.test' },
    onMessage: (message) => messages.push(message),
    log: (line) => lines.push(line),
    overrides: {
      schedules: false,
      minuteMs: 50,
      waitTimeOverrides: { Pause: 5 },
      retryIntervalOverrides: { Flaky: 5 },
      asyncRetryMs: [1],
    },
  })
  const config = clientConfig(aws.endpoints.AWS_ENDPOINT_URL)
  lambda = new LambdaClient(config)
  sfn = new SFNClient(config)
  dynamodb = new DynamoDBClient(clientConfig(aws.endpoints.AWS_ENDPOINT_URL_DYNAMODB))
  await aws.lambda.prewarm('understudy-step', 2)
}, 60_000)

afterAll(async () => {
  for (const client of [lambda, sfn, dynamodb]) client?.destroy()
  await aws?.close()
  fixture?.remove()
})

const machineArn = () => aws.deployment.stateMachines[0]?.arn ?? ''
const seen = async (sk: string): Promise<string | undefined> => {
  const key = { pk: { S: 'seen' }, sk: { S: sk } }
  const { Item } = await dynamodb.send(
    new GetItemCommand({ TableName: 'understudy', Key: key, ConsistentRead: true }),
  )
  return Item?.text?.S
}
async function invoke(payload: unknown, FunctionName = 'understudy-step') {
  const reply = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(payload) }))
  return { error: reply.FunctionError, value: JSON.parse(Buffer.from(reply.Payload ?? []).toString()), reply }
}
async function finished(executionArn: string | undefined) {
  return eventually(async () => {
    const execution = await sfn.send(new DescribeExecutionCommand({ executionArn }))
    return execution.status !== 'RUNNING' && execution
  })
}
const start = (input: unknown, name?: string) =>
  sfn.send(new StartExecutionCommand({ stateMachineArn: machineArn(), name, input: JSON.stringify(input) }))

describe('Lambda', () => {
  test('the environment is the function’s own variables and the endpoints, nothing of the parent', async () => {
    const { value } = await invoke({ do: 'env' })
    expect(value).toMatchObject({
      ...aws.endpoints,
      AWS_REGION: 'eu-central-1',
      AWS_LAMBDA_FUNCTION_NAME: 'understudy-step',
      AWS_LAMBDA_FUNCTION_VERSION: '1',
      UNDERSTUDY_TABLE: 'understudy',
      UNDERSTUDY_TOPIC_ARN: 'arn:aws:sns:eu-central-1:000000000000:understudy',
    })
    expect(value).not.toHaveProperty('PATH')
    expect(value).not.toHaveProperty('HOME')
  })

  test('name, ARN, version ARN and qualifier reach the function; what does not exist is refused', async () => {
    const arn = 'arn:aws:lambda:eu-central-1:000000000000:function:understudy-step'
    const plain = await invoke({ do: 'context' }, arn)
    expect(plain.value).toMatchObject({ functionName: 'understudy-step', invokedFunctionArn: arn })
    expect(plain.value.remaining).toBeGreaterThan(0)
    const version = await invoke({ do: 'context' }, `${arn}:1`)
    expect(version.value).toMatchObject({ invokedFunctionArn: `${arn}:1`, functionVersion: '1' })
    expect(version.reply.ExecutedVersion).toBe('1')
    await expect(invoke({}, 'nobody')).rejects.toHaveProperty('name', 'ResourceNotFoundException')
    await expect(invoke({}, `${arn}:99`)).rejects.toHaveProperty('name', 'ResourceNotFoundException')
  })

  test('a configuration can take the place of the bundled one', async () => {
    expect((await invoke({ do: 'config' })).value).toEqual({ resolver: aws.dns.address, mine: true })
  })

  test('a thrown error comes back as Unhandled with its type; nothing returned is null', async () => {
    const { error, value } = await invoke({ do: 'throw', name: 'Special' })
    expect(error).toBe('Unhandled')
    expect(value).toMatchObject({ errorType: 'Special', errorMessage: 'broken on purpose' })
    expect((await invoke({ do: 'nothing' })).value).toBeNull()
  })

  test('H06: a function that exceeds its time-out is cut off, spinning or hanging, and the next call works', async () => {
    for (const what of ['spin', 'hang']) {
      const { value } = await invoke({ do: what }, 'understudy-short')
      expect(value.errorType).toBe('Sandbox.Timedout')
      expect(value.errorMessage).toContain('Task timed out after 1.00 seconds')
    }
    expect((await invoke({ do: 'calls' }, 'understudy-short')).value).toBe(1)
  }, 20_000)

  test('an exit and a late throw end only their own environment', async () => {
    expect((await invoke({ do: 'exit' }, 'understudy-short')).value.errorType).toBe('Runtime.ExitError')
    expect((await invoke({ do: 'late' }, 'understudy-short')).value.errorMessage).toBe('late')
    expect((await invoke({ do: 'calls' })).error).toBeUndefined()
  }, 20_000)

  test('a module that cannot be loaded is an error of the invocation', async () => {
    expect((await invoke({}, 'understudy-missing')).error).toBe('Unhandled')
  })

  test('above its reserved concurrency an invocation is refused', async () => {
    const first = invoke({ do: 'hang' }, 'understudy-narrow')
    await eventually(() => lines.includes('understudy-narrow: called hang'))
    await expect(invoke({}, 'understudy-narrow')).rejects.toHaveProperty('name', 'TooManyRequestsException')
    await first
  }, 20_000)

  test('killed before, it did nothing; killed after, its effects stand and its result is lost', async () => {
    aws.lambda.killNext('understudy-step', 'before')
    expect((await invoke({ do: 'put', sk: 'before' })).value.errorType).toBe('Runtime.ExitError')
    expect(await seen('before')).toBeUndefined()
    aws.lambda.killNext('understudy-step', 'after')
    expect((await invoke({ do: 'put', sk: 'after' })).value.errorType).toBe('Runtime.ExitError')
    expect(await seen('after')).toBe('put')
    aws.lambda.killNext('understudy-step', 20)
    expect((await invoke({ do: 'hang' })).value.errorMessage).toContain('signal: killed')
    expect((await invoke({ do: 'put', sk: 'before' })).error).toBeUndefined()
  })

  test('an asynchronous invocation is tried again after an error', async () => {
    aws.lambda.killNext('understudy-step', 'before')
    const Payload = JSON.stringify({ do: 'put', sk: 'later' })
    const reply = await lambda.send(
      new InvokeCommand({ FunctionName: 'understudy-step', InvocationType: 'Event', Payload }),
    )
    expect(reply.StatusCode).toBe(202)
    await eventually(() => seen('later'))
  })

  test('output of the functions goes to the log', async () => {
    await invoke({ do: 'calls' })
    await eventually(() => lines.includes('understudy-step: called calls'))
  })
})

describe('Step Functions', () => {
  test('Choice, Wait with SecondsPath, Task by version ARN, context object', async () => {
    const { executionArn } = await start({ cluster: 'orders' }, 'plain')
    const done = await finished(executionArn)
    expect(done.status).toBe('SUCCEEDED')
    expect(JSON.parse(done.output ?? '')).toMatchObject({
      cluster: 'orders',
      steps: 3,
      execution: executionArn,
    })
    const { events } = await sfn.send(new GetExecutionHistoryCommand({ executionArn }))
    const entered = events?.flatMap(({ stateEnteredEventDetails }) => stateEnteredEventDetails?.name ?? [])
    expect(entered).toEqual([
      'Admit',
      ...Array(2).fill(['Step', 'Route', 'Pause']).flat(),
      'Step',
      'Route',
      'Done',
    ])
  })

  test('Retry until it works; Catch by the name of the error, with the cause as Lambda gives it', async () => {
    expect((await finished((await start({ kind: 'flaky' })).executionArn)).status).toBe('SUCCEEDED')
    const thrown = await finished((await start({ kind: 'throw' })).executionArn)
    expect(thrown).toMatchObject({ status: 'FAILED', error: 'Understudy.Halted' })
    expect(JSON.parse(thrown.cause ?? '')).toMatchObject({ errorMessage: 'broken on purpose' })
  })

  test('a task that takes too long is States.Timeout, and its function is not stopped', async () => {
    let running = 0
    const remove = aws.lambda.onInvoke(({ payload }) => {
      if ((payload as { do: string }).do === 'hang') running += 1
      return undefined
    })
    const done = await finished((await start({ kind: 'slow' })).executionArn)
    remove()
    expect(running).toBe(1)
    expect(JSON.parse(done.output ?? '').error.Error).toBe('States.Timeout')
  }, 20_000)

  test('a throttled function is Lambda.TooManyRequestsException', async () => {
    const remove = aws.lambda.onInvoke(() => ({ throttle: true }))
    const failed = await finished((await start({})).executionArn)
    remove()
    expect(failed).toMatchObject({ status: 'FAILED', error: 'Lambda.TooManyRequestsException' })
  })

  test('names are idempotent: same input while it runs is the same execution, all else exists already', async () => {
    const first = await start({ kind: 'hold' }, 'once')
    expect(await start({ kind: 'hold' }, 'once')).toMatchObject({
      executionArn: first.executionArn,
      startDate: first.startDate,
    })
    await expect(start({ kind: 'hold', other: 1 }, 'once')).rejects.toHaveProperty(
      'name',
      'ExecutionAlreadyExists',
    )
    await sfn.send(new StopExecutionCommand({ executionArn: first.executionArn, cause: 'test' }))
    expect(await finished(first.executionArn)).toMatchObject({ status: 'ABORTED', cause: 'test' })
    await expect(start({ kind: 'hold' }, 'once')).rejects.toHaveProperty('name', 'ExecutionAlreadyExists')
  })

  test('lists and refusals', async () => {
    await expect(start({}, 'no spaces')).rejects.toHaveProperty('name', 'InvalidName')
    const stateMachineArn = `${machineArn()}x`
    const wrong = new StartExecutionCommand({ stateMachineArn, input: '{}' })
    await expect(sfn.send(wrong)).rejects.toHaveProperty('name', 'StateMachineDoesNotExist')
    const bad = new StartExecutionCommand({ stateMachineArn: machineArn(), input: '{' })
    await expect(sfn.send(bad)).rejects.toHaveProperty('name', 'InvalidExecutionInput')
    const { stateMachines } = await sfn.send(new ListStateMachinesCommand({}))
    expect(stateMachines).toMatchObject([{ name: 'understudy-failover' }])
    const described = await sfn.send(new DescribeStateMachineCommand({ stateMachineArn: machineArn() }))
    expect(JSON.parse(described.definition ?? '').StartAt).toBe('Admit')
    await start({ kind: 'hold' }, 'listed')
    const running = new ListExecutionsCommand({ stateMachineArn: machineArn(), statusFilter: 'RUNNING' })
    expect((await sfn.send(running)).executions?.map(({ name }) => name)).toContain('listed')
  })
})

describe('what wakes functions', () => {
  test('the table’s stream, filtered, with attribute values', async () => {
    const put = (sk: string, changed: boolean) =>
      dynamodb.send(
        new PutItemCommand({
          TableName: 'understudy',
          Item: { pk: { S: 'report#a' }, sk: { S: sk }, changed: { BOOL: changed } },
        }),
      )
    await put('quiet', false)
    await put('loud', true)
    expect(JSON.parse(await eventually(() => seen('stream-loud')))).toMatchObject({ changed: { BOOL: true } })
    expect(await seen('stream-quiet')).toBeUndefined()
  })

  test('a schedule ticks at once and then at its rate, with full minutes that rise', async () => {
    const times: string[] = []
    const remove = aws.lambda.onInvoke(({ payload }) => {
      const event = payload as { 'detail-type'?: string; time: string }
      if (event['detail-type'] === 'Scheduled Event') times.push(event.time)
      return undefined
    })
    aws.events.startSchedules()
    await eventually(() => times.length >= 3)
    aws.events.close()
    remove()
    const minutes = times.map((time) => Date.parse(time) / 60_000)
    expect(minutes.slice(0, 3)).toEqual([0, 1, 2].map((count) => (minutes[0] ?? Number.NaN) + count))
    expect(JSON.parse((await seen('event-Scheduled Event')) ?? '')).toMatchObject({
      source: 'aws.events',
      detail: {},
    })
  })

  test('a change of an instance’s state', async () => {
    const ec2 = new EC2Client(clientConfig(aws.endpoints.AWS_ENDPOINT_URL))
    await ec2.send(new StopInstancesCommand({ InstanceIds: ['i-1'], Force: true }))
    const event = await eventually(() => seen('event-EC2 Instance State-change Notification'))
    expect(JSON.parse(event)).toMatchObject({ detail: { 'instance-id': 'i-1', state: 'stopped' } })
    expect(machine.calls).toEqual(['off'])
    ec2.destroy()
  })

  test('PutEvents on a bus of the template, with an input transformer', async () => {
    const events = new EventBridgeClient(clientConfig(aws.endpoints.AWS_ENDPOINT_URL))
    const entry = {
      EventBusName: 'understudy',
      Source: 'understudy',
      Detail: '{"cluster":"orders","term":7}',
    }
    const received: unknown[] = []
    const remove = aws.lambda.onInvoke(({ payload }) => void received.push(payload))
    const reply = await events.send(
      new PutEventsCommand({
        Entries: [
          { ...entry, DetailType: 'paged', EventBusName: 'default' },
          { ...entry, DetailType: 'other' },
          { ...entry, DetailType: 'paged' },
          { ...entry, DetailType: 'x', Detail: '{' },
          { ...entry, DetailType: 'x', EventBusName: 'nowhere' },
        ],
      }),
    )
    expect(reply.FailedEntryCount).toBe(2)
    expect(reply.Entries?.map(({ ErrorCode }) => ErrorCode)).toEqual([
      undefined,
      undefined,
      undefined,
      'MalformedDetail',
      'InvalidArgument',
    ])
    const constant = { constant: true, cluster: 'orders', term: 7 }
    expect(JSON.parse(await eventually(() => seen('constant')))).toEqual(constant)
    remove()
    expect(received).toEqual([constant])
    events.destroy()
  })
})

test('SNS hands messages to people; an unknown topic is refused', async () => {
  const sns = new SNSClient(clientConfig(aws.endpoints.AWS_ENDPOINT_URL))
  const TopicArn = aws.deployment.topics[0]
  const Message = 'orders: <failed> & "over"'
  expect(
    (await sns.send(new PublishCommand({ TopicArn, Subject: 'orders', Message }))).MessageId,
  ).toBeTruthy()
  expect(messages).toEqual([{ topicArn: TopicArn, subject: 'orders', message: Message }])
  const wrong = new PublishCommand({ TopicArn: `${TopicArn}x`, Message })
  await expect(sns.send(wrong)).rejects.toHaveProperty('name', 'NotFoundException')
  sns.destroy()
})

test('S5: faults at the front: refused, cut before and cut after the effect', async () => {
  const fault: { when: 'before' | 'after'; code?: string }[] = [
    { when: 'before', code: 'StateMachineDeleting' },
    { when: 'before' },
    { when: 'after' },
  ]
  const remove = aws.front.onCall(({ operation }) =>
    operation === 'StartExecution' ? fault.shift() : undefined,
  )
  await expect(start({ kind: 'hold' }, 'fault')).rejects.toHaveProperty('name', 'StateMachineDeleting')
  await expect(start({ kind: 'hold' }, 'fault')).rejects.toHaveProperty('code', 'ECONNRESET')
  expect(aws.workflow.execution('fault')).toBeUndefined()
  await expect(start({ kind: 'hold' }, 'fault')).rejects.toHaveProperty('code', 'ECONNRESET')
  expect(aws.workflow.execution('fault')?.status).toBe('RUNNING')
  remove()
})

test('a close ends what hangs, waits and loops, frees the ports and leaves no file', async () => {
  const temporary = mkdtempSync(join(tmpdir(), 'understudy-close-'))
  process.env.TMPDIR = temporary
  const output: string[] = []
  try {
    const second = await startLocalAws({
      assembly: fixture.directory,
      config: {},
      machines: [countingMachine('i-2')],
      hosts: {},
      zone: { id: 'Z1', name: 'example.test' },
      log: (line) => output.push(line),
      overrides: { stopSeconds: 600, propagationMs: 600_000 },
    })
    expect(readdirSync(temporary)).toHaveLength(1)
    const [arn] = second.deployment.stateMachines.map((one) => one.arn)
    const held = second.workflow.start(arn ?? '', 'held', '{"kind":"hold"}')
    const waiting = second.workflow.start(arn ?? '', 'waiting', '{"kind":"hang"}')
    const hanging = second.lambda.invoke('understudy-step', { do: 'hang' })
    second.ec2.handle('StopInstances', new URLSearchParams({ 'InstanceId.1': 'i-2' }))
    second.ssm.handle('SendCommand', {
      DocumentName: 'AWS-RunShellScript',
      InstanceIds: ['i-2'],
      Parameters: { commands: ['sleep 600'] },
    })
    await eventually(() => output.filter((line) => line.endsWith('called hang')).length === 2)
    await second.close()
    expect((await hanging).payload).toContain('Local.Closed')
    expect([held.status, waiting.status]).toEqual(['ABORTED', 'ABORTED'])
    expect(readdirSync(temporary)).toEqual([])
    for (const url of Object.values(second.endpoints)) await expect(fetch(url)).rejects.toThrow()
  } finally {
    delete process.env.TMPDIR
    rmSync(temporary, { recursive: true })
  }
}, 20_000)

test('an assembly that is not there is said at the start', async () => {
  const options = { machines: [], hosts: {}, zone: { id: 'Z1', name: 'example.test' } }
  await expect(startLocalAws({ ...options, assembly: join(fixture.directory, 'none') })).rejects.toThrow(
    'manifest.json',
  )
})
