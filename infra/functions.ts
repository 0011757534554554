/** The functions: one shared bundle, one role each, and a published version of each that another one calls. */
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import type * as events from 'aws-cdk-lib/aws-events'
import * as lambda from 'aws-cdk-lib/aws-lambda'
import * as logs from 'aws-cdk-lib/aws-logs'
import type * as sns from 'aws-cdk-lib/aws-sns'
import { Duration, RemovalPolicy, Stack } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument, VpcPlacement } from '../functions/config.ts'
import { type FunctionName, functionTimeoutSeconds, type WorkflowStep } from '../functions/core/limits.ts'
import { functionName, machineArn } from './names.ts'
import type { Grants } from './permissions.ts'
import { addRole } from './roles.ts'

/** A function that others call: by `version`, which outlives the deploy that replaces it (H29). */
export interface Called {
  readonly live: lambda.Function
  readonly version: lambda.Version
}

export interface Functions
  extends Readonly<Record<WorkflowStep | 'operate' | 'command', Called>>,
    Readonly<Record<'assess' | 'record', lambda.Function>> {
  /** By observer. */
  readonly observe: Readonly<Record<string, lambda.Function>>
  readonly look: Readonly<Record<string, Called>>
}

interface Shared {
  readonly table: dynamodb.Table
  readonly topic: sns.Topic
  readonly bus: events.EventBus
  readonly bundleDirectory: string
}

/** 512 MB is where a cold start of the bundle stops getting faster by much; loops mostly wait. */
const memoryMb: Readonly<Record<FunctionName, number>> = {
  observe: 256,
  look: 512,
  assess: 512,
  confirm: 512,
  fence: 512,
  promote: 512,
  repoint: 512,
  settle: 512,
  operate: 512,
  record: 256,
  command: 512,
}

export function addFunctions(scope: Construct, config: FleetDocument, shared: Shared): Functions {
  const code = lambda.Code.fromAsset(shared.bundleDirectory)
  const grants: Omit<Grants, 'callees'> = { config, ...shared }
  const common = {
    UNDERSTUDY_DEPLOYMENT: config.deployment,
    UNDERSTUDY_TABLE: shared.table.tableName,
    POWERTOOLS_SERVICE_NAME: 'understudy',
  }

  const add = (
    name: FunctionName,
    environment: Record<string, string>,
    options: { observer?: string; vpc?: VpcPlacement | null; callees?: readonly lambda.Version[] } = {},
  ): lambda.Function => {
    const physical = functionName(config, name, options.observer)
    const id = [capital(name), ...(options.observer === undefined ? [] : [options.observer])].join('-')
    const vpc = options.vpc ?? null
    const role = addRole(scope, `${id}Role`, name, {
      ...grants,
      callees: options.callees ?? [],
      functionName: physical,
      inVpc: vpc !== null,
    })
    const live = new lambda.Function(scope, id, {
      functionName: physical,
      description: descriptions[name],
      runtime: lambda.Runtime.NODEJS_24_X,
      architecture: lambda.Architecture.ARM_64,
      code,
      handler: `${name}.handler`,
      timeout: Duration.seconds(functionTimeoutSeconds[name]),
      memorySize: memoryMb[name],
      environment: { ...common, ...environment },
      // Every permission stands in permissions.ts; constructs add none behind its back.
      role: role.withoutPolicyUpdates(),
      tracing: lambda.Tracing.ACTIVE,
      logGroup: addLogGroup(scope, `${id}Logs`, `/aws/lambda/${physical}`, config),
      // A late second try of a loop or of an assessment is worth nothing: the next minute's is there already (H11).
      ...(name === 'observe' || name === 'assess'
        ? { retryAttempts: 0, maxEventAge: Duration.seconds(60) }
        : {}),
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
    })
    if (vpc !== null) placeInVpc(live, vpc)
    return live
  }

  const perObserver = (name: 'observe' | 'look') =>
    config.observers.map(
      ({ id, vpc }) => [id, add(name, { UNDERSTUDY_OBSERVER: id }, { observer: id, vpc })] as const,
    )
  const look = Object.fromEntries(perObserver('look').map(([id, live]) => [id, published(live)]))
  const operate = published(add('operate', {}, { vpc: config.operator.vpc }))
  const callees = [...Object.values(look), operate].map(({ version }) => version)
  const environments = environmentsOf(config, shared, look, operate)
  const addCalled = (name: WorkflowStep | 'command') => published(add(name, environments[name], { callees }))

  return {
    observe: Object.fromEntries(perObserver('observe')),
    look,
    operate,
    assess: add('assess', environments.assess),
    confirm: addCalled('confirm'),
    fence: addCalled('fence'),
    promote: addCalled('promote'),
    repoint: addCalled('repoint'),
    settle: addCalled('settle'),
    record: add('record', environments.record),
    command: addCalled('command'),
  }
}

function published(live: lambda.Function): Called {
  return { live, version: live.currentVersion }
}

const descriptions: Readonly<Record<FunctionName, string>> = {
  observe: 'Probes all nodes in a loop and writes reports',
  look: 'One fresh probe of all nodes of a cluster, on request',
  assess: 'Judges reports and state, opens issues, starts the workflow',
  confirm: 'Step: looks afresh and claims the cluster',
  fence: 'Step: makes the old primary unable to accept writes',
  promote: 'Step: freezes, measures, chooses, records and promotes the target',
  repoint: 'Step: points followers and the endpoint at the new primary',
  settle: 'Step: makes the cluster redundant again',
  operate: 'Carries out one SQL action on one node for a step',
  record: 'Copies events into the history and tells people',
  command: 'Commands of operators, and the way out of a failed workflow',
}

/** What each function outside the VPC is told, and no more. */
function environmentsOf(
  config: FleetDocument,
  { topic, bus }: Shared,
  look: Functions['look'],
  operate: Called,
) {
  const versions = Object.entries(look).map(([id, { version }]) => [id, version.functionArn])
  const people = { UNDERSTUDY_TOPIC_ARN: topic.topicArn, UNDERSTUDY_BUS_NAME: bus.eventBusName }
  const others = {
    UNDERSTUDY_LOOK_FUNCTIONS: Stack.of(operate.live).toJsonString(Object.fromEntries(versions)),
    UNDERSTUDY_OPERATE_FUNCTION: operate.version.functionArn,
  }
  const machine = { UNDERSTUDY_STATE_MACHINE_ARN: machineArn(config) }
  return {
    assess: { ...machine, ...people },
    confirm: others,
    fence: others,
    promote: others,
    repoint: others,
    settle: others,
    record: people,
    command: { ...others, ...machine },
  }
}

/** With its retention from the start: a group that Lambda creates itself never expires. */
export function addLogGroup(
  scope: Construct,
  id: string,
  logGroupName: string,
  config: FleetDocument,
): logs.LogGroup {
  return new logs.LogGroup(scope, id, {
    logGroupName,
    retention: config.logs.retentionDays,
    // The history is in the table, which is retained; a group left behind would stop the next deploy.
    removalPolicy: RemovalPolicy.DESTROY,
  })
}

/** By ids alone: `ec2.Vpc.fromLookup` would need credentials, `fromVpcAttributes` zones that nothing here uses. */
function placeInVpc(live: lambda.Function, vpc: VpcPlacement): void {
  const resource = live.node.defaultChild as lambda.CfnFunction
  resource.vpcConfig = { subnetIds: [...vpc.subnetIds], securityGroupIds: [...vpc.securityGroupIds] }
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
