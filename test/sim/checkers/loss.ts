/** S8, S10: what a client was told of is kept, as far as the policy promises and as it was said before. */
import type { ClusterState } from '../../../functions/core/types.ts'
import type { EntryOf, History, Violation } from '../history.ts'
import { reporter } from './track.ts'

type Promoted = EntryOf<'promoted'>

/** The state that a promotion rests on, and when the last fact of its fence was recorded. */
interface Ground {
  readonly state: ClusterState
  readonly fencedAtMs: number
}

/**
 * Every acknowledged commit that is not in the log of whoever is promoted was lost by that promotion. Allowed is what was
 * recorded before (`plan.loss`), within the policy, or accepted by a person for this term and target:
 * - `none` was recorded: nothing may be lost, whatever the policy;
 * - `bounded` was recorded: only commits that were acknowledged within `boundMs` before the last fact of the fence was
 *   recorded (S10: the age counts from when it arrived, which is no later);
 * - policy `never`: nothing without an approval of this term and target that accepts the loss;
 * - policy `bounded`: the same, or the bound of the policy at most.
 * A promotion by hand, and what a writer goes on with behind a missing fence that a person accepted, is that person's.
 */
export function nothingLost(history: History): Violation[] {
  const { found, report } = reporter('nothing lost')
  const isComplete = history.entries.every((each) => each.kind !== 'promoted' || each.missing.length === 0)
  if (isComplete && history.ended.missing.length === 0) return found
  const acknowledged = new Map<number, EntryOf<'acknowledged'>>()
  const notPromised = new Set<number>()
  const lost = new Map<number, Promoted>()
  const grounds = new Map<string, Ground>()
  const promotions: Promoted[] = []
  const adoptedAtMs: number[] = []
  for (const entry of history.entries) {
    switch (entry.kind) {
      case 'acknowledged':
        acknowledged.set(entry.commit, entry)
        break
      case 'cutShort':
        notPromised.add(entry.commit)
        break
      case 'state': {
        const before = grounds.get(entry.deployment)
        grounds.set(entry.deployment, groundOf(entry, before))
        if (entry.state.lastEvent.kind === 'adopted' && before?.state.primary !== entry.state.primary)
          adoptedAtMs.push(entry.atMs)
        break
      }
      case 'promoted':
        promotions.push(entry)
        for (const commit of entry.missing) {
          const told = acknowledged.get(commit)
          if (told === undefined || notPromised.has(commit) || lost.has(commit)) continue
          lost.set(commit, entry)
          const why = whyNotAllowed(history, entry, told, groundFor(grounds, entry))
          if (why !== null)
            report(entry.atMs, `${describe(told)} is lost by the promotion of ${entry.node}: ${why}`)
        }
        break
    }
  }
  for (const commit of history.ended.missing) {
    const told = acknowledged.get(commit)
    if (told === undefined || notPromised.has(commit) || lost.has(commit)) continue
    // It was told after the promotion that forked its log away: the rule of the one writer speaks of it, too.
    const fork = promotions.find((each) => each.reign > told.reign)
    const isAdopted = adoptedAtMs.some((atMs) => atMs >= told.atMs)
    if (fork === undefined && !isAdopted)
      report(
        history.endedAtMs,
        `${describe(told)} is nowhere in the end, and nobody was promoted or adopted since`,
      )
    else if (fork !== undefined && !isUnfenced(groundFor(grounds, fork), told) && fork.deployment !== null)
      report(told.atMs, `${describe(told)} was told after ${fork.node} had been promoted in its place`)
  }
  return found
}

const describe = ({ commit, node, reign, atMs }: EntryOf<'acknowledged'>) =>
  `commit ${commit}, acknowledged by ${node} (reign ${reign}) at ${atMs},`

function groundOf({ state, atMs }: EntryOf<'state'>, before: Ground | undefined): Ground {
  const had = before?.state.term === state.term ? (before.state.plan?.evidence ?? []) : []
  const has = state.plan?.evidence ?? []
  const isNew = state.plan?.target == null && has.some((each) => !had.includes(each))
  return { state, fencedAtMs: isNew ? atMs : (before?.fencedAtMs ?? atMs) }
}

function groundFor(grounds: ReadonlyMap<string, Ground>, { deployment }: Promoted): Ground | undefined {
  return deployment === null ? undefined : grounds.get(deployment)
}

/** A person accepted for its term that this writer is not fenced. */
function isUnfenced(ground: Ground | undefined, { node }: EntryOf<'acknowledged'>): boolean {
  return ground?.state.plan?.evidence.some((each) => each.kind === 'approved' && each.node === node) ?? false
}

function whyNotAllowed(
  { config, entries }: History,
  promoted: Promoted,
  told: EntryOf<'acknowledged'>,
  ground: Ground | undefined,
): string | null {
  if (promoted.term === null || promoted.deployment === null) return null
  const { term, node } = promoted
  const plan = ground?.state.plan
  if (ground === undefined || ground.state.term !== term || !plan || plan.target !== node)
    return `no plan of term ${term} says what that loses`
  if (isUnfenced(ground, told)) return null
  const { loss } = plan
  if (loss === null) return 'nothing was said about a loss'
  if (loss.provable === 'none') return `it was said that nothing is lost (${loss.reason})`
  const { policy } = config
  const approved = entries.some(
    (each) =>
      each.kind === 'approval' &&
      each.deployment === promoted.deployment &&
      each.approval.term === term &&
      each.approval.target === node &&
      each.approval.acceptLoss &&
      each.atMs <= promoted.atMs,
  )
  const boundMs = loss.provable === 'bounded' ? loss.boundMs : null
  if (!approved && policy.loss.mode === 'never') return 'the policy of loss is never, and nobody approved it'
  if (!approved && policy.loss.mode === 'bounded') {
    if (boundMs === null) return 'the policy of loss is bounded, and no bound was recorded'
    if (boundMs > policy.loss.seconds * 1_000)
      return `a bound of ${boundMs} ms was accepted, and the policy allows ${policy.loss.seconds} s`
  }
  const beforeMs = ground.fencedAtMs - told.atMs
  if (boundMs !== null && beforeMs > boundMs)
    return `it was told ${beforeMs} ms before the fence was sure, and at most ${boundMs} ms were said to be lost`
  return null
}
