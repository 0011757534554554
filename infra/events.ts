/** What wakes the functions: the schedule, the table's stream, and EC2. */
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as events from 'aws-cdk-lib/aws-events'
import * as targets from 'aws-cdk-lib/aws-events-targets'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import { Duration } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'
import { workflowSteps } from '../functions/core/limits.ts'
import type { Functions } from './functions.ts'

interface Sources {
  readonly table: dynamodb.Table
  readonly functions: Functions
}

/** EventBridge's limit of targets per rule (quotas of EventBridge). */
const targetsPerRule = 5

export function addEvents(scope: Construct, config: FleetDocument, sources: Sources): void {
  addSchedules(scope, config, sources.functions)
  addWarmth(scope, config, sources.functions)
  addInstanceEvents(scope, config, sources.functions)
  addStreams(sources)
}

/**
 * Every minute each observer's loop and assess get the scheduler's event as it is: its `time` is the minute that a
 * loop's token counts, and the only clock that ends a pause (S3). Late deliveries are dropped, since the next one is
 * there already.
 */
function addSchedules(scope: Construct, config: FleetDocument, functions: Functions): void {
  const loops = config.observers.map(({ id }) => functions.observe[id]).filter((live) => live !== undefined)
  chunks([functions.assess, ...loops], targetsPerRule).forEach((group, index) => {
    new events.Rule(scope, `EveryMinute${index}`, {
      ruleName: `${config.deployment}-every-minute-${index}`,
      description: 'Starts assess and the loops of the observers',
      schedule: events.Schedule.rate(Duration.minutes(1)),
      targets: group.map(
        (live) => new targets.LambdaFunction(live, { retryAttempts: 0, maxEventAge: Duration.seconds(60) }),
      ),
    })
  })
}

/**
 * A cold start costs more than a whole failover, and nobody calls these functions for months: each gets a call that
 * does nothing, every five minutes, at the version that callers use.
 */
function addWarmth(scope: Construct, config: FleetDocument, functions: Functions): void {
  const steps = workflowSteps.map((name) => functions[name].version)
  const looks = Object.values(functions.look).map(({ version }) => version)
  const all = [...steps, ...looks, functions.operate.version, functions.command.version]
  chunks(all, targetsPerRule).forEach((group, index) => {
    new events.Rule(scope, `KeepWarm${index}`, {
      ruleName: `${config.deployment}-keep-warm-${index}`,
      description: 'Keeps the functions of the fast path warm',
      schedule: events.Schedule.rate(Duration.minutes(5)),
      targets: group.map(
        (version) =>
          new targets.LambdaFunction(version as lambda.IFunction, {
            event: events.RuleTargetInput.fromObject({ warmup: true }),
            retryAttempts: 0,
            maxEventAge: Duration.seconds(60),
          }),
      ),
    })
  })
}

/** An instance that stops or comes back is worth a look at once; the event itself proves nothing. */
function addInstanceEvents(scope: Construct, config: FleetDocument, functions: Functions): void {
  const here = config.clusters.flatMap(({ nodes }) => nodes.filter(({ region }) => region === config.region))
  if (here.length === 0) return
  // A pattern holds 2048 characters at most (EventBridge quotas): 50 ids of 22 and its frame.
  chunks(here, 50).forEach((group, index) => {
    new events.Rule(scope, `InstanceStates${index}`, {
      ruleName: `${config.deployment}-instance-states-${index}`,
      description: 'An instance of a node changed its state',
      eventPattern: {
        source: ['aws.ec2'],
        detailType: ['EC2 Instance State-change Notification'],
        // The ends of a change are what settle waits for; its beginnings tell nothing that can be acted upon.
        detail: {
          'instance-id': group.map(({ instanceId }) => instanceId),
          state: ['running', 'stopped', 'terminated'],
        },
      },
      targets: [
        new targets.LambdaFunction(functions.assess, {
          retryAttempts: 2,
          maxEventAge: Duration.seconds(60),
        }),
      ],
    })
  })
}

/**
 * assess wakes by reports that changed something and by states that ask for it; issues and events that it writes itself
 * wake nobody (H23). A record that can not be handled is given up soon: the minute's tick reads everything anyway.
 */
function addStreams({ table, functions }: Sources): void {
  const written = (Keys: Record<string, unknown>, NewImage?: Record<string, unknown>) =>
    lambda.FilterCriteria.filter({
      eventName: ['INSERT', 'MODIFY'],
      dynamodb: { Keys, ...(NewImage === undefined ? {} : { NewImage }) },
    })
  const report = { pk: { S: [{ prefix: 'report#' }] } }
  const state = { pk: { S: [{ prefix: 'cluster#' }] }, sk: { S: ['state'] } }
  const common = {
    eventSourceArn: table.tableStreamArn ?? '',
    bisectBatchOnError: true,
    reportBatchItemFailures: true,
  }
  functions.assess.addEventSourceMapping('Stream', {
    ...common,
    startingPosition: lambda.StartingPosition.LATEST,
    batchSize: 100,
    retryAttempts: 2,
    maxRecordAge: Duration.seconds(60),
    filters: [written(report, { changed: { BOOL: [true] } }), written(state, { wakeNow: { BOOL: [true] } })],
  })
  // From the beginning: an event that happened while the mapping was made is still told. The next writer of a state
  // stores an event that was given up here. A second is gathered, so that people hear of a failover once it is done,
  // and not from a function that competes with its steps.
  functions.record.addEventSourceMapping('Stream', {
    ...common,
    startingPosition: lambda.StartingPosition.TRIM_HORIZON,
    batchSize: 25,
    maxBatchingWindow: Duration.seconds(1),
    retryAttempts: 10,
    maxRecordAge: Duration.hours(6),
    filters: [written(state)],
  })
}

function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
    all.slice(index * size, (index + 1) * size),
  )
}
