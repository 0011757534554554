/** What several checkers follow while they walk through a history: small, and of the history alone. */
import type { ClusterState, NodeId } from '../../../functions/core/types.ts'
import type { Entry, EntryOf, History, ObserverId, Violation } from '../history.ts'

export const reporter = (property: string) => {
  const found: Violation[] = []
  return {
    found,
    report(atMs: number, message: string): void {
      found.push({ property, atMs, message })
    },
  }
}

export const quorumOf = (history: History) => Math.floor(history.observers.length / 2) + 1

/** Whom an observer would be answered by now, and since when; the entries of `sight` keep it true. */
export class Sights {
  private readonly by = new Map<string, { answer: EntryOf<'sight'>['answer']; sinceMs: number }>()

  see({ from, node, answer, atMs }: EntryOf<'sight'>): void {
    this.by.set(`${from}>${node}`, { answer, sinceMs: atMs })
  }

  of(from: ObserverId, node: NodeId): EntryOf<'sight'>['answer'] | undefined {
    return this.by.get(`${from}>${node}`)?.answer
  }

  /** Observers that this node has answered without a break since then. */
  answeredSince(observers: readonly ObserverId[], node: NodeId, sinceMs: number): number {
    return observers.filter((from) => {
      const way = this.by.get(`${from}>${node}`)
      return way?.answer === 'answers' && way.sinceMs <= sinceMs
    }).length
  }

  /** Observers that this node has given no answer since then. */
  silentSince(observers: readonly ObserverId[], node: NodeId, sinceMs: number): number {
    return observers.filter((from) => {
      const way = this.by.get(`${from}>${node}`)
      return way !== undefined && way.answer !== 'answers' && way.sinceMs <= sinceMs
    }).length
  }
}

/** The states of one deployment, one after the other; what a person put back begins a list of its own. */
export interface Written {
  readonly entry: EntryOf<'state'>
  readonly state: ClusterState
  readonly before: ClusterState | undefined
}

export function statesOf({ entries }: History): { deployment: string; all: Written[] }[] {
  const lists: { deployment: string; all: Written[] }[] = []
  const newest = new Map<string, { list: Written[]; before: ClusterState | undefined }>()
  const begin = (deployment: string, before?: ClusterState) => {
    const own = { list: [], before }
    newest.set(deployment, own)
    lists.push({ deployment, all: own.list })
    return own
  }
  for (const entry of entries) {
    if (entry.kind === 'restored') begin(entry.deployment, entry.state)
    if (entry.kind !== 'state') continue
    const own = newest.get(entry.deployment) ?? begin(entry.deployment)
    own.list.push({ entry, state: entry.state, before: own.before })
    own.before = entry.state
  }
  return lists
}

/** A claim of a new term by an operation, as its first write shows it. */
export const isClaim = ({ state, before }: Pick<Written, 'state' | 'before'>) =>
  before !== undefined && state.term > before.term && state.phase === 'confirming' && state.plan !== null

export const isBeat = ({ state, before }: Pick<Written, 'state' | 'before'>) =>
  before !== undefined && before.lastEvent.version === state.lastEvent.version

export const isAutomaticFailover = ({ plan }: ClusterState) =>
  plan?.automatic === true && plan.kind === 'failover'

export type { Entry }
