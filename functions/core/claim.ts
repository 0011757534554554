/**
 * Who may claim a cluster, and over what (design, section 6). Numbered like the decision tables, so that a refusal
 * can be looked up. Conditional writes decide who wins; this only says who may try.
 */

import { isElectionFollowed } from './decisions.ts'
import { forbiddenTarget } from './domains.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type { ClusterConfig, ClusterState, OperationKind, Phase } from './types.ts'
import type { WorkflowInput } from './workflow.ts'

/** Each with the facts that its row matched, for the event (H22). */
export type ClaimAnswer = { readonly row: string; readonly facts: ClaimFacts } & (
  | { readonly may: 'claim'; readonly returnTo: 'steady' | 'settling' }
  /** A predecessor may still be acting outside the database: wait it out, then ask again with `waitedFor`. */
  | { readonly may: 'wait'; readonly reason: string; readonly claimId: string }
  | { readonly may: 'refuse'; readonly reason: string }
)

export interface ClaimQuestion {
  readonly cluster: ClusterConfig
  readonly state: ClusterState
  readonly input: WorkflowInput
  readonly execution: string
  /** The scheduler's clock; null when no tick was ever seen. */
  readonly clockMs: number | null
  readonly approved: boolean
}

/** Flat: every value stands for itself in an event. */
export type ClaimFacts = {
  readonly cluster: string
  readonly phase: Phase
  readonly term: number
  readonly nextTerm: number
  readonly kind: OperationKind
  readonly automatic: boolean
  readonly haltedReason: string
  /** Why the wanted target can not be one. */
  readonly badTarget: string | null
  readonly paused: boolean
  readonly pausedBy: string | null
  readonly pauseReason: string | null
  /** Why a resume has nothing to go on with. */
  readonly noResume: string | null
  readonly underWay: boolean
  readonly holder: string
  readonly inCooldown: boolean
  readonly cooldownMinutes: number
  readonly lastFailoverTerm: number | null
  readonly approved: boolean
  /** It follows an election that is not its own. */
  readonly follows: boolean
  /** The claim before is open, and was not waited out. */
  readonly openClaim: string | null
  readonly openStep: string | null
}

const isTakeover = (f: ClaimFacts) => !f.automatic && f.kind === 'failover' && f.phase === 'confirming'

const rows: readonly Row<ClaimFacts, ClaimAnswer['may']>[] = [
  {
    id: 'L1',
    when: 'the cluster is halted',
    test: (f) => f.phase === 'halted',
    does: 'refuse',
    reason:
      'the cluster is halted ({haltedReason}): look at it, then run `understudy acknowledge {cluster}` or `understudy adopt {cluster}`',
  },
  {
    id: 'L2',
    when: 'the wanted target is no node, is never promotable, or is the primary',
    test: (f) => f.badTarget !== null,
    does: 'refuse',
    reason: '{badTarget}',
  },
  {
    id: 'L3',
    when: 'assess asks, and the cluster is paused',
    test: (f) => f.automatic && f.kind !== 'settle' && f.paused,
    does: 'refuse',
    reason: 'paused by {pausedBy}: {pauseReason}',
  },
  {
    id: 'L4',
    when: 'a switchover is asked for, and the cluster is paused',
    test: (f) => f.kind === 'switchover' && f.paused,
    does: 'refuse',
    reason: 'paused by {pausedBy} ({pauseReason}): run `understudy resume {cluster}` first',
  },
  {
    id: 'L5',
    when: 'a resume is asked for by a person, or no operation is under way, or its version or beat moved',
    test: (f) => f.kind === 'resume' && f.noResume !== null,
    does: 'refuse',
    reason: '{noResume}',
  },
  {
    id: 'L8',
    // The workflow waited `zombieWaitSeconds` before it came here, over an unchanged beat: whoever held the claim is over.
    when: 'a resume, and version and beat stood still',
    test: (f) => f.kind === 'resume',
    does: 'claim',
    reason: 'the operation of term {term} stood still: {holder} is over',
  },
  {
    id: 'L6',
    when: 'another operation is under way; a manual failover may take over one that is confirming',
    test: (f) => f.underWay && !isTakeover(f),
    does: 'refuse',
    reason: 'operation of term {term} is {phase}, run by {holder}',
  },
  {
    id: 'L7',
    when: 'assess asks inside the cooldown, the next term is not approved, and it is no election to follow (E1)',
    test: (f) => f.automatic && !f.follows && f.inCooldown && !f.approved,
    does: 'refuse',
    reason:
      'the last failover completed in term {lastFailoverTerm}, less than {cooldownMinutes} minutes ago: approve term {nextTerm}, or start the failover by hand',
  },
  {
    id: 'L10',
    // S4: an act outside the database may still arrive from the claim's holder until its longest time-out is over.
    when: 'the claim before is open: its holder may still act outside the database',
    test: (f) => f.openClaim !== null,
    does: 'wait',
    reason: '{holder} may still be acting in step {openStep}: waiting until its time-out is over',
  },
  {
    id: 'L9',
    when: 'nothing of the above',
    test: () => true,
    does: 'claim',
    reason: 'nothing speaks against it',
  },
]

/** The table as it decides, for the docs. */
export const claimRows = listRows(rows)

export const claimBy = (facts: ClaimFacts) => firstMatch(rows, facts)

export function mayClaim(question: ClaimQuestion): ClaimAnswer {
  const { state } = question
  const facts = claimFacts(question)
  const { id: row, does, reason: template } = claimBy(facts)
  const reason = fill(template, facts)
  if (does === 'refuse') return { may: 'refuse', row, reason, facts }
  if (does === 'wait') return { may: 'wait', row, reason, claimId: facts.openClaim ?? '', facts }
  const resumes = question.input.kind === 'resume'
  const returnTo = resumes ? (state.plan?.returnTo ?? 'settling') : returnPhase(state)
  return { may: 'claim', row, returnTo, facts }
}

function claimFacts(question: ClaimQuestion): ClaimFacts {
  const { cluster, state, input } = question
  const { claim } = state
  const isOpen = claim?.open === true && claim.id !== input.waitedFor
  return {
    cluster: state.cluster,
    phase: state.phase,
    term: state.term,
    nextTerm: state.term + 1,
    kind: input.kind,
    automatic: input.automatic !== undefined,
    haltedReason: state.halted?.reason ?? 'no reason recorded',
    badTarget: badTarget(question) ?? null,
    paused: isPaused(state, question.clockMs),
    pausedBy: state.pause?.owner ?? null,
    pauseReason: state.pause?.reason ?? null,
    noResume: whyNoResume(question),
    underWay: isUnderWay(state),
    holder: claim?.holder ?? 'nobody',
    inCooldown: inCooldown(question),
    cooldownMinutes: cluster.policy.cooldownMs / 60_000,
    lastFailoverTerm: state.lastFailover?.term ?? null,
    approved: question.approved,
    follows: isElectionFollowed(input.automatic?.row),
    openClaim: isOpen ? claim.id : null,
    openStep: isOpen ? claim.step : null,
  }
}

const isUnderWay = ({ phase }: ClusterState) =>
  ['confirming', 'fencing', 'promoting', 'repointing'].includes(phase)

function whyNoResume({ state, input }: ClaimQuestion): string | null {
  const seen = input.automatic
  if (!seen) return 'a resume is started by assess, never by hand: start a failover instead'
  if (!isUnderWay(state)) return `nothing to resume: the cluster is ${state.phase}`
  const stoodStill = seen.version === state.version && seen.beat === state.beat
  return stoodStill ? null : 'the operation went on by itself'
}

function returnPhase(state: ClusterState): 'steady' | 'settling' {
  if (state.phase === 'confirming') return state.plan?.returnTo ?? 'settling'
  return state.phase === 'steady' ? 'steady' : 'settling'
}

function badTarget({ cluster, state, input }: ClaimQuestion): string | undefined {
  if (input.to === undefined) return undefined
  const node = cluster.nodes.find((candidate) => candidate.id === input.to)
  if (!node)
    return `there is no node ${input.to}; the nodes are ${cluster.nodes.map((each) => each.id).join(', ')}`
  if (input.to === state.primary) return `node ${input.to} is the primary already`
  const forbidden = forbiddenTarget(cluster, state.primary, node)
  return forbidden === null ? undefined : `node ${input.to} can not be the target: ${forbidden}`
}

/** What ends a pause is the scheduler's clock (S3); without one, a pause holds. */
export function isPaused(state: ClusterState, clockMs: number | null): boolean {
  return state.pause !== null && (clockMs === null || clockMs < state.pause.untilMs)
}

function inCooldown({ cluster, state, clockMs }: ClaimQuestion): boolean {
  if (state.lastFailover === null || clockMs === null) return false
  return clockMs - state.lastFailover.atMs < cluster.policy.cooldownMs
}
