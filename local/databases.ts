/** What an embedded cluster runs on: real servers, and the engine whose APIs stand in front of them. */
import type { FleetInput } from '../functions/config.ts'
import type { ClusterState, NodeId, Policy } from '../functions/core/types.ts'
import type { PostgresCluster } from './postgres/index.ts'
import type { DelaysMs } from './rds/index.ts'
import type { LocalAwsOptions } from './stack.ts'

export const engineChoices = ['postgres', 'rds', 'aurora', 'aurora-global'] as const
export type EngineChoice = (typeof engineChoices)[number]

/** `switchover` is none of the databases': it is ordered by hand. */
export const faults = ['kill', 'freeze', 'restart', 'switchover'] as const
export type Fault = (typeof faults)[number]

export const clusterId = 'orders'
export const endpointName = 'orders.db.internal'
export const zone = { id: 'Z0LOCAL', name: 'db.internal' }
export const zones = ['eu-central-1a', 'eu-central-1b', 'eu-central-1c'] as const
export const region = 'eu-central-1'

export type ClusterInput = Extract<FleetInput['clusters'], readonly unknown[]>[number]
type PolicyInput = NonNullable<ClusterInput['policy']>
type ManagedInput = NonNullable<ClusterInput['managed']>

export interface DatabaseOptions {
  /** postgres: `quorum` or `power`; the other engines have one of their own. */
  readonly fence?: Policy['fence']
  readonly policy?: Partial<PolicyInput>
  readonly observe?: Partial<NonNullable<ClusterInput['observe']>>
  /** Only of what AWS runs. */
  readonly managed?: Partial<ManagedInput>
  /** Of the local RDS: real lengths of what takes its time there. */
  readonly delaysMs?: Partial<DelaysMs>
  readonly log?: (line: string) => void
}

/** Which places a configuration names. */
export interface ConfigPlaces {
  readonly port: number
  readonly resolver: string
  /** Null before there are servers: the synthesis reads no more of it than names. */
  readonly postgres: PostgresCluster | null
}

export interface Flavour {
  /** On which one port must be free. */
  readonly addresses: readonly string[]
  readonly faults: readonly Fault[]
  /** What is the engine's own of the cluster's configuration. */
  cluster(
    places: ConfigPlaces,
    options: DatabaseOptions,
  ): Pick<ClusterInput, 'engine' | 'nodes' | 'policy' | 'host' | 'managed'>
  start(port: number, options: DatabaseOptions): Promise<Databases>
}

export interface Databases {
  readonly postgres: PostgresCluster
  /** What the local AWS serves of them. */
  readonly aws: Pick<LocalAwsOptions, 'machines' | 'hosts' | 'onHosts' | 'rds'>
  /** Servers that stream from the primary when nothing is wrong. */
  readonly followers: number
  /** Adopted, and everything recorded that a failover rests on. */
  isReady(state: ClusterState): boolean
  /** Where clients connect to a node, at the port of all. */
  addressOf(node: NodeId): string
  /** One statement as the superuser, past every security group. */
  query<Row extends object>(node: NodeId, text: string, values?: unknown[], database?: string): Promise<Row[]>
  /** Resolves when it has taken hold, with the monotonic time at which it did if that is later than the call. */
  inflict(fault: Exclude<Fault, 'switchover'>, node: NodeId): Promise<number | undefined>
  thaw(node: NodeId): Promise<void>
  /** What was lost as a whole and only time brings back is there again. Absent: there is no such loss. */
  heal?(node: NodeId): Promise<void>
  close(): Promise<void>
}
