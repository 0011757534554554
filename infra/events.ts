/** What wakes the functions: the schedule, the table's stream, EC2 and RDS. */
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as events from 'aws-cdk-lib/aws-events'
import * as targets from 'aws-cdk-lib/aws-events-targets'
import * as iam from 'aws-cdk-lib/aws-iam'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import { Aws, Duration, type Stack } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'
import { workflowSteps } from '../functions/core/limits.ts'
import type { EngineName } from '../functions/core/types.ts'
import type { Functions } from './functions.ts'

interface Sources {
  readonly table: dynamodb.Table
  readonly functions: Functions
}

/** EventBridge's limit of targets per rule, and of characters of a pattern (quotas of EventBridge). */
const targetsPerRule = 5
const patternCharacters = 2048

export function addEvents(scope: Construct, config: FleetDocument, sources: Sources): void {
  addSchedules(scope, config, sources.functions)
  addWarmth(scope, config, sources.functions)
  addTellings(scope, config, sources.functions)
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

/** What AWS tells of nodes, by the name of its rule. Each of them only makes the next look come sooner. */
interface Telling {
  readonly name: string
  readonly description: string
  readonly pattern: events.EventPattern
}

/** What happens to the nodes of one Region, or of all: here the events of other Regions arrive as they were. */
function tellings(config: FleetDocument, region: string | null): Telling[] {
  const clusters = config.clusters.map((cluster) => ({
    ...cluster,
    nodes: cluster.nodes.filter((node) => region === null || node.region === region),
  }))
  return [...instanceTellings(clusters), ...databaseTellings(clusters)]
}

/** An instance that stops or comes back is worth a look at once; the event itself proves nothing. */
function instanceTellings(clusters: FleetDocument['clusters']): Telling[] {
  // A pattern holds 2048 characters at most (EventBridge quotas): 50 ids of 22 and its frame.
  return chunks(nodesOf(clusters, 'postgres'), 50).map((group, index) => ({
    name: `instance-states-${index}`,
    description: 'An instance of a node changed its state',
    pattern: {
      source: ['aws.ec2'],
      detailType: ['EC2 Instance State-change Notification'],
      // The ends of a change are what settle waits for; its beginnings tell nothing that can be acted upon.
      detail: {
        'instance-id': group.map(({ instanceId }) => instanceId),
        state: ['running', 'stopped', 'terminated'],
      },
    },
  }))
}

/**
 * What RDS tells of configured identifiers. An instance that was renamed out of the way (`<id>-t<term>`) counts as well:
 * RDS starts it again after seven days (event 0154). "Best effort".
 */
function databaseTellings(clusters: FleetDocument['clusters']): Telling[] {
  const telling = (name: string, detailType: string, detail: Record<string, unknown>): Telling => ({
    name,
    description: 'RDS told of a database of a node',
    pattern: { source: ['aws.rds'], detailType: [detailType], detail },
  })
  const named = (name: string, detailType: string, identifiers: readonly unknown[]) =>
    packed([...new Set(identifiers)], patternCharacters - 150).map((SourceIdentifier, index) =>
      telling(`${name}-${index}`, detailType, { SourceIdentifier }),
    )
  const identifiers = (engine: EngineName) =>
    nodesOf(clusters, engine).map(({ instanceId }) => instanceId.toLowerCase())
  const auroras = clusters.filter(({ engine, nodes }) => engine === 'aurora' && nodes.length > 0)
  const known = auroras.flatMap(({ managed }) => managed?.clusterId?.toLowerCase() ?? [])
  return [
    ...named('database-events', 'RDS DB Instance Event', [
      ...identifiers('rds').flatMap((id) => [id, { prefix: `${id}-t` }]),
      ...identifiers('aurora'),
    ]),
    ...named('cluster-events', 'RDS DB Cluster Event', [...identifiers('aurora-global'), ...known]),
    // A cluster of Aurora that is configured by its instances alone: they are named in the text only.
    ...(known.length < auroras.length
      ? [telling('elections', 'RDS DB Cluster Event', { EventCategories: ['failover'] })]
      : []),
  ]
}

function nodesOf(clusters: FleetDocument['clusters'], engine: EngineName) {
  return clusters.filter((cluster) => cluster.engine === engine).flatMap(({ nodes }) => nodes)
}

function addTellings(scope: Construct, config: FleetDocument, functions: Functions): void {
  for (const { name, description, pattern } of tellings(config, null))
    new events.Rule(scope, `Tells-${name}`, {
      ruleName: `${config.deployment}-${name}`,
      description,
      eventPattern: pattern,
      targets: [wakes(functions)],
    })
}

/** Regions beside that of the deployment in which something is told. */
export function farRegions(config: FleetDocument): string[] {
  const regions = config.clusters.flatMap(({ nodes }) => nodes.map((node) => node.region))
  return [...new Set(regions)].filter((region) => region !== config.region).toSorted()
}

/**
 * Sends what another Region tells of its nodes to the default bus of the deployment's Region, whose rules take it as if
 * it had happened there: rules see the events of their own Region only, and forward them across (EventBridge user guide,
 * "Sending and receiving events between AWS Regions").
 */
export function forwardEvents(stack: Stack, config: FleetDocument, region: string): void {
  const arn = `arn:${Aws.PARTITION}:events:${config.region}:${Aws.ACCOUNT_ID}:event-bus/default`
  const role = new iam.Role(stack, 'Forward', {
    description: `Sends events to ${config.region}`,
    assumedBy: new iam.ServicePrincipal('events.amazonaws.com'),
    inlinePolicies: {
      understudy: new iam.PolicyDocument({
        statements: [
          new iam.PolicyStatement({ sid: 'Forward', actions: ['events:PutEvents'], resources: [arn] }),
        ],
      }),
    },
  })
  const bus = events.EventBus.fromEventBusArn(stack, 'Bus', arn)
  for (const { name, description, pattern } of tellings(config, region))
    new events.Rule(stack, `Tells-${name}`, {
      ruleName: `${config.deployment}-${name}`,
      description,
      eventPattern: pattern,
      targets: [new targets.EventBus(bus, { role: role.withoutPolicyUpdates() })],
    })
}

function wakes(functions: Functions): targets.LambdaFunction {
  return new targets.LambdaFunction(functions.assess, {
    retryAttempts: 2,
    maxEventAge: Duration.seconds(60),
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

/** In order, as many in each as have room. */
function packed<T>(all: readonly T[], characters: number): T[][] {
  const groups: T[][] = []
  let room = 0
  for (const each of all) {
    const length = JSON.stringify(each).length + 1
    const last = groups.at(-1)
    if (last !== undefined && length <= room) last.push(each)
    else {
      groups.push([each])
      room = characters
    }
    room -= length
  }
  return groups
}

function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
    all.slice(index * size, (index + 1) * size),
  )
}
