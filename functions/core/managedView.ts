/**
 * What RDS shows of an instance, and how it is read. An instance is known by its resource id, which no other one ever
 * has; its identifier can be given to another instance at any time (H02).
 */

/** What decisions rest on of an instance; `DbInstanceView` (ports.ts) has the rest. */
export interface ProviderInstance {
  readonly identifier: string
  /** `DbiResourceId`: no other instance ever has it, whatever its identifier. */
  readonly resourceId: string
  readonly region: string
  /** Unknown ones are kept as they are: new ones come. */
  readonly status: string
  readonly address: string | null
  readonly port: number | null
  readonly multiAz: boolean
  /** Identifier and Region of what it replicates from (an ARN in other Regions is taken apart); null: no replica. */
  readonly source: { readonly identifier: string; readonly region: string } | null
  /** Identifiers; ARNs of replicas in other Regions as they are. */
  readonly replicas: readonly string[]
  readonly groups: readonly { readonly id: string; readonly status: string }[]
  readonly parameterGroups: readonly string[]
  /** Its parameter group is not in force before a reboot. */
  readonly pendingReboot: boolean
  readonly backupRetentionDays: number
  /** `StatusInfos` of type "read replication"; null: none. */
  readonly replication: { readonly status: string; readonly normal: boolean } | null
  readonly instanceClass: string | null
  readonly pendingGroups: boolean
  /** RDS deletes it for nobody. */
  readonly deletionProtected: boolean
}

/** Instances by Region; null: the Region did not answer. */
export type Provider = ReadonlyMap<string, readonly ProviderInstance[] | null>

export function byResource(
  instances: readonly ProviderInstance[] | null | undefined,
  resourceId: string | null | undefined,
): ProviderInstance | null {
  if (!resourceId) return null
  return instances?.find((each) => each.resourceId === resourceId) ?? null
}

export function byIdentifier(
  instances: readonly ProviderInstance[] | null | undefined,
  identifier: string,
): ProviderInstance | null {
  return instances?.find((each) => each.identifier === identifier) ?? null
}

/** S2: the closed group alone, and `active`. A call that was answered is no fence: the change comes later (H26). */
export function isClosed(view: ProviderInstance, groupId: string): boolean {
  const [only, ...others] = view.groups
  return (
    !view.pendingGroups &&
    others.length === 0 &&
    only?.id === groupId &&
    only.status.toLowerCase() === 'active'
  )
}

/** These groups are on their way in, and every other one on its way out: asking again would change nothing. */
export function isChangingTo(view: ProviderInstance, groupIds: readonly string[]): boolean {
  const inForce = view.groups
    .filter((each) => each.status.toLowerCase() !== 'removing')
    .map((each) => each.id)
  return inForce.length === groupIds.length && groupIds.every((id) => inForce.includes(id))
}

/** These groups and no other, all in force. */
export function hasGroups(view: ProviderInstance, groupIds: readonly string[]): boolean {
  return (
    !view.pendingGroups &&
    view.groups.length === groupIds.length &&
    view.groups.every((each) => each.status.toLowerCase() === 'active' && groupIds.includes(each.id))
  )
}

/** Nothing is being done with it, or only what does not hold back its service. */
const quiet = ['available', 'backing-up', 'storage-optimization', 'storage-config-upgrade']
/** Taken out of service on purpose, by somebody. */
const ending = ['stopping', 'stopped', 'deleting', 'delete-precheck']
/** Nothing that RDS does by itself ends these. */
const broken = [
  'failed',
  'inaccessible-encryption-credentials',
  'inaccessible-encryption-credentials-recoverable',
  'incompatible-create',
  'incompatible-network',
  'incompatible-option-group',
  'incompatible-parameters',
  'incompatible-restore',
  'insufficient-capacity',
  'restore-error',
  'storage-full',
]

/**
 * RDS is doing something with it that ends by itself. A status that nobody knows counts as such: new ones come, and it
 * is followed for a bounded time only.
 */
export function isBusy(status: string): boolean {
  return !quiet.includes(status) && !ending.includes(status) && !broken.includes(status)
}

export function isEnding(status: string): boolean {
  return ending.includes(status)
}

/** ModifyDBInstance and RebootDBInstance are taken. */
export function takesChanges(status: string): boolean {
  return status === 'available' || status === 'storage-full' || status === 'storage-optimization'
}

/** Does it replicate from that instance? */
export function replicatesFrom(
  view: Pick<ProviderInstance, 'source'>,
  source: Pick<ProviderInstance, 'identifier' | 'region'> | null,
): boolean {
  return (
    source !== null &&
    view.source !== null &&
    view.source.identifier === source.identifier &&
    view.source.region === source.region
  )
}

/** Wait states of a step so far (`waiting` in operation.ts), a lower bound of the time it has taken: no clock is asked (S3). */
export function waitedMs(waits: number): number {
  let ms = 0
  for (let n = 1; n <= waits && n < 10_000; n++) ms += Math.min(2 ** Math.floor(n / 4), 10) * 1_000
  return ms
}
