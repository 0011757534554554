/** S1, S4, S5, S9, S11: each act, with the state that was stored when it took effect. */
import { possibleWriters } from '../../../functions/core/state.ts'
import type { ClusterState, NodeId, Plan } from '../../../functions/core/types.ts'
import type { ActEntry, EntryOf, History, Violation } from '../history.ts'
import { quorumOf, reporter, Sights } from './track.ts'

const whereOf = (act: ActEntry) => (act.what === 'power' ? act.instanceId : act.node)

const doing = (act: ActEntry) => {
  const what =
    act.what === 'sql' || act.what === 'rds' ? act.action.do : act.what === 'power' ? act.act : act.command
  return `${act.by}: ${act.what} ${what} on ${whereOf(act)}`
}

/**
 * S4: who acts has read its own claim before. A statement may come after the next term's claim, as if it had been before
 * it, but not after the next term's first act there; other acts hold the claim open, so nobody is newer, unless the request
 * itself was held up on its way, which the next term waits out before it acts there.
 */
export function claimsAtActs({ entries }: History): Violation[] {
  const { found, report } = reporter('claim at each act')
  const acted = new Map<string, number>()
  for (const act of entries) {
    if (act.kind === 'restored') acted.clear()
    if (act.kind !== 'act') continue
    const key = `${act.deployment} ${act.what} ${whereOf(act)}`
    const term = act.seen?.term ?? 0
    const newest = acted.get(key) ?? 0
    if (term > newest) acted.set(key, term)
    if (!act.mine)
      report(act.atMs, `${doing(act)} without a look at its claim (saw ${act.seen?.id} of term ${term})`)
    else if (newest > term) report(act.atMs, `${doing(act)} of term ${term} after an act of term ${newest}`)
    else if (act.what !== 'sql' && !act.stalled && (act.stored?.term ?? 0) > term)
      report(act.atMs, `${doing(act)} of term ${term} in term ${act.stored?.term}`)
    // The statement itself carries its term, and that is what the database compares.
    else if ((act.what === 'sql' || act.what === 'host') && act.term !== term)
      report(act.atMs, `${doing(act)} carries term ${act.term}, its claim is of term ${term}`)
  }
  return found
}

/** The node that an act of a promotion is about; undefined: it promotes nobody. */
function promotes(act: ActEntry, { config }: History): NodeId | undefined {
  if (act.what === 'sql') return act.action.do === 'promote' ? act.node : undefined
  if (act.what !== 'rds' || act.action.do !== 'promote') return undefined
  return config.nodes.find((node) => node.instanceId === act.node)?.id
}

/** S1, S2: who is told to accept writes is the target of the term, and every other possible writer has evidence of it. */
export function promotionsAllowed(history: History): Violation[] {
  const { found, report } = reporter('promotion allowed')
  for (const act of history.entries) {
    if (act.kind !== 'act') continue
    const node = promotes(act, history)
    if (node === undefined) continue
    const { stored, atMs } = act
    const term = act.what === 'sql' ? act.term : (act.seen?.term ?? 0)
    if (stored === undefined || stored.term !== term) {
      report(atMs, `${node} was promoted for term ${term} in term ${stored?.term}`)
      continue
    }
    if (stored.plan?.target !== node)
      report(atMs, `${node} was promoted, the target of term ${term} is ${stored.plan?.target}`)
    if (
      act.what === 'sql' &&
      act.action.do === 'promote' &&
      act.action.expectedTimeline !== stored.plan?.fromTimeline
    )
      report(
        atMs,
        `${node} was promoted from timeline ${act.action.expectedTimeline}, the primary's was ${stored.plan?.fromTimeline}`,
      )
    for (const other of possibleWriters(stored)) {
      if (other === node) continue
      const isProved = stored.plan?.evidence.some((each) => each.node === other && each.term === term)
      if (!isProved) report(atMs, `${node} was promoted in term ${term} without evidence for ${other}`)
    }
  }
  return found
}

/** S1: one target in a term, a possible writer by the same write; after it there is only forward (S5). */
export function oneTarget({ entries, config }: History): Violation[] {
  const { found, report } = reporter('one target')
  const targets = new Map<string, NodeId>()
  const newest = new Map<string, ClusterState>()
  // Who elects by itself is followed: a target that it does not elect can be given up (section 8).
  const isOurs = config.engine === 'postgres' || config.engine === 'rds'
  for (const entry of entries) {
    if (entry.kind === 'restored') targets.clear()
    if (entry.kind !== 'state') continue
    const { state, deployment, atMs } = entry
    const before = newest.get(deployment)
    newest.set(deployment, state)
    const key = `${deployment} ${state.term}`
    const target = state.plan?.target ?? null
    const known = targets.get(key)
    // What a resume inherits is only looked at while it confirms; from fencing on it is the term's own.
    if (target !== null && state.phase !== 'confirming') {
      if (known !== undefined && target !== known)
        report(atMs, `term ${state.term} of ${deployment} has two targets: ${known}, ${target}`)
      targets.set(key, target)
      if (
        state.nodes[target]?.possibleWriter == null &&
        state.phase !== 'settling' &&
        state.phase !== 'steady'
      )
        report(atMs, `target ${target} of term ${state.term} is no possible writer`)
    }
    if (!isOurs || known === undefined || before?.term !== state.term) continue
    const isGivenUp = state.primary !== known && (state.phase === 'steady' || state.phase === 'settling')
    if (
      isGivenUp &&
      before.phase !== 'halted' &&
      before.phase !== state.phase &&
      state.lastEvent.kind !== 'adopted'
    )
      report(
        atMs,
        `term ${state.term} of ${deployment} recorded ${known} as its target and went back to ${state.primary}`,
      )
  }
  return found
}

/**
 * S5: what is undoable before a target is undone by whoever stands down: each standby that was frozen for this term and
 * answers a quorum has been un-frozen since.
 */
export function undone(history: History): Violation[] {
  const { found, report } = reporter('undone')
  const sights = new Sights()
  const newest = new Map<string, ClusterState>()
  const frozen = new Map<string, number>()
  for (const entry of history.entries) {
    if (entry.kind === 'sight') sights.see(entry)
    else if (entry.kind === 'act' && entry.what === 'sql') {
      const key = `${entry.deployment} ${entry.node}`
      if (entry.action.do === 'freeze') frozen.set(key, entry.term)
      else if (entry.action.do !== 'measure') frozen.delete(key)
    }
    // Whatever is done on its host makes another server of it.
    if (entry.kind === 'act' && entry.what === 'host') frozen.delete(`${entry.deployment} ${entry.node}`)
    if (entry.kind !== 'state') continue
    const { state, deployment, atMs } = entry
    const before = newest.get(deployment)
    newest.set(deployment, state)
    const plan = before?.plan
    const isOver = state.plan === null && state.term === before?.term && plan?.target === null
    if (!isOver || !['stood down', 'paged'].includes(state.lastEvent.kind)) continue
    // Tired of trying: settle goes on with it.
    if (state.phase !== plan.returnTo) continue
    for (const node of Object.keys(plan.frozen)) {
      if (frozen.get(`${deployment} ${node}`) !== state.term) continue
      if (sights.answeredSince(history.observers, node, atMs) < quorumOf(history)) continue
      report(atMs, `term ${state.term} of ${deployment} stood down, and ${node} is still frozen for it`)
    }
  }
  return found
}

/** S5, S9, S11: what is recorded before it is applied, what is never undone, and who may be started or followed. */
export function actsInOrder(history: History): Violation[] {
  const { found, report } = reporter('acts in order')
  for (const act of history.entries) {
    if (act.kind !== 'act' || act.stored === undefined) continue
    const why = whyNot(history, act, act.stored)
    if (why !== null)
      report(act.atMs, `${doing(act)} in term ${act.stored.term} (${act.stored.phase}): ${why}`)
  }
  return found
}

const underWay: readonly string[] = ['confirming', 'fencing', 'promoting']

function whyNot(history: History, act: ActEntry, state: ClusterState): string | null {
  switch (act.what) {
    case 'sql':
      return whyNotSql(history, act, state)
    case 'power':
      return act.stalled || act.node === null ? null : whyNotPower(act, act.node, state)
    case 'host': {
      if (act.term !== state.term) return null
      const { plan } = state
      if (act.command === 'stopWrites' && plan?.writeStop?.node !== act.node)
        return 'no write-stop of it is recorded'
      if (act.command === 'resumeWrites' && plan?.target != null && plan.promotedTimeline === null)
        return `a write-stop is undone, and the target is ${plan.target}`
      if (act.command === 'rejoin') return whyNotStarted(act.node, state)
      return null
    }
    case 'rds':
      return whyNotRds(history, act, state)
  }
}

function whyNotSql(
  { config }: History,
  act: Extract<ActEntry, { what: 'sql' }>,
  state: ClusterState,
): string | null {
  const { plan } = state
  if (plan === null || act.term !== state.term || !underWay.includes(state.phase)) return null
  const { node, action } = act
  if (action.do === 'freeze' && plan.target === null) {
    // A write-stop ends in a freeze of its own, and is recorded as what it is.
    const isRecorded = plan.frozen[node] !== undefined || plan.writeStop?.node === node
    if (!isRecorded) return 'the freeze is not recorded'
    if (
      config.policy.fence === 'power' &&
      plan.kind === 'failover' &&
      state.nodes[node]?.possibleWriter === null
    ) {
      const unproven = withoutEvidence(state, plan)
      if (unproven.length > 0)
        return `with fence: power the freeze follows the evidence, and ${unproven.join(', ')} has none`
    }
  }
  if (action.do === 'unfreeze' && plan.target !== null && state.phase !== 'confirming')
    return `a freeze is undone, and the target is ${plan.target}`
  if (action.do === 'follow' && state.phase === 'promoting') {
    if (plan.target === null) return 'it follows before there is a target'
    const upstream = config.nodes.find((each) => each.id === plan.target)
    if (action.upstream.address !== upstream?.address || action.upstream.port !== upstream.port)
      return `it follows ${action.upstream.address}, and the target is ${plan.target}`
    const reach = plan.frozen[node]?.positionBytes ?? null
    if (reach === null || reach > (plan.targetPositionBytes ?? 0))
      return `it was measured at ${reach}, beyond the target at ${plan.targetPositionBytes}: it has diverged`
  }
  return null
}

const withoutEvidence = (state: ClusterState, plan: Plan) =>
  possibleWriters(state).filter(
    (id) => id !== plan.target && !plan.evidence.some((each) => each.node === id && each.term === state.term),
  )

function whyNotPower(
  act: Extract<ActEntry, { what: 'power' }>,
  node: NodeId,
  state: ClusterState,
): string | null {
  if (act.act === 'start') return whyNotStarted(node, state)
  const isRecorded = state.plan?.fenceRequested.includes(node) || state.nodes[node]?.role === 'quarantined'
  if (!isRecorded) return 'the fence is not recorded'
  if (state.primary === node && !underWay.includes(state.phase)) return 'it is the recorded primary'
  return null
}

/** S11: behind its fence, or as somebody who never could write; and only when the new primary is there. */
function whyNotStarted(node: NodeId, state: ClusterState): string | null {
  const status = state.nodes[node]
  if (node === state.primary) return 'it is the recorded primary'
  if (status?.role !== 'rebuilding') return `it is ${status?.role}, no rejoin of it is recorded`
  if (status.possibleWriter !== null && !status.fenced)
    return 'it may be a writer, and its fence is not recorded'
  const isBack = !underWay.includes(state.phase)
  return isBack ? null : 'an operation is under way: a fence is never undone by it'
}

function whyNotRds(
  { config }: History,
  act: Extract<ActEntry, { what: 'rds' }>,
  state: ClusterState,
): string | null {
  const { action } = act
  if (action.do !== 'setGroups') return null
  const node = config.nodes.find((each) => each.instanceId === action.instance)
  if (node === undefined || node.closedGroupId === null) return null
  const opens = action.groupIds.length !== 1 || action.groupIds[0] !== node.closedGroupId
  if (opens && state.plan?.fenceRequested.includes(node.id)) return 'a fence is undone'
  return null
}

/**
 * S11: only a state that is provably current fences, and whoever is the newest writer is not fenced by settle. Fencing
 * inside of an operation is that operation's own matter: it replaces the primary.
 */
export function neverTheNewest({ entries }: History): Violation[] {
  const { found, report } = reporter('never the newest writer')
  const writers = new Map<NodeId, number>()
  let newest: { node: NodeId; reign: number } | null = null
  let name: EntryOf<'name'> | undefined
  for (const entry of entries) {
    if (entry.kind === 'name') name = entry
    else if (entry.kind === 'writer') {
      if (entry.accepts) writers.set(entry.node, entry.reign)
      if (entry.accepts && (newest === null || entry.reign >= newest.reign)) newest = entry
    } else if (
      entry.kind === 'act' &&
      entry.what === 'power' &&
      entry.act === 'stop' &&
      entry.stored &&
      !entry.stalled
    ) {
      const { stored, node, atMs } = entry
      if (stored.phase !== 'settling' && stored.phase !== 'steady') continue
      if (name !== undefined && (name.term ?? 0) > stored.term)
        report(
          atMs,
          `${doing(entry)} in term ${stored.term}, and the name carries term ${name.term} of ${name.owner}`,
        )
      if (newest !== null && node === newest.node && stored.primary !== node)
        report(
          atMs,
          `${doing(entry)} in term ${stored.term}, and ${node} is the newest writer (reign ${newest.reign})`,
        )
    }
  }
  return found
}

/** S9: settling begins when a commit was seen to return through the new primary, not before. */
export function settlingAfterCommit({ entries }: History): Violation[] {
  const { found, report } = reporter('settling after a commit')
  const newest = new Map<string, ClusterState>()
  const returned = new Map<NodeId, number>()
  const promoted = new Map<NodeId, number>()
  for (const entry of entries) {
    if (entry.kind === 'acknowledged') returned.set(entry.node, entry.reign)
    else if (entry.kind === 'promoted') promoted.set(entry.node, entry.reign)
    if (entry.kind !== 'state') continue
    const { state, deployment, atMs } = entry
    const before = newest.get(deployment)
    newest.set(deployment, state)
    if (before?.phase !== 'repointing' || state.phase !== 'settling' || state.term !== before.term) continue
    if ((returned.get(state.primary) ?? 0) < (promoted.get(state.primary) ?? 0))
      report(
        atMs,
        `term ${state.term} of ${deployment} is settling, and no commit has returned from ${state.primary}`,
      )
  }
  return found
}
