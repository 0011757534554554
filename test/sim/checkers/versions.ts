/** Section 4, H22: no decision parts from its explanation, no version is skipped, no term goes back. */
import type { ClusterState } from '../../../functions/core/types.ts'
import type { History, Violation } from '../history.ts'
import { isBeat, reporter, statesOf } from './track.ts'

export function versionsAndEvents(history: History): Violation[] {
  const { found, report } = reporter('versions and events')
  for (const { deployment, all } of statesOf(history)) {
    const kept = new Set(history.ended.events[deployment] ?? [])
    const last = all.at(-1)?.state
    for (const written of all) {
      const { state, before } = written
      const { atMs } = written.entry
      const say = (message: string) => report(atMs, `${deployment}: ${message}`)
      if (before && state.version !== before.version + 1)
        say(`version ${state.version} follows ${before.version}`)
      if (before && state.term < before.term) say(`term ${state.term} follows ${before.term}`)
      if (before && state.beat < before.beat) say(`beat ${state.beat} follows ${before.beat}`)
      const { lastEvent } = state
      if (isBeat(written)) {
        if (before && !isSame(before, state))
          say(`version ${state.version} changes phase or plan without an event of its own`)
        continue
      }
      if (lastEvent.version !== state.version)
        say(`version ${state.version} carries the event of ${lastEvent.version}`)
      if (lastEvent.term !== state.term)
        say(`version ${state.version} of term ${state.term} carries an event of term ${lastEvent.term}`)
      // The next writer stores it; the last one may not have had a next.
      const isLast = last?.lastEvent.version === lastEvent.version
      if (!isLast && !kept.has(`${lastEvent.term}.${lastEvent.version}`))
        say(`the event of version ${state.version} is not in the history`)
    }
  }
  return found
}

/** S4, H06: a claim's id is new for each invocation; only a command keeps or takes what another one holds. */
export function claimsAnew({ entries }: History): Violation[] {
  const { found, report } = reporter('claims anew')
  const owners = new Map<string, string>()
  for (const entry of entries) {
    if (entry.kind !== 'state' || !entry.state.claim) continue
    const { id } = entry.state.claim
    const key = `${entry.deployment} ${id}`
    const owner = owners.get(key)
    if (owner === undefined) owners.set(key, entry.by)
    else if (owner !== entry.by && !entry.by.startsWith('command'))
      report(entry.atMs, `${entry.by} stored the claim ${id} of ${owner}`)
  }
  return found
}

/** As far as an operation goes by it; a beat changes nothing of this. */
function isSame(a: ClusterState, b: ClusterState): boolean {
  const short = ({ phase, primary, plan }: ClusterState) =>
    `${phase} ${primary} ${plan?.target} ${plan?.evidence.length} ${plan?.fenceRequested.length} ${plan?.promotedTimeline}`
  return short(a) === short(b)
}
