/** What RDS answers, as the port shows it: ARNs taken apart, unknown statuses kept, what must be there checked. */
import type { DBCluster, DBInstance, Event, GlobalCluster } from '@aws-sdk/client-rds'
import type { DbClusterView, DbEvent, DbInstanceView, GlobalClusterView } from '../ports.ts'
import { BadAnswer } from './errors.ts'

/** Also for lists: an empty one is answered as an empty element, so that a missing one says nothing about what there is. */
export function need<T>(value: T | undefined, field: string, of: string): T {
  if (value === undefined || value === '') throw new BadAnswer(`RDS answered ${of} without ${field}`)
  return value
}

/** A text where a number belongs comes out of the SDK as not-a-number. */
function numberOr<T>(value: number | undefined, otherwise: T): number | T {
  return Number.isFinite(value) ? Number(value) : otherwise
}

export interface Arn {
  readonly region: string
  readonly name: string
}

/** `arn:aws:rds:<region>:<account>:db:<name>`; undefined: it is not one. */
export function parseArn(text: string): Arn | undefined {
  const [arn, , , region, , kind, ...name] = text.split(':')
  if (arn !== 'arn' || !region || !kind || name.length === 0) return undefined
  return { region, name: name.join(':') }
}

export function instanceView(region: string, raw: DBInstance): DbInstanceView {
  const identifier = need(raw.DBInstanceIdentifier, 'DBInstanceIdentifier', `an instance in ${region}`)
  const of = `instance ${identifier} in ${region}`
  const groups = need(raw.VpcSecurityGroups, 'VpcSecurityGroups', of).map(
    ({ VpcSecurityGroupId, Status }) => ({
      id: need(VpcSecurityGroupId, 'VpcSecurityGroupId', `a security group of ${of}`),
      // None is not `active`: evidence is a positive fact (S2).
      status: Status ?? '',
    }),
  )
  return {
    identifier,
    resourceId: need(raw.DbiResourceId, 'DbiResourceId', of),
    region,
    status: need(raw.DBInstanceStatus, 'DBInstanceStatus', of),
    engine: raw.Engine ?? '',
    engineVersion: raw.EngineVersion ?? '',
    address: raw.Endpoint?.Address ?? null,
    port: numberOr(raw.Endpoint?.Port, null),
    availabilityZone: raw.AvailabilityZone ?? null,
    multiAz: raw.MultiAZ ?? false,
    clusterIdentifier: raw.DBClusterIdentifier || null,
    source: sourceOf(region, raw),
    replicas: raw.ReadReplicaDBInstanceIdentifiers ?? [],
    groups,
    parameterGroups: (raw.DBParameterGroups ?? []).flatMap(({ DBParameterGroupName }) =>
      DBParameterGroupName ? [DBParameterGroupName] : [],
    ),
    pendingReboot: (raw.DBParameterGroups ?? []).some(
      ({ ParameterApplyStatus }) => ParameterApplyStatus === 'pending-reboot',
    ),
    // 1 is what a promotion sets by default; 0 would turn backups off on the strength of a missing field.
    backupRetentionDays: numberOr(raw.BackupRetentionPeriod, 1),
    replication: replicationOf(raw),
    instanceClass: raw.DBInstanceClass ?? null,
    deletionProtected: raw.DeletionProtection ?? false,
    pendingGroups: groups.some(({ status }) => status !== 'active'),
  }
}

/** A replica of a Multi-AZ cluster names the cluster: it is no less a replica. */
function sourceOf(region: string, raw: DBInstance): DbInstanceView['source'] {
  const named = raw.ReadReplicaSourceDBInstanceIdentifier || raw.ReadReplicaSourceDBClusterIdentifier
  if (!named) return null
  const arn = parseArn(named)
  return arn ? { identifier: arn.name, region: arn.region } : { identifier: named, region }
}

function replicationOf(raw: DBInstance): DbInstanceView['replication'] {
  const info = raw.StatusInfos?.find(({ StatusType }) => StatusType === 'read replication')
  return info ? { status: info.Status ?? '', normal: info.Normal ?? false } : null
}

export function clusterView(region: string, raw: DBCluster): DbClusterView {
  const identifier = need(raw.DBClusterIdentifier, 'DBClusterIdentifier', `a cluster in ${region}`)
  const of = `cluster ${identifier} in ${region}`
  return {
    identifier,
    resourceId: need(raw.DbClusterResourceId, 'DbClusterResourceId', of),
    arn: need(raw.DBClusterArn, 'DBClusterArn', of),
    region,
    status: need(raw.Status, 'Status', of),
    engine: raw.Engine ?? '',
    endpoint: raw.Endpoint || null,
    readerEndpoint: raw.ReaderEndpoint || null,
    members: (raw.DBClusterMembers ?? []).map((member) => ({
      identifier: need(member.DBInstanceIdentifier, 'DBInstanceIdentifier', `a member of ${of}`),
      isWriter: member.IsClusterWriter ?? false,
    })),
    globalWriteForwarding: raw.GlobalWriteForwardingStatus ?? null,
  }
}

export function globalView(raw: GlobalCluster): GlobalClusterView {
  const identifier = need(raw.GlobalClusterIdentifier, 'GlobalClusterIdentifier', 'a global cluster')
  const of = `global cluster ${identifier}`
  return {
    identifier,
    status: need(raw.Status, 'Status', of),
    endpoint: raw.Endpoint || null,
    members: (raw.GlobalClusterMembers ?? []).map((member) => {
      const clusterArn = need(member.DBClusterArn, 'DBClusterArn', `a member of ${of}`)
      const arn = need(parseArn(clusterArn), 'a readable DBClusterArn', `a member of ${of}`)
      return {
        clusterArn,
        region: arn.region,
        clusterIdentifier: arn.name,
        isWriter: member.IsWriter ?? false,
        synchronizationStatus: member.SynchronizationStatus ?? null,
      }
    }),
    failover: failoverOf(raw),
  }
}

/** An empty element stands for none, too. */
function failoverOf({ FailoverState: state }: GlobalCluster): GlobalClusterView['failover'] {
  if (!state || (!state.Status && !state.FromDbClusterArn && !state.ToDbClusterArn)) return null
  return {
    status: state.Status ?? '',
    from: state.FromDbClusterArn || null,
    to: state.ToDbClusterArn || null,
    dataLossAllowed: state.IsDataLossAllowed ?? false,
  }
}

/** Newest first. Events are hints that may be missing anyway: one that can not be read is left out. */
export function eventViews(identifier: string, raw: readonly Event[]): DbEvent[] {
  const readable = raw.flatMap(({ Date: at, Message, EventCategories, SourceIdentifier }) =>
    at && Message ? [{ at, Message, EventCategories, SourceIdentifier }] : [],
  )
  return readable
    .reverse() // RDS lists the oldest first; of one second the later stays the newer
    .sort((left, right) => right.at.getTime() - left.at.getTime())
    .map(({ at, Message, EventCategories, SourceIdentifier }) => ({
      source: SourceIdentifier ?? identifier,
      atText: at.toISOString(),
      message: Message,
      categories: EventCategories ?? [],
    }))
}
