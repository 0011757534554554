/** DescribeAlarms, against a server that speaks CloudWatch's JSON protocol. */
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch'
import { expect, test } from 'vitest'
import { readAlarms } from '../../functions/aws/alarms.ts'
import { createRds } from '../../functions/aws/rds.ts'
import type { Clock } from '../../functions/ports.ts'
import { credentials, serve } from './servers.ts'

const headers = { 'content-type': 'application/x-amz-json-1.0' }
const of = (value: string) => [{ Name: 'DBInstanceIdentifier', Value: value }]
const pages: Record<string, object> = {
  first: {
    MetricAlarms: [
      { Namespace: 'AWS/RDS', MetricName: 'FreeStorageSpace', Dimensions: of('orders-a') },
      { Namespace: 'AWS/RDS', MetricName: 'CPUUtilization', Dimensions: of('orders-a') },
      { Namespace: 'AWS/EC2', MetricName: 'CPUUtilization', Dimensions: of('orders-b') },
      { Namespace: 'AWS/RDS', MetricName: 'CPUUtilization' },
    ],
    NextToken: 'more',
  },
  more: {
    MetricAlarms: [
      { Namespace: 'AWS/RDS', MetricName: 'CPUUtilization', Dimensions: of('orders-a') },
      {
        Metrics: [
          { Id: 'e', Expression: 'm / 60' },
          {
            Id: 'm',
            MetricStat: {
              Metric: { Namespace: 'AWS/RDS', MetricName: 'ReplicaLag', Dimensions: of('orders-b') },
            },
          },
        ],
      },
    ],
  },
}

test('metrics of instances, over all pages, each once, those inside of metric math too', async () => {
  const { endpoint } = await serve(({ body }) => {
    const token = (JSON.parse(body) as { NextToken?: string }).NextToken ?? 'first'
    return { headers, body: JSON.stringify(pages[token]) }
  })
  const client = new CloudWatchClient({ endpoint, region: 'eu-west-1', credentials, maxAttempts: 1 })
  expect(await readAlarms(client)).toEqual(
    new Map([
      ['orders-a', ['CPUUtilization', 'FreeStorageSpace']],
      ['orders-b', ['ReplicaLag']],
    ]),
  )
})

test('through the port no answer is null, and logged: nothing waits for it', async () => {
  const { endpoint } = await serve(() => ({ status: 400, body: '{"__type":"AccessDenied","message":"no"}' }))
  const warned: string[] = []
  const rds = createRds({
    client: () => expect.unreachable(),
    actingClient: () => expect.unreachable(),
    cloudwatch: (region) => new CloudWatchClient({ endpoint, region, credentials, maxAttempts: 1 }),
    clock: { wallMs: () => 0 } as Clock,
    logger: { warn: (message) => void warned.push(message) },
  })
  expect(await rds.alarms('eu-west-1')).toBeNull()
  expect(warned).toEqual(['the alarms were not read'])
})
