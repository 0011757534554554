/**
 * RDS' events: kept for DescribeEvents, and emitted as EventBridge carries them. "Amazon RDS emits events on a best
 * effort basis": a hook loses, delays, doubles and so re-orders them on their way; DescribeEvents has them all.
 * Messages and categories: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html and, for
 * clusters, https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_Events.Messages.html
 */
import { randomUUID } from 'node:crypto'
import type { BusEvent } from '../events.ts'
import { nameOfArn, regionOfArn } from './model.ts'

interface Kind {
  readonly categories: readonly string[]
  readonly message: string
}

/** `{x}` is filled in. */
const instanceKinds = {
  'RDS-EVENT-0001': { categories: ['backup'], message: 'Backing up DB instance' },
  'RDS-EVENT-0002': { categories: ['backup'], message: 'Finished DB Instance backup' },
  'RDS-EVENT-0003': { categories: ['deletion'], message: 'DB instance deleted' },
  'RDS-EVENT-0004': { categories: ['availability'], message: 'DB instance shutdown' },
  'RDS-EVENT-0005': { categories: ['creation'], message: 'DB instance created' },
  'RDS-EVENT-0006': { categories: ['availability'], message: 'DB instance restarted' },
  'RDS-EVENT-0013': { categories: ['failover'], message: 'Multi-AZ instance failover started' },
  'RDS-EVENT-0025': {
    categories: ['configuration change'],
    message: 'Finished applying modification to convert to a Multi-AZ DB instance',
  },
  'RDS-EVENT-0029': {
    categories: ['configuration change'],
    message: 'Finished applying modification to convert to a standard (Single-AZ) DB instance',
  },
  'RDS-EVENT-0034': {
    categories: ['failover'],
    message: 'Abandoning user requested failover since a failover recently occurred on the database instance',
  },
  'RDS-EVENT-0045': { categories: ['read replica'], message: 'Replication has stopped' },
  'RDS-EVENT-0046': { categories: ['read replica'], message: 'Replication for the Read Replica resumed' },
  'RDS-EVENT-0049': { categories: ['failover'], message: 'Multi-AZ instance failover completed' },
  'RDS-EVENT-0057': { categories: ['read replica'], message: 'Replication streaming has been terminated' },
  'RDS-EVENT-0087': { categories: ['notification'], message: 'DB instance stopped' },
  'RDS-EVENT-0088': { categories: ['notification'], message: 'DB instance started' },
  'RDS-EVENT-0154': {
    categories: ['notification'],
    message: 'DB instance is being started due to it exceeding the maximum allowed time being stopped',
  },
  'RDS-EVENT-0202': { categories: ['read replica'], message: 'Read replica creation failed' },
  // On instances, unlike the other events of a global database.
  'RDS-EVENT-0390': {
    categories: ['notification', 'global database'],
    message: 'Attempt to block writes for DB cluster {cluster} in Region {region} succeeded',
  },
  'RDS-EVENT-0391': {
    categories: ['notification', 'global database'],
    message: 'Attempt to block writes for DB cluster {cluster} in Region {region} timed out',
  },
} as const satisfies Record<string, Kind>

const globalFailover = ['global failover'] as const
const clusterKinds = {
  'RDS-EVENT-0069': {
    categories: ['failover'],
    message: 'Cluster failover failed, check the health of your cluster instances and try again',
  },
  'RDS-EVENT-0071': { categories: ['failover'], message: 'Completed failover to DB instance: {instance}' },
  'RDS-EVENT-0072': {
    categories: ['failover'],
    message: 'Started same AZ failover to DB instance: {instance}',
  },
  'RDS-EVENT-0073': {
    categories: ['failover'],
    message: 'Started cross AZ failover to DB instance: {instance}',
  },
  'RDS-EVENT-0181': {
    categories: globalFailover,
    message: 'Global switchover to DB cluster {cluster} in Region {region} started',
  },
  'RDS-EVENT-0182': {
    categories: globalFailover,
    message: 'Old primary DB cluster {cluster} in Region {region} successfully shut down',
  },
  'RDS-EVENT-0184': {
    categories: globalFailover,
    message: 'New primary DB cluster {cluster} in Region {region} was successfully promoted',
  },
  'RDS-EVENT-0185': {
    categories: globalFailover,
    message: 'Global switchover to DB cluster {cluster} in Region {region} finished',
  },
  'RDS-EVENT-0187': {
    categories: globalFailover,
    message: 'Global switchover to DB cluster {cluster} in Region {region} failed',
  },
  'RDS-EVENT-0238': {
    categories: globalFailover,
    message: 'Global failover to DB cluster {cluster} in Region {region} completed',
  },
  'RDS-EVENT-0239': {
    categories: globalFailover,
    message: 'Global failover to DB cluster {cluster} in Region {region} failed',
  },
  'RDS-EVENT-0240': {
    categories: globalFailover,
    message:
      'Started resynchronizing members of DB cluster {cluster} in Region {region} after global failover',
  },
  'RDS-EVENT-0241': {
    categories: globalFailover,
    message:
      'Finished resynchronizing members of DB cluster {cluster} in Region {region} after global failover',
  },
  'RDS-EVENT-0397': {
    categories: globalFailover,
    message: 'Aurora finished changing the DNS name that the global writer endpoint resolves to',
  },
} as const satisfies Record<string, Kind>

export type InstanceEventId = keyof typeof instanceKinds
export type ClusterEventId = keyof typeof clusterKinds
export type RdsEventId = InstanceEventId | ClusterEventId

export interface RdsEvent {
  readonly id: RdsEventId
  readonly sourceType: 'db-instance' | 'db-cluster'
  readonly arn: string
  readonly atMs: number
  readonly message: string
  readonly categories: readonly string[]
}

/** What becomes of one event on its way. */
export interface Delivery {
  readonly lost?: boolean
  /** Instead of the usual delay; not scaled. */
  readonly delayMs?: number
  readonly copies?: number
}
export type DeliveryHook = (event: RdsEvent) => Delivery | undefined

export class Journal {
  readonly events: RdsEvent[] = []
  readonly #accountId: string
  readonly #delayMs: number
  readonly #hooks = new Set<DeliveryHook>()
  readonly #listeners = new Set<(event: BusEvent) => void>()
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(accountId: string, delayMs: number) {
    this.#accountId = accountId
    this.#delayMs = delayMs
  }

  onDeliver(hook: DeliveryHook): () => void {
    this.#hooks.add(hook)
    return () => this.#hooks.delete(hook)
  }

  onEvent(listener: (event: BusEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  instance(id: InstanceEventId, arn: string, words: Record<string, string> = {}): void {
    this.#add(id, 'db-instance', arn, instanceKinds[id], words)
  }

  cluster(id: ClusterEventId, arn: string, words: Record<string, string> = {}): void {
    this.#add(id, 'db-cluster', arn, clusterKinds[id], words)
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#listeners.clear()
  }

  #add(
    id: RdsEventId,
    sourceType: RdsEvent['sourceType'],
    arn: string,
    kind: Kind,
    words: Record<string, string>,
  ): void {
    const message = kind.message.replaceAll(/\{(\w+)\}/g, (_all, word: string) => words[word] ?? '')
    const event: RdsEvent = { id, sourceType, arn, atMs: Date.now(), message, categories: kind.categories }
    this.events.push(event)
    let delivery: Delivery = {}
    for (const hook of this.#hooks) delivery = { ...delivery, ...hook(event) }
    if (delivery.lost) return
    for (let copy = 0; copy < (delivery.copies ?? 1); copy++)
      this.#deliver(event, delivery.delayMs ?? this.#delayMs)
  }

  #deliver(event: RdsEvent, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      for (const listener of this.#listeners) listener(busEvent(event, this.#accountId))
    }, delayMs)
    this.#timers.add(timer)
  }
}

/** As in https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-cloud-watch-events.html */
function busEvent(event: RdsEvent, accountId: string): BusEvent {
  const isInstance = event.sourceType === 'db-instance'
  const date = new Date(event.atMs).toISOString()
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': isInstance ? 'RDS DB Instance Event' : 'RDS DB Cluster Event',
    source: 'aws.rds',
    account: accountId,
    time: date.replace(/\.\d{3}Z$/, 'Z'),
    region: regionOfArn(event.arn),
    resources: [event.arn],
    detail: {
      EventCategories: event.categories,
      SourceType: isInstance ? 'DB_INSTANCE' : 'CLUSTER',
      SourceArn: event.arn,
      Date: date,
      Message: event.message,
      SourceIdentifier: nameOfArn(event.arn),
      EventID: event.id,
    },
  }
}
