/** look: one fresh probe of all nodes of a cluster by this observer, over new connections, answering only to its id. */
import { isIP } from 'node:net'
import { probeCanary } from './canary.ts'
import { systemClock } from './clock.ts'
import type { FleetDocument } from './config.ts'
import { observation } from './core/classify.ts'
import type { ClusterConfig, EndpointLook, Look, NodeConfig, Observation } from './core/types.ts'
import { engines } from './database.ts'
import { entry } from './entry.ts'
import type { Clock, Engine, LookRequest } from './ports.ts'
import { type Resolve, resolveName } from './resolve.ts'
import { required } from './runtime.ts'
import { lookRequestSchema } from './schemas.ts'

export interface LookWorld {
  readonly fleet: FleetDocument
  readonly observer: string
  readonly engine: (cluster: ClusterConfig) => Engine
  readonly clock: Clock
  readonly resolve: Resolve
  readonly canary: typeof probeCanary
}

/** Throws when the cluster or the observer is not configured. A node that can not be probed is part of the answer. */
export async function look(world: LookWorld, request: LookRequest): Promise<Look> {
  const cluster = clusterOf(world.fleet, request.cluster)
  const observer = world.fleet.observers.find((each) => each.id === world.observer)
  if (observer === undefined) throw new Error(`observer ${world.observer} is not configured`)
  const { probeTimeoutMs } = cluster.observe
  const [nodes, canary, endpoint] = await Promise.all([
    Promise.all(
      cluster.nodes.map((node) => probeNode(world, cluster, node, node.id === request.writeProbeOn)),
    ),
    observer.canary === null ? null : world.canary(observer.canary, probeTimeoutMs),
    request.endpoint ? lookAtEndpoint(world, cluster) : undefined,
  ])
  return {
    lookId: request.lookId,
    cluster: cluster.id,
    observer: world.observer,
    nodes: Object.fromEntries(cluster.nodes.map((node, index) => [node.id, nodes[index] as Observation])),
    canary,
    ...(endpoint === undefined ? {} : { endpoint }),
  }
}

export function clusterOf(fleet: FleetDocument, id: string): ClusterConfig {
  const cluster = fleet.clusters.find((each) => each.id === id)
  if (cluster === undefined) throw new Error(`cluster ${id} is not configured`)
  return cluster
}

async function probeNode(
  world: LookWorld,
  cluster: ClusterConfig,
  node: Pick<NodeConfig, 'address' | 'port'>,
  writeProbe: boolean,
): Promise<Observation> {
  const startedMs = world.clock.monotonicMs()
  const outcome = await world
    .engine(cluster)
    .probe(cluster, node, { timeoutMs: cluster.observe.probeTimeoutMs, writeProbe })
  return observation(outcome, Math.round(world.clock.monotonicMs() - startedMs))
}

/** What clients find behind the name: resolved as they resolve it, connected, its role read. */
async function lookAtEndpoint(world: LookWorld, cluster: ClusterConfig): Promise<EndpointLook> {
  const { name, resolver } = cluster.endpoint
  const answer = (rest: Partial<EndpointLook>): EndpointLook => ({
    name,
    addresses: [],
    cname: null,
    class: 'unknown',
    message: '',
    ...rest,
  })
  try {
    const { probeTimeoutMs: timeoutMs } = cluster.observe
    const { addresses, cname } = await world.resolve(name, { resolver, timeoutMs })
    // A provider's instance is known by a name, and its certificate is made out to that.
    const alias = cname?.toLowerCase().replace(/\.$/, '')
    const node = cluster.nodes.find(
      (each) => addresses.includes(each.address) || (isIP(each.address) === 0 && each.dnsName === alias),
    )
    const address = node?.address ?? addresses[0]
    if (address === undefined || (node === undefined && isIP(address) === 0))
      return answer({ message: 'the name has no address' })
    const port = node?.port ?? cluster.nodes[0]?.port ?? 5432
    const seen = await probeNode(world, cluster, { address, port }, false)
    return answer({
      addresses,
      cname,
      class: seen.class,
      message: `${name} is ${addresses.join(', ')}, which is ${seen.class}`,
    })
  } catch (error) {
    return answer({
      message: `${name} could not be resolved: ${error instanceof Error ? error.message : String(error)}`,
    })
  }
}

export const handler = entry<unknown, Look>('look', (event, { fleet }) =>
  look(
    {
      fleet,
      observer: required('UNDERSTUDY_OBSERVER'),
      engine: engines.of,
      clock: systemClock,
      resolve: resolveName,
      canary: probeCanary,
    },
    lookRequestSchema.parse(event),
  ),
)
