/** S1, S2: at most one writer. By what clients were told, by who was promoted, and by whether the evidence was true. */
import type { ClusterState, NodeId } from '../../../functions/core/types.ts'
import type { EntryOf, History, Violation } from '../history.ts'
import { reporter } from './track.ts'

/**
 * Once a commit of a later reign was acknowledged, none of an earlier one may be: two writers were there for clients. A
 * reign that somebody began by hand is that person's: beside it whoever wrote before goes on.
 */
export function oneWriter({ entries }: History): Violation[] {
  const { found, report } = reporter('one writer')
  let newest: EntryOf<'acknowledged'> | undefined
  const byHand = new Set<number>()
  for (const entry of entries) {
    if (entry.kind === 'promoted' && entry.term === null) byHand.add(entry.reign)
    if (entry.kind !== 'acknowledged' || byHand.has(entry.reign)) continue
    const { atMs, node, reign, commit } = entry
    if (newest === undefined || reign > newest.reign) newest = entry
    else if (reign < newest.reign)
      report(
        atMs,
        `${node} acknowledged commit ${commit} of reign ${reign} after ${newest.node} had acknowledged ${newest.commit} of reign ${newest.reign}`,
      )
    else if (node !== newest.node)
      report(atMs, `reign ${reign} is acknowledged by ${newest.node} and by ${node}`)
  }
  return found
}

/** A term promotes one node. What somebody does by hand has no term. */
export function onePromotion({ entries }: History): Violation[] {
  const { found, report } = reporter('one promotion')
  const promoted = new Map<string, NodeId>()
  for (const entry of entries) {
    if (entry.kind === 'restored') promoted.clear()
    if (entry.kind !== 'promoted' || entry.term === null) continue
    const key = `${entry.deployment} ${entry.term}`
    const other = promoted.get(key)
    if (other !== undefined && other !== entry.node)
      report(entry.atMs, `term ${entry.term} of ${entry.deployment} promoted ${other} and ${entry.node}`)
    promoted.set(key, entry.node)
  }
  return found
}

/**
 * A writer that has let commits in for so long was no accident of the moment in which the evidence was read, stored, or
 * acted upon (a person may start a server at any time): longer than any invocation that acts lives.
 */
const standingMs = 80_000

/** Facts that say that a server does not run out of recovery at all. Behind a quorum or a closed group it still may. */
const downKinds: readonly string[] = ['instanceStopped', 'frozenInRecovery']

/** S2: evidence is true when it is recorded, and when the promotion that rests on it takes effect (H02). */
export function trueEvidence({ entries }: History): Violation[] {
  const { found, report } = reporter('true evidence')
  const accepting = new Map<NodeId, number>()
  const known = new Map<string, ClusterState>()
  const standing = (node: NodeId, atMs: number) => {
    const sinceMs = accepting.get(node)
    return sinceMs !== undefined && atMs - sinceMs >= standingMs
  }
  const judge = (state: ClusterState, atMs: number, old: ClusterState['plan'], when: string) => {
    for (const each of state.plan?.evidence ?? []) {
      if (each.term !== state.term || !downKinds.includes(each.kind) || old?.evidence.includes(each)) continue
      if (standing(each.node, atMs))
        report(
          atMs,
          `${when} rests on ${each.kind} of ${each.node} in term ${state.term}, and ${each.node} has accepted writes since ${accepting.get(each.node)}`,
        )
    }
  }
  for (const entry of entries) {
    const { atMs } = entry
    if (entry.kind === 'writer') {
      if (!entry.accepts) accepting.delete(entry.node)
      else if (!accepting.has(entry.node)) accepting.set(entry.node, atMs)
    } else if (entry.kind === 'state') {
      const before = known.get(entry.deployment)
      known.set(entry.deployment, entry.state)
      const isNew = entry.state.plan?.evidence !== before?.plan?.evidence
      if (isNew && entry.state.plan?.promotedTimeline === null)
        judge(entry.state, atMs, before?.term === entry.state.term ? before.plan : null, 'the fence')
    } else if (entry.kind === 'promoted' && entry.deployment !== null) {
      const state = known.get(entry.deployment)
      if (state?.term === entry.term) judge(state, atMs, null, `the promotion of ${entry.node}`)
    }
  }
  return found
}
