/** The name, moved by compare-and-swap on the term in its TXT record (design, section 7). */
import {
  decideEndpoint,
  type EndpointFacts,
  endpointFacts,
  type Token,
  whyNotOurs,
} from '../core/endpoint.ts'
import type { ClusterState, NodeConfig } from '../core/types.ts'
import type { StepContext } from '../entry.ts'
import type { EndpointRecords } from '../ports.ts'

const swapsMost = 5

/**
 * `row` and `facts`: the last decision, for the event; `changed`: it was asked for a change, and what the name carries now
 * is that, whoever's answer was lost.
 */
type Moved = {
  readonly changed: boolean
  readonly row: string
  readonly facts: EndpointFacts
  readonly message: string
} & (
  | { readonly outcome: 'done'; readonly changeId: string | null }
  | { readonly outcome: 'superseded' | 'blocked' }
)

/** Why a planned operation must not begin: the name would be refused when the writes have moved already (F88). */
export async function whyNameIsNotOurs(
  { ports, cluster }: Pick<StepContext, 'ports' | 'cluster'>,
  state: ClusterState,
): Promise<string | null> {
  try {
    return whyNotOurs(cluster, state, await ports.endpoint.read(cluster))
  } catch (error) {
    return `the name can not be read: ${error instanceof Error ? error.message : String(error)}`
  }
}

/**
 * S11, H09, H17: why our state is not the newest one, by the name alone: another deployment took it over, or it carries a
 * newer term than ours. null: it is ours, or nobody's.
 */
export function whySuperseded(
  { deployment, cluster, term }: Pick<Token, 'deployment' | 'cluster' | 'term'>,
  { token }: EndpointRecords,
): string | null {
  if (token === null) return null
  if (token.deployment !== deployment || token.cluster !== cluster)
    return `the name belongs to cluster ${token.cluster} of deployment ${token.deployment}`
  return token.term > term ? `the name carries term ${token.term}, ours is ${term}` : null
}

/** Compare and swap until the name carries this term and this target, or somebody newer wrote it. */
export async function moveName(
  context: StepContext,
  token: Token,
  target: NodeConfig,
  first?: EndpointRecords,
): Promise<Moved> {
  const { ports, cluster } = context
  let last: Moved | undefined
  for (let tries = 0; tries < swapsMost; tries++) {
    const records = (tries === 0 ? first : undefined) ?? (await ports.endpoint.read(cluster))
    const facts = endpointFacts(cluster, token, records, target.id)
    const decision = decideEndpoint(facts)
    const { row } = decision
    const message = `${row}: ${decision.reason}`
    const changed = last !== undefined
    if (decision.do === 'done')
      return { ...(last ?? { row, facts }), outcome: 'done', changeId: null, changed, message }
    if (decision.do === 'superseded') return { outcome: 'superseded', changed, message, row, facts }
    if (decision.do === 'refuse') return { outcome: 'blocked', changed, message, row, facts }
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
        changed: true,
        row,
        facts,
      }
    if (swap.outcome === 'refused')
      return { outcome: 'blocked', changed: false, message: swap.message, row, facts }
    last = {
      outcome: 'blocked',
      changed: true,
      message: `the name kept changing: ${swap.message}`,
      row,
      facts,
    }
  }
  if (last === undefined) throw new Error('the name was not tried')
  return last
}
