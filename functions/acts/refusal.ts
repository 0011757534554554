/** A start by hand that was refused at the claim changes no state: so that its reason is not lost, it is an event. */
import type { ClaimFacts } from '../core/claim.ts'
import type { ClusterState, Event } from '../core/types.ts'
import type { WorkflowInput } from '../core/workflow.ts'
import type { Ports } from '../ports.ts'

/**
 * Stored beside the event of the version that refused it, under a key with the execution's name. What assess starts is
 * left out: it begins anew by itself, and status shows why it does not. The refusal stands whether or not this is stored.
 */
export async function recordRefusal(
  ports: Pick<Ports, 'store' | 'clock' | 'logger'>,
  state: ClusterState,
  refused: { input: WorkflowInput; execution: string; row: string; reason: string; decided: ClaimFacts },
): Promise<void> {
  const { input, execution, row, reason, decided } = refused
  if (input.automatic !== undefined) return
  // Of an ARN the last part: the name of an execution is unique.
  const name = execution.slice(execution.lastIndexOf(':') + 1)
  const event: Event = {
    term: state.term,
    version: state.version,
    kind: 'refused',
    row,
    message: `${input.kind} (${input.reason}) was refused: ${reason}`,
    by: input.by ?? 'operator',
    facts: { execution: name, phase: state.phase, to: input.to ?? null, decided },
    atMs: ports.clock.wallMs(),
  }
  try {
    await ports.store.appendEvent(state.cluster, event, name)
  } catch (error) {
    ports.logger.warn('a refusal was not recorded', { cluster: state.cluster, error: String(error) })
  }
}
