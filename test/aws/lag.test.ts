/** ReplicaLag, against a server that speaks CloudWatch's JSON protocol. */
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch'
import { expect, test } from 'vitest'
import { readLag } from '../../functions/aws/lag.ts'
import { createRds } from '../../functions/aws/rds.ts'
import type { Clock } from '../../functions/ports.ts'
import { credentials, type Reply, serve } from './servers.ts'

const nowMs = Date.parse('2026-11-20T10:00:00Z')
/** The header of the answer has no fractions: up to this much more is the age. */
const cutOffMs = 999
const sample = (ageMs: number, Maximum?: number) => ({ Timestamp: (nowMs - ageMs) / 1_000, Maximum })

/** `ourErrorMs`: how wrong the clock of this machine is. */
async function lag(
  Datapoints: readonly object[],
  ourErrorMs = 0,
  reply: Partial<Reply & object> = {},
  fromRegion?: string,
) {
  const { endpoint, seen } = await serve(() => ({
    body: JSON.stringify({ Label: 'ReplicaLag', Datapoints }),
    headers: { 'content-type': 'application/x-amz-json-1.0', date: new Date(nowMs).toUTCString() },
    ...reply,
  }))
  const client = new CloudWatchClient({ endpoint, region: 'eu-west-1', credentials, maxAttempts: 1 })
  const clock = { wallMs: () => nowMs + ourErrorMs } as Clock
  const result = readLag(client, clock, { identifier: 'orders-near', fromRegion })
  await result.catch(() => {})
  return { result: await result, asked: JSON.parse(seen[0]?.body ?? '{}') }
}

test('asks for one instance, a minute each', async () => {
  const { asked } = await lag([])
  expect(asked).toMatchObject({
    Namespace: 'AWS/RDS',
    MetricName: 'ReplicaLag',
    Dimensions: [{ Name: 'DBInstanceIdentifier', Value: 'orders-near' }],
    Period: 60,
    Statistics: ['Maximum'],
  })
})

test('of a secondary cluster the lag of user transactions behind the Region of the writer, in milliseconds', async () => {
  const { asked, result } = await lag([sample(60_000, 850)], 0, {}, 'eu-central-1')
  expect(asked).toMatchObject({
    MetricName: 'AuroraGlobalDBRPOLag',
    Dimensions: [
      { Name: 'DBClusterIdentifier', Value: 'orders-near' },
      { Name: 'SourceRegion', Value: 'eu-central-1' },
    ],
  })
  expect(result).toEqual({ lagMs: 850, ageMs: 60_000 + cutOffMs })
})

test('the newest good sample, in any order, with its age', async () => {
  const { result } = await lag([sample(120_000, 3), sample(60_000, 0.5), sample(180_000, 9)])
  expect(result).toEqual({ lagMs: 500, ageMs: 60_000 + cutOffMs })
})

test('S10 no sample is unknown and not zero; -1 says that nothing was measured', async () => {
  expect((await lag([])).result).toBeNull()
  expect((await lag([sample(60_000, -1), sample(60_000)])).result).toBeNull()
  expect((await lag([sample(60_000, -1), sample(120_000, 2)])).result).toEqual({
    lagMs: 2_000,
    ageMs: 120_000 + cutOffMs,
  })
  expect((await lag([sample(660_000, 2)])).result).toBeNull()
})

test('S10 what the header has cut off of the time counts as age', async () => {
  const headers = {
    'content-type': 'application/x-amz-json-1.0',
    date: new Date(nowMs + 900).toUTCString(),
  }
  const { result } = await lag([sample(60_000, 1)], 0, { headers })
  expect(result?.ageMs).toBeGreaterThanOrEqual(60_900)
})

test('S3 the age does not rest on our clock', async () => {
  for (const wrongMs of [-3_600_000, 3_600_000])
    expect((await lag([sample(60_000, 1)], wrongMs)).result).toEqual({
      lagMs: 1_000,
      ageMs: 60_000 + cutOffMs,
    })
})

test('a sample of the future is not younger than now; an answer without a date has no age', async () => {
  expect((await lag([sample(-60_000, 1)])).result).toEqual({ lagMs: 1_000, ageMs: 0 })
  const headers = { 'content-type': 'application/x-amz-json-1.0', date: 'none' }
  expect((await lag([sample(0, 1)], 0, { headers })).result).toBeNull()
})

test('through the port a failure is unknown too, and logged: no failover waits for a sample', async () => {
  const { endpoint } = await serve(() => ({ status: 400, body: '{"__type":"AccessDenied","message":"no"}' }))
  const warned: object[] = []
  const rds = createRds({
    client: () => expect.unreachable(),
    actingClient: () => expect.unreachable(),
    cloudwatch: (region) => new CloudWatchClient({ endpoint, region, credentials, maxAttempts: 1 }),
    clock: { wallMs: () => nowMs } as Clock,
    logger: { warn: (message, details) => void warned.push({ message, ...details }) },
  })
  expect(await rds.lag('eu-west-1', 'orders-near')).toBeNull()
  expect(warned).toEqual([
    expect.objectContaining({
      region: 'eu-west-1',
      identifier: 'orders-near',
      error: expect.stringContaining('no'),
    }),
  ])
})

test('an outage throws', async () => {
  await expect(lag([], 0, { status: 500, body: '{}' })).rejects.toMatchObject({
    $metadata: { httpStatusCode: 500 },
  })
})
