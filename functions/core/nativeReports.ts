/** What the reports say of an engine that elects by itself. Its timelines do not rise, and its readers show no stream. */
import { isOutOfRecovery } from './classify.ts'
import type { Sight } from './sight.ts'
import type { ClusterState, NodeId, ObserverId } from './types.ts'

/** Observers whose last report has the node out of recovery. */
function seenOut(sight: Sight, id: NodeId): ObserverId[] {
  const by = sight.nodes.get(id)?.by ?? new Map()
  return [...by].filter(([, node]) => isOutOfRecovery(node.class)).map(([observer]) => observer)
}

/** Another node that a quorum sees as the writer, of observers that do not see the recorded primary as one too. */
export function electedWriter(state: ClusterState, sight: Sight): NodeId | null {
  const primary = seenOut(sight, state.primary)
  const elected = [...sight.nodes.keys()].filter((id) => {
    const seen = seenOut(sight, id).filter((observer) => !primary.includes(observer))
    return id !== state.primary && seen.length >= sight.quorum
  })
  return elected.length === 1 ? (elected[0] ?? null) : null
}

/**
 * Two writers are what a quorum saw in one and the same round of probes: a report of before an election beside one of
 * after it is none.
 */
export function nativeWriters(
  state: ClusterState | null,
  sight: Sight,
  target: NodeId | null,
): { otherWriters: NodeId[]; primaryOut: boolean } {
  if (state === null) return { otherWriters: [], primaryOut: false }
  const primary = seenOut(sight, state.primary)
  const otherWriters = [...sight.nodes.keys()].filter((id) => {
    const both = seenOut(sight, id).filter((observer) => primary.includes(observer))
    return id !== state.primary && id !== target && both.length >= sight.quorum
  })
  return { otherWriters, primaryOut: primary.length > 0 }
}

export function nativeWorkLeft(state: ClusterState): string[] {
  return Object.entries(state.nodes).flatMap(([id, { role, possibleWriter }]) =>
    id === state.primary || (role === 'standby' && possibleWriter === null) ? [] : [`the return of ${id}`],
  )
}

/** Old writers that are not known to be blocked: the fence of a global failover is best effort. */
export function writersNotBlocked(state: ClusterState): NodeId[] {
  return Object.entries(state.nodes).flatMap(([id, { role, possibleWriter, fenced }]) =>
    id !== state.primary && role === 'quarantined' && possibleWriter !== null && !fenced ? [id] : [],
  )
}
