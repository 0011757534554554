/**
 * Undoing what may be undone before a target is recorded (S5): a freeze and a write-stop, both recorded before they
 * were applied. A power fence is never undone here. Each returns what could not be lifted, in words; [] is success.
 */
import { hostOf } from './core/host.ts'
import { resumeWritesScript } from './engines/postgres/host.ts'
import type { Operation } from './operation.ts'

export async function liftFreeze(operation: Operation): Promise<string[]> {
  const plan = operation.state.plan
  if (plan === null) return []
  const results = await Promise.all(
    Object.entries(plan.frozen).map(async ([node, before]) => {
      const result = await operation.sql(node, {
        do: 'unfreeze',
        primaryConninfo: before.primaryConninfo,
        restoreCommand: before.restoreCommand,
      })
      return { node, result }
    }),
  )
  // A refusal means that the node is not frozen by us: nothing is left to lift there.
  return results
    .filter(({ result }) => result.outcome === 'unknown')
    .map(({ node, result }) => `${node}: ${result.message}`)
}

export async function liftWriteStop(operation: Operation): Promise<string[]> {
  const { plan, term } = operation.state
  if (plan === null || plan.writeStop === null) return []
  const host = hostOf(operation.cluster, plan.writeStop.node)
  if (host === null) return []
  const node = operation.cluster.nodes.find((each) => each.id === plan.writeStop?.node)
  if (node === undefined)
    return [`${plan.writeStop.node}: not in the configuration any more; start its server by hand`]
  const script = resumeWritesScript({ deployment: operation.state.deployment, term, node: node.id, host })
  const result = await operation.act(
    {},
    { kind: 'lifting', message: `starting ${node.id} again as the primary that it was` },
    () => operation.ports.host.run(node, script, { deliveryTimeoutSeconds: 60, timeoutMs: 30_000 }),
  )
  return result.outcome === 'done' ? [] : [`${node.id}: ${result.message}`]
}
