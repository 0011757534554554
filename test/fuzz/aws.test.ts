/** Answers of EC2, Systems Manager, Lambda and Secrets Manager, damaged on their way: unknown, never better than they say. */
import { EC2Client } from '@aws-sdk/client-ec2'
import { LambdaClient } from '@aws-sdk/client-lambda'
import { SSMClient } from '@aws-sdk/client-ssm'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFence } from '../../functions/aws/fence.ts'
import { createFunctions } from '../../functions/aws/functions.ts'
import { createHost } from '../../functions/aws/host.ts'
import { createSecrets } from '../../functions/aws/secrets.ts'
import type { NodeConfig } from '../../functions/core/types.ts'
import { lookSchema } from '../../functions/schemas.ts'
import { look } from '../aws/samples.ts'
import { answeredBy, damagedXml, expectOutage, type SdkReply } from './sdk.ts'
import { anything, at, fuzz, hostile, isPolluted, mutated } from './support.ts'

let reply: SdkReply = { body: '' }
const answers = answeredBy(() => reply)

const instance = (id: string, state: string) =>
  `<item><instanceId>${id}</instanceId><instanceState><code>0</code><name>${state}</name></instanceState><privateIpAddress>10.0.0.1</privateIpAddress></item>`
const described = `<DescribeInstancesResponse><requestId>r</requestId><reservationSet><item><instancesSet>${instance('i-0a', 'stopped')}${instance('i-0b', 'running')}</instancesSet></item></reservationSet></DescribeInstancesResponse>`
const fence = createFence({ client: () => new EC2Client(answers) })

test('S2 an instance is stopped only when EC2 says so of it, and in no other state at the same time', async () => {
  await fuzz(damagedXml(described), 50, async (damaged) => {
    reply = { body: damaged }
    const views = await fence.observe('eu-central-1', ['i-0a', 'i-0b']).catch(expectOutage)
    if (views === undefined) return
    for (const { instanceId, state } of views) {
      const items = damaged.split('<item>').filter((each) => each.includes(`>${instanceId}<`))
      if (state === 'stopped') expect(items.some((each) => each.includes('<name>stopped</name>'))).toBe(true)
    }
  })
})

test('S2 an instance in two states at once is in none', async () => {
  reply = { body: described.replace('i-0b', 'i-0a') }
  await expect(fence.observe('eu-central-1', ['i-0a'])).rejects.toThrow('in two states')
})

test('S5 stop and start: an answer that can not be read is unknown or observed again, never refused', async () => {
  const errors = fc.tuple(
    fc.constantFrom(200, 400, 500, 503),
    fc.constantFrom('IncorrectInstanceState', 'RequestLimitExceeded', 'Odd'),
    fc.nat(),
  )
  await fuzz(errors, 30, async ([status, code, cut]) => {
    const whole = `<Response><Errors><Error><Code>${code}</Code><Message>m</Message></Error></Errors><RequestID>r</RequestID></Response>`
    reply = { status, body: cut % 2 ? whole : whole.slice(0, cut % whole.length) }
    const outcome = await fence.stop('eu-central-1', 'i-0a')
    if (outcome === 'requested') expect(status).toBe(200)
    if (outcome === 'refused') expect(status).toBe(400)
  })
})

/** A clock that only moves by sleeping. */
function clock() {
  let nowMs = 0
  const sleep = async (ms: number) => {
    nowMs += ms
  }
  return { monotonicMs: () => nowMs, wallMs: () => nowMs, sleep }
}
const node = { id: 'a', instanceId: 'i-0a', region: 'eu-central-1' } as NodeConfig

test('S5 a command on a host is done only when SSM says Success', async () => {
  const invocation = {
    ...{ CommandId: 'c-1', InstanceId: 'i-0a', Status: 'Success', StatusDetails: 'Success', ResponseCode: 0 },
    ...{ StandardOutputContent: 'out', StandardErrorContent: '' },
  }
  const odd = fc.oneof(
    fc.constantFrom('InProgress', 'Failed', 'Time d Out', 'Success ', 'success', 'Cancelled', 65),
    hostile,
  )
  await fuzz(mutated(invocation, { odd }), 30, async ({ value }) => {
    const host = createHost({
      client: () =>
        new SSMClient(
          answeredBy(({ headers }) =>
            headers['x-amz-target']?.endsWith('SendCommand')
              ? { body: JSON.stringify({ Command: { CommandId: 'c-1' } }) }
              : { body: JSON.stringify(value) },
          ),
        ),
      clock: clock(),
    })
    const outcome = await host.run(node, 'true', { deliveryTimeoutSeconds: 60, timeoutMs: 2_000 })
    const { StatusDetails: details, Status: status } = value as Record<string, unknown>
    if (outcome.outcome === 'done') expect(String(details || status).replaceAll(' ', '')).toBe('Success')
    if (outcome.outcome === 'refused') expect(String(details || status)).not.toBe('Success')
  })
})

const functions = createFunctions({
  client: new LambdaClient(answers),
  lookFunctions: { a: 'understudy-look-a:7' },
  operateFunction: 'understudy-operate:7',
})
const said = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.constantFrom('', 'null', '<html>', '{"errorMessage":"x"}', '[]', '{"outcome":'),
  },
  {
    weight: 1,
    arbitrary: anything.map((value) => {
      try {
        return JSON.stringify(value) ?? ''
      } catch {
        return ''
      }
    }),
  },
)
const headers = fc.constantFrom({}, {}, {}, { 'x-amz-function-error': 'Unhandled' })

test('H23 a look counts only when it answers the question, whole', async () => {
  const request = { cluster: 'orders', lookId: 'look-1', writeProbeOn: null, endpoint: false }
  const payload = fc.oneof(
    {
      weight: 5,
      arbitrary: mutated(
        look({
          endpoint: { name: 'n', addresses: ['10.0.0.1'], cname: null, class: 'writable', message: '' },
        }),
      ).map(({ value }) => JSON.stringify(value)),
    },
    said,
  )
  let counted = 0
  await fuzz(fc.tuple(payload, headers), 80, async ([body, answered]) => {
    reply = { body, headers: answered }
    const looks = await functions.look(request)
    if (looks.length === 0) return
    counted++
    expect(answered).toEqual({})
    expect(looks).toMatchObject([{ cluster: 'orders', lookId: 'look-1', observer: 'a' }])
    expect(looks).toEqual([lookSchema.parse(JSON.parse(body))])
  })
  expect(counted).toBeGreaterThan(0)
  expect(isPolluted()).toBe(false)
})

test('S5 what operate did is done only when it says so; all else is unknown', async () => {
  const result = {
    outcome: 'done',
    message: 'frozen for term 2',
    measurement: { timeline: 1, positionBytes: 5, replayable: true, primaryConninfo: '', restoreCommand: '' },
    timeline: 2,
  }
  const request = { cluster: 'orders', node: 'b', term: 2, claimId: 'c', action: { do: 'freeze' } } as const
  const payload = fc.oneof(
    { weight: 5, arbitrary: mutated(result).map(({ value }) => JSON.stringify(value)) },
    said,
  )
  await fuzz(
    fc.tuple(payload, headers, fc.constantFrom(200, 200, 200, 500)),
    80,
    async ([body, answered, status]) => {
      reply = { body, headers: answered, status }
      const outcome = await functions.operate(request)
      if (outcome.outcome === 'unknown') return
      expect([status, answered]).toEqual([200, {}])
      expect(outcome.outcome).toBe(at(JSON.parse(body), ['outcome']))
    },
  )
})

test('a secret that can not be read is named, and nothing of it is told', async () => {
  const secret = fc.oneof(
    mutated({ username: 'understudy', password: 'hunter2-hunter2', port: 5432 }, { odd: hostile }).map(
      ({ value }) => JSON.stringify(value),
    ),
    fc.constantFrom('', '{', '{"password":', '{}', 'plain text', ' {"password":"hunter2-hunter2"}'),
    fc.string(),
  )
  await fuzz(secret, 100, async (text) => {
    const secrets = createSecrets({ fetch: async () => text })
    const password = await secrets.password('orders/db').catch((error: Error) => {
      expect(error.message).toMatch(/^secret orders\/db has no (?:text|field "password")$/)
      return null
    })
    if (password === null) return
    expect(password).not.toBe('')
    // As a whole, or the field of that name.
    if (password !== text) expect(JSON.parse(text).password).toBe(password)
  })
})
