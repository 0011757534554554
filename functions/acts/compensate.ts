/**
 * Undoing what may be undone before a target is recorded (S5): a freeze and a write-stop, both recorded before they
 * were applied. A power fence is never undone here. Each returns what could not be lifted, in words; [] is success.
 */
import { isManaged } from '../core/engine.ts'
import { hostOf } from '../core/host.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import { resumeWritesScript } from '../engines/postgres/host.ts'
import { reopenGroups } from '../managed/reopen.ts'
import { done, type Operation, refused, waiting } from '../operation.ts'
import { planOf } from '../step.ts'

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
  if (isManaged(operation.cluster)) return reopenGroups(operation)
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

/**
 * Tries to lift a freeze or a write-stop before a person is asked, or settle goes on with it. A Region of the provider
 * that does not answer comes back; a server that does not start seldom does.
 */
const liftPatience = { ours: 8, managed: 60 }

/**
 * Ends an operation that promoted nothing: what it froze or stopped is lifted first, then the claim is given back.
 * `decided`: the facts that the row was chosen by.
 */
export async function standDown(
  operation: Operation,
  input: WorkflowInput,
  row: string,
  reason: string,
  page = false,
  decided?: Readonly<Record<string, unknown>>,
): Promise<StepResult> {
  const plan = planOf(operation.state)
  const stopped = await liftWriteStop(operation)
  const frozen = await liftFreeze(operation)
  const failed = [...stopped, ...frozen]
  const why = decided === undefined ? {} : { decided }
  const patience = isManaged(operation.cluster) ? liftPatience.managed : liftPatience.ours
  const tired = (input.waits ?? 0) >= patience
  // A primary that does not start again is for a person; a standby that stays away is settle's, when it is back.
  if (stopped.length > 0 && tired)
    throw new Error(`the write-stop could not be lifted: ${stopped.join('; ')}`)
  if (failed.length > 0 && !tired) {
    const message = `standing down (${reason}), but not yet lifted: ${failed.join('; ')}`
    await operation.write({ phase: 'confirming' }, { kind: 'waiting', row, message, facts: why })
    return waiting(input, 'confirm', failed.join('; '))
  }
  await operation.write(
    { phase: failed.length > 0 ? 'settling' : plan.returnTo, plan: null },
    {
      kind: page ? 'paged' : 'stood down',
      row,
      message: reason,
      facts: { ...plan.facts, reason: plan.reason, by: plan.by, ...why },
    },
    { release: true },
  )
  return plan.automatic || input.kind === 'resume' || page === false
    ? done(input, 'end', [`${row}: ${reason}`])
    : refused(input, [`${row}: ${reason}`])
}
