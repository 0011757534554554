import {
  ConditionalCheckFailedException,
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { EventSourceMapping } from '../../local/deployment.ts'
import { type Change, type LocalDynamoDb, startDynamoDb } from '../../local/dynamodb.ts'
import { Feed } from '../../local/feed.ts'
import { clientConfig, eventually, table } from './fixture.ts'

let dynamodb: LocalDynamoDb
let client: DynamoDBClient
const changes: Change[] = []
const key = (pk: string) => ({ pk: { S: pk }, sk: { S: 'state' } })

beforeAll(async () => {
  dynamodb = await startDynamoDb()
  await dynamodb.createTable('understudy', table.Properties)
  dynamodb.onChange((change) => changes.push(change))
  client = new DynamoDBClient(clientConfig(dynamodb.url))
})
beforeEach(() => {
  changes.length = 0
})
afterAll(async () => {
  client.destroy()
  await dynamodb.close()
})

const put = (pk: string, version: number, condition: object = {}) =>
  client.send(
    new PutItemCommand({
      TableName: 'understudy',
      Item: { ...key(pk), version: { N: String(version) } },
      ...condition,
    }),
  )
const ifVersion = (version: number) => ({
  ConditionExpression: 'version = :v',
  ExpressionAttributeValues: { ':v': { N: String(version) } },
  ReturnValuesOnConditionCheckFailure: 'ALL_OLD' as const,
})

describe('conditional writes (S3)', () => {
  test('a refused condition gives the stored item, for put, update and delete', async () => {
    await put('cluster#a', 1)
    const command = { TableName: 'understudy', Key: key('cluster#a'), ...ifVersion(7) }
    const refused = [
      put('cluster#a', 2, ifVersion(7)),
      client.send(new UpdateItemCommand({ ...command, UpdateExpression: 'REMOVE note' })),
      client.send(new DeleteItemCommand(command)),
    ]
    for (const attempt of refused) {
      const error = await attempt.then(
        () => null,
        (thrown: unknown) => thrown,
      )
      expect(error).toBeInstanceOf(ConditionalCheckFailedException)
      expect((error as ConditionalCheckFailedException).Item).toEqual({
        ...key('cluster#a'),
        version: { N: '1' },
      })
    }
    expect(changes).toHaveLength(1)
  })

  test('a refused condition gives no item unless it is asked for, nor when there is none', async () => {
    await put('cluster#b', 1)
    const quiet = { ...ifVersion(7), ReturnValuesOnConditionCheckFailure: 'NONE' as const }
    await expect(put('cluster#b', 2, quiet)).rejects.toHaveProperty('Item', undefined)
    await expect(put('cluster#absent', 2, ifVersion(7))).rejects.toHaveProperty('Item', undefined)
  })

  test('of 50 racing writers exactly one wins each round', async () => {
    await put('cluster#race', 0)
    for (let round = 0; round < 5; round += 1) {
      const writes = Array.from({ length: 50 }, () => put('cluster#race', round + 1, ifVersion(round)))
      const won = (await Promise.allSettled(writes)).filter(({ status }) => status === 'fulfilled')
      expect(won).toHaveLength(1)
    }
    expect(changes.map(({ newImage }) => newImage?.version?.N)).toEqual(['0', '1', '2', '3', '4', '5'])
  })
})

describe('change feed', () => {
  test('old and new image in the order of the writes, under parallel writers', async () => {
    const add = new UpdateItemCommand({
      TableName: 'understudy',
      Key: key('counter'),
      UpdateExpression: 'ADD n :one',
      ExpressionAttributeValues: { ':one': { N: '1' } },
    })
    await Promise.all(Array.from({ length: 50 }, () => client.send(add)))
    await client.send(new DeleteItemCommand({ TableName: 'understudy', Key: key('counter') }))
    expect(changes.map(({ oldImage }) => oldImage?.n?.N ?? null)).toEqual([
      null,
      ...Array.from({ length: 50 }, (_, index) => String(index + 1)),
    ])
    expect(changes.at(-1)).toMatchObject({ newImage: null, keys: key('counter') })
  })

  test('a write that changes nothing makes no record', async () => {
    await put('same', 1)
    await put('same', 1)
    expect(changes).toHaveLength(1)
  })
})

test('S5: a lost reply is a write that happened; a cut request is one that did not', async () => {
  let when: 'before' | 'after' = 'before'
  const remove = dynamodb.onCall(({ operation }) => (operation === 'PutItem' ? { when } : undefined))
  await expect(put('lost', 1)).rejects.toThrow()
  const read = () => client.send(new GetItemCommand({ TableName: 'understudy', Key: key('lost') }))
  expect((await read()).Item).toBeUndefined()
  when = 'after'
  await expect(put('lost', 2)).rejects.toThrow()
  expect((await read()).Item?.version?.N).toBe('2')
  remove()
  await put('lost', 3)
  expect((await read()).Item?.version?.N).toBe('3')
})

describe('event source mapping', () => {
  const arn = 'arn:aws:dynamodb:eu-central-1:000000000000:table/understudy'
  const mapping: EventSourceMapping = {
    functionName: 'assess',
    tableArn: arn,
    enabled: true,
    batchSize: 3,
    windowMs: 0,
    retriesMost: 2,
    bisects: false,
    maxAgeMs: null,
    reportsItemFailures: false,
    filters: [
      { dynamodb: { Keys: { pk: { S: [{ prefix: 'report#' }] } }, NewImage: { changed: { BOOL: [true] } } } },
      { dynamodb: { Keys: { sk: { S: ['state'] } }, NewImage: { wakeNow: { BOOL: [true] } } } },
    ],
  }
  type Records = {
    Records: { eventName: string; dynamodb: { Keys: { pk: { S: string } }; SequenceNumber: string } }[]
  }
  let sequence = 0
  const change = (pk: string, sk: string, image: Change['newImage']): Change => {
    sequence += 1
    const keys = { pk: { S: pk }, sk: { S: sk } }
    return { table: 'understudy', keys, oldImage: null, newImage: { ...keys, ...image }, sequence, atMs: 0 }
  }
  const changed = (pk: string) => change(pk, 'a', { changed: { BOOL: true } })
  const start = (
    invoke: (records: Records['Records']) => Promise<{ payload: string; functionError?: string }>,
    more: Partial<EventSourceMapping> = {},
  ) =>
    new Feed({
      region: 'eu-central-1',
      tables: [{ name: 'understudy', arn, properties: table.Properties }],
      mappings: [{ ...mapping, ...more }],
      invoke: (_name, payload) => invoke((payload as Records).Records),
      log: () => {},
      retryMs: 1,
    })

  test('the filter lets through changed reports and states that wake, and nothing else', async () => {
    const seen: string[] = []
    const feed = start(async (records) => {
      seen.push(...records.map(({ dynamodb }) => dynamodb.Keys.pk.S))
      return { payload: 'null' }
    })
    feed.push(changed('report#a'))
    feed.push(change('report#b', 'a', { changed: { BOOL: false } }))
    feed.push(change('cluster#c', 'state', { wakeNow: { BOOL: true } }))
    feed.push(change('cluster#d', 'state', {}))
    feed.push(change('cluster#e', 'event#1', { wakeNow: { BOOL: true } }))
    feed.push({ ...changed('report#f'), table: 'other' })
    expect(seen).toEqual(['report#a', 'cluster#c'])
    feed.close()
  })

  test('in order per key, in batches, other keys do not wait', async () => {
    const batches: string[][] = []
    const release: (() => void)[] = []
    const feed = start(async (records) => {
      batches.push(records.map(({ dynamodb }) => dynamodb.Keys.pk.S))
      if (batches.length === 1) await new Promise<void>((resolve) => release.push(resolve))
      return { payload: 'null' }
    })
    for (let index = 0; index < 5; index += 1) feed.push(changed('report#a'))
    feed.push(changed('report#b'))
    expect(batches).toEqual([['report#a'], ['report#b']])
    release[0]?.()
    await eventually(() => batches.flat().length === 6)
    expect(batches.slice(2).map(({ length }) => length)).toEqual([3, 1])
    feed.close()
  })

  test('a failed batch is tried again as often as configured, and holds up its key', async () => {
    const seen: string[] = []
    const feed = start(async (records) => {
      seen.push(...records.map(({ dynamodb }) => String(Number(dynamodb.SequenceNumber))))
      const first = Number(records[0]?.dynamodb.SequenceNumber)
      return first === failing.sequence ? { payload: '{}', functionError: 'Unhandled' } : { payload: 'null' }
    })
    const failing = changed('report#a')
    const after = changed('report#a')
    feed.push(failing)
    feed.push(after)
    await eventually(() => seen.includes(String(after.sequence)))
    expect(seen).toEqual([...Array(3).fill(String(failing.sequence)), String(after.sequence)])
    feed.close()
  })

  test('a failed batch is halved, so that one bad record does not take the others with it', async () => {
    const fine: number[] = []
    const feed = start(
      async (records) => {
        const numbers = records.map(({ dynamodb }) => Number(dynamodb.SequenceNumber))
        if (numbers.includes(bad.sequence)) return { payload: '{}', functionError: 'Unhandled' }
        fine.push(...numbers)
        return { payload: 'null' }
      },
      { bisects: true, retriesMost: 1 },
    )
    const first = changed('report#a')
    const second = changed('report#a')
    const bad = changed('report#a')
    const last = changed('report#a')
    for (const one of [first, second, bad, last]) feed.push(one)
    await eventually(() => fine.includes(last.sequence))
    expect(fine).toEqual([first.sequence, second.sequence, last.sequence])
    feed.close()
  })

  test('records that are too old are given up, and hold up their key no longer', async () => {
    const seen: number[] = []
    const feed = start(
      async (records) => {
        const numbers = records.map(({ dynamodb }) => Number(dynamodb.SequenceNumber))
        seen.push(...numbers)
        return numbers.includes(old.sequence)
          ? { payload: '{}', functionError: 'Unhandled' }
          : { payload: 'null' }
      },
      { maxAgeMs: 60_000, retriesMost: -1 },
    )
    const old = changed('report#a')
    const next = changed('report#a')
    feed.push(old)
    feed.push(next)
    await eventually(() => seen.includes(next.sequence))
    expect(seen).toEqual([old.sequence, next.sequence])
    feed.close()
  })

  test('with ReportBatchItemFailures only what failed and followed comes again', async () => {
    const batches: number[][] = []
    const feed = start(
      async (records) => {
        const numbers = records.map(({ dynamodb }) => dynamodb.SequenceNumber)
        batches.push(numbers.map(Number))
        const failures = batches.length === 2 ? [{ itemIdentifier: numbers[1] }] : []
        return { payload: JSON.stringify({ batchItemFailures: failures }) }
      },
      { reportsItemFailures: true },
    )
    const all = Array.from({ length: 4 }, () => changed('report#a'))
    for (const one of all) feed.push(one)
    await eventually(() => batches.length === 3)
    expect(batches[2]).toEqual(all.slice(2).map((one) => one.sequence))
    feed.close()
  })
})
