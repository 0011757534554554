/** Records as the API shows them. */
import {
  type DbCluster,
  type DbInstance,
  type GlobalCluster,
  type GroupMembership,
  nameOfArn,
  regionOfArn,
} from './model.ts'
import { list, type XmlFields, type XmlList } from './xml.ts'

export function instanceXml(instance: DbInstance): XmlFields {
  const { endpoint, source, pending, settings } = instance
  const { monitoring, insights } = settings
  const near = (arn: string) => (regionOfArn(arn) === instance.region ? nameOfArn(arn) : arn)
  return {
    DBInstanceIdentifier: instance.identifier,
    DbiResourceId: instance.resourceId,
    DBInstanceArn: instance.arn,
    DBInstanceClass: settings.instanceClass,
    Engine: instance.engine,
    EngineVersion: instance.engineVersion,
    DBInstanceStatus: instance.status,
    MasterUsername: 'postgres',
    Endpoint: endpoint && { Address: endpoint.address, Port: endpoint.port },
    AllocatedStorage: settings.allocatedGib,
    InstanceCreateTime: instance.createdAtMs === 0 ? null : new Date(instance.createdAtMs),
    BackupRetentionPeriod: instance.backupRetentionDays,
    VpcSecurityGroups: groupsXml(instance.groups),
    DBParameterGroups: list('DBParameterGroup', [
      {
        DBParameterGroupName: instance.parameterGroup.name,
        ParameterApplyStatus: instance.parameterGroup.status,
      },
    ]),
    AvailabilityZone: instance.availabilityZone,
    SecondaryAvailabilityZone: instance.multiAz ? instance.secondaryZone : null,
    MultiAZ: instance.multiAz,
    PendingModifiedValues: {
      BackupRetentionPeriod: pending.backupRetentionDays,
      MultiAZ: pending.multiAz,
      DBInstanceIdentifier: pending.identifier,
    },
    ReadReplicaSourceDBInstanceIdentifier: source === null ? null : near(source),
    ReadReplicaDBInstanceIdentifiers: list('ReadReplicaDBInstanceIdentifier', instance.replicas.map(near)),
    StatusInfos: list(
      'DBInstanceStatusInfo',
      instance.statusInfos.map((info) => ({
        StatusType: info.statusType,
        Normal: info.normal,
        Status: info.status,
        Message: info.message,
      })),
    ),
    DBClusterIdentifier: instance.cluster === null ? null : nameOfArn(instance.cluster),
    PromotionTier: instance.cluster === null ? null : instance.promotionTier,
    AutomaticRestartTime:
      instance.automaticRestartAtMs === null ? null : new Date(instance.automaticRestartAtMs),
    PubliclyAccessible: settings.isPublic,
    StorageEncrypted: settings.kmsKey !== null,
    KmsKeyId: settings.kmsKey,
    DBSubnetGroup: { DBSubnetGroupName: settings.subnetGroup },
    OptionGroupMemberships: list('OptionGroupMembership', [
      { OptionGroupName: settings.optionGroup, Status: 'in-sync' },
    ]),
    StorageType: settings.storageType,
    Iops: settings.iops,
    StorageThroughput: settings.throughput,
    IAMDatabaseAuthenticationEnabled: settings.iamAuthentication,
    AutoMinorVersionUpgrade: settings.minorUpgrades,
    CACertificateIdentifier: settings.authority,
    CopyTagsToSnapshot: settings.copyTags,
    DeletionProtection: settings.deletionProtection,
    NetworkType: settings.networkType,
    EnabledCloudwatchLogsExports: list('member', settings.logs),
    MonitoringInterval: monitoring?.seconds ?? 0,
    MonitoringRoleArn: monitoring?.role,
    PerformanceInsightsEnabled: insights !== null,
    PerformanceInsightsKMSKeyId: insights?.key,
    PerformanceInsightsRetentionPeriod: insights?.days,
    TagList: tagsXml(instance.tags),
  }
}

export function clusterXml(cluster: DbCluster): XmlFields {
  return {
    DBClusterIdentifier: cluster.identifier,
    DbClusterResourceId: cluster.resourceId,
    DBClusterArn: cluster.arn,
    Engine: 'aurora-postgresql',
    EngineVersion: cluster.engineVersion,
    EngineMode: 'provisioned',
    Status: cluster.status,
    Endpoint: cluster.endpoint.address,
    ReaderEndpoint: cluster.readerEndpoint?.address,
    Port: cluster.endpoint.port,
    MultiAZ: cluster.members.length > 1,
    GlobalClusterIdentifier: cluster.global,
    ClusterCreateTime: cluster.createdAtMs === 0 ? null : new Date(cluster.createdAtMs),
    VpcSecurityGroups: groupsXml(cluster.groups),
    DBClusterMembers: list(
      'DBClusterMember',
      cluster.members.map((member) => ({
        DBInstanceIdentifier: member.identifier,
        IsClusterWriter: member.isWriter,
        DBClusterParameterGroupStatus: 'in-sync',
        PromotionTier: 1,
      })),
    ),
    TagList: tagsXml(cluster.tags),
  }
}

export function globalXml(global: GlobalCluster): XmlFields {
  const { failover } = global
  const readers = global.members.filter(({ isWriter }) => !isWriter).map(({ clusterArn }) => clusterArn)
  return {
    GlobalClusterIdentifier: global.identifier,
    GlobalClusterResourceId: global.resourceId,
    GlobalClusterArn: global.arn,
    Status: global.status,
    Engine: 'aurora-postgresql',
    EngineVersion: global.engineVersion,
    Endpoint: global.endpoint.address,
    GlobalClusterMembers: list(
      'GlobalClusterMember',
      global.members.map((member) => ({
        DBClusterArn: member.clusterArn,
        IsWriter: member.isWriter,
        Readers: list('member', member.isWriter ? readers : []),
        SynchronizationStatus: member.synchronization,
      })),
    ),
    FailoverState: failover && {
      Status: failover.status,
      FromDbClusterArn: failover.from,
      ToDbClusterArn: failover.to,
      IsDataLossAllowed: failover.isDataLossAllowed,
    },
  }
}

function groupsXml(groups: readonly GroupMembership[]): XmlList {
  const items = groups.map(({ id, status }) => ({ VpcSecurityGroupId: id, Status: status }))
  return list('VpcSecurityGroupMembership', items)
}

export function tagsXml(tags: Readonly<Record<string, string>>): XmlList {
  return list(
    'Tag',
    Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
  )
}
