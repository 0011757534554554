/**
 * Who may claim a cluster, and over what (design, section 6). Numbered like the decision tables, so that a refusal
 * can be looked up. Conditional writes decide who wins; this only says who may try.
 */

import { isElectionFollowed } from './decisions.ts'
import type { ClusterConfig, ClusterState } from './types.ts'
import type { WorkflowInput } from './workflow.ts'

export type ClaimAnswer =
  | { readonly may: 'claim'; readonly row: string; readonly returnTo: 'steady' | 'settling' }
  /** A predecessor may still be acting outside the database: wait it out, then ask again with `waitedFor`. */
  | { readonly may: 'wait'; readonly row: string; readonly reason: string; readonly claimId: string }
  | { readonly may: 'refuse'; readonly row: string; readonly reason: string }

export interface ClaimQuestion {
  readonly cluster: ClusterConfig
  readonly state: ClusterState
  readonly input: WorkflowInput
  readonly execution: string
  /** The scheduler's clock; null when no tick was ever seen. */
  readonly clockMs: number | null
  readonly approved: boolean
}

const inOperation = ['confirming', 'fencing', 'promoting', 'repointing'] as const

export function mayClaim(question: ClaimQuestion): ClaimAnswer {
  const { state, input } = question
  const automatic = input.automatic !== undefined
  const refuse = (row: string, reason: string): ClaimAnswer => ({ may: 'refuse', row, reason })
  if (state.phase === 'halted') {
    return refuse(
      'L1',
      `the cluster is halted (${state.halted?.reason ?? 'no reason recorded'}): look at it, then run \`understudy acknowledge ${state.cluster}\` or \`understudy adopt ${state.cluster}\``,
    )
  }
  const bad = badTarget(question)
  if (bad) return refuse('L2', bad)
  if (automatic && input.kind !== 'settle' && isPaused(state, question.clockMs)) {
    return refuse('L3', `paused by ${state.pause?.owner}: ${state.pause?.reason}`)
  }
  if (input.kind === 'switchover' && state.pause !== null && isPaused(state, question.clockMs)) {
    return refuse(
      'L4',
      `paused by ${state.pause.owner} (${state.pause.reason}): run \`understudy resume ${state.cluster}\` first`,
    )
  }
  if (input.kind === 'resume') return mayResume(question)
  if (inOperation.some((phase) => phase === state.phase)) {
    const takeover = !automatic && input.kind === 'failover' && state.phase === 'confirming'
    if (!takeover) {
      return refuse(
        'L6',
        `operation of term ${state.term} is ${state.phase}, run by ${state.claim?.holder ?? 'nobody'}`,
      )
    }
  }
  const follows = isElectionFollowed(input.automatic?.row)
  if (automatic && !follows && inCooldown(question) && !question.approved) {
    return refuse(
      'L7',
      `the last failover completed in term ${state.lastFailover?.term}, less than ${question.cluster.policy.cooldownMs / 60_000} minutes ago: approve term ${state.term + 1}, or start the failover by hand`,
    )
  }
  return overOpenClaim(question, { may: 'claim', row: 'L9', returnTo: returnPhase(state) })
}

function mayResume(question: ClaimQuestion): ClaimAnswer {
  const { state, input } = question
  const seen = input.automatic
  if (!seen) {
    return {
      may: 'refuse',
      row: 'L5',
      reason: 'a resume is started by assess, never by hand: start a failover instead',
    }
  }
  if (!inOperation.some((phase) => phase === state.phase)) {
    return { may: 'refuse', row: 'L5', reason: `nothing to resume: the cluster is ${state.phase}` }
  }
  if (seen.version !== state.version || seen.beat !== state.beat) {
    return { may: 'refuse', row: 'L5', reason: 'the operation went on by itself' }
  }
  // The workflow waited `zombieWaitSeconds` before it came here, over an unchanged beat: whoever held the claim is over.
  return { may: 'claim', row: 'L8', returnTo: state.plan?.returnTo ?? 'settling' }
}

/** S4: an act outside the database may still arrive from the claim's holder until its longest time-out is over. */
function overOpenClaim(question: ClaimQuestion, answer: ClaimAnswer): ClaimAnswer {
  const { claim } = question.state
  if (claim === null || !claim.open || claim.id === question.input.waitedFor) return answer
  return {
    may: 'wait',
    row: 'L10',
    reason: `${claim.holder} may still be acting in step ${claim.step}: waiting until its time-out is over`,
    claimId: claim.id,
  }
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
  if (!node.promotable) return `node ${input.to} is configured as never to be promoted`
  if (input.to === state.primary) return `node ${input.to} is the primary already`
  return undefined
}

/** What ends a pause is the scheduler's clock (S3); without one, a pause holds. */
export function isPaused(state: ClusterState, clockMs: number | null): boolean {
  return state.pause !== null && (clockMs === null || clockMs < state.pause.untilMs)
}

function inCooldown({ cluster, state, clockMs }: ClaimQuestion): boolean {
  if (state.lastFailover === null || clockMs === null) return false
  return clockMs - state.lastFailover.atMs < cluster.policy.cooldownMs
}
