/**
 * What CloudWatch has of RDS here: how far a secondary of a global database is behind, as the secondary's Region says it.
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
 */
import { furthestOf, writerOf } from './aurora.ts'
import { arnOf, type GlobalCluster, regionOfArn } from './model.ts'
import { writtenPosition } from './servers.ts'
import type { World } from './world.ts'

export interface Lag {
  /** When the secondary was last seen to have all that the writer had a moment before; null: never. */
  readonly caughtUpAtMs: number | null
  /** Oldest first. */
  readonly samples: readonly { readonly atMs: number; readonly lagMs: number; readonly source: string }[]
}

/** CloudWatch's JSON: times in seconds. */
export interface Datapoint {
  readonly Timestamp: number
  readonly Maximum: number
  readonly Unit: 'Milliseconds'
}

const samplesMost = 200

/** A writer that does not answer is measured by nobody: samples end with it. */
export async function measureLags(world: World, { members }: GlobalCluster): Promise<void> {
  const primary = members.find(({ isWriter }) => isWriter)?.clusterArn
  const writer = primary === undefined ? undefined : writerOf(world.cluster(primary))
  const server = writer && !world.isRegionDown(writer.arn) ? world.server(writer.arn) : null
  if (primary === undefined || !server) return
  const atMs = Date.now()
  const written = await writtenPosition(server)
  if (written === null) return
  for (const { clusterArn, isWriter } of members) {
    if (isWriter || world.isRegionDown(clusterArn)) continue
    const received = (await furthestOf(world, clusterArn, null))?.at ?? null
    const before = world.lags.get(clusterArn)
    const caughtUpAtMs = received !== null && received >= written ? atMs : (before?.caughtUpAtMs ?? null)
    if (caughtUpAtMs === null) continue
    const lagMs = world.saidLags.get(clusterArn) ?? atMs - caughtUpAtMs
    const sample = { atMs, lagMs, source: regionOfArn(primary) }
    const samples = [...(before?.samples ?? []), sample].slice(-samplesMost)
    world.lags.set(clusterArn, { caughtUpAtMs, samples })
  }
}

/** The largest of each period, which is as much shorter as the control plane's time is faster. */
export function samplesOf(world: World, region: string, input: Record<string, unknown>): Datapoint[] {
  const dimensions = input.Dimensions as { Name: string; Value: string }[] | undefined
  const value = (name: string) => dimensions?.find(({ Name }) => Name === name)?.Value ?? ''
  if (input.MetricName !== 'AuroraGlobalDBRPOLag') return []
  const arn = arnOf('cluster', region, world.options.accountId, value('DBClusterIdentifier'))
  const periodMs = Math.max(1, world.options.delaysMs.metricPeriod)
  const largest = new Map<number, number>()
  for (const { atMs, lagMs, source } of world.lags.get(arn)?.samples ?? []) {
    if (source !== value('SourceRegion')) continue
    const beginMs = Math.floor(atMs / periodMs) * periodMs
    largest.set(beginMs, Math.max(lagMs, largest.get(beginMs) ?? 0))
  }
  return [...largest].map(([beginMs, Maximum]) => ({
    Timestamp: beginMs / 1_000,
    Maximum,
    Unit: 'Milliseconds',
  }))
}
