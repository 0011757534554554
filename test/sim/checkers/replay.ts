/**
 * H22: every decision is explained by what is recorded of it. Each event that names a row carries the facts that the row
 * was chosen by (`facts.decided`, or `facts` itself); the very table, run over them again, must come to the same row, and
 * what was then done must be what that row says.
 */
import { type ClaimFacts, claimBy } from '../../../functions/core/claim.ts'
import { type JudgeFacts, verdictBy } from '../../../functions/core/confirm.ts'
import { decide } from '../../../functions/core/decisions.ts'
import { decideEndpoint, type EndpointFacts } from '../../../functions/core/endpoint.ts'
import type { Facts } from '../../../functions/core/facts.ts'
import { followBy, type ManagedConfirmFacts } from '../../../functions/core/managedConfirm.ts'
import { fenceBy, type ManagedFenceFacts } from '../../../functions/core/managedFence.ts'
import { type ManagedPromoteFacts, promotionBy } from '../../../functions/core/managedPromote.ts'
import { type ManagedRankFacts, managedRankBy } from '../../../functions/core/managedRank.ts'
import {
  identifyRow,
  type NodeFacts,
  nodeBy,
  type ReplacedFacts,
  replacedBy,
} from '../../../functions/core/managedSettleRows.ts'
import { nativeBy } from '../../../functions/core/native.ts'
import type { NativeFacts } from '../../../functions/core/nativeFacts.ts'
import { type RankFacts, rankBy } from '../../../functions/core/rank.ts'
import { type ResumeFacts, resumeBy } from '../../../functions/core/resume.ts'
import {
  type InstanceFacts,
  isAlarm,
  isUnrecorded,
  type SetFacts,
  type SettleNodeFacts,
  setBy,
  settleNodeBy,
} from '../../../functions/core/settle.ts'
import type { ClusterState, Event } from '../../../functions/core/types.ts'
import type { History, Violation } from '../history.ts'
import { isBeat, reporter } from './track.ts'

type Recorded = Readonly<Record<string, unknown>>
interface Decided {
  readonly row: string
  readonly does: string
}

/** A switchover's own checks (C0) are no row of a table: what they found stands in the message. */
const noTable: readonly string[] = ['C0']

/** Events of these kinds are decisions: without a row nobody could look them up. */
const decisions: readonly string[] = ['claimed', 'confirmed', 'target', 'stood down', 'repointed']

/** What each table says about facts that were recorded; throws where they do not suffice. */
export function replay(row: string, facts: Recorded): Decided {
  const of = ({ id, does }: { id: string; does: string }): Decided => ({ row: id, does })
  const given = <F>() => facts as unknown as F
  switch (row[0]) {
    case 'A':
    case 'E': {
      const { action, ...decision } = decide(given<Facts>())
      return { row: decision.row, does: action }
    }
    case 'L':
      return of(claimBy(given<ClaimFacts>()))
    case 'C':
      return of(verdictBy(given<JudgeFacts>()))
    case 'U':
      return of(resumeBy(given<ResumeFacts>()))
    case 'R':
      return of(rankBy(given<RankFacts>()))
    case 'D': {
      const decision = decideEndpoint(given<EndpointFacts>())
      return { row: decision.row, does: decision.do }
    }
    case 'T':
      return replaySettle(row, facts)
    case 'V':
      return of(followBy(given<ManagedConfirmFacts>()))
    case 'X':
      return of(fenceBy(given<ManagedFenceFacts>()))
    case 'P':
      return of(managedRankBy(given<ManagedRankFacts>()))
    case 'M':
      return of(promotionBy(given<ManagedPromoteFacts>()))
    case 'B':
      if ('role' in facts) return of(nodeBy(given<NodeFacts>()))
      return 'was' in facts ? of(replacedBy(given<ReplacedFacts>())) : of(identifyRow)
    case 'N':
    case 'G':
      return of(nativeBy(row[0], given<NativeFacts>()))
    default:
      throw new Error(`no table has the row ${row}`)
  }
}

function replaySettle(row: string, facts: Recorded): Decided {
  if ('seenBefore' in facts) {
    const { id, does } = setBy(facts as unknown as SetFacts)
    return { row: id, does }
  }
  if ('configured' in facts)
    return { row: isUnrecorded(facts as unknown as InstanceFacts) ? 'T12' : 'none', does: 'identify' }
  const node = facts as unknown as SettleNodeFacts
  if (row === 'T0') return { row: isAlarm(node) ? 'T0' : 'none', does: 'alarm' }
  const { id, does } = settleNodeBy(node)
  return { row: id, does }
}

/** Which kinds of events a row's answer may come to, where the tables of PostgreSQL say so. */
const kindsOf: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  A: { start: ['claimed'] },
  E: { start: ['claimed'] },
  L: { claim: ['claimed'] },
  C: {
    dead: ['confirmed'],
    wait: ['waiting'],
    askStreams: ['waiting'],
    alive: ['stood down', 'waiting'],
    page: ['paged', 'waiting'],
  },
  U: {
    undo: ['waiting'],
    repoint: ['resumed'],
    promote: ['resumed'],
    fence: ['resumed'],
    wait: ['waiting'],
    anew: ['confirmed'],
  },
  R: { promote: ['target'], refuse: ['paged', 'waiting'] },
  // A swap that Route 53 refuses is told to a person.
  D: { swap: ['repointed', 'paged'], done: ['repointed'], refuse: ['paged'] },
  T: {
    halt: ['halted'],
    alarm: ['paged'],
    harmless: ['harmless'],
    fenced: ['fenced'],
    fence: ['fence requested', 'halted'],
    start: ['starting'],
    rejoin: ['rejoining'],
    joined: ['rejoined'],
    follow: ['following', 'diverged'],
    rename: ['following', 'diverged'],
    identify: ['identified'],
    diverged: ['diverged'],
    recordSet: ['synchronous set'],
    list: ['list'],
  },
}

export function decisionsExplained(history: History): Violation[] {
  const { found, report } = reporter('decisions explained')
  const newest = new Map<string, ClusterState>()
  for (const entry of history.entries) {
    if (entry.kind === 'restored') newest.set(entry.deployment, entry.state)
    if (entry.kind !== 'state') continue
    const { state, deployment, atMs } = entry
    const before = newest.get(deployment)
    newest.set(deployment, state)
    if (isBeat({ state, before })) continue
    for (const why of whyNotExplained(state, before))
      report(
        atMs,
        `${deployment} ${state.lastEvent.term}.${state.lastEvent.version} (${state.lastEvent.kind}): ${why}`,
      )
  }
  return found
}

function whyNotExplained(state: ClusterState, before: ClusterState | undefined): string[] {
  const { row, kind, facts } = state.lastEvent
  if (row === null) return decisions.includes(kind) ? ['a decision without a row'] : []
  if (noTable.includes(row)) return []
  const decided = (facts.decided ?? facts) as Recorded
  const own = row[0] === 'L' && kind === 'claimed' ? [] : whyNotRow(row, decided, state)
  return [
    ...own,
    ...(kind === 'claimed' ? whyNotClaim(state.lastEvent, before) : []),
    ...whyNotTrue(state, decided),
  ]
}

function whyNotRow(row: string, facts: Recorded, { lastEvent, plan }: ClusterState): string[] {
  let again: Decided
  try {
    again = replay(row, facts)
  } catch (error) {
    return [
      `the recorded facts do not suffice for ${row}: ${error instanceof Error ? error.message : String(error)}`,
    ]
  }
  if (again.row !== row) return [`by its recorded facts it is ${again.row} (${again.does}), and not ${row}`]
  const kinds = kindsOf[row[0] ?? '']?.[again.does]
  if (kindsOf[row[0] ?? ''] === undefined || kinds?.includes(lastEvent.kind)) return []
  // Behind a fence that is not undone, an answer or a silence changes nothing any more (S5).
  const goesOn = lastEvent.kind === 'confirmed' && (plan?.fenceRequested.length ?? 0) > 0
  // A switchover that a row refuses, or an operation that stands down, ends by it.
  const ends =
    ['refuse', 'page', 'alive', 'undo'].includes(again.does) &&
    ['stood down', 'paged'].includes(lastEvent.kind)
  return goesOn || ends ? [] : [`${row} says ${again.does}, and the event is ${lastEvent.kind}`]
}

/** Whoever claims says which row let it; and what the row was chosen by is what stood in the state before. */
function whyNotClaim({ row, facts }: Event, before: ClusterState | undefined): string[] {
  const claim = facts.claim as { row: string; facts: ClaimFacts } | undefined
  if (claim === undefined) return ['a claim without the facts that allowed it']
  const found: string[] = []
  const again = replay('L', claim.facts)
  if (again.row !== claim.row || again.does !== 'claim')
    found.push(`by its recorded facts the claim is ${again.row} (${again.does}), and not ${claim.row}`)
  if (row?.startsWith('L') && row !== claim.row)
    found.push(`the claim is ${row}, and was allowed by ${claim.row}`)
  if (before === undefined) return found
  const { term, phase, pausedBy, holder } = claim.facts
  const pause = before.pause?.owner ?? null
  const isTrue =
    term === before.term &&
    phase === before.phase &&
    pausedBy === pause &&
    holder === (before.claim?.holder ?? 'nobody')
  if (!isTrue)
    found.push(`the claim was allowed by term ${term}, ${phase}, which is not the state that it was made on`)
  return found
}

/** What is recorded beside the facts says the same as they do. */
function whyNotTrue({ lastEvent, plan }: ClusterState, decided: Recorded): string[] {
  if (lastEvent.kind !== 'target' || !/^[RP]/.test(lastEvent.row ?? '')) return []
  const isTrue = decided.candidate === plan?.target && decided.positionBytes === plan?.targetPositionBytes
  return isTrue ? [] : [`${lastEvent.row} chose ${decided.candidate}, and the target is ${plan?.target}`]
}
