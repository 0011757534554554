/** What must hold of every history, whatever happened in it. Reads what the world kept; knows nothing of the steps. */
import { possibleWriters } from '../../functions/core/state.ts'
import { cluster, type World } from './world.ts'

/** Every breach of a rule, in words; [] when there is none. */
export function breaches(world: World): string[] {
  return [
    ...oneWriter(world),
    ...oneTarget(world),
    ...evidenceForAll(world),
    ...claimsAtActs(world),
    ...namesForward(world),
    ...versionsAndEvents(world),
  ]
}

/** S1: once a commit of a later reign was acknowledged, none of an earlier one may be. */
function oneWriter({ databases }: World): string[] {
  let highest = 0
  return databases.acknowledged.flatMap(({ node, reign, id }) => {
    const late = reign < highest
    highest = Math.max(highest, reign)
    return late
      ? [`two writers: ${node} acknowledged commit ${id} of reign ${reign} after reign ${highest}`]
      : []
  })
}

/** Every commit that a client was told of is in the log of the recorded primary. */
export function lostCommits({ databases, state }: World): string[] {
  const kept = new Set(databases.of(state.primary).log.map((entry) => entry.id))
  return databases.acknowledged
    .filter(({ id }) => !kept.has(id))
    .map(({ id, node }) => `commit ${id}, acknowledged by ${node}, is lost on ${state.primary}`)
}

/** S1: one target in a term, written before any node is told; who is told is the target. */
function oneTarget(world: World): string[] {
  const targets = new Map<number, string>()
  const found: string[] = []
  for (const { state } of world.table.written) {
    const target = state.plan?.target ?? null
    // What a resume inherits is only looked at while it confirms; from fencing on it is the term's own.
    if (target === null || state.phase === 'confirming') continue
    const known = targets.get(state.term)
    if (known !== undefined && target !== known)
      found.push(`term ${state.term} has two targets: ${known}, ${target}`)
    targets.set(state.term, target)
    if (state.nodes[target]?.possibleWriter == null) found.push(`target ${target} is no possible writer`)
  }
  for (const act of world.acts) {
    if (act.kind !== 'sql' || act.action.do !== 'promote') continue
    if (act.stored?.term !== act.term)
      found.push(`${act.node} was promoted for term ${act.term} in term ${act.stored?.term}`)
    else if (act.stored.plan?.target !== act.node)
      found.push(`${act.node} was promoted, the target was ${act.stored.plan?.target}`)
  }
  return found
}

/** S1, S2: no promotion without evidence of this term for every possible writer but the target. */
function evidenceForAll(world: World): string[] {
  return world.acts.flatMap((act) => {
    if (act.kind !== 'sql' || act.action.do !== 'promote' || act.stored === undefined) return []
    const { stored } = act
    return possibleWriters(stored)
      .filter((id) => id !== act.node)
      .filter((id) => !stored.plan?.evidence.some((each) => each.node === id && each.term === stored.term))
      .map((id) => `${act.node} was promoted in term ${stored.term} without evidence for ${id}`)
  })
}

/**
 * S4: who acts has read its own claim before. A statement may come after the next term's claim, as if it had been
 * before it, but not after the next term's first act on that node; other acts hold the claim open, so nobody is newer.
 */
function claimsAtActs(world: World): string[] {
  const acted = new Map<string, number>()
  return world.acts.flatMap((act) => {
    const where = act.kind === 'power' ? act.instanceId : act.node
    const what = `${act.by.name}: ${act.kind} ${act.kind === 'sql' ? act.action.do : ''} on ${where}`
    const term = act.seen?.term ?? 0
    const newest = acted.get(`${act.kind} ${where}`) ?? 0
    acted.set(`${act.kind} ${where}`, Math.max(newest, term))
    if (!act.mine) return [`${what} without a look at its claim (saw ${act.seen?.id} of term ${term})`]
    if (newest > term) return [`${what} of term ${term} after an act of term ${newest}`]
    if (act.kind !== 'sql' && !act.stalled && (act.stored?.term ?? 0) > term)
      return [`${what} of term ${term} in term ${act.stored?.term}`]
    return []
  })
}

/** Section 7: the term of the name only rises. */
function namesForward({ names }: World): string[] {
  return names.history.slice(1).flatMap((change, index) => {
    const before = names.history[index]
    return before && change.term < before.term
      ? [`the name went from term ${before.term} to ${change.term}`]
      : []
  })
}

/** Each version has exactly one event in the history, or is a beat; terms never go back. */
function versionsAndEvents({ table }: World): string[] {
  const found: string[] = []
  const states = table.written.map((each) => each.state)
  for (const [index, state] of states.entries()) {
    const before = states[index - 1]
    if (before && state.version !== before.version + 1)
      found.push(`version ${state.version} follows ${before.version}`)
    if (before && state.term < before.term) found.push(`term ${state.term} follows ${before.term}`)
    const isBeat = before !== undefined && before.lastEvent.version === state.lastEvent.version
    if (!isBeat && state.lastEvent.version !== state.version)
      found.push(`version ${state.version} carries the event of ${state.lastEvent.version}`)
    const last = index === states.length - 1
    const kept = table.events.has(`${cluster} ${state.lastEvent.term}.${state.lastEvent.version}`)
    if (!isBeat && !last && !kept && states.at(-1)?.lastEvent.version !== state.lastEvent.version)
      found.push(`the event of version ${state.version} is not in the history`)
  }
  return found
}
