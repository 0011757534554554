/** What RDS notices by itself: dead Aurora writers and Multi-AZ instances, which it fails over, and replication. */
import { setTimeout as sleep } from 'node:timers/promises'
import { failOverInside, isAlive, writerOf } from './aurora.ts'
import { failOver } from './instances.ts'
import { measureLags } from './metrics.ts'
import { replicating, type StatusInfo } from './model.ts'
import { isStreaming } from './servers.ts'
import type { World } from './world.ts'

/** Below this a look would cost more than it tells. */
const intervalMsLeast = 100
/** A writer that does not answer this often in a row is dead. */
const missesMost = 2

const stopped: StatusInfo = {
  statusType: 'read replication',
  normal: false,
  status: 'error',
  message: 'Streaming replication has stopped.',
}

export function watchHealth(world: World): void {
  const misses = new Map<string, number>()
  const busy = new Set<string>()
  const intervalMs = Math.max(intervalMsLeast, world.options.delaysMs.healthCheck)
  world.background('health checks', async () => {
    for (;;) {
      await sleep(intervalMs, undefined, { signal: world.signal })
      await Promise.all([...watched(world)].map(({ arn, server, act }) => check(arn, server, act)))
      await Promise.all([
        ...world.instances.all().map(({ arn }) => lookAtReplication(world, arn)),
        ...world.globals.all().map((global) => measureLags(world, global)),
      ])
    }
  })

  async function check(arn: string, server: string, act: () => Promise<void>): Promise<void> {
    if (busy.has(arn)) return
    const missed = (await isAlive(world, server)) ? 0 : (misses.get(server) ?? 0) + 1
    misses.set(server, missed)
    if (missed < missesMost) return
    // An operation may have begun while it was asked.
    if (![...watched(world)].some((still) => still.arn === arn && still.server === server)) return
    misses.delete(server)
    busy.add(arn)
    world.background(`failover of ${arn}`, () => act().finally(() => busy.delete(arn)))
  }
}

interface Watched {
  readonly arn: string
  readonly server: string
  readonly act: () => Promise<void>
}

function* watched(world: World): Generator<Watched> {
  for (const cluster of world.clusters.all()) {
    const writer = writerOf(cluster)
    if (
      writer &&
      cluster.status === 'available' &&
      // It may be restarted on purpose.
      world.instance(writer.arn).status === 'available' &&
      !world.isRegionDown(cluster.arn) &&
      world.server(writer.arn)
    ) {
      const act = () => failOverInside(world, cluster.arn, null)
      yield { arn: cluster.arn, server: writer.arn, act }
    }
  }
  for (const { arn, multiAz, cluster, status } of world.instances.all()) {
    if (
      multiAz &&
      cluster === null &&
      status === 'available' &&
      !world.isRegionDown(arn) &&
      world.server(arn)
    )
      yield { arn, server: arn, act: () => failOver(world, arn) }
  }
}

async function lookAtReplication(world: World, arn: string): Promise<void> {
  const server = world.server(arn)
  if (!server || !isPlainReplica(world, arn) || world.isRegionDown(arn)) return
  const streaming = await isStreaming(server)
  // Looked at again: a promotion or a deletion may have begun meanwhile.
  if (streaming === null || !isPlainReplica(world, arn)) return
  const info = world.instance(arn).statusInfos[0]
  if (info?.normal === streaming || info?.status === 'terminated') return
  world.update(arn, { statusInfos: [streaming ? replicating : stopped] })
  world.journal.instance(streaming ? 'RDS-EVENT-0046' : 'RDS-EVENT-0045', arn)
}

function isPlainReplica(world: World, arn: string): boolean {
  const instance = world.instances.get(arn)
  return (
    instance !== undefined &&
    instance.source !== null &&
    !instance.promoting &&
    instance.status === 'available'
  )
}
