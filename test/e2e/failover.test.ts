/**
 * Whole failovers on real servers, by the functions and the state machine as synthesised: each fault, each way to start
 * an operation, and steps and executions that die half-way. One embedded cluster goes through all of it, as a cluster in
 * production would; every test begins and ends steady.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../functions/core/types.ts'
import { type DrillResult, drill } from '../../local/drill.ts'
import { clusterId, Embedded, endpointName } from '../../local/embedded.ts'
import { Writer } from '../../local/writer.ts'
import { countMissing, fencedNodes, lookUp, within } from './support.ts'

let embedded: Embedded

beforeAll(async () => {
  embedded = await Embedded.start({
    stopSeconds: 1,
    policy: { cooldownMs: 0 },
    // What a resume waits out in full on AWS: the longest time-out of a function that acts.
    overrides: { waitTimeOverrides: { ResumeWait: 50 } },
  })
})
afterAll(() => embedded?.close())
beforeEach(() => embedded.until((state) => state.phase === 'steady'))

const state = () => within(embedded.state)

/** What every failover promises, whatever happened on the way. */
function expectSafe(result: DrillResult): void {
  expect(result).toMatchObject({ lost: 0, twoWriters: 0 })
  expect(result.acknowledged).toBeGreaterThan(0)
}

async function expectRedundant(): Promise<void> {
  const { primary, nodes, plan } = await embedded.until((each) => each.phase === 'steady')
  expect(plan).toBeNull()
  expect(
    Object.values(nodes)
      .map((node) => node.role)
      .sort(),
  ).toEqual(['primary', 'standby', 'standby'])
  expect(fencedNodes(state())).toEqual([])
  expect(await lookUp(embedded)).toBe(embedded.postgres.servers.get(primary)?.address)
  const streaming = await embedded.postgres.query(
    primary,
    "select from pg_stat_replication where state = 'streaming'",
  )
  expect(streaming).toHaveLength(2)
}

describe('faults', () => {
  test('F09 F26 F46 F83 F87 kill: fails over without loss, moves the name, brings the old primary back', async () => {
    const before = state()
    const result = await drill(embedded, { fault: 'kill' })
    expectSafe(result)
    expect(result).toMatchObject({ failedOver: true, term: before.term + 1 })
    await expectRedundant()
  })

  test('F19 F20 H15 S12 restart: the session was told, so nothing is failed over', async () => {
    const before = state()
    const result = await drill(embedded, { fault: 'restart' })
    expectSafe(result)
    expect(result).toMatchObject({ failedOver: false, primary: before.primary, term: before.term })
  })

  test('F08 F26 H14 freeze: what the thawed server acknowledges is not lost, and it is fenced while it answers', async () => {
    const before = state()
    const result = await drill(embedded, { fault: 'freeze' })
    expectSafe(result)
    expect(result).toMatchObject({ failedOver: true, term: before.term + 1 })
    await expectRedundant()
  })
})

describe('by hand', () => {
  test('H07 F77 switchover: no acknowledged write is lost, the old primary follows, its instance is never stopped', async () => {
    const before = state()
    const client = new Writer({
      via: { name: endpointName, resolver: embedded.resolver },
      port: embedded.port,
      writer: 'planned',
      everyMs: 5,
      patienceMs: 500,
    })
    await expect.poll(() => client.acknowledged.length, { timeout: 60_000 }).toBeGreaterThan(50)
    const to = within(Object.keys(before.nodes).find((id) => id !== before.primary))
    const stops: string[] = []
    const unhook = embedded.aws.front.onCall(({ operation }) => {
      if (operation === 'StopInstances') stops.push(operation)
      return undefined
    })
    const answer = await embedded.command({
      command: 'switchover',
      cluster: clusterId,
      by: 'test',
      reason: 'planned',
      to,
    })
    expect(answer.outcome).toBe('done')
    await embedded.until((each) => each.primary === to && each.phase === 'steady')
    const written = client.acknowledged.length
    await expect.poll(() => client.acknowledged.length, { timeout: 60_000 }).toBeGreaterThan(written + 20)
    await client.stop()
    unhook()
    expect(stops).toEqual([])
    expect(await countMissing(embedded, 'planned', client)).toBe(0)
    expect(state().term).toBe(before.term + 1)
    await expectRedundant()
  })

  test('H25 a failover started in the console is validated, claimed, fenced and recorded like any other', async () => {
    const before = state()
    const { workflow } = embedded.aws
    const input = { cluster: clusterId, kind: 'failover', reason: 'a try by hand' }
    const machine = within(embedded.aws.deployment.stateMachines[0]).arn
    const bad = workflow.start(
      machine,
      'bad-input',
      JSON.stringify({ ...input, cluster: 'nowhere', kind: 'fail' }),
    )
    await bad.done
    expect(bad).toMatchObject({ status: 'FAILED', error: 'Understudy.Refused' })
    expect(state().term).toBe(before.term)
    workflow.start(machine, 'by-hand', JSON.stringify(input))
    await embedded.until((each) => each.term === before.term + 1 && each.phase === 'steady')
    expect(state().primary).not.toBe(before.primary)
    const kinds = embedded.history
      .filter((seen) => seen.state.term === before.term + 1)
      .map((seen) => seen.state.lastEvent.kind)
    for (const kind of ['claimed', 'confirmed', 'fenced', 'target', 'promoted', 'repointed', 'steady'])
      expect(kinds).toContain(kind)
    await expectRedundant()
  })
})

describe('what dies half-way', () => {
  test('F41 F42 F69 F70 S5 each step is killed once, before or after its work, and the workflow finishes', async () => {
    const before = state()
    const kill = (step: string, when: 'before' | 'after') =>
      embedded.aws.lambda.killNext(`understudy-${step}`, when)
    kill('confirm', 'after')
    kill('fence', 'before')
    kill('promote', 'after')
    kill('repoint', 'after')
    const result = await drill(embedded, { fault: 'kill' })
    expectSafe(result)
    expect(result).toMatchObject({ failedOver: true, term: before.term + 1 })
    await expectRedundant()
  })

  test.each<Phase>(['confirming', 'fencing', 'promoting', 'repointing'])(
    'H12 F42 F69 an execution that is stopped while %s is resumed in a new term',
    async (phase) => {
      const before = state()
      const term = before.term + 1
      const stopping = embedded
        .onState((seen) => seen.phase === phase && seen.term === term)
        .then(async (seen) => {
          const { workflow } = embedded.aws
          workflow.stop(within(workflow.execution(within(seen.claim).holder)))
          // Ticks of the minute until the beat stood still between two of them.
          while (state().term === term && state().phase !== 'steady') {
            await embedded.tick()
            await delay(200)
          }
        })
      const result = await drill(embedded, { fault: 'kill' })
      await stopping
      expectSafe(result)
      expect(result.failedOver).toBe(true)
      expect(result.term).toBeGreaterThan(before.term + 1)
      await expectRedundant()
    },
  )
})
