/** Commands on hosts, against a server that speaks SSM's JSON protocol. */
import { SSMClient } from '@aws-sdk/client-ssm'
import { describe, expect, test } from 'vitest'
import { timeouts } from '../../functions/aws/clients.ts'
import { createHost } from '../../functions/aws/host.ts'
import type { NodeConfig } from '../../functions/core/types.ts'
import type { Clock } from '../../functions/ports.ts'
import { credentials, type Reply, serve } from './servers.ts'

const node = { id: 'a', instanceId: 'i-0a', region: 'eu-west-1' } as NodeConfig
const limits = { deliveryTimeoutSeconds: 60, timeoutMs: 9_500 }
const sent = { body: JSON.stringify({ Command: { CommandId: 'c-1' } }) }
const invocation = (fields: Record<string, unknown>) => ({
  body: JSON.stringify({ CommandId: 'c-1', ...fields }),
})
const failure = (type: string, status = 400) => ({
  status,
  body: JSON.stringify({ __type: type, message: 'no' }),
})

/** A clock that only moves by sleeping. */
function testClock(): Clock {
  let now = 0
  return {
    monotonicMs: () => now,
    wallMs: () => now,
    sleep: async (ms) => {
      now += ms
    },
  }
}

async function ssm(onSend: Reply, ...polls: readonly Reply[]) {
  let polled = 0
  const service = await serve(({ target }) =>
    target === 'SendCommand' ? onSend : (polls[Math.min(polled++, polls.length - 1)] ?? 'drop'),
  )
  const client = (region: string) =>
    new SSMClient({
      endpoint: service.endpoint,
      region,
      credentials,
      maxAttempts: 1,
      requestHandler: timeouts(1_000),
    })
  return { host: createHost({ client, clock: testClock() }), seen: service.seen }
}
const success = invocation({
  Status: 'Success',
  StatusDetails: 'Success',
  ResponseCode: 0,
  StandardOutputContent: 'ok\n',
})

describe('run', () => {
  test('S11 one shell script on this one instance, with delivery and execution time-outs', async () => {
    const { host, seen } = await ssm(sent, success)
    expect(await host.run(node, 'echo ok', limits)).toEqual({ outcome: 'done', stdout: 'ok\n' })
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({
      InstanceIds: ['i-0a'],
      DocumentName: 'AWS-RunShellScript',
      TimeoutSeconds: 60,
      Parameters: { commands: ['echo ok'], executionTimeout: ['10'] },
    })
    expect(JSON.parse(seen[1]?.body ?? '')).toEqual({ CommandId: 'c-1', InstanceId: 'i-0a' })
  })

  test('a delivery time-out below the least that SSM takes is raised to it', async () => {
    const { host, seen } = await ssm(sent, success)
    await host.run(node, 'true', { ...limits, deliveryTimeoutSeconds: 5 })
    expect(JSON.parse(seen[0]?.body ?? '')).toMatchObject({ TimeoutSeconds: 30 })
  })

  test('an invocation that is not there yet, lost polls and work in progress are waited for', async () => {
    const progress = ['Pending', 'InProgress', 'Delayed'].map((Status) =>
      invocation({ Status, StatusDetails: Status }),
    )
    const { host } = await ssm(sent, failure('InvocationDoesNotExist'), 'drop', ...progress, success)
    expect(await host.run(node, 'true', limits)).toMatchObject({ outcome: 'done' })
  })

  test.each([
    [
      'S11 compared and declined',
      { Status: 'Failed', ResponseCode: 65, StandardErrorContent: 'refused: the server runs' },
      'refused',
    ],
    ['S5 exit 65 without that word', { Status: 'Failed', ResponseCode: 65 }, 'unknown'],
    [
      'S5 failed half-way',
      { Status: 'Failed', ResponseCode: 1, StandardOutputContent: 'refused by rsync' },
      'unknown',
    ],
    ['S11 never delivered', { Status: 'TimedOut', StatusDetails: 'DeliveryTimedOut' }, 'refused'],
    [
      'S11 never delivered, as written in the guide',
      { Status: 'TimedOut', StatusDetails: 'Delivery Timed Out' },
      'refused',
    ],
    ['undeliverable', { Status: 'Failed', StatusDetails: 'Undeliverable' }, 'refused'],
    ['S5 ran too long', { Status: 'TimedOut', StatusDetails: 'ExecutionTimedOut' }, 'unknown'],
    ['S5 timed out without details', { Status: 'TimedOut' }, 'unknown'],
    ['S5 cancelled', { Status: 'Cancelled', StatusDetails: 'Cancelled' }, 'unknown'],
  ])('%s: %o -> %s', async (_, fields, outcome) => {
    const { host } = await ssm(sent, invocation(fields))
    expect(await host.run(node, 'true', limits)).toMatchObject({ outcome })
  })

  test('S5 what still runs when the time is up is unknown, and names the command', async () => {
    const { host } = await ssm(sent, invocation({ Status: 'InProgress', StatusDetails: 'InProgress' }))
    expect(await host.run(node, 'true', limits)).toEqual({
      outcome: 'unknown',
      message: 'command c-1 on i-0a: InProgress',
    })
  })

  test.each([
    ['an instance that is not managed, or is stopped', failure('InvalidInstanceId'), 'refused'],
    ['no permission', failure('AccessDeniedException'), 'refused'],
    ['throttling: to be tried again', failure('ThrottlingException'), 'unknown'],
    ['S5 an outage', failure('InternalServerError', 500), 'unknown'],
    ['S5 no answer', 'drop' as const, 'unknown'],
  ])('sending meets %s', async (_, reply, outcome) => {
    const { host, seen } = await ssm(reply, success)
    expect(await host.run(node, 'true', limits)).toMatchObject({ outcome })
    expect(seen).toHaveLength(1)
  })
})
