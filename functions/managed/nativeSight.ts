/** What the provider says of an engine that elects by itself, in the words of the core. Never throws: no answer is one. */
import { nodeOfGlobal, startedFailover } from '../core/nativeEvents.ts'
import type { LagSample, NativeNode, NativeSight } from '../core/nativeFacts.ts'
import type { ClusterConfig, NodeId } from '../core/types.ts'
import type { Clock, DbClusterView, DbEvent, GlobalClusterView, Rds } from '../ports.ts'

type World = { readonly rds: Rds; readonly clock: Clock }

/**
 * How long one of several Regions may take to answer: that of one request. A Region that is lost answers nothing, and the
 * others must be heard more than once within the time of a step.
 */
const regionMs = 3_000

/** Rejects when a Region takes too long; the handler's end ends the request. */
async function within<T>({ clock }: World, region: string, work: Promise<T>): Promise<T> {
  const over = new AbortController()
  const late = clock.sleep(regionMs, over.signal).then(() => {
    throw new Error(`${region} did not answer within ${regionMs} ms`)
  })
  // What loses the race is never unhandled.
  late.catch(() => undefined)
  work.catch(() => undefined)
  try {
    return await Promise.race([work, late])
  } finally {
    over.abort()
  }
}

export async function readSight(world: World, cluster: ClusterConfig): Promise<NativeSight> {
  try {
    return cluster.engine === 'aurora'
      ? await auroraSight(world.rds, cluster)
      : await globalSight(world, cluster)
  } catch (error) {
    return { ...nothing, problem: messageOf(error) }
  }
}

const nothing = { writer: null, stranger: null, underWay: null, announced: null, nodes: {} } as const
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

async function auroraSight(rds: Rds, cluster: ClusterConfig): Promise<NativeSight> {
  const region = cluster.nodes[0]?.region ?? ''
  const [clusters, instances] = await Promise.all([rds.clusters(region), rds.instances(region)])
  const own = auroraCluster(cluster, clusters)
  if (own === undefined) return { ...nothing, problem: `no cluster in ${region} has these members` }
  const nodes: Record<NodeId, NativeNode> = {}
  for (const { id, instanceId } of cluster.nodes) {
    const instance = instances.find((each) => each.identifier === instanceId)
    if (instance === undefined || !own.members.some((each) => each.identifier === instanceId)) continue
    const available = instance.status === 'available'
    nodes[id] = { available, connected: true, resourceId: instance.resourceId }
  }
  const writer = own.members.find((member) => member.isWriter)?.identifier ?? null
  const node = cluster.nodes.find((each) => each.instanceId === writer)?.id ?? null
  const events = await eventsOf(rds, region, { type: 'db-cluster', identifier: own.identifier })
  return {
    problem: null,
    writer: node,
    stranger: node === null ? writer : null,
    underWay: own.status === 'available' ? null : `cluster ${own.identifier} is ${own.status}`,
    announced: startedFailover(events),
    nodes,
  }
}

export function auroraCluster(
  cluster: ClusterConfig,
  clusters: readonly DbClusterView[],
): DbClusterView | undefined {
  const ours = new Set(cluster.nodes.map((node) => node.instanceId))
  return clusters.find(({ members }) => members.some((member) => ours.has(member.identifier)))
}

/** A Region whose API is away says nothing of its own cluster; of the global one any other Region tells. */
async function globalSight(world: World, cluster: ClusterConfig): Promise<NativeSight> {
  const [view, clusters] = await Promise.all([readGlobal(world, cluster), clustersOf(world, cluster)])
  const nodes: Record<NodeId, NativeNode> = {}
  for (const node of cluster.nodes) {
    const member = view.members.find((each) => nodeOfGlobal([node], each) !== null)
    if (member === undefined) continue
    const own = clusters.get(node.id)
    nodes[node.id] = {
      available: own?.status === 'available',
      connected: member.synchronizationStatus === 'connected',
      resourceId: own?.resourceId ?? null,
    }
  }
  const writer = view.members.find((member) => member.isWriter)
  const node = writer ? nodeOfGlobal(cluster.nodes, writer) : null
  const own = node === null ? undefined : clusters.get(node)
  return {
    problem: null,
    writer: node,
    stranger: node === null ? (writer?.clusterArn ?? null) : null,
    underWay: globalUnderWay(view, own),
    announced: null,
    nodes,
  }
}

function globalUnderWay(view: GlobalClusterView, own: DbClusterView | undefined): string | null {
  const { failover } = view
  if (failover !== null)
    return `global cluster ${view.identifier} is ${failover.status} to ${failover.to ?? 'somewhere'}`
  if (view.status !== 'available') return `global cluster ${view.identifier} is ${view.status}`
  return own === undefined || own.status === 'available' ? null : `cluster ${own.identifier} is ${own.status}`
}

/**
 * Throws when no Region answers, and when those that do name different writers: one that comes back may say for a while
 * what was true when it was lost.
 */
export async function readGlobal(world: World, cluster: ClusterConfig): Promise<GlobalClusterView> {
  const id = cluster.managed?.globalClusterId ?? ''
  const views: GlobalClusterView[] = []
  const problems: string[] = []
  const regions = new Set(cluster.nodes.map((node) => node.region))
  await Promise.all(
    [...regions].map(async (region) => {
      try {
        const view = await within(world, region, world.rds.global(region, id))
        if (view === null) problems.push(`${region} does not know global cluster ${id}`)
        else views.push(view)
      } catch (error) {
        problems.push(`${region}: ${messageOf(error)}`)
      }
    }),
  )
  const [first] = views
  if (first === undefined) throw new Error(problems.join('; '))
  const writers = new Set(views.map(writerArn))
  if (writers.size > 1)
    throw new Error(
      `the Regions name different writers: ${[...writers].map((arn) => arn ?? 'nobody').join(', ')}`,
    )
  return first
}

const writerArn = ({ members }: GlobalClusterView) => members.find(({ isWriter }) => isWriter)?.clusterArn

async function clustersOf(world: World, cluster: ClusterConfig): Promise<ReadonlyMap<NodeId, DbClusterView>> {
  const found = new Map<NodeId, DbClusterView>()
  await Promise.all(
    cluster.nodes.map(async ({ id, region, instanceId }) => {
      const clusters = await within(world, region, world.rds.clusters(region)).catch(() => [])
      const own = clusters.find((each) => each.identifier === instanceId)
      if (own) found.set(id, own)
    }),
  )
  return found
}

/** Best effort: no events say nothing. */
async function eventsOf(
  rds: Rds,
  region: string,
  source: Parameters<Rds['events']>[1],
): Promise<readonly DbEvent[]> {
  return rds.events(region, source).catch(() => [])
}

/**
 * What the storage of Aurora told of blocking writes in the old primary cluster: on one of its instances, or, when they
 * can not be reached, on one of the new primary's.
 */
export async function fenceEvents(
  world: World,
  cluster: ClusterConfig,
  from: NodeId,
): Promise<readonly DbEvent[]> {
  const old = cluster.nodes.find((node) => node.id === from)
  if (cluster.engine !== 'aurora-global' || old === undefined) return []
  const all = await Promise.all(
    cluster.nodes.map(async ({ region, instanceId }) =>
      within(world, region, memberEvents(world.rds, region, instanceId)).catch(() => []),
    ),
  )
  const mark = `DB cluster ${old.instanceId} in Region ${old.region}`
  return all
    .flat()
    .filter(({ message }) => /attempt to block writes/i.test(message) && message.includes(mark))
    .toSorted((a, b) => (a.atText < b.atText ? 1 : -1))
}

async function memberEvents(rds: Rds, region: string, identifier: string): Promise<readonly DbEvent[]> {
  const own = (await rds.clusters(region)).find((each) => each.identifier === identifier)
  const of = (own?.members ?? []).map((member) =>
    eventsOf(rds, region, { type: 'db-instance', identifier: member.identifier }),
  )
  return (await Promise.all(of)).flat()
}

/** RDS-EVENT-0397: the global writer endpoint leads to this node. Its absence says nothing. */
export async function endpointEvents(
  world: World,
  cluster: ClusterConfig,
  target: NodeId,
): Promise<readonly DbEvent[]> {
  const node = cluster.nodes.find((each) => each.id === target)
  if (cluster.engine !== 'aurora-global' || node === undefined) return []
  const of = eventsOf(world.rds, node.region, { type: 'db-cluster', identifier: node.instanceId })
  const events = await within(world, node.region, of).catch(() => [])
  return events.filter(({ message }) => /changing the DNS name that the global writer/i.test(message))
}

/** How far each secondary is behind the cluster of the Region that `from` is in, which itself is not asked. */
export async function readLags(
  { rds }: Pick<World, 'rds'>,
  cluster: ClusterConfig,
  from: NodeId,
): Promise<Record<NodeId, LagSample>> {
  const fromRegion = cluster.nodes.find(({ id }) => id === from)?.region
  const samples = await Promise.all(
    cluster.nodes
      .filter(({ id }) => id !== from)
      .map(
        async ({ id, region, instanceId }) =>
          [id, await rds.lag(region, instanceId, fromRegion).catch(() => null)] as const,
      ),
  )
  return Object.fromEntries(samples)
}
