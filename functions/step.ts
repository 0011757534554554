/** Small things that several steps need of their operation. */

import type { WorkflowStep } from './core/limits.ts'
import type { Approval, ClusterState, Look, NodeConfig, NodeId, Phase, Plan } from './core/types.ts'
import type { WorkflowInput } from './core/workflow.ts'
import { MovedOn, type Operation, Refused } from './operation.ts'
import type { Ports } from './ports.ts'

/** The step that belongs to a phase: where an operation goes on. */
const stepOfPhase: Readonly<Partial<Record<Phase, WorkflowStep>>> = {
  confirming: 'confirm',
  fencing: 'fence',
  promoting: 'promote',
  repointing: 'repoint',
  settling: 'settle',
}
const order: readonly Phase[] = ['confirming', 'fencing', 'promoting', 'repointing', 'settling']

/**
 * The step's own term and phase, or an end. An attempt that did its work and never answered is repeated by the
 * workflow: the repetition finds the phase further on in the same term, and goes there.
 */
export function assertPhase(operation: Operation, input: WorkflowInput, phase: Phase): void {
  const { state } = operation
  if (input.term === state.term && state.phase === phase) return
  const next = stepOfPhase[state.phase]
  if (input.term === state.term && next && order.indexOf(state.phase) > order.indexOf(phase))
    throw new MovedOn(next, state.term)
  throw new Refused(`term ${input.term ?? '?'} is over: the cluster is ${state.phase} in term ${state.term}`)
}

export function planOf(state: ClusterState): Plan {
  if (state.plan === null) throw new Error(`${state.cluster} is ${state.phase} without a plan`)
  return state.plan
}

export function nodeOf(operation: Pick<Operation, 'cluster'>, id: NodeId): NodeConfig {
  const node = operation.cluster.nodes.find((each) => each.id === id)
  if (node === undefined) throw new Error(`node ${id} is not in the configuration`)
  return node
}

/** A fresh look of every observer. The write probe goes to the recorded primary, or to `on`. */
export function lookRound(
  operation: Operation,
  options: { writeProbe: boolean; endpoint?: boolean; on?: NodeId },
): Promise<readonly Look[]> {
  const { ports, state } = operation
  return ports.functions.look({
    cluster: state.cluster,
    lookId: ports.newId(),
    writeProbeOn: options.writeProbe ? (options.on ?? state.primary) : null,
    endpoint: options.endpoint ?? false,
  })
}

/** The approval of a term, unless it has run out by the scheduler's clock (S3, H20). */
export async function approvalOf(
  ports: Pick<Ports, 'store'>,
  cluster: string,
  term: number,
): Promise<Approval | null> {
  const [approval, fleet] = await Promise.all([
    ports.store.readApproval(cluster, term),
    ports.store.readFleet(),
  ])
  if (approval.kind !== 'found' || fleet.kind !== 'found') return null
  return fleet.value.clockMs < approval.value.untilMs ? approval.value : null
}
