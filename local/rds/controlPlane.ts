/**
 * RDS on this machine: its Query API for the unmodified SDK, in any number of Regions, over real PostgreSQL servers.
 * It is as awkward as the real one: changes come late and in an unhelpful order, a source is not touched by the
 * promotion of its replica, closed groups leave sessions alone, and a status of `available` says little.
 *
 * Not modelled: storage, snapshots, maintenance windows, subnet groups, parameters' values, MySQL and others.
 */

import type { BusEvent } from '../events.ts'
import { AwsError, type QueryContext } from '../front.ts'
import { freePorts, type PostgresCluster, type PostgresServer } from '../postgres/index.ts'
import { describeClusters, failoverCluster, modifyCluster, synchronise } from './aurora.ts'
import { type DelaysMs, scaleDelays } from './delays.ts'
import { type DeliveryHook, Journal, type RdsEvent } from './events.ts'
import { describeGlobals, failoverGlobal, isResynchronised, switchoverGlobal } from './global.ts'
import { watchHealth } from './health.ts'
import type { Version } from './history.ts'
import { describeInstances, modify, reboot, start, startAgain, stop } from './instances.ts'
import { addTags, describeEvents, listTags, removeTags } from './journalApi.ts'
import { type Datapoint, samplesOf } from './metrics.ts'
import type { DbCluster, DbInstance, GlobalCluster } from './model.ts'
import { createReplica, promote, remove } from './replicas.ts'
import type { Request } from './request.ts'
import { cutReplication, destroyServer, Workshop } from './servers.ts'
import { type ClusterSpec, type GlobalSpec, type InstanceSpec, setUp } from './setUp.ts'
import { type Allocator, World } from './world.ts'
import { answerXml, type XmlFields } from './xml.ts'

export interface RdsOptions {
  /** In whose directory servers that are made later live. Its own servers stay the caller's to close. */
  readonly postgres: PostgresCluster
  readonly regions: readonly string[]
  readonly instances: readonly InstanceSpec[]
  readonly clusters?: readonly ClusterSpec[]
  readonly globals?: readonly GlobalSpec[]
  /** By id: does it let clients in? All let Understudy's own functions in. The first is the default of new instances. */
  readonly securityGroups: Readonly<Record<string, boolean>>
  /** Where new instances and new identifiers go; default: free ports of 127.0.0.1. */
  readonly allocate?: Allocator
  readonly accountId?: string
  /** Of the delays in `delays.ts`; 1 is real time. */
  readonly timeScale?: number
  /** Real lengths of single delays, before they are scaled. */
  readonly delaysMs?: Partial<DelaysMs>
  readonly onEvent?: (event: BusEvent) => void
  readonly log?: (line: string) => void
}

type Action = (request: Request) => Promise<XmlFields | null> | XmlFields | null
const actions: Readonly<Record<string, Action>> = {
  DescribeDBInstances: describeInstances,
  RebootDBInstance: reboot,
  StopDBInstance: stop,
  StartDBInstance: start,
  ModifyDBInstance: modify,
  PromoteReadReplica: promote,
  CreateDBInstanceReadReplica: createReplica,
  DeleteDBInstance: remove,
  DescribeEvents: describeEvents,
  ListTagsForResource: listTags,
  AddTagsToResource: addTags,
  RemoveTagsFromResource: removeTags,
  DescribeDBClusters: describeClusters,
  ModifyDBCluster: modifyCluster,
  FailoverDBCluster: failoverCluster,
  DescribeGlobalClusters: describeGlobals,
  FailoverGlobalCluster: failoverGlobal,
  SwitchoverGlobalCluster: switchoverGlobal,
}

export interface View {
  readonly instance: DbInstance
  readonly server: PostgresServer | null
  /** Of the server's processes: empty when it is dead. */
  readonly processes: readonly number[]
}

/** What happens to the servers of a Region whose API does not answer. */
export type ServersOfRegion = 'live' | 'frozen' | 'dead'

export class RdsControlPlane {
  readonly #world: World
  readonly #journal: Journal

  private constructor(world: World, journal: Journal) {
    this.#world = world
    this.#journal = journal
  }

  /** Resolves when all endpoints are open. The servers must run, and stream as the instances say. */
  static async create(options: RdsOptions): Promise<RdsControlPlane> {
    const accountId = options.accountId ?? '000000000000'
    const delaysMs = scaleDelays(options.timeScale ?? 1, options.delaysMs)
    const journal = new Journal(accountId, delaysMs.eventDelivery)
    if (options.onEvent) journal.onEvent(options.onEvent)
    const world = new World({
      accountId,
      regions: options.regions,
      groups: options.securityGroups,
      delaysMs,
      journal,
      workshop: new Workshop(options.postgres),
      allocate: options.allocate ?? allocateLocally,
      log: options.log ?? (() => {}),
    })
    const plane = new RdsControlPlane(world, journal)
    try {
      setUp(world, options.instances, options.clusters ?? [], options.globals ?? [])
      await world.refreshRoutes()
      for (const { arn } of world.clusters.all()) await synchronise(world, arn)
      watchHealth(world)
    } catch (error) {
      await plane.close()
      throw error
    }
    return plane
  }

  /** To be mounted in a front as the query service of version 2014-10-31. */
  async handle(operation: string, form: URLSearchParams, context: QueryContext): Promise<string> {
    const { region, staleMs } = context
    // Its packets go nowhere: no error, no answer, and nothing is done.
    if (this.#world.downRegions.has(region)) return await new Promise(() => {})
    if (!this.#world.options.regions.includes(region))
      throw new AwsError('UnrecognizedClientException', `The security token is not valid in ${region}.`, 403)
    const action = Object.hasOwn(actions, operation) ? actions[operation] : undefined
    if (!action)
      throw new AwsError('InvalidAction', `Could not find operation ${operation} for version 2014-10-31`)
    const asOfMs = staleMs > 0 ? Date.now() - staleMs : Number.POSITIVE_INFINITY
    return answerXml(operation, await action({ world: this.#world, region, form, asOfMs }))
  }

  /** Data points of CloudWatch's GetMetricStatistics: of `AuroraGlobalDBRPOLag`, which alone is measured here. */
  async samples(region: string, input: Record<string, unknown>): Promise<readonly Datapoint[]> {
    if (this.#world.downRegions.has(region)) return await new Promise(() => {})
    return samplesOf(this.#world, region, input)
  }

  /** The answer to a caller is `handle`; this is the truth, for tests. `id`: identifier or ARN. */
  async view(id: string): Promise<View> {
    const instance = this.#find(id)
    const server = this.#world.server(instance.arn)
    return { instance, server, processes: (await server?.processes()) ?? [] }
  }

  /** All that there are now. */
  instances(): readonly DbInstance[] {
    return this.#world.instances.all()
  }

  /** Everything that the instance ever was, oldest first. */
  history(id: string): DbInstance[] {
    const arn = id.startsWith('arn:') ? id : this.#arn(id)
    return valuesOf(this.#world.instances.versions(arn))
  }

  cluster(id: string): DbCluster {
    const found = this.#world.clusters.all().find(({ identifier, arn }) => identifier === id || arn === id)
    if (!found) throw new Error(`no cluster ${id}`)
    return found
  }

  global(id: string): GlobalCluster {
    const found = this.#world.globals.all().find(({ identifier }) => identifier === id)
    if (!found) throw new Error(`no global cluster ${id}`)
    return found
  }

  globalHistory(id: string): GlobalCluster[] {
    return valuesOf(this.#world.globals.versions(this.global(id).arn))
  }

  get events(): readonly RdsEvent[] {
    return this.#journal.events
  }

  /** Told when a global writer endpoint leads to another cluster, with the address of that one. */
  onEndpoint(listener: (globalId: string, address: string) => void): () => void {
    this.#world.endpointListeners.add(listener)
    return () => this.#world.endpointListeners.delete(listener)
  }

  onEvent(listener: (event: BusEvent) => void): () => void {
    return this.#journal.onEvent(listener)
  }

  /** Sees every event before it is sent: see `Delivery`. DescribeEvents has it in any case. */
  onDeliver(hook: DeliveryHook): () => void {
    return this.#journal.onDeliver(hook)
  }

  /** Every process of its server is killed. RDS does not change the status of a Single-AZ instance for that. */
  async crash(id: string): Promise<void> {
    await this.#world.takeDown(this.#find(id).arn, ({ server }) => server.kill())
  }

  /** Starts a crashed server, as it was: an old primary accepts writes again. */
  async recover(id: string): Promise<void> {
    await this.#world.bringUp(this.#find(id).arn, ({ server }) => server.start())
  }

  async freeze(id: string): Promise<void> {
    const host = this.#world.hosts.get(this.#find(id).arn)
    if (!host) return
    host.frozen = true
    await host.server.freeze()
  }

  async thaw(id: string): Promise<void> {
    const host = this.#world.hosts.get(this.#find(id).arn)
    if (!host) return
    host.frozen = false
    await host.server.thaw()
  }

  /** Its server receives no more from its source, as when the network between two Regions is gone. */
  async cutReplication(id: string): Promise<() => Promise<void>> {
    const server = this.#world.server(this.#find(id).arn)
    if (!server) throw new Error(`${id} has no server`)
    return await cutReplication(server)
  }

  /** From now on a closed group cuts the replicas of its instance off, too. */
  cutBehindClosedGroups(on = true): void {
    this.#world.closedGroupCuts = on
  }

  /** As in its backup window; `available` again with false. */
  setBackingUp(id: string, on = true): void {
    this.setStatus(id, on ? 'backing-up' : 'available')
  }

  setStatus(id: string, status: string): void {
    this.#world.update(this.#find(id).arn, { status })
  }

  /** What happens to a stopped instance after seven days, now. */
  autoRestart(id: string): void {
    const { arn, status } = this.#find(id)
    if (status !== 'stopped') throw new Error(`${id} is ${status}`)
    startAgain(this.#world, arn)
  }

  /** What an authorisation or a revocation of a rule does: at once, for all who have the group. */
  async setGroupOpen(id: string, open: boolean): Promise<void> {
    this.#world.groups.set(id, open)
    await this.#world.refreshRoutes()
  }

  /** Its API does not answer, and nothing in it is repaired, until `regionUp`. */
  async regionDown(region: string, servers: ServersOfRegion = 'live'): Promise<void> {
    this.#world.downRegions.add(region)
    for (const { arn } of this.#inRegion(region)) {
      if (servers === 'frozen') await this.freeze(arn)
      if (servers === 'dead') await this.crash(arn)
    }
  }

  /** Its servers come back as they were; what died in a cluster that is none of the writer's any more waits for its copy. */
  async regionUp(region: string): Promise<void> {
    for (const { arn, status, cluster } of this.#inRegion(region)) {
      const host = this.#world.hosts.get(arn)
      const isDemoted = cluster !== null && isResynchronised(this.#world, cluster)
      if (host?.frozen) {
        host.frozen = false
        await host.server.thaw()
      } else if (host && !host.up && !isDemoted && status !== 'stopped') {
        await this.#world.bringUp(arn, ({ server }) => server.start())
      }
    }
    this.#world.downRegions.delete(region)
  }

  /** Of a secondary of a global database CloudWatch says this from now on; null: what is true. */
  setLag(clusterId: string, lagMs: number | null): void {
    const { arn } = this.cluster(clusterId)
    if (lagMs === null) this.#world.saidLags.delete(arn)
    else this.#world.saidLags.set(arn, lagMs)
  }

  /** Who connects from the address reaches no endpoint in the Region any more, or again. */
  cutOff(source: string, region: string, on = true): void {
    const key = `${source} ${region}`
    if (on) this.#world.partitions.add(key)
    else this.#world.partitions.delete(key)
    for (const proxy of this.#world.proxies()) proxy.cut()
  }

  /** Aurora does not manage to block writes of this cluster in a global failover. */
  setUnfenceable(clusterId: string, on = true): void {
    const { arn } = this.cluster(clusterId)
    if (on) this.#world.unfenceable.add(arn)
    else this.#world.unfenceable.delete(arn)
  }

  /** Ends all work, the endpoints, and the servers that were made here. */
  async close(): Promise<void> {
    this.#journal.close()
    await this.#world.close()
    for (const proxy of this.#world.proxies()) await proxy.close()
    for (const { made, server } of this.#world.hosts.values()) if (made) await destroyServer(server)
  }

  #inRegion(region: string): DbInstance[] {
    return this.#world.instances.all().filter((instance) => instance.region === region)
  }

  #find(id: string): DbInstance {
    const found = this.#world.instances.get(this.#arn(id))
    if (!found) throw new Error(`no instance ${id}`)
    return found
  }

  /** The Region is left out where that is clear. */
  #arn(id: string): string {
    if (id.startsWith('arn:')) return id
    const found = this.#world.instances.all().filter(({ identifier }) => identifier === id)
    if (found.length !== 1) throw new Error(`${found.length} instances ${id}`)
    return found[0]?.arn ?? ''
  }
}

function valuesOf<T>(versions: readonly Version<T>[]): T[] {
  return versions.flatMap(({ value }) => (value === null ? [] : [value]))
}

const allocateLocally: Allocator = async () => {
  const address = '127.0.0.1'
  const [server = 0, endpoint = 0, controller = 0] = await freePorts(3, [address])
  const at = (port: number) => ({ address, port })
  return { server: at(server), endpoint: at(endpoint), controller: at(controller) }
}
