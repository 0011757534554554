/** Freezing and measuring standbys: what is recorded before, and what comes of it. */
import { isManaged } from '../core/engine.ts'
import { anyRow } from '../core/looks.ts'
import type { FrozenNode, Look, NodeId, Plan } from '../core/types.ts'
import type { Operation } from '../operation.ts'
import type { SqlAction } from '../ports.ts'
import { planOf } from '../step.ts'

/** Recorded before anything is applied (S5): which standbys will be frozen, and what their reception was before. */
export function freezeIntents(operation: Operation, plan: Plan, looks: readonly Look[]): Plan['frozen'] {
  const frozen: Record<NodeId, FrozenNode> = { ...plan.frozen }
  // Nobody can freeze a replica that the provider runs.
  if (isManaged(operation.cluster)) return frozen
  for (const node of operation.cluster.nodes) {
    const role = operation.state.nodes[node.id]?.role
    if (node.id === operation.state.primary || role === 'quarantined' || role === 'rebuilding') continue
    const row = anyRow(looks, node.id)
    if (!row?.inRecovery || frozen[node.id]) continue
    frozen[node.id] = {
      primaryConninfo: row.primaryConninfo,
      restoreCommand: row.restoreCommand,
      timeline: null,
      positionBytes: null,
      replayable: null,
    }
  }
  return frozen
}

export interface Frozen {
  readonly frozen: Readonly<Record<NodeId, FrozenNode>>
  readonly problems: readonly string[]
}

/** Freezes (or measures again) every planned standby at the same time. A node that does not answer is just not counted. */
export async function freezeAll(operation: Operation, action: SqlAction = { do: 'freeze' }): Promise<Frozen> {
  const plan = planOf(operation.state)
  const frozen: Record<NodeId, FrozenNode> = {}
  const problems: string[] = []
  await Promise.all(
    Object.entries(plan.frozen).map(async ([id, before]) => {
      const result = await operation.sql(id, action)
      if (result.outcome !== 'done' || result.measurement === undefined) {
        problems.push(`${id}: ${result.message}`)
        return
      }
      const { timeline, positionBytes, replayable } = result.measurement
      // The timeline counts as it was read before the freeze: a frozen node has no receiver to tell it any more (S8).
      frozen[id] = { ...before, timeline: before.timeline ?? timeline, positionBytes, replayable }
    }),
  )
  return { frozen, problems }
}

export function measurementsOf(
  plan: Plan,
): Record<NodeId, { timeline: number; positionBytes: number; replayable: boolean }> {
  const measured: Record<NodeId, { timeline: number; positionBytes: number; replayable: boolean }> = {}
  for (const [id, node] of Object.entries(plan.frozen)) {
    if (node.timeline === null || node.positionBytes === null) continue
    measured[id] = {
      timeline: node.timeline,
      positionBytes: node.positionBytes,
      replayable: node.replayable ?? false,
    }
  }
  return measured
}
