/** The world of the steps with a cluster that RDS runs: the same table, clock, names and machine, another provider. */
import { parseConfig } from '../../functions/config.ts'
import type { Engine, OperateRequest, Rds, RdsAct, RdsOutcome, SqlResult } from '../../functions/ports.ts'
import type { Invocation } from '../steps/model/invocation.ts'
import type { Databases } from '../steps/model/postgres.ts'
import { cluster, World } from '../steps/world.ts'
import { type Instance, ModelRds } from './rdsModel.ts'
import { RdsDatabases } from './rdsServers.ts'

export const home = 'eu-central-1'
export const away = 'eu-west-1'
export const closed = 'sg-0c105ed1'
export const closedAway = 'sg-0c105ed2'

export interface RdsOptions {
  readonly policy?: Record<string, unknown>
  readonly managed?: Record<string, unknown>
  readonly nodes?: Readonly<Record<string, Record<string, unknown>>>
  /** The closed group cuts replication, too (H26). */
  readonly closedGroupCuts?: boolean
}

export function rdsFleet({ policy, managed, nodes }: RdsOptions) {
  const node = (id: string, zone: number, region: string) => ({
    id,
    address: `orders-${id}.rds.example.com`,
    dnsName: `orders-${id}.rds.example.com`,
    instanceId: `orders-${id}`,
    availabilityZone: `${region}${'abc'[zone]}`,
    region,
    closedGroupId: region === home ? closed : closedAway,
    groupIds: [region === home ? 'sg-0be1' : 'sg-0be2'],
    ...nodes?.[id],
  })
  return parseConfig({
    deployment: 'understudy',
    region: away,
    observers: ['x', 'y', 'z'].map((id) => ({ id })),
    clusters: {
      [cluster]: {
        engine: 'rds',
        endpoint: { name: 'orders.example.org', zoneId: 'Z0123456789' },
        nodes: [node('a', 0, home), node('b', 1, home), node('c', 0, away)],
        policy: {
          loss: { mode: 'availability' },
          rebuild: 'automatic',
          restartGraceMs: 5_000,
          ...policy,
        },
        managed: { family: 'postgres', ...managed },
        connection: { password: { from: 'iam' }, tls: 'verify-full' },
      },
    },
  })
}

/** What comes of one call of the provider's API: the five of the fault matrix. */
export type RdsFault = 'error' | 'before' | 'after' | 'throttled' | 'delayed'
export const rdsFaults: readonly RdsFault[] = ['error', 'before', 'after', 'throttled', 'delayed']

export interface RdsCall {
  /** `instances`, `events`, `lag`, or what an act does. */
  readonly name: string
  readonly step: string
  /** The how-many-eth of this name in this step, from 1. */
  readonly count: number
}

/** Longer than any function lives: its effect comes when its caller is gone. */
export const delayedMs = 90_000

const away_ = (message: string) => Object.assign(new Error(message), { code: 'ETIMEDOUT' })

export class RdsWorld extends World {
  readonly plane: ModelRds
  readonly rdsCalls: RdsCall[] = []
  rdsFault: (call: RdsCall) => RdsFault | undefined = () => undefined
  private readonly rdsCounts = new Map<string, number>()

  constructor(options: RdsOptions = {}) {
    super({ fleet: rdsFleet(options), databases: (...args): Databases => new RdsDatabases(...args) })
    this.plane = new ModelRds(this.config.nodes, this.time)
    this.plane.closedGroupCuts = options.closedGroupCuts ?? false
    this.rdsDatabases.plane = this.plane
  }

  get rdsDatabases(): RdsDatabases {
    return this.databases as RdsDatabases
  }

  /** Whoever has the node's identifier. */
  instance(node: string): Instance {
    const held = this.plane.held(`orders-${node}`)
    if (held === null) throw new Error(`nobody is called orders-${node}`)
    return held
  }

  override hostUp(): boolean {
    return true
  }

  /** How often clients write; rarely while days go by. */
  clientsEveryMs = 2_000

  /** Clients that go on with whatever session they have, to whatever instance, renamed or not. */
  clients(): void {
    const write = () => {
      for (const instance of this.plane.present) {
        const node = this.config.nodes.find((each) => each.instanceId === instance.identifier)
        const name = node?.id ?? instance.identifier
        if (instance.status !== 'creating' && this.reaches('clients', name))
          this.rdsDatabases.commitOn(instance, name)
      }
      this.time.after(this.clientsEveryMs, write)
    }
    write()
  }

  /** Time that nobody needs to watch. */
  async days(count: number): Promise<void> {
    this.clientsEveryMs = 3_600_000
    await this.time.run(this.time.sleep(count * 24 * 3_600_000))
    this.clientsEveryMs = 2_000
  }

  protected override providedBy(by: Invocation): Rds {
    const none = (): never => {
      throw new Error('not an instance')
    }
    return {
      instances: (region) => this.read(by, 'instances', region, () => this.plane.describe(region)),
      clusters: none,
      global: none,
      events: (region, { identifier }) =>
        this.read(by, 'events', region, () =>
          this.plane.events.filter((each) => each.identifier === identifier).slice(0, 20),
        ),
      act: (region, act) => this.rdsAct(by, region, act),
      alarms: (region) => this.read(by, 'alarms', region, () => this.plane.alarms).catch(() => null),
      lag: (region, instance) => this.read(by, 'lag', region, () => this.plane.lags.get(instance) ?? null),
    }
  }

  private faultOf(by: Invocation, name: string): RdsFault | undefined {
    const step = by.name.split(' ').at(-2) ?? ''
    const key = `${name} ${step}`
    const count = (this.rdsCounts.get(key) ?? 0) + 1
    this.rdsCounts.set(key, count)
    const call = { name, step, count }
    this.rdsCalls.push(call)
    return this.rdsFault(call)
  }

  private async read<T>(by: Invocation, name: string, region: string, effect: () => T): Promise<T> {
    const fault = this.faultOf(by, name)
    const unanswered = (): never => {
      throw away_(`${name}: no answer`)
    }
    if (fault === 'delayed') await this.time.sleep(delayedMs)
    return this.call(
      by,
      `rds:${name}`,
      () => {
        if (this.plane.down.has(region) || fault === 'before' || fault === 'after') return unanswered()
        if (fault === 'error')
          throw Object.assign(new Error('InternalFailure'), { $metadata: { httpStatusCode: 500 } })
        if (fault === 'throttled')
          throw Object.assign(new Error('Rate exceeded'), {
            name: 'Throttling',
            $metadata: { httpStatusCode: 400 },
          })
        return effect()
      },
      unanswered,
    )
  }

  private async rdsAct(by: Invocation, region: string, act: RdsAct): Promise<RdsOutcome> {
    const fault = this.faultOf(by, act.do)
    const unknown = (): RdsOutcome => ({ outcome: 'unknown', message: 'no answer' })
    const refusal = (code: string, later: boolean): RdsOutcome => ({
      ...{ outcome: 'refused', code, later },
      message: `injected: ${code}`,
    })
    if (fault === 'error') return this.call(by, 'rds:error', () => refusal('AccessDenied', false), unknown)
    if (fault === 'throttled') return this.call(by, 'rds:error', () => refusal('Throttling', true), unknown)
    if (fault === 'before' || this.plane.down.has(region)) return this.call(by, 'rds:error', unknown, unknown)
    const effect = () => {
      const node = 'instance' in act ? act.instance : ''
      this.act(by, { kind: 'rds', node, action: act })
      if (act.do === 'promote' && fault !== 'delayed') this.checkFences(act.instance)
      return this.plane.act(region, act)
    }
    if (fault === 'delayed') {
      this.late.add(by)
      await this.time.sleep(delayedMs)
      // What was sent arrives, whether or not somebody waits for the answer.
      const outcome = effect()
      this.late.delete(by)
      return this.call(by, 'rds:late', () => outcome, unknown)
    }
    const outcome = await this.call(by, `rds:${act.do}`, effect, unknown)
    return fault === 'after' ? unknown() : outcome
  }

  /** S1: what the evidence says must be so at the very moment of the promotion. */
  readonly openAtPromotion: string[] = []
  private checkFences(promoted: string): void {
    for (const evidence of this.state.plan?.evidence ?? []) {
      if (evidence.kind !== 'closedAndRebooted' || evidence.term !== this.state.term) continue
      const instance = this.plane.present.find((each) => each.resourceId === evidence.resourceId)
      if (!instance || instance.open)
        this.openAtPromotion.push(`${promoted} was promoted while ${evidence.node} was open`)
      if (instance?.clientsSince === instance?.server.starts && !instance?.server.inRecovery)
        this.openAtPromotion.push(`${promoted} was promoted while clients had sessions on ${evidence.node}`)
    }
  }

  /** Invocations whose request is under way for longer than they live. */
  readonly late = new Set<Invocation>()

  /** On a server that RDS runs the sessions of others can be ended, and no more. */
  override engine(me: Invocation, request: OperateRequest): Pick<Engine, 'act'> {
    return {
      act: async (_cluster, node, action, context) => {
        try {
          await context.guard()
        } catch (error) {
          return { outcome: 'refused', message: String(error) }
        }
        const result = await this.call(
          me,
          `${action.do}:${node.id}`,
          () => this.sql(me, request),
          (): SqlResult => ({ outcome: 'unknown', message: 'the session was cut' }),
        )
        if (action.do === 'endSessions' && result.outcome === 'done')
          await this.time.sleep(action.keepOutMs ?? 0)
        return result
      },
    }
  }

  private sql(me: Invocation, { node, action, term, claimId }: OperateRequest): SqlResult {
    const instance = this.rdsDatabases.instanceOf(node)
    if (!instance?.server.running || instance.server.hung || !this.reaches('operator', node))
      return { outcome: 'unknown', message: 'no session' }
    if (action.do !== 'endSessions') return { outcome: 'refused', message: `${action.do} is not for RDS` }
    this.act(me, { kind: 'sql', node, action, term, claimId })
    instance.clientsSince = null
    instance.keptOutUntilMs = this.time.nowMs + (action.keepOutMs ?? 0)
    const { timeline, positionBytes } = instance.server
    this.databases.flow()
    const measurement = { timeline, positionBytes, replayable: true, primaryConninfo: '', restoreCommand: '' }
    return { outcome: 'done', measurement, message: 'ended' }
  }
}
