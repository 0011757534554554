/**
 * A small deterministic world that implements the ports: table, servers, instances, DNS, clock. Nothing in it is a
 * recording: what a step reads is what earlier acts made. Faults are decided by one hook, at every call of a port.
 */
import './model/quiet.ts'
import { type FleetDocument, parseConfig } from '../../functions/config.ts'
import { observation } from '../../functions/core/classify.ts'
import { functionTimeoutSeconds } from '../../functions/core/limits.ts'
import type { ClusterConfig, ClusterState, Look, NodeId } from '../../functions/core/types.ts'
import { operate } from '../../functions/operate.ts'
import type {
  Engine,
  LookRequest,
  OperateRequest,
  Ports,
  RdsAct,
  SqlAction,
  SqlResult,
} from '../../functions/ports.ts'
import { Instance, Instances, Names } from './model/aws.ts'
import { modelEngine } from './model/engine.ts'
import { recognise, runOnHost } from './model/host.ts'
import { Invocation } from './model/invocation.ts'
import { Databases } from './model/postgres.ts'
import { Table } from './model/store.ts'
import { VirtualTime } from './model/time.ts'

/** One call of a port, or one round trip inside of one. */
export interface Call {
  readonly name: string
  readonly by: Invocation
  /** The how-many-eth call of this name in this world, from 1. */
  readonly count: number
}

/**
 * `lose`: it happens, the answer is lost. `refuse`: it does not happen, and nobody says so. `again`: it happens, the
 * answer is lost, and the SDK repeats the request. `crash`, `crashAfter`: the invocation dies before or after the
 * effect. A number: the request stalls for so many milliseconds, then happens.
 */
export type Fault = 'lose' | 'refuse' | 'again' | 'crash' | 'crashAfter' | number | undefined

/** What is asked of other functions; `probeTimeoutMs` and everything behind it are the world's own. */
export interface Asked {
  look(by: Invocation, request: LookRequest): Promise<readonly Look[]>
  operate(by: Invocation, request: OperateRequest): Promise<SqlResult>
}

export type Trace =
  | { readonly kind: 'sql'; node: NodeId; action: SqlAction; term: number; claimId: string }
  | { readonly kind: 'power'; act: 'stop' | 'start'; instanceId: string }
  | { readonly kind: 'host'; node: NodeId; command: string; term: number }
  /** `node` is the identifier, or the group's name: what the provider is told. */
  | { readonly kind: 'rds'; node: string; action: RdsAct }

/** An act, with what was stored and what its actor knew when it took effect. */
export type Act = Trace & {
  readonly by: Invocation
  readonly stalled: boolean
  readonly atMs: number
  readonly stored: ClusterState | undefined
  /** The claim that its actor's last read showed, and whether that is its own. */
  readonly seen: { readonly id: string | null; readonly term: number } | null
  readonly mine: boolean
}

export const cluster = 'orders'
/** As the SDK's own errors of the way to a service. */
const unreachable = (message: string) => Object.assign(new Error(message), { code: 'ETIMEDOUT' })
/** A new one each time: whoever waits for it is forgotten with it. */
const unanswered = () => new Promise<never>(() => undefined)

export interface WorldOptions {
  readonly policy?: Record<string, unknown>
  readonly nodes?: Readonly<Record<NodeId, Record<string, unknown>>>
  readonly host?: boolean
  readonly deployment?: string
  /** How many nodes: a, b, c, … in zones of their own. */
  readonly count?: number
  readonly observers?: readonly { readonly id: string; readonly canary?: string }[]
  readonly observe?: Record<string, unknown>
  readonly endpoint?: Record<string, unknown>
  /** Instead of the three nodes of PostgreSQL that the options above describe. */
  readonly fleet?: FleetDocument
  readonly databases?: (...args: ConstructorParameters<typeof Databases>) => Databases
}

export function fleetOf(options: WorldOptions): FleetDocument {
  const { policy, nodes, host, deployment, count = 3, observers, observe, endpoint } = options
  const node = (id: string, zone: number) => ({
    id,
    address: `10.0.${zone}.11`,
    instanceId: `i-0000000${zone}`,
    availabilityZone: `eu-central-1${id}`,
    ...nodes?.[id],
  })
  return parseConfig({
    deployment: deployment ?? 'understudy',
    region: 'eu-central-1',
    observers: observers ?? ['x', 'y', 'z'].map((id) => ({ id })),
    clusters: {
      [cluster]: {
        endpoint: { name: 'orders.example.org', zoneId: 'Z0123456789', ...endpoint },
        nodes: [...'abcdefg'.slice(0, count)].map((id, index) => node(id, index + 1)),
        ...(observe === undefined ? {} : { observe }),
        policy: { cancelledWaits: 'accepted', restartGraceMs: 5_000, ...policy },
        host:
          host === false
            ? null
            : {
                dataDirectory: '/data/{node}',
                binDirectory: '/bin',
                startCommand: 'start',
                stopCommand: 'stop',
              },
      },
    },
  })
}

export class World {
  readonly time = new VirtualTime()
  readonly fleet: FleetDocument
  readonly config: ClusterConfig
  readonly table: Table
  readonly databases: Databases
  readonly instances: Instances
  readonly names: Names
  readonly acts: Act[] = []
  readonly told: string[] = []
  /** Pairs `from>to` that do not reach; `from` is an observer, `operator`, `clients` or a node. */
  readonly cut: Set<string>
  readonly observersDown = new Set<string>()
  readonly canaries = new Map<string, boolean>()
  fault: (call: Call) => Fault = () => undefined
  tripMs: () => number = () => 1
  promotionMs = 5
  startExecution: Ports['workflow']['start'] = async () => 'started'
  /** How the functions look and operate are run; by themselves as whole calls. */
  asked: Asked = {
    look: (_by, request) => this.look(request),
    operate: (_by, request) => this.operate(request),
  }
  /** How far a host's own clock is from the true time. */
  wallSkewMs: (by: Invocation) => number = () => 0
  onAct: (act: Act) => void = () => undefined
  private readonly counts = new Map<string, number>()
  private ids = 0
  /** Two deployments never make the same one. */
  private readonly ownIds: string

  constructor(
    options: WorldOptions = {},
    shared?: Pick<World, 'time' | 'databases' | 'instances' | 'names'> & { readonly cut?: Set<string> },
  ) {
    this.cut = shared?.cut ?? new Set()
    this.fleet = options.fleet ?? fleetOf(options)
    this.config = this.fleet.clusters[0] as ClusterConfig
    this.ownIds = shared ? `${this.fleet.deployment}-` : ''
    if (shared) this.time = shared.time
    this.table = new Table(() => this.time.nowMs)
    this.instances = shared?.instances ?? new Instances(this.time)
    this.names = shared?.names ?? new Names(this.time)
    const network = { reaches: this.reaches.bind(this), hostUp: this.hostUp.bind(this) }
    const make = options.databases ?? ((...args) => new Databases(...args))
    this.databases = shared?.databases ?? make(this.config.nodes, network, () => this.time.nowMs)
    if (!shared)
      for (const node of this.config.nodes)
        this.instances.add(new Instance(node.instanceId, node.address, this.databases.of(node.id)))
  }

  get state(): ClusterState {
    return this.table.state(cluster)
  }

  reaches(from: string, to: NodeId): boolean {
    return this.cut.size === 0 || (!this.cut.has(`${from}>${to}`) && !this.cut.has(`*>${to}`))
  }

  /** Is the machine that answers at the node's address running? */
  hostUp(node: NodeId): boolean {
    return this.instances.isUp(this.databases.of(node).config.address)
  }

  /** A call of a port: a round trip to somewhere, with the fault that the hook decides on. */
  async call<T>(
    by: Invocation,
    name: string,
    effect: (attempt: number) => T | Promise<T>,
    lost: () => T,
  ): Promise<T> {
    const count = (this.counts.get(name) ?? 0) + 1
    this.counts.set(name, count)
    if (by.dead) return unanswered()
    const tripMs = this.tripMs()
    if (tripMs > 0) await this.time.sleep(tripMs)
    if (by.dead) return unanswered()
    const fault = this.fault({ name, by, count })
    if (fault === 'crash') by.kill()
    if (by.dead) return unanswered()
    if (fault === 'refuse') return lost()
    if (typeof fault === 'number') {
      this.stalled.add(by)
      await this.time.sleep(fault)
    }
    let value = await effect(1)
    this.stalled.delete(by)
    if (fault === 'again') {
      await this.time.sleep(2 * this.tripMs())
      if (by.dead) return unanswered()
      value = await effect(2)
    }
    if (fault === 'crashAfter') by.kill()
    if (by.dead) return unanswered()
    return fault === 'lose' ? lost() : value
  }
  private readonly stalled = new Set<Invocation>()

  protected act(by: Invocation, trace: Trace): void {
    const stored = this.table.states.get(cluster)
    const { seen } = by
    const mine =
      trace.kind === 'sql' ? seen?.id === trace.claimId : seen?.id != null && by.claims.has(seen.id)
    const act = { ...trace, by, seen, mine, stalled: this.stalled.has(by), atMs: this.time.nowMs, stored }
    this.acts.push(act)
    this.onAct(act)
  }

  clock(by: Invocation): Ports['clock'] {
    return {
      monotonicMs: () => this.time.nowMs,
      wallMs: () => 1_700_000_000_000 + this.time.nowMs + this.wallSkewMs(by),
      sleep: async (ms, signal) => {
        await this.sleep(ms, signal)
        if (by.dead) await unanswered()
      },
    }
  }

  /** The ports of one invocation. */
  ports(by: Invocation, endsAtMs = by.endsAtMs): Ports {
    by.endsAtMs = endsAtMs
    const silent = () => undefined
    const unavailable = (): never => {
      throw unreachable('no answer')
    }
    return {
      clock: this.clock(by),
      store: this.store(by),
      functions: {
        look: (request) =>
          this.call(
            by,
            'look',
            () => this.asked.look(by, request),
            () => [],
          ),
        operate: (request) => this.call(by, 'operate', () => this.asked.operate(by, request), unavailable),
      },
      rds: this.providedBy(by),
      fence: {
        observe: (_region, ids) =>
          this.call(by, 'describe', async () => ids.map((id) => this.instances.view(id)), unavailable),
        stop: (_region, id) => this.power(by, 'stop', id),
        start: (_region, id) => this.power(by, 'start', id),
      },
      host: { run: (node, script) => this.host(by, node.id, script) },
      endpoint: {
        read: () => this.call(by, 'readName', () => this.names.read(), unavailable),
        swap: ({ endpoint }, read, next) =>
          this.call<Awaited<ReturnType<Ports['endpoint']['swap']>>>(
            by,
            'swap',
            (attempt) => {
              this.names.actor = { deployment: this.fleet.deployment, by: by.name }
              const swapped = this.names.swap(read, next, endpoint.ttlSeconds)
              // Of a repeated request a refusal says nothing about the first.
              return attempt > 1 && swapped.outcome !== 'done' ? { ...swapped, outcome: 'unknown' } : swapped
            },
            () => ({ outcome: 'unknown', message: 'no answer' }),
          ),
        inSync: (id) =>
          this.call(
            by,
            'inSync',
            () => this.names.inSync(id),
            () => 'unknown' as const,
          ),
      },
      workflow: {
        start: (name, input) =>
          this.call(
            by,
            'startExecution',
            () => this.startExecution(name, input),
            () => 'unknown' as const,
          ),
      },
      notifier: {
        notify: (_, { kind, message }) => this.tellPeople(by, `${kind}: ${message}`),
        page: (_, { key, message }) => this.tellPeople(by, `issue ${key}: ${message}`),
      },
      logger: { info: silent, warn: silent, error: silent },
      newId: () => `${this.ownIds}id-${++this.ids}`,
      remainingMs: () => endsAtMs - this.time.nowMs,
    }
  }

  private tellPeople(by: Invocation, message: string): Promise<void> {
    const unavailable = (): never => {
      throw unreachable('SNS does not answer')
    }
    return this.call(by, 'notify', () => void this.told.push(message), unavailable)
  }

  /** An aborted sleep just ends. */
  private sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const alarm = this.time.after(ms, resolve)
      const wake = () => {
        alarm.cancel()
        resolve()
      }
      if (signal?.aborted) wake()
      else signal?.addEventListener('abort', wake, { once: true })
    })
  }

  /** Nobody here is run by the provider. */
  protected providedBy(_by: Invocation): Ports['rds'] {
    const none = (): never => {
      throw new Error('no cluster of this world is run by the provider')
    }
    return { instances: none, clusters: none, global: none, events: none, act: none, alarms: none, lag: none }
  }

  store(by: Invocation): Ports['store'] {
    const store = this.table.as(by.name)
    const unavailable = (): never => {
      throw unreachable('the table does not answer')
    }
    const unknown = () => 'unknown' as const
    return {
      readState: (id) =>
        this.call(
          by,
          'readState',
          async () => {
            const read = await store.readState(id)
            if (read.kind === 'found') by.seen = { id: read.value.claim?.id ?? null, term: read.value.term }
            return read
          },
          unavailable,
        ),
      writeState: (next, previous) =>
        this.call(
          by,
          'writeState',
          async (attempt) => {
            const outcome = await store.writeState(next, previous, attempt)
            if (outcome === 'written' && next.claim) by.claims.add(next.claim.id)
            return outcome
          },
          unknown,
        ),
      readReports: (id) => this.call(by, 'readReports', () => store.readReports(id), unavailable),
      writeReport: (report) => this.call(by, 'writeReport', () => store.writeReport(report), unknown),
      readApproval: (id, term) =>
        this.call(by, 'readApproval', () => store.readApproval(id, term), unavailable),
      writeApproval: (approval) =>
        this.call(by, 'writeApproval', () => store.writeApproval(approval), unknown),
      readIssues: (id) => this.call(by, 'readIssues', () => store.readIssues(id), unavailable),
      openIssue: (issue) => this.call(by, 'openIssue', () => store.openIssue(issue), unavailable),
      closeIssue: (id, key) => this.call(by, 'closeIssue', () => store.closeIssue(id, key), unavailable),
      appendEvent: (id, event, beside) =>
        this.call(by, 'appendEvent', () => store.appendEvent(id, event, beside), unavailable),
      readEvents: (id, limit) => this.call(by, 'readEvents', () => store.readEvents(id, limit), unavailable),
      readFleet: () => this.call(by, 'readFleet', () => store.readFleet(), unavailable),
      writeFleet: (next, expected) =>
        this.call(by, 'writeFleet', () => store.writeFleet(next, expected), unknown),
    }
  }

  private power(by: Invocation, act: 'stop' | 'start', instanceId: string) {
    return this.call(
      by,
      act,
      (): 'requested' | 'refused' | 'unknown' => {
        this.act(by, { kind: 'power', act, instanceId })
        return this.instances[act](instanceId)
      },
      () => 'unknown' as const,
    )
  }

  private host(by: Invocation, id: NodeId, script: string): ReturnType<Ports['host']['run']> {
    const node = this.databases.of(id).config
    const command = recognise(this.config, this.fleet.deployment, node, script)
    const agent = new Invocation(`agent of ${id}`)
    const unanswered = () => ({ outcome: 'unknown' as const, message: 'no answer of the agent' })
    const run = async () => {
      this.act(by, { kind: 'host', node: id, command: command.do, term: command.term })
      const done = runOnHost(
        {
          databases: this.databases,
          deployment: this.fleet.deployment,
          hostUp: (each) => this.hostUp(each),
          step: (name, effect) => this.call(agent, name, effect, () => effect()),
        },
        node,
        command,
      )
      // A script whose host died leaves what it had done; the caller hears nothing.
      return Promise.race([done, agent.died.catch(unanswered)])
    }
    return this.call(by, `host:${command.do}`, run, unanswered)
  }

  /** What arrives takes effect, whether or not its answer finds the way back. */
  private roundTrip<T>(from: string, node: NodeId, effect: () => T): T {
    const silence = () => new Error('no answer in time')
    if (!this.reaches(from, node) || !this.hostUp(node)) throw silence()
    const value = effect()
    if (!this.reaches(node, from)) throw silence()
    return value
  }

  /** The function `operate`: an invocation of its own, which outlives its caller. */
  protected async operate(request: OperateRequest): Promise<SqlResult> {
    const me = new Invocation(`operate ${request.action.do} on ${request.node}`)
    const engine = this.engine(me, request)
    const store = this.store(me)
    const result = operate({ fleet: this.fleet, store, engine: () => engine as Engine }, request)
    const late = this.time.sleep(functionTimeoutSeconds.operate * 1_000).then((): SqlResult => {
      throw new Error('Sandbox.Timedout')
    })
    late.catch(() => undefined)
    return Promise.race([result, late, me.died])
  }

  /** The engine of one invocation of operate. */
  engine(me: Invocation, request: OperateRequest): Pick<Engine, 'act'> {
    const lost = (): never => {
      throw new Error('the session was cut')
    }
    return modelEngine({
      databases: this.databases,
      reachable: (node) =>
        this.reaches('operator', node) &&
        this.reaches(node, 'operator') &&
        this.hostUp(node) &&
        !this.databases.of(node).hung,
      trip: (name, effect) =>
        this.call(me, name, () => this.roundTrip('operator', request.node, effect), lost),
      time: this.time,
      acted: ({ node, action, term }) =>
        this.act(me, { kind: 'sql', node, action, term, claimId: request.claimId }),
      promotionMs: this.promotionMs,
    })
  }

  private async look(request: LookRequest): Promise<readonly Look[]> {
    const looks = this.fleet.observers
      .filter(({ id }) => !this.observersDown.has(id))
      .map(({ id }) => this.lookFrom(id, request))
    const silent = looks.some((look) => Object.values(look.nodes).some((node) => node.class === 'silent'))
    if (silent) await this.time.sleep(this.config.observe.probeTimeoutMs)
    return looks
  }

  private lookFrom(observer: string, request: LookRequest): Look {
    const probe = (node: NodeId) =>
      observation(this.databases.probe(observer, node, node === request.writeProbeOn), 1)
    const look = {
      lookId: request.lookId,
      cluster,
      observer,
      nodes: Object.fromEntries(this.config.nodes.map(({ id }) => [id, probe(id)])),
      canary: this.canaries.get(observer) ?? null,
    }
    if (!request.endpoint) return look
    const cname = this.names.answered?.target ?? null
    const node = this.config.nodes.find((each) => each.dnsName === cname)
    const seen = node ? observation(this.databases.probe(observer, node.id, false), 1) : null
    return {
      ...look,
      endpoint: {
        name: this.config.endpoint.name,
        addresses: node ? [node.address] : [],
        cname,
        class: seen?.class ?? 'unknown',
        message: `${cname} is ${seen?.class}`,
      },
    }
  }
}
