/**
 * What each function may do on AWS, statement by statement, each with its reason. Nothing else in the stack adds a
 * permission: constructs are given roles that they can not change.
 *
 * A partition key is the smallest thing that IAM can tell apart in a table (`dynamodb:LeadingKeys`). That is why
 * approvals and reports have partitions of their own: an observer can not write a state, a step can not approve itself.
 */
import type * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import type * as events from 'aws-cdk-lib/aws-events'
import type * as iam from 'aws-cdk-lib/aws-iam'
import type * as lambda from 'aws-cdk-lib/aws-lambda'
import type * as sns from 'aws-cdk-lib/aws-sns'
import { Aws } from 'aws-cdk-lib/core'
import type { FleetDocument } from '../functions/config.ts'
import type { FunctionName } from '../functions/core/limits.ts'
import type { EngineName } from '../functions/core/types.ts'
import { machineArn } from './names.ts'

/** What the statements of one function refer to. */
export interface Grants {
  readonly config: FleetDocument
  readonly table: dynamodb.Table
  readonly topic: sns.Topic
  readonly bus: events.EventBus
  /** Exact versions that the function calls: every look, and operate. */
  readonly callees: readonly lambda.Version[]
}

type Grant = (grants: Grants) => readonly iam.PolicyStatementProps[]
type Partition = 'cluster#*' | 'report#*' | 'approval#*' | 'fleet'

/** The partitions of the table as a condition; every item action names a key, so the condition always has a value. */
const within = (...partitions: readonly Partition[]) => ({
  'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': partitions },
})

const reads =
  (...partitions: readonly Partition[]): Grant =>
  ({ table }) => [
    {
      sid: 'ReadItems',
      actions: ['dynamodb:GetItem', 'dynamodb:Query'],
      resources: [table.tableArn],
      conditions: within(...partitions),
    },
  ]

/** Puts only: reports and states are written whole, on condition of what was there. */
const writes =
  (...partitions: readonly Partition[]): Grant =>
  ({ table }) => [
    {
      sid: 'WriteItems',
      actions: ['dynamodb:PutItem'],
      resources: [table.tableArn],
      conditions: within(...partitions),
    },
  ]

/**
 * An issue is opened by an update, which keeps the time since when it is open, and deleted when it closes. It shares its
 * partition with the state, so that IAM can say no less than this.
 */
const keepsIssues: Grant = ({ table }) => [
  {
    sid: 'KeepIssues',
    actions: ['dynamodb:UpdateItem', 'dynamodb:DeleteItem'],
    resources: [table.tableArn],
    conditions: within('cluster#*'),
  },
]

const readsStream: Grant = ({ table }) => [
  {
    sid: 'ReadStream',
    actions: ['dynamodb:DescribeStream', 'dynamodb:GetRecords', 'dynamodb:GetShardIterator'],
    resources: [table.tableStreamArn ?? ''],
  },
  // Has no resource to restrict it to (service authorization reference, DynamoDB).
  { sid: 'ListStreams', actions: ['dynamodb:ListStreams'], resources: ['*'] },
]

/** Looks and SQL, by exact versions: a deploy in the middle of a failover changes nothing under it. */
const asksOthers: Grant = ({ callees }) => [
  {
    sid: 'AskOthers',
    actions: ['lambda:InvokeFunction'],
    resources: callees.map((callee) => callee.functionArn),
  },
]

const startsWorkflow: Grant = ({ config }) => [
  { sid: 'StartWorkflow', actions: ['states:StartExecution'], resources: [machineArn(config)] },
]

/** To people and to other systems. */
const tells: Grant = ({ topic, bus }) => [
  { sid: 'TellPeople', actions: ['sns:Publish'], resources: [topic.topicArn] },
  { sid: 'TellSystems', actions: ['events:PutEvents'], resources: [bus.eventBusArn] },
]

type Clusters = FleetDocument['clusters']
type Node = Clusters[number]['nodes'][number]

const clustersOf = (config: FleetDocument, ...engines: readonly EngineName[]): Clusters =>
  config.clusters.filter(({ engine }) => engines.includes(engine))

const nodesOf = (clusters: Clusters): Node[] => clusters.flatMap(({ nodes }) => nodes)

const regionsOf = (clusters: Clusters): string[] => [
  ...new Set(nodesOf(clusters).map(({ region }) => region)),
]

/** Only where there is something that they are for: a statement needs a resource, and who has none needs no statement. */
const onlyFor =
  (
    engines: readonly EngineName[],
    grant: (clusters: Clusters) => readonly iam.PolicyStatementProps[],
  ): Grant =>
  ({ config }) => {
    const clusters = clustersOf(config, ...engines)
    return clusters.length === 0 ? [] : grant(clusters)
  }

const instanceArns = (clusters: Clusters): string[] =>
  nodesOf(clusters).map(
    ({ region, instanceId }) => `arn:${Aws.PARTITION}:ec2:${region}:${Aws.ACCOUNT_ID}:instance/${instanceId}`,
  )

/** Fence evidence, and the mapping of nodes to instances. Describe calls can not be restricted (EC2). */
const observesInstances = onlyFor(['postgres'], () => [
  { sid: 'ObserveInstances', actions: ['ec2:DescribeInstances'], resources: ['*'] },
])

/** The power fence: these instances and no other. */
const stopsInstances = onlyFor(['postgres'], (clusters) => [
  { sid: 'Fence', actions: ['ec2:StopInstances'], resources: instanceArns(clusters) },
])

/** An old primary is started again only by its rejoin (S11). */
const startsInstances = onlyFor(['postgres'], (clusters) => [
  { sid: 'Rejoin', actions: ['ec2:StartInstances'], resources: instanceArns(clusters) },
])

/** Stops the writes of a switchover, and rebuilds an old primary. What a command compares is in the command itself. */
const commandsHosts = onlyFor(['postgres'], (all) => {
  const clusters = all.filter(({ host }) => host !== null)
  if (clusters.length === 0) return []
  const documents = regionsOf(clusters).map(
    (region) => `arn:${Aws.PARTITION}:ssm:${region}::document/AWS-RunShellScript`,
  )
  return [
    {
      sid: 'CommandHosts',
      actions: ['ssm:SendCommand'],
      resources: [...instanceArns(clusters), ...documents],
    },
    // Has no resource to restrict it to (service authorization reference, Systems Manager).
    { sid: 'ReadCommandOutput', actions: ['ssm:GetCommandInvocation'], resources: ['*'] },
  ]
})

const rdsArn = (region: string, kind: string, name: string) =>
  `arn:${Aws.PARTITION}:rds:${region}:${Aws.ACCOUNT_ID}:${kind}:${name}`

/** Instances of RDS under the names that the configuration gives them. */
const namedArns = (clusters: Clusters): string[] =>
  nodesOf(clusters).map(({ region, instanceId }) => rdsArn(region, 'db', instanceId.toLowerCase()))

/** What was renamed out of the way: `<id>-t<term>`. IAM can not say that digits follow. */
const renamedArns = (clusters: Clusters): string[] => namedArns(clusters).map((arn) => `${arn}-t*`)

/**
 * Making or changing an instance asks for the groups that it refers to as well (service authorization reference, RDS).
 * Without an instance they permit nothing.
 */
const referredArns = (clusters: Clusters): string[] =>
  regionsOf(clusters).flatMap((region) =>
    ['og', 'pg', 'secgrp', 'subgrp'].map((kind) => rdsArn(region, kind, '*')),
  )

/**
 * Everything of a Region in one paged answer, and so not restricted to instances; for each engine no more than it has.
 */
const observesDatabases: Grant = (grants) => [
  ...onlyFor(['rds', 'aurora', 'aurora-global'], () => [
    {
      sid: 'ObserveDatabases',
      actions: ['rds:DescribeDBInstances', 'rds:DescribeEvents'],
      resources: ['*'],
    },
  ])(grants),
  ...onlyFor(['aurora', 'aurora-global'], () => [
    { sid: 'ObserveClusters', actions: ['rds:DescribeDBClusters'], resources: ['*'] },
  ])(grants),
  ...onlyFor(['aurora-global'], () => [
    { sid: 'ObserveGlobalClusters', actions: ['rds:DescribeGlobalClusters'], resources: ['*'] },
  ])(grants),
]

/** To say which alarms the new primary lacks; alarms of other things are read along and left alone. */
const readsAlarms = onlyFor(['rds'], () => [
  { sid: 'ReadAlarms', actions: ['cloudwatch:DescribeAlarms'], resources: ['*'] },
])

/** For people, and for the choice of a target. Metrics have no resource (service authorization reference, CloudWatch). */
const readsLag = onlyFor(['rds', 'aurora', 'aurora-global'], () => [
  { sid: 'ReadLag', actions: ['cloudwatch:GetMetricStatistics'], resources: ['*'] },
])

/** The closed group, for the network fence and a write-stop, and the way back; also new names. */
const changesGroups = onlyFor(['rds'], (clusters) => [
  {
    sid: 'ChangeGroups',
    actions: ['rds:ModifyDBInstance'],
    resources: [...namedArns(clusters), ...renamedArns(clusters), ...referredArns(clusters)],
  },
])

/** Behind the closed group: the end of every session, and the evidence of the fence (S2). */
const rebootsDatabases = onlyFor(['rds'], (clusters) => [
  {
    sid: 'RebootDatabases',
    actions: ['rds:RebootDBInstance'],
    resources: [...namedArns(clusters), ...renamedArns(clusters)],
  },
])

const promotesReplicas = onlyFor(['rds'], (clusters) => [
  { sid: 'PromoteReplicas', actions: ['rds:PromoteReadReplica'], resources: namedArns(clusters) },
])

/**
 * RDS uses the key of a new replica on behalf of who makes it (RDS user guide, "Authorizing use of a customer managed
 * key"): no more than these two, and only through RDS. Which key it is, the replaced instance tells at run time; a
 * key's own policy has to admit the account's IAM policies, as it does by default.
 * Enhanced Monitoring is a role that is handed over; it can be handed to nobody but that service.
 */
const encryptsReplicas = (clusters: Clusters): readonly iam.PolicyStatementProps[] => [
  ...regionsOf(clusters).map((region) => ({
    sid: `UseKeys${region.replaceAll('-', '')}`,
    actions: ['kms:CreateGrant', 'kms:DescribeKey'],
    resources: [`arn:${Aws.PARTITION}:kms:${region}:${Aws.ACCOUNT_ID}:key/*`],
    conditions: { StringEquals: { 'kms:ViaService': `rds.${region}.${Aws.URL_SUFFIX}` } },
  })),
  {
    sid: 'HandOverMonitoring',
    actions: ['iam:PassRole'],
    resources: [`arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:role/*`],
    conditions: { StringEquals: { 'iam:PassedToService': 'monitoring.rds.amazonaws.com' } },
  },
]

/**
 * Where replicas are made anew. What is deleted has been renamed before: no permission reaches an instance under its own
 * name, so that no mistake of ours deletes one that serves.
 */
const rebuildsReplicas: Grant = ({ config }) => {
  const all = clustersOf(config, 'rds')
  const clusters = all.filter(({ policy }) => policy.rebuild !== 'never')
  const stops = {
    sid: 'StopOldPrimaries',
    actions: ['rds:StopDBInstance'],
    resources: [...namedArns(all), ...renamedArns(all)],
  }
  if (clusters.length === 0) return all.length === 0 ? [] : [stops]
  return [
    stops,
    {
      sid: 'MakeReplicas',
      actions: ['rds:CreateDBInstanceReadReplica', 'rds:AddTagsToResource'],
      resources: [...namedArns(clusters), ...referredArns(clusters)],
    },
    ...encryptsReplicas(clusters),
    { sid: 'DeleteReplaced', actions: ['rds:DeleteDBInstance'], resources: renamedArns(clusters) },
  ]
}

/**
 * Asks for an election that did not come, or for a planned one. IAM knows the cluster and not its members: where only
 * those are configured, it is any cluster of their Regions.
 */
const asksForElections: Grant = (grants) => [
  ...onlyFor(['aurora'], (clusters) => [
    {
      sid: 'FailOverClusters',
      actions: ['rds:FailoverDBCluster'],
      resources: clusters.flatMap((cluster) =>
        regionsOf([cluster]).map((region) =>
          rdsArn(region, 'cluster', cluster.managed?.clusterId?.toLowerCase() ?? '*'),
        ),
      ),
    },
  ])(grants),
  ...onlyFor(['aurora-global'], (clusters) => [
    {
      sid: 'FailOverGlobalClusters',
      actions: ['rds:FailoverGlobalCluster', 'rds:SwitchoverGlobalCluster'],
      resources: [
        ...clusters.flatMap(({ managed }) =>
          managed?.globalClusterId ? [rdsArn('', 'global-cluster', managed.globalClusterId)] : [],
        ),
        ...nodesOf(clusters).map(({ region, instanceId }) =>
          rdsArn(region, 'cluster', instanceId.toLowerCase()),
        ),
      ],
    },
  ])(grants),
]

/**
 * To sign tokens of a role, for a connection to any of its databases: the id that IAM knows them by changes with each
 * rebuild.
 */
const signsInAs =
  (role: 'observerUser' | 'operatorUser'): Grant =>
  ({ config }) => {
    const arns = config.clusters.flatMap(({ nodes, connection }) =>
      connection.password.from === 'iam'
        ? nodes.map(
            ({ region }) =>
              `arn:${Aws.PARTITION}:rds-db:${region}:${Aws.ACCOUNT_ID}:dbuser:*/${connection[role]}`,
          )
        : [],
    )
    return arns.length === 0
      ? []
      : [{ sid: 'SignIn', actions: ['rds-db:connect'], resources: [...new Set(arns)] }]
  }

function zones(config: FleetDocument): Map<string, string[]> {
  const names = new Map<string, string[]>()
  for (const { endpoint } of config.clusters) {
    const { zoneId, name } = endpoint
    if (zoneId !== null) names.set(zoneId, [...(names.get(zoneId) ?? []), name, `_understudy.${name}`])
  }
  return names
}

const readsNames: Grant = ({ config }) => {
  const resources = [...zones(config).keys()].map(
    (zoneId) => `arn:${Aws.PARTITION}:route53:::hostedzone/${zoneId}`,
  )
  return resources.length === 0
    ? []
    : [{ sid: 'ReadNames', actions: ['route53:ListResourceRecordSets'], resources }]
}

/**
 * The endpoints and their tokens, nothing else of the zone, and never by UPSERT, which compares nothing (section 7).
 * Condition keys: Route 53 developer guide, "Using IAM policy conditions for fine-grained access control"; names are
 * normalised there: lower case, without a final dot.
 */
const movesNames: Grant = ({ config }) => [
  ...[...zones(config)].map(([zoneId, names], index) => ({
    sid: `MoveNames${index}`,
    actions: ['route53:ChangeResourceRecordSets'],
    resources: [`arn:${Aws.PARTITION}:route53:::hostedzone/${zoneId}`],
    conditions: {
      'ForAllValues:StringEquals': {
        'route53:ChangeResourceRecordSetsNormalizedRecordNames': names,
        'route53:ChangeResourceRecordSetsRecordTypes': ['CNAME', 'TXT'],
        'route53:ChangeResourceRecordSetsActions': ['CREATE', 'DELETE'],
      },
    },
  })),
  ...(zones(config).size === 0
    ? []
    : [
        {
          sid: 'FollowChange',
          actions: ['route53:GetChange'],
          resources: [`arn:${Aws.PARTITION}:route53:::change/*`],
        },
      ]),
]

/** Passwords of the roles that probe and act, where the configuration names a secret. */
const readsSecrets: Grant = ({ config }) => {
  const secrets = config.clusters.flatMap(({ connection: { password } }) =>
    password.from === 'secret' ? [secretArn(config, password.secretId)] : [],
  )
  return secrets.length === 0
    ? []
    : [{ sid: 'ReadPasswords', actions: ['secretsmanager:GetSecretValue'], resources: [...new Set(secrets)] }]
}

/** Secrets Manager ends the ARN of a secret with six characters of its own. */
function secretArn(config: FleetDocument, secretId: string): string {
  return secretId.startsWith('arn:')
    ? secretId
    : `arn:${Aws.PARTITION}:secretsmanager:${config.region}:${Aws.ACCOUNT_ID}:secret:${secretId}-??????`
}

/** What every step reads, and the state that it writes. Only commands write approvals; reports are an observer's. */
const step: readonly Grant[] = [
  reads('cluster#*', 'report#*', 'approval#*', 'fleet'),
  writes('cluster#*'),
  asksOthers,
]

export const grantsOf: Readonly<Record<FunctionName, readonly Grant[]>> = {
  // Reads the state for its pace and for the node that gets a write probe.
  observe: [reads('cluster#*', 'report#*'), writes('report#*'), readsSecrets, signsInAs('observerUser')],
  // Answers only to who asked: it reads nothing that could be old, and writes nothing.
  look: [readsSecrets, signsInAs('observerUser')],
  // Reads the claim between connecting and acting (S4).
  operate: [reads('cluster#*'), readsSecrets, signsInAs('operatorUser')],
  // Starts what it decides and keeps the issues; the state itself is written by steps and commands.
  assess: [
    reads('cluster#*', 'report#*', 'approval#*', 'fleet'),
    writes('fleet'),
    keepsIssues,
    readsStream,
    startsWorkflow,
    tells,
  ],
  // An interrupted switchover is undone here, and by the steps below that stand down.
  confirm: [...step, readsNames, commandsHosts, observesDatabases, readsLag, changesGroups],
  fence: [
    ...step,
    observesInstances,
    stopsInstances,
    commandsHosts,
    observesDatabases,
    readsLag,
    changesGroups,
    rebootsDatabases,
  ],
  // Reads the evidence again, and requests the power fence as soon as the target is recorded (S1, S2).
  promote: [
    ...step,
    observesInstances,
    stopsInstances,
    commandsHosts,
    observesDatabases,
    readsLag,
    changesGroups,
    promotesReplicas,
    asksForElections,
  ],
  repoint: [...step, readsNames, movesNames, observesDatabases],
  // Unfinished fences, drift of the name, the rejoin, and replicas that are made anew.
  settle: [
    ...step,
    observesInstances,
    readsAlarms,
    stopsInstances,
    startsInstances,
    commandsHosts,
    readsNames,
    movesNames,
    observesDatabases,
    changesGroups,
    rebootsDatabases,
    rebuildsReplicas,
  ],
  // The history, then people; reads back what stood in the way of a put.
  record: [reads('cluster#*'), writes('cluster#*'), readsStream, tells],
  // `adopt` creates the token of the name; approvals and pauses are a person's.
  command: [
    reads('cluster#*', 'report#*', 'approval#*', 'fleet'),
    writes('cluster#*', 'approval#*'),
    asksOthers,
    startsWorkflow,
    observesInstances,
    observesDatabases,
    readsNames,
    movesNames,
  ],
}
