/**
 * Aurora Global: clusters in several Regions, of which one writes. Secondaries stream asynchronously: what they had
 * not received when they are promoted with data loss allowed is lost.
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AwsError } from '../front.ts'
import { furthest, isAlive, leadTo, promoteMember, rebuild, writerOf } from './aurora.ts'
import { type DbCluster, type FailoverState, type GlobalCluster, nameOfArn, regionOfArn } from './model.ts'
import { globalXml } from './render.ts'
import { flag, paged, type Request, required } from './request.ts'
import { isStreaming } from './servers.ts'
import { shutDown, type World } from './world.ts'
import { list, type XmlFields } from './xml.ts'

/** Seen from every Region that has a member. */
function visible(world: World, region: string, asOfMs: number): GlobalCluster[] {
  return world.globals
    .all(asOfMs)
    .filter(({ members }) => members.some(({ clusterArn }) => regionOfArn(clusterArn) === region))
}

export function describeGlobals({ world, region, form, asOfMs }: Request): XmlFields {
  const name = form.get('GlobalClusterIdentifier')
  const all = visible(world, region, asOfMs)
  const found = name === null ? all : all.filter(({ identifier }) => identifier === name.toLowerCase())
  if (name !== null && found.length === 0) throw notFound(name)
  const page = paged(found, ({ identifier }) => identifier, form)
  return { Marker: page.marker, GlobalClusters: list('GlobalClusterMember', page.items.map(globalXml)) }
}

/** Without AllowDataLoss the same call is a switchover (API reference). */
export async function failoverGlobal(request: Request): Promise<XmlFields> {
  const allowed = flag(request.form, 'AllowDataLoss')
  if (allowed !== undefined && flag(request.form, 'Switchover') !== undefined) {
    const text = 'AllowDataLoss and Switchover cannot be specified together.'
    throw new AwsError('InvalidParameterCombination', text)
  }
  return await begin(request, allowed === true)
}

export async function switchoverGlobal(request: Request): Promise<XmlFields> {
  return await begin(request, false)
}

async function begin({ world, region, form }: Request, isDataLossAllowed: boolean): Promise<XmlFields> {
  const name = required(form, 'GlobalClusterIdentifier')
  const global = visible(world, region, Number.POSITIVE_INFINITY).find(
    ({ identifier }) => identifier === name.toLowerCase(),
  )
  if (!global) throw notFound(name)
  const to = required(form, 'TargetDbClusterIdentifier')
  const from = global.members.find(({ isWriter }) => isWriter)?.clusterArn ?? ''
  // A name alone does not say in which Region.
  if (!global.members.some(({ clusterArn, isWriter }) => clusterArn === to && !isWriter))
    throw new AwsError(
      'DBClusterNotFoundFault',
      `${to} is not the ARN of a secondary cluster of ${name}.`,
      404,
    )
  refuseIf(global.failover !== null, name, 'another switchover or failover is in progress')
  const state: FailoverState = { status: 'pending', from, to, isDataLossAllowed }
  // Claimed before anything is awaited: of two calls at once one is refused.
  const pending = world.updateGlobal(global.arn, { failover: state })
  try {
    await checkHealth(world, pending, state)
  } catch (error) {
    world.updateGlobal(global.arn, { failover: null })
    throw error
  }
  const work = isDataLossAllowed ? failOver : switchOver
  world.background(`global failover to ${nameOfArn(to)}`, () => work(world, global.arn, state))
  return { GlobalCluster: globalXml(pending) }
}

function notFound(name: string): AwsError {
  return new AwsError('GlobalClusterNotFoundFault', `Global cluster ${name} not found`, 404)
}

function refuseIf(bad: boolean, name: string, why: string): void {
  if (bad) throw new AwsError('InvalidGlobalClusterStateFault', `Global cluster ${name}: ${why}.`)
}

/** A switchover needs all members in good health; a failover needs the target alone. */
async function checkHealth(world: World, global: GlobalCluster, state: FailoverState): Promise<void> {
  const { identifier, members } = global
  const target = world.cluster(state.to)
  refuseIf((await furthest(world, state.to, null)) === null, identifier, 'the target has no healthy instance')
  refuseIf(target.status !== 'available', identifier, `the target is ${target.status}`)
  if (state.isDataLossAllowed) return
  for (const { clusterArn, synchronization } of members) {
    refuseIf(synchronization !== 'connected', identifier, `${clusterArn} is ${synchronization}`)
    refuseIf(world.cluster(clusterArn).status !== 'available', identifier, `${clusterArn} is not available`)
  }
  const writer = writerOf(world.cluster(state.from))
  refuseIf(!writer || !(await isAlive(world, writer.arn)), identifier, 'the primary cluster is not healthy')
  refuseIf(!(await streams(world, target)), identifier, 'the target is not synchronised')
}

async function streams(world: World, cluster: DbCluster): Promise<boolean> {
  for (const { arn } of cluster.members) {
    const server = world.server(arn)
    if (server && (await isStreaming(server)) === true) return true
  }
  return false
}

const wordsOf = (arn: string) => ({ cluster: nameOfArn(arn), region: regionOfArn(arn) })

async function switchOver(world: World, arn: string, state: FailoverState): Promise<void> {
  const { from, to } = state
  await world.wait('globalPending')
  world.updateGlobal(arn, { status: 'switching-over', failover: { ...state, status: 'switching-over' } })
  for (const cluster of [from, to]) world.updateCluster(cluster, { status: 'switching-over' })
  world.journal.cluster('RDS-EVENT-0181', to, wordsOf(to))
  const old = writerOf(world.cluster(from))
  // An orderly end: it has sent everything when it is down.
  if (old) {
    await world.takeDown(old.arn, shutDown)
    world.journal.instance('RDS-EVENT-0390', old.arn, wordsOf(from))
  }
  world.journal.cluster('RDS-EVENT-0182', from, wordsOf(from))
  await world.wait('globalSwitchover')
  await exchange(world, arn, state)
  // The other members of the old primary follow already.
  const next = writerOf(world.cluster(to))
  if (old && next) await rebuild(world, old.arn, next.arn)
  for (const cluster of [from, to]) world.updateCluster(cluster, { status: 'available' })
  world.updateGlobal(arn, { status: 'available', failover: null })
  world.journal.cluster('RDS-EVENT-0184', to, wordsOf(to))
  world.journal.cluster('RDS-EVENT-0185', to, wordsOf(to))
  await moveEndpoint(world, arn, state)
}

async function failOver(world: World, arn: string, state: FailoverState): Promise<void> {
  const { from, to } = state
  await world.wait('globalPending')
  world.updateGlobal(arn, { status: 'failing-over', failover: { ...state, status: 'failing-over' } })
  for (const cluster of [from, to]) world.updateCluster(cluster, { status: 'failing-over' })
  await fence(world, from, to)
  await world.wait('globalFailover')
  setSynchronization(world, arn, from, 'pending-resync')
  await exchange(world, arn, state)
  world.updateCluster(to, { status: 'available' })
  world.updateGlobal(arn, { status: 'available', failover: null })
  world.journal.cluster('RDS-EVENT-0238', to, wordsOf(to))
  await moveEndpoint(world, arn, state)
  await resynchronise(world, arn, state)
}

/**
 * Best effort: an old primary that can not be reached goes on to accept writes. The event tells, on the old primary's
 * instance if it can be reached, else on the new one's.
 */
async function fence(world: World, from: string, to: string): Promise<void> {
  const old = writerOf(world.cluster(from))
  if (!world.isRegionDown(from) && !world.unfenceable.has(from)) {
    if (old) {
      await world.takeDown(old.arn, ({ server }) => server.kill())
      world.journal.instance('RDS-EVENT-0390', old.arn, wordsOf(from))
    }
    return
  }
  await world.wait('globalFenceTimeout')
  const on = world.isRegionDown(from) ? world.cluster(to).members[0]?.arn : old?.arn
  if (on) world.journal.instance('RDS-EVENT-0391', on, wordsOf(from))
}

/** The target writes; the old primary is a secondary by name, whatever its servers do. */
async function exchange(world: World, arn: string, { from, to }: FailoverState): Promise<void> {
  const next = await furthest(world, to, null)
  if (next === null) {
    world.journal.cluster('RDS-EVENT-0239', to, wordsOf(to))
    for (const cluster of [from, to]) world.updateCluster(cluster, { status: 'available' })
    world.updateGlobal(arn, { status: 'available', failover: null })
    throw new Error(`no instance of ${to} answers`)
  }
  const demoted = world.cluster(from).members.map((member) => ({ ...member, isWriter: false }))
  world.updateCluster(from, { members: demoted })
  const members = world
    .global(arn)
    .members.map((member) => ({ ...member, isWriter: member.clusterArn === to }))
  world.updateGlobal(arn, { members })
  await promoteMember(world, to, next)
  await leadTo(world, to, next)
}

function setSynchronization(
  world: World,
  arn: string,
  clusterArn: string,
  synchronization: 'connected' | 'pending-resync',
): void {
  const members = world
    .global(arn)
    .members.map((member) => (member.clusterArn === clusterArn ? { ...member, synchronization } : member))
  world.updateGlobal(arn, { members })
}

/** The cluster gets a new volume, or will when its Region is back. */
export function isResynchronised(world: World, clusterArn: string): boolean {
  return world.globals
    .all()
    .some(({ members }) =>
      members.some((each) => each.clusterArn === clusterArn && each.synchronization === 'pending-resync'),
    )
}

/** Until now the global writer endpoint led to the old primary. */
async function moveEndpoint(world: World, arn: string, { from, to }: FailoverState): Promise<void> {
  await world.wait('globalEndpoint')
  const host = world.globalHosts.get(arn)
  if (host) host.leadsTo = to
  await leadTo(world, from, null)
  for (const listener of world.endpointListeners)
    listener(world.global(arn).identifier, world.cluster(to).endpoint.address)
  world.journal.cluster('RDS-EVENT-0397', to)
}

/** When its Region is back, Aurora gives the old primary a new volume: what only it had is gone. */
async function resynchronise(world: World, arn: string, { from, to }: FailoverState): Promise<void> {
  const pollMs = Math.max(20, world.options.delaysMs.healthCheck)
  while (world.isRegionDown(from)) await sleep(pollMs, undefined, { signal: world.signal })
  world.journal.cluster('RDS-EVENT-0240', from, wordsOf(from))
  await world.wait('globalResync')
  const writer = writerOf(world.cluster(to))
  if (!writer) throw new Error(`${to} has no writer`)
  for (const { arn: member } of world.cluster(from).members) await rebuild(world, member, writer.arn)
  setSynchronization(world, arn, from, 'connected')
  world.updateCluster(from, { status: 'available' })
  world.journal.cluster('RDS-EVENT-0241', from, wordsOf(from))
}
