/** Actions on single instances: look, restart, stop, start, modify. Promotion and replicas are in `replicas.ts`. */
import { AwsError } from '../front.ts'
import type { RdsEvent } from './events.ts'
import { activeGroups, arnOf, type DbInstance, type GroupMembership, nameOfArn } from './model.ts'
import { instanceXml } from './render.ts'
import { filtered, flag, groupIds, integer, paged, type Request, required } from './request.ts'
import { shutDown, type World } from './world.ts'
import { list, type XmlFields } from './xml.ts'

export function describeInstances({ world, region, form, asOfMs }: Request): XmlFields {
  const all = world.instances.all(asOfMs).filter((instance) => instance.region === region)
  const name = form.get('DBInstanceIdentifier')
  const named = name === null ? all : all.filter(({ identifier, arn }) => isNamed(name, identifier, arn))
  if (name !== null && named.length === 0)
    throw new AwsError('DBInstanceNotFound', `DBInstance ${name} not found.`, 404)
  const found = filtered(named, form, {
    'db-instance-id': ({ identifier, arn }) => [identifier, arn],
    'dbi-resource-id': ({ resourceId }) => [resourceId],
    'db-cluster-id': ({ cluster }) => (cluster === null ? [] : [nameOfArn(cluster), cluster]),
    engine: ({ engine }) => [engine],
  })
  const page = paged(found, ({ identifier }) => identifier, form)
  return { Marker: page.marker, DBInstances: list('DBInstance', page.items.map(instanceXml)) }
}

export const isNamed = (name: string, identifier: string, arn: string): boolean =>
  name === arn || name.toLowerCase() === identifier

export const shown = (instance: DbInstance): XmlFields => ({ DBInstance: instanceXml(instance) })

/** States in which RDS changes an instance; in others it refuses. */
export function mustBe(instance: DbInstance, ...statuses: string[]): void {
  if (statuses.includes(instance.status)) return
  throw new AwsError(
    'InvalidDBInstanceState',
    `Instance ${instance.identifier} is not in ${statuses.join(' or ')} state. Current state: ${instance.status}.`,
  )
}

export function reboot({ world, region, form }: Request): XmlFields {
  const { arn, ...before } = world.findInstance(region, required(form, 'DBInstanceIdentifier'))
  const forced = flag(form, 'ForceFailover') === true
  if (forced && !before.multiAz) {
    throw new AwsError(
      'InvalidParameterCombination',
      'ForceFailover cannot be specified since the instance is not configured for Multi-AZ.',
    )
  }
  mustBe(world.instance(arn), 'available', 'storage-full', 'incompatible-parameters')
  if (before.promoting)
    throw new AwsError('InvalidDBInstanceState', `DB Instance ${before.identifier} is being promoted.`)
  const rebooting = world.update(arn, { status: 'rebooting' })
  world.background(`reboot of ${before.identifier}`, async () => {
    await world.wait('rebootBeforeStop')
    if (forced) await failOver(world, arn)
    else await restart(world, arn, 'rebootDown')
    const { parameterGroup } = world.instance(arn)
    world.update(arn, { parameterGroup: { ...parameterGroup, status: 'in-sync' } })
    await world.wait('rebootSettles')
    world.update(arn, { status: 'available' })
  })
  return shown(rebooting)
}

export async function restart(
  world: World,
  arn: string,
  down: 'rebootDown' | 'promotionRestart',
): Promise<void> {
  await world.takeDown(arn, shutDown)
  world.journal.instance('RDS-EVENT-0004', arn)
  await world.wait(down)
  await world.bringUp(arn, ({ server }) => server.start())
  world.journal.instance('RDS-EVENT-0006', arn)
}

/** The standby of Multi-AZ has every commit: the same data comes up in the other zone. */
export async function failOver(world: World, arn: string): Promise<void> {
  const sinceMs = Date.now() - world.options.delaysMs.multiAzRecently
  const done = ({ id, arn: of, atMs }: RdsEvent) => id === 'RDS-EVENT-0049' && of === arn && atMs > sinceMs
  if (world.journal.events.some(done)) {
    world.journal.instance('RDS-EVENT-0034', arn)
    return
  }
  world.journal.instance('RDS-EVENT-0013', arn)
  await world.takeDown(arn, ({ server }) => server.kill())
  await world.wait('multiAzFailover')
  const { availabilityZone, secondaryZone } = world.instance(arn)
  world.update(arn, {
    availabilityZone: secondaryZone ?? availabilityZone,
    secondaryZone: availabilityZone,
  })
  await world.bringUp(arn, ({ server }) => server.start())
  world.journal.instance('RDS-EVENT-0006', arn)
  world.journal.instance('RDS-EVENT-0049', arn)
}

/** https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_StopInstance.html, "Limitations" */
export function stop({ world, region, form }: Request): XmlFields {
  const instance = world.findInstance(region, required(form, 'DBInstanceIdentifier'))
  const { arn, identifier } = instance
  const refuse = (why: string) => new AwsError('InvalidDBInstanceState', why)
  if (instance.source !== null) throw refuse(`Cannot stop or start a read replica: ${identifier}`)
  if (instance.replicas.length > 0)
    throw refuse(`Cannot stop an instance that has read replicas: ${identifier}`)
  if (instance.cluster !== null)
    throw new AwsError('InvalidDBClusterStateFault', `${identifier} is a member of a cluster`)
  mustBe(instance, 'available')
  const stopping = world.update(arn, { status: 'stopping' })
  world.background(`stop of ${identifier}`, async () => {
    await world.takeDown(arn, shutDown)
    world.journal.instance('RDS-EVENT-0004', arn)
    await world.wait('stop')
    const restartAtMs = Date.now() + world.options.delaysMs.automaticRestart
    world.update(arn, { status: 'stopped', automaticRestartAtMs: restartAtMs })
    world.journal.instance('RDS-EVENT-0087', arn)
    await world.wait('automaticRestart')
    if (world.instances.get(arn)?.automaticRestartAtMs === restartAtMs) startAgain(world, arn)
  })
  return shown(stopping)
}

export function start({ world, region, form }: Request): XmlFields {
  const instance = world.findInstance(region, required(form, 'DBInstanceIdentifier'))
  mustBe(instance, 'stopped')
  return shown(beginStart(world, instance.arn))
}

/** After seven days RDS starts a stopped instance by itself. */
export function startAgain(world: World, arn: string): void {
  world.journal.instance('RDS-EVENT-0154', arn)
  beginStart(world, arn)
}

function beginStart(world: World, arn: string): DbInstance {
  const starting = world.update(arn, { status: 'starting', automaticRestartAtMs: null })
  world.background(`start of ${starting.identifier}`, async () => {
    await world.wait('start')
    // It takes connections before the API calls it available.
    await world.bringUp(arn, ({ server }) => server.start())
    world.journal.instance('RDS-EVENT-0006', arn)
    await world.wait('rebootSettles')
    world.update(arn, { status: 'available' })
    world.journal.instance('RDS-EVENT-0088', arn)
  })
  return starting
}

export function modify({ world, region, form }: Request): XmlFields {
  const instance = world.findInstance(region, required(form, 'DBInstanceIdentifier'))
  const { arn, cluster } = instance
  const groups = groupIds(form)
  const days = integer(form, 'BackupRetentionPeriod')
  const multiAz = flag(form, 'MultiAZ')
  const parameterGroup = form.get('DBParameterGroupName')
  const identifier = form.get('NewDBInstanceIdentifier')?.toLowerCase()
  if (groups.length > 0 && cluster !== null) {
    const text =
      'The requested DB Instance is a member of a DB Cluster. Set security groups on the DB Cluster.'
    throw new AwsError('InvalidParameterCombination', text)
  }
  world.checkGroups(groups)
  if (days !== undefined) checkRetention(instance, days)
  mustBe(instance, 'available', 'storage-full')
  if (identifier !== undefined) checkNewName(world, instance, identifier)
  if (groups.length > 0) changeGroups(world, arn, groups)
  if (parameterGroup) changeParameterGroup(world, arn, parameterGroup)
  const now = flag(form, 'ApplyImmediately') === true
  // Between two lengths that are not 0 the change is applied at once in any case (API reference).
  if (days !== undefined && days > 0 && instance.backupRetentionDays > 0)
    world.update(arn, { backupRetentionDays: days })
  const onOff = days !== undefined && days > 0 !== instance.backupRetentionDays > 0
  const pending = {
    ...(onOff ? { backupRetentionDays: days } : {}),
    ...(multiAz !== undefined && multiAz !== instance.multiAz ? { multiAz } : {}),
    ...(identifier !== undefined && identifier !== instance.identifier ? { identifier } : {}),
  }
  if (Object.keys(pending).length > 0) {
    world.update(arn, { pending: { ...instance.pending, ...pending } })
    if (now) world.background(`modification of ${instance.identifier}`, () => applyPending(world, arn))
  }
  return shown(world.instance(arn))
}

export function checkRetention(instance: DbInstance, days: number): void {
  if (!(days >= 0 && days <= 35)) {
    throw new AwsError('InvalidParameterValue', `Invalid backup retention period: ${days}. Must be 0 to 35.`)
  }
  if (days === 0 && instance.replicas.length > 0) {
    throw new AwsError('InvalidParameterCombination', 'Backups cannot be disabled while read replicas exist.')
  }
}

function checkNewName(world: World, instance: DbInstance, identifier: string): void {
  if (!/^[a-z](?!.*--)[a-z0-9-]{0,62}(?<!-)$/.test(identifier))
    throw new AwsError(
      'InvalidParameterValue',
      `The parameter DBInstanceIdentifier is not valid: ${identifier}`,
    )
  const arn = arnOf('db', instance.region, world.options.accountId, identifier)
  if (arn !== instance.arn && world.isTaken(arn))
    throw new AwsError('DBInstanceAlreadyExists', 'DB instance already exists')
  if (instance.promoting)
    throw new AwsError('InvalidDBInstanceState', `DB Instance ${instance.identifier} is being promoted.`)
  if (instance.cluster !== null)
    throw new AwsError('NotImplemented', 'Renaming a member of a cluster is not modelled here.')
}

/** Old and new ones are listed until the change is done; then the new ones alone. The status stays `available`. */
function changeGroups(world: World, arn: string, ids: readonly string[]): void {
  const { groups, resourceId } = world.instance(arn)
  const changing = changingGroups(groups, ids)
  world.update(arn, { groups: changing })
  world.background(`security groups of ${nameOfArn(arn)}`, async () => {
    await world.wait('securityGroups')
    const instance = world.byResourceId(resourceId)
    // A later call took the place of this one.
    if (instance?.groups !== changing) return
    world.update(instance.arn, { groups: activeGroups(ids) })
    await world.refreshRoutes()
    await world.feedReplicas(instance.arn)
  })
}

export function changingGroups(
  before: readonly GroupMembership[],
  ids: readonly string[],
): readonly GroupMembership[] {
  const inForce = before.filter(({ status }) => status !== 'adding')
  const kept: GroupMembership[] = inForce.map(({ id }) => ({
    id,
    status: ids.includes(id) ? 'active' : 'removing',
  }))
  const added = ids.filter((id) => !inForce.some((group) => group.id === id))
  return [...kept, ...added.map((id): GroupMembership => ({ id, status: 'adding' }))]
}

/** Its static parameters wait for a reboot, also with ApplyImmediately (API reference). */
function changeParameterGroup(world: World, arn: string, name: string): void {
  const { resourceId } = world.update(arn, { parameterGroup: { name, status: 'applying' } })
  world.background(`parameter group of ${nameOfArn(arn)}`, async () => {
    await world.wait('modify')
    const instance = world.byResourceId(resourceId)
    if (instance) world.update(instance.arn, { parameterGroup: { name, status: 'pending-reboot' } })
  })
}

async function applyPending(world: World, arn: string): Promise<void> {
  const { pending, multiAz, backupRetentionDays } = world.instance(arn)
  const onlyRenames = Object.keys(pending).every((name) => name === 'identifier')
  if (!onlyRenames) {
    world.update(arn, { status: 'modifying' })
    await world.wait('modify')
  }
  if (pending.backupRetentionDays !== undefined) {
    world.update(arn, { backupRetentionDays: pending.backupRetentionDays })
    if (backupRetentionDays === 0) await firstBackup(world, arn)
  }
  if (pending.multiAz !== undefined && pending.multiAz !== multiAz) {
    world.update(arn, { status: 'modifying' })
    if (pending.multiAz) await world.wait('convertToMultiAz')
    world.update(arn, { multiAz: pending.multiAz })
    world.journal.instance(pending.multiAz ? 'RDS-EVENT-0025' : 'RDS-EVENT-0029', arn)
  }
  const renamed = pending.identifier === undefined ? arn : await rename(world, arn, pending.identifier)
  world.update(renamed, { status: 'available', pending: {} })
}

/**
 * The name of the endpoint moves with the identifier, and the instance is restarted: also one whose server is dead, which
 * lives again after it. The resource id stays.
 */
async function rename(world: World, arn: string, identifier: string): Promise<string> {
  world.update(arn, { status: 'renaming' })
  await world.wait('rename')
  const renamed = await world.rename(arn, identifier)
  world.update(renamed, { status: 'rebooting', pending: {} })
  await restart(world, renamed, 'rebootDown')
  return renamed
}

export async function firstBackup(world: World, arn: string): Promise<void> {
  world.update(arn, { status: 'backing-up' })
  world.journal.instance('RDS-EVENT-0001', arn)
  await world.wait('firstBackup')
  world.journal.instance('RDS-EVENT-0002', arn)
}
