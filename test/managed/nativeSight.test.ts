/** What several Regions say of one global database, of which some do not answer or are not up to date. */
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { readSight } from '../../functions/managed/nativeSight.ts'
import type { Clock, GlobalClusterView, Rds } from '../../functions/ports.ts'
import { NativeWorld } from './nativeWorld.ts'

const cluster = new NativeWorld({ kind: 'aurora-global' }).config
const regions = cluster.nodes.map(({ region }) => region)
const silence = new Promise<never>(() => undefined)

/** Every wait of it is short. */
const clock = {
  monotonicMs: () => 0,
  wallMs: () => 0,
  sleep: async (_ms, signal) => {
    await delay(20, undefined, signal ? { signal } : {}).catch(() => undefined)
  },
} satisfies Clock

const view = (writer: string): GlobalClusterView => ({
  ...{ identifier: 'orders-global', status: 'available', endpoint: null, failover: null },
  members: cluster.nodes.map(({ id, region, instanceId }) => ({
    ...{ clusterArn: `arn:aws:rds:${region}:1:cluster:${instanceId}`, region, clusterIdentifier: instanceId },
    ...{ isWriter: id === writer, synchronizationStatus: 'connected' },
  })),
})

/** By Region: who writes; null: it does not answer. */
function sight(says: Readonly<Record<string, string | null>>) {
  const answer = async <T>(region: string, value: (writer: string) => T): Promise<T> => {
    const writer = says[region] ?? null
    return writer === null ? await silence : value(writer)
  }
  const rds = {
    global: (region: string) => answer(region, view),
    clusters: (region: string) => answer(region, () => []),
  } as unknown as Rds
  return readSight({ rds, clock }, cluster)
}

const [first = '', second = '', third = ''] = regions

describe('a global database', () => {
  test('a Region that is silent holds nobody up, wherever it stands in the configuration', async () => {
    for (const lost of regions) {
      const says = Object.fromEntries(regions.map((region) => [region, region === lost ? null : 'b']))
      expect(await sight(says), lost).toMatchObject({ problem: null, writer: 'b' })
    }
  })

  test('no Region answers: that is said of each', async () => {
    const { problem, writer } = await sight({})
    expect(writer).toBeNull()
    for (const region of regions) expect(problem).toContain(`${region} did not answer within`)
  })

  test('S2 a Region that still names the old writer, beside one that names the new one: no writer is believed', async () => {
    expect(await sight({ [first]: 'a', [second]: 'b', [third]: 'b' })).toMatchObject({
      writer: null,
      problem: expect.stringContaining('different writers'),
    })
  })
})
