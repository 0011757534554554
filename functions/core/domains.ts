/** Availability Zones and Regions: do the dead share one that others do not (S6)? May a target be in another one? */
import type { ClusterConfig, NodeConfig, NodeId } from './types.ts'

/** Why the configuration forbids to promote this node in the place of `from`; null: it does not. */
export function forbiddenTarget(cluster: ClusterConfig, from: NodeId, node: NodeConfig): string | null {
  if (!node.promotable) return 'its configuration forbids it (promotable: false)'
  const region = cluster.nodes.find((each) => each.id === from)?.region ?? node.region
  if (cluster.policy.crossRegion === 'allowed' || node.region === region) return null
  return `it is in ${node.region} and ${from} in ${region}, and the policy crossRegion is forbidden`
}

/**
 * Name of the one Availability Zone, or else Region, that all dead nodes are in and some survivor is not; null when
 * there is none (or nobody died, or nobody is left to compare with).
 */
export function sharedDomain(dead: readonly NodeConfig[], survivors: readonly NodeConfig[]): string | null {
  const [first] = dead
  if (!first) return null
  const zone = (node: NodeConfig) => `${node.region}/${node.availabilityZone}`
  for (const [domain, name] of [
    [zone, `Availability Zone ${first.availabilityZone}`],
    [(node: NodeConfig) => node.region, `Region ${first.region}`],
  ] as const) {
    const together = dead.every((node) => domain(node) === domain(first))
    if (together && survivors.some((node) => domain(node) !== domain(first))) return name
  }
  return null
}
