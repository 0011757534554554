/** The store on a real DynamoDB API, with the real SDK, and with answers that get lost on the way. */
import { DeleteItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { GetCommand, PutCommand } from '@aws-sdk/lib-dynamodb'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { documentClient, InFlight } from '../../functions/aws/clients.ts'
import { createDynamoStore } from '../../functions/aws/store.ts'
import type { ClusterState, Issue } from '../../functions/core/types.ts'
import type { PreviousState, Store } from '../../functions/ports.ts'
import { itemOf } from '../fuzz/itemTable.ts'
import { claimed, event, report, row, state } from './samples.ts'
import { proxy, type Seen, serve } from './servers.ts'
import { clientFor, startTable, storeFor, table } from './table.ts'

let endpoint: string
let stop: () => Promise<void>
beforeAll(async () => {
  const started = await startTable()
  endpoint = started.endpoint
  stop = started.stop
})
afterAll(() => stop())

/** One cluster per test, so that tests do not meet in the table. */
let cluster: string
let tests = 0
beforeEach(() => {
  tests += 1
  cluster = `orders-${tests}`
})
const own = (made: ClusterState): ClusterState => ({ ...made, cluster })

const raw = () => documentClient(clientFor(endpoint))
async function item(pk: string, sk: string): Promise<Record<string, unknown> | undefined> {
  return (await raw().send(new GetCommand({ TableName: table, Key: { pk, sk }, ConsistentRead: true }))).Item
}
const putRaw = (Item: Record<string, unknown>) => raw().send(new PutCommand({ TableName: table, Item }))

const isPutOf = (sk: string) => (seen: Seen) =>
  seen.target === 'PutItem' && (JSON.parse(seen.body) as { Item: { sk: { S: string } } }).Item.sk.S === sk

/** The state that a write follows: its event is stored by the write when it is given, else by who made it. */
const previous = (version: number, lastEvent = event({ version: 0 })): PreviousState => ({
  version,
  wake: 0,
  lastEvent,
})

async function started(store: Store): Promise<void> {
  expect(await store.writeState(own(state(1)), null)).toBe('written')
}

describe('records', () => {
  test('every record is read back as it was written', async () => {
    const store = storeFor(endpoint)
    const approval = {
      cluster,
      term: 3,
      target: 'b',
      acceptLoss: true,
      unfenced: ['a'],
      by: 'anna',
      reason: 'host is gone',
      untilMs: 5,
    }
    expect(await store.readState(cluster)).toEqual({ kind: 'absent' })
    expect(await store.readApproval(cluster, 3)).toEqual({ kind: 'absent' })
    const written = own(claimed(1, 'claim-1'))
    expect(await store.writeState(written, null)).toBe('written')
    expect(await store.writeReport(report({ cluster }))).toBe('written')
    expect(await store.writeApproval(approval)).toBe('written')
    expect(await store.readState(cluster)).toEqual({ kind: 'found', value: written })
    expect([...(await store.readReports(cluster))]).toEqual([
      ['a', { kind: 'found', value: report({ cluster }) }],
    ])
    expect(await store.readApproval(cluster, 3)).toEqual({ kind: 'found', value: approval })
  })

  test('fields are top-level attributes under the keys of the contract, without a TTL', async () => {
    const store = storeFor(endpoint)
    await started(store)
    await store.writeReport(report({ cluster, changed: true }))
    expect(await item(`cluster#${cluster}`, 'state')).toMatchObject({ phase: 'steady', version: 1 })
    const stored = await item(`report#${cluster}`, 'a')
    expect(Object.keys(stored ?? {}).sort()).toEqual(['pk', 'sk', ...Object.keys(report())].sort())
    expect(stored?.changed).toBe(true)
  })

  test('H23 wakeNow is true exactly when wake rose', async () => {
    const store = storeFor(endpoint)
    const wakeNow = async () => (await item(`cluster#${cluster}`, 'state'))?.wakeNow
    await started(store)
    expect(await wakeNow()).toBe(false)
    await store.writeState(own(state(2, { wake: 1 })), previous(1))
    expect(await wakeNow()).toBe(true)
    await store.writeState(own(state(3, { wake: 1 })), { ...previous(2), wake: 1 })
    expect(await wakeNow()).toBe(false)
  })

  test('free facts may hold anything; what could not be read back is not written', async () => {
    const store = storeFor(endpoint)
    const facts = { ratio: Number.NaN, most: Infinity, none: undefined, deep: { zero: -0 } }
    expect(await store.appendEvent(cluster, event({ facts }))).toBe(true)
    expect((await store.readEvents(cluster, 1))[0]?.facts).toEqual({
      ratio: 'NaN',
      most: 'Infinity',
      deep: { zero: 0 },
    })
    await expect(store.writeState(own(state(1, { beat: Number.NaN })), null)).rejects.toThrow(/beat/)
    expect(await store.readState(cluster)).toEqual({ kind: 'absent' })
  })

  test('only consistent single-item operations, no transaction, each write on a condition', async () => {
    const way = await proxy(endpoint, () => 'pass')
    const store = storeFor(way.endpoint)
    await started(store)
    await store.writeState(own(state(2)), previous(1, event()))
    await store.writeReport(report({ cluster }))
    await store.writeFleet(
      { version: 1, clockMs: 1, jumpMs: null, seen: {}, breaker: { open: false, reason: '' } },
      0,
    )
    await store.readState(cluster)
    await store.readReports(cluster)
    await store.readEvents(cluster, 5)
    await store.readIssues(cluster)
    await store.readFleet()
    expect(new Set(way.seen.map((one) => one.target))).toEqual(new Set(['PutItem', 'GetItem', 'Query']))
    for (const { target, body } of way.seen) {
      const input = JSON.parse(body) as Record<string, unknown>
      if (target === 'PutItem') {
        expect(input.ConditionExpression).toBeTruthy()
        expect(input.ReturnValuesOnConditionCheckFailure).toBe('ALL_OLD')
      } else expect(input.ConsistentRead).toBe(true)
    }
    await raw().send(
      new DeleteItemCommand({ TableName: table, Key: { pk: { S: 'fleet' }, sk: { S: 'fleet' } } }),
    )
  })
})

describe('races', () => {
  test('H01 H06 of 50 parallel takers exactly one has written', async () => {
    const stores = Array.from({ length: 5 }, () => storeFor(endpoint))
    await started(stores[0] as Store)
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        (stores[n % 5] as Store).writeState(own(claimed(2, `claim-${n}`)), previous(1, event())),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'written')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 'lost')).toHaveLength(49)
    const winner = outcomes.indexOf('written')
    expect(await storeFor(endpoint).readState(cluster)).toMatchObject({
      value: { claim: { id: `claim-${winner}` } },
    })
  })

  test('H06 two attempts of one step write the same version and differ only in the claim id: one has lost', async () => {
    const store = storeFor(endpoint)
    await started(store)
    expect(await store.writeState(own(claimed(2, 'attempt-1')), previous(1))).toBe('written')
    expect(await store.writeState(own(claimed(2, 'attempt-2')), previous(1))).toBe('lost')
    expect(await store.writeState(own(claimed(2, 'attempt-1')), previous(1))).toBe('written')
  })

  test('H06 a state of the same version and claim with another decision inside is not ours', async () => {
    const store = storeFor(endpoint)
    expect(await store.writeState(own(state(1)), null)).toBe('written')
    const other = own(state(1, { lastEvent: event({ message: 'something else' }) }))
    expect(await store.writeState(other, null)).toBe('lost')
  })

  test('a stale version, a missing item and a first write over an item are lost', async () => {
    const store = storeFor(endpoint)
    expect(await store.writeState(own(state(2)), previous(1))).toBe('lost')
    await started(store)
    await store.writeState(own(state(2)), previous(1))
    expect(await store.writeState(own(state(2, { beat: 1 })), previous(1))).toBe('lost')
    expect(await store.writeState(own(state(1, { beat: 1 })), null)).toBe('lost')
    await expect(store.writeFleet(fleet(3), 1)).rejects.toThrow(/cannot follow/)
  })

  test('H20 fleet: two ticks, one clock', async () => {
    const store = storeFor(endpoint)
    expect(await store.readFleet()).toEqual({ kind: 'absent' })
    const outcomes = await Promise.all([1, 2].map((clockMs) => store.writeFleet(fleet(1, clockMs), 0)))
    expect(outcomes.sort()).toEqual(['lost', 'written'])
    expect(await store.writeFleet(fleet(2, 9), 1)).toBe('written')
    expect(await store.readFleet()).toEqual({ kind: 'found', value: fleet(2, 9) })
  })

  test('H11 a report is overtaken by a newer token, and by nothing else', async () => {
    const store = storeFor(endpoint)
    let sequence = 0
    const write = (token: number, holder: string) =>
      store.writeReport(report({ cluster, token, holder, sequence: sequence++ }))
    expect(await write(100, 'one')).toBe('written')
    expect(await write(100, 'one')).toBe('written')
    expect(await write(101, 'two')).toBe('written')
    expect(await write(100, 'one')).toBe('lost')
    expect((await store.readReports(cluster)).get('a')).toMatchObject({ value: { holder: 'two' } })
  })

  test('H11 H20 S3 a token of a wrong time keeps nobody from reporting', async () => {
    const store = storeFor(endpoint)
    const write = (token: number, holder: string) =>
      store.writeReport(report({ cluster, token, holder, sequence: 1 }))
    expect(await write(100 + 120, 'of an event that was two hours ahead')).toBe('written')
    expect(await write(101, 'of the next minute')).toBe('written')
    expect(await write(100, 'of the minute before')).toBe('lost')
  })
})

describe('answers that get lost', () => {
  test('H06.3 the claim took effect, its answer was lost, the repetition meets it: written', async () => {
    let lost = 0
    const way = await proxy(endpoint, (seen) =>
      isPutOf('state')(seen) && lost++ === 0 ? 'loseAnswer' : 'pass',
    )
    const store = storeFor(way.endpoint)
    expect(await store.writeState(own(claimed(1, 'mine')), null)).toBe('written')
    expect(way.seen.filter(isPutOf('state'))).toHaveLength(2)
    expect(await store.readState(cluster)).toMatchObject({ value: { version: 1, claim: { id: 'mine' } } })
  })

  test('H06.3 S5 a held answer runs into the time-out, which ends the request and repeats it: written', async () => {
    let held = 0
    const way = await proxy(endpoint, (seen) =>
      isPutOf('state')(seen) && held++ === 0 ? 'holdAnswer' : 'pass',
    )
    const store = storeFor(way.endpoint, 1_000)
    expect(await store.writeState(own(claimed(1, 'mine')), null)).toBe('written')
    expect(way.seen.filter(isPutOf('state')).length).toBeGreaterThanOrEqual(2)
  })

  test('S5 all answers lost: unknown, and a read shows that it happened', async () => {
    const way = await proxy(endpoint, (seen) => (isPutOf('state')(seen) ? 'loseAnswer' : 'pass'))
    const store = storeFor(way.endpoint)
    expect(await store.writeState(own(claimed(1, 'mine')), null)).toBe('unknown')
    expect(await store.readState(cluster)).toMatchObject({ kind: 'found', value: { claim: { id: 'mine' } } })
  })

  test('S5 no request arrived: unknown, and a read shows that nothing happened', async () => {
    const way = await proxy(endpoint, (seen) => (seen.target === 'PutItem' ? 'loseRequest' : 'pass'))
    const store = storeFor(way.endpoint)
    expect(await store.writeState(own(state(1)), null)).toBe('unknown')
    expect(await store.writeReport(report({ cluster }))).toBe('unknown')
    expect(await store.readState(cluster)).toEqual({ kind: 'absent' })
    await expect(store.appendEvent(cluster, event())).rejects.toThrow(/no answer/)
  })

  test('H06.3 ours was written and passed by the next version before the repetition: not lost but unknown', async () => {
    const direct = storeFor(endpoint)
    await started(direct)
    let lost = 0
    const way = await proxy(
      endpoint,
      (seen) => (isPutOf('state')(seen) && lost++ === 0 ? 'loseAnswer' : 'pass'),
      async () => {
        if (lost === 1) await direct.writeState(own(state(3)), previous(2))
      },
    )
    expect(await storeFor(way.endpoint).writeState(own(claimed(2, 'mine')), previous(1))).toBe('unknown')
  })

  test('H06 somebody took this very version while our request was lost: lost', async () => {
    const direct = storeFor(endpoint)
    await started(direct)
    let lost = 0
    const way = await proxy(endpoint, (seen) =>
      isPutOf('state')(seen) && lost++ === 0 ? 'loseRequest' : 'pass',
    )
    await direct.writeState(own(claimed(2, 'theirs')), previous(1))
    expect(await storeFor(way.endpoint).writeState(own(claimed(2, 'mine')), previous(1))).toBe('lost')
  })

  test('H06.3 the item inside a refused condition is used, without another read', async () => {
    const mine = claimed(2, 'mine')
    const refusal = async (stored: ClusterState) => {
      const service = await serve(({ target, body }) => {
        expect(target).toBe('PutItem')
        const { Item } = JSON.parse(body) as { Item: Record<string, unknown> }
        const claim = { M: { ...(Item.claim as { M: object }).M, id: { S: stored.claim?.id } } }
        return {
          status: 400,
          headers: { 'content-type': 'application/x-amz-json-1.0' },
          body: JSON.stringify({
            __type: 'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException',
            message: 'The conditional request failed',
            Item: { ...Item, claim },
          }),
        }
      })
      return storeFor(service.endpoint).writeState(mine, previous(1))
    }
    expect(await refusal(claimed(2, 'mine'))).toBe('written')
    expect(await refusal(claimed(2, 'theirs'))).toBe('lost')
  })

  test('throttling is repeated a bounded number of times and ends as unknown', async () => {
    const service = await serve(() => ({
      status: 400,
      headers: { 'content-type': 'application/x-amz-json-1.0' },
      body: JSON.stringify({
        __type: 'com.amazonaws.dynamodb.v20120810#ThrottlingException',
        message: 'slow',
      }),
    }))
    expect(await storeFor(service.endpoint).writeState(state(1), null)).toBe('unknown')
    expect(service.seen).toHaveLength(3)
  })

  test('S5 an answer that stalls half-way is given up, and repeated a bounded number of times', async () => {
    const service = await serve(() => 'stall')
    expect(await storeFor(service.endpoint, 300).writeState(state(1), null)).toBe('unknown')
    await expect(storeFor(service.endpoint, 300).readState('orders')).rejects.toThrow()
  })

  test('S13 a table that is not there is an outage: thrown, never taken for an absent state', async () => {
    const store = createDynamoStore({ client: documentClient(clientFor(endpoint)), table: 'no-such-table' })
    await expect(store.readState(cluster)).rejects.toThrow()
    await expect(store.writeState(own(state(1)), null)).rejects.toThrow()
  })

  test('H06.2 requests under way end with the handler, and are not repeated', async () => {
    const service = await serve(() => 'silence')
    const inFlight = new InFlight()
    const client = inFlight.track(documentClient(clientFor(service.endpoint)))
    const store = createDynamoStore({ client, table })
    const write = store.writeState(state(1), null)
    const read = expect(store.readState(cluster)).rejects.toThrow()
    await expect.poll(() => service.seen.length, { timeout: 10_000 }).toBe(2)
    inFlight.abort()
    expect(await write).toBe('unknown')
    await read
    expect(service.seen).toHaveLength(2)
  })
})

describe('history', () => {
  test('H22 the previous event is stored first, and without it the state is not written', async () => {
    await started(storeFor(endpoint))
    let broken = true
    const way = await proxy(endpoint, (seen) =>
      broken && isPutOf('event#000000000001.000000000001')(seen) ? 'loseRequest' : 'pass',
    )
    const store = storeFor(way.endpoint)
    expect(await store.writeState(own(state(2)), previous(1, event()))).toBe('unknown')
    expect(way.seen.some(isPutOf('state'))).toBe(false)
    broken = false
    expect(await store.writeState(own(state(2)), previous(1, event()))).toBe('written')
    const puts = way.seen.slice(-2)
    expect(puts.map((seen) => isPutOf('state')(seen))).toEqual([false, true])
    expect(await store.readEvents(cluster, 10)).toEqual([event()])
  })

  test('H22 history is never overwritten', async () => {
    const store = storeFor(endpoint)
    expect(await store.appendEvent(cluster, event())).toBe(true)
    expect(await store.appendEvent(cluster, event({ message: 'rewritten' }))).toBe(false)
    await started(store)
    expect(await store.writeState(own(state(2)), previous(1, event({ message: 'rewritten' })))).toBe(
      'written',
    )
    expect(await store.readEvents(cluster, 10)).toEqual([event()])
  })

  test('H22 a refusal stands beside the version that it saw: it hides no event, and none hides it', async () => {
    const store = storeFor(endpoint)
    const refused = (message: string) => event({ kind: 'refused', row: 'L6', message })
    expect(await store.appendEvent(cluster, refused('first'), 'orders-2-x.1')).toBe(true)
    expect(await store.appendEvent(cluster, refused('second'), 'orders-2-y')).toBe(true)
    expect(await store.appendEvent(cluster, refused('again'), 'orders-2-y')).toBe(false)
    expect(await store.appendEvent(cluster, event())).toBe(true)
    expect(await store.appendEvent(cluster, event({ version: 2 }))).toBe(true)
    await putRaw({ pk: `cluster#${cluster}`, sk: 'event#000000000001.000000000003.orders-2-z', message: 3 })
    const read = await store.readEvents(cluster, 10)
    expect(read.map(({ version, kind, message }) => `${version} ${kind} ${message}`.slice(0, 18))).toEqual([
      '3 unreadable This ',
      '2 adopted a quorum',
      '1 refused second',
      '1 refused first',
      '1 adopted a quorum',
    ])
  })

  test('H22 newest first by term and version, over pages, at most as many as asked for', async () => {
    const store = storeFor(endpoint)
    const facts = { padding: 'x'.repeat(90_000) }
    for (let version = 1; version <= 14; version++)
      await store.appendEvent(cluster, event({ version, term: version < 13 ? 1 : 2, facts }))
    const versions = async (limit: number) =>
      (await store.readEvents(cluster, limit)).map((one) => one.version)
    expect(await versions(50)).toEqual([14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    expect(await versions(3)).toEqual([14, 13, 12])
  })
})

describe('issues', () => {
  const issue = (change: Partial<Issue> = {}): Issue => ({
    cluster,
    key: 'synchronousSetUnknown',
    severity: 'warning',
    message: 'two looks differ',
    todo: 'wait',
    sinceMs: 10,
    ...change,
  })

  test('an issue that is open keeps since when, takes new words, and closes', async () => {
    const store = storeFor(endpoint)
    await store.openIssue(issue())
    await store.openIssue(issue({ sinceMs: 20, message: 'still' }))
    await store.openIssue(issue({ key: 'other' }))
    expect(await store.readIssues(cluster)).toEqual([
      issue({ key: 'other' }),
      issue({ sinceMs: 10, message: 'still' }),
    ])
    await store.closeIssue(cluster, 'other')
    await store.closeIssue(cluster, 'other')
    expect((await store.readIssues(cluster)).map((one) => one.key)).toEqual(['synchronousSetUnknown'])
  })
})

describe('H23 items edited by hand', () => {
  test('a report that does not parse is unreadable and hides no other', async () => {
    const store = storeFor(endpoint)
    await store.writeReport(report({ cluster }))
    await putRaw({
      ...report({ cluster, observer: 'b' }),
      token: 'soon',
      nodes: 7,
      pk: `report#${cluster}`,
      sk: 'b',
    })
    await putRaw({ ...report({ cluster, observer: 'a' }), pk: `report#${cluster}`, sk: 'c' })
    await putRaw({ pk: `report#${cluster}`, sk: 'd' })
    const reports = await store.readReports(cluster)
    expect([...reports].map(([observer, read]) => [observer, read.kind])).toEqual([
      ['a', 'found'],
      ['b', 'unreadable'],
      ['c', 'unreadable'],
      ['d', 'unreadable'],
    ])
    expect(reports.get('b')).toEqual({
      kind: 'unreadable',
      problems: ['token: expected a number, got text', 'nodes: expected an object, got a number'],
    })
  })

  test('numbers that no record can hold, and bytes in place of a list, hide no other report either', async () => {
    const store = storeFor(endpoint)
    await store.writeReport(report({ cluster }))
    const put = (observer: string, edited: object) => {
      const Item = itemOf({
        ...report({ cluster, observer }),
        pk: `report#${cluster}`,
        sk: observer,
        ...edited,
      })
      return clientFor(endpoint).send(new PutItemCommand({ TableName: table, Item: Item as never }))
    }
    await put('b', { sequence: 'attribute:{"N":"12345678901234567890.5"}' })
    const outcome = { kind: 'answered', row: { ...row, downstream: 'attribute:{"B":"AAAA"}' } }
    await put('c', { nodes: { b: { observation: { class: 'recovery', outcome, tookMs: 1 } } } })
    const reports = await store.readReports(cluster)
    expect([...reports].map(([observer, read]) => [observer, read.kind])).toEqual([
      ['a', 'found'],
      ['b', 'unreadable'],
      ['c', 'unreadable'],
    ])
  })

  test('a state that does not parse, or is of another cluster, is unreadable', async () => {
    const store = storeFor(endpoint)
    await putRaw({ ...own(state(1)), phase: 'stedy', pk: `cluster#${cluster}`, sk: 'state' })
    expect(await store.readState(cluster)).toMatchObject({ kind: 'unreadable' })
    await putRaw({ ...state(1), cluster: 'payments', pk: `cluster#${cluster}`, sk: 'state' })
    expect(await store.readState(cluster)).toEqual({
      kind: 'unreadable',
      problems: [`cluster: expected ${cluster} as in its key, got payments`],
    })
  })

  test('H25 an approval copied to another term is unreadable', async () => {
    const store = storeFor(endpoint)
    const approval = {
      cluster,
      term: 3,
      target: null,
      acceptLoss: true,
      unfenced: [],
      by: 'a',
      reason: 'b',
      untilMs: 1,
    }
    await putRaw({ ...approval, pk: `approval#${cluster}`, sk: '000000000004' })
    expect(await store.readApproval(cluster, 4)).toMatchObject({ kind: 'unreadable' })
  })

  test('an issue and an event that cannot be read stand for themselves', async () => {
    const store = storeFor(endpoint)
    await putRaw({ pk: `cluster#${cluster}`, sk: 'issue#odd', severity: 'loud' })
    await putRaw({ pk: `cluster#${cluster}`, sk: 'event#000000000002.000000000007', message: 3 })
    expect(await store.readIssues(cluster)).toMatchObject([{ key: 'odd', cluster, severity: 'warning' }])
    expect(await store.readEvents(cluster, 5)).toMatchObject([{ term: 2, version: 7, kind: 'unreadable' }])
  })
})

function fleet(version: number, clockMs = 1) {
  return { version, clockMs, jumpMs: null, seen: {}, breaker: { open: false, reason: '' } }
}
