/** rds: what assess makes of the state of a cluster, beside what reports show. */
import type { ClusterState, NodeId } from './types.ts'

const hourMs = 3_600_000
const minuteMs = 60_000

/**
 * What settle would find to do, by the state alone. What was replaced is looked at when an event of RDS wakes the cluster
 * and, since events get lost, with the first tick of each hour: a stopped primary is started by RDS after seven days.
 */
export function managedWorkLeft(
  state: ClusterState,
  tick: { readonly clockMs: number; readonly seen: object | null } | null,
): string[] {
  const work = Object.entries(state.nodes).flatMap(([id, status]) => {
    if (id === state.primary) return []
    if (status.possibleWriter !== null && !status.fenced) return [`fence ${id}`]
    if (status.role === 'rebuilding') return [`finish the new replica ${id}`]
    return status.role === 'standby' ? [] : [`replace ${id}`]
  })
  const looksAgain = tick !== null && (tick.seen === null || tick.clockMs % hourMs < minuteMs)
  const isKept = state.replaced.length > 0 || state.findings.length > 0
  return looksAgain && isKept ? [...work, 'look at what was replaced'] : work
}

/** Behind its fence an old primary may run and even answer us: nobody else reaches it. */
export function isBehindFence(state: ClusterState, id: NodeId): boolean {
  return state.nodes[id]?.fenced === true && id !== state.primary
}
