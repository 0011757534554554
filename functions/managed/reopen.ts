/** A switchover that backs out opens again what it closed: the groups that were recorded before the first act (S5). */
import { byResource, hasGroups, isChangingTo } from '../core/managedView.ts'
import type { NetworkFence, NodeConfig } from '../core/types.ts'
import type { Operation } from '../operation.ts'
import { nodeOf } from '../step.ts'
import { actOnRds, problemOfAct, providerPollMs, readProvider } from './provider.ts'

const polls = 8

/** What could not be undone, in words; [] when the groups are in force as they were. */
export async function reopenGroups(operation: Operation): Promise<string[]> {
  const { plan } = operation.state
  const stopped = plan?.writeStop?.node
  if (!plan || stopped === undefined) return []
  const fence = plan.network[stopped]
  // Recorded before it is applied: without a record nothing was closed.
  if (fence === undefined || fence.groupsBefore.length === 0) return []
  const node = nodeOf(operation, stopped)
  let problem = ''
  for (let poll = 0; poll < polls; poll++) {
    const answer = await reopenOnce(operation, node, fence)
    if (answer === null) return []
    problem = answer
    await operation.ports.clock.sleep(providerPollMs)
  }
  return [problem]
}

async function reopenOnce(
  operation: Operation,
  node: NodeConfig,
  fence: NetworkFence,
): Promise<string | null> {
  const { groupsBefore, resourceId } = fence
  const instances = (await readProvider(operation, [node.id])).get(node.region)
  if (!instances) return `${node.id}: RDS does not answer in ${node.region}`
  const view = byResource(instances, resourceId)
  // It is not the instance any more that we closed: there is nothing of ours to open.
  if (view === null || hasGroups(view, groupsBefore)) return null
  if (isChangingTo(view, groupsBefore)) return `${node.id}: ${groupsBefore.join(', ')} are not in force yet`
  const outcome = await actOnRds(operation, {
    node,
    act: { do: 'setGroups', instance: view.identifier, groupIds: groupsBefore },
    note: { kind: 'lifting', message: `${node.id}: ${groupsBefore.join(', ')} are its groups again` },
  })
  return `${node.id}: its groups ${problemOfAct(outcome) ?? 'were asked for'}`
}
