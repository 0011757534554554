/** What clients can do right now, as far as the observers see. */
import { isOutOfRecovery } from './classify.ts'
import type { Reading } from './facts.ts'
import { countOf, type NodeSight } from './sight.ts'
import type { Availability, ClusterState } from './types.ts'

/** A hint like every report: for people, never for a decision. */
export function availability({ facts, sight, state }: Reading): Availability {
  const primary = sight.nodes.get(facts.primary)
  const reasons: string[] = []
  const answers = (node: NodeSight) => countOf(node, (c) => isOutOfRecovery(c) || c === 'recovery') > 0
  const writable = countOf(primary, (c) => c === 'writable')
  const stopped = state?.plan?.writeStop?.node === facts.primary
  if (!state) reasons.push('there is no state to say which node is the primary')
  else if (stopped) reasons.push(`writes on ${facts.primary} are stopped for a switchover`)
  else if (writable > 0)
    reasons.push(`${facts.primary} accepts writes for ${writable} of ${facts.configured} observers`)
  else if (facts.blocked > 0) reasons.push(`commits on ${facts.primary} wait: nobody acknowledges them`)
  else reasons.push(`${facts.primary} accepts no writes`)
  const readers = [...sight.nodes].filter(([, node]) => answers(node)).map(([id]) => id)
  reasons.push(
    readers.length > 0
      ? `${readers.join(', ')} ${readers.length > 1 ? 'answer' : 'answers'} reads`
      : 'no node answers reads',
  )
  const stale = state ? readers.filter((id) => isStale(state, id, facts.streaming)) : []
  if (stale.length > 0) reasons.push(`${stale.join(', ')} may answer with old data`)
  return {
    writes: state !== null && writable > 0 && !stopped,
    reads: readers.length > 0,
    staleReads: stale.length > 0,
    reasons,
  }
}

/** It answers, and nothing shows that it keeps up with the primary. */
function isStale(state: ClusterState, id: string, streaming: readonly string[]): boolean {
  return id !== state.primary && !streaming.includes(id)
}
