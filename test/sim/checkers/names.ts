/** Section 7: the term of the name never goes back, and it leads only to whom its term made the primary. */
import type { ClusterState, NodeId } from '../../../functions/core/types.ts'
import type { EntryOf, History, Violation } from '../history.ts'
import { reporter } from './track.ts'

/**
 * Over all deployments: a take-over begins above the term that it finds. What a person changes by hand is taken as it is,
 * and is where the next comparison begins.
 */
export function nameForward({ entries }: History): Violation[] {
  const { found, report } = reporter('name forward')
  let before: EntryOf<'name'> | undefined
  for (const entry of entries) {
    if (entry.kind !== 'name') continue
    const { deployment, owner, term, atMs, by } = entry
    if (deployment !== null && before !== undefined) {
      if (before.term !== null && (term === null || term < before.term))
        report(
          atMs,
          `the name went from term ${before.term} of ${before.owner} to ${term} of ${owner} (${by})`,
        )
      if (before.owner !== null && owner !== before.owner && !isAdopt(by))
        report(atMs, `${deployment} took the name from ${before.owner} without a take-over (${by})`)
      if (owner !== deployment) report(atMs, `${deployment} wrote a token of ${owner} (${by})`)
    }
    before = entry
  }
  return found
}

/** Only a person takes a name over (H17). */
const isAdopt = (by: string) => by.includes('adopt')

/** The target of the name is the primary that its deployment recorded in that term; after a promotion nobody else. */
export function nameOfTarget({ entries }: History): Violation[] {
  const { found, report } = reporter('name of the target')
  const primaries = new Map<string, NodeId>()
  for (const entry of entries) {
    if (entry.kind === 'state' || entry.kind === 'restored') {
      const { term, primary } = entry.state
      primaries.set(`${entry.deployment} ${term}`, primary)
    } else if (entry.kind === 'name' && entry.deployment !== null) {
      const { deployment, term, target, atMs } = entry
      const primary = primaries.get(`${deployment} ${term}`)

      if (primary === undefined)
        report(atMs, `the name carries term ${term} of ${deployment}, which has no state`)
      else if (target !== primary)
        report(
          atMs,
          `the name leads to ${target}, and the primary of term ${term} of ${deployment} is ${primary}`,
        )
    }
  }
  return found
}

/**
 * H17: two deployments share no condition but the name. Whoever began an operation when the name was another's acts on
 * nothing in it.
 */
export function ownerActs({ entries, deployments }: History): Violation[] {
  if (deployments.length < 2) return []
  const { found, report } = reporter('only the owner acts')
  const newest = new Map<string, ClusterState>()
  const strangers = new Set<string>()
  let owner: string | null = null
  for (const entry of entries) {
    if (entry.kind === 'name') owner = entry.owner
    else if (entry.kind === 'state') {
      const before = newest.get(entry.deployment)
      newest.set(entry.deployment, entry.state)
      const isNewTerm = before !== undefined && entry.state.term > before.term
      if (isNewTerm && owner !== null && owner !== entry.deployment && entry.state.phase === 'confirming')
        strangers.add(`${entry.deployment} ${entry.state.term}`)
    } else if (
      entry.kind === 'act' &&
      entry.seen &&
      strangers.has(`${entry.deployment} ${entry.seen.term}`)
    ) {
      if (entry.what === 'sql' && (entry.action.do === 'reconnect' || entry.action.do === 'measure')) continue
      const did = entry.what === 'sql' ? entry.action.do : entry.what
      report(
        entry.atMs,
        `${entry.by} of ${entry.deployment}: ${did} in term ${entry.seen.term}, which began when the name was ${owner}'s`,
      )
    }
  }
  return found
}
