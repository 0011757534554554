/**
 * Which replica RDS promotes, and what that loses (S8, S10). RDS lets nobody freeze a replica; instead the old primary is
 * behind its fence by now, so nothing is added to what a replica can still receive, and the furthest of them is chosen.
 */
import { forbiddenTarget } from './domains.ts'
import { byResource, type Provider, type ProviderInstance, replicatesFrom, waitedMs } from './managedView.ts'
import { choiceOf } from './rank.ts'
import { firstMatch, listRows, type Row } from './table.ts'
import type { Approval, ClusterConfig, ClusterState, LossEstimate, NodeId, Plan, ProbeRow } from './types.ts'

export interface ManagedRankInput {
  readonly cluster: ClusterConfig
  readonly state: ClusterState
  readonly plan: Plan
  readonly provider: Provider
  /** What any observer's look read of each node, after the fence was sure. */
  readonly rows: Readonly<Record<NodeId, ProbeRow | null>>
  readonly to: NodeId | null
  readonly approval: Approval | null
  /** S10: age of the last look at which each node had everything, valid when the last fact of the fence arrived. */
  readonly caughtUpAgeMs: Readonly<Record<NodeId, number | null>>
  /**
   * The last sample of CloudWatch and its age; null: unknown, never zero. For people only: its age is told by wall
   * clocks, which permit no promotion (S3), and PostgreSQL's lag grows while nothing is written.
   */
  readonly lag: Readonly<Record<NodeId, { readonly lagMs: number; readonly ageMs: number } | null>>
  /** Wait states of promote so far. */
  readonly waits: number
}

/** `target: null` with the reason: nothing is promoted now. `passedOver` says of each other node why. */
export interface ManagedRanking {
  readonly target: NodeId | null
  readonly candidate: NodeId | null
  /** Nobody is refused: the candidate is being backed up, and is waited for. */
  readonly waits: boolean
  readonly row: string
  readonly reason: string
  readonly positionBytes: number | null
  readonly loss: LossEstimate
  readonly passedOver: Readonly<Record<NodeId, string>>
  /** What the row was chosen by, for the event (H22). */
  readonly facts: ManagedRankFacts
}

export type ManagedRankFacts = {
  readonly recorded: NodeId | null
  readonly candidate: NodeId | null
  readonly positionBytes: number | null
  readonly to: NodeId | null
  readonly toRefused: string | null
  readonly furthest: NodeId | null
  readonly furthestBytes: number | null
  readonly backedUp: NodeId | null
  readonly backupLeftMs: number
  readonly passed: readonly string[]
  readonly switchover: boolean
  readonly drainToBytes: number | null
  readonly drained: boolean
  readonly policy: 'never' | 'bounded' | 'availability'
  readonly boundMs: number
  readonly caughtUpAgeMs: number | null
  /** For people: the last sample of CloudWatch, and what is known to be missing. */
  readonly lag: string
  readonly approvedBy: string | null
  readonly term: number
}

type Does = 'promote' | 'refuse' | 'wait'
type ManagedRankRow = Row<ManagedRankFacts, Does> & { readonly loss: LossEstimate['provable'] }

const rows: readonly ManagedRankRow[] = [
  {
    id: 'P1',
    when: 'the target of this term is already written',
    test: (f) => f.recorded !== null,
    does: 'promote',
    loss: 'unknown',
    reason: 'term {term} has its one target, {recorded}; another needs a new term',
  },
  {
    id: 'P2',
    when: 'the wanted or the furthest replica is being backed up, which forbids its promotion, within the grace',
    test: (f) => f.backedUp !== null && f.backupLeftMs > 0,
    does: 'wait',
    loss: 'unknown',
    reason:
      '{backedUp} is being backed up and can not be promoted meanwhile: waited for {backupLeftMs} ms more, then another one is taken',
  },
  {
    id: 'P3',
    when: 'the wanted target is not eligible',
    test: (f) => f.to !== null && f.toRefused !== null,
    does: 'refuse',
    loss: 'unknown',
    reason: '{to} was asked for and can not be promoted: {toRefused}',
  },
  {
    id: 'P4',
    when: 'no node is eligible',
    test: (f) => f.candidate === null,
    does: 'refuse',
    loss: 'unknown',
    reason: 'no replica can be promoted: {passed}',
  },
  {
    id: 'P5',
    when: 'the wanted target is behind another eligible node',
    test: (f) => f.to !== null && f.furthestBytes !== null && (f.positionBytes ?? 0) < f.furthestBytes,
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{to} was asked for, but it is at byte {positionBytes} of the log and {furthest} at {furthestBytes}: the difference would be lost',
  },
  {
    id: 'P6',
    when: 'switchover, and the candidate has not the whole log of the old primary',
    test: (f) => f.switchover && !f.drained,
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{candidate} is at byte {positionBytes}, and the sessions of the old primary ended at {drainToBytes}: not all was received',
  },
  {
    id: 'P7',
    when: 'the candidate has all that was committed before the sessions of the old primary ended behind its fence',
    test: (f) => f.drained,
    does: 'promote',
    loss: 'none',
    reason:
      '{candidate} is the furthest at byte {positionBytes}, and has the log of the old primary up to byte {drainToBytes}, where its sessions had ended',
  },
  {
    id: 'P8',
    when: 'loss is bounded in time, and the candidate had everything recently enough',
    test: (f) => f.policy === 'bounded' && f.caughtUpAgeMs !== null && f.caughtUpAgeMs <= f.boundMs,
    does: 'promote',
    loss: 'bounded',
    reason:
      '{candidate} is the furthest at byte {positionBytes} and had everything {caughtUpAgeMs} ms before the fence was sure; {boundMs} ms may be lost',
  },
  {
    id: 'P9',
    when: 'the policy prefers availability',
    test: (f) => f.policy === 'availability',
    does: 'promote',
    loss: 'unknown',
    reason:
      '{candidate} is the furthest at byte {positionBytes}; the policy is availability, and replication is asynchronous: it last had everything {caughtUpAgeMs} ms before the fence was sure ({lag})',
  },
  {
    id: 'P10',
    when: 'a person accepted the loss, for this term and target',
    test: (f) => f.approvedBy !== null,
    does: 'promote',
    loss: 'unknown',
    reason:
      '{candidate} is the furthest at byte {positionBytes}; {approvedBy} accepted the loss: it last had everything {caughtUpAgeMs} ms before the fence was sure ({lag})',
  },
  {
    id: 'P11',
    when: 'loss is bounded in time, and the bound can not be proved',
    test: (f) => f.policy === 'bounded',
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{candidate} is the furthest at byte {positionBytes}, but it last had everything {caughtUpAgeMs} ms before the fence was sure and {boundMs} ms may be lost ({lag}); promoting it in term {term} needs an approval',
  },
  {
    id: 'P12',
    when: 'nothing may be lost, and that can not be proved',
    test: () => true,
    does: 'refuse',
    loss: 'unknown',
    reason:
      '{candidate} is the furthest at byte {positionBytes}, but that nothing is lost can not be proved: replication is asynchronous, and the old primary could not be drained ({lag}); promoting it in term {term} needs an approval',
  },
]

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const managedRankRows = listRows(rows)

export const managedRankBy = (facts: ManagedRankFacts) => firstMatch(rows, facts)

/** Why nobody could be promoted as far as can be seen now; null: somebody could, perhaps once a backup is over. */
export function whyNobody(input: ManagedRankInput): string | null {
  const why = input.cluster.nodes.flatMap(({ id }) => {
    const answer = ineligibility(input, id)
    const isWanted = input.to === null || input.to === id
    return answer === null || answer.backup ? (isWanted ? [null] : []) : [`${id}: ${answer.reason}`]
  })
  return why.includes(null) ? null : why.join('; ')
}

export function rankManaged(input: ManagedRankInput): ManagedRanking {
  const { plan, state, to, approval, cluster } = input
  const ineligible = new Map<NodeId, string>()
  const backedUp: NodeId[] = []
  for (const { id } of cluster.nodes) {
    const why = ineligibility(input, id)
    if (why === null) continue
    ineligible.set(id, why.reason)
    if (why.backup) backedUp.push(id)
  }
  const order = inOrder(
    input,
    cluster.nodes.filter((node) => !ineligible.has(node.id)).map((node) => node.id),
  )
  const furthest = order[0] ?? null
  const candidate = plan.target ?? (to === null ? furthest : ineligible.has(to) ? null : to)
  const at = (id: NodeId | null) => (id === null ? null : (input.rows[id]?.positionBytes ?? null))
  const positionBytes = plan.target === null ? at(candidate) : plan.targetPositionBytes
  const drainToBytes = plan.network[plan.from]?.drainToBytes ?? null
  const facts: ManagedRankFacts = {
    recorded: plan.target,
    candidate,
    positionBytes,
    to,
    toRefused: to === null ? null : (ineligible.get(to) ?? (isKnown(cluster, to) ? null : 'it is no node')),
    furthest,
    furthestBytes: at(furthest),
    backedUp: awaited(input, backedUp, furthest),
    backupLeftMs: Math.max(0, (cluster.managed?.backupGraceMs ?? 0) - waitedMs(input.waits)),
    passed: [...ineligible].map(([id, why]) => `${id}: ${why}`),
    switchover: plan.kind === 'switchover',
    drainToBytes,
    drained: isDrained(plan, positionBytes),
    policy: cluster.policy.loss.mode,
    boundMs: cluster.policy.loss.mode === 'bounded' ? cluster.policy.loss.seconds * 1000 : 0,
    caughtUpAgeMs: candidate === null ? null : caughtUpAge(input, candidate),
    lag: [
      lagText(candidate === null ? null : (input.lag[candidate] ?? null)),
      ...missingText(drainToBytes, positionBytes),
    ].join('; '),
    approvedBy: isApproved(approval, state, candidate) ? (approval?.by ?? null) : null,
    term: state.term,
  }
  return toRanking(facts, plan, ineligible, order)
}

const isKnown = (cluster: ClusterConfig, id: NodeId) => cluster.nodes.some((node) => node.id === id)

/**
 * It has all that was committed before the sessions ended behind the closed group, whenever it received it. A position
 * of 0 is none (MySQL without one): it proves nothing.
 */
function isDrained(plan: Plan, positionBytes: number | null): boolean {
  const drainToBytes = plan.network[plan.from]?.drainToBytes
  return Boolean(drainToBytes) && (positionBytes ?? -1) >= (drainToBytes ?? 0)
}

function isApproved(approval: Approval | null, state: ClusterState, candidate: NodeId | null): boolean {
  return (
    approval?.acceptLoss === true &&
    approval.cluster === state.cluster &&
    approval.term === state.term &&
    candidate !== null &&
    approval.target === candidate
  )
}

/** Who is worth the wait: the wanted one; without one, whoever has more of the log than those that could go now. */
function awaited(
  input: ManagedRankInput,
  backedUp: readonly NodeId[],
  furthest: NodeId | null,
): NodeId | null {
  if (input.to !== null) return backedUp.includes(input.to) ? input.to : null
  const [first] = inOrder(input, backedUp)
  if (first === undefined) return null
  const at = (id: NodeId) => input.rows[id]?.positionBytes ?? -1
  return furthest === null || at(first) > at(furthest) ? first : null
}

/** Furthest first; preference breaks ties only, then the order of the configuration. */
function inOrder({ cluster, rows: seen }: ManagedRankInput, ids: readonly NodeId[]): NodeId[] {
  const at = (id: NodeId) => seen[id]?.positionBytes ?? -1
  return cluster.nodes
    .filter((node) => ids.includes(node.id))
    .toSorted((a, b) => at(b.id) - at(a.id) || b.preference - a.preference)
    .map((node) => node.id)
}

type Ineligible = { readonly reason: string; readonly backup?: true } | null

function ineligibility(input: ManagedRankInput, id: NodeId): Ineligible {
  const { plan, state, cluster, provider } = input
  const node = cluster.nodes.find((each) => each.id === id)
  const status = state.nodes[id]
  if (id === plan.from) return { reason: 'it is the old primary' }
  if (!status || !node) return { reason: 'the state does not know it yet' }
  const forbidden = forbiddenTarget(cluster, plan.from, node)
  if (forbidden !== null) return { reason: forbidden }
  if (status.role === 'primary') return { reason: 'it is recorded as primary' }
  if (status.role === 'rebuilding') return { reason: `it is being rebuilt (term ${status.term})` }
  if (status.role === 'diverged') return { reason: 'it follows an older primary: only a new replica helps' }
  if (status.role === 'quarantined') return { reason: 'it is quarantined: it may have been written to' }
  // An earlier target that was given up: behind its closed group no client reaches it.
  const isFenced = status.fenced || plan.fenceRequested.includes(id) || plan.network[id] !== undefined
  if (isFenced) return { reason: 'it is fenced' }
  if (status.instanceId === null) return { reason: 'no instance was recorded while it was healthy' }
  const instances = provider.get(node.region)
  if (!instances) return { reason: `RDS does not answer in ${node.region}` }
  const view = byResource(instances, status.instanceId)
  if (view === null)
    return { reason: `${status.instanceId}, recorded while it was healthy, is not among the instances` }
  return viewProblem(input, view) ?? rowProblem(input, id) ?? statusProblem(view)
}

/** Its source must be the very instance that the old primary was. */
function viewProblem(input: ManagedRankInput, view: ProviderInstance): Ineligible {
  const { plan, state, cluster, provider } = input
  if (view.source === null) return { reason: 'RDS does not call it a replica' }
  const from = cluster.nodes.find((node) => node.id === plan.from)
  if (from === undefined) return { reason: 'the old primary is not configured any more' }
  // In a Region that does not answer it is known by the name that it was configured with.
  const old = byResource(provider.get(from.region), state.nodes[plan.from]?.instanceId)
  const source = old ?? { identifier: from.instanceId, region: from.region }
  if (!replicatesFrom(view, source))
    return { reason: `it replicates from ${view.source.identifier}, not from ${source.identifier}` }
  if (view.replication?.status === 'terminated') return { reason: 'RDS has terminated its replication' }
  return null
}

function rowProblem({ plan, rows: seen }: ManagedRankInput, id: NodeId): Ineligible {
  const row = seen[id] ?? null
  if (row === null) return { reason: 'it does not answer, so nobody knows how far it is' }
  if (!row.inRecovery) return { reason: 'it is out of recovery' }
  if (row.timeline !== plan.fromTimeline)
    return { reason: `it is on timeline ${row.timeline}, the primary's is ${plan.fromTimeline}` }
  if (row.replayPaused) return { reason: 'its replay is paused' }
  if (row.applyDelayMs > 0) return { reason: `it applies with a delay of ${row.applyDelayMs} ms` }
  return null
}

function statusProblem(view: ProviderInstance): Ineligible {
  if (view.status === 'available') return null
  if (view.status === 'backing-up') return { reason: 'it is being backed up', backup: true }
  return { reason: `RDS calls it ${view.status}` }
}

/** What a node had that is not further than the candidate, the candidate has too: the best age among those counts. */
function caughtUpAge(input: ManagedRankInput, candidate: NodeId): number | null {
  const reach = input.rows[candidate]?.positionBytes ?? 0
  // Without positions only what was seen of itself counts.
  if (reach === 0) return input.caughtUpAgeMs[candidate] ?? null
  const ages = Object.entries(input.caughtUpAgeMs).flatMap(([id, age]) => {
    const row = input.rows[id]
    const comparable = row?.inRecovery === true && row.timeline === input.plan.fromTimeline
    return age !== null && id !== input.plan.from && comparable && row.positionBytes <= reach ? [age] : []
  })
  return ages.length === 0 ? null : Math.min(...ages)
}

function lagText(sample: { readonly lagMs: number; readonly ageMs: number } | null): string {
  if (sample === null) return 'CloudWatch has no sample of its lag: unknown'
  return `CloudWatch's last sample of its lag: ${sample.lagMs} ms, ${sample.ageMs} ms ago`
}

/** The end of the log was read when the sessions had ended: what a candidate has not, it will not get any more. */
function missingText(drainToBytes: number | null, positionBytes: number | null): string[] {
  if (!drainToBytes || positionBytes === null || positionBytes >= drainToBytes) return []
  return [
    `it lacks ${drainToBytes - positionBytes} bytes of the log up to byte ${drainToBytes}, where the sessions of the old primary had ended`,
  ]
}

function toRanking(
  facts: ManagedRankFacts,
  plan: Plan,
  ineligible: ReadonlyMap<NodeId, string>,
  order: readonly NodeId[],
): ManagedRanking {
  const row = managedRankBy(facts)
  const { reason, target, passedOver, loss: fresh } = choiceOf(row, facts, { ineligible, order })
  return {
    target,
    candidate: facts.candidate,
    waits: row.does === 'wait',
    row: row.id,
    reason,
    positionBytes: target === null ? null : facts.positionBytes,
    loss: row.id === 'P1' ? (plan.loss ?? fresh) : fresh,
    passedOver,
    facts,
  }
}
