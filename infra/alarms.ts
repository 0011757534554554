/**
 * Alarms on the controller itself. They watch from outside: each rests on a metric that AWS counts, or on one that the
 * fleet reports as a whole, so that their number does not grow with the clusters. `docs/runbook.md` has a section for
 * each, under its name.
 */
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import * as actions from 'aws-cdk-lib/aws-cloudwatch-actions'
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import type * as sns from 'aws-cdk-lib/aws-sns'
import type * as sfn from 'aws-cdk-lib/aws-stepfunctions'
import { Duration } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'
import { workflowSteps } from '../functions/core/limits.ts'
import { fleetMetrics, metricsDimensions, metricsNamespace } from '../functions/metrics.ts'
import type { Functions } from './functions.ts'

export interface Watched {
  readonly table: dynamodb.Table
  readonly machine: sfn.StateMachine
  readonly functions: Functions
}

interface AlarmSpec {
  /** Also the heading in the runbook: `two-writers`. */
  readonly name: string
  readonly says: string
  readonly metric: cloudwatch.IMetric
  readonly below?: number
  readonly atLeast?: number
  /** Periods in a row. */
  readonly periods: number
  /** What no data means. */
  readonly missing: 'alarm' | 'fine'
}

const minute = { period: Duration.minutes(1) }
const sumPerMinute = { ...minute, statistic: 'Sum' }

export function addAlarms(
  scope: Construct,
  config: FleetDocument,
  watched: Watched & { topic: sns.Topic },
): void {
  const action = new actions.SnsAction(watched.topic)
  for (const spec of [...fleetAlarms(config), ...tableAlarms(watched), ...functionAlarms(config, watched)]) {
    const alarm = new cloudwatch.Alarm(scope, `Alarm-${spec.name}`, {
      alarmName: `${config.deployment}-${spec.name}`,
      alarmDescription: `${spec.says} Runbook: docs/runbook.md#${spec.name}`,
      metric: spec.metric,
      threshold: spec.below ?? spec.atLeast ?? 1,
      comparisonOperator:
        spec.below === undefined
          ? cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
          : cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods: spec.periods,
      treatMissingData:
        spec.missing === 'alarm'
          ? cloudwatch.TreatMissingData.BREACHING
          : cloudwatch.TreatMissingData.NOT_BREACHING,
    })
    alarm.addAlarmAction(action)
    alarm.addOkAction(action)
  }
}

/** A metric of the fleet, as the functions emit it. */
export function fleetMetric(config: FleetDocument, metricName: string): cloudwatch.Metric {
  return new cloudwatch.Metric({
    namespace: metricsNamespace,
    metricName,
    dimensionsMap: metricsDimensions(config.deployment),
    statistic: 'Maximum',
    ...minute,
  })
}

function fleetAlarms(config: FleetDocument): AlarmSpec[] {
  return [
    {
      name: 'two-writers',
      says: 'Two nodes of a cluster accept writes at once. Cut one off now.',
      metric: fleetMetric(config, fleetMetrics.twoWriters),
      atLeast: 1,
      periods: 1,
      missing: 'fine',
    },
    {
      name: 'cluster-halted',
      says: 'A cluster is halted: nothing is done to it until a person acknowledges.',
      metric: fleetMetric(config, fleetMetrics.clustersHalted),
      atLeast: 1,
      periods: 1,
      missing: 'fine',
    },
    {
      name: 'failover-stuck',
      says: 'A failover has been under way for ten minutes; it may wait for an approval.',
      metric: fleetMetric(config, fleetMetrics.failoversUnderWay),
      atLeast: 1,
      periods: 10,
      missing: 'fine',
    },
  ]
}

function tableAlarms({ table }: Watched): AlarmSpec[] {
  const throttled = (metricName: string) =>
    new cloudwatch.Metric({
      namespace: 'AWS/DynamoDB',
      metricName,
      dimensionsMap: { TableName: table.tableName },
      ...sumPerMinute,
    })
  return [
    {
      // S13. DynamoDB counts it and CloudWatch judges it: no function of ours has to live for it to fire. Loops and
      // assess read the state far more often than once a minute.
      name: 'table-silent',
      says: 'The table answers nobody: databases go on serving, and no new failover will begin.',
      metric: new cloudwatch.Metric({
        namespace: 'AWS/DynamoDB',
        metricName: 'SuccessfulRequestLatency',
        dimensionsMap: { TableName: table.tableName, Operation: 'GetItem' },
        statistic: 'SampleCount',
        ...minute,
      }),
      below: 1,
      periods: 3,
      missing: 'alarm',
    },
    {
      name: 'table-throttled',
      says: 'The table refuses requests because there are too many.',
      metric: total({ reads: throttled('ReadThrottleEvents'), writes: throttled('WriteThrottleEvents') }),
      atLeast: 1,
      periods: 3,
      missing: 'fine',
    },
  ]
}

function functionAlarms(config: FleetDocument, { machine, functions }: Watched): AlarmSpec[] {
  const loops = config.observers.flatMap(({ id }) => {
    const live = functions.observe[id]
    return live === undefined ? [] : [{ id, live }]
  })
  const errors = (alarmed: readonly { metricErrors(props: object): cloudwatch.Metric }[]) =>
    total(Object.fromEntries(alarmed.map((live, index) => [`e${index}`, live.metricErrors(sumPerMinute)])))
  return [
    ...loops.map(
      ({ id, live }): AlarmSpec => ({
        name: `observe-stopped-${id}`,
        says: `The loop of observer ${id} was not started for three minutes; without a majority nothing is confirmed.`,
        metric: live.metricInvocations(sumPerMinute),
        below: 1,
        periods: 3,
        missing: 'alarm',
      }),
    ),
    {
      name: 'observe-errors',
      says: 'Loops of observers fail.',
      metric: errors(loops.map(({ live }) => live)),
      atLeast: 1,
      periods: 3,
      missing: 'fine',
    },
    {
      name: 'assess-stopped',
      says: 'assess was not started for three minutes: nothing would begin a failover.',
      metric: functions.assess.metricInvocations(sumPerMinute),
      below: 1,
      periods: 3,
      missing: 'alarm',
    },
    {
      name: 'assess-errors',
      says: 'assess fails again and again.',
      metric: functions.assess.metricErrors(sumPerMinute),
      atLeast: 1,
      periods: 3,
      missing: 'fine',
    },
    {
      name: 'assess-late',
      says: 'assess is a minute behind the table: failovers begin by the minute tick only.',
      metric: functions.assess.metric('IteratorAge', { ...minute, statistic: 'Maximum' }),
      atLeast: 60_000,
      periods: 1,
      missing: 'fine',
    },
    {
      name: 'record-errors',
      says: 'record fails: the history and the notifications are behind.',
      metric: functions.record.metricErrors(sumPerMinute),
      atLeast: 1,
      periods: 3,
      missing: 'fine',
    },
    {
      name: 'step-errors',
      says: 'Steps of the workflow, or what they call, fail.',
      metric: errors([
        ...workflowSteps.map((name) => functions[name].live),
        functions.operate.live,
        functions.command.live,
      ]),
      atLeast: 3,
      periods: 1,
      missing: 'fine',
    },
    {
      name: 'workflow-failed',
      says: 'An execution was refused, halted, stopped by hand or timed out; its history says which.',
      metric: total({
        failed: machine.metricFailed(sumPerMinute),
        aborted: machine.metricAborted(sumPerMinute),
        timedOut: machine.metricTimedOut(sumPerMinute),
      }),
      atLeast: 1,
      periods: 1,
      missing: 'fine',
    },
  ]
}

/** A sum in which a metric without data counts as zero. */
function total(usingMetrics: Record<string, cloudwatch.IMetric>): cloudwatch.MathExpression {
  const expression = Object.keys(usingMetrics)
    .map((name) => `FILL(${name}, 0)`)
    .join(' + ')
  return new cloudwatch.MathExpression({ expression, usingMetrics, ...minute })
}
