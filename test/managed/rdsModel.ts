/**
 * A model of RDS in virtual time, as badly behaved as `local/rds`: the status of a promoted replica stays `available` for
 * a while and is so again before the end, groups change later than the answer, a closed group leaves the sessions that
 * there are, replicas never leave their source.
 */
import type { NodeConfig } from '../../functions/core/types.ts'
import type { DbEvent, DbInstanceView, RdsAct, RdsOutcome } from '../../functions/ports.ts'
import { Server } from '../steps/model/postgres.ts'
import type { VirtualTime } from '../steps/model/time.ts'

export const delays = {
  groups: 15_000,
  promotionUnnoticed: 45_000,
  promotionStopsReplication: 30_000,
  promotionBeforeRestart: 10_000,
  promotionRestart: 25_000,
  promotionSourceLingers: 20_000,
  promotionFinishes: 15_000,
  firstBackup: 60_000,
  rebootBeforeStop: 4_000,
  rebootDown: 15_000,
  rebootSettles: 10_000,
  stop: 90_000,
  start: 180_000,
  automaticRestart: 7 * 24 * 3_600_000,
  rename: 30_000,
  createReplica: 420_000,
  createBackup: 90_000,
  delete: 120_000,
}

type Group = { readonly id: string; readonly status: 'active' | 'adding' | 'removing' }

export class Instance {
  identifier: string
  readonly resourceId: string
  readonly node: NodeConfig
  readonly server: Server
  status = 'available'
  multiAz = false
  groups: readonly Group[]
  source: Instance | null = null
  backupRetentionDays = 7
  parameterGroup = 'default.postgres18'
  /** Its parameter group is in force after a reboot. */
  pendingReboot = false
  deletionProtected = false
  instanceClass = 'db.r8g.large'
  promoting = false
  gone = false
  /** The start of the server in which clients have their sessions; null: they have none. */
  clientsSince: number | null = null
  stoppedAt: symbol | null = null
  replicationCut = false
  /** Until then whoever comes in is ended before it can write (`endSessions` with `keepOutMs`). */
  keptOutUntilMs = 0

  constructor(identifier: string, resourceId: string, node: NodeConfig, groups: readonly string[]) {
    this.identifier = identifier
    this.resourceId = resourceId
    this.node = node
    this.server = new Server(node, node)
    this.groups = groups.map((id) => ({ id, status: 'active' }))
  }

  /** A new connection of a client finds a group that lets it in. */
  get open(): boolean {
    return this.groups.some((each) => each.status !== 'adding' && each.id !== this.node.closedGroupId)
  }
}

class Refused extends Error {
  readonly code: string
  readonly later: boolean
  constructor(code: string, message: string, later = false) {
    super(message)
    this.code = code
    this.later = later
  }
}

export class ModelRds {
  readonly instances: Instance[] = []
  readonly events: (DbEvent & { readonly identifier: string })[] = []
  readonly down = new Set<string>()
  readonly delays = { ...delays }
  /** What alarms watch, by identifier. */
  readonly alarms = new Map<string, readonly string[]>()
  readonly lags = new Map<string, { lagMs: number; ageMs: number }>()
  private readonly time: VirtualTime
  /** As H26 warns: behind its closed group an instance feeds no replica any more. */
  closedGroupCuts = false
  private ids = 0
  reigns = 1

  constructor(nodes: readonly NodeConfig[], time: VirtualTime) {
    this.time = time
    const [first] = nodes
    for (const node of nodes) {
      const instance = this.make(node.instanceId, node, node.groupIds ?? ['sg-open'])
      if (node === first) instance.server.reign = 1
      else {
        instance.server.inRecovery = true
        instance.source = this.held(first?.instanceId ?? '')
        instance.backupRetentionDays = 0
      }
    }
  }

  private make(identifier: string, node: NodeConfig, groups: readonly string[]): Instance {
    const resourceId = `db-${identifier.toUpperCase()}-${++this.ids}`
    const instance = new Instance(identifier, resourceId, node, groups)
    instance.server.inRecovery = false
    this.instances.push(instance)
    return instance
  }

  get present(): readonly Instance[] {
    return this.instances.filter((each) => !each.gone)
  }

  /** Who has the identifier now. */
  held(identifier: string): Instance | null {
    return this.present.find((each) => each.identifier === identifier) ?? null
  }

  event(instance: Instance, message: string): void {
    this.events.unshift({
      source: instance.identifier,
      identifier: instance.identifier,
      atText: `at ${this.time.nowMs}`,
      message,
      categories: ['availability'],
    })
  }

  describe(region: string): DbInstanceView[] {
    return this.present.filter((each) => each.node.region === region).map((each) => this.view(each))
  }

  /** Does its source send it the log? */
  isFed({ source, replicationCut }: Instance): boolean {
    if (source === null || replicationCut || (this.closedGroupCuts && !source.open)) return false
    return source.server.running && !source.gone && !source.server.hung
  }

  view(instance: Instance): DbInstanceView {
    const { node, source } = instance
    const replicas = this.present.filter((each) => each.source === instance)
    const isFed = this.isFed(instance)
    return {
      identifier: instance.identifier,
      resourceId: instance.resourceId,
      region: node.region,
      status: instance.status,
      engine: 'postgres',
      engineVersion: '18.4',
      address: instance.status === 'creating' ? null : node.address,
      port: node.port,
      availabilityZone: node.availabilityZone,
      multiAz: instance.multiAz,
      clusterIdentifier: null,
      source: source ? { identifier: source.identifier, region: source.node.region } : null,
      replicas: replicas.map((each) => each.identifier),
      groups: instance.groups,
      parameterGroups: [instance.parameterGroup],
      pendingReboot: instance.pendingReboot,
      backupRetentionDays: instance.backupRetentionDays,
      replication: source ? { status: isFed ? 'replicating' : 'error', normal: isFed } : null,
      instanceClass: instance.instanceClass,
      deletionProtected: instance.deletionProtected,
      pendingGroups: false,
    }
  }

  /** What RDS answers; what it does comes later. */
  act(region: string, act: RdsAct): RdsOutcome {
    try {
      this.carryOut(region, act)
      return { outcome: 'requested' }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const { code, later, message } = error
      return { outcome: 'refused', code, later, message }
    }
  }

  private find(region: string, identifier: string): Instance {
    const instance = this.held(identifier)
    if (instance === null || instance.node.region !== region)
      throw new Refused('DBInstanceNotFound', `${identifier} is not there`)
    return instance
  }

  private mustBe(instance: Instance, ...statuses: string[]): void {
    if (!statuses.includes(instance.status))
      throw new Refused('InvalidDBInstanceState', `${instance.identifier} is ${instance.status}`, true)
  }

  private carryOut(region: string, act: RdsAct): void {
    if (act.do === 'createReplica') this.createReplica(region, act)
    else if (!('instance' in act)) throw new Refused('InvalidParameter', `${act.do} is not for instances`)
    else {
      const instance = this.find(region, act.instance)
      if (act.do === 'setGroups') this.setGroups(instance, act.groupIds)
      else if (act.do === 'promote') this.promote(instance, act.backupRetentionDays)
      else if (act.do === 'rename') this.rename(instance, act.to)
      else if (act.do === 'reboot') this.reboot(instance)
      else if (act.do === 'stop') this.stop(instance)
      else if (act.do === 'setParameterGroup') this.setParameterGroup(instance, act.name)
      else this.delete(instance)
    }
  }

  private setGroups(instance: Instance, ids: readonly string[]): void {
    this.mustBe(instance, 'available', 'storage-full')
    const inForce = instance.groups.filter((each) => each.status !== 'adding')
    const kept = inForce.map(({ id }): Group => ({ id, status: ids.includes(id) ? 'active' : 'removing' }))
    const added = ids.filter((id) => !inForce.some((each) => each.id === id))
    const changing = [...kept, ...added.map((id): Group => ({ id, status: 'adding' }))]
    instance.groups = changing
    this.time.after(this.delays.groups, () => {
      if (instance.groups === changing) instance.groups = ids.map((id) => ({ id, status: 'active' }))
    })
  }

  private setParameterGroup(instance: Instance, name: string): void {
    this.mustBe(instance, 'available')
    instance.parameterGroup = name
    instance.pendingReboot = true
  }

  reboot(instance: Instance): void {
    this.mustBe(instance, 'available')
    instance.status = 'rebooting'
    this.time.after(this.delays.rebootBeforeStop, () => {
      if (instance.server.running) instance.server.end('told')
      this.event(instance, 'DB instance shutdown')
      this.time.after(this.delays.rebootDown, () => {
        this.start(instance)
        instance.pendingReboot = false
        this.event(instance, 'DB instance restarted')
        this.time.after(this.delays.rebootSettles, () => {
          if (instance.status === 'rebooting') instance.status = 'available'
        })
      })
    })
  }

  private start(instance: Instance): void {
    instance.server.start(instance.server.inRecovery ? 'standby' : 'primary')
  }

  private promote(instance: Instance, days: number): void {
    if (instance.source === null || instance.promoting)
      throw new Refused('InvalidDBInstanceState', `${instance.identifier} is no replica, or promoted already`)
    this.mustBe(instance, 'available')
    instance.promoting = true
    const { delays: d, time } = this
    const stages: readonly (readonly [number, () => void])[] = [
      [d.promotionUnnoticed, () => set('modifying')],
      [d.promotionStopsReplication, () => this.fork(instance)],
      [
        d.promotionBeforeRestart,
        () => {
          set('rebooting')
          if (instance.server.running) instance.server.end('told')
        },
      ],
      [
        d.promotionRestart,
        () => {
          this.start(instance)
          this.event(instance, 'DB instance restarted')
          set('available')
        },
      ],
      [
        d.promotionSourceLingers,
        () => {
          set('modifying')
          instance.source = null
          instance.backupRetentionDays = days
        },
      ],
      [d.promotionFinishes, () => set('backing-up')],
      [
        d.firstBackup,
        () => {
          set('available')
          instance.promoting = false
        },
      ],
    ]
    const set = (status: string) => {
      instance.status = status
    }
    const next = (index: number): void => {
      const stage = stages[index]
      if (stage === undefined) return
      time.after(stage[0], () => {
        if (instance.gone) return
        stage[1]()
        next(index + 1)
      })
    }
    next(0)
  }

  private fork(instance: Instance): void {
    const { server } = instance
    server.inRecovery = false
    server.timeline += 1
    server.reign = ++this.reigns
  }

  private stop(instance: Instance): void {
    if (instance.source !== null || this.present.some((each) => each.source === instance))
      throw new Refused('InvalidDBInstanceState', `${instance.identifier} has or is a replica`)
    this.mustBe(instance, 'available')
    instance.status = 'stopping'
    if (instance.server.running) instance.server.end('told')
    this.time.after(this.delays.stop, () => {
      instance.status = 'stopped'
      const stop = Symbol()
      instance.stoppedAt = stop
      this.time.after(this.delays.automaticRestart, () => {
        if (instance.stoppedAt !== stop || instance.status !== 'stopped') return
        this.event(instance, 'DB instance is being started due to it exceeding the maximum allowed time')
        this.startInstance(instance)
      })
    })
  }

  startInstance(instance: Instance): void {
    instance.stoppedAt = null
    instance.status = 'starting'
    this.time.after(this.delays.start, () => {
      this.start(instance)
      instance.status = 'available'
    })
  }

  private rename(instance: Instance, to: string): void {
    this.mustBe(instance, 'available')
    if (this.held(to)) throw new Refused('DBInstanceAlreadyExists', `${to} is there already`)
    instance.status = 'renaming'
    this.time.after(this.delays.rename, () => {
      instance.identifier = to
      instance.status = 'available'
    })
  }

  private createReplica(region: string, act: RdsAct & { do: 'createReplica' }): void {
    if (this.held(act.instance))
      throw new Refused('DBInstanceAlreadyExists', `${act.instance} is there already`)
    const source = this.find(act.source.region, act.source.identifier)
    if (source.backupRetentionDays === 0)
      throw new Refused('InvalidDBInstanceState', 'automated backups are not enabled')
    this.mustBe(source, 'available', 'backing-up')
    const isFar = source.node.region !== region
    const like = act.like === null ? null : this.held(act.like)
    if (isFar && like?.node.region !== region)
      throw new Refused('InvalidParameterCombination', 'an encrypted source, and no key of this Region')
    const node = this.instances.find((each) => each.node.instanceId === act.instance)?.node
    if (node === undefined || node.region !== region) throw new Refused('InvalidParameter', 'no such place')
    const instance = this.make(act.instance, node, act.groupIds ?? ['sg-open'])
    instance.status = 'creating'
    instance.source = source
    instance.backupRetentionDays = 0
    instance.instanceClass = act.instanceClass ?? source.instanceClass
    instance.deletionProtected = like?.deletionProtected ?? false
    // PostgreSQL: of the source in its Region, the default elsewhere, and no other at the creation.
    if (!isFar) instance.parameterGroup = source.parameterGroup
    instance.server.running = false
    instance.server.inRecovery = true
    this.time.after(this.delays.createReplica, () => {
      if (instance.gone) return
      instance.server.log = [...source.server.log]
      instance.server.timeline = source.server.timeline
      this.start(instance)
      instance.status = 'backing-up'
      this.time.after(this.delays.createBackup, () => {
        instance.status = 'available'
      })
    })
  }

  private delete(instance: Instance): void {
    this.mustBe(instance, 'available', 'stopped', 'failed', 'backing-up')
    if (instance.deletionProtected)
      throw new Refused('InvalidParameterCombination', 'Cannot delete protected DB Instance')
    instance.status = 'deleting'
    this.time.after(this.delays.delete, () => {
      if (instance.server.running) instance.server.end('told')
      instance.gone = true
    })
  }
}
