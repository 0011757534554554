/** Records of the table's stream, and the events that wake assess: one bad one is no trouble for its neighbours. */
import '../steps/model/quiet.ts'
import type { DynamoDBStreamEvent } from 'aws-lambda'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { triggerOf } from '../../functions/assess.ts'
import { imagesOf } from '../../functions/aws/stream.ts'
import { parseConfig } from '../../functions/config.ts'
import type { Event } from '../../functions/core/types.ts'
import type { Ports } from '../../functions/ports.ts'
import { record } from '../../functions/record.ts'
import { event, state } from '../aws/samples.ts'
import { example } from '../config-samples.ts'
import { itemOf } from './itemTable.ts'
import { anything, at, fuzz, isContainer, isPolluted, mutated, pathsOf } from './support.ts'

const fleet = parseConfig(example)

/** A write of a state, as the stream brings it. */
function recordOf(cluster: string, version: number) {
  const image = (of: number) => ({
    ...itemOf({ ...state(of, { cluster, lastEvent: event({ version: of, kind: 'halted' }) }) }),
    pk: { S: `cluster#${cluster}` },
    sk: { S: 'state' },
  })
  return {
    eventID: `e-${cluster}-${version}`,
    eventName: 'MODIFY',
    eventSource: 'aws:dynamodb',
    dynamodb: {
      Keys: { pk: { S: `cluster#${cluster}` }, sk: { S: 'state' } },
      NewImage: image(version),
      OldImage: image(version - 1),
      SequenceNumber: `sequence-${cluster}-${version}`,
    },
  }
}

/** Good records of `orders` with bad ones between them. */
const batch = fc
  .array(
    fc.oneof(
      fc.constant(null),
      mutated(recordOf('payments', 5)),
      anything.map((value) => ({ value })),
    ),
    {
      minLength: 1,
      maxLength: 6,
    },
  )
  .map((entries) => entries.map((bad, index) => (bad === null ? recordOf('orders', index + 2) : bad.value)))

const isGood = (each: unknown) =>
  isContainer(each) && String(at(each, ['dynamodb', 'SequenceNumber'])).startsWith('sequence-orders')

test('H23 a record that can not be read takes nothing from its neighbours', async () => {
  await fuzz(fc.tuple(batch, fc.nat(6)), 80, async ([records, failing]) => {
    const stored: string[] = []
    const told: string[] = []
    const good = records.flatMap((each, index) => (isGood(each) ? [index + 2] : []))
    const refused = good[failing % Math.max(1, good.length)]
    const ports = {
      logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
      store: {
        appendEvent: async (cluster: string, { version }: Event) => {
          if (cluster === 'orders' && version === refused) throw new Error('no answer')
          stored.push(`${cluster} ${version}`)
          return true
        },
      },
      notifier: { notify: async (cluster: string) => void told.push(cluster) },
    } as unknown as Ports
    const failed = await record(ports, imagesOf({ Records: records } as DynamoDBStreamEvent))
    const done = good.filter((version) => version !== refused)
    expect(stored.filter((each) => each.startsWith('orders '))).toEqual(
      done.map((version) => `orders ${version}`),
    )
    expect(told.filter((cluster) => cluster === 'orders')).toHaveLength(done.length)
    expect(failed).toEqual(refused === undefined ? [] : [`sequence-orders-${refused}`])
  })
  expect(isPolluted()).toBe(false)
})

test("an image under a key that is not its own is nobody's state", async () => {
  const copied = recordOf('payments', 5)
  const key = { pk: { S: 'cluster#payments' }, sk: { S: 'copy of state' } }
  for (const NewImage of [
    { ...copied.dynamodb.NewImage, cluster: { S: 'orders' } },
    { ...copied.dynamodb.NewImage, ...key },
  ]) {
    const [images] = imagesOf({ Records: [{ dynamodb: { NewImage } }] } as unknown as DynamoDBStreamEvent)
    expect(images?.after).toBeNull()
  }
})

test('records name the clusters that they are about, whatever else is among them', async () => {
  await fuzz(batch, 80, (Records) => {
    const trigger = triggerOf({ Records }, fleet)
    expect(trigger.kind).toBe('hint')
    if (trigger.kind === 'hint' && Records.some(isGood)) expect(trigger.woken).toContain('orders')
  })
})

const node = fleet.clusters[0]?.nodes[0]
const events: readonly unknown[] = [
  { source: 'aws.events', time: '2026-01-01T00:00:00Z', detail: {} },
  {
    source: 'aws.ec2',
    time: '2026-01-01T00:00:00Z',
    detail: { 'instance-id': node?.instanceId, state: 'stopped' },
  },
  {
    source: 'aws.rds',
    time: '2026-01-01T00:00:00Z',
    detail: {
      SourceIdentifier: 'orders-1',
      SourceType: 'DB_INSTANCE',
      Message: 'Recovery of the DB instance',
    },
  },
]

test('an event is a tick with a time, a hint about clusters that there are, or refused by one error', async () => {
  const input = fc.oneof(
    fc.constantFrom(...events).chain((valid) => mutated(valid).map(({ value }) => value)),
    anything,
  )
  const known = fleet.clusters.map(({ id }) => id)
  await fuzz(input, 200, (value) => {
    let trigger: ReturnType<typeof triggerOf>
    try {
      trigger = triggerOf(value, fleet)
    } catch (error) {
      expect(String(error)).toMatch(/^Error: neither records of the table, nor an event/)
      return
    }
    if (trigger.kind === 'tick') expect(new Date(trigger.eventMs).toISOString()).toMatch(/Z$/)
    else if (pathsOf(value).every(([key]) => key !== 'Records'))
      for (const cluster of trigger.woken) expect(known).toContain(cluster)
  })
})
