/**
 * observe: one observer's loop. Started every minute, it probes every node each tick over persistent connections,
 * writes a report when something changed and at a heartbeat, and ends when a newer invocation wrote or its time is up.
 * Reports are hints; nothing is decided here.
 */

import { createDynamoStore } from './aws/store.ts'
import { probeCanary } from './canary.ts'
import { systemClock } from './clock.ts'
import type { FleetDocument } from './config.ts'
import { observation } from './core/classify.ts'
import { loopMs } from './core/limits.ts'
import { type NodeMemory, remember, reportChanged, reported, troubled } from './core/observe.ts'
import type { ClusterConfig, NodeId, Report } from './core/types.ts'
import { engines } from './database.ts'
import { entry, logger } from './entry.ts'
import type { Clock, Engine, Logger, ProbeSession, SessionEnded, Store } from './ports.ts'
import { required } from './runtime.ts'

export interface ObserveWorld {
  readonly fleet: FleetDocument
  readonly observer: string
  readonly store: Store
  readonly engine: (cluster: ClusterConfig) => Engine
  readonly clock: Clock
  readonly logger: Logger
  readonly canary: typeof probeCanary
  readonly remainingMs: () => number
  /** Minute number of the scheduler's event: orders writers, nothing else. */
  readonly token: number
  readonly holder: string
}

/** A tick this late says more about the loop than about the nodes (S6). */
const lateMs = 1_500
/**
 * rds: how soon a loop learns that its primary is being drained, and stops its write probes: what they add to the log
 * after a replica was cut off would look like a commit that is lost (H26).
 */
const drainNoticeMs = 5_000
/** Left for the last write when the function's time runs out. */
const reserveMs = 10_000

/** Loops over all clusters side by side; resolves when all loops ended. */
export async function observe(world: ObserveWorld): Promise<{ ended: Record<string, string> }> {
  const ended = await Promise.all(
    world.fleet.clusters.map(async (cluster) => [cluster.id, await new Loop(world, cluster).run()] as const),
  )
  return { ended: Object.fromEntries(ended) }
}

class Loop {
  private readonly world: ObserveWorld
  private readonly cluster: ClusterConfig
  private readonly memory = new Map<NodeId, NodeMemory>()
  private readonly ends = new Map<NodeId, SessionEnded & { atMs: number }>()
  private readonly sessions = new Map<NodeId, ProbeSession>()
  private readonly canary: string | null
  private alarm = new AbortController()
  private written: Report | undefined
  private primary: NodeId | null = null
  private steady = true
  private draining = false
  private canaryAnswered: boolean | null = null
  private readonly at = {
    ticks: 0,
    sequence: 0,
    beganMs: Number.NaN,
    writtenMs: Number.NEGATIVE_INFINITY,
    stateMs: Number.NEGATIVE_INFINITY,
  }

  constructor(world: ObserveWorld, cluster: ClusterConfig) {
    this.world = world
    this.cluster = cluster
    this.canary = world.fleet.observers.find((each) => each.id === world.observer)?.canary ?? null
    for (const node of cluster.nodes) {
      this.sessions.set(
        node.id,
        world.engine(cluster).openSession(cluster, node, (ended) => this.onEnd(node.id, ended)),
      )
    }
  }

  /** A connection broke: look again at once instead of waiting for the next tick. */
  private onEnd(node: NodeId, ended: SessionEnded): void {
    const known = this.ends.get(node)
    if (known?.how !== 'told') this.ends.set(node, { ...ended, atMs: this.world.clock.monotonicMs() })
    this.alarm.abort(`the session on ${node} ended`)
  }

  async run(): Promise<string> {
    const { clock } = this.world
    const startedMs = clock.monotonicMs()
    let dueMs = startedMs
    try {
      await this.readPredecessor()
      for (;;) {
        if (clock.monotonicMs() - startedMs > loopMs || this.world.remainingMs() < reserveMs)
          return 'time is up'
        this.alarm = new AbortController()
        const late = clock.monotonicMs() - dueMs > lateMs
        // A broken session is looked after at once, and alone: the others have their turn with the next tick.
        await this.tick(late, this.ends.size > 0 ? new Set(this.ends.keys()) : undefined)
        if ((await this.report()) === 'overtaken') return 'overtaken by a newer invocation'
        await this.readState()
        dueMs = clock.monotonicMs() + this.intervalMs()
        if (this.ends.size > 0) continue
        await clock.sleep(Math.max(0, dueMs - clock.monotonicMs()), this.alarm.signal)
        // Woken by a broken connection, the next tick is early, not late.
        dueMs = Math.min(dueMs, clock.monotonicMs())
      }
    } finally {
      for (const session of this.sessions.values()) session.close()
    }
  }

  private intervalMs(): number {
    const { intervalMs, urgentIntervalMs } = this.cluster.observe
    const nodes = this.written?.nodes ?? {}
    return this.steady && !troubled(nodes) ? intervalMs : urgentIntervalMs
  }

  private async tick(late: boolean, only?: ReadonlySet<NodeId>): Promise<void> {
    const { clock } = this.world
    const { probeTimeoutMs } = this.cluster.observe
    const [canary, seen] = await Promise.all([
      this.canary === null ? true : this.world.canary(this.canary, probeTimeoutMs),
      Promise.all(
        this.cluster.nodes
          .filter(({ id }) => only?.has(id) ?? true)
          .map(async (node) => {
            const startedMs = clock.monotonicMs()
            const session = this.sessions.get(node.id) as ProbeSession
            const outcome = await session.probe({
              timeoutMs: probeTimeoutMs,
              writeProbe: node.id === this.primary && !this.draining,
            })
            return [node.id, observation(outcome, Math.round(clock.monotonicMs() - startedMs))] as const
          }),
      ),
    ])
    this.canaryAnswered = this.canary === null ? null : canary
    const nowMs = clock.monotonicMs()
    const primary = seen.find(([id]) => id === this.primary)?.[1].outcome
    const primaryBytes =
      primary?.kind === 'answered' && !primary.row.inRecovery ? primary.row.positionBytes : null
    for (const [id, each] of seen) {
      const ended = this.ends.get(id) ?? null
      this.ends.delete(id)
      this.memory.set(
        id,
        remember(this.memory.get(id), each, { nowMs, counts: !late && canary, ended, primaryBytes }),
      )
    }
    if (only === undefined) this.at.ticks++
  }

  /** Writes when something changed and at the heartbeat. */
  private async report(): Promise<'overtaken' | 'ok'> {
    const { clock, store, observer, token, holder } = this.world
    // A new invocation first sees for itself as much as a verdict needs; until then its predecessor speaks.
    if (this.at.ticks < this.cluster.policy.silentLooks) return 'ok'
    if (this.at.sequence === 0) await this.inheritAges()
    const nowMs = clock.monotonicMs()
    const nodes = Object.fromEntries([...this.memory].map(([id, memory]) => [id, reported(memory, nowMs)]))
    const canary = this.canaryAnswered
    const changed = reportChanged(this.written, { nodes, canary }, this.cluster)
    const due = nowMs - this.at.writtenMs >= this.cluster.observe.heartbeatMs
    // A bounded loss is computed from ages, which must be fresh when they are asked for (S10): also of an old primary that
    // answers again, behind its fence.
    const ages = this.cluster.policy.loss.mode === 'bounded' && (troubled(nodes) || !this.steady)
    if (!changed && !due && !ages) return 'ok'
    const report: Report = {
      cluster: this.cluster.id,
      observer,
      token,
      holder,
      sequence: ++this.at.sequence,
      changed,
      canary,
      nodes,
    }
    const outcome = await store.writeReport(report)
    if (outcome === 'lost') return 'overtaken'
    if (outcome === 'written') {
      this.written = report
      this.at.writtenMs = nowMs
    }
    return 'ok'
  }

  /** What the invocation before said last: not to wake assess each minute with what it knows. */
  private async readPredecessor(): Promise<void> {
    this.at.beganMs = this.world.clock.monotonicMs()
    this.written = await this.lastReport()
    await this.readState()
  }

  private async lastReport(): Promise<Report | undefined> {
    const reports = await this.world.store.readReports(this.cluster.id).catch(() => undefined)
    const mine = reports?.get(this.world.observer)
    return mine?.kind === 'found' ? mine.value : undefined
  }

  /**
   * S10: how long ago a node had everything would be unknown from the hand-over on, when the primary has died before it.
   * A report of the invocation before that was not there at our begin was written after it, so that its ages, counted
   * from our begin, are upper bounds on our own clock (S3). Of an older one nobody knows when it was written.
   */
  private async inheritAges(): Promise<void> {
    if (this.cluster.policy.loss.mode !== 'bounded') return
    const [before, last] = [this.written, await this.lastReport()]
    if (before === undefined || last?.token !== before.token || last.sequence <= before.sequence) return
    for (const [id, memory] of this.memory) {
      const age = last.nodes[id]?.caughtUpAgeMs ?? null
      if (age === null) continue
      const atMs = this.at.beganMs - age
      this.memory.set(id, { ...memory, caughtUpAtMs: Math.max(memory.caughtUpAtMs ?? atMs, atMs) })
    }
  }

  private async readState(): Promise<void> {
    const nowMs = this.world.clock.monotonicMs()
    const calmMs = this.cluster.engine === 'rds' ? drainNoticeMs : this.cluster.observe.heartbeatMs
    const everyMs = this.steady && !troubled(this.written?.nodes ?? {}) ? calmMs : 1_000
    if (nowMs - this.at.stateMs < everyMs) return
    this.at.stateMs = nowMs
    try {
      const read = await this.world.store.readState(this.cluster.id)
      if (read.kind !== 'found') return
      this.primary = read.value.primary
      this.steady = read.value.phase === 'steady'
      this.draining = read.value.plan?.network[read.value.primary] !== undefined
    } catch (error) {
      this.world.logger.warn('the state could not be read', {
        cluster: this.cluster.id,
        error: String(error),
      })
    }
  }
}

export const handler = entry<{ time?: string }, { ended: Record<string, string> }>(
  'observe',
  (event, { fleet, lambda, clients }) => {
    const atMs = Date.parse(event.time ?? '')
    if (Number.isNaN(atMs))
      throw new Error('observe is started by the schedule, whose event carries its time')
    return observe({
      fleet,
      observer: required('UNDERSTUDY_OBSERVER'),
      store: createDynamoStore({ client: clients.dynamo, table: required('UNDERSTUDY_TABLE') }),
      engine: engines.of,
      clock: systemClock,
      logger,
      canary: probeCanary,
      remainingMs: () => lambda.getRemainingTimeInMillis(),
      token: Math.floor(atMs / 60_000),
      holder: lambda.awsRequestId,
    })
  },
)
