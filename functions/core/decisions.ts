/**
 * The decision table of assess: what is done about a cluster now, and why. Reports are hints, so a row may start an
 * operation but never act; confirm judges anew. The order of the rows is the order of what matters more.
 */
import type { Facts } from './facts.ts'
import { fleetFailoversMost } from './limits.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'

export type Decision =
  | { readonly action: 'wait' | 'page'; readonly row: string; readonly reason: string }
  | {
      readonly action: 'start'
      readonly row: string
      readonly reason: string
      readonly kind: 'failover' | 'resume' | 'settle'
    }

type Does = 'wait' | 'page' | 'start failover' | 'start resume' | 'start settle'
type AssessRow = Row<Facts, Does>

const isAliveByQuorum = (f: Facts) => f.alive >= f.quorum
const isDownByQuorum = (f: Facts) => f.down >= f.quorum
const isTwoWriters = (f: Facts) => f.primaryOut && f.otherWriters.some((id) => !f.quorumFenced.includes(id))
const isOursToFence = (f: Facts) => f.otherWriters.every((id) => f.refenceable.includes(id))
const isIsolated = (f: Facts) => isDownByQuorum(f) && f.aliveFor.length > 0
const isSuddenDeath = (f: Facts) =>
  f.told.length === 0 && f.untold.length >= f.quorum && f.refused >= f.quorum
const isLongDown = (f: Facts) => f.longDown >= f.quorum
const isGraceOver = (f: Facts) => f.told.length > 0 && f.graceLeftMs === 0 && f.refused >= f.quorum

const rows: readonly AssessRow[] = [
  {
    id: 'A1',
    when: 'the state can not be read',
    test: (f) => f.state === 'unreadable',
    does: 'page',
    reason: 'the state of {cluster} can not be read, so nothing is done: {problems}',
  },
  {
    id: 'A2',
    when: 'there is no state',
    test: (f) => f.state === 'absent',
    does: 'wait',
    reason: '{cluster} has not been adopted yet: run adopt first',
  },
  {
    id: 'A3',
    when: 'an operation is under way and its beat stood still since the last minute tick',
    test: (f) => f.inOperation && f.stoodStill,
    does: 'start resume',
    reason:
      'the operation of term {term} ({holder}) stood still in phase {phase} for a minute: it is resumed',
  },
  {
    id: 'A4',
    when: 'two writers, and we are halted, paused or in an operation',
    test: (f) => isTwoWriters(f) && (f.halted || f.paused || f.inOperation),
    does: 'page',
    reason:
      'TWO WRITERS: {primary} is the recorded primary and {otherWriters} is out of recovery as well; Understudy does not act on it now (phase {phase}): stop the wrong one by hand',
  },
  {
    id: 'A5',
    when: 'halted',
    test: (f) => f.halted,
    does: 'page',
    reason: 'halted in term {term}: {haltedReason}; nothing is done until acknowledge or adopt',
  },
  {
    id: 'A6',
    when: 'an operation is under way',
    test: (f) => f.inOperation,
    does: 'wait',
    reason: 'term {term} is under way in phase {phase} ({holder})',
  },
  {
    id: 'A7',
    when: 'paused, by the clock of the scheduler',
    test: (f) => f.paused,
    does: 'wait',
    reason:
      'paused by {pausedBy} for {pauseLeftMinutes} more minutes ({pauseReason}): nothing is done, whatever is seen',
  },
  {
    id: 'A8',
    when: 'nodes show a newer term, another deployment or a newer timeline than the state',
    test: (f) => f.superseded.length > 0,
    does: 'page',
    reason:
      'superseded: {superseded}; the world is newer than our state of term {term}, so nothing is done: compare, then adopt',
  },
  {
    id: 'A9',
    when: 'fewer than a quorum of the configured observers have a report that counts',
    test: (f) => f.readable < f.quorum,
    does: 'page',
    reason:
      'no quorum: reports of {readable} of {configured} observers count, {quorum} are needed (missing: {missing}); nothing is decided without a quorum',
  },
  {
    id: 'A10',
    when: 'two writers, and the other one is an old writer of ours on a timeline that is not newer',
    test: (f) => isTwoWriters(f) && isOursToFence(f),
    does: 'start settle',
    reason:
      'TWO WRITERS: {primary} is the recorded primary of term {term} and the old writer {otherWriters} is out of recovery; it is fenced again at once',
  },
  {
    id: 'A11',
    when: 'two writers, and it is not sure that the other one is the wrong one',
    test: isTwoWriters,
    does: 'page',
    reason:
      'TWO WRITERS: {primary} is the recorded primary of term {term}, and {otherWriters} is out of recovery although it never was our writer; fencing either could destroy the newer data: decide by hand',
  },
  {
    id: 'A12',
    when: 'the primary does not look dead, and an old writer shows up out of recovery',
    test: (f) =>
      !isDownByQuorum(f) && f.otherWriters.length > 0 && isOursToFence(f) && (f.isTick || !f.alreadyJudged),
    does: 'start settle',
    reason: 'the old writer {otherWriters} is out of recovery and not fenced by power: its fence is finished',
  },
  {
    id: 'A13',
    when: 'the primary is alive and its synchronous list is not the recorded one',
    test: (f) => isAliveByQuorum(f) && f.listDiffers && (f.isTick || !f.alreadyJudged) && !f.passUnderWay,
    does: 'start settle',
    reason:
      'the synchronous list of {primary} is {listSeen}, recorded is {listRecorded}: it counts as unknown until it is looked at',
  },
  {
    id: 'A14',
    when: 'the primary is alive, and a node that is being brought back streams',
    test: (f) =>
      isAliveByQuorum(f) && f.canAdvance.length > 0 && (f.isTick || !f.alreadyJudged) && !f.passUnderWay,
    does: 'start settle',
    reason: 'streaming on the current timeline: {canAdvance}; redundancy is completed',
  },
  {
    id: 'A15',
    when: 'the primary is alive, work is left, it is the minute tick, and no pass is under way',
    test: (f) => isAliveByQuorum(f) && (f.settling || f.workLeft.length > 0) && f.isTick && !f.passUnderWay,
    does: 'start settle',
    reason: 'writes are back, work is left after term {term}: {workLeft}',
  },
  {
    id: 'A16',
    when: 'the primary is starting or stopping for a quorum',
    test: (f) => isAliveByQuorum(f) && f.usable === 0,
    does: 'wait',
    reason: '{primary} is starting or stopping for {starting} of {configured} observers: it lives',
  },
  {
    id: 'A17',
    when: 'the recorded primary is in recovery for a quorum',
    test: (f) => f.inRecovery >= f.quorum,
    does: 'page',
    reason:
      '{primary} is the recorded primary but is in recovery for {inRecovery} of {configured} observers: somebody made it a standby; adopt what is true',
  },
  {
    id: 'A18',
    when: 'the primary answers a quorum, and commits do not return',
    test: (f) => isAliveByQuorum(f) && f.blocked >= f.quorum,
    does: 'page',
    reason:
      'writes blocked: {primary} answers, but commits do not return for {blocked} of {configured} observers (standbys that acknowledge are missing, or its disk hangs); a failover would not help, so none is made',
  },
  {
    id: 'A19',
    when: 'the primary answers a quorum, and work waits for the minute tick',
    test: (f) => isAliveByQuorum(f) && (f.settling || f.workLeft.length > 0),
    does: 'wait',
    reason: '{primary} answers {alive} of {configured} observers; work left for the next minute: {workLeft}',
  },
  {
    id: 'A20',
    when: 'the primary answers a quorum',
    test: isAliveByQuorum,
    does: 'wait',
    reason:
      '{primary} answers {alive} of {configured} observers, streaming from it: {streaming}; nothing to do',
  },
  {
    id: 'A21',
    when: 'the last session was told about its end (a restart), within the restart grace',
    test: (f) => isDownByQuorum(f) && f.told.length > 0 && f.graceLeftMs > 0,
    does: 'wait',
    reason:
      '{primary} said good-bye to {told}: a restart, not a death; it gets {graceLeftMs} ms more of its restart grace of {restartGraceMs} ms',
  },
  {
    // A report that says alive may be the leftover of an observer that died with the primary's zone, so that only confirm
    // can tell an isolated primary from a dead one (H10).
    id: 'A22',
    when: 'confirm found it alive for a minority, and the policy is to page: looked at again each minute',
    test: (f) => isIsolated(f) && f.isolatedBefore && f.isolatedPolicy === 'page' && !f.isTick,
    does: 'page',
    reason:
      'isolated: {primary} answers {aliveFor} but not {down} of {configured} observers; it may serve clients, so it is not replaced by itself; looked at again with the next minute',
  },
  {
    id: 'A23',
    when: 'down on a quorum, not yet long enough for a suspicion',
    test: (f) =>
      isDownByQuorum(f) && !isLongDown(f) && !isGraceOver(f) && !(isSuddenDeath(f) && !isIsolated(f)),
    does: 'wait',
    reason:
      '{primary} does not answer {down} of {configured} observers; {longDown} of them have seen {silentLooksWanted} ticks of it, {quorum} must',
  },
  {
    id: 'A24',
    when: 'primary and all replicas look dead, without canaries and one shared zone or Region to excuse the observers',
    test: (f) =>
      isDownByQuorum(f) && f.allReplicasDown && !(f.canaries >= f.quorum && f.sharedDomain !== null),
    does: 'page',
    reason:
      'observers suspect: {primary} and all replicas ({replicasDown}) look dead; {canaries} observers have a canary that answers, and the dead do not share one zone or Region that a living node is outside of',
  },
  {
    id: 'A25',
    when: 'confirm found it hung, and nothing has changed since: looked at again each minute',
    test: (f) => isDownByQuorum(f) && f.hungBefore && !f.isTick,
    does: 'page',
    reason: 'looked at again with the next minute: {hungReason}',
  },
  {
    id: 'A26',
    when: 'down, and these very reports were judged already: looked at again with the next minute',
    test: (f) => isDownByQuorum(f) && f.alreadyJudged && !f.isTick,
    does: 'wait',
    reason:
      'the same reports ({sequences}) led to an operation that stood down; looked at again with the next minute',
  },
  {
    id: 'A27',
    when: 'down, and a failover completed a short time ago, without an approval',
    test: (f) => isDownByQuorum(f) && f.cooldownLeftMinutes > 0 && f.approvedBy === null,
    does: 'page',
    reason:
      '{primary} looks dead for {down} of {configured} observers, but a failover completed a short time ago: needs an approval, or {cooldownLeftMinutes} minutes of cooldown',
  },
  {
    id: 'A28',
    when: 'down, and the breaker of the fleet is open',
    test: (f) => isDownByQuorum(f) && f.breakerOpen,
    does: 'page',
    reason: '{primary} looks dead for {down} of {configured} observers, but the breaker of the fleet is open',
  },
  {
    id: 'A29',
    when: 'down, and primaries die in more than one zone or Region at once',
    test: (f) => isDownByQuorum(f) && f.dyingDomains.length > 1,
    does: 'page',
    reason:
      '{primary} looks dead, and so do primaries in {dyingDomains} in the same minute: more likely the observers or the network; nothing is done',
  },
  {
    id: 'A30',
    when: `down, and ${fleetFailoversMost} failovers are under way already`,
    test: (f) => isDownByQuorum(f) && f.failoversUnderWay >= fleetFailoversMost,
    does: 'page',
    reason:
      '{primary} looks dead for {down} of {configured} observers, but {failoversUnderWay} failovers are under way in the fleet: it waits for its turn',
  },
  {
    id: 'A31',
    when: 'down, and no node could be promoted',
    test: (f) => isDownByQuorum(f) && f.candidates.length === 0,
    does: 'page',
    reason:
      '{primary} looks dead for {down} of {configured} observers, and no node could be promoted: none is a known, allowed, answering standby',
  },
  {
    id: 'A32',
    when: 'alive for a minority for long enough, by their reports: confirm looks whether they are true, and goes by the policy',
    test: isIsolated,
    does: 'start failover',
    reason:
      'isolated or dead: by the reports {primary} answers {aliveFor} but not {down} of {configured} observers; the policy isolated is {isolatedPolicy}',
  },
  {
    id: 'A33',
    when: 'untold end and refused, both on a quorum',
    test: (f) => isDownByQuorum(f) && isSuddenDeath(f),
    does: 'start failover',
    reason:
      '{primary} looks dead: sessions ended without a word for {untold}, {refused} of {configured} observers are refused',
  },
  {
    id: 'A34',
    when: 'told end, the restart grace is over, refused on a quorum',
    test: (f) => isDownByQuorum(f) && isGraceOver(f),
    does: 'start failover',
    reason:
      '{primary} stopped and did not come back within its restart grace of {restartGraceMs} ms: {refused} of {configured} observers are refused',
  },
  {
    id: 'A35',
    when: 'no answer on a quorum for enough ticks in a row',
    test: (f) => isDownByQuorum(f) && isLongDown(f),
    does: 'start failover',
    reason:
      '{primary} looks dead: no answer to {longDown} of {configured} observers for {silentLooksWanted} ticks or more',
  },
  {
    id: 'A36',
    when: 'the observers disagree and no side has a quorum',
    test: () => true,
    does: 'wait',
    reason:
      'no clear picture of {primary}: {alive} observers have an answer, {down} have none, {quorum} of {configured} must agree',
  },
]

/** Of an engine that elects by itself (aurora, aurora-global), when nothing forbids to act: looked at before the others. */
const isFollowing = (f: Facts) =>
  f.electsNatively &&
  f.state === 'found' &&
  !f.halted &&
  !f.inOperation &&
  !f.paused &&
  f.readable >= f.quorum &&
  f.otherWriters.length === 0

const electionRows: readonly AssessRow[] = [
  {
    id: 'E1',
    when: 'a quorum sees another writer than the recorded one: the provider elected it',
    test: (f) => isFollowing(f) && f.elected !== null && (f.isTick || !f.alreadyJudged),
    does: 'start failover',
    reason:
      '{elected} is the writer and {primary}, the recorded one, is not: the election of AWS is followed',
  },
  {
    id: 'E2',
    when: 'as E1, and these very reports were judged already: looked at again with the next minute',
    test: (f) => isFollowing(f) && f.elected !== null,
    does: 'wait',
    reason: '{elected} is the writer and not {primary}; looked at again with the next minute',
  },
  {
    id: 'E3',
    when: 'the recorded primary is a reader for a quorum, nobody writes, and it is the minute tick',
    test: (f) => isFollowing(f) && f.inRecovery >= f.quorum && f.isTick,
    does: 'start failover',
    reason:
      '{primary} is a reader for {inRecovery} of {configured} observers and nobody writes: the election of AWS is waited for, then asked for',
  },
  {
    id: 'E4',
    when: 'the recorded primary is a reader for a quorum, and nobody writes yet',
    test: (f) => isFollowing(f) && f.inRecovery >= f.quorum,
    does: 'wait',
    reason:
      '{primary} is a reader for {inRecovery} of {configured} observers and nobody writes yet: AWS is electing',
  },
]

/** What assess does about an election that is not its own is no failover of its own: no cooldown holds it back. */
export function isElectionFollowed(row: string | undefined): boolean {
  return row === 'E1'
}

/** The tables as they decide, for the golden dump, the docs and the CLI. */
export const assessRows = listRows(rows)
export const assessElectionRows = listRows(electionRows)

const all = [...electionRows, ...rows]

export function decide(facts: Facts): Decision {
  const { id: row, does, reason } = firstMatch(all, facts)
  const said = { row, reason: fill(reason, facts) }
  switch (does) {
    case 'wait':
    case 'page':
      return { action: does, ...said }
    case 'start failover':
      return { action: 'start', ...said, kind: 'failover' }
    case 'start resume':
      return { action: 'start', ...said, kind: 'resume' }
    case 'start settle':
      return { action: 'start', ...said, kind: 'settle' }
  }
}
