/**
 * Aurora clusters: a writer and readers. A real one has one storage volume under all of them; here the readers are
 * streaming standbys and commits wait for one of them, so that a failover inside the cluster loses nothing.
 */
import { AwsError } from '../front.ts'
import { changingGroups, isNamed } from './instances.ts'
import {
  activeGroups,
  type DbCluster,
  type DbClusterMember,
  type GroupMembership,
  nameOfArn,
} from './model.ts'
import { clusterXml } from './render.ts'
import { filtered, groupIds, paged, type Request, required } from './request.ts'
import { answers, follow, listSynchronous, promoteServer, receivedPosition } from './servers.ts'
import { shutDown, type World } from './world.ts'
import { list, type XmlFields } from './xml.ts'

export function describeClusters({ world, region, form, asOfMs }: Request): XmlFields {
  const all = world.clusters.all(asOfMs).filter((cluster) => cluster.region === region)
  const name = form.get('DBClusterIdentifier')
  const named = name === null ? all : all.filter(({ identifier, arn }) => isNamed(name, identifier, arn))
  if (name !== null && named.length === 0)
    throw new AwsError('DBClusterNotFoundFault', `DBCluster ${name} not found.`, 404)
  const found = filtered(named, form, {
    'db-cluster-id': ({ identifier, arn }) => [identifier, arn],
    'db-cluster-resource-id': ({ resourceId }) => [resourceId],
    engine: () => ['aurora-postgresql'],
  })
  const page = paged(found, ({ identifier }) => identifier, form)
  return { Marker: page.marker, DBClusters: list('DBCluster', page.items.map(clusterXml)) }
}

export function modifyCluster({ world, region, form }: Request): XmlFields {
  const cluster = world.findCluster(region, required(form, 'DBClusterIdentifier'))
  const ids = groupIds(form)
  world.checkGroups(ids)
  mustBeAvailable(cluster)
  if (ids.length > 0) {
    const { arn } = cluster
    const changing = changingGroups(cluster.groups, ids)
    setGroups(world, arn, changing)
    world.background(`security groups of ${cluster.identifier}`, async () => {
      await world.wait('securityGroups')
      if (world.cluster(arn).groups !== changing) return
      setGroups(world, arn, activeGroups(ids))
      await world.refreshRoutes()
    })
  }
  return { DBCluster: clusterXml(world.cluster(cluster.arn)) }
}

/** Members have what their cluster has. */
function setGroups(world: World, arn: string, groups: readonly GroupMembership[]): void {
  const { members } = world.updateCluster(arn, { groups })
  for (const member of members) world.update(member.arn, { groups })
}

export function failoverCluster({ world, region, form }: Request): XmlFields {
  const cluster = world.findCluster(region, required(form, 'DBClusterIdentifier'))
  const { arn, members, identifier } = cluster
  const target = form.get('TargetDBInstanceIdentifier')
  mustBeAvailable(cluster)
  const readers = members.filter(({ isWriter }) => !isWriter)
  if (readers.length === 0 || readers.length === members.length)
    throw new AwsError(
      'InvalidDBClusterStateFault',
      `Cluster ${identifier} has no writer, or no other instance.`,
    )
  const chosen = readers.find((member) => target && isNamed(target, member.identifier, member.arn))
  if (target !== null && !chosen)
    throw new AwsError('InvalidDBInstanceState', `${target} is not a reader of cluster ${identifier}.`)
  const failing = world.updateCluster(arn, { status: 'failing-over' })
  world.background(`failover of ${identifier}`, () => failOverInside(world, arn, chosen?.arn ?? null))
  return { DBCluster: clusterXml(failing) }
}

export function mustBeAvailable({ identifier, status }: DbCluster): void {
  if (status === 'available') return
  const text = `Cluster ${identifier} is not in available state. Current state: ${status}.`
  throw new AwsError('InvalidDBClusterStateFault', text)
}

export function writerOf(cluster: DbCluster): DbClusterMember | undefined {
  return cluster.members.find(({ isWriter }) => isWriter)
}

/** To the target, or to the reader that has most. Without one the writer comes back where it is. */
export async function failOverInside(world: World, arn: string, target: string | null): Promise<void> {
  world.updateCluster(arn, { status: 'failing-over' })
  const old = writerOf(world.cluster(arn))?.arn ?? null
  const alive = old !== null && (await isAlive(world, old))
  const next = target !== null && alive ? target : await furthest(world, arn, old)
  if (next === null) {
    world.journal.cluster('RDS-EVENT-0069', arn)
    if (old) await comeBack(world, old)
    world.updateCluster(arn, { status: 'available' })
    return
  }
  announce(world, arn, old, next)
  // An orderly end sends everything to the readers; one that does not answer is cut off from its storage.
  if (old) await world.takeDown(old, alive ? shutDown : ({ server }) => server.kill())
  await world.wait('auroraFailover')
  await promoteMember(world, arn, next)
  world.journal.cluster('RDS-EVENT-0071', arn, { instance: nameOfArn(next) })
  world.updateCluster(arn, { status: 'available' })
  // Reachable under the old name until here: `available` comes before the name has moved.
  await world.wait('auroraEndpoint')
  await leadTo(world, arn, next)
  await world.wait('auroraRejoin')
  if (old && writerOf(world.cluster(arn))?.arn === next) {
    await rebuild(world, old, next)
    await synchronise(world, arn)
  }
}

function announce(world: World, arn: string, old: string | null, next: string): void {
  const zone = (instance: string | null) => (instance ? world.instance(instance).availabilityZone : '')
  const id = zone(old) === zone(next) ? 'RDS-EVENT-0072' : 'RDS-EVENT-0073'
  world.journal.cluster(id, arn, { instance: nameOfArn(next) })
}

async function comeBack(world: World, arn: string): Promise<void> {
  await world.takeDown(arn, ({ server }) => server.kill())
  await world.wait('auroraFailover')
  await world.bringUp(arn, ({ server }) => server.start())
  world.journal.instance('RDS-EVENT-0006', arn)
}

/** Makes a member of this cluster the writer, and everything that lives behind it follows. */
export async function promoteMember(world: World, arn: string, next: string): Promise<void> {
  const server = world.server(next)
  if (server) await promoteServer(server, world.signal)
  const members = world.cluster(arn).members.map((member) => ({ ...member, isWriter: member.arn === next }))
  world.updateCluster(arn, { members })
  await Promise.all(followersOf(world, arn, next).map((follower) => followOrRebuild(world, follower, next)))
  await synchronise(world, arn)
}

/** All other members that are up: of the cluster, and of what is secondary to it in a global database. */
function followersOf(world: World, arn: string, writer: string): string[] {
  const { global } = world.cluster(arn)
  const of = world.globals.all().find(({ identifier }) => identifier === global)
  const clusters =
    of?.members
      .filter(({ synchronization }) => synchronization === 'connected')
      .map(({ clusterArn }) => clusterArn) ?? []
  const arns = new Set(
    [arn, ...clusters].flatMap((cluster) => world.cluster(cluster).members.map((m) => m.arn)),
  )
  arns.delete(writer)
  return [...arns].filter((member) => {
    const host = world.hosts.get(member)
    return host?.up === true && !host.frozen && !world.isRegionDown(member)
  })
}

async function followOrRebuild(world: World, arn: string, writer: string): Promise<void> {
  const [server, upstream] = [world.server(arn), world.server(writer)]
  if (!server || !upstream) return
  if (!(await follow(server, upstream))) await rebuild(world, arn, writer)
}

export async function rebuild(world: World, arn: string, writer: string): Promise<void> {
  const upstream = world.server(writer)
  if (!upstream) return
  world.update(arn, { status: 'rebooting' })
  await world.takeDown(arn, ({ server }) => server.kill())
  await world.persist(`copy for ${nameOfArn(arn)}`, () =>
    world.bringUp(arn, ({ server }) => world.workshop.buildStandby(upstream, server)),
  )
  world.update(arn, { status: 'available' })
}

export async function synchronise(world: World, arn: string): Promise<void> {
  const cluster = world.cluster(arn)
  const writer = writerOf(cluster)
  const server = writer && world.server(writer.arn)
  if (!server) return
  const readers = cluster.members
    .filter(({ isWriter }) => !isWriter)
    .map((member) => world.hosts.get(member.arn))
  const up = readers.flatMap((host) => (host?.up && !host.frozen ? [host.server.id] : []))
  await listSynchronous(server, up).catch((error: Error) =>
    world.options.log(`rds: readers of ${cluster.identifier}: ${error.message}`),
  )
}

export async function leadTo(world: World, arn: string, instance: string | null): Promise<void> {
  const host = world.clusterHosts.get(arn)
  if (host) host.leadsTo = instance
  await world.refreshRoutes()
}

export async function isAlive(world: World, arn: string): Promise<boolean> {
  const host = world.hosts.get(arn)
  return host !== undefined && !host.frozen && !world.isRegionDown(arn) && (await answers(host.server))
}

export async function furthest(world: World, arn: string, except: string | null): Promise<string | null> {
  return (await furthestOf(world, arn, except))?.arn ?? null
}

/** The member that received most, of those that answer, and what it has. */
export async function furthestOf(
  world: World,
  arn: string,
  except: string | null,
): Promise<{ readonly arn: string; readonly at: bigint } | null> {
  let best: { arn: string; at: bigint } | null = null
  for (const member of world.cluster(arn).members) {
    const host =
      member.arn === except || world.isRegionDown(member.arn) ? undefined : world.hosts.get(member.arn)
    const at = host && !host.frozen ? await receivedPosition(host.server) : null
    if (at !== null && (best === null || at > best.at)) best = { arn: member.arn, at }
  }
  return best
}
