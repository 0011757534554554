/**
 * An Aurora global database of two Regions, by the functions and the state machine as synthesised, with the global writer
 * endpoint: ordered by hand, a Region that is lost, and a primary that only one observer reaches. One database goes
 * through all of it; Regions change their roles each time.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { drill } from '../../local/drill.ts'
import { clusterId, Embedded } from '../../local/embedded.ts'
import {
  approveWhenAsked,
  eventsSince,
  fencedNodes,
  fromOwnAddress,
  lookUp,
  observerSources,
  patient,
  watchCalls,
  within,
} from './support.ts'

let embedded: Embedded

/** Far above what a failover takes here, also on a machine that is busy. */
const boundMs = 90_000
const deadlineMs = 200_000

beforeAll(async () => {
  embedded = await Embedded.start({
    engine: 'aurora-global',
    warmCalls: 2,
    observe: patient,
    policy: { cooldownMs: 0, isolated: 'failover', loss: { mode: 'bounded', seconds: boundMs / 1_000 } },
    managed: { globalEndpoint: true },
    delaysMs: { globalResync: 100_000 },
    enter: fromOwnAddress,
  })
}, 600_000)
afterAll(() => embedded?.close())
beforeEach(() => embedded.until((state) => state.phase === 'steady'))

const state = () => within(embedded.state)
const rds = () => within(embedded.databases.aws.rds)
const nodeOf = (id: string) => within(embedded.config.nodes.find((node) => node.id === id))
const secondary = () => nodeOf(state().primary === 'a' ? 'b' : 'a')
const writers = () =>
  rds()
    .global('orders-global')
    .members.filter(({ isWriter }) => isWriter)
    .map(({ clusterArn }) => rds().cluster(clusterArn).identifier)

async function expectRedundant(): Promise<void> {
  const { primary, nodes, plan, phase } = state()
  expect([phase, plan, fencedNodes(state())]).toEqual(['steady', null, []])
  expect(
    Object.values(nodes)
      .map(({ role }) => role)
      .sort(),
  ).toEqual(['primary', 'standby'])
  expect(writers()).toEqual([nodeOf(primary).instanceId])
  // Aurora's own name, which nobody else moved.
  expect(await lookUp(embedded)).toBe(embedded.databases.addressOf(primary))
  expect(embedded.aws.zone.answers('orders.db.internal.')).toEqual([])
}

test('H07 F77 switchover by hand: SwitchoverGlobalCluster, once; nothing is lost, and Aurora moves the name', async () => {
  const before = state()
  const { calls, stop } = watchCalls(embedded)
  const result = await drill(embedded, { fault: 'switchover' })
  stop()
  expect(calls).toEqual(['SwitchoverGlobalCluster'])
  expect(result).toMatchObject({
    lost: 0,
    twoWriters: 0,
    failedOver: true,
    term: before.term + 1,
    streaming: 3,
  })
  await expectRedundant()
}, 600_000)

test('S1 S2 S10 a Region is lost, its secondary held back: lost within the bound, and no more than was said', async () => {
  const before = state()
  const to = secondary()
  const { calls, stop } = watchCalls(embedded)
  const holdBack = async () => {
    for (const { identifier } of rds().cluster(to.instanceId).members) await rds().cutReplication(identifier)
  }
  const result = await drill(embedded, { fault: 'kill', before: holdBack })
  stop()
  expect(calls).toEqual(['FailoverGlobalCluster'])
  expect(result).toMatchObject({ twoWriters: 0, failedOver: true, streaming: 3 })
  const events = eventsSince(embedded, before.term + 1)
  const target = within(events.find(({ kind }) => kind === 'target'))
  const loss = target.facts?.loss as { provable: string; boundMs: number }
  expect([target.row, loss.provable]).toEqual(['G37', 'bounded'])
  expect(result.lost).toBeGreaterThan(0)
  expect(result.lostMs).toBeLessThanOrEqual(loss.boundMs)
  expect(loss.boundMs).toBeLessThanOrEqual(boundMs)
  // Nobody could reach it, which is not hidden.
  expect(events.find(({ kind }) => kind === 'promoted')?.facts?.fence).toBe('timed out')
  await expectRedundant()
}, 600_000)

test('S6 S10 isolated: nothing without an approval of the missing fence, and none of data beyond the bound without another', async () => {
  const before = state()
  const { primary, term } = before
  const [from, to] = [nodeOf(primary), secondary()]
  const { calls, stop } = watchCalls(embedded)
  const cut = (on: boolean) => {
    for (const observer of ['b', 'c'] as const) rds().cutOff(observerSources[observer], from.region, on)
  }
  cut(true)
  const refused = await embedded.until((each) => each.term > term && each.lastEvent.row === 'G8', deadlineMs)
  expect(refused.primary).toBe(primary)
  rds().setLag(to.instanceId, 2 * boundMs)
  const next = await embedded.until((each) => each.phase === 'steady')
  // Each attempt pages and ends: the approval is of one that is to come.
  const approved = {
    command: 'approve',
    cluster: clusterId,
    target: null,
    acceptLoss: false,
    unfenced: [primary],
  }
  const by = { by: 'anna', reason: 'its clients are stopped', minutes: 30 }
  for (let ahead = 1; ahead <= 3; ahead++)
    expect(await embedded.command({ ...approved, ...by, term: next.term + ahead })).toMatchObject({
      outcome: 'done',
    })
  const going = await embedded.until((each) => each.phase === 'fencing', deadlineMs)
  expect(calls).toEqual([])
  const asked = await approveWhenAsked(embedded, going.term, [primary])
  expect(asked).toMatchObject({ row: 'G36', facts: { candidate: to.id, unfencedBy: 'anna' } })
  expect(calls).toEqual([])
  await embedded.until((each) => each.primary === to.id && each.phase === 'settling', deadlineMs)
  stop()
  cut(false)
  rds().setLag(to.instanceId, null)
  expect(calls).toEqual(['FailoverGlobalCluster'])
  await embedded.until((each) => each.phase === 'steady')
  await expectRedundant()
}, 600_000)
