/** Looks and acts by Lambda's API: what is heard, what is missing, and what stays unknown. */
import { LambdaClient } from '@aws-sdk/client-lambda'
import { describe, expect, test } from 'vitest'
import { InFlight } from '../../functions/aws/clients.ts'
import { createFunctions } from '../../functions/aws/functions.ts'
import { functionTimeoutSeconds } from '../../functions/core/limits.ts'
import type { LookRequest, OperateRequest } from '../../functions/ports.ts'
import { look } from './samples.ts'
import { credentials, type Reply, serve } from './servers.ts'

const observers = { a: 'understudy-look-a:7', b: 'understudy-look-b:7', c: 'understudy-look-c:7' }
const request: LookRequest = { cluster: 'orders', lookId: 'look-1', writeProbeOn: 'a', endpoint: false }
const act: OperateRequest = {
  cluster: 'orders',
  node: 'b',
  term: 2,
  claimId: 'claim',
  action: { do: 'freeze' },
}

/** Answers by the name of the function that is invoked. */
async function lambda(answer: (name: string) => Reply, lookDeadlineMs?: number) {
  const service = await serve((seen) => answer(decodeURIComponent(seen.path.split('/')[3] ?? '')))
  const inFlight = new InFlight()
  const client = inFlight.track(
    new LambdaClient({ endpoint: service.endpoint, region: 'r', credentials, maxAttempts: 1 }),
  )
  const functions = createFunctions({
    client,
    lookFunctions: observers,
    operateFunction: 'understudy-operate:7',
    ...(lookDeadlineMs === undefined ? {} : { lookDeadlineMs }),
  })
  return { functions, seen: service.seen, inFlight }
}
const json = (value: unknown, headers: Record<string, string> = {}) => ({
  body: JSON.stringify(value),
  headers,
})
const observerOf = (name: string) => name.charAt('understudy-look-'.length)
const failed = (message: string) => json({ errorMessage: message }, { 'x-amz-function-error': 'Unhandled' })

describe('look', () => {
  test('every observer is asked once, synchronously, with the same request', async () => {
    const { functions, seen } = await lambda((name) => json(look({ observer: observerOf(name) })))
    const looks = await functions.look(request)
    expect(looks.map((one) => one.observer).sort()).toEqual(['a', 'b', 'c'])
    expect(seen.map((one) => one.path).sort()).toEqual(
      Object.values(observers).map((name) => `/2015-03-31/functions/${encodeURIComponent(name)}/invocations`),
    )
    for (const one of seen) expect(JSON.parse(one.body)).toEqual(request)
  })

  test.each([
    ['H10 an answer to another question', json(look({ observer: 'b', lookId: 'look-0' }))],
    ['an answer about another cluster', json(look({ observer: 'b', cluster: 'payments' }))],
    ['H24 an answer in the name of another observer', json(look({ observer: 'a' }))],
    ['H23 an answer that does not parse', json({ ...look({ observer: 'b' }), nodes: 'all well' })],
    ['no JSON', { body: '<html>' }],
    ['nothing', { body: 'null' }],
    ['a function that failed', failed('Task timed out')],
    [
      'a function that failed, whatever it left behind',
      json(look({ observer: 'b' }), { 'x-amz-function-error': 'Unhandled' }),
    ],
    ['H29 too many invocations', { status: 429, body: '{"Reason":"ConcurrentInvocationLimitExceeded"}' }],
    ['an outage', { status: 503, body: '{}' }],
    ['a lost connection', 'drop' as const],
  ])('%s is a missing look, and is not asked for again', async (_, reply) => {
    const { functions, seen } = await lambda((name) =>
      observerOf(name) === 'b' ? reply : json(look({ observer: observerOf(name) })),
    )
    expect((await functions.look(request)).map((one) => one.observer).sort()).toEqual(['a', 'c'])
    expect(seen).toHaveLength(3)
  })

  test('H24 who does not answer in time is missing, and the others are not lost by it', async () => {
    const { functions } = await lambda(
      (name) => (observerOf(name) === 'c' ? 'silence' : json(look({ observer: observerOf(name) }))),
      2_000,
    )
    expect((await functions.look(request)).map((one) => one.observer).sort()).toEqual(['a', 'b'])
  })

  test('H06.2 looks under way end with the handler', async () => {
    const { functions, seen, inFlight } = await lambda(() => 'silence', 3_600_000)
    const looks = functions.look(request)
    await expect.poll(() => seen.length, { timeout: 10_000 }).toBe(3)
    inFlight.abort()
    expect(await looks).toEqual([])
  })
})

describe('operate', () => {
  test('the answer of the function is the answer', async () => {
    const done = { outcome: 'done', message: 'frozen', timeline: 2 }
    const { functions, seen } = await lambda(() => json(done))
    expect(await functions.operate(act)).toEqual(done)
    expect(seen.map((one) => one.path)).toEqual([
      `/2015-03-31/functions/${encodeURIComponent('understudy-operate:7')}/invocations`,
    ])
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual(act)
  })

  test.each([
    ['S5 a function that failed may have acted', failed('Task timed out'), 'unknown'],
    [
      'S5 a function that failed, whatever it left behind',
      json({ outcome: 'done', message: '' }, { 'x-amz-function-error': 'Unhandled' }),
      'unknown',
    ],
    ['S5 a lost connection', 'drop' as const, 'unknown'],
    ['S5 an outage', { status: 500, body: '{}' }, 'unknown'],
    ['S5 an answer that does not parse', json({ outcome: 'fine' }), 'unknown'],
    ['H29 too many invocations: to be tried again', { status: 429, body: '{}' }, 'unknown'],
    ['no permission: certainly without effect', { status: 403, body: '{}' }, 'refused'],
  ])('%s: %s %s', async (_, reply, outcome) => {
    const { functions, seen } = await lambda(() => reply)
    expect(await functions.operate(act)).toMatchObject({ outcome })
    expect(seen).toHaveLength(1)
  })

  test('H06 the caller of a function that acts waits longer than it can run, and less than a step', () => {
    expect(functionTimeoutSeconds.operate + 2).toBeLessThan(functionTimeoutSeconds.promote)
    expect(functionTimeoutSeconds.look + 2).toBeLessThan(functionTimeoutSeconds.confirm)
  })
})
