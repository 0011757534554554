/**
 * Follows an operation that was started by hand: shows what happens in its term until it is over. It only reads; when
 * it ends early, the operation goes on.
 */
import { isRefusal } from '../functions/core/events.ts'
import type { ClusterState, Event } from '../functions/core/types.ts'
import { clustersOf, explanationOf, type Started } from './answers.ts'
import type { Asked } from './ask.ts'

export interface FollowOptions {
  readonly cluster: string
  readonly started: Started
  readonly waitMinutes: number
  /** Ends the wait, not the operation. */
  readonly interrupted: AbortSignal
  readonly ask: (request: Record<string, unknown>) => Promise<Asked>
  readonly show: (event: Event) => void
  readonly note: (text: string) => void
  readonly sleep: (ms: number) => Promise<void>
  readonly monotonicMs: () => number
}

export type End =
  | { readonly end: 'done'; readonly message: string }
  /** Nothing was changed, or it was undone. */
  | { readonly end: 'refused'; readonly reasons: readonly string[] }
  | { readonly end: 'unfinished'; readonly reason: string }

const pollMs = 500
const eventsAtOnce = 100

interface View {
  readonly state: ClusterState
  /** Of this operation, oldest first. */
  readonly events: readonly Event[]
}

export async function follow(options: FollowOptions): Promise<End> {
  const { cluster, started } = options
  const deadlineMs = options.monotonicMs() + options.waitMinutes * 60_000
  const shown = new Set<string>()
  let { term } = started
  let seenVersion = -1
  let events: readonly Event[] = []
  let silent = ''
  for (;;) {
    const state = await readState(options)
    if (typeof state === 'string') {
      if (state !== silent) options.note(`${state}; trying again`)
      silent = state
    } else {
      silent = ''
      // A refusal makes no version.
      if (state.version !== seenVersion || state.term < started.term) {
        const read = await readEvents(options)
        if (read) {
          events = read
          seenVersion = state.version
        }
      }
      const resumed = resumedAs(state, term, events)
      if (resumed !== undefined) term = resumed
      const view = {
        state,
        events: events.filter((event) => event.term >= started.term && event.term <= term),
      }
      for (const event of view.events) {
        const key = `${event.term}.${event.version}.${event.kind}.${event.message}`
        if (!shown.has(key)) options.show(event)
        shown.add(key)
      }
      const end = refusalOf(events, started) ?? endOf(view, term, started)
      if (end) return end
    }
    if (options.interrupted.aborted) return { end: 'unfinished', reason: `interrupted: ${goesOn(cluster)}` }
    if (options.monotonicMs() > deadlineMs) {
      const reason =
        shown.size === 0 ? notBegun(started) : `not finished within ${options.waitMinutes} minutes`
      return { end: 'unfinished', reason: `${reason}; ${goesOn(cluster)}` }
    }
    await options.sleep(pollMs)
  }
}

const goesOn = (cluster: string) =>
  `the operation goes on by itself, \`understudy status ${cluster}\` shows how far it is`

const notBegun = ({ execution, term }: Started) =>
  `term ${term} has not begun: Step Functions shows why the execution ${execution} has not`

async function readState({ ask, cluster }: FollowOptions): Promise<ClusterState | string> {
  const asked = await ask({ command: 'status', cluster })
  if (asked.kind === 'failed') return asked.message
  if (asked.answer.outcome === 'refused') return asked.answer.reasons.join('; ')
  const status = clustersOf(asked.answer)[0]
  return (
    status?.state ?? `the state of ${cluster} can not be read: ${status?.problems.join('; ') || 'it is gone'}`
  )
}

async function readEvents({ ask, cluster }: FollowOptions): Promise<readonly Event[] | undefined> {
  const asked = await ask({ command: 'explain', cluster, limit: eventsAtOnce })
  if (asked.kind === 'failed' || asked.answer.outcome === 'refused') return undefined
  return explanationOf(asked.answer).events.toReversed()
}

/** A resume takes a new term over the same operation: it is followed on, other newer terms are somebody else's. */
function resumedAs(state: ClusterState, term: number, events: readonly Event[]): number | undefined {
  if (state.term <= term) return undefined
  const claim = events.find((event) => event.term === term + 1 && event.kind === 'claimed')
  return claim?.message.startsWith('resume ') ? term + 1 : undefined
}

/** Refused at the claim: nothing began, whatever has become of the cluster since. */
function refusalOf(events: readonly Event[], { execution }: Started): End | undefined {
  const own = events.find((event) => isRefusal(event) && event.facts.execution === execution)
  return own && { end: 'refused', reasons: [`${own.row}: ${own.message}`] }
}

function endOf({ state, events }: View, term: number, started: Started): End | undefined {
  if (state.term < started.term) return undefined
  const claimed = events.find((event) => event.term === started.term && event.kind === 'claimed')
  const holder = String(claimed?.facts.execution ?? started.execution)
  if (!holder.endsWith(started.execution)) {
    return {
      end: 'refused',
      reasons: [
        `term ${started.term} was claimed first by ${claimed?.by} (${claimed?.message}): this one does nothing`,
      ],
    }
  }
  const last = (kind: string) => events.findLast((event) => event.kind === kind)
  const repointed = last('repointed')
  if (repointed) {
    return {
      end: 'done',
      message: `${state.primary} is the primary of ${state.cluster} since term ${repointed.term}`,
    }
  }
  if (state.term > term) {
    return { end: 'unfinished', reason: `superseded: the cluster is ${state.phase} in term ${state.term}` }
  }
  if (state.phase === 'halted')
    return { end: 'unfinished', reason: `halted: ${state.halted?.reason ?? 'no reason recorded'}` }
  if (state.phase !== 'steady' && state.phase !== 'settling') return undefined
  const ended = last('stood down') ?? last('paged')
  // Without its event in sight yet, the next poll says why.
  return ended === undefined
    ? undefined
    : { end: 'refused', reasons: [`stood down: ${ended.row ? `${ended.row}: ` : ''}${ended.message}`] }
}
