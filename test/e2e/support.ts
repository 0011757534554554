import { Resolver } from 'node:dns/promises'
import type { ClusterState, NodeId } from '../../functions/core/types.ts'
import { type Embedded, endpointName } from '../../local/embedded.ts'
import type { Writer } from '../../local/writer.ts'

export function within<T>(value: T | undefined | null): T {
  if (value === undefined || value === null) throw new Error('nothing there')
  return value
}

/** Nodes that are still held to be possible writers beside the primary, or fenced. */
export function fencedNodes(state: ClusterState): NodeId[] {
  return Object.entries(state.nodes)
    .filter(([id, node]) => id !== state.primary && (node.fenced || node.possibleWriter !== null))
    .map(([id]) => id)
}

/** The address behind the endpoint, as a client resolves it. */
export async function lookUp(embedded: Embedded): Promise<string | undefined> {
  const resolver = new Resolver()
  resolver.setServers([embedded.resolver])
  return (await resolver.resolve4(endpointName))[0]
}

/** Acknowledged writes of a client that the present primary does not have. */
export async function countMissing(embedded: Embedded, writer: string, client: Writer): Promise<number> {
  const primary = within(embedded.state).primary
  const rows = await embedded.postgres.query<{ n: string }>(
    primary,
    'select n from counter where writer = $1',
    [writer],
    'app',
  )
  const present = new Set(rows.map((row) => Number(row.n)))
  return client.acknowledged.filter((each) => !present.has(each.n)).length
}
