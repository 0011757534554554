/** The name, moved by compare-and-swap on the term in its TXT record (design, section 7). */
import { decideEndpoint, endpointFacts } from '../core/endpoint.ts'
import type { ClusterState, NodeConfig } from '../core/types.ts'
import type { StepContext } from '../entry.ts'
import type { EndpointRecords } from '../ports.ts'

const swapsMost = 5

type Moved =
  | { readonly outcome: 'done'; readonly changeId: string | null; readonly message: string }
  | { readonly outcome: 'superseded' | 'blocked'; readonly message: string }

type Token = Pick<ClusterState, 'deployment' | 'cluster' | 'term' | 'endpointTerm'>

/** Compare and swap until the name carries this term and this target, or somebody newer wrote it. */
export async function moveName(
  context: StepContext,
  token: Token,
  target: NodeConfig,
  first?: EndpointRecords,
): Promise<Moved> {
  const { ports, cluster } = context
  let last = ''
  for (let tries = 0; tries < swapsMost; tries++) {
    const records = (tries === 0 ? first : undefined) ?? (await ports.endpoint.read(cluster))
    const dnsNames = Object.fromEntries(cluster.nodes.map((node) => [node.id, node.dnsName]))
    const decision = decideEndpoint(
      endpointFacts(token, records, {
        wanted: target.dnsName,
        ttlSeconds: cluster.endpoint.ttlSeconds,
        dnsNames,
      }),
    )
    const message = `${decision.row}: ${decision.reason}`
    if (decision.do === 'done') return { outcome: 'done', changeId: null, message }
    if (decision.do === 'superseded') return { outcome: 'superseded', message }
    if (decision.do === 'refuse') return { outcome: 'blocked', message }
    const { deployment, cluster: id, term } = token
    const swap = await ports.endpoint.swap(cluster, records, {
      token: { deployment, cluster: id, term },
      target: target.dnsName,
    })
    if (swap.outcome === 'done')
      return {
        outcome: 'done',
        changeId: swap.changeId,
        message: `${cluster.endpoint.name} points to ${target.id}`,
      }
    last = swap.message
    if (swap.outcome === 'refused') return { outcome: 'blocked', message: swap.message }
  }
  return { outcome: 'blocked', message: `the name kept changing: ${last}` }
}
