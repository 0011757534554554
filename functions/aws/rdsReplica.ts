/**
 * What a new replica takes over of the instance that it replaces. `CreateDBInstanceReadReplica` gives it what its source
 * has in the same Region, and the Region's defaults in another one; the rules of both are those of the API's reference.
 */
import type { CreateDBInstanceReadReplicaMessage, DBInstance } from '@aws-sdk/client-rds'
import type { RdsAct } from '../ports.ts'

type Act = Extract<RdsAct, { do: 'createReplica' }>

export interface ReplicaPlan {
  readonly act: Act
  /** Region of the new replica. */
  readonly region: string
  readonly source: DBInstance
  /** What it replaces, in the same Region; null: it is gone, or nothing was there. Then its source is the pattern, as far as that is legal. */
  readonly like: DBInstance | null
}

/** The request, or why RDS would refuse every form of it. */
export function replicaOf(
  plan: ReplicaPlan,
): { readonly input: CreateDBInstanceReadReplicaMessage } | { readonly missingKey: string } {
  const { act, region, source, like } = plan
  const isNear = act.source.region === region
  const key = encryption(plan, isNear)
  if (key === null)
    return {
      missingKey: `${act.source.identifier} is encrypted, and a replica in ${region} needs a KMS key of that Region, which only the instance that it replaces tells (${act.like ?? 'none'}): make ${act.instance} by hand, with KmsKeyId`,
    }
  const pattern = like ?? source
  const multiAz = like?.MultiAZ ?? false
  return {
    input: given({
      DBInstanceIdentifier: act.instance,
      // A source in another Region is named by its ARN; the client then signs what China and GovCloud ask for.
      SourceDBInstanceIdentifier: isNear ? act.source.identifier : source.DBInstanceArn,
      VpcSecurityGroupIds: act.groupIds === null ? undefined : [...act.groupIds],
      DBInstanceClass: act.instanceClass ?? undefined,
      MultiAZ: multiAz || undefined,
      // A Multi-AZ instance has two zones, and none is asked for.
      AvailabilityZone: multiAz ? undefined : (act.availabilityZone ?? undefined),
      Tags: Object.entries(act.tags).map(([Key, Value]) => ({ Key, Value })),
      ...key,
      ...storage(pattern, source),
      ...inTheRegion(like, isNear),
      // Off unless asked for; that of a source says nothing of its replicas.
      DeletionProtection: like?.DeletionProtection,
      ...anywhere(pattern),
      ...watched(pattern, like),
    }),
  }
}

/**
 * In the same Region the key of the source is taken by itself, and another one may be named. In another Region an
 * encrypted source asks for a key of that Region, and an unencrypted one has no encrypted replica. null: there is none.
 */
function encryption(
  { source, like }: ReplicaPlan,
  isNear: boolean,
): Pick<CreateDBInstanceReadReplicaMessage, 'KmsKeyId'> | null {
  if (!source.StorageEncrypted) return {}
  const key = like?.StorageEncrypted ? like.KmsKeyId : undefined
  if (isNear) return key === source.KmsKeyId ? {} : { KmsKeyId: key }
  return key === undefined ? null : { KmsKeyId: key }
}

/** gp3 has fixed IOPS and throughput below this size on PostgreSQL, MySQL and MariaDB, and RDS refuses to be told them. */
const gp3TunableGib = 400

function storage(pattern: DBInstance, source: DBInstance): Partial<CreateDBInstanceReadReplicaMessage> {
  const { StorageType, Iops, StorageThroughput } = pattern
  const isTunable =
    StorageType?.startsWith('io') ||
    // A replica begins with the size of its source.
    (StorageType === 'gp3' && (source.AllocatedStorage ?? 0) >= gp3TunableGib)
  return {
    StorageType,
    Iops: isTunable ? Iops : undefined,
    StorageThroughput: isTunable && StorageType === 'gp3' ? StorageThroughput : undefined,
    DedicatedLogVolume: pattern.DedicatedLogVolume || undefined,
  }
}

/**
 * What belongs to one Region. In that of the source RDS takes the source's, and refuses a subnet group; in another one it
 * would take defaults. A parameter group is taken for MySQL only; for the others it is set when the replica is there.
 */
function inTheRegion(like: DBInstance | null, isNear: boolean): Partial<CreateDBInstanceReadReplicaMessage> {
  if (like === null || isNear) return {}
  const own = (name: string | undefined) =>
    name === undefined || /^default[.:]/.test(name) ? undefined : name
  return {
    DBSubnetGroupName: like.DBSubnetGroup?.DBSubnetGroupName,
    OptionGroupName: own(like.OptionGroupMemberships?.[0]?.OptionGroupName),
    DBParameterGroupName:
      like.Engine === 'mysql' ? own(like.DBParameterGroups?.[0]?.DBParameterGroupName) : undefined,
  }
}

/** Legal everywhere, and off or another one unless it is asked for. */
function anywhere(pattern: DBInstance): Partial<CreateDBInstanceReadReplicaMessage> {
  return {
    Port: pattern.Endpoint?.Port,
    // Without it tokens are refused, also those of Understudy.
    EnableIAMDatabaseAuthentication: pattern.IAMDatabaseAuthenticationEnabled,
    AutoMinorVersionUpgrade: pattern.AutoMinorVersionUpgrade,
    CACertificateIdentifier: pattern.CACertificateIdentifier,
    CopyTagsToSnapshot: pattern.CopyTagsToSnapshot,
    NetworkType: pattern.NetworkType,
    PubliclyAccessible: pattern.PubliclyAccessible,
    EnableCloudwatchLogsExports: pattern.EnabledCloudwatchLogsExports?.length
      ? [...pattern.EnabledCloudwatchLogsExports]
      : undefined,
  }
}

/** Keys of Performance Insights belong to a Region: that of the source is not taken. */
function watched(pattern: DBInstance, like: DBInstance | null): Partial<CreateDBInstanceReadReplicaMessage> {
  const monitored = (pattern.MonitoringInterval ?? 0) > 0 && pattern.MonitoringRoleArn !== undefined
  const insights = pattern.PerformanceInsightsEnabled === true
  return {
    ...(monitored
      ? { MonitoringInterval: pattern.MonitoringInterval, MonitoringRoleArn: pattern.MonitoringRoleArn }
      : {}),
    ...(insights
      ? {
          EnablePerformanceInsights: true,
          PerformanceInsightsKMSKeyId: like?.PerformanceInsightsKMSKeyId,
          PerformanceInsightsRetentionPeriod: pattern.PerformanceInsightsRetentionPeriod,
        }
      : {}),
  }
}

/** Without what is undefined: the request shows only what is meant. */
function given(input: CreateDBInstanceReadReplicaMessage): CreateDBInstanceReadReplicaMessage {
  return Object.fromEntries(
    Object.entries(input).filter(([, value]) => value !== undefined),
  ) as unknown as CreateDBInstanceReadReplicaMessage
}
