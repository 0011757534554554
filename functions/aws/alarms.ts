/** What alarms watch of which DB instance, by CloudWatch. */
import { type CloudWatchClient, DescribeAlarmsCommand, type Dimension } from '@aws-sdk/client-cloudwatch'

/** Of all pages. */
const readMs = 5_000

/** Metrics by identifier, each once, in order of their names. Alarms of metric math count for each metric in them. */
export async function readAlarms(client: CloudWatchClient): Promise<Map<string, readonly string[]>> {
  const abortSignal = AbortSignal.timeout(readMs)
  const watched = new Map<string, Set<string>>()
  let NextToken: string | undefined
  do {
    const command = new DescribeAlarmsCommand({
      AlarmTypes: ['MetricAlarm'],
      ...(NextToken === undefined ? {} : { NextToken }),
    })
    const page = await client.send(command, { abortSignal })
    for (const { Namespace, MetricName, Dimensions, Metrics } of page.MetricAlarms ?? []) {
      const inner = (Metrics ?? []).map(({ MetricStat }) => MetricStat?.Metric)
      for (const metric of [{ Namespace, MetricName, Dimensions }, ...inner]) {
        const identifier = metric?.Namespace === 'AWS/RDS' ? instanceOf(metric.Dimensions) : undefined
        if (identifier === undefined || metric?.MetricName === undefined) continue
        watched.set(identifier, (watched.get(identifier) ?? new Set()).add(metric.MetricName))
      }
    }
    NextToken = page.NextToken
  } while (NextToken !== undefined)
  return new Map([...watched].map(([identifier, metrics]) => [identifier, [...metrics].sort()]))
}

function instanceOf(dimensions: readonly Dimension[] | undefined): string | undefined {
  return dimensions?.find(({ Name }) => Name === 'DBInstanceIdentifier')?.Value
}
