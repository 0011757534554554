/** The power fence against a server that speaks EC2's query protocol. */
import { EC2Client } from '@aws-sdk/client-ec2'
import { describe, expect, test } from 'vitest'
import { timeouts } from '../../functions/aws/clients.ts'
import { createFence } from '../../functions/aws/fence.ts'
import { credentials, type Reply, type Seen, serve } from './servers.ts'

async function ec2(answer: (form: URLSearchParams, all: readonly Seen[]) => Reply, maxAttempts = 1) {
  const service = await serve((seen, all) => answer(new URLSearchParams(seen.body), all))
  const regions: string[] = []
  const client = (region: string) => {
    regions.push(region)
    return new EC2Client({
      endpoint: service.endpoint,
      region,
      credentials,
      maxAttempts,
      requestHandler: timeouts(1_000),
    })
  }
  return { fence: createFence({ client }), seen: service.seen, regions }
}

const instance = (id: string, state: string, address?: string) =>
  `<item><instanceId>${id}</instanceId><instanceState><code>0</code><name>${state}</name></instanceState>${address ? `<privateIpAddress>${address}</privateIpAddress>` : ''}</item>`
const described = (instances: string, nextToken = '') => ({
  body: `<DescribeInstancesResponse><reservationSet><item><instancesSet>${instances}</instancesSet></item></reservationSet>${nextToken ? `<nextToken>${nextToken}</nextToken>` : ''}</DescribeInstancesResponse>`,
})
const failure = (code: string, message = '', status = 400) => ({
  status,
  body: `<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors><RequestID>r</RequestID></Response>`,
})
const ids = (form: URLSearchParams) =>
  [...form.entries()].filter(([key]) => key.startsWith('InstanceId.')).map(([, value]) => value)

describe('observe', () => {
  test('H02 state and address by instance id, in the Region of the node', async () => {
    const { fence, regions } = await ec2(() =>
      described(instance('i-0b', 'stopped') + instance('i-0a', 'running', '10.0.0.1')),
    )
    expect(await fence.observe('eu-west-1', ['i-0a', 'i-0b'])).toEqual([
      { instanceId: 'i-0a', state: 'running', privateAddress: '10.0.0.1' },
      { instanceId: 'i-0b', state: 'stopped', privateAddress: null },
    ])
    expect(regions).toEqual(['eu-west-1'])
  })

  test('H02 an instance that EC2 does not know is absent, never stopped, and hides no other', async () => {
    const { fence, seen } = await ec2((form) =>
      ids(form).includes('i-0a')
        ? failure('InvalidInstanceID.NotFound', "The instance ID 'i-0a' does not exist")
        : described(instance('i-0b', 'running')),
    )
    expect(await fence.observe('r', ['i-0a', 'i-0b'])).toMatchObject([
      { state: 'absent' },
      { state: 'running' },
    ])
    expect(seen).toHaveLength(2)
    expect(await fence.observe('r', ['i-0a'])).toMatchObject([{ state: 'absent' }])
  })

  test('H02 a refusal that names nobody is resolved one by one', async () => {
    const { fence } = await ec2((form) =>
      ids(form).includes('gone')
        ? failure('InvalidInstanceID.Malformed', 'Invalid id')
        : described(
            ids(form)
              .map((id) => instance(id, 'running'))
              .join(''),
          ),
    )
    expect(await fence.observe('r', ['gone', 'i-0b'])).toMatchObject([
      { state: 'absent' },
      { state: 'running' },
    ])
  })

  test('H02 nothing asked is nothing seen, without a request that would list the whole account', async () => {
    const { fence, seen } = await ec2(() => described(instance('i-0x', 'stopped')))
    expect(await fence.observe('r', [])).toEqual([])
    expect(seen).toHaveLength(0)
  })

  test('all pages are read', async () => {
    const { fence } = await ec2((form) =>
      form.get('NextToken') === 'more'
        ? described(instance('i-0b', 'stopped'))
        : described(instance('i-0a', 'running'), 'more'),
    )
    expect(await fence.observe('r', ['i-0a', 'i-0b'])).toMatchObject([
      { state: 'running' },
      { state: 'stopped' },
    ])
  })

  test('S2 an outage and a state that we do not know are no evidence: thrown', async () => {
    const outage = await ec2(() => failure('Unavailable', '', 503))
    await expect(outage.fence.observe('r', ['i-0a'])).rejects.toThrow()
    const odd = await ec2(() => described(instance('i-0a', 'hovering')))
    await expect(odd.fence.observe('r', ['i-0a'])).rejects.toThrow(/hovering/)
  })
})

describe('stop and start', () => {
  test('H02 stop is forced and skips the shutdown of the operating system, for this one instance', async () => {
    const { fence, seen } = await ec2(() => ({
      body: '<StopInstancesResponse><instancesSet/></StopInstancesResponse>',
    }))
    expect(await fence.stop('r', 'i-0a')).toBe('requested')
    const form = new URLSearchParams(seen[0]?.body)
    form.delete('Version')
    expect(Object.fromEntries(form)).toEqual({
      Action: 'StopInstances',
      'InstanceId.1': 'i-0a',
      Force: 'true',
      SkipOsShutdown: 'true',
    })
  })

  test('H02 start names the one instance', async () => {
    const { fence, seen } = await ec2(() => ({
      body: '<StartInstancesResponse><instancesSet/></StartInstancesResponse>',
    }))
    expect(await fence.start('r', 'i-0a')).toBe('requested')
    expect(new URLSearchParams(seen[0]?.body).get('Action')).toBe('StartInstances')
  })

  test.each([
    ['stop', 'stopping', 'requested'],
    ['stop', 'stopped', 'requested'],
    ['stop', 'pending', 'refused'],
    ['stop', 'terminated', 'refused'],
    ['start', 'pending', 'requested'],
    ['start', 'running', 'requested'],
    ['start', 'stopping', 'refused'],
  ] as const)('S5 %s of an instance that is %s and therefore refuses: %s', async (act, now, outcome) => {
    const { fence } = await ec2((form) =>
      form.get('Action') === 'DescribeInstances'
        ? described(instance('i-0a', now))
        : failure('IncorrectInstanceState', 'not in a state from which it can be'),
    )
    expect(await fence[act]('r', 'i-0a')).toBe(outcome)
  })

  test.each([
    ['UnauthorizedOperation', 403, 'refused'],
    ['InvalidInstanceID.NotFound', 400, 'refused'],
    ['RequestLimitExceeded', 503, 'unknown'],
    ['InternalError', 500, 'unknown'],
  ])('S5 %s -> %s', async (code, status, outcome) => {
    const { fence } = await ec2(() => failure(code, '', status))
    expect(await fence.stop('r', 'i-0a')).toBe(outcome)
  })

  test('S5 a time-out means unknown, and so does a refusal after one', async () => {
    const silent = await ec2(() => 'silence')
    expect(await silent.fence.stop('r', 'i-0a')).toBe('unknown')
    const mixed = await ec2(
      (_, all) => (all.length === 1 ? 'drop' : failure('UnauthorizedOperation', '', 403)),
      2,
    )
    expect(await mixed.fence.stop('r', 'i-0a')).toBe('unknown')
    const state = await ec2((form) =>
      form.get('Action') === 'DescribeInstances' ? 'drop' : failure('IncorrectInstanceState'),
    )
    expect(await state.fence.stop('r', 'i-0a')).toBe('unknown')
  })
})
