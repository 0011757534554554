/** Availability Zones and Regions: do the dead share one that others do not (S6)? */
import type { NodeConfig } from './types.ts'

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
