/**
 * The embedded default: the synthesised assembly, run on this machine. Everything that the product uses of AWS
 * answers on loopback, by AWS's own protocols; clients find it through the SDK's environment variables alone.
 */
import { cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Assembly, readAssembly } from './assembly.ts'
import { type Deployment, readDeployment } from './deployment.ts'
import { type LocalDns, startDns } from './dns.ts'
import { type LocalDynamoDb, startDynamoDb } from './dynamodb.ts'
import { Ec2Service } from './ec2.ts'
import { type BusEvent, EventsService } from './events.ts'
import { Feed } from './feed.ts'
import { type Front, type JsonApi, type QueryApi, startFront, unknownOperation } from './front.ts'
import { LambdaService } from './lambda.ts'
import type { Machine } from './machine.ts'
import { type RdsControlPlane, rdsVersion } from './rds/index.ts'
import { Route53Service } from './route53.ts'
import { type Message, SnsService } from './sns.ts'
import { SsmService } from './ssm.ts'
import { type Identity, resolveAssembly } from './template.ts'
import { WorkflowService } from './workflow.ts'
import { absolute, Zone } from './zone.ts'

/** Where the local parts listen: what a configuration may need to name. */
export interface Places {
  /** `address:port` of the DNS server, for `endpoint.resolver`. */
  readonly resolver: string
}

export interface LocalAwsOptions {
  /** Output directory of `cdk synth`. */
  readonly assembly: string
  /**
   * Takes the place of `understudy.config.json` beside the functions' modules, so that one assembly serves any
   * addresses and ports; it must name the same observers. Absent: what was synthesised.
   */
  readonly config?: unknown | ((places: Places) => unknown)
  readonly region?: string
  readonly accountId?: string
  readonly machines: readonly Machine[]
  /** Fixed A records: names of nodes and observers' canaries to IPv4 addresses. */
  readonly hosts: Readonly<Record<string, string>>
  /** Called once with what moves a name of theirs; returns how to stop that. */
  readonly onHosts?: (move: (name: string, address: string) => void) => () => void
  readonly zone: { readonly id: string; readonly name: string }
  /** Where all of this listens; default: loopback. */
  readonly address?: string
  /** Functions that run in processes of their own, elsewhere: see `LambdaOptions.enter`. */
  readonly enter?: (functionName: string) => readonly string[] | undefined
  /** Databases of RDS, if there are any; the caller's to close. With them comes a CloudWatch of what it measures. */
  readonly rds?: RdsControlPlane
  /** What is published to people. */
  readonly onMessage?: (message: Message) => void
  readonly onEvent?: (bus: string, event: BusEvent) => void
  /** As each state of an execution is entered. */
  readonly onState?: (execution: string, state: string) => void
  /** One line of functions' output or of the services; not for a terminal. */
  readonly log?: (line: string) => void
  readonly overrides?: Overrides
}

export interface Overrides {
  readonly ports?: { readonly front?: number; readonly dynamodb?: number; readonly dns?: number }
  readonly parameters?: Record<string, string>
  readonly stopSeconds?: number
  readonly startSeconds?: number
  readonly propagationMs?: number
  /** Real length of a scheduled minute. */
  readonly minuteMs?: number
  /** False: no schedule starts by itself; see `events.tick` and `events.startSchedules`. */
  readonly schedules?: boolean
  readonly waitTimeOverrides?: Record<string, number>
  readonly retryIntervalOverrides?: Record<string, number | number[]>
  readonly streamRetryMs?: number
  readonly asyncRetryMs?: readonly number[]
}

export interface LocalAws {
  readonly endpoints: { readonly AWS_ENDPOINT_URL: string; readonly AWS_ENDPOINT_URL_DYNAMODB: string }
  /** Variables for SDK clients and the CLI of other processes. */
  environment(): Record<string, string>
  readonly deployment: Deployment
  readonly front: Front
  readonly lambda: LambdaService
  readonly workflow: WorkflowService
  readonly dynamodb: LocalDynamoDb
  readonly dns: LocalDns
  readonly zone: Zone
  readonly route53: Route53Service
  readonly ec2: Ec2Service
  readonly ssm: SsmService
  readonly events: EventsService
  /** Ends everything that was started; leaves no process, port or file behind. Machines are left as they are. */
  close(): Promise<void>
}

export async function startLocalAws(options: LocalAwsOptions): Promise<LocalAws> {
  const identity: Identity = {
    region: options.region ?? 'eu-central-1',
    accountId: options.accountId ?? '000000000000',
  }
  const overrides = options.overrides ?? {}
  const log = options.log ?? (() => {})
  const zone = new Zone(options.zone.id, options.zone.name)
  const closers: (() => unknown)[] = []
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    const dns = await startDns([zone], options.hosts, overrides.ports?.dns, options.address)
    closers.push(() => dns.close())
    const moved = options.onHosts?.((name, address) => dns.hosts.set(absolute(name), address))
    if (moved) closers.push(moved)
    const { assembly, remove } = withConfig(readAssembly(options.assembly), options.config, {
      resolver: dns.address,
    })
    closers.push(remove)
    const deployment = readDeployment(assembly, resolveAssembly(assembly, identity, overrides.parameters))
    const dynamodb = await startDynamoDb(overrides.ports?.dynamodb, options.address)
    closers.push(() => dynamodb.close())

    let frontUrl = ''
    const environment = () => clientEnvironment(identity, frontUrl, dynamodb.url)
    const lambda = new LambdaService({
      functions: deployment.functions,
      environment,
      log,
      ...(options.enter ? { enter: options.enter } : {}),
      ...(overrides.asyncRetryMs ? { asyncRetryMs: overrides.asyncRetryMs } : {}),
    })
    const workflow = new WorkflowService({
      machines: deployment.stateMachines,
      invoke: (name, payload) => lambda.invoke(name, payload),
      log,
      waitTimeOverrides: overrides.waitTimeOverrides ?? {},
      retryIntervalOverrides: overrides.retryIntervalOverrides ?? {},
      ...(options.onState ? { onState: options.onState } : {}),
    })
    const events = new EventsService({
      identity,
      rules: deployment.rules,
      buses: deployment.buses,
      invokeLater: (arn, payload) => lambda.invokeLater(arn, payload),
      log,
      ...(overrides.minuteMs ? { minuteMs: overrides.minuteMs } : {}),
      ...(options.onEvent ? { onEvent: options.onEvent } : {}),
    })
    const { ec2, ssm } = hostServices(options, identity, events, log)
    const route53 = new Route53Service({ zones: [zone], propagationMs: overrides.propagationMs ?? 5 })
    const sns = new SnsService(deployment.topics, options.onMessage ?? (() => {}))
    const front = await startFront(
      {
        json: {
          AWSStepFunctions: (operation, input) => workflow.handle(operation, input),
          AmazonSSM: (operation, input) => ssm.handle(operation, input),
          AWSEvents: (operation, input) => events.handle(operation, input),
          ...(options.rds ? { [cloudWatch]: metricsOf(options.rds) } : {}),
        },
        query: {
          '2016-11-15': (operation, form) => ec2.handle(operation, form),
          '2010-03-31': (operation, form) => sns.handle(operation, form),
          ...rdsService(options, identity, events, closers),
        },
        path: {
          '2015-03-31': (request) => lambda.handle(request),
          '2013-04-01': (request) => route53.handle(request),
        },
      },
      overrides.ports?.front,
      options.address,
    )
    frontUrl = front.url
    const feed = new Feed({
      region: identity.region,
      tables: deployment.tables,
      mappings: deployment.eventSourceMappings,
      invoke: (name, payload) => lambda.invoke(name, payload),
      log,
      ...(overrides.streamRetryMs === undefined ? {} : { retryMs: overrides.streamRetryMs }),
    })
    closers.push(() => front.close())
    closers.push(
      () => ssm.close(),
      () => route53.close(),
      () => ec2.close(),
    )
    // Functions first, then what calls them: a step in flight must not see its world disappear piece by piece.
    closers.push(
      () => Promise.all([lambda.close(), workflow.close()]),
      () => feed.close(),
      () => events.close(),
    )
    for (const { name, properties } of deployment.tables) await dynamodb.createTable(name, properties)
    dynamodb.onChange((change) => feed.push(change))
    if (overrides.schedules !== false) events.startSchedules()
    return {
      endpoints: { AWS_ENDPOINT_URL: front.url, AWS_ENDPOINT_URL_DYNAMODB: dynamodb.url },
      environment,
      deployment,
      front,
      lambda,
      workflow,
      dynamodb,
      dns,
      zone,
      route53,
      ec2,
      ssm,
      events,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function hostServices(
  options: LocalAwsOptions,
  identity: Identity,
  events: EventsService,
  log: (line: string) => void,
): { ec2: Ec2Service; ssm: SsmService } {
  const { machines, overrides } = options
  const ec2 = new Ec2Service({
    machines,
    stopSeconds: overrides?.stopSeconds ?? 0,
    startSeconds: overrides?.startSeconds ?? 0,
    log,
  })
  const ssm = new SsmService({ machines, state: (id) => ec2.state(id), log })
  ec2.onState((id, state) => {
    ssm.onState(id, state)
    const arn = `arn:aws:ec2:${identity.region}:${identity.accountId}:instance/${id}`
    events.put('aws.ec2', 'EC2 Instance State-change Notification', { 'instance-id': id, state }, [arn])
  })
  return { ec2, ssm }
}

/** CloudWatch without alarms; of samples it has what the local RDS measures. */
const cloudWatch = 'GraniteServiceVersion20100801'
const metricsOf =
  (rds: RdsControlPlane): JsonApi =>
  async (operation, input, { region }) => {
    if (operation === 'DescribeAlarms') return { MetricAlarms: [] }
    if (operation !== 'GetMetricStatistics') throw unknownOperation(operation)
    return { Label: '', Datapoints: await rds.samples(region, input) }
  }

/** Its events reach the rules of their own Region only, as on AWS. */
function rdsService(
  { rds }: LocalAwsOptions,
  identity: Identity,
  events: EventsService,
  closers: (() => unknown)[],
): Record<string, QueryApi> {
  if (!rds) return {}
  const remove = rds.onEvent((event) => {
    if (event.region === identity.region)
      events.put(event.source, event['detail-type'], event.detail, event.resources)
  })
  closers.push(remove)
  return { [rdsVersion]: (operation, form, context) => rds.handle(operation, form, context) }
}

/**
 * What a client needs, and nothing of the developer's own AWS set-up: a profile's Region or credentials would get in
 * through the SDK's default files.
 */
function clientEnvironment(identity: Identity, front: string, dynamodb: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL: front,
    AWS_ENDPOINT_URL_DYNAMODB: dynamodb,
    AWS_REGION: identity.region,
    AWS_DEFAULT_REGION: identity.region,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
  }
}

/** Copies the functions' directories with another configuration beside their modules. */
function withConfig(
  assembly: Assembly,
  config: LocalAwsOptions['config'],
  places: Places,
): { assembly: Assembly; remove: () => void } {
  if (config === undefined) return { assembly, remove: () => {} }
  const text = JSON.stringify(typeof config === 'function' ? config(places) : config)
  const directory = mkdtempSync(join(tmpdir(), 'understudy-functions-'))
  const copies = new Map<string, string>()
  const assets = new Map<string, string>()
  for (const [key, path] of assembly.assets) {
    if (!statSync(path).isDirectory()) {
      assets.set(key, path)
      continue
    }
    const copy = copies.get(path) ?? join(directory, String(copies.size))
    if (!copies.has(path)) {
      cpSync(path, copy, { recursive: true })
      writeFileSync(join(copy, 'understudy.config.json'), text)
      copies.set(path, copy)
    }
    assets.set(key, copy)
  }
  return {
    assembly: { stacks: assembly.stacks, assets },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}
