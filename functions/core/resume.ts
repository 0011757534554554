/**
 * What a resume makes of what is recorded (S5, S6): a planned change without a target is undone; with a target there is
 * only forward, with another one only when this one is dead or gone.
 */
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type { LookCounts, NodeClass, NodeId, Plan } from './types.ts'

/** What was seen of the recorded target in one round of looks, and of the provider. */
export interface TargetSeen {
  readonly class: NodeClass
  /** Observers to which it is down. */
  readonly down: number
  readonly quorum: number
  /** Out of recovery on a newer timeline than the old primary's; rds: or RDS names no source of it any more. */
  readonly promoted: boolean
  /** It answers in recovery; rds: or RDS is at work on it, within its grace. */
  readonly standby: boolean
  /** rds: there is no instance any more with its resource id. */
  readonly gone: boolean
}

/** Flat: every value stands for itself in an event. */
export type ResumeFacts = {
  readonly planned: boolean
  readonly target: NodeId | null
  readonly promotedTimeline: number | null
  readonly sees: NodeClass
  readonly promoted: boolean
  readonly standby: boolean
  readonly gone: boolean
  readonly down: number
  readonly quorum: number
  /** Looks in a row, this one included, in which it was down to a quorum, or gone. */
  readonly deadLooks: number
  readonly deadLooksWanted: number
}

type Does = 'undo' | 'repoint' | 'promote' | 'fence' | 'wait' | 'anew'

const rows: readonly Row<ResumeFacts, Does>[] = [
  {
    id: 'U1',
    when: 'planned, and no target is recorded',
    test: (f) => f.planned && f.target === null,
    does: 'undo',
    reason: 'an interrupted switchover is undone: nothing was promoted',
  },
  {
    id: 'U2',
    when: 'the promotion of the target is recorded',
    test: (f) => f.promotedTimeline !== null,
    does: 'repoint',
    reason: '{target} was promoted and recorded: going on with the name',
  },
  {
    id: 'U3',
    when: 'the target was seen promoted',
    test: (f) => f.promoted,
    does: 'promote',
    reason: 'the promotion of {target} was seen: going on from there',
  },
  {
    id: 'U4',
    when: 'the target is still a standby',
    test: (f) => f.standby,
    does: 'fence',
    reason: '{target} is still a standby: the others are fenced again, then it is promoted',
  },
  {
    id: 'U5',
    when: 'the target does not answer, in few looks yet',
    test: (f) => f.deadLooks < f.deadLooksWanted,
    does: 'wait',
    reason: '{target} does not answer (it is {sees})',
  },
  {
    id: 'U6',
    when: 'the target is dead to a quorum, or gone, for enough looks in a row',
    test: () => true,
    does: 'anew',
    reason: 'target {target} of the older term is dead to {down} observers, or gone: another one is chosen',
  },
]

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const resumeRows = listRows(rows)

export const resumeBy = (facts: ResumeFacts) => firstMatch(rows, facts)

export interface ResumeAnswer {
  readonly does: Does
  readonly row: string
  readonly reason: string
  readonly facts: ResumeFacts
  readonly counts: LookCounts
}

/** `seen` null: nothing was looked at, since the record alone decides. */
export function decideResume(plan: Plan, seen: TargetSeen | null, deadLooksWanted: number): ResumeAnswer {
  const isDead = seen !== null && (seen.gone || seen.down >= seen.quorum)
  const counts = { ...plan.looks, asked: plan.looks.asked + 1, dead: isDead ? plan.looks.dead + 1 : 0 }
  const facts: ResumeFacts = {
    planned: plan.kind === 'switchover',
    target: plan.target,
    promotedTimeline: plan.promotedTimeline,
    sees: seen?.class ?? 'unknown',
    promoted: seen?.promoted ?? false,
    standby: seen?.standby ?? false,
    gone: seen?.gone ?? false,
    down: seen?.down ?? 0,
    quorum: seen?.quorum ?? 0,
    deadLooks: counts.dead,
    deadLooksWanted,
  }
  const { does, id: row, reason } = resumeBy(facts)
  return { does, row, reason: fill(reason, facts), facts, counts }
}
