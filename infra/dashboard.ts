/** One page on the fleet: is anything wrong, does the controller live, is the table well. */
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch'
import { Duration } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'
import { workflowSteps } from '../functions/core/limits.ts'
import { fleetMetrics } from '../functions/metrics.ts'
import { fleetMetric, type Watched } from './alarms.ts'

const perMinute = { period: Duration.minutes(1), statistic: 'Sum' }

export function addDashboard(scope: Construct, config: FleetDocument, watched: Watched): void {
  const { table, machine, functions } = watched
  const observers = config.observers.flatMap(({ id }) => functions.observe[id] ?? [])
  const steps = workflowSteps.map((name) => functions[name].live)
  const graph = (title: string, left: cloudwatch.IMetric[]) =>
    new cloudwatch.GraphWidget({ title, left, width: 12, leftYAxis: { min: 0 } })

  new cloudwatch.Dashboard(scope, 'Dashboard', {
    dashboardName: config.deployment,
    widgets: [
      [
        graph(
          'Fleet',
          Object.values(fleetMetrics).map((name) => fleetMetric(config, name)),
        ),
        graph('Executions', [
          machine.metricStarted(perMinute),
          machine.metricSucceeded(perMinute),
          machine.metricFailed(perMinute),
          machine.metricAborted(perMinute),
          machine.metricTimedOut(perMinute),
        ]),
      ],
      [
        graph(
          'Loops started',
          [functions.assess, ...observers].map((live) => live.metricInvocations(perMinute)),
        ),
        graph(
          'Errors',
          [...observers, functions.assess, functions.record, ...steps, functions.operate.live].map((live) =>
            live.metricErrors(perMinute),
          ),
        ),
      ],
      [
        graph(
          'Duration of steps (ms)',
          steps.map((live) => live.metricDuration({ statistic: 'p99' })),
        ),
        graph('Table', [
          table.metricConsumedReadCapacityUnits(perMinute),
          table.metricConsumedWriteCapacityUnits(perMinute),
        ]),
      ],
    ],
  })
}
