/** Defaults that depend on other settings. */
import { isIPv4 } from 'node:net'
import {
  type ClusterDraft,
  type FleetDocument,
  type FleetDraft,
  managed,
  type VpcPlacement,
} from './config.ts'
import type { ConnectionConfig, EngineName, ManagedConfig, NodeConfig, Policy } from './core/types.ts'

/** Fills in what depends on the Region, the address or the observers. The draft has passed all rules. */
export function completeFleet(draft: FleetDraft): FleetDocument {
  return {
    ...draft,
    operator: { vpc: draft.operator.vpc === undefined ? sharedVpc(draft) : draft.operator.vpc },
    clusters: draft.clusters.map((cluster) => ({
      ...cluster,
      endpoint: { ...cluster.endpoint, name: cluster.endpoint.name.toLowerCase() },
      nodes: cluster.nodes.map((node) => completeNode(node, cluster, draft.region)),
      policy: completePolicy(cluster),
      connection: completeConnection(cluster),
      managed: cluster.engine === 'postgres' ? cluster.managed : (cluster.managed ?? managed.parse({})),
    })),
  }
}

/** In the order of the schema: parsing the result again gives the same bytes, and so the same asset. */
function completePolicy({ engine, policy }: ClusterDraft): Policy {
  const { fence, cancelledWaits, loss, synchronous, ...rest } = policy
  return {
    fence: fence ?? fencesOf[engine][0],
    cancelledWaits,
    loss,
    synchronous: synchronousOf(engine, synchronous),
    ...rest,
  }
}

function completeConnection(cluster: ClusterDraft): ConnectionConfig {
  const { database, ...rest } = cluster.connection
  return { database: database ?? databasesOf[familyOf(cluster)], ...rest }
}

/** The fences that fit an engine, its default first. */
export const fencesOf = {
  postgres: ['power', 'quorum'],
  rds: ['network'],
  aurora: ['native'],
  'aurora-global': ['native'],
} as const satisfies Record<EngineName, readonly [Policy['fence'], ...Policy['fence'][]]>

/** Nobody has a synchronous list to change on what AWS runs. */
export function synchronousOf(
  engine: EngineName,
  configured: Policy['synchronous'] | undefined,
): Policy['synchronous'] {
  return configured ?? (engine === 'postgres' ? 'managed' : 'none')
}

const portsOf = { postgres: 5432, mysql: 3306, mariadb: 3306 } as const
/** MySQL has no log that a plain role may write to: its probes have a table in a database of their own. */
const databasesOf = { postgres: 'postgres', mysql: 'understudy', mariadb: 'understudy' } as const

export function familyOf(cluster: Pick<ClusterDraft, 'managed'>): ManagedConfig['family'] {
  return cluster.managed?.family ?? 'postgres'
}

export function portOf(node: { readonly port?: number | undefined }, cluster: Pick<ClusterDraft, 'managed'>) {
  return node.port ?? portsOf[familyOf(cluster)]
}

function completeNode(
  node: ClusterDraft['nodes'][number],
  cluster: ClusterDraft,
  deploymentRegion: string,
): NodeConfig {
  const region = node.region ?? deploymentRegion
  return {
    // In the order of the schema, too.
    id: node.id,
    address: node.address,
    readerAddress: node.readerAddress,
    port: portOf(node, cluster),
    dnsName: node.dnsName ?? findDefaultDnsName(cluster.engine, node.address, region) ?? node.address,
    instanceId: node.instanceId,
    region,
    availabilityZone: node.availabilityZone,
    promotable: node.promotable,
    preference: node.preference,
    sourceAddresses: node.sourceAddresses ?? [node.address],
    closedGroupId: node.closedGroupId,
    groupIds: node.groupIds,
  }
}

/**
 * The name of a node that a CNAME can point to: the address itself when it is a name, or the name that EC2 gives to a
 * private IPv4 address (`ip-10-0-1-11.eu-central-1.compute.internal`; in us-east-1 `ip-10-0-1-11.ec2.internal`; EC2
 * user guide, "Amazon EC2 instance hostname types"). Undefined for any other address: nobody names those, nor the
 * addresses of what RDS runs.
 */
export function findDefaultDnsName(engine: EngineName, address: string, region: string): string | undefined {
  if (!isIPv4(address)) return address.includes(':') ? undefined : address
  if (engine !== 'postgres' || !isPrivate(address)) return undefined
  const domain = region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`
  return `ip-${address.replaceAll('.', '-')}.${domain}`
}

/** RFC 1918, and RFC 6598 (100.64.0.0/10), which VPCs may use too. */
function isPrivate(address: string): boolean {
  const [a = 0, b = 0] = address.split('.').map(Number)
  return (
    a === 10 ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 100 && b >= 64 && b < 128)
  )
}

/** All subnets and groups of the observers, when they share one VPC; null when none of them is in one. */
function sharedVpc(draft: FleetDraft): VpcPlacement | null {
  const placements = draft.observers.flatMap((observer) => observer.vpc ?? [])
  const [first] = placements
  if (first === undefined) return null
  return {
    vpcId: first.vpcId,
    subnetIds: [...new Set(placements.flatMap((placement) => placement.subnetIds))],
    securityGroupIds: [...new Set(placements.flatMap((placement) => placement.securityGroupIds))],
  }
}
