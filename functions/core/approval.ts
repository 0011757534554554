/** What a person's approval would allow now: for which term it counts, and what waits for one. For people only. */
import type { Decision } from './decisions.ts'
import { unproven } from './state.ts'
import type { Approval, ClusterState } from './types.ts'

export interface ApprovalView {
  /** The term that an approval has to name: that of the operation under way, else the next one. */
  readonly term: number
  /** What waits for one, in words; null: nothing does, or the one in force allows it. */
  readonly needed: string | null
  /** The one that is stored for this term. */
  readonly given: Approval | null
  /** By the scheduler's clock (S3): one that has run out counts for nothing. */
  readonly inForce: boolean
}

/** Something that waits for a person, and whether an approval is one for it (H25). */
interface Wait {
  readonly for: string
  readonly isMetBy: (approval: Approval) => boolean
}

export function approvalTerm(state: ClusterState): number {
  return isUnderWay(state) || waitOfRebuild(state) !== null ? state.term : state.term + 1
}

export function approvalView(args: {
  state: ClusterState
  decision: Decision
  given: Approval | null
  clockMs: number | null
}): ApprovalView {
  const { state, decision, given, clockMs } = args
  const inForce = given !== null && clockMs !== null && clockMs < given.untilMs
  const wait = isUnderWay(state) ? waitOfOperation(state) : (waitOfDecision(decision) ?? waitOfRebuild(state))
  const isMet = wait !== null && inForce && wait.isMetBy(given)
  const term = decision.row === 'A27' ? state.term + 1 : approvalTerm(state)
  return { term, needed: isMet ? null : (wait?.for ?? null), given, inForce }
}

function waitOfDecision({ row }: Decision): Wait | null {
  return row === 'A27' ? { for: 'a failover inside the cooldown', isMetBy: () => true } : null
}

function waitOfOperation(state: ClusterState): Wait | null {
  const { plan, lastEvent, phase } = state
  if (plan === null) return null
  if (phase === 'fencing') {
    // An instance that was never recorded can not be stopped: without a person this waits for ever.
    const nodes = unproven(state, plan, plan.target).filter((id) => !state.nodes[id]?.instanceId)
    if (nodes.length === 0) return waitOfNetworkFence(lastEvent)
    const isMetBy = ({ unfenced }: Approval) => nodes.every((id) => unfenced.includes(id))
    return { for: `the missing fence of ${nodes.join(', ')}`, isMetBy }
  }
  const isLoss = ['R11', 'R12', 'P11', 'P12', 'G36'].includes(lastEvent.row ?? '')
  if (phase !== 'promoting' || plan.target !== null || !isLoss) return null
  const { candidate } = lastEvent.facts
  return {
    for: `the loss of promoting ${typeof candidate === 'string' ? candidate : 'the candidate'}`,
    isMetBy: ({ acceptLoss, target }) => acceptLoss && target === candidate,
  }
}

/** rds: RDS does not answer, or does not know the instance any more (X2 to X5, X8). */
function waitOfNetworkFence({ kind, row, facts }: ClusterState['lastEvent']): Wait | null {
  const { node } = facts
  if (kind !== 'paged' || !/^X\d+$/.test(row ?? '') || typeof node !== 'string') return null
  return { for: `the missing fence of ${node}`, isMetBy: ({ unfenced }) => unfenced.includes(node) }
}

/** rds, policy rebuild: approve. Any approval of the term is one for it. */
function waitOfRebuild({ findings }: ClusterState): Wait | null {
  const nodes = findings.flatMap(({ key }) => /^replica-unapproved:(.+)$/.exec(key)?.[1] ?? [])
  return nodes.length === 0
    ? null
    : { for: `new replicas in place of ${nodes.join(', ')}`, isMetBy: () => true }
}

function isUnderWay({ phase }: ClusterState): boolean {
  return ['confirming', 'fencing', 'promoting', 'repointing'].includes(phase)
}
