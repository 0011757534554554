/** S6, S7, S12, S14: who is replaced by automation, and when it may not be. Judged by what was true, not by what was seen. */
import type { ClusterState, NodeId } from '../../../functions/core/types.ts'
import type { EntryOf, History, Violation } from '../history.ts'
import { isAutomaticFailover, isClaim, quorumOf, reporter, Sights, type Written } from './track.ts'

/** One automatic operation between its claim and its verdict. */
interface Judging {
  readonly claimedAtMs: number
  readonly state: ClusterState
}

/**
 * The primary of an automatic failover that was found dead. The interval in question is the one from the claim of the
 * term to the write that ends `confirming` with `fencing`: confirm judges only looks that it asked for after its claim
 * (S6), so what was true all through this interval is in every look, whatever was suspected before it. It is the shortest
 * interval that every verdict rests on; who was alive from the first suspicion to the fence was so all through it. Left
 * out: what a person ordered; what goes on behind a fence of an older term, which is never undone (S5); what follows the
 * election of a provider.
 */
export function livingPrimary(history: History): Violation[] {
  const { found, report } = reporter('living primary')
  const walk = new Walk(history)
  for (const entry of history.entries) {
    walk.see(entry)
    if (entry.kind !== 'state') continue
    const judged = walk.verdict(entry)
    if (judged === null) continue
    const { atMs, deployment } = entry
    const { claimedAtMs, state } = judged
    const { primary, term } = state
    const since = `since its claim at ${claimedAtMs}`
    const say = (why: string) => report(atMs, `term ${term} of ${deployment} found ${primary} dead: ${why}`)
    const answers = walk.sights.answeredSince(history.observers, primary, claimedAtMs)
    if (answers >= walk.quorum) say(`${answers} observers were answered by it all the time ${since}`)
    const fed = walk.fedSince(primary, state, claimedAtMs)
    if (fed !== null) say(`${fed}, which a quorum sees, received from it all the time ${since}`)
    if (walk.cutOff(state, claimedAtMs))
      say(`no node answered a quorum ${since}: the observers are the suspect`)
    const toldAtMs = walk.toldAtMs(deployment, primary, claimedAtMs)
    const graceMs = history.config.policy.restartGraceMs
    // Counted in looks, some of which are asked for sooner than the interval that each stands for.
    if (toldAtMs !== null && atMs - toldAtMs < graceMs / 2)
      say(`it had said good-bye only at ${toldAtMs}, and has ${graceMs} ms to come back`)
    const heldMs = walk.downForMs(primary, atMs)
    // Half of the hold is always looked at by confirm itself, even when the reports say that it is older (H10).
    if (heldMs < history.config.policy.holdMs / 2)
      say(
        `a quorum had no answer for only ${heldMs} ms, and a death must last ${history.config.policy.holdMs} ms`,
      )
  }
  return found
}

class Walk {
  readonly sights = new Sights()
  readonly quorum: number
  private readonly history: History
  private readonly streams = new Map<string, { node: NodeId; progresses: boolean; sinceMs: number }>()
  private readonly judging = new Map<string, Judging>()
  private readonly newest = new Map<string, ClusterState>()
  private readonly stopped = new Map<NodeId, { told: boolean; atMs: number }>()
  private readonly says = new Map<string, number>()
  private readonly downs = new Map<NodeId, { downAtMs: number; upAtMs: number | null }>()

  constructor(history: History) {
    this.history = history
    this.quorum = quorumOf(history)
  }

  see(entry: History['entries'][number]): void {
    switch (entry.kind) {
      case 'sight': {
        const was = this.answers(entry.node)
        this.sights.see(entry)
        const is = this.answers(entry.node)
        const down = this.downs.get(entry.node)
        if (was && !is) this.downs.set(entry.node, { downAtMs: entry.atMs, upAtMs: null })
        else if (!was && is && down) this.downs.set(entry.node, { ...down, upAtMs: entry.atMs })
        break
      }
      case 'restored':
        this.newest.set(entry.deployment, entry.state)
        break
      case 'stream':
        this.streams.set(entry.from, { node: entry.node, progresses: entry.progresses, sinceMs: entry.atMs })
        break
      case 'server':
        if (entry.change === 'told' || entry.change === 'untold')
          this.stopped.set(entry.node, { told: entry.change === 'told', atMs: entry.atMs })
        if (entry.change === 'started') this.stopped.delete(entry.node)
        break
      case 'told': {
        const key = `${entry.deployment} ${entry.node} ${entry.observer}`
        if (entry.says) this.says.set(key, entry.atMs)
        else this.says.delete(key)
        break
      }
    }
  }

  /** The verdict that this write is, with the claim that it began with; null: it is none of ours to judge. */
  verdict(entry: EntryOf<'state'>): Judging | null {
    const { deployment, state } = entry
    const before = this.newest.get(deployment)
    this.newest.set(deployment, state)
    const written: Written = { entry, state, before }
    if (isClaim(written)) {
      this.judging.delete(deployment)
      const { plan } = state
      const isOurs = isAutomaticFailover(state) && plan?.target === null && plan.fenceRequested.length === 0
      if (isOurs) this.judging.set(deployment, { claimedAtMs: entry.atMs, state })
      return null
    }
    const judged = this.judging.get(deployment)
    if (judged === undefined || state.term !== judged.state.term || state.phase === 'confirming') return null
    this.judging.delete(deployment)
    const isVerdict = state.phase === 'fencing' && state.plan?.automatic === true
    return isVerdict && !isFollowed(state) ? judged : null
  }

  private answers(node: NodeId): boolean {
    return this.sights.answeredSince(this.history.observers, node, Number.POSITIVE_INFINITY) >= this.quorum
  }

  /** How long a quorum has had no answer of it; of one that has just come back: had had none. */
  downForMs(node: NodeId, nowMs: number): number {
    const down = this.downs.get(node)
    return down === undefined ? Number.POSITIVE_INFINITY : (down.upAtMs ?? nowMs) - down.downAtMs
  }

  /**
   * A standby in service that received from it and answered a quorum all the time. Not when a quorum is refused by the
   * host (S12: an untold end that is refused is death, and an idle stream says nothing), and not when a minority has
   * answers and the policy is to fail an isolated primary over (S6).
   */
  fedSince(primary: NodeId, state: ClusterState, sinceMs: number): NodeId | null {
    const { observers, config } = this.history
    const of = (answer: string) => observers.filter((from) => this.sights.of(from, primary) === answer).length
    if (of('refused') >= this.quorum) return null
    if (
      config.policy.isolated === 'failover' &&
      this.sights.silentSince(observers, primary, sinceMs) < observers.length
    )
      return null
    for (const [standby, { node, progresses, sinceMs: fedMs }] of this.streams) {
      const isFed =
        node === primary && progresses && fedMs <= sinceMs && state.nodes[standby]?.role === 'standby'
      if (isFed && this.sights.answeredSince(observers, standby, sinceMs) >= this.quorum) return standby
    }
    return null
  }

  /** Nobody answered a quorum: no shared zone that a living node is outside of can excuse that (S6). */
  cutOff(state: ClusterState, sinceMs: number): boolean {
    const { config, observers } = this.history
    const replicas = config.nodes.filter(
      ({ id }) =>
        id !== state.primary &&
        ['standby', 'frozen'].includes(state.nodes[id]?.role ?? '') &&
        !state.nodes[id]?.fenced,
    )
    return (
      replicas.length > 0 &&
      config.nodes.every(({ id }) => this.sights.silentSince(observers, id, sinceMs) >= this.quorum)
    )
  }

  /** When it said good-bye, as a quorum of the reports that confirm reads has said since its claim; null: it did not. */
  toldAtMs(deployment: string, node: NodeId, claimedAtMs: number): number | null {
    const stopped = this.stopped.get(node)
    if (!stopped?.told) return null
    const saying = this.history.observers.filter((observer) => {
      const sinceMs = this.says.get(`${deployment} ${node} ${observer}`)
      return sinceMs !== undefined && sinceMs >= stopped.atMs && sinceMs <= claimedAtMs
    })
    return saying.length >= this.quorum ? stopped.atMs : null
  }
}

/** What a provider elected is followed: that its old writer lives is no reason against it. */
const isFollowed = ({ lastEvent }: ClusterState) => /^[NGU]/.test(lastEvent.row ?? '')

/**
 * S6: a primary that a minority was answered by all through the interval, and in the very round that the verdict rests on, is
 * isolated: a person is asked, or, where the policy is to fail over, it is replaced behind power, network or an approval,
 * never behind a quorum.
 */
export function isolatedBehindPower(history: History): Violation[] {
  const { found, report } = reporter('isolated behind power')
  const walk = new Walk(history)
  const lastRound = new Map<string, readonly string[]>()
  const isolated = new Map<string, { term: number; by: string }>()
  const targets = new Map<string, NodeId | null>()
  for (const entry of history.entries) {
    walk.see(entry)
    if (entry.kind === 'looks') lastRound.set(entry.deployment, entry.arrived)
    if (entry.kind !== 'state') continue
    const { state, deployment, atMs } = entry
    const judged = walk.verdict(entry)
    if (judged !== null) {
      const { primary, term } = judged.state
      const answered = (lastRound.get(deployment) ?? []).filter(
        (from) => walk.sights.answeredSince([from], primary, judged.claimedAtMs) > 0,
      )
      const by = answered.join(', ')
      if (answered.length > 0) {
        isolated.set(deployment, { term, by })
        if (history.config.policy.isolated === 'page')
          report(
            atMs,
            `term ${term} of ${deployment} found ${primary} dead, which answered ${by} all the time: a person decides`,
          )
      }
    }
    const known = isolated.get(deployment)
    const before = targets.get(deployment)
    const target = state.plan?.target ?? null
    targets.set(deployment, target)
    if (known?.term !== state.term || !state.plan || target === null || before === target) continue
    const { from, evidence } = state.plan
    if (evidence.find((each) => each.node === from && each.term === state.term)?.kind === 'quorum')
      report(
        atMs,
        `term ${state.term} of ${deployment} replaces ${from}, which answered ${known.by} all the time, behind a quorum alone`,
      )
  }
  return found
}

/** S14: no automatic operation begins in a pause, in a cooldown without approval, or while a person is to look. */
export function peopleFirst(history: History): Violation[] {
  const { found, report } = reporter('people first')
  const clocks = new Map<string, number>()
  const approved = new Map<string, number>()
  const newest = new Map<string, ClusterState>()
  const halted = new Map<string, number>()
  const { cooldownMs } = history.config.policy
  for (const entry of history.entries) {
    if (entry.kind === 'restored') newest.set(entry.deployment, entry.state)
    if (entry.kind === 'clock') clocks.set(entry.deployment, entry.clockMs)
    else if (entry.kind === 'approval')
      approved.set(`${entry.deployment} ${entry.approval.term}`, entry.approval.untilMs)
    else if (entry.kind === 'act' && entry.stored?.phase === 'halted') {
      const sinceMs = halted.get(entry.deployment) ?? entry.atMs
      // A statement reads the claim after it has connected; whatever else acts may have read it just before.
      const mostMs = entry.what === 'sql' && !entry.stalled ? statementMs : invocationMs
      if (entry.atMs - sinceMs > mostMs)
        report(
          entry.atMs,
          `${entry.by} acted (${entry.what}) on ${entry.deployment}, halted since ${sinceMs}`,
        )
    }
    if (entry.kind !== 'state') continue
    const { state, deployment, atMs, by } = entry
    const before = newest.get(deployment)
    newest.set(deployment, state)
    if (state.phase === 'halted' && before?.phase !== 'halted') halted.set(deployment, atMs)
    if (before === undefined || !isClaim({ state, before })) continue
    const clockMs = clocks.get(deployment)
    const begun = `term ${state.term} of ${deployment} was claimed (${by})`
    if (before.phase === 'halted') report(atMs, `${begun} although it was halted`)
    if (state.plan?.automatic !== true) continue
    const { pause, lastFailover } = before
    if (pause !== null && (clockMs === undefined || clockMs < pause.untilMs))
      report(atMs, `${begun} in the pause of ${pause.owner}, at ${clockMs} of ${pause.untilMs}`)
    // A resume goes on with an operation that was let begin.
    const isFresh = !operating.includes(before.phase)
    // By the scheduler's clock; it only goes forward, so what confirm read was no later than this.
    const untilMs = lastFailover === null ? Number.NEGATIVE_INFINITY : lastFailover.atMs + cooldownMs
    const isElection = state.lastEvent.row === 'E1'
    if (isFresh && isAutomaticFailover(state) && !isElection && clockMs !== undefined && clockMs < untilMs) {
      const approvedMs = approved.get(`${deployment} ${state.term}`)
      if (approvedMs === undefined) report(atMs, `${begun} at ${clockMs}, in the cooldown until ${untilMs}`)
    }
  }
  return found
}

/** Longer than any invocation that acts lives: what is later was begun later. */
const invocationMs = 80_000
const statementMs = 1_000

const operating: readonly string[] = ['confirming', 'fencing', 'promoting', 'repointing']
