/** What must be true once everything is healed: a controller that never acts is safe, and of no use. */
import type { EndedServer, EntryOf, History, Violation } from '../history.ts'
import { reporter } from './track.ts'

/** Writable, redundant, correctly named, and so recorded. */
export function wellInTheEnd(history: History): Violation[] {
  const { found, report } = reporter('well in the end')
  const { ended, config, endedAtMs } = history
  const say = (message: string) => report(endedAtMs, message)
  const { name } = ended
  const state = name.owner === null ? undefined : ended.states[name.owner]
  if (state === undefined) {
    say(`the name belongs to ${name.owner ?? 'nobody'}, which has no state`)
    return found
  }
  if (state.phase !== 'steady') say(`it is ${state.phase}: ${state.lastEvent.message}`)
  if (name.target !== state.primary) say(`the name leads to ${name.target}, the primary is ${state.primary}`)
  if ((name.term ?? 0) > state.term)
    say(`the name carries term ${name.term}, the state is of term ${state.term}`)
  for (const server of ended.servers) {
    const why =
      server.id === state.primary ? whyNoPrimary(server) : whyNoStandby(server, state.primary, history)
    if (why !== null) say(`${server.id} ${why}`)
  }
  if (config.policy.synchronous === 'managed' && state.synchronous.status !== 'provable')
    say(`its synchronous list is ${state.synchronous.status}: ${state.synchronous.reasons.join('; ')}`)
  return found
}

function whyNoPrimary({ running, inRecovery, writable }: EndedServer): string | null {
  if (!running) return 'is the primary and does not run'
  if (inRecovery) return 'is the primary and in recovery'
  return writable ? null : 'is the primary and no commit returns'
}

function whyNoStandby(server: EndedServer, primary: string, { config, ended }: History): string | null {
  if (server.running && !server.inRecovery) return 'is out of recovery beside the primary'
  // What nobody but a person may bring back is not asked for.
  const isByHand = config.engine === 'postgres' && (config.policy.rejoin === 'never' || config.host === null)
  if (isByHand) return null
  if (!server.running) return 'does not run'
  if (server.streamsFrom !== primary)
    return `streams from ${server.streamsFrom ?? 'nobody'}, not from ${primary}`
  const of = ended.servers.find((each) => each.id === primary)
  if (config.engine === 'postgres' && of !== undefined && server.timeline !== of.timeline)
    return `is on timeline ${server.timeline}, the primary on ${of.timeline}`
  return null
}

/** A story knows its own faults, and by when the name must lead to somebody who writes although they last. */
export function promisesKept(history: History): Violation[] {
  const { found, report } = reporter('promise kept')
  const open: EntryOf<'promise'>[] = []
  const writers = new Map<string, { reign: number; accepts: boolean }>()
  let target: string | null = null
  const judge = (atMs: number) => {
    for (const promise of open.splice(0)) {
      if (promise.untilMs >= atMs) {
        open.push(promise)
        continue
      }
      if (promise.ends !== undefined) {
        if (writers.get(promise.ends)?.accepts)
          report(promise.untilMs, `${promise.what}: ${promise.ends} still accepts writes`)
        continue
      }
      const newest = Math.max(0, ...[...writers.values()].map((each) => each.reign))
      const writer = target === null ? undefined : writers.get(target)
      if (!writer?.accepts || writer.reign < newest)
        report(
          promise.untilMs,
          `${promise.what}: the name leads to ${target}, which is not the newest writer`,
        )
    }
  }
  for (const entry of history.entries) {
    if (open.length > 0) judge(entry.atMs)
    if (entry.kind === 'promise') open.push(entry)
    else if (entry.kind === 'writer') writers.set(entry.node, entry)
    else if (entry.kind === 'name') target = entry.target
  }
  judge(history.endedAtMs)
  return found
}
