/**
 * What to do next about an engine that elects by itself: rows `N…` for aurora, `G…` for aurora-global; the same number
 * means the same in both. The provider decides who writes, and fences in its own way; we wait for its election, ask for
 * one where none comes, and believe it when it was read twice, nothing is under way, and a quorum of observers agrees.
 */
import { type NativeFacts, type NativeInput, nativeFacts } from './nativeFacts.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type { EngineName } from './types.ts'

/**
 * `go`: on to the next phase. `follow`: record the elected writer as the target, with its election as evidence. `choose`:
 * record whom we shall ask for. `ask`: call. `done`: it writes. `renew`: only a new term may choose another (S1).
 * `forward`, `anew`: what a resume makes of a recorded target. `page`: say so, and go on waiting. `stand down`: nothing
 * is left to do. `give up`: the same, and a person is told.
 */
export type NativeDoes =
  | 'wait'
  | 'page'
  | 'go'
  | 'follow'
  | 'choose'
  | 'ask'
  | 'done'
  | 'renew'
  | 'forward'
  | 'anew'
  | 'stand down'
  | 'give up'

type NativeRow = Row<NativeFacts, NativeDoes> & { readonly only?: 'N' | 'G' }

/** Said twice by the provider and agreed to by a quorum: an election that has finished. */
const isElected = (f: NativeFacts) => f.moved && f.sightings >= 2 && f.writable && !isSwapped(f)
const isSwapped = (f: NativeFacts) => f.writer !== null && f.swapped.includes(f.writer)
/** Something moves, or may: it is followed, never raced. */
const isMoving = (f: NativeFacts) =>
  f.moved || f.writer === null || f.underWay !== null || f.announced !== null || f.seenWriter !== null
const isAtHome = (f: NativeFacts) => f.writer === f.primary && f.sightings >= 2 && f.seenWriter === null
const confirming = (f: NativeFacts) => f.phase === 'confirming'
const resuming = (f: NativeFacts) => f.phase === 'resuming'
const fencing = (f: NativeFacts) => f.phase === 'fencing'
const promoting = (f: NativeFacts) => f.phase === 'promoting'

const rows: readonly NativeRow[] = [
  {
    id: '1',
    when: 'planned, and AWS was not yet read twice; confirming',
    test: (f) => confirming(f) && f.planned && f.sightings < 2 && f.patient,
    does: 'wait',
    reason: 'the writer by AWS is {writer} ({said}); read again before the switchover begins',
  },
  {
    id: '2',
    when: 'planned, and something is in doubt; confirming',
    test: (f) => confirming(f) && f.planned && f.doubts.length > 0,
    does: 'stand down',
    reason: 'no switchover: {doubts}',
  },
  {
    id: '3',
    when: 'planned, and nothing is in doubt; confirming',
    test: (f) => confirming(f) && f.planned,
    does: 'go',
    reason: '{primary} writes and {candidate} follows: the switchover may begin',
  },
  {
    id: '4',
    when: 'the writer is one that the configuration does not have, or not the resource that was recorded; confirming',
    test: (f) => confirming(f) && f.sightings >= 2 && (f.stranger !== null || isSwapped(f)),
    does: 'give up',
    reason:
      'AWS says that {stranger} ({writer}) is the writer, which is no node of the configuration or not the resource that was recorded: correct the configuration, then adopt',
  },
  {
    id: '5',
    when: 'another node was elected: confirming',
    test: (f) => confirming(f) && isElected(f),
    does: 'go',
    reason: 'AWS made {writer} the writer, recorded is {primary}: its election is followed',
  },
  {
    id: '6',
    when: 'roles move, or AWS gives no answer, within its time; confirming, and the primary does not live on',
    test: (f) =>
      confirming(f) && (isMoving(f) || !f.answered) && !f.primaryUsable && !isDead(f) && f.graceLeftMs > 0,
    does: 'wait',
    reason:
      'an election is under way or not yet seen by all ({said}; writer by AWS: {writer}, by the observers: {seenWriter}); it gets {graceLeftMs} ms more',
  },
  {
    id: '7',
    when: 'the observers see another writer than AWS does, and its time is over; confirming',
    test: (f) => confirming(f) && (f.moved || f.seenWriter !== null) && !f.primaryUsable && !isDead(f),
    does: 'give up',
    reason:
      'by AWS {writer} is the writer, by the observers {seenWriter}: they did not agree within {graceMs} ms, so the record is left as it is',
  },
  {
    id: '8',
    only: 'G',
    when: 'the judge wants a fence that can be proved, and Aurora promises none; confirming',
    test: (f) => confirming(f) && isDead(f) && f.needsPower && f.unfencedBy === null,
    does: 'give up',
    reason:
      '{verdictReason}; the fence of a global failover is best effort, so {primary} may go on serving whom it still reaches: run failover and approve without its fence',
  },
  {
    id: '9',
    when: 'the judge finds the primary dead, or a person ordered it; confirming',
    test: (f) => confirming(f) && isDead(f),
    does: 'go',
    reason: '{verdictReason}',
  },
  {
    id: '10',
    when: 'the primary is in recovery for a quorum and nobody writes, within the time of AWS; confirming',
    test: (f) => confirming(f) && f.primaryClass === 'recovery' && f.graceLeftMs > 0,
    does: 'wait',
    reason: '{primary} is a reader and no other writer is seen: the election gets {graceLeftMs} ms more',
  },
  {
    id: '11',
    only: 'N',
    when: 'nobody writes, and the time of AWS is over; confirming',
    test: (f) => confirming(f) && f.primaryClass === 'recovery',
    does: 'go',
    reason: '{primary} is a reader and nobody was elected within {graceMs} ms: an election is asked for',
  },
  {
    id: '12',
    only: 'G',
    when: 'nobody writes, and the time of AWS is over; confirming',
    test: (f) => confirming(f) && f.primaryClass === 'recovery',
    does: 'give up',
    reason:
      '{primary} answers as a reader and nobody writes after {graceMs} ms; its Region lives, so no data is given up by itself: look at the global cluster',
  },
  {
    id: '13',
    when: 'the judge wants to look again, or AWS is at work; confirming',
    test: (f) => confirming(f) && f.verdict !== 'alive' && (f.verdict !== 'page' || isBusy(f)),
    does: 'wait',
    reason: '{verdictReason}; AWS: {said}',
  },
  {
    id: '14',
    when: 'the judge calls a person; confirming',
    test: (f) => confirming(f) && f.verdict === 'page',
    does: 'give up',
    reason: '{verdictReason}',
  },
  {
    id: '15',
    when: 'the primary lives; confirming',
    test: confirming,
    does: 'stand down',
    reason: '{verdictReason}',
  },
  {
    id: '16',
    when: 'the recorded target was elected; resuming',
    test: (f) => resuming(f) && f.sightings >= 2 && f.writer === f.target,
    does: 'forward',
    reason: 'AWS made {target} the writer: going on from there',
  },
  {
    id: '17',
    when: 'somebody else than the recorded target was elected; resuming',
    test: (f) => resuming(f) && isElected(f),
    does: 'anew',
    reason: 'AWS made {writer} the writer and not {target}: the new term follows it',
  },
  {
    id: '18',
    when: 'roles move, or were not read twice; resuming',
    test: (f) => resuming(f) && !isAtHome(f) && f.patient,
    does: 'wait',
    reason: 'writer by AWS: {writer} ({said}); looking again before the operation is resumed',
  },
  {
    id: '19',
    when: 'roles move, or AWS gives no answer, look after look; resuming',
    test: (f) => resuming(f) && !isAtHome(f),
    does: 'page',
    reason:
      'the operation can not be resumed: writer by AWS is {writer} ({said}), the target was {target}; waiting for AWS',
  },
  {
    id: '20',
    when: 'a planned change that did not come about; resuming',
    test: (f) => resuming(f) && f.planned,
    does: 'stand down',
    reason: 'an interrupted switchover is undone: {primary} is the writer still',
  },
  {
    id: '21',
    when: 'nobody was elected, and the recorded target answers; resuming',
    test: (f) => resuming(f) && f.targetAlive,
    does: 'forward',
    reason: '{primary} is the writer still by AWS, and {target} answers: going on with it',
  },
  {
    id: '22',
    when: 'nobody was elected, and the recorded target does not answer; resuming',
    test: resuming,
    does: 'anew',
    reason: '{primary} is the writer still by AWS, and {target} does not answer: another one is chosen',
  },
  {
    id: '23',
    when: 'the recorded target is not who was elected; promoting',
    test: (f) => promoting(f) && f.target !== null && isElected(f) && f.writer !== f.target,
    does: 'renew',
    reason: 'AWS made {writer} the writer and not {target}: only a new term may follow it',
  },
  {
    id: '24',
    when: 'the recorded target was elected, and a commit returned; promoting',
    test: (f) => promoting(f) && f.target !== null && isElected(f) && f.writer === f.target && f.committed,
    does: 'done',
    reason: '{target} is the writer by AWS, read {sightings} times, and a commit returned to a quorum',
  },
  {
    id: '25',
    when: 'another node was elected, read twice, and a quorum sees it writable; nobody was asked',
    test: (f) => (fencing(f) || promoting(f)) && f.target === null && isElected(f),
    does: 'follow',
    reason:
      '{writer} is the writer by the election of AWS, read {sightings} times and agreed to by a quorum; {primary} is not',
  },
  {
    id: '26',
    when: 'AWS gives no answer, or roles move: it is given time',
    test: (f) => (!f.answered || isMoving(f)) && (f.graceLeftMs > 0 || f.patient),
    does: 'wait',
    reason: 'writer by AWS: {writer} ({said}), by the observers: {seenWriter}',
  },
  {
    id: '27',
    when: 'AWS gives no answer, or roles move, for longer than it was given',
    test: (f) => !f.answered || isMoving(f),
    does: 'page',
    reason:
      'no writer is sure: by AWS {writer} ({said}), by the observers {seenWriter}; its own election is never raced, so this waits. An election that hangs is for AWS support',
  },
  {
    id: '28',
    when: 'a person planned it, and nothing moves; fencing',
    test: (f) => fencing(f) && f.planned,
    does: 'go',
    reason: 'nothing is under way: the switchover is asked for',
  },
  {
    id: '29',
    when: 'the primary came back as the writer before anything was asked',
    test: (f) => f.target === null && !f.planned && f.automatic && isAtHome(f) && f.primaryUsable,
    does: 'stand down',
    reason: '{primary} accepts writes again and is the writer by AWS: nothing was asked for',
  },
  {
    id: '30',
    when: 'no election yet, within the time of AWS',
    test: (f) => f.target === null && !f.planned && f.graceLeftMs > 0,
    does: 'wait',
    reason:
      '{primary} is still the writer by AWS; its own election gets {graceLeftMs} ms more of {graceMs} ms',
  },
  {
    id: '31',
    when: 'what AWS says was read only once',
    test: (f) => f.sightings < 2,
    does: 'wait',
    reason: 'the writer by AWS is {writer}; read again before anything is asked for',
  },
  {
    id: '32',
    when: 'a failover completed a short time ago, without an approval: followed, but not asked for',
    test: (f) => f.target === null && !f.planned && f.inCooldown,
    does: 'give up',
    reason:
      'no election came within {graceMs} ms, and a failover completed a short time ago: needs an approval of the next term, or {cooldownLeftMinutes} minutes of cooldown',
  },
  {
    id: '33',
    when: 'no election came: one is asked for; fencing',
    test: fencing,
    does: 'go',
    reason: 'no election came within {graceMs} ms: one is asked for',
  },
  {
    id: '34',
    when: 'nobody could be asked for, and it was planned',
    test: (f) => f.target === null && f.candidate === null && f.planned,
    does: 'give up',
    reason: 'no switchover: {passedOver}',
  },
  {
    id: '35',
    when: 'nobody could be asked for',
    test: (f) => f.target === null && f.candidate === null,
    does: 'page',
    reason: 'no election came, and nobody can be asked for: {passedOver}',
  },
  {
    id: '36',
    only: 'G',
    when: 'unplanned, and neither the policy nor an approval allows what it may lose',
    test: (f) => f.target === null && !f.planned && !f.mayLose,
    does: 'page',
    reason:
      '{candidate} could take over, but the policy of loss is {policy} ({boundMs} ms) and {lossReason}; failing over to it in term {term} with data loss allowed needs an approval',
  },
  {
    id: '37',
    when: 'somebody can be asked for',
    test: (f) => f.target === null,
    does: 'choose',
    reason: '{candidate} is asked for; {lossReason}',
  },
  {
    id: '38',
    when: 'not asked yet',
    test: (f) => f.asked === 'no',
    does: 'ask',
    reason: 'AWS is asked to make {target} the writer',
  },
  {
    id: '39',
    when: 'certainly refused, planned, and the primary writes as before',
    test: (f) =>
      (f.asked === 'refused' || (f.asked === 'later' && !f.patient)) &&
      !f.doubt &&
      f.planned &&
      isAtHome(f) &&
      f.primaryUsable,
    does: 'give up',
    reason: 'no switchover: AWS refused it ({refusal}), and {primary} is the writer as before',
  },
  {
    id: '40',
    when: 'refused again and again, or planned without effect: only a new term may choose another',
    test: (f) => !f.patient && (f.asked === 'refused' || (f.planned && isAtHome(f))),
    does: 'renew',
    reason: 'AWS does not make {target} the writer ({asked} {refusal})',
  },
  {
    id: '41',
    when: 'asked without effect for long enough, and the primary does not write: the same call, the same target',
    test: (f) => f.askAgain && (f.planned || !f.automatic || !f.primaryUsable),
    does: 'ask',
    reason: 'AWS was asked to make {target} the writer ({asked} {refusal}) and nothing moves: asked again',
  },
  {
    id: '42',
    when: 'asked, and nothing moves yet',
    test: (f) => f.patient,
    does: 'wait',
    reason: 'AWS was asked to make {target} the writer ({asked} {refusal}); nothing moves yet',
  },
  {
    id: '43',
    when: 'asked, and nothing moves, look after look',
    test: () => true,
    does: 'page',
    reason: 'AWS was asked to make {target} the writer ({asked} {refusal}), and nothing moves',
  },
]

function isDead(f: NativeFacts): boolean {
  return f.verdict === 'dead'
}

function isBusy(f: NativeFacts): boolean {
  return (f.underWay !== null || f.announced !== null) && f.graceLeftMs > 0
}

const tableOf = (letter: 'N' | 'G') =>
  rows
    .filter(({ only }) => only === undefined || only === letter)
    .map((row) => ({ ...row, id: `${letter}${row.id}` }))

const aurora = tableOf('N')
const auroraGlobal = tableOf('G')

/** The tables as they decide, for the golden dump, the docs and the CLI. */
export const nativeRows = listRows(aurora)
export const globalRows = listRows(auroraGlobal)

export interface NativeDecision {
  readonly does: NativeDoes
  readonly row: string
  readonly reason: string
  readonly facts: NativeFacts
}

/** `N` for aurora, `G` for aurora-global. */
export const nativeBy = (letter: 'N' | 'G', facts: NativeFacts) =>
  firstMatch(letter === 'G' ? auroraGlobal : aurora, facts)

export function decideNative(engine: EngineName, input: NativeInput): NativeDecision {
  const facts = nativeFacts(input)
  const row = nativeBy(engine === 'aurora-global' ? 'G' : 'N', facts)
  return { does: row.does, row: row.id, reason: fill(row.reason, facts), facts }
}
