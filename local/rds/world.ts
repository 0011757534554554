/** What all actions share: records, servers, endpoints, the clock of the control plane, and work in the background. */
import { setTimeout as sleep } from 'node:timers/promises'
import { AwsError } from '../front.ts'
import type { PostgresServer } from '../postgres/index.ts'
import type { DelayName, DelaysMs } from './delays.ts'
import type { Journal } from './events.ts'
import { History } from './history.ts'
import type { Lag } from './metrics.ts'
import {
  arnOf,
  type DbCluster,
  type DbInstance,
  type EndpointName,
  type GlobalCluster,
  type GroupMembership,
  nameOfArn,
  regionOfArn,
} from './model.ts'
import { EndpointProxy, type Route, type Target } from './proxy.ts'
import { cutReplication, type Workshop } from './servers.ts'

/** Where an instance really lives. An instance without a host is paper only: for fleets that nobody connects to. */
export interface Host {
  readonly server: PostgresServer
  /** By the control plane, which ends it too. */
  readonly made: boolean
  /** False: the control plane knows that nothing listens there. */
  up: boolean
  frozen: boolean
}

/**
 * How an identifier is reached. Both ways belong to it and not to what stands behind it: who is created or renamed to an
 * identifier that was used before takes them over, as the name of an RDS endpoint is made from the identifier.
 */
export interface Ways {
  /** What the API shows. */
  readonly name: EndpointName
  /** Subject to the security groups. */
  readonly client: EndpointProxy | null
  /** Understudy's own: every group lets it in, the closed one too. */
  readonly controller: EndpointProxy | null
}

export interface ClusterHost {
  readonly writer: EndpointProxy | null
  readonly reader: EndpointProxy | null
  /** The instance that the cluster endpoint leads to: it follows the writer late. */
  leadsTo: string | null
}

/** For a new instance, and for an identifier that is used for the first time, which needs no server of its own. */
export interface NewPlace {
  readonly server: Target
  readonly endpoint: Target & { readonly name?: string }
  readonly controller?: Target
}
export type Allocator = (instance: {
  readonly identifier: string
  readonly region: string
}) => NewPlace | Promise<NewPlace>

export interface WorldOptions {
  readonly accountId: string
  readonly regions: readonly string[]
  readonly groups: Readonly<Record<string, boolean>>
  readonly delaysMs: DelaysMs
  readonly journal: Journal
  readonly workshop: Workshop
  readonly allocate: Allocator
  readonly log: (line: string) => void
}

const retryMs = 200

export class World {
  readonly options: WorldOptions
  readonly instances = new History<DbInstance>()
  readonly clusters = new History<DbCluster>()
  readonly globals = new History<GlobalCluster>()
  readonly hosts = new Map<string, Host>()
  /** By the ARN of an instance that there is, or was. */
  readonly ways = new Map<string, Ways>()
  readonly clusterHosts = new Map<string, ClusterHost>()
  /** By the ARN of the global cluster: its writer endpoint, and the cluster that it leads to. */
  readonly globalHosts = new Map<string, { readonly proxy: EndpointProxy | null; leadsTo: string }>()
  readonly groups: Map<string, boolean>
  /** How far secondary clusters of global databases are behind, by their ARN. */
  readonly lags = new Map<string, Lag>()
  /** What CloudWatch says instead, from now on. */
  readonly saidLags = new Map<string, number>()
  /** Told of the address that a global writer endpoint leads to from now on. */
  readonly endpointListeners = new Set<(globalId: string, address: string) => void>()
  readonly downRegions = new Set<string>()
  /** `<source address> <Region>`: who does not reach the endpoints of which Region. */
  readonly partitions = new Set<string>()
  /** Behind a closed group an instance feeds no replica any more: nobody promises that it does. */
  closedGroupCuts = false
  /** What gives its source back to a replica that is cut off from it, by its ARN. */
  readonly cuts = new Map<string, () => Promise<void>>()
  /** Old primaries whose writes Aurora does not manage to block, for tests of what follows. */
  readonly unfenceable = new Set<string>()
  readonly #abort = new AbortController()
  readonly #work = new Set<Promise<void>>()

  constructor(options: WorldOptions) {
    this.options = options
    this.groups = new Map(Object.entries(options.groups))
  }

  get journal(): Journal {
    return this.options.journal
  }

  get workshop(): Workshop {
    return this.options.workshop
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Throws when the control plane is closed meanwhile. */
  async wait(delay: DelayName): Promise<void> {
    await sleep(this.options.delaysMs[delay], undefined, { signal: this.signal })
  }

  /** What goes on after the answer. Its failure is logged: on AWS, too, nobody would be told. */
  background(what: string, work: () => Promise<void>): void {
    const running = work()
      .catch((error: Error) => {
        if (!this.signal.aborted) this.options.log(`rds: ${what} failed: ${error.stack}`)
      })
      .finally(() => this.#work.delete(running))
    this.#work.add(running)
  }

  /** Until it succeeds: RDS' own workflows do not give up half way. */
  async persist(what: string, work: () => Promise<void>): Promise<void> {
    for (;;) {
      this.signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        this.options.log(`rds: ${what}: ${(error as Error).message}; again`)
      }
      await sleep(retryMs, undefined, { signal: this.signal })
    }
  }

  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.all(this.#work)
  }

  update(arn: string, change: Partial<DbInstance>): DbInstance {
    const next = { ...this.instance(arn), ...change }
    this.instances.set(arn, next)
    return next
  }

  updateCluster(arn: string, change: Partial<DbCluster>): DbCluster {
    const next = { ...this.cluster(arn), ...change }
    this.clusters.set(arn, next)
    return next
  }

  updateGlobal(arn: string, change: Partial<GlobalCluster>): GlobalCluster {
    const next = { ...this.global(arn), ...change }
    this.globals.set(arn, next)
    return next
  }

  /** Wherever it is by now: a name may have changed since. */
  byResourceId(resourceId: string): DbInstance | undefined {
    return this.instances.all().find((instance) => instance.resourceId === resourceId)
  }

  isTaken(arn: string): boolean {
    const becomes = ({ region, pending }: DbInstance) =>
      pending.identifier !== undefined &&
      arn === arnOf('db', region, this.options.accountId, pending.identifier)
    return this.instances.get(arn) !== undefined || this.instances.all().some(becomes)
  }

  /** The same instance on the same server under another name, by which everything refers to it. Its new ARN. */
  async rename(arn: string, identifier: string): Promise<string> {
    const { region } = this.instance(arn)
    const next = arnOf('db', region, this.options.accountId, identifier)
    const host = this.hosts.get(arn)
    const ways = host ? await this.waysTo(next) : null
    const before = this.instance(arn)
    const endpoint = ways?.name ?? (before.endpoint && paperName(identifier, region, before.endpoint.port))
    this.instances.set(arn, null)
    this.instances.set(next, { ...before, identifier, arn: next, endpoint })
    if (host) {
      this.hosts.delete(arn)
      this.hosts.set(next, host)
    }
    for (const other of this.instances.all()) {
      if (other.source === arn) this.update(other.arn, { source: next })
      if (other.replicas.includes(arn)) {
        const replicas = other.replicas.map((replica) => (replica === arn ? next : replica))
        this.update(other.arn, { replicas })
      }
    }
    await this.refreshRoutes()
    return next
  }

  async waysTo(arn: string): Promise<Ways> {
    const known = this.ways.get(arn)
    if (known) return known
    const place = await this.options.allocate({ identifier: nameOfArn(arn), region: regionOfArn(arn) })
    const ways = openWays(place, this.isCutFrom(regionOfArn(arn)))
    this.ways.set(arn, ways)
    return ways
  }

  instance(arn: string): DbInstance {
    const found = this.instances.get(arn)
    if (!found) throw new Error(`no instance ${arn}`)
    return found
  }

  cluster(arn: string): DbCluster {
    const found = this.clusters.get(arn)
    if (!found) throw new Error(`no cluster ${arn}`)
    return found
  }

  global(arn: string): GlobalCluster {
    const found = this.globals.get(arn)
    if (!found) throw new Error(`no global cluster ${arn}`)
    return found
  }

  /** As a call finds it: by name in its own Region only. Identifiers are not case-sensitive. */
  findInstance(region: string, name: string): DbInstance {
    const identifier = name.toLowerCase()
    const found = this.instances.get(
      identifier.startsWith('arn:') ? name : arnOf('db', region, this.options.accountId, identifier),
    )
    if (!found || found.region !== region)
      throw new AwsError('DBInstanceNotFound', `DBInstance ${name} not found.`, 404)
    return found
  }

  findCluster(region: string, name: string): DbCluster {
    const found = this.clusters.get(
      name.startsWith('arn:') ? name : arnOf('cluster', region, this.options.accountId, name.toLowerCase()),
    )
    if (!found || found.region !== region)
      throw new AwsError('DBClusterNotFoundFault', `DBCluster ${name} not found.`, 404)
    return found
  }

  server(arn: string): PostgresServer | null {
    return this.hosts.get(arn)?.server ?? null
  }

  checkGroups(ids: readonly string[]): void {
    for (const id of ids) {
      if (!this.groups.has(id))
        throw new AwsError('InvalidParameterValue', `Invalid security group , groupId= ${id}, groupName=.`)
    }
  }

  /** Until a change is done the old groups count. */
  isOpen(groups: readonly GroupMembership[]): boolean {
    return groups.some(({ id, status }) => status !== 'adding' && this.groups.get(id) === true)
  }

  /** Replicas of an instance are cut off from it while its groups let nobody in, and fed again when they do. */
  async feedReplicas(arn: string): Promise<void> {
    const { replicas, groups } = this.instance(arn)
    const isCut = this.closedGroupCuts && !this.isOpen(groups)
    for (const replica of replicas) {
      const restore = this.cuts.get(replica)
      const server = this.server(replica)
      if (isCut && restore === undefined && server !== null) {
        this.cuts.set(replica, await cutReplication(server))
      } else if (!isCut && restore !== undefined) {
        this.cuts.delete(replica)
        await restore()
      }
    }
  }

  /** Brings every endpoint in line with groups, servers and roles. */
  async refreshRoutes(): Promise<void> {
    for (const [arn, { client, controller }] of this.ways) {
      const instance = this.instances.get(arn)
      await client?.setRoute(instance ? this.#route(this.#groupsOf(instance), arn) : { kind: 'refuse' })
      await controller?.setRoute(this.#routeTo(arn))
    }
    for (const [arn, host] of this.clusterHosts) {
      const { groups } = this.cluster(arn)
      await host.writer?.setRoute(this.#route(groups, host.leadsTo))
      await host.reader?.setRoute(this.#route(groups, this.#someReader(arn)))
    }
    for (const { proxy, leadsTo } of this.globalHosts.values()) {
      const { groups } = this.cluster(leadsTo)
      await proxy?.setRoute(this.#route(groups, this.clusterHosts.get(leadsTo)?.leadsTo ?? null))
    }
  }

  /** Clients find it dead from now on; `act` makes it so. */
  async takeDown(
    arn: string,
    act: (host: Host, log: (line: string) => void) => Promise<void>,
  ): Promise<void> {
    const host = this.hosts.get(arn)
    if (!host) return
    host.up = false
    await this.refreshRoutes()
    await act(host, this.options.log)
    host.frozen = false
  }

  async bringUp(arn: string, act: (host: Host) => Promise<void>): Promise<void> {
    const host = this.hosts.get(arn)
    if (!host) return
    await act(host)
    host.up = true
    host.frozen = false
    await this.refreshRoutes()
  }

  isCutFrom(region: string): (source: string) => boolean {
    return (source) => this.partitions.has(`${source} ${region}`)
  }

  /** All that there are: of instances, clusters and global clusters. */
  proxies(): EndpointProxy[] {
    return [
      ...[...this.ways.values()].flatMap(({ client, controller }) => [client, controller]),
      ...[...this.clusterHosts.values()].flatMap(({ writer, reader }) => [writer, reader]),
      ...[...this.globalHosts.values()].map(({ proxy }) => proxy),
    ].filter((proxy) => proxy !== null)
  }

  isRegionDown(arn: string): boolean {
    return this.downRegions.has(regionOfArn(arn))
  }

  #groupsOf(instance: DbInstance): readonly GroupMembership[] {
    return instance.cluster === null ? instance.groups : this.cluster(instance.cluster).groups
  }

  #someReader(clusterArn: string): string | null {
    const members = this.cluster(clusterArn).members
    const reader = members.find(({ arn, isWriter }) => !isWriter && this.hosts.get(arn)?.up === true)
    return reader?.arn ?? members.find(({ isWriter }) => isWriter)?.arn ?? null
  }

  #route(groups: readonly GroupMembership[], arn: string | null): Route {
    return this.isOpen(groups) ? this.#routeTo(arn) : { kind: 'silent' }
  }

  #routeTo(arn: string | null): Route {
    const host = arn === null ? undefined : this.hosts.get(arn)
    if (!host?.up) return { kind: 'refuse' }
    return { kind: 'forward', to: host.server }
  }
}

export function openWays(
  place: Pick<NewPlace, 'endpoint' | 'controller'>,
  isCut: (source: string) => boolean,
): Ways {
  const { endpoint, controller } = place
  return {
    name: { address: endpoint.name ?? endpoint.address, port: endpoint.port },
    client: new EndpointProxy(endpoint, isCut),
    controller: controller ? new EndpointProxy(controller, isCut) : null,
  }
}

/** Of an instance that nobody connects to. */
export function paperName(identifier: string, region: string, port: number): EndpointName {
  return { address: `${identifier}.local.${region}.rds.amazonaws.com`, port }
}

/** Ends a server as an orderly shutdown does; one that does not react is cut off. */
export async function shutDown({ frozen, server }: Host, log: (line: string) => void): Promise<void> {
  if (frozen) return await server.kill()
  try {
    await server.stop('fast')
  } catch (error) {
    log(`rds: ${(error as Error).message}; killed`)
    await server.kill()
  }
}
