/** The one function that turns what the provider said and what observers saw into named facts: rows match these alone. */
import type { Verdict } from './confirm.ts'
import { agreement, counted } from './looks.ts'
import { nativeProgress } from './nativeProgress.ts'
import { possibleWriters } from './state.ts'
import type {
  Approval,
  ClusterConfig,
  ClusterState,
  Look,
  LossEstimate,
  NodeClass,
  NodeConfig,
  NodeId,
  ObserverId,
  Plan,
} from './types.ts'

/** One node, as the provider gives it. */
export interface NativeNode {
  /** It is a member, and nothing is being done to it. */
  readonly available: boolean
  /** aurora-global: it receives from the writer; aurora: always, there is one volume. */
  readonly connected: boolean
  /** null: its Region does not answer. */
  readonly resourceId: string | null
}

/** One reading of the provider. */
export interface NativeSight {
  /** Why it gave no answer; null: it did. */
  readonly problem: string | null
  readonly writer: NodeId | null
  /** The writer by the provider's own name, when no configured node has it. */
  readonly stranger: string | null
  /** What it is doing to the roles, in its own words; null: nothing. */
  readonly underWay: string | null
  /** Of events alone, which may be lost: counts only as long as the provider is given its time anyway. */
  readonly announced: string | null
  readonly nodes: Readonly<Record<NodeId, NativeNode>>
}

/** The last sample of how far a node is behind, and how old it is; null: none, which means unknown (S10). */
export type LagSample = { readonly lagMs: number; readonly ageMs: number } | null

export type NativePhase = 'confirming' | 'resuming' | 'fencing' | 'promoting'

export interface NativeInput {
  readonly cluster: ClusterConfig
  readonly observers: readonly ObserverId[]
  readonly state: ClusterState
  readonly plan: Plan
  readonly phase: NativePhase
  /** Readings of this invocation, oldest first, each more than a second after the one before it. */
  readonly sights: readonly NativeSight[]
  /** The last round. */
  readonly looks: readonly Look[]
  /** Only while confirming. */
  readonly verdict: Pick<Verdict, 'verdict' | 'row' | 'reason' | 'facts'> | null
  /** Monotonic time of this invocation so far. */
  readonly elapsedMs: number
  readonly waits: number
  readonly approval: Approval | null
  /** Only where a loss is to be judged. */
  readonly lags: Readonly<Record<NodeId, LagSample>>
}

/** Flat: every value stands for itself in an event. */
export type NativeFacts = {
  readonly phase: NativePhase
  readonly term: number
  readonly planned: boolean
  readonly automatic: boolean
  /** The recorded primary when the operation began. */
  readonly primary: NodeId
  readonly answered: boolean
  /** What it is at, or why it gives no answer, in words. */
  readonly said: string
  readonly writer: NodeId | null
  readonly stranger: string | null
  readonly moved: boolean
  /** Readings in a row, up to the last, of this writer with nothing under way. */
  readonly sightings: number
  readonly underWay: string | null
  readonly announced: string | null
  /** Nodes whose resource is not the one that was recorded while they were healthy (S2). */
  readonly swapped: readonly NodeId[]
  readonly configured: number
  readonly quorum: number
  /** Another node than the primary that a quorum sees out of recovery. */
  readonly seenWriter: NodeId | null
  /** A quorum sees the provider's writer out of recovery. */
  readonly writable: boolean
  /** A quorum saw a commit return on the provider's writer. */
  readonly committed: boolean
  readonly primaryClass: NodeClass
  readonly primaryUsable: boolean
  readonly verdict: Verdict['verdict'] | null
  readonly verdictReason: string
  /** Only behind a fence that the provider does not promise (S6). */
  readonly needsPower: boolean
  readonly unfencedBy: string | null
  readonly graceMs: number
  readonly graceLeftMs: number
  readonly inCooldown: boolean
  readonly cooldownLeftMinutes: number
  /** Why a switchover does not begin. */
  readonly doubts: readonly string[]
  readonly target: NodeId | null
  readonly targetAlive: boolean
  readonly candidate: NodeId | null
  readonly passedOver: readonly string[]
  readonly asked: 'no' | 'requested' | 'later' | 'refused' | 'unknown'
  readonly doubt: boolean
  readonly refusal: string
  readonly askAgain: boolean
  readonly mayLose: boolean
  readonly policy: 'never' | 'bounded' | 'availability'
  readonly boundMs: number
  readonly lossMs: number | null
  readonly lossReason: string
  readonly patient: boolean
}

/** Returns of a step until a person is told that it waits. */
const patience = 12

/** Readings after which a call that shows no effect is made again: it names its target, so that it can not go further. */
const askAgainAfter = { no: 0, later: 2, refused: 8, unknown: 5, requested: 20 } as const

export function nativeFacts(input: NativeInput): NativeFacts {
  const { plan, state, cluster } = input
  const progress = nativeProgress(plan)
  const sight = input.sights.at(-1)
  const writer = sight?.writer ?? null
  const usedMs = progress.usedMs + input.elapsedMs
  const graceMs = plan.kind === 'failover' && plan.automatic ? (cluster.managed?.providerGraceMs ?? 0) : 0
  const { candidate, passedOver } = chooseCandidate(input, sight)
  const cooldownLeftMinutes = numberOf(plan.facts.cooldownLeftMinutes)
  const loss = lossOf(input, plan.target ?? candidate)
  const seen = seenFacts(input, writer)
  const moved = writer !== null && writer !== plan.from
  return {
    phase: input.phase,
    term: state.term,
    planned: plan.kind === 'switchover',
    automatic: plan.automatic,
    primary: plan.from,
    answered: sight !== undefined && sight.problem === null,
    said: sight?.problem ?? sight?.underWay ?? sight?.announced ?? 'nothing under way',
    writer,
    stranger: sight?.stranger ?? null,
    moved,
    sightings: countSightings(input.sights),
    underWay: sight?.underWay ?? null,
    announced: usedMs < (cluster.managed?.providerGraceMs ?? 0) ? (sight?.announced ?? null) : null,
    swapped: swappedNodes(state, sight),
    ...seen,
    verdict: input.verdict?.verdict ?? null,
    verdictReason: input.verdict ? `${input.verdict.row}: ${input.verdict.reason}` : '',
    needsPower: input.verdict?.facts.needsPower === true,
    unfencedBy: input.approval?.unfenced.includes(plan.from) ? input.approval.by : null,
    graceMs,
    graceLeftMs: Math.max(0, graceMs - usedMs),
    inCooldown: plan.automatic && cooldownLeftMinutes > 0 && plan.facts.approvedBy == null,
    cooldownLeftMinutes,
    doubts: doubtsOf(input, sight, { ...seen, candidate, passedOver }),
    target: plan.target,
    candidate,
    passedOver,
    asked: progress.asked,
    doubt: progress.doubt,
    refusal: progress.refusal,
    askAgain: progress.sinceAsk >= askAgainAfter[progress.asked],
    policy: cluster.policy.loss.mode,
    boundMs: cluster.policy.loss.mode === 'bounded' ? cluster.policy.loss.seconds * 1_000 : 0,
    mayLose: loss.allowed,
    lossMs: loss.estimate.boundMs,
    lossReason: loss.estimate.reason,
    patient: input.waits < patience,
  }
}

/** A switchover starts only from a cluster in which nothing is in doubt (F77). */
function doubtsOf(
  { plan, state }: NativeInput,
  sight: NativeSight | undefined,
  seen: { primaryUsable: boolean; primaryClass: NodeClass; candidate: NodeId | null; passedOver: string[] },
): string[] {
  const doubts: string[] = []
  const others = possibleWriters(state).filter((id) => id !== plan.from)
  if (others.length > 0)
    doubts.push(`${others.join(', ')} may still be a writer of an earlier term: wait until it is steady`)
  if (sight === undefined || sight.problem !== null)
    doubts.push(`AWS gives no answer: ${sight?.problem ?? ''}`)
  else if (sight.writer !== plan.from)
    doubts.push(`the writer by AWS is ${sight.writer ?? sight.stranger ?? 'nobody'}`)
  if (sight?.underWay) doubts.push(sight.underWay)
  if (!seen.primaryUsable)
    doubts.push(`the primary ${plan.from} is ${seen.primaryClass} to a majority of the observers`)
  if (seen.candidate === null) doubts.push(`nobody can take over: ${seen.passedOver.join('; ')}`)
  return doubts
}

const numberOf = (value: unknown) => (typeof value === 'number' ? value : 0)

/** A reading that failed is neither: what was said before and after it still counts as said twice. */
function countSightings(sights: readonly NativeSight[]): number {
  const answers = sights.filter((sight) => sight.problem === null)
  const last = answers.at(-1)
  if (last === undefined || (last.writer ?? last.stranger) === null) return 0
  const other = answers.findLastIndex(
    (each) => each.writer !== last.writer || each.stranger !== last.stranger || each.underWay !== null,
  )
  return answers.length - 1 - other
}

function swappedNodes(state: ClusterState, sight: NativeSight | undefined): NodeId[] {
  return Object.entries(sight?.nodes ?? {}).flatMap(([id, { resourceId }]) => {
    const recorded = state.nodes[id]?.instanceId ?? null
    return recorded !== null && resourceId !== null && recorded !== resourceId ? [id] : []
  })
}

function seenFacts({ looks, observers, cluster, plan }: NativeInput, writer: NodeId | null) {
  const quorum = Math.floor(observers.length / 2) + 1
  const out = (id: NodeId) =>
    counted(looks, observers).filter((look) =>
      ['writable', 'writes blocked'].includes(look.nodes[id]?.class ?? 'unknown'),
    ).length >= quorum
  const others = cluster.nodes.filter(({ id }) => id !== plan.from && out(id))
  const committed = counted(looks, observers).filter((look) => {
    const outcome = writer === null ? undefined : look.nodes[writer]?.outcome
    return outcome?.kind === 'answered' && !outcome.row.inRecovery && outcome.row.writeProbe === 'ok'
  })
  return {
    configured: observers.length,
    quorum,
    seenWriter: others[0]?.id ?? null,
    writable: writer !== null && out(writer),
    committed: committed.length >= quorum,
    primaryClass: agreement(looks, observers, plan.from).class,
    primaryUsable: agreement(looks, observers, plan.from).class === 'writable',
    targetAlive:
      plan.target !== null &&
      ['recovery', 'writable', 'writes blocked'].includes(agreement(looks, observers, plan.target).class),
  }
}

/** Who would be asked for, and why nobody else: wanted, else the least loss, else preference, else the order given. */
function chooseCandidate(
  input: NativeInput,
  sight: NativeSight | undefined,
): { candidate: NodeId | null; passedOver: string[] } {
  const { cluster, plan } = input
  const why = new Map<NodeId, string>()
  for (const node of cluster.nodes) {
    const reason = whyNotNode(input, sight, node)
    if (reason !== null) why.set(node.id, reason)
  }
  const lossOfNode = (node: NodeConfig) => lossMs(input.lags[node.id] ?? null) ?? Number.POSITIVE_INFINITY
  const eligible = cluster.nodes
    .filter((node) => !why.has(node.id))
    .toSorted((a, b) => compare(lossOfNode(a), lossOfNode(b)) || b.preference - a.preference)
  const wanted = plan.to === null ? eligible[0] : eligible.find((node) => node.id === plan.to)
  return { candidate: wanted?.id ?? null, passedOver: [...why].map(([id, reason]) => `${id}: ${reason}`) }
}

const compare = (a: number, b: number) => (a < b ? -1 : a > b ? 1 : 0)

function whyNotNode(
  { plan, state, looks, observers, cluster }: NativeInput,
  sight: NativeSight | undefined,
  node: NodeConfig,
): string | null {
  const seen = sight?.nodes[node.id]
  const role = state.nodes[node.id]?.role
  const sql = agreement(looks, observers, node.id).class
  if (node.id === plan.from) return 'it is the old primary'
  if (!node.promotable) return 'it is configured as never to be promoted'
  if (role === undefined) return 'the state does not know it'
  if (role !== 'standby' && role !== 'target') return `it is ${role}`
  if (seen === undefined) return 'AWS does not list it'
  if (!seen.available) return 'AWS does not call it available'
  if (cluster.engine === 'aurora-global' && plan.kind === 'switchover' && !seen.connected)
    return 'it is not synchronised'
  if (swappedNodes(state, sight).includes(node.id)) return 'its resource is not the one that was recorded'
  if (sql !== 'recovery') return `it is ${sql} to a majority of the observers`
  return null
}

/** Of the time before the sample everything but its lag is there, of the time since it nothing is known. */
function lossMs(sample: LagSample): number | null {
  return sample === null ? null : Math.max(0, sample.lagMs) + Math.max(0, sample.ageMs)
}

/** S10: what asking for this candidate would lose, and whether the policy or an approval allows it. */
export function lossOf(
  input: Pick<NativeInput, 'cluster' | 'plan' | 'state' | 'approval' | 'lags'>,
  candidate: NodeId | null,
): { allowed: boolean; estimate: LossEstimate } {
  const { cluster, plan, state, approval } = input
  const nothing = (reason: string) => ({
    allowed: true,
    estimate: { provable: 'none', boundMs: 0, reason } as const,
  })
  if (cluster.engine === 'aurora') return nothing('all members share one storage volume')
  if (plan.kind === 'switchover') return nothing('Aurora synchronises the target before it switches')
  const boundMs = candidate === null ? null : lossMs(input.lags[candidate] ?? null)
  const estimate: LossEstimate =
    boundMs === null
      ? { provable: 'unknown', boundMs, reason: 'there is no sample of how far it is behind' }
      : {
          provable: 'bounded',
          boundMs,
          reason: `the last sample and its age bound the loss to ${boundMs} ms`,
        }
  const { loss } = cluster.policy
  const approved =
    approval?.acceptLoss &&
    approval.cluster === state.cluster &&
    approval.term === state.term &&
    candidate !== null &&
    approval.target === candidate
  const byPolicy =
    loss.mode === 'availability' ||
    (loss.mode === 'bounded' && boundMs !== null && boundMs <= loss.seconds * 1_000)
  if (byPolicy || !approved) return { allowed: byPolicy, estimate }
  return {
    allowed: true,
    estimate: { ...estimate, reason: `${estimate.reason}; accepted by ${approval.by}` },
  }
}
