/**
 * Aurora in memory, on the machinery of the steps' tests: members of one volume that elect a writer, or clusters of several
 * Regions of which one writes. What the provider does takes its time; what it says is the port `Rds`.
 */
import { type FleetDocument, parseConfig } from '../../functions/config.ts'
import type { NodeId, ProbeOutcome } from '../../functions/core/types.ts'
import type {
  DbClusterView,
  DbEvent,
  DbInstanceView,
  GlobalClusterView,
  Ports,
  Rds,
  RdsAct,
  RdsOutcome,
} from '../../functions/ports.ts'
import type { Invocation } from '../steps/model/invocation.ts'
import { Databases, type Server } from '../steps/model/postgres.ts'
import { World } from '../steps/world.ts'

export type Kind = 'aurora' | 'aurora-global'

/** What silence costs who reads: the bound of all tries of one read. */
const silenceMs = 15_000

export interface NativeOptions {
  readonly kind?: Kind
  readonly policy?: Record<string, unknown>
  readonly managed?: Record<string, unknown>
  readonly nodes?: Readonly<Record<NodeId, Record<string, unknown>>>
}

const regions: Readonly<Record<NodeId, string>> = { a: 'eu-central-1', b: 'eu-north-1', c: 'eu-west-1' }

function fleetOf({ kind = 'aurora', policy, managed, nodes }: NativeOptions): FleetDocument {
  const isGlobal = kind === 'aurora-global'
  const node = (id: string, zone: number) => {
    const region = isGlobal ? (regions[id] ?? '') : 'eu-central-1'
    return {
      id,
      address: `10.0.${zone}.11`,
      ...(isGlobal ? { readerAddress: `10.0.${zone}.12` } : {}),
      dnsName: `orders-${id}.rds.example.com`,
      instanceId: `orders-${id}`,
      region,
      availabilityZone: `${region}${isGlobal ? 'a' : id}`,
      ...nodes?.[id],
    }
  }
  return parseConfig({
    deployment: 'understudy',
    region: 'eu-west-1',
    observers: ['x', 'y', 'z'].map((id) => ({ id })),
    clusters: {
      orders: {
        engine: kind,
        endpoint: {
          name: 'orders.example.org',
          ...(managed?.globalEndpoint ? {} : { zoneId: 'Z0123456789' }),
        },
        nodes: [node('a', 1), node('b', 2), node('c', 3)],
        policy: { restartGraceMs: 5_000, ...policy },
        managed: {
          providerGraceMs: 30_000,
          ...(isGlobal ? { globalClusterId: 'orders-global' } : {}),
          ...managed,
        },
      },
    },
  })
}

/** One volume, or one per Region that the writer's log is copied to. Readers show no receiver, position or timeline. */
export class AuroraDatabases extends Databases {
  kind: Kind = 'aurora'
  /** Secondary clusters that receive nothing. */
  readonly behind = new Set<NodeId>()
  writer: NodeId = 'a'

  become(kind: Kind): void {
    this.kind = kind
    const shared = this.of('a').log
    for (const server of this.servers.values()) {
      server.conninfo = ''
      server.synchronousNames = ''
      server.log = kind === 'aurora' ? shared : []
    }
  }

  override flow(): void {
    const writer = this.of(this.writer)
    for (const server of this.servers.values()) {
      const isFed = this.kind === 'aurora-global' && server.inRecovery && server.running && writer.running
      if (isFed && server !== writer && !this.behind.has(server.id)) server.log = [...writer.log]
    }
    super.flow()
  }

  override promote(server: Server): void {
    super.promote(server)
    server.timeline = 1
    this.writer = server.id
  }

  override probe(from: string, node: NodeId, writeProbe: boolean): ProbeOutcome {
    const outcome = super.probe(from, node, writeProbe)
    if (outcome.kind !== 'answered') return outcome
    const blank = { timeline: 0, systemIdentifier: '', positionBytes: 0, upstream: null, downstream: [] }
    return { kind: 'answered', row: { ...outcome.row, ...blank } }
  }
}

export type RdsFault = 'error' | 'before' | 'after' | 'throttled' | 'delayed'
export const rdsFaults: readonly RdsFault[] = ['error', 'before', 'after', 'throttled', 'delayed']

type RdsCall = { readonly name: string; readonly step: string; readonly count: number }

export class NativeWorld extends World {
  readonly aurora: AuroraDatabases
  readonly kind: Kind
  /** Regions whose API gives no answer. */
  readonly apiDown = new Set<string>()
  /** Its own election begins so long after the writer's death; null: it never comes. */
  electsAfterMs: number | null = 4_000
  electionMs = 6_000
  rejoinMs = 5_000
  endpointMs = 3_000
  fenceHolds = true
  /** What the storage cannot reach keeps its role. */
  status = 'available'
  failover: GlobalClusterView['failover'] = null
  /** Who writes by the provider. */
  writer: NodeId = 'a'
  readonly unsynchronised = new Set<NodeId>()
  readonly lags: Record<NodeId, { lagMs: number; ageMs: number } | null> = { a: null, b: null, c: null }
  readonly calls: { act: RdsAct; region: string; atMs: number }[] = []
  readonly counted: RdsCall[] = []
  rdsFault: (call: RdsCall) => RdsFault | undefined = () => undefined
  /** Answered instead of carrying out. */
  refuses: (act: RdsAct) => RdsOutcome | undefined = () => undefined
  readonly events: (DbEvent & { type: string })[] = []
  private readonly rdsCounts = new Map<string, number>()

  constructor(options: NativeOptions = {}) {
    super({ fleet: fleetOf(options), databases: (...args) => new AuroraDatabases(...args) })
    this.kind = options.kind ?? 'aurora'
    this.aurora = this.databases as AuroraDatabases
    this.aurora.become(this.kind)
    this.watchWriter()
  }

  /** Calls are counted from here. */
  countAnew(): void {
    this.rdsCounts.clear()
    this.counted.length = 0
  }

  /** The provider's own health check of a cluster: only inside one cluster does it elect by itself. */
  private watchWriter(): void {
    let deadSinceMs: number | null = null
    const look = () => {
      const isDead = !this.isUp(this.writer) && this.status === 'available' && this.failover === null
      deadSinceMs = isDead ? (deadSinceMs ?? this.time.nowMs) : null
      if (deadSinceMs !== null && this.electsAfterMs !== null && this.kind === 'aurora') {
        if (this.time.nowMs - deadSinceMs >= this.electsAfterMs) this.electInside(this.reader())
      }
      this.time.after(500, look)
    }
    look()
  }

  private isUp(id: NodeId): boolean {
    const server = this.databases.of(id)
    return server.running && !server.hung && this.hostUp(id) && !this.cut.has(`*>${id}`)
  }

  private reader(): NodeId | null {
    return this.config.nodes.find(({ id }) => id !== this.writer && this.isUp(id))?.id ?? null
  }

  electInside(to: NodeId | null): void {
    if (to === null) return
    const old = this.writer
    this.status = 'failing-over'
    this.tell('orders', `Started cross AZ failover to DB instance: orders-${to}`)
    this.databases.of(old).end('untold')
    this.time.after(this.electionMs, () => {
      this.databases.promote(this.databases.of(to))
      this.writer = to
      this.status = 'available'
      this.tell('orders', `Completed failover to DB instance: orders-${to}`)
      this.time.after(this.rejoinMs, () => this.databases.of(old).start('standby'))
    })
  }

  private tell(source: string, message: string, type = 'db-cluster'): void {
    const atText = new Date(1_700_000_000_000 + this.time.nowMs).toISOString()
    this.events.unshift({ source, atText, message, categories: [], type })
  }

  arn(id: NodeId): string {
    return `arn:aws:rds:${this.node(id).region}:123456789012:cluster:orders-${id}`
  }

  node(id: NodeId) {
    const node = this.config.nodes.find((each) => each.id === id)
    if (node === undefined) throw new Error(`no node ${id}`)
    return node
  }

  private globalTo(to: NodeId, planned: boolean): void {
    const from = this.writer
    const [old, next] = [this.databases.of(from), this.databases.of(to)]
    const words = { from: this.arn(from), to: this.arn(to), dataLossAllowed: !planned }
    this.failover = { status: 'pending', ...words }
    this.time.after(1_000, () => {
      this.failover = { status: planned ? 'switching-over' : 'failing-over', ...words }
      if (planned) {
        this.databases.flow()
        old.end('told')
      } else this.fenceStorage(from, to)
    })
    this.time.after(this.electionMs, () => {
      this.aurora.behind.add(from)
      this.databases.promote(next)
      this.writer = to
      this.unsynchronised.add(from)
      this.failover = null
      this.time.after(this.endpointMs, () => this.moveEndpoint(to))
      this.resynchronise(from)
    })
  }

  private fenceStorage(from: NodeId, to: NodeId): void {
    const what = `Attempt to block writes for DB cluster orders-${from} in Region ${this.node(from).region}`
    if (this.fenceHolds) this.databases.of(from).end('untold')
    const on = this.apiDown.has(this.node(from).region) ? to : from
    this.tell(`orders-${on}-1`, `${what} ${this.fenceHolds ? 'succeeded' : 'timed out'}`, 'db-instance')
  }

  private moveEndpoint(to: NodeId): void {
    const cname = { target: this.node(to).dnsName, ttlSeconds: 5 }
    this.tell(
      `orders-${to}`,
      'Aurora finished changing the DNS name that the global writer endpoint resolves to',
    )
    if (this.config.managed?.globalEndpoint) {
      this.names.cname = cname
      this.names.answered = cname
    }
  }

  private resynchronise(id: NodeId): void {
    this.time.after(this.rejoinMs, () => {
      if (this.apiDown.has(this.node(id).region) || this.cut.has(`*>${id}`)) return this.resynchronise(id)
      const server = this.databases.of(id)
      server.start('standby')
      server.log = []
      this.aurora.behind.delete(id)
      this.unsynchronised.delete(id)
    })
  }

  /** The primary's Region goes away: its API, its endpoints, for everybody. */
  loseRegion(id: NodeId): void {
    this.apiDown.add(this.node(id).region)
    this.cut.add(`*>${id}`)
    for (const from of ['x', 'y', 'z', 'clients', 'operator']) this.cut.add(`${from}>${id}`)
    this.databases.of(id).end('untold')
  }

  regainRegion(id: NodeId): void {
    this.apiDown.delete(this.node(id).region)
    for (const from of ['*', 'x', 'y', 'z', 'clients', 'operator']) this.cut.delete(`${from}>${id}`)
  }

  override ports(by: Invocation, endsAtMs = Number.POSITIVE_INFINITY): Ports {
    return Object.defineProperty(super.ports(by, endsAtMs), 'rds', { value: this.rds(by) })
  }

  private rds(by: Invocation): Rds {
    const read = async <T>(name: string, region: string, make: () => T) => {
      if (this.apiDown.has(region)) {
        await this.time.sleep(silenceMs)
        throw away(`rds.${region} does not answer`)
      }
      return this.rdsCall(by, name, make, (why) => {
        throw away(why)
      })
    }
    return {
      instances: (region) => read('instances', region, () => this.instanceViews(region)),
      clusters: (region) => read('clusters', region, () => this.clusterViews(region)),
      global: (region) => read('global', region, () => this.globalView()),
      events: (region, source) =>
        read('events', region, () =>
          this.events.filter((each) => each.type === source.type && each.source === source.identifier),
        ),
      alarms: async () => null,
      lag: (region, id) => read('lag', region, () => this.lags[id.replace('orders-', '')] ?? null),
      act: (region, act) => this.rdsAct(by, region, act),
    }
  }

  private rdsAct(by: Invocation, region: string, act: RdsAct): Promise<RdsOutcome> {
    return this.rdsCall<RdsOutcome>(
      by,
      act.do,
      () => {
        if (this.apiDown.has(region)) return { outcome: 'unknown', message: 'no answer' }
        // The checker reads the claim at every act that is not SQL.
        const trace = { kind: 'host' as const, node: this.writer, command: act.do, term: by.seen?.term ?? 0 }
        // biome-ignore lint/complexity/useLiteralKeys: it is private to the world
        this['act'](by, trace)
        this.calls.push({ act, region, atMs: this.time.nowMs })
        return this.refuses(act) ?? this.carryOut(act)
      },
      (why): RdsOutcome =>
        why === 'Throttling'
          ? { outcome: 'refused', code: why, later: true, message: 'rate exceeded' }
          : why === 'AccessDenied'
            ? { outcome: 'refused', code: why, later: false, message: 'not authorised' }
            : { outcome: 'unknown', message: why },
    )
  }

  private carryOut(act: RdsAct): RdsOutcome {
    const refused = (code: string): RdsOutcome => ({ outcome: 'refused', code, later: true, message: code })
    if (act.do === 'failoverCluster') {
      const target = (act.target ?? '').replace('orders-', '')
      if (this.status !== 'available') return refused('InvalidDBClusterState')
      if (target === this.writer || !this.isUp(target)) return refused('InvalidDBInstanceState')
      this.electInside(target)
      return { outcome: 'requested' }
    }
    if (act.do !== 'switchoverGlobal' && act.do !== 'failoverGlobal')
      throw new Error(`not of Aurora: ${act.do}`)
    const target = this.config.nodes.find(({ id }) => this.arn(id) === act.targetArn)?.id
    if (this.failover !== null || target === undefined || target === this.writer)
      return refused('InvalidGlobalClusterState')
    const planned = act.do === 'switchoverGlobal'
    if (planned && (!this.isUp(this.writer) || this.unsynchronised.size > 0))
      return refused('InvalidGlobalClusterState')
    this.globalTo(target, planned)
    return { outcome: 'requested' }
  }

  private async rdsCall<T>(
    by: Invocation,
    name: string,
    effect: () => T,
    lost: (why: string) => T,
  ): Promise<T> {
    const step = by.name.split(' ')[1] ?? ''
    const key = `${step} ${name}`
    const count = (this.rdsCounts.get(key) ?? 0) + 1
    this.rdsCounts.set(key, count)
    const called = { name, step, count }
    this.counted.push(called)
    const fault = this.rdsFault(called)
    if (fault === 'error') return lost('AccessDenied')
    if (fault === 'throttled') return lost('Throttling')
    if (fault === 'before') {
      await this.time.sleep(5_000)
      return lost('time-out')
    }
    if (fault === 'delayed') await this.time.sleep(9_000)
    const value = await this.call(by, `rds:${name}`, effect, () => lost('no answer'))
    if (fault !== 'after') return value
    await this.time.sleep(5_000)
    return lost('time-out')
  }

  private instanceViews(region: string): DbInstanceView[] {
    if (this.kind === 'aurora-global') return []
    return this.config.nodes
      .filter((node) => node.region === region)
      .map(({ id, instanceId, availabilityZone }) => ({
        identifier: instanceId,
        resourceId: `db-${id}`,
        ...{ region, status: this.isUp(id) ? 'available' : 'rebooting', engine: 'aurora-postgresql' },
        ...{ engineVersion: '16.4', address: null, port: 5432, availabilityZone, multiAz: false },
        ...{ clusterIdentifier: 'orders', source: null, replicas: [], groups: [], parameterGroups: [] },
        ...{
          backupRetentionDays: 7,
          replication: null,
          instanceClass: null,
          pendingReboot: false,
          deletionProtected: false,
          pendingGroups: false,
        },
      }))
  }

  private clusterViews(region: string): DbClusterView[] {
    const of = (identifier: string, members: DbClusterView['members'], status: string) => ({
      ...{ identifier, resourceId: `cluster-${identifier}`, arn: `arn:${identifier}`, region, status },
      ...{ engine: 'aurora-postgresql', endpoint: null, readerEndpoint: null, members },
      globalWriteForwarding: null,
    })
    if (this.kind === 'aurora') {
      const members = this.config.nodes.map(({ id, instanceId }) => ({
        identifier: instanceId,
        isWriter: id === this.writer,
      }))
      return [of('orders', members, this.status)]
    }
    return this.config.nodes
      .filter((node) => node.region === region)
      .map(({ id, instanceId }) => {
        const isBusy = this.failover !== null && [this.failover.from, this.failover.to].includes(this.arn(id))
        const status = isBusy ? (this.failover?.status ?? '') : 'available'
        return of(instanceId, [{ identifier: `${instanceId}-1`, isWriter: id === this.writer }], status)
      })
  }

  private globalView(): GlobalClusterView {
    return {
      identifier: 'orders-global',
      status: this.failover === null ? 'available' : this.failover.status,
      endpoint: null,
      members: this.config.nodes.map(({ id, region, instanceId }) => ({
        ...{ clusterArn: this.arn(id), region, clusterIdentifier: instanceId },
        isWriter: id === this.writer,
        synchronizationStatus: this.unsynchronised.has(id) ? 'pending-resync' : 'connected',
      })),
      failover: this.failover,
    }
  }
}

const away = (message: string) => Object.assign(new Error(message), { code: 'ETIMEDOUT' })
