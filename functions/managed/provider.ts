/** RDS, read once for a decision and asked for acts, which are recorded before (S4, S5). */
import { byResource, type Provider, type ProviderInstance } from '../core/managedView.ts'
import type { Change, Happening } from '../core/state.ts'
import type { ClusterConfig, NodeConfig, NodeId } from '../core/types.ts'
import type { Operation } from '../operation.ts'
import type { Ports, RdsAct, RdsOutcome } from '../ports.ts'
import { nodeOf } from '../step.ts'

/** Every look of a step is a call of an API that throttles: "Throttling" has been seen with ten instances. */
export const providerPollMs = 1_000

/** The instances of the Regions in question, read now. A Region that does not answer is null: unknown. */
export async function readProvider(
  world: { readonly cluster: ClusterConfig; readonly ports: Ports },
  nodes: readonly NodeId[] = world.cluster.nodes.map((node) => node.id),
): Promise<Provider> {
  const regions = new Set(nodes.map((id) => nodeOf(world, id).region))
  const provider = new Map<string, readonly ProviderInstance[] | null>()
  await Promise.all(
    [...regions].map(async (region) => {
      try {
        provider.set(region, await world.ports.rds.instances(region, { fresh: true }))
      } catch (error) {
        world.ports.logger.warn('RDS does not answer', { region, error: String(error) })
        provider.set(region, null)
      }
    }),
  )
  return provider
}

/** The instance that was recorded while the node was healthy, whatever it is called now (S2). */
export function recordedView(operation: Operation, provider: Provider, id: NodeId): ProviderInstance | null {
  return byResource(provider.get(nodeOf(operation, id).region), operation.state.nodes[id]?.instanceId)
}

/** Intent recorded with the claim open, the act, the claim closed: also when nobody knows what came of it. */
export async function actOnRds(
  operation: Operation,
  asked: { node: NodeConfig; act: RdsAct; change?: Change; note: Omit<Happening, 'by' | 'atMs'> },
): Promise<RdsOutcome> {
  const { node, act, change = {}, note } = asked
  const outcome = await operation.act(change, note, () => operation.ports.rds.act(node.region, act))
  await operation.beat()
  return outcome
}

/** What came of an act, for people; null: it was accepted. */
export function problemOfAct(outcome: RdsOutcome): string | null {
  if (outcome.outcome === 'requested') return null
  const code = outcome.outcome === 'refused' ? `${outcome.code}: ` : ''
  return `${outcome.outcome}: ${code}${outcome.message}`
}

/**
 * Newest restart among the provider's own events, its time as text; '': there is none; null: they could not be read,
 * which says nothing.
 */
export async function newestRestart(
  operation: Operation,
  node: NodeConfig,
  identifier: string,
): Promise<string | null> {
  try {
    const events = await operation.ports.rds.events(node.region, { type: 'db-instance', identifier })
    return events.find((event) => /restarted/i.test(event.message))?.atText ?? ''
  } catch {
    return null
  }
}
