/** rds: what assess makes of the state of a cluster, beside what reports show. */
import type { ClusterConfig, ClusterState, Issue, NodeId } from './types.ts'

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

/** Rows of `managedRank.ts` that end with nobody to promote, and not with a loss that could be approved. */
const nobody = ['P3', 'P4', 'P5']

/**
 * The fence holds, and nobody can be promoted: writes stay down until a replica comes back or a person goes back to the
 * old primary. An approval would change nothing.
 */
export function nobodyToPromote(
  cluster: ClusterConfig,
  { phase, plan, lastEvent }: ClusterState,
): Omit<Issue, 'sinceMs'> | null {
  const isWaiting = phase === 'promoting' && plan?.target === null && lastEvent.kind === 'paged'
  if (cluster.engine !== 'rds' || !isWaiting || !nobody.includes(lastEvent.row ?? '')) return null
  const { from, network } = plan
  const node = cluster.nodes.find((each) => each.id === from)
  const groups = network[from]?.groupsBefore.join(' ') || 'its own security groups'
  return {
    cluster: cluster.id,
    key: 'nobody-to-promote',
    severity: 'critical',
    message: `writes are down: ${from} is fenced, and ${lastEvent.message}`,
    todo: `Bring a replica back: one that answers is promoted by itself. If none comes back, go back to ${from}: run halt; aws rds modify-db-instance --region ${node?.region ?? ''} --db-instance-identifier ${node?.instanceId ?? from} --vpc-security-group-ids ${groups}; when it is available, run adopt. Steps: docs/runbook.md, "An RDS failover finds nobody to promote".`,
  }
}
