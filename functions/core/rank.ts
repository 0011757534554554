/**
 * Which node is promoted, and what that loses (S8, S10). Freeze, measure, choose, record, promote: this is "choose",
 * over frozen nodes only, so that no position moves while it is compared (H05).
 */
import { forbiddenTarget } from './domains.ts'
import { quorumNeeded } from './synchronous.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type {
  Approval,
  ClusterConfig,
  ClusterState,
  LossEstimate,
  NodeConfig,
  NodeId,
  Plan,
} from './types.ts'

type Measured = { readonly timeline: number; readonly positionBytes: number; readonly replayable: boolean }

export interface RankInput {
  readonly cluster: ClusterConfig
  readonly state: ClusterState
  readonly plan: Plan
  /** Frozen nodes, measured after their freeze. */
  readonly measurements: Readonly<Record<NodeId, Measured>>
  /** Why a node has no measurement. */
  readonly unmeasured: Readonly<Record<NodeId, string>>
  readonly to: NodeId | null
  readonly approval: Approval | null
  /** S10: age of the last look at which each node had everything, valid when the last fact of the fence arrived. */
  readonly caughtUpAgeMs: Readonly<Record<NodeId, number | null>>
  /** Switchover: end of the old primary's log. */
  readonly mustReachBytes: number | null
}

/** `target: null` with the reason: nothing is promoted. `passedOver` says of each other node why. */
export interface Ranking {
  readonly target: NodeId | null
  /** Who would be promoted if the loss were accepted. */
  readonly candidate: NodeId | null
  readonly row: string
  readonly reason: string
  readonly positionBytes: number | null
  readonly loss: LossEstimate
  readonly passedOver: Readonly<Record<NodeId, string>>
  /** What the row was chosen by, for the event (H22). */
  readonly facts: RankFacts
}

/** Flat: every value stands for itself in an event. */
export type RankFacts = {
  readonly recorded: NodeId | null
  readonly candidate: NodeId | null
  readonly positionBytes: number | null
  readonly to: NodeId | null
  readonly toRefused: string | null
  readonly furthest: NodeId | null
  readonly furthestBytes: number | null
  readonly passed: readonly string[]
  readonly switchover: boolean
  readonly mustReachBytes: number | null
  readonly nothingLost: boolean
  readonly whyNot: string
  readonly policy: 'never' | 'bounded' | 'availability'
  readonly boundMs: number
  readonly caughtUpAgeMs: number | null
  readonly approvedBy: string | null
  readonly term: number
}

type Does = 'promote' | 'refuse'
type RankRow = Row<RankFacts, Does> & { readonly loss: LossEstimate['provable'] }

const rows: readonly RankRow[] = [
  {
    id: 'R1',
    when: 'the target of this term is already written',
    test: (f) => f.recorded !== null,
    does: 'promote',
    loss: 'unknown',
    reason: 'term {term} has its one target, {recorded}; another needs a new term',
  },
  {
    id: 'R2',
    when: 'the wanted target is not eligible',
    test: (f) => f.to !== null && f.toRefused !== null,
    does: 'refuse',
    loss: 'unknown',
    reason: '{to} was asked for and can not be promoted: {toRefused}',
  },
  {
    id: 'R3',
    when: 'no node is eligible',
    test: (f) => f.candidate === null,
    does: 'refuse',
    loss: 'unknown',
    reason: 'no node can be promoted: {passed}',
  },
  {
    id: 'R4',
    when: 'the wanted target is behind another eligible node',
    test: (f) => f.to !== null && f.furthestBytes !== null && (f.positionBytes ?? 0) < f.furthestBytes,
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{to} was asked for, but it is at byte {positionBytes} of the log and {furthest} at {furthestBytes}: the difference would be lost',
  },
  {
    id: 'R5',
    when: 'switchover, and the end of the old log is not known yet',
    test: (f) => f.switchover && f.mustReachBytes === null,
    does: 'refuse',
    loss: 'unknown',
    reason: 'the end of the log of the old primary is not known yet',
  },
  {
    id: 'R6',
    when: 'the candidate has not received the end of the old log',
    test: (f) => f.mustReachBytes !== null && (f.positionBytes ?? -1) < f.mustReachBytes,
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{candidate} is at byte {positionBytes}, the log of the old primary ends at {mustReachBytes}: not all received yet',
  },
  {
    id: 'R7',
    when: 'nothing acknowledged can be lost',
    test: (f) => f.nothingLost,
    does: 'promote',
    loss: 'none',
    reason: '{candidate} is the furthest at byte {positionBytes}, and has every acknowledged commit',
  },
  {
    id: 'R8',
    when: 'loss is bounded in time, and the candidate had everything recently enough',
    test: (f) => f.policy === 'bounded' && f.caughtUpAgeMs !== null && f.caughtUpAgeMs <= f.boundMs,
    does: 'promote',
    loss: 'bounded',
    reason:
      '{candidate} is the furthest at byte {positionBytes} and had everything {caughtUpAgeMs} ms before the fence was sure; {boundMs} ms may be lost',
  },
  {
    id: 'R9',
    when: 'the policy prefers availability',
    test: (f) => f.policy === 'availability',
    does: 'promote',
    loss: 'unknown',
    reason: '{candidate} is the furthest at byte {positionBytes}; the policy is availability ({whyNot})',
  },
  {
    id: 'R10',
    when: 'a person accepted the loss, for this term and target',
    test: (f) => f.approvedBy !== null,
    does: 'promote',
    loss: 'unknown',
    reason: '{candidate} is the furthest at byte {positionBytes}; {approvedBy} accepted the loss ({whyNot})',
  },
  {
    id: 'R11',
    when: 'loss is bounded in time, and the bound can not be proved',
    test: (f) => f.policy === 'bounded',
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{candidate} is the furthest at byte {positionBytes}, but it last had everything {caughtUpAgeMs} ms before the fence was sure and {boundMs} ms may be lost; promoting it in term {term} needs an approval',
  },
  {
    id: 'R12',
    when: 'nothing may be lost, and that can not be proved',
    test: () => true,
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{candidate} is the furthest at byte {positionBytes}, but that nothing is lost can not be proved: {whyNot}; promoting it in term {term} needs an approval',
  },
]

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const rankRows = listRows(rows)

export const rankBy = (facts: RankFacts) => firstMatch(rows, facts)

export function rank(input: RankInput): Ranking {
  const { plan, state, to } = input
  const ineligible = whyIneligible(input)
  const order = rankEligible(input, ineligible)
  const furthest = order[0] ?? null
  const candidate = plan.target ?? (to === null ? furthest : ineligible.has(to) ? null : to)
  const at = (id: NodeId | null) => (id === null ? null : (input.measurements[id]?.positionBytes ?? null))
  const positionBytes = plan.target === null ? at(candidate) : plan.targetPositionBytes
  const caughtUpAgeMs = candidate === null ? null : caughtUpAge(input, candidate)
  const whyNot = candidate === null ? 'no candidate' : whyLossIsPossible(input, candidate)
  const { approval } = input
  const approved =
    approval?.acceptLoss &&
    approval.cluster === state.cluster &&
    approval.term === state.term &&
    candidate !== null &&
    approval.target === candidate
  const facts: RankFacts = {
    recorded: plan.target,
    candidate,
    positionBytes,
    to,
    toRefused: to === null ? null : (ineligible.get(to) ?? null),
    furthest,
    furthestBytes: at(furthest),
    passed: [...ineligible].map(([id, why]) => `${id}: ${why}`),
    switchover: plan.kind === 'switchover',
    mustReachBytes: input.mustReachBytes,
    nothingLost: input.mustReachBytes !== null || whyNot === null,
    whyNot: whyNot ?? 'nothing can be lost',
    policy: input.cluster.policy.loss.mode,
    boundMs: input.cluster.policy.loss.mode === 'bounded' ? input.cluster.policy.loss.seconds * 1000 : 0,
    caughtUpAgeMs,
    approvedBy: approved ? approval.by : null,
    term: state.term,
  }
  return toRanking(facts, plan, ineligible, order)
}

/** What every table of candidates says in the end: who, why nobody else, and what that loses. */
export function choiceOf(
  row: { readonly does: string; readonly reason: string; readonly loss: LossEstimate['provable'] },
  facts: { readonly candidate: NodeId | null; readonly caughtUpAgeMs: number | null },
  others: { readonly ineligible: ReadonlyMap<NodeId, string>; readonly order: readonly NodeId[] },
): { reason: string; target: NodeId | null; passedOver: Record<NodeId, string>; loss: LossEstimate } {
  const reason = fill(row.reason, facts)
  const target = row.does === 'promote' ? facts.candidate : null
  const passedOver: Record<NodeId, string> = Object.fromEntries(others.ineligible)
  for (const id of others.order) {
    if (id !== target) passedOver[id] = target === null ? reason : `${target} is further or preferred`
  }
  if (target !== null) delete passedOver[target]
  const provable = row.loss === 'unknown' && facts.caughtUpAgeMs !== null ? 'bounded' : row.loss
  const loss: LossEstimate = {
    provable: target === null ? 'unknown' : provable,
    boundMs: target === null ? null : row.loss === 'none' ? 0 : facts.caughtUpAgeMs,
    reason,
  }
  return { reason, target, passedOver, loss }
}

function toRanking(
  facts: RankFacts,
  plan: Plan,
  ineligible: ReadonlyMap<NodeId, string>,
  order: readonly NodeId[],
): Ranking {
  const row = rankBy(facts)
  const { reason, target, passedOver, loss: fresh } = choiceOf(row, facts, { ineligible, order })
  const loss = row.id === 'R1' ? (plan.loss ?? { provable: 'unknown', boundMs: null, reason }) : fresh
  return {
    target,
    candidate: facts.candidate,
    row: row.id,
    reason,
    positionBytes: target === null ? null : facts.positionBytes,
    loss,
    passedOver,
    facts,
  }
}

/** Of every configured node that may not be chosen: why. */
function whyIneligible(input: RankInput): ReadonlyMap<NodeId, string> {
  const why = new Map<NodeId, string>()
  for (const node of input.cluster.nodes) {
    const reason = ineligibility(input, node)
    if (reason !== null) why.set(node.id, reason)
  }
  if (input.to !== null && !input.cluster.nodes.some((node) => node.id === input.to)) {
    why.set(input.to, 'it is not a configured node')
  }
  return why
}

function ineligibility(input: RankInput, node: NodeConfig): string | null {
  const { plan, state, measurements, unmeasured } = input
  const { id } = node
  const status = state.nodes[id]
  if (id === plan.from) return 'it is the old primary'
  if (!status) return 'the state does not know it yet'
  const forbidden = forbiddenTarget(input.cluster, plan.from, node)
  if (forbidden !== null) return forbidden
  if (status.role === 'primary') return 'it is recorded as primary'
  if (status.role === 'rebuilding') return `it is being rebuilt (term ${status.term})`
  if (status.role === 'diverged') return 'it has diverged: only a fresh copy helps'
  if (status.role === 'quarantined') return 'it is quarantined: it may have been written to'
  if (status.fenced) return 'it is fenced'
  const measured = measurements[id]
  if (!measured) return unmeasured[id] ?? 'it has not been measured'
  const frozen = plan.frozen[id]
  if (!frozen) return 'it is not recorded as frozen for this term'
  // The timeline read in the session before the freeze: a frozen node has no receiver to tell it.
  const timeline = frozen.timeline ?? measured.timeline
  if (timeline !== plan.fromTimeline || measured.timeline !== plan.fromTimeline) {
    return `it is on timeline ${measured.timeline}, the primary's is ${plan.fromTimeline}`
  }
  if (!measured.replayable) return 'it can not replay all that it received (paused or delayed)'
  return null
}

/** Furthest first; preference breaks ties only, then the order of the configuration. */
function rankEligible(input: RankInput, ineligible: ReadonlyMap<NodeId, string>): NodeId[] {
  const at = (id: NodeId) => input.measurements[id]?.positionBytes ?? -1
  return input.cluster.nodes
    .filter((node) => !ineligible.has(node.id))
    .toSorted((a, b) => at(b.id) - at(a.id) || b.preference - a.preference)
    .map((node) => node.id)
}

/** Measured for this term and on the timeline of the old primary: the only ones that may be compared. */
function comparable({ plan, measurements }: RankInput, id: NodeId): Measured | undefined {
  const measured = measurements[id]
  const frozen = plan.frozen[id]
  if (!measured || !frozen || id === plan.from) return undefined
  if ((frozen.timeline ?? measured.timeline) !== plan.fromTimeline) return undefined
  return measured.timeline === plan.fromTimeline ? measured : undefined
}

/**
 * S8: an acknowledged commit is on some k of the N listed standbys, so on one of any N-k+1; the target has it when it
 * is at least as far as the furthest of those, promotable or not. Null: nothing can be lost.
 */
function whyLossIsPossible(input: RankInput, target: NodeId): string | null {
  const set = input.state.synchronous
  if (set.status !== 'provable')
    return `the synchronous list is ${set.status} (${set.reasons.join('; ') || 'no reason recorded'})`
  if (set.primary !== input.plan.from) return `the recorded list is that of ${set.primary}`
  const measured = set.listed.filter((id) => comparable(input, id))
  const needed = quorumNeeded(set)
  if (measured.length < needed) {
    return `a commit is acknowledged by ${set.k} of ${set.listed.join(', ')}, so ${needed} of them must be frozen and measured, and ${measured.length} are (${measured.join(', ') || 'none'})`
  }
  const at = (id: NodeId) => comparable(input, id)?.positionBytes ?? -1
  const ahead = measured.filter((id) => at(id) > at(target))
  return ahead.length === 0 ? null : `${ahead.join(', ')} has more of the log and can not be promoted`
}

/** What a node had that is not further than the target, the target has too: the best age among those counts. */
function caughtUpAge(input: RankInput, target: NodeId): number | null {
  const reach = comparable(input, target)?.positionBytes
  if (reach === undefined) return null
  const ages = Object.entries(input.caughtUpAgeMs).flatMap(([id, age]) => {
    const measured = comparable(input, id)
    return age !== null && measured && measured.positionBytes <= reach ? [age] : []
  })
  return ages.length === 0 ? null : Math.min(...ages)
}
