/**
 * adopt, managed engines: which instance each node is, by its resource id, and which nodes follow the primary. A resource
 * id is recorded only while the node answers at the address that the provider names for it (S2, H02).
 */
import { electsNatively } from '../core/engine.ts'
import { agreement } from '../core/looks.ts'
import { isAtAddress, isIdentified } from '../core/managedSettle.ts'
import { byIdentifier, byResource, isClosed, type Provider, replicatesFrom } from '../core/managedView.ts'
import type { ClusterConfig, ClusterState, Look, NodeConfig, NodeId, ObserverId } from '../core/types.ts'
import type { Ports } from '../ports.ts'
import { readProvider } from './provider.ts'

export interface Identified {
  readonly ids: Readonly<Record<NodeId, string | null>>
  /** Seen to follow the primary on its timeline: harmless, whatever was recorded. */
  readonly streaming: readonly NodeId[]
}

/** Nodes that admit no client, by RDS: an old primary that runs behind its fence is no second writer. */
export async function closedNodes(world: {
  readonly ports: Ports
  readonly cluster: ClusterConfig
}): Promise<NodeId[]> {
  const provider = await readProvider(world)
  return world.cluster.nodes.flatMap((node) => {
    const held = byIdentifier(provider.get(node.region), node.instanceId)
    return held !== null && node.closedGroupId !== null && isClosed(held, node.closedGroupId) ? [node.id] : []
  })
}

interface Asked {
  readonly ports: Ports
  readonly cluster: ClusterConfig
  readonly observers: readonly ObserverId[]
  readonly previous: ClusterState | null
  readonly looks: readonly Look[]
  readonly primary: NodeId
  readonly timeline: number
}

export async function identifyManaged(asked: Asked): Promise<Identified> {
  if (asked.cluster.engine === 'aurora-global') return identifyClusters(asked)
  const { cluster } = asked
  const provider = await readProvider(asked)
  const ids: Record<NodeId, string | null> = {}
  for (const node of cluster.nodes) ids[node.id] = identity(asked, provider, node)
  const streaming = cluster.nodes
    .filter((node) => follows(asked, provider, { node, ids }))
    .map(({ id }) => id)
  return { ids, streaming }
}

/**
 * One that was recorded before is kept for a node that is down, while its instance still has the node's name: otherwise a
 * writer that is fenced could never be shown to be. Another instance under the name voids it.
 */
function identity(
  { observers, previous, looks }: Asked,
  provider: Provider,
  node: NodeConfig,
): string | null {
  const known = previous?.nodes[node.id]?.instanceId ?? null
  const instances = provider.get(node.region)
  // Without an answer nothing speaks against what was recorded.
  if (!instances) return known
  const held = byIdentifier(instances, node.instanceId)
  const isHeld = isIdentified(node, agreement(looks, observers, node.id), held)
  if (held !== null && isHeld) return held.resourceId
  if (held !== null && !isAtAddress(node, held)) return null
  const stillThere = byResource(instances, known)
  const isAnother = held !== null && held.resourceId !== known
  return stillThere !== null && !isAnother ? known : null
}

function follows(
  { observers, looks, cluster, primary, timeline }: Asked,
  provider: Provider,
  { node, ids }: { node: NodeConfig; ids: Readonly<Record<NodeId, string | null>> },
): boolean {
  const { row } = agreement(looks, observers, node.id)
  if (node.id === primary || row === null || !row.inRecovery) return false
  // Aurora's members share one volume: a reader follows by being one.
  if (electsNatively(cluster)) return true
  if (row.timeline !== timeline) return false
  const from = cluster.nodes.find((each) => each.id === primary)
  const view = byResource(provider.get(node.region), ids[node.id])
  const source = from ? byResource(provider.get(from.region), ids[primary]) : null
  return view !== null && replicatesFrom(view, source)
}

/** aurora-global: a node is the cluster of one Region. */
async function identifyClusters({
  ports,
  cluster,
  observers,
  previous,
  looks,
  primary,
}: Asked): Promise<Identified> {
  const ids: Record<NodeId, string | null> = {}
  const streaming: NodeId[] = []
  await Promise.all(
    cluster.nodes.map(async (node) => {
      const known = previous?.nodes[node.id]?.instanceId ?? null
      const { class: seen, row } = agreement(looks, observers, node.id)
      try {
        const clusters = await ports.rds.clusters(node.region)
        const view = clusters.find((each) => each.identifier === node.instanceId)
        const healthy = seen === 'writable' || seen === 'recovery'
        ids[node.id] = view && (healthy || view.resourceId === known) ? view.resourceId : null
      } catch {
        ids[node.id] = known
      }
      if (node.id !== primary && row?.inRecovery) streaming.push(node.id)
    }),
  )
  return { ids, streaming }
}
