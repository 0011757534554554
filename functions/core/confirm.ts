/**
 * The judge: is the primary dead? It may not be wrong, so it judges only looks that confirm asked for after its claim
 * (S6, H10), and reads reports for one thing only: how the open sessions ended (S12).
 */
import { type JudgeFacts, type JudgeInput, judgeFacts } from './judgeFacts.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type { LookCounts } from './types.ts'

export type { JudgeFacts, JudgeInput } from './judgeFacts.ts'

/**
 * `dead`: fence and fail over (with `facts.needsPower`, only behind power or network evidence). `alive`: stand down.
 * `wait`: look again. `askStreams`: make the standbys' receivers reconnect, then look again. `page`: stand down and
 * call a person.
 */
export interface Verdict {
  readonly verdict: 'dead' | 'alive' | 'wait' | 'askStreams' | 'page'
  readonly row: string
  readonly reason: string
  readonly facts: Readonly<Record<string, unknown>>
  readonly counts: LookCounts
}

type JudgeRow = Row<JudgeFacts, Verdict['verdict']> & { readonly needsPower?: true }

const downByQuorum = (f: JudgeFacts) => f.down >= f.quorum
const lookedEnough = (f: JudgeFacts) => f.asked >= f.silentLooksWanted
const silentEnough = (f: JudgeFacts) => f.silentLooks >= f.silentLooksWanted
/** A hold that the owner made longer than the silent looks is waited out by them, too (S12). */
const silentThroughHold = (f: JudgeFacts) => silentEnough(f) && f.silentLooks >= f.holdLooks
const isTold = (f: JudgeFacts) => f.told.length > 0
const isUntold = (f: JudgeFacts) => !isTold(f) && f.untold.length >= f.quorum
const isIsolated = (f: JudgeFacts) => f.aliveFor.length > 0 && f.alive < f.quorum && downByQuorum(f)
const isSuspect = (f: JudgeFacts) =>
  downByQuorum(f) && f.allReplicasDown && !(f.canaries >= f.quorum && f.sharedDomain !== null)
/**
 * Two rounds, so that a stream had time to show progress; one is enough only where the owner allows no hold. A hold that
 * is longer than an invocation is counted in looks that were refused without a break (S3).
 */
const isHeld = (f: JudgeFacts) =>
  (f.rounds >= 2 || f.holdMs === 0) && (f.heldMs >= f.holdMs || isHeldByLooks(f))
const isHeldByLooks = (f: JudgeFacts) => f.holdLooks > 2 && f.deadLooks >= f.holdLooks

const rows: readonly JudgeRow[] = [
  {
    id: 'C1',
    when: 'fewer than a quorum of the configured observers answered, and there were few looks yet',
    test: (f) => f.answered < f.quorum && !lookedEnough(f),
    does: 'wait',
    reason:
      '{answered} of {configured} observers answered about {primary}, {quorum} are needed (missing: {missing}); looking again',
  },
  {
    id: 'C2',
    when: 'fewer than a quorum of the configured observers answered, look after look',
    test: (f) => f.answered < f.quorum,
    does: 'page',
    reason:
      'no quorum: {answered} of {configured} observers answered about {primary} after {asked} looks, {quorum} are needed (missing: {missing}); nothing is done without a quorum',
  },
  {
    id: 'C3',
    when: 'a person ordered it, and a quorum of observers answers',
    test: (f) => f.manual,
    does: 'dead',
    reason:
      'ordered by hand: {primary} is replaced whether it lives or not; {alive} of {configured} observers had an answer of it',
  },
  {
    id: 'C4',
    when: 'the primary is starting or stopping for a quorum, within the restart grace',
    test: (f) => f.alive >= f.quorum && f.usable === 0 && f.graceLeftMs > 0,
    does: 'wait',
    reason:
      '{primary} is on its way up or down, so it lives; it gets {graceLeftMs} ms more of its restart grace of {restartGraceMs} ms',
  },
  {
    id: 'C5',
    when: 'the primary is starting or stopping for a quorum, and the restart grace is over',
    test: (f) => f.alive >= f.quorum && f.usable === 0,
    does: 'page',
    reason:
      '{primary} has been starting or stopping for longer than its restart grace of {restartGraceMs} ms; it lives (crash recovery, a long checkpoint), so it is not replaced by itself',
  },
  {
    id: 'C6',
    when: 'the primary answers a quorum',
    test: (f) => f.alive >= f.quorum,
    does: 'alive',
    reason: '{primary} answered {alive} of {configured} observers: it lives',
  },
  {
    id: 'C7',
    when: 'no observer gets an answer, but a standby still receives from the primary; few looks yet',
    test: (f) => downByQuorum(f) && f.streamsAlive.length > 0 && !lookedEnough(f),
    does: 'wait',
    reason:
      '{primary} does not answer {down} of {configured} observers, yet {streamsAlive} received from it between two looks; looking again',
  },
  {
    id: 'C8',
    when: 'no observer gets an answer, but a standby still receives from the primary: hung',
    test: (f) => downByQuorum(f) && f.streamsAlive.length > 0,
    does: 'page',
    reason:
      'hung: {primary} does not answer {down} of {configured} observers, but {streamsAlive} still receives from it after {asked} looks; it lives and may acknowledge writes, so it is not replaced by itself',
  },
  {
    id: 'C9',
    when: 'the last session was told about its end (a restart), within the restart grace',
    test: (f) => f.alive < f.quorum && isTold(f) && f.graceLeftMs > 0,
    does: 'wait',
    reason:
      '{primary} said good-bye to {told}: a restart, not a death; it gets {graceLeftMs} ms more of its restart grace of {restartGraceMs} ms',
  },
  {
    id: 'C10',
    when: 'alive for a minority (isolated); few looks yet',
    test: (f) => isIsolated(f) && !(f.isolatedPolicy === 'failover' ? silentEnough(f) : lookedEnough(f)),
    does: 'wait',
    reason: '{primary} answers {aliveFor} but not {down} of {configured} observers; looking again',
  },
  {
    id: 'C11',
    when: 'alive for a minority (isolated), and the policy is to page',
    test: (f) => isIsolated(f) && f.isolatedPolicy === 'page',
    does: 'page',
    reason:
      'isolated: {primary} answers {aliveFor} but not {down} of {configured} observers; it may serve clients, and the policy isolated is page',
  },
  {
    id: 'C12',
    when: 'primary and all replicas look dead, without canaries and one shared zone or Region to excuse the observers; few looks yet',
    test: (f) => isSuspect(f) && !lookedEnough(f),
    does: 'wait',
    reason:
      '{primary} and all replicas ({replicasDown}) look dead at once: more likely the observers are cut off; looking again',
  },
  {
    id: 'C13',
    when: 'primary and all replicas look dead, and nothing excuses the observers',
    test: (f) => isSuspect(f),
    does: 'page',
    reason:
      'observers suspect: {primary} and all replicas ({replicasDown}) look dead; {canaries} observers have a canary that answers, and the dead do not share one zone or Region that a living node is outside of',
  },
  {
    id: 'C14',
    when: 'alive for a minority (isolated) for long enough, and the policy is to fail over',
    test: (f) => isIsolated(f),
    does: 'dead',
    needsPower: true,
    reason:
      'isolated: {primary} did not answer {down} of {configured} observers in {silentLooks} looks, but answers {aliveFor}; the policy isolated is failover, behind power evidence only',
  },
  {
    id: 'C15',
    when: 'untold end on a quorum, refused on a quorum in every round, held long enough, no stream moved',
    test: (f) => isUntold(f) && f.refusedThroughout && isHeld(f),
    does: 'dead',
    reason:
      '{primary} died: sessions ended without a word for {untold}, new connections refused to {refused} of {configured} observers in {rounds} rounds over {heldMs} ms, no standby received anything',
  },
  {
    id: 'C16',
    when: 'told end, the restart grace is over, still refused on a quorum in every round',
    test: (f) => isTold(f) && f.refusedThroughout && isHeld(f),
    does: 'dead',
    reason:
      '{primary} stopped and did not come back within its restart grace of {restartGraceMs} ms: refused to {refused} of {configured} observers',
  },
  {
    id: 'C17',
    when: 'refused on a quorum for enough looks in a row; how the sessions ended is not known',
    test: (f) => f.refusedThroughout && f.deadLooks >= f.silentLooksWanted && isHeld(f),
    does: 'dead',
    reason:
      '{primary} refused {refused} of {configured} observers in {deadLooks} looks in a row, no standby received anything',
  },
  {
    id: 'C18',
    when: 'down on a quorum for enough looks, and a standby says that it streams: it has not been asked',
    test: (f) => downByQuorum(f) && silentEnough(f) && f.streamsSaid.length > 0 && !f.streamsAsked,
    does: 'askStreams',
    reason:
      '{primary} did not answer in {silentLooks} looks, but by their own status standbys still stream from it ({streamsSaid}); a status is no proof, so the receivers are made to reconnect',
  },
  {
    id: 'C19',
    when: 'asked, and the old receiver still stands; few looks yet',
    test: (f) =>
      downByQuorum(f) &&
      silentEnough(f) &&
      f.streamsSaid.length > 0 &&
      f.silentLooks < 4 * f.silentLooksWanted,
    does: 'wait',
    reason:
      '{streamsSaid} was asked to reconnect to {primary} and has not yet shown the outcome; looking again',
  },
  {
    id: 'C20',
    when: 'asked, and the standby goes on saying that it streams',
    test: (f) => downByQuorum(f) && silentEnough(f) && f.streamsSaid.length > 0,
    does: 'page',
    reason:
      'hung: {primary} did not answer in {silentLooks} looks, but standbys that were asked to reconnect say that they stream ({streamsSaid}); that may be life, so {primary} is not replaced by itself',
  },
  {
    id: 'C21',
    when: 'down on a quorum for enough looks, in some of which a minority may have had an answer (policy isolated is failover)',
    test: (f) => downByQuorum(f) && silentThroughHold(f) && f.maybeIsolated,
    does: 'dead',
    needsPower: true,
    reason:
      '{primary} did not answer {down} of {configured} observers in {silentLooks} looks in a row; a minority may have had answers meanwhile, so only behind power evidence',
  },
  {
    id: 'C22',
    when: 'down on a quorum for enough looks, and no standby streams from it',
    test: (f) => downByQuorum(f) && silentThroughHold(f),
    does: 'dead',
    reason:
      '{primary} did not answer {down} of {configured} observers in {silentLooks} looks in a row, and no standby streams from it',
  },
  {
    id: 'C23',
    when: 'down on a quorum, not yet long enough',
    test: downByQuorum,
    does: 'wait',
    reason:
      '{primary} does not answer {down} of {configured} observers: {silentLooks} looks of {silentLooksWanted}, held {heldMs} ms of {holdMs} ms',
  },
  {
    id: 'C24',
    when: 'the observers disagree and no side has a quorum; few looks yet',
    test: (f) => f.asked < 3 * f.silentLooksWanted,
    does: 'wait',
    reason:
      'no clear picture of {primary}: {alive} observers have an answer, {down} have none, {quorum} of {configured} must agree; looking again',
  },
  {
    id: 'C25',
    when: 'the observers disagree, look after look',
    test: () => true,
    does: 'page',
    reason:
      'no clear picture of {primary} after {asked} looks: {alive} observers have an answer, {down} have none, {quorum} of {configured} must agree',
  },
]

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const judgeRows = listRows(rows)

export const verdictBy = (facts: JudgeFacts) => firstMatch(rows, facts)

/** Judges confirm's looks. Never `dead` without a quorum of looks, never by a missing answer alone. */
export function judge(input: JudgeInput): Verdict {
  const { facts, counts } = judgeFacts(input)
  const row = verdictBy(facts)
  return {
    verdict: row.does,
    row: row.id,
    reason: fill(row.reason, facts),
    facts: row.needsPower ? { ...facts, needsPower: true } : facts,
    counts,
  }
}
