/** What to do about the name, from what was read of it and what our state says (design, section 7). */
import type { ClusterConfig, ClusterState, NodeId } from './types.ts'

/** Both records as the endpoint port reads them, reduced to what the decision needs. */
export interface EndpointFacts {
  readonly deployment: string
  readonly cluster: string
  readonly term: number
  /** CNAME that the name should have. */
  readonly wanted: string
  readonly ttlSeconds: number
  readonly token: { readonly deployment: string; readonly cluster: string; readonly term: number } | null
  readonly foreignToken: string | null
  readonly cname: { readonly target: string; readonly ttlSeconds: number } | null
  readonly foreignRecord: string | null
  /** CNAME targets of all configured nodes. */
  readonly known: readonly string[]
  /** Term in which our state says that we wrote the TXT record; null: never. */
  readonly writtenTerm: number | null
  /** Only `adopt` may create an absent token, and may be told to take over a foreign name. */
  readonly adopting: boolean
  readonly takeOver: boolean
}

export interface EndpointDecision {
  readonly do: 'done' | 'swap' | 'superseded' | 'refuse'
  readonly row: string
  readonly reason: string
}

const same = (a: string, b: string) =>
  a.toLowerCase().replace(/\.$/, '') === b.toLowerCase().replace(/\.$/, '')

export function decideEndpoint(facts: EndpointFacts): EndpointDecision {
  const answer = (what: EndpointDecision['do'], row: string, reason: string): EndpointDecision => ({
    do: what,
    row,
    reason,
  })
  const { token } = facts
  if (facts.foreignRecord !== null) {
    return answer(
      'refuse',
      'D1',
      `the name has a record that can not be compared and swapped: ${facts.foreignRecord}`,
    )
  }
  if (facts.foreignToken !== null && !facts.takeOver) {
    return answer('refuse', 'D2', `the TXT record is not one of ours: ${facts.foreignToken}`)
  }
  if (
    token &&
    (token.deployment !== facts.deployment || token.cluster !== facts.cluster) &&
    !facts.takeOver
  ) {
    return answer(
      'refuse',
      'D3',
      `the name belongs to cluster ${token.cluster} of deployment ${token.deployment}: adopt it with an explicit take-over`,
    )
  }
  const mine = token !== null && token.deployment === facts.deployment && token.cluster === facts.cluster
  if (mine && token.term > facts.term) {
    return answer('superseded', 'D4', `the name carries term ${token.term}, newer than ours (${facts.term})`)
  }
  if (token === null && facts.foreignToken === null && !facts.adopting && facts.writtenTerm === null) {
    return answer('refuse', 'D5', 'the TXT record is absent and we never wrote one: run adopt')
  }
  const foreignTarget =
    facts.cname !== null && !facts.known.some((name) => same(name, facts.cname?.target ?? ''))
  if (foreignTarget && !facts.takeOver) {
    return answer(
      'refuse',
      'D6',
      `the name points to ${facts.cname?.target}, which is no node of this cluster: adopt it with an explicit take-over`,
    )
  }
  const right =
    facts.cname !== null &&
    same(facts.cname.target, facts.wanted) &&
    facts.cname.ttlSeconds === facts.ttlSeconds
  if (mine && token.term === facts.term && right)
    return answer('done', 'D7', `the name points to ${facts.wanted}`)
  if (mine && token.term === facts.term)
    return answer('swap', 'D8', 'the CNAME differs from what this term wrote: re-asserted')
  return answer('swap', 'D9', `the name still carries ${token === null ? 'no term' : `term ${token.term}`}`)
}

/**
 * The decision's facts, for the name to lead to `primary`. `adoption`: a person adopts the cluster, and may take the name
 * over from another one.
 */
export function endpointFacts(
  { nodes, endpoint }: ClusterConfig,
  { deployment, cluster, term, endpointTerm }: Token,
  { token, foreignToken, cname, foreignRecord }: Records,
  primary: NodeId,
  adoption?: { readonly takeOver: boolean },
): EndpointFacts {
  return {
    deployment,
    cluster,
    term,
    wanted: nodes.find((node) => node.id === primary)?.dnsName ?? '',
    ttlSeconds: endpoint.ttlSeconds,
    token,
    foreignToken,
    cname,
    foreignRecord,
    known: nodes.map((node) => node.dnsName),
    writtenTerm: endpointTerm,
    adopting: adoption !== undefined,
    takeOver: adoption?.takeOver ?? false,
  }
}

/** What the name is moved with: of the state, or of a step's input while the table is away (S13). */
export type Token = Pick<ClusterState, 'deployment' | 'cluster' | 'term' | 'endpointTerm'>
type Records = Pick<EndpointFacts, 'token' | 'foreignToken' | 'cname' | 'foreignRecord'>

/** Why the name would not be ours to move in this term, with the row; null: it would. */
export function whyNotOurs(
  cluster: ClusterConfig,
  state: Token & Pick<ClusterState, 'primary'>,
  records: Records,
): string | null {
  const decision = decideEndpoint(endpointFacts(cluster, state, records, state.primary))
  return decision.do === 'refuse' || decision.do === 'superseded'
    ? `${decision.row}: ${decision.reason}`
    : null
}
