import { Resolver } from 'node:dns/promises'
import type { ClusterState, NodeId } from '../../functions/core/types.ts'
import { clusterId, type Embedded, endpointName } from '../../local/embedded.ts'
import { rdsVersion } from '../../local/rds/index.ts'
import type { Writer } from '../../local/writer.ts'

export function within<T>(value: T | undefined | null): T {
  if (value === undefined || value === null) throw new Error('nothing there')
  return value
}

/** For `EmbeddedOptions.observe`: what answers is not taken for silent, also on a machine that is busy. */
export const patient = { intervalMs: 1_000, probeTimeoutMs: 2_000 } as const

/** Observers that connect from an address of their own each, so that one of them can be cut off. Linux only. */
export const observerSources = { a: '127.0.1.1', b: '127.0.1.2', c: '127.0.1.3' } as const

/** For `EmbeddedOptions.enter`. */
export function fromOwnAddress(functionName: string): readonly string[] | undefined {
  const [, observer] = /-(?:look|observe)-([abc])$/.exec(functionName) ?? []
  if (observer === undefined) return undefined
  const source = observerSources[observer as keyof typeof observerSources]
  return ['env', `NODE_OPTIONS=--import=${new URL('source.ts', import.meta.url)}`, `LOCAL_SOURCE=${source}`]
}

/** Calls of RDS's API that change something, by name, from now on. */
export function watchCalls(embedded: Embedded): { readonly calls: string[]; stop(): void } {
  const calls: string[] = []
  const stop = embedded.aws.front.onCall(({ service, operation }) => {
    if (service === rdsVersion && !operation.startsWith('Describe')) calls.push(operation)
    return undefined
  })
  return { calls, stop }
}

/** Every event from a term on, oldest first: what was interrupted goes on in another one. */
export function eventsSince(embedded: Embedded, term: number): ClusterState['lastEvent'][] {
  const events = embedded.history.map(({ state }) => state.lastEvent).filter((event) => event.term >= term)
  return events.filter((event, index) => event.version !== events[index - 1]?.version)
}

export const eventsOf = (embedded: Embedded, term: number) =>
  eventsSince(embedded, term).filter((event) => event.term === term)

/** Approves what the operation of a term would lose, as soon as it asks; resolves with its question. */
export async function approveWhenAsked(
  embedded: Embedded,
  term: number,
  unfenced: readonly NodeId[] = [],
): Promise<ClusterState['lastEvent']> {
  const { lastEvent } = await embedded.onState(
    (state) => state.term === term && state.phase === 'promoting' && state.lastEvent.kind === 'paged',
  )
  const target = lastEvent.facts?.candidate
  const answer = await embedded.command({
    ...{ command: 'approve', cluster: clusterId, term, target, acceptLoss: true, unfenced },
    ...{ by: 'anna', reason: 'seen', minutes: 30 },
  })
  if (answer.outcome !== 'done') throw new Error(JSON.stringify(answer))
  return lastEvent
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
