/**
 * Is the promotion done, and what is next? PromoteReadReplica is answered long before anything happens: the status stays
 * `available` for a while, turns `available` again before the end, and the server accepts writes before RDS restarts it.
 * So it is done only when the status, the source and a write of our own say so together (S5).
 */
import type { ProviderInstance } from './managedView.ts'
import { withNodes } from './state.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type {
  ClusterState,
  Evidence,
  ManagedConfig,
  NodeId,
  NodeStatus,
  Plan,
  ProbeRow,
  ReplacedInstance,
  SynchronousSet,
} from './types.ts'

export interface ManagedPromoteInput {
  readonly managed: ManagedConfig
  readonly target: NodeId
  readonly resourceId: string | null
  /** False: the Region of the target does not answer. */
  readonly answers: boolean
  readonly view: ProviderInstance | null
  /** What any observer's look with a write probe read of it. */
  readonly row: ProbeRow | null
  readonly fromTimeline: number
  /** RDS accepted the promotion, as far as this operation knows. */
  readonly accepted: boolean
  /** Looks in a row, in this invocation, in which an accepted promotion did not show. */
  readonly unseen: number
  /** Wait states of promote so far. */
  readonly waits: number
}

export type ManagedPromoteFacts = {
  readonly target: NodeId
  readonly resourceId: string | null
  readonly answers: boolean
  readonly status: string | null
  readonly source: string | null
  readonly writable: boolean
  readonly committed: boolean
  readonly accepted: boolean
  readonly unseenTooOften: boolean
}

export type PromoteDoes = 'done' | 'wait' | 'promote' | 'lost'

export interface PromoteAnswer {
  readonly does: PromoteDoes
  readonly row: string
  readonly reason: string
  readonly facts: ManagedPromoteFacts
}

/**
 * Looks without a sign of a promotion that was accepted, and returns of the step, until it is asked for again: RDS takes
 * the better part of a minute to show it, and refuses a second one.
 */
const unseenMost = 8
const returnsBetween = 6

const rows: readonly Row<ManagedPromoteFacts, PromoteDoes>[] = [
  {
    id: 'M1',
    when: 'RDS does not answer in the Region of the target',
    test: (f) => !f.answers,
    does: 'wait',
    reason: 'RDS does not answer in the Region of {target}',
  },
  {
    id: 'M2',
    when: 'there is no instance any more with the resource id of the target',
    test: (f) => f.status === null,
    does: 'lost',
    reason:
      '{target}: {resourceId} is not among the instances any more; another instance is not promoted in its place',
  },
  {
    id: 'M3',
    when: 'available, without a source, and a commit returned',
    test: (f) => f.status === 'available' && f.source === null && f.committed,
    does: 'done',
    reason: '{target} is available, replicates from nobody, and a commit returned',
  },
  {
    id: 'M4',
    when: 'available and without a source, and no commit returned yet',
    test: (f) => f.status === 'available' && f.source === null,
    does: 'wait',
    reason: '{target} is promoted by the word of RDS, but no commit returned yet',
  },
  {
    id: 'M5',
    when: 'without a source, and not available',
    test: (f) => f.source === null,
    does: 'wait',
    reason: '{target} replicates from nobody and is {status}: its promotion is not over',
  },
  {
    id: 'M6',
    when: 'it accepts writes, and RDS still names its source',
    test: (f) => f.writable,
    does: 'wait',
    reason:
      '{target} accepts writes and is {status}, but RDS still names {source} as its source: not over, it may restart',
  },
  {
    id: 'M7',
    when: 'a replica that is being backed up, which forbids its promotion',
    test: (f) => f.status === 'backing-up',
    does: 'wait',
    reason: '{target} is being backed up: its promotion is asked for when that is over',
  },
  {
    id: 'M8',
    when: 'a replica, and RDS is doing something with it: the promotion, or what has to end before it',
    test: (f) => f.status !== 'available',
    does: 'wait',
    reason: '{target} is {status}, and RDS names {source} as its source',
  },
  {
    id: 'M9',
    when: 'available, still a replica, although the promotion was accepted: the status is slow to change',
    test: (f) => f.accepted && !f.unseenTooOften,
    does: 'wait',
    reason:
      '{target} is still called available and a replica of {source}, although its promotion was accepted',
  },
  {
    id: 'M10',
    when: 'available and a replica, and the promotion was not accepted yet, or has not shown for many looks',
    test: () => true,
    does: 'promote',
    reason: '{target} is available and a replica of {source}: its promotion is asked for',
  },
]

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const managedPromoteRows = listRows(rows)

export const promotionBy = (facts: ManagedPromoteFacts) => firstMatch(rows, facts)

export function decidePromotion(input: ManagedPromoteInput): PromoteAnswer {
  const facts = readFacts(input)
  const row = promotionBy(facts)
  return { does: row.does, row: row.id, reason: fill(row.reason, facts), facts }
}

function readFacts(input: ManagedPromoteInput): ManagedPromoteFacts {
  const { row, view, managed } = input
  // PostgreSQL forks its timeline with every promotion; MySQL has none.
  const forked = managed.family !== 'postgres' || (row?.timeline ?? 0) > input.fromTimeline
  const writable = row !== null && !row.inRecovery && forked
  return {
    target: input.target,
    resourceId: input.resourceId,
    answers: input.answers,
    status: view?.status ?? null,
    source: view?.source?.identifier ?? null,
    writable,
    committed: writable && row.writeProbe === 'ok',
    accepted: input.accepted,
    unseenTooOften: input.unseen >= unseenMost && input.waits % returnsBetween === returnsBetween - 1,
  }
}

/** Nobody acknowledges for anybody: RDS replicates asynchronously between instances. */
export function asynchronousSet(primary: NodeId): SynchronousSet {
  return {
    status: 'asynchronous',
    names: '',
    method: null,
    k: 0,
    listed: [],
    primary,
    reasons: ['replicas of RDS are asynchronous'],
  }
}

const isHeld = (evidence: Evidence) => evidence.kind === 'closedAndRebooted'

/**
 * The statuses after the promotion. The old primary is quarantined behind its fence. The other replicas still follow it
 * and never come over: only new ones help.
 */
export function managedPromotedNodes(
  state: ClusterState,
  plan: Plan,
  { target, timeline }: { target: NodeId; timeline: number },
): ClusterState['nodes'] {
  const { term } = state
  const patches: Record<NodeId, Partial<NodeStatus>> = {}
  for (const [id, status] of Object.entries(state.nodes)) {
    if (id === target) {
      const possibleWriter = { term, timeline, synchronous: asynchronousSet(target) }
      patches[id] = { role: 'primary', term, possibleWriter, fenced: false, rejoin: 'none' }
    } else if (status.possibleWriter !== null) {
      const fenced = plan.evidence.some((each) => each.node === id && each.term === term && isHeld(each))
      patches[id] = { role: 'quarantined', term, fenced, rejoin: 'none' }
    } else if (status.role !== 'diverged') patches[id] = { role: 'diverged', term, rejoin: 'none' }
  }
  return withNodes(state, patches)
}

/** The old primary's instance is kept in mind under its resource id, whatever takes its name. */
export function withReplaced(
  replaced: readonly ReplacedInstance[],
  next: ReplacedInstance | null,
): readonly ReplacedInstance[] {
  if (next === null || replaced.some((each) => each.resourceId === next.resourceId)) return replaced
  return [...replaced, next]
}
