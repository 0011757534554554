/** What there is at the start: from a description to records and endpoints. */
import type { PostgresServer } from '../postgres/index.ts'
import {
  activeGroups,
  arnOf,
  type DbInstance,
  defaultSettings,
  type EndpointName,
  newResourceId,
  replicating,
  type Settings,
} from './model.ts'
import { EndpointProxy, type Target } from './proxy.ts'
import { openWays, paperName, type World } from './world.ts'

/** Where clients connect: a proxy listens there. The API shows `name` instead of the address when it is given. */
export interface EndpointSpec extends Target {
  readonly name?: string
}

export interface InstanceSpec {
  readonly identifier: string
  readonly region: string
  /** Default: zone a of the Region. */
  readonly availabilityZone?: string
  /** Absent: it exists on paper only. */
  readonly server?: PostgresServer
  /** Absent: the API shows a name, and the server's own address is not hidden from anybody. */
  readonly endpoint?: EndpointSpec
  /** Where Understudy's own functions connect, whatever the groups say. Absent: there is no such way. */
  readonly controller?: Target
  /** Identifier of another instance, whose standby its server is. */
  readonly source?: string
  readonly multiAz?: boolean
  /** Default 7, as the console has it. */
  readonly backupRetentionDays?: number
  /** Default: the first group. */
  readonly groups?: readonly string[]
  readonly tags?: Readonly<Record<string, string>>
  /** Identifier of the Aurora cluster that it is a member of. */
  readonly cluster?: string
  readonly engineVersion?: string
  /** What differs from the defaults of its Region. */
  readonly settings?: Partial<Settings>
  readonly parameterGroup?: string
}

export interface ClusterSpec {
  readonly identifier: string
  readonly region: string
  /** Identifier of a member; absent: a secondary cluster of a global database. */
  readonly writer?: string
  readonly endpoint?: EndpointSpec
  readonly readerEndpoint?: EndpointSpec
  readonly groups?: readonly string[]
  readonly tags?: Readonly<Record<string, string>>
}

export interface GlobalSpec {
  readonly identifier: string
  /** Identifiers of clusters, the primary first. */
  readonly clusters: readonly [string, ...string[]]
  readonly endpoint?: EndpointSpec
}

const engineVersion = '18.4'
const defaultPort = 5432

export function setUp(
  world: World,
  instances: readonly InstanceSpec[],
  clusters: readonly ClusterSpec[],
  globals: readonly GlobalSpec[],
): void {
  const { accountId } = world.options
  const arns = new Map(
    instances.map((spec) => [spec.identifier, arnOf('db', spec.region, accountId, spec.identifier)]),
  )
  const clusterArns = new Map(
    clusters.map((spec) => [spec.identifier, arnOf('cluster', spec.region, accountId, spec.identifier)]),
  )
  for (const spec of instances) addInstance(world, spec, instances, arns, clusterArns)
  for (const spec of clusters) addCluster(world, spec, instances, arns, globals)
  for (const spec of globals) addGlobal(world, spec, clusterArns)
}

function addInstance(
  world: World,
  spec: InstanceSpec,
  all: readonly InstanceSpec[],
  arns: ReadonlyMap<string, string>,
  clusterArns: ReadonlyMap<string, string>,
): void {
  const { identifier, region, server } = spec
  const arn = get(arns, identifier)
  const zone = spec.availabilityZone ?? `${region}a`
  const replicas = all
    .filter(({ source }) => source === identifier)
    .map((other) => get(arns, other.identifier))
  const instance: DbInstance = {
    identifier,
    resourceId: newResourceId('db'),
    arn,
    region,
    availabilityZone: zone,
    secondaryZone: zone === `${region}b` ? `${region}a` : `${region}b`,
    status: 'available',
    engine: spec.cluster === undefined ? 'postgres' : 'aurora-postgresql',
    engineVersion: spec.engineVersion ?? engineVersion,
    endpoint: spec.endpoint
      ? nameOf(spec.endpoint, '')
      : paperName(identifier, region, server?.port ?? defaultPort),
    multiAz: spec.multiAz ?? false,
    backupRetentionDays: spec.backupRetentionDays ?? 7,
    parameterGroup: { name: spec.parameterGroup ?? 'default.postgres18', status: 'in-sync' },
    groups: groupsOf(world, spec.groups),
    settings: { ...defaultSettings(region, world.options.accountId), ...spec.settings },
    source: spec.source === undefined ? null : get(arns, spec.source),
    replicas,
    statusInfos: spec.source === undefined ? [] : [replicating],
    pending: {},
    createdAtMs: Date.now(),
    tags: spec.tags ?? {},
    cluster: spec.cluster === undefined ? null : get(clusterArns, spec.cluster),
    promotionTier: 1,
    automaticRestartAtMs: null,
    promoting: false,
  }
  world.instances.set(arn, instance, 0)
  if (!server) return
  world.hosts.set(arn, { server, made: false, up: true, frozen: false })
  const { endpoint, controller } = spec
  if (!endpoint) return
  const place = { endpoint, ...(controller ? { controller } : {}) }
  world.ways.set(arn, openWays(place, world.isCutFrom(region)))
}

function addCluster(
  world: World,
  spec: ClusterSpec,
  instances: readonly InstanceSpec[],
  arns: ReadonlyMap<string, string>,
  globals: readonly GlobalSpec[],
): void {
  const { identifier, region } = spec
  const arn = arnOf('cluster', region, world.options.accountId, identifier)
  const members = instances
    .filter(({ cluster }) => cluster === identifier)
    .map((member) => ({
      arn: get(arns, member.identifier),
      identifier: member.identifier,
      isWriter: member.identifier === spec.writer,
    }))
  const name = (kind: string) => `${identifier}.${kind}local.${region}.rds.amazonaws.com`
  const cluster = {
    identifier,
    resourceId: newResourceId('cluster'),
    arn,
    region,
    status: 'available',
    engineVersion,
    endpoint: nameOf(spec.endpoint, name('cluster-')),
    readerEndpoint: nameOf(spec.readerEndpoint, name('cluster-ro-')),
    members,
    groups: groupsOf(world, spec.groups),
    global: globals.find(({ clusters }) => clusters.includes(identifier))?.identifier ?? null,
    createdAtMs: Date.now(),
    tags: spec.tags ?? {},
  }
  world.clusters.set(arn, cluster, 0)
  const leadsTo = members.find(({ isWriter }) => isWriter)?.arn ?? null
  world.clusterHosts.set(arn, {
    writer: proxyAt(spec.endpoint, world.isCutFrom(region)),
    reader: proxyAt(spec.readerEndpoint, world.isCutFrom(region)),
    leadsTo,
  })
}

function addGlobal(world: World, spec: GlobalSpec, clusterArns: ReadonlyMap<string, string>): void {
  const { identifier, clusters } = spec
  // A global cluster belongs to no Region.
  const arn = `arn:aws:rds::${world.options.accountId}:global-cluster:${identifier}`
  const members = clusters.map((cluster, index) => ({
    clusterArn: get(clusterArns, cluster),
    isWriter: index === 0,
    synchronization: 'connected' as const,
  }))
  const global = {
    identifier,
    resourceId: newResourceId('cluster-global'),
    arn,
    status: 'available',
    engineVersion,
    endpoint: nameOf(spec.endpoint, `${identifier}.global-local.global.rds.amazonaws.com`),
    members,
    failover: null,
  }
  world.globals.set(arn, global, 0)
  world.globalHosts.set(arn, { proxy: proxyAt(spec.endpoint), leadsTo: get(clusterArns, clusters[0]) })
}

function groupsOf(world: World, ids: readonly string[] | undefined) {
  const groups = ids ?? [...world.groups.keys()].slice(0, 1)
  world.checkGroups(groups)
  return activeGroups(groups)
}

function nameOf(spec: EndpointSpec | undefined, otherwise: string): EndpointName {
  return spec
    ? { address: spec.name ?? spec.address, port: spec.port }
    : { address: otherwise, port: defaultPort }
}

function proxyAt(spec: EndpointSpec | undefined, isCut?: (source: string) => boolean): EndpointProxy | null {
  return spec ? new EndpointProxy(spec, isCut) : null
}

function get(map: ReadonlyMap<string, string>, key: string): string {
  const value = map.get(key)
  if (value === undefined) throw new Error(`${key} is not described`)
  return value
}
