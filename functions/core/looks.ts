/** What several looks together say of a node: a majority of the configured observers, or nothing (S6). */
import type { Look, NodeClass, NodeId, ObserverId, ProbeRow } from './types.ts'

export interface Agreement {
  /** The class that a majority of the configured observers saw; `unknown` when there is none. */
  readonly class: NodeClass
  /** How many saw each class. */
  readonly votes: Readonly<Partial<Record<NodeClass, number>>>
  /** The answer with the furthest position among those of the agreed class; null when it is not an answer. */
  readonly row: ProbeRow | null
}

export function agreement(looks: readonly Look[], observers: readonly ObserverId[], node: NodeId): Agreement {
  const votes: Partial<Record<NodeClass, number>> = {}
  for (const look of counted(looks, observers)) {
    const seen = look.nodes[node]?.class ?? 'unknown'
    votes[seen] = (votes[seen] ?? 0) + 1
  }
  const majority = Math.floor(observers.length / 2) + 1
  const agreed = (Object.keys(votes) as NodeClass[]).find((each) => (votes[each] ?? 0) >= majority)
  const row = furthestRow(looks, node, agreed)
  return { class: agreed ?? 'unknown', votes, row }
}

/** One look per configured observer whose canary did not fail. */
export function counted(looks: readonly Look[], observers: readonly ObserverId[]): Look[] {
  return observers
    .map((observer) => looks.find((look) => look.observer === observer))
    .filter((look): look is Look => look !== undefined && look.canary !== false)
}

function furthestRow(looks: readonly Look[], node: NodeId, agreed: NodeClass | undefined): ProbeRow | null {
  let best: ProbeRow | null = null
  for (const look of looks) {
    const seen = look.nodes[node]
    if (!seen || seen.class !== agreed || seen.outcome.kind !== 'answered') continue
    if (best === null || seen.outcome.row.positionBytes > best.positionBytes) best = seen.outcome.row
  }
  return best
}

/** Any observer's answer of a node, furthest position first: for what needs a fact and no verdict. */
export function anyRow(looks: readonly Look[], node: NodeId): ProbeRow | null {
  let best: ProbeRow | null = null
  for (const look of looks) {
    const outcome = look.nodes[node]?.outcome
    if (outcome?.kind !== 'answered') continue
    if (best === null || outcome.row.positionBytes > best.positionBytes) best = outcome.row
  }
  return best
}
