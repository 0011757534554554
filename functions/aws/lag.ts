/** How far a replica is behind, by CloudWatch: samples of a minute, which come late or not at all. */
import { type CloudWatchClient, GetMetricStatisticsCommand } from '@aws-sdk/client-cloudwatch'
import type { Clock, Rds } from '../ports.ts'

const periodSeconds = 60
/** Older samples say nothing of now. */
const oldestMs = 600_000
/** Our clock only chooses the window; being off by this much does no harm. */
const clockErrorMs = 120_000
/** Of all tries. */
const readMs = 5_000

interface Measured {
  readonly MetricName: string
  readonly Dimensions: { readonly Name: string; readonly Value: string }[]
  readonly unitMs: number
}

/** `ReplicaLag` comes in seconds, Aurora's own lags in milliseconds (Aurora user guide, "Amazon CloudWatch metrics"). */
function measuredOf(identifier: string, fromRegion: string | undefined): Measured {
  if (fromRegion === undefined)
    return {
      MetricName: 'ReplicaLag',
      Dimensions: [{ Name: 'DBInstanceIdentifier', Value: identifier }],
      unitMs: 1_000,
    }
  return {
    MetricName: 'AuroraGlobalDBRPOLag',
    Dimensions: [
      { Name: 'DBClusterIdentifier', Value: identifier },
      { Name: 'SourceRegion', Value: fromRegion },
    ],
    unitMs: 1,
  }
}

export async function readLag(
  client: CloudWatchClient,
  clock: Clock,
  of: { readonly identifier: string; readonly fromRegion?: string | undefined },
): ReturnType<Rds['lag']> {
  const nowMs = clock.wallMs()
  const { MetricName, Dimensions, unitMs } = measuredOf(of.identifier, of.fromRegion)
  const command = new GetMetricStatisticsCommand({
    Namespace: 'AWS/RDS',
    MetricName,
    Dimensions,
    StartTime: new Date(nowMs - oldestMs - clockErrorMs),
    EndTime: new Date(nowMs + clockErrorMs),
    Period: periodSeconds,
    Statistics: ['Maximum'],
  })
  // Ages that permit a promotion do not rest on our wall clock (S3): the sample's time and now are both CloudWatch's.
  let answeredAtMs = Number.NaN
  command.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { headers } = result.response as { headers?: Record<string, string> }
      answeredAtMs = Date.parse(headers?.date ?? '')
      return result
    },
    { step: 'deserialize', priority: 'low' },
  )
  const { Datapoints } = await client.send(command, { abortSignal: AbortSignal.timeout(readMs) })
  let newest: { readonly atMs: number; readonly lagMs: number } | null = null
  for (const { Timestamp, Maximum } of Datapoints ?? []) {
    // -1: replication is not active, which is no lag that was measured.
    if (Timestamp === undefined || Maximum === undefined || !(Maximum >= 0)) continue
    if (newest === null || Timestamp.getTime() > newest.atMs)
      newest = { atMs: Timestamp.getTime(), lagMs: Maximum * unitMs }
  }
  if (newest === null) return null
  // The header has whole seconds, cut off: what it may have left out counts as age (S10). The time is that of the
  // period's begin; a sample that seems to come from the future is as old as nothing.
  const ageMs = Math.max(0, answeredAtMs + 999 - newest.atMs)
  return ageMs <= oldestMs ? { lagMs: newest.lagMs, ageMs } : null
}
