/** What the control plane keeps of instances, clusters and global clusters. All records are immutable. */
import { randomBytes } from 'node:crypto'

/** The API reference says that `active` is the only valid status; consoles and the CLI show the others as well. */
export interface GroupMembership {
  readonly id: string
  readonly status: 'active' | 'adding' | 'removing'
}

export interface EndpointName {
  readonly address: string
  readonly port: number
}

export interface StatusInfo {
  readonly statusType: 'read replication'
  readonly normal: boolean
  readonly status: 'replicating' | 'error' | 'stopped' | 'terminated'
  readonly message: string | null
}

/** What the API takes and shows, and nothing else here depends on. Names as of the API. */
export interface Settings {
  readonly instanceClass: string
  readonly allocatedGib: number
  /** ARN of a key of its Region; null: not encrypted. */
  readonly kmsKey: string | null
  readonly subnetGroup: string
  readonly optionGroup: string
  readonly storageType: string
  readonly iops: number | null
  readonly throughput: number | null
  readonly iamAuthentication: boolean
  readonly minorUpgrades: boolean
  readonly authority: string
  readonly copyTags: boolean
  readonly deletionProtection: boolean
  readonly networkType: string
  readonly isPublic: boolean
  readonly logs: readonly string[]
  readonly monitoring: { readonly seconds: number; readonly role: string } | null
  readonly insights: { readonly key: string; readonly days: number } | null
}

export interface DbInstance {
  readonly identifier: string
  /** New for every instance that is created, also under a name that was used before. */
  readonly resourceId: string
  readonly arn: string
  readonly region: string
  readonly availabilityZone: string
  readonly secondaryZone: string | null
  readonly status: string
  readonly engine: 'postgres' | 'aurora-postgresql'
  readonly engineVersion: string
  /** Null until it is created. */
  readonly endpoint: EndpointName | null
  readonly multiAz: boolean
  readonly backupRetentionDays: number
  readonly parameterGroup: {
    readonly name: string
    readonly status: 'in-sync' | 'applying' | 'pending-reboot'
  }
  readonly groups: readonly GroupMembership[]
  readonly settings: Settings
  /** ARNs; the API shows the identifier when both are in one Region. */
  readonly source: string | null
  readonly replicas: readonly string[]
  readonly statusInfos: readonly StatusInfo[]
  readonly pending: {
    readonly multiAz?: boolean
    readonly backupRetentionDays?: number
    readonly identifier?: string
  }
  readonly createdAtMs: number
  readonly tags: Readonly<Record<string, string>>
  readonly cluster: string | null
  readonly promotionTier: number
  readonly automaticRestartAtMs: number | null
  /** A promotion was asked for and is not finished. Not shown: that is the trap. */
  readonly promoting: boolean
}

export interface DbClusterMember {
  readonly arn: string
  readonly identifier: string
  readonly isWriter: boolean
}

export interface DbCluster {
  readonly identifier: string
  readonly resourceId: string
  readonly arn: string
  readonly region: string
  readonly status: string
  readonly engineVersion: string
  readonly endpoint: EndpointName
  readonly readerEndpoint: EndpointName | null
  readonly members: readonly DbClusterMember[]
  readonly groups: readonly GroupMembership[]
  /** Identifier of the global cluster. */
  readonly global: string | null
  readonly createdAtMs: number
  readonly tags: Readonly<Record<string, string>>
}

export interface GlobalMember {
  readonly clusterArn: string
  readonly isWriter: boolean
  readonly synchronization: 'connected' | 'pending-resync'
}

export interface FailoverState {
  readonly status: 'pending' | 'switching-over' | 'failing-over' | 'cancelling'
  readonly from: string
  readonly to: string
  readonly isDataLossAllowed: boolean
}

export interface GlobalCluster {
  readonly identifier: string
  readonly resourceId: string
  readonly arn: string
  readonly status: string
  readonly engineVersion: string
  readonly endpoint: EndpointName
  readonly members: readonly GlobalMember[]
  readonly failover: FailoverState | null
}

export function arnOf(kind: 'db' | 'cluster', region: string, accountId: string, identifier: string): string {
  return `arn:aws:rds:${region}:${accountId}:${kind}:${identifier}`
}

export function regionOfArn(arn: string): string {
  return arn.split(':')[3] ?? ''
}

export function nameOfArn(arn: string): string {
  return arn.split(':').at(-1) ?? ''
}

/** `db-ABCDEFGHIJKLMNOPQRSTUVWXYZ`, as immutable identifiers of AWS look. */
export function newResourceId(prefix: 'db' | 'cluster' | 'cluster-global'): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  return `${prefix}-${[...randomBytes(26)].map((byte) => letters[byte % 32]).join('')}`
}

/** As an instance is made by default, with a key of its own Region. */
export const defaultSettings = (region: string, accountId: string): Settings => ({
  instanceClass: 'db.r6g.large',
  allocatedGib: 100,
  kmsKey: keyArn(region, accountId, 'rds'),
  subnetGroup: 'default',
  optionGroup: 'default:postgres-18',
  storageType: 'gp3',
  iops: 3_000,
  throughput: 125,
  iamAuthentication: false,
  minorUpgrades: true,
  authority: 'rds-ca-rsa2048-g1',
  copyTags: false,
  deletionProtection: false,
  networkType: 'IPV4',
  isPublic: false,
  logs: [],
  monitoring: null,
  insights: null,
})

export const keyArn = (region: string, accountId: string, name: string) =>
  `arn:aws:kms:${region}:${accountId}:key/${name}`

export const activeGroups = (ids: readonly string[]): GroupMembership[] =>
  ids.map((id) => ({ id, status: 'active' }))

export const replicating: StatusInfo = {
  statusType: 'read replication',
  normal: true,
  status: 'replicating',
  message: null,
}
