/**
 * One Aurora cluster, by the functions and the state machine as synthesised: Aurora elects by itself and is followed, and
 * elects by order. Its election takes longer here than the judge takes to find the writer dead.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { drill } from '../../local/drill.ts'
import { Embedded } from '../../local/embedded.ts'
import { eventsSince, fencedNodes, lookUp, patient, watchCalls, within } from './support.ts'

let embedded: Embedded

beforeAll(async () => {
  embedded = await Embedded.start({
    engine: 'aurora',
    warmCalls: 2,
    observe: patient,
    policy: { cooldownMs: 0 },
    // Far longer than an election takes here, also on a machine that is busy.
    managed: { providerGraceMs: 120_000 },
    delaysMs: { auroraFailover: 50_000 },
  })
}, 600_000)
afterAll(() => embedded?.close())
beforeEach(() => embedded.until((state) => state.phase === 'steady'))

const state = () => within(embedded.state)
const writer = () =>
  within(embedded.databases.aws.rds)
    .cluster('orders')
    .members.find(({ isWriter }) => isWriter)?.identifier

async function expectRedundant(term: number): Promise<void> {
  const { primary, nodes, plan, phase } = state()
  expect([phase, plan, fencedNodes(state())]).toEqual(['steady', null, []])
  expect(
    Object.values(nodes)
      .map(({ role }) => role)
      .sort(),
  ).toEqual(['primary', 'standby', 'standby'])
  expect(writer()).toBe(`orders-${primary}`)
  expect(await lookUp(embedded)).toBe(embedded.databases.addressOf(primary))
  // Recorded before anything was believed of it, with the election as what covers the old writer (S1, S2).
  const events = eventsSince(embedded, term)
  const kinds = events.map(({ kind }) => kind)
  expect(kinds.indexOf('target')).toBeGreaterThan(-1)
  expect(kinds.indexOf('target')).toBeLessThan(kinds.indexOf('promoted'))
  expect(events.find(({ kind }) => kind === 'promoted')?.facts?.evidence).toMatchObject([
    { kind: 'elected', term, writer: primary },
  ])
}

test('S1 S2 S10 kill: nothing is asked for while Aurora elects; its election is followed and verified, the name moved', async () => {
  const before = state()
  const { calls, stop } = watchCalls(embedded)
  const result = await drill(embedded, { fault: 'kill' })
  stop()
  expect(calls).toEqual([])
  expect(result).toMatchObject({
    lost: 0,
    twoWriters: 0,
    failedOver: true,
    term: before.term + 1,
    streaming: 2,
  })
  expect(result.acknowledged).toBeGreaterThan(0)
  // The writer was known to be dead long before there was another one.
  expect(eventsSince(embedded, result.term).map(({ row }) => row)).toEqual(
    expect.arrayContaining(['N9', 'N25', 'N24']),
  )
  await expectRedundant(result.term)
}, 600_000)

test('H07 F77 switchover by hand: FailoverDBCluster, once, for the recorded target; nothing is lost', async () => {
  const before = state()
  const { calls, stop } = watchCalls(embedded)
  const result = await drill(embedded, { fault: 'switchover' })
  stop()
  expect(calls).toEqual(['FailoverDBCluster'])
  expect(result).toMatchObject({
    lost: 0,
    twoWriters: 0,
    failedOver: true,
    term: before.term + 1,
    streaming: 2,
  })
  await expectRedundant(result.term)
}, 600_000)

test('H15 S12 a reboot of the writer by hand is followed, not failed over', async () => {
  const before = state()
  const { calls, stop } = watchCalls(embedded)
  const result = await drill(embedded, { fault: 'restart' })
  stop()
  // The person's own.
  expect(calls).toEqual([])
  expect(result).toMatchObject({ lost: 0, twoWriters: 0, failedOver: false, primary: before.primary })
}, 600_000)
