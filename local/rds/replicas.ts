/** Read replicas: promotion, creation, deletion. */
import { AwsError, formList } from '../front.ts'
import { checkRetention, firstBackup, mustBe, restart, shown } from './instances.ts'
import {
  activeGroups,
  arnOf,
  type DbInstance,
  defaultSettings,
  keyArn,
  nameOfArn,
  newResourceId,
  regionOfArn,
  replicating,
  type Settings,
} from './model.ts'
import { flag, groupIds, integer, type Request, readTags, required } from './request.ts'
import { promoteServer } from './servers.ts'
import { openWays, type World } from './world.ts'
import type { XmlFields } from './xml.ts'

export function promote({ world, region, form }: Request): XmlFields {
  const instance = world.findInstance(region, required(form, 'DBInstanceIdentifier'))
  const { identifier } = instance
  // The default is 1, whatever the replica had (API reference).
  const days = integer(form, 'BackupRetentionPeriod') ?? 1
  checkRetention(instance, days)
  if (instance.source === null || instance.cluster !== null)
    throw new AwsError('InvalidDBInstanceState', `DB Instance ${identifier} is not a read replica.`)
  if (instance.promoting)
    throw new AwsError('InvalidDBInstanceState', `DB Instance ${identifier} is being promoted already.`)
  mustBe(instance, 'available')
  beginPromotion(world, instance.arn, days)
  return shown(world.instance(instance.arn))
}

/**
 * The order punishes who waits for one sign only. `available` is there at once, and again while the source is still
 * named; the source goes while the status is `modifying`; and the server accepts writes before RDS restarts it. The
 * source is not touched: it accepts writes all the time, and its other replicas stay with it.
 */
function beginPromotion(world: World, arn: string, days: number): void {
  world.update(arn, { promoting: true })
  world.background(`promotion of ${nameOfArn(arn)}`, async () => {
    await world.wait('promotionUnnoticed')
    world.update(arn, { status: 'modifying' })
    await world.wait('promotionStopsReplication')
    const host = world.hosts.get(arn)
    if (host) await promoteServer(host.server, world.signal)
    await world.wait('promotionBeforeRestart')
    world.update(arn, { status: 'rebooting' })
    await restart(world, arn, 'promotionRestart')
    world.update(arn, { status: 'available' })
    await world.wait('promotionSourceLingers')
    world.update(arn, { status: 'modifying' })
    const hadBackups = world.instance(arn).backupRetentionDays > 0
    detach(world, arn)
    world.update(arn, { backupRetentionDays: days })
    await world.wait('promotionFinishes')
    if (days > 0 && !hadBackups) await firstBackup(world, arn)
    world.update(arn, { status: 'available', promoting: false })
  })
}

function detach(world: World, arn: string): void {
  const { source } = world.instance(arn)
  const from = source === null ? undefined : world.instances.get(source)
  if (from) world.update(from.arn, { replicas: from.replicas.filter((replica) => replica !== arn) })
  world.update(arn, { source: null, statusInfos: [] })
}

export async function createReplica({ world, region, form }: Request): Promise<XmlFields> {
  const identifier = required(form, 'DBInstanceIdentifier').toLowerCase()
  const source = findSource(world, region, required(form, 'SourceDBInstanceIdentifier'))
  const arn = arnOf('db', region, world.options.accountId, identifier)
  if (world.isTaken(arn)) throw new AwsError('DBInstanceAlreadyExists', 'DB instance already exists')
  if (source.backupRetentionDays === 0) {
    const text =
      'Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance to set the backup retention period to a non-zero value.'
    throw new AwsError('InvalidDBInstanceState', text)
  }
  mustBe(source, 'available', 'backing-up', 'storage-optimization')
  const groups = groupIds(form)
  world.checkGroups(groups)
  const isNear = source.region === region
  checkReplica(form, source, isNear)
  const instance: DbInstance = {
    identifier,
    resourceId: newResourceId('db'),
    arn,
    region,
    availabilityZone: form.get('AvailabilityZone') ?? `${region}a`,
    secondaryZone: `${region}b`,
    status: 'creating',
    engine: 'postgres',
    engineVersion: source.engineVersion,
    endpoint: null,
    multiAz: flag(form, 'MultiAZ') === true,
    // A new replica keeps no backups of its own until that is changed.
    backupRetentionDays: 0,
    // In another Region a replica begins with the default of that Region.
    parameterGroup: {
      name: isNear ? source.parameterGroup.name : 'default.postgres18',
      status: 'in-sync',
    },
    groups: activeGroups(groups.length > 0 ? groups : defaultGroups(world)),
    settings: replicaSettings(form, source, { region, accountId: world.options.accountId }),
    source: source.arn,
    replicas: [],
    statusInfos: [],
    pending: {},
    createdAtMs: 0,
    tags: readTags(form),
    cluster: null,
    promotionTier: 1,
    automaticRestartAtMs: null,
    promoting: false,
  }
  world.instances.set(arn, instance)
  world.update(source.arn, { replicas: [...source.replicas, arn] })
  world.background(`creation of ${identifier}`, () => buildReplica(world, arn))
  return shown(instance)
}

/** What RDS refuses: API reference, and its own messages as people met them. */
function checkReplica(form: URLSearchParams, source: DbInstance, isNear: boolean): void {
  const refuse = (text: string) => new AwsError('InvalidParameterCombination', text)
  const key = form.get('KmsKeyId')
  if (!isNear && source.settings.kmsKey !== null && key === null)
    throw refuse('Cannot create a cross region unencrypted read replica from encrypted source.')
  if (source.settings.kmsKey === null && key !== null)
    throw refuse('You cannot create an encrypted Read Replica from an unencrypted DB instance.')
  if (form.get('DBParameterGroupName') !== null)
    throw refuse(
      "A parameter group can't be specified during Read Replica creation for the following DB engine: postgres",
    )
  if (isNear && form.get('DBSubnetGroupName') !== null)
    throw new AwsError('DBSubnetGroupNotAllowedFault', 'DbSubnetGroupName should not be specified.')
  if (flag(form, 'MultiAZ') && form.get('AvailabilityZone') !== null)
    throw refuse('Requesting a specific availability zone is not valid for Multi-AZ instances.')
  const isSmall = source.settings.allocatedGib < 400 && form.get('StorageType') === 'gp3'
  if (isSmall && (form.get('Iops') !== null || form.get('StorageThroughput') !== null))
    throw refuse(
      "You can't specify IOPS or storage throughput for engine postgres and a storage size less than 400.",
    )
  if ((integer(form, 'MonitoringInterval') ?? 0) > 0 && form.get('MonitoringRoleArn') === null)
    throw refuse(
      'A MonitoringRoleARN value is required if you specify a MonitoringInterval value other than 0.',
    )
}

/** As asked for, else as its source in the same Region, else the defaults of the Region. */
function replicaSettings(
  form: URLSearchParams,
  source: DbInstance,
  { region, accountId }: { region: string; accountId: string },
): Settings {
  const isNear = source.region === region
  const defaults = isNear ? source.settings : defaultSettings(region, accountId)
  const seconds = integer(form, 'MonitoringInterval') ?? 0
  return {
    instanceClass: form.get('DBInstanceClass') ?? source.settings.instanceClass,
    allocatedGib: source.settings.allocatedGib,
    kmsKey: form.get('KmsKeyId') ?? (isNear ? source.settings.kmsKey : null),
    subnetGroup: form.get('DBSubnetGroupName') ?? defaults.subnetGroup,
    optionGroup: form.get('OptionGroupName') ?? defaults.optionGroup,
    storageType: form.get('StorageType') ?? 'gp3',
    iops: integer(form, 'Iops') ?? null,
    throughput: integer(form, 'StorageThroughput') ?? null,
    // Off unless it is asked for, whatever the source has.
    iamAuthentication: flag(form, 'EnableIAMDatabaseAuthentication') ?? false,
    minorUpgrades: flag(form, 'AutoMinorVersionUpgrade') ?? source.settings.minorUpgrades,
    authority: form.get('CACertificateIdentifier') ?? defaults.authority,
    copyTags: flag(form, 'CopyTagsToSnapshot') ?? false,
    deletionProtection: flag(form, 'DeletionProtection') ?? false,
    networkType: form.get('NetworkType') ?? defaults.networkType,
    isPublic: flag(form, 'PubliclyAccessible') ?? false,
    logs: formList(form, 'EnableCloudwatchLogsExports.member'),
    monitoring: seconds > 0 ? { seconds, role: form.get('MonitoringRoleArn') ?? '' } : null,
    insights: flag(form, 'EnablePerformanceInsights')
      ? {
          key: form.get('PerformanceInsightsKMSKeyId') ?? keyArn(region, accountId, 'rds'),
          days: integer(form, 'PerformanceInsightsRetentionPeriod') ?? 7,
        }
      : null,
  }
}

/** By name in the same Region; a source in another Region must be given as its ARN. */
function findSource(world: World, region: string, name: string): DbInstance {
  return world.findInstance(name.startsWith('arn:') ? regionOfArn(name) : region, name)
}

/** As the default group of a VPC; the first group that was named. */
function defaultGroups(world: World): string[] {
  return [...world.groups.keys()].slice(0, 1)
}

async function buildReplica(world: World, arn: string): Promise<void> {
  const { identifier, region, resourceId } = world.instance(arn)
  try {
    await world.wait('createReplica')
    // The source may have another name by now.
    const source = world.server(world.instance(arn).source ?? '')
    if (source) {
      const place = await world.options.allocate({ identifier, region })
      const serverId = `${identifier}-${resourceId.slice(-6).toLowerCase()}`
      const server = world.workshop.server(serverId, place.server.address, place.server.port)
      const ways = world.ways.get(arn) ?? openWays(place, world.isCutFrom(region))
      world.ways.set(arn, ways)
      world.hosts.set(arn, { server, made: true, up: false, frozen: false })
      await world.bringUp(arn, () => world.workshop.buildStandby(source, server))
      world.update(arn, { endpoint: ways.name })
    }
  } catch (error) {
    if (world.signal.aborted) return
    world.options.log(`rds: creation of ${identifier}: ${(error as Error).message}`)
    world.update(arn, { status: 'failed' })
    world.journal.instance('RDS-EVENT-0202', arn)
    return
  }
  world.update(arn, { status: 'backing-up', createdAtMs: Date.now(), statusInfos: [replicating] })
  world.journal.instance('RDS-EVENT-0001', arn)
  await world.wait('createBackup')
  world.journal.instance('RDS-EVENT-0002', arn)
  world.update(arn, { status: 'available' })
  world.journal.instance('RDS-EVENT-0005', arn)
  world.journal.instance('RDS-EVENT-0046', arn)
}

/** What becomes of replicas of a deleted source: USER_ReadRepl, "Deleting a source". */
export function remove({ world, region, form }: Request): XmlFields {
  const instance = world.findInstance(region, required(form, 'DBInstanceIdentifier'))
  const { arn, replicas, identifier } = instance
  if (instance.settings.deletionProtection) {
    const text = 'Cannot delete protected DB Instance, please disable deletion protection and try again.'
    throw new AwsError('InvalidParameterCombination', text)
  }
  if (flag(form, 'SkipFinalSnapshot') !== true && !form.get('FinalDBSnapshotIdentifier')) {
    const text = 'FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.'
    throw new AwsError('InvalidParameterCombination', text)
  }
  if (instance.status === 'deleting' || instance.status === 'creating') mustBe(instance, 'available')
  const deleting = world.update(arn, { status: 'deleting' })
  for (const replica of replicas) {
    if (regionOfArn(replica) === region) {
      const { backupRetentionDays, promoting } = world.instance(replica)
      if (!promoting) beginPromotion(world, replica, backupRetentionDays)
    } else {
      terminate(world, replica)
    }
  }
  world.background(`deletion of ${identifier}`, async () => {
    await world.wait('delete')
    await world.takeDown(arn, ({ server }) => server.kill())
    detach(world, arn)
    world.hosts.delete(arn)
    world.instances.set(arn, null)
    await world.refreshRoutes()
    world.journal.instance('RDS-EVENT-0003', arn)
  })
  return shown(deleting)
}

/** PostgreSQL's replicas in other Regions stay replicas, of nothing. */
function terminate(world: World, arn: string): void {
  world.update(arn, {
    statusInfos: [
      {
        statusType: 'read replication',
        normal: false,
        status: 'terminated',
        message: 'Replication was terminated because the source was deleted.',
      },
    ],
  })
  world.journal.instance('RDS-EVENT-0057', arn)
}
