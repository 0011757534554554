/** What the provider says of an engine that elects by itself, in the words of the core. Never throws: no answer is one. */
import { nodeOfGlobal, startedFailover } from '../core/nativeEvents.ts'
import type { LagSample, NativeNode, NativeSight } from '../core/nativeFacts.ts'
import type { ClusterConfig, NodeId } from '../core/types.ts'
import type { DbClusterView, DbEvent, GlobalClusterView, Rds } from '../ports.ts'

type World = { readonly rds: Rds }

export async function readSight({ rds }: World, cluster: ClusterConfig): Promise<NativeSight> {
  try {
    return cluster.engine === 'aurora' ? await auroraSight(rds, cluster) : await globalSight(rds, cluster)
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
async function globalSight(rds: Rds, cluster: ClusterConfig): Promise<NativeSight> {
  const [view, clusters] = await Promise.all([readGlobal(rds, cluster), clustersOf(rds, cluster)])
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

export async function readGlobal(rds: Rds, cluster: ClusterConfig): Promise<GlobalClusterView> {
  const id = cluster.managed?.globalClusterId ?? ''
  const problems: string[] = []
  for (const region of new Set(cluster.nodes.map((node) => node.region))) {
    try {
      const view = await rds.global(region, id)
      if (view !== null) return view
      problems.push(`${region} does not know global cluster ${id}`)
    } catch (error) {
      problems.push(`${region}: ${messageOf(error)}`)
    }
  }
  throw new Error(problems.join('; '))
}

async function clustersOf(rds: Rds, cluster: ClusterConfig): Promise<ReadonlyMap<NodeId, DbClusterView>> {
  const found = new Map<NodeId, DbClusterView>()
  await Promise.all(
    cluster.nodes.map(async ({ id, region, instanceId }) => {
      const clusters = await rds.clusters(region).catch(() => [])
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
  { rds }: World,
  cluster: ClusterConfig,
  from: NodeId,
): Promise<readonly DbEvent[]> {
  const old = cluster.nodes.find((node) => node.id === from)
  if (cluster.engine !== 'aurora-global' || old === undefined) return []
  const all = await Promise.all(
    cluster.nodes.map(async ({ region, instanceId }) => {
      const clusters = await rds.clusters(region).catch(() => [])
      const members = clusters.find((each) => each.identifier === instanceId)?.members ?? []
      const of = members.map(({ identifier }) => eventsOf(rds, region, { type: 'db-instance', identifier }))
      return (await Promise.all(of)).flat()
    }),
  )
  const mark = `DB cluster ${old.instanceId} in Region ${old.region}`
  return all
    .flat()
    .filter(({ message }) => /attempt to block writes/i.test(message) && message.includes(mark))
    .toSorted((a, b) => (a.atText < b.atText ? 1 : -1))
}

/** RDS-EVENT-0397: the global writer endpoint leads to this node. Its absence says nothing. */
export async function endpointEvents(
  { rds }: World,
  cluster: ClusterConfig,
  target: NodeId,
): Promise<readonly DbEvent[]> {
  const node = cluster.nodes.find((each) => each.id === target)
  if (cluster.engine !== 'aurora-global' || node === undefined) return []
  const events = await eventsOf(rds, node.region, { type: 'db-cluster', identifier: node.instanceId })
  return events.filter(({ message }) => /changing the DNS name that the global writer/i.test(message))
}

/** How far each secondary is behind the cluster of the Region that `from` is in. */
export async function readLags(
  { rds }: World,
  cluster: ClusterConfig,
  from: NodeId,
): Promise<Record<NodeId, LagSample>> {
  const fromRegion = cluster.nodes.find(({ id }) => id === from)?.region
  const samples = await Promise.all(
    cluster.nodes.map(
      async ({ id, region, instanceId }) =>
        [id, await rds.lag(region, instanceId, fromRegion).catch(() => null)] as const,
    ),
  )
  return Object.fromEntries(samples)
}
