/** A cluster with everything around it, and what may befall it. Stories use what stands here, and nothing behind it. */

import type { CommandResult } from '../../../functions/command.ts'
import type { FleetDocument } from '../../../functions/config.ts'
import type { ClusterState, NodeId } from '../../../functions/core/types.ts'
import type { Instance } from '../../steps/model/aws.ts'
import type { Server } from '../../steps/model/postgres.ts'
import type { Alarm, VirtualTime } from '../../steps/model/time.ts'
import { type Call, cluster, type Fault, fleetOf, World } from '../../steps/world.ts'
import type { History } from '../history.ts'
import type { Plan, Setup } from '../plan.ts'
import { Random } from '../random.ts'
import { Clients } from './clients.ts'
import { Deployment } from './deployment.ts'
import { afterlifeMs, calm } from './lambda.ts'
import { Ways } from './probing.ts'
import { Recorder } from './recorder.ts'
import type { StateMachine } from './stateMachine.ts'

/** How often calls of a service go wrong, each way that they can; 0: never. */
export interface Weather {
  /** Calls that do not happen, or whose answer is lost, by what is called. */
  table: number
  names: number
  instances: number
  hosts: number
  sessions: number
  /** The invocation that calls dies before or after the effect. */
  deaths: number
  /** A request is held up for seconds, and then takes effect. */
  stalls: number
}

const fair: Weather = { table: 0, names: 0, instances: 0, hosts: 0, sessions: 0, deaths: 0, stalls: 0 }

const fleets = new Map<string, FleetDocument>()

/** Parsed once in each process: many seeds have the same. */
function fleetFor(setup: Setup, deployment: string): FleetDocument {
  const { policy, nodes, count, observers, observe, endpoint, host } = setup
  const options = { policy, nodes: nodes ?? {}, count, observers, observe, endpoint, host, deployment }
  const key = JSON.stringify(options)
  const known = fleets.get(key)
  if (known) return known
  const fleet = fleetOf(options)
  if (fleets.size > 2_000) fleets.clear()
  fleets.set(key, fleet)
  return fleet
}

type Rule = (call: Call) => Fault

export class Sim {
  readonly plan: Plan
  readonly setup: Setup
  readonly time: VirtualTime
  /** That of the first deployment; servers, instances, names and ways are those of all. */
  readonly world: World
  readonly deployments: readonly Deployment[]
  readonly clients: Clients
  readonly ways: Ways
  readonly recorder: Recorder
  readonly weather: Weather = { ...fair }
  private readonly random: Random
  private readonly rules: Rule[] = []
  private healedAtMs: number | null = null
  private readonly supervising = new Map<NodeId, Alarm>()

  constructor(plan: Plan, machine: StateMachine) {
    this.plan = plan
    this.setup = plan.setup
    this.random = Random.of(plan.seed).split('world')
    const { deployments: names, careful, autostart, count } = plan.setup
    const [first = 'understudy', ...others] = names
    this.world = new World({ fleet: fleetFor(plan.setup, first) })
    this.time = this.world.time
    const worlds = [
      this.world,
      ...others.map((name) => new World({ fleet: fleetFor(plan.setup, name) }, this.world)),
    ]
    this.ways = new Ways(this.world)
    this.recorder = new Recorder(worlds)
    const trips = this.random.split('trips')
    const faults = this.random.split('faults')
    for (const world of worlds) {
      world.table.careful = careful
      // Who is not the only one to go on at a moment is let to go on before all others now and then.
      world.tripMs = () => (trips.chance(0.5) ? 0 : 1 + trips.below(20))
      world.promotionMs = 5 + this.random.below(1_500)
      world.fault = (call) => this.faultOf(call, faults)
    }
    const links = this.random.split('links')
    this.ways.linkMs = () => 1 + links.below(3)
    this.deployments = worlds.map(
      (world) =>
        new Deployment({
          ...{ world, machine, ways: this.ways, random: this.random.split(world.fleet.deployment) },
          onLooks: (by, arrived) =>
            this.recorder.add({ kind: 'looks', deployment: world.fleet.deployment, by: by.name, arrived }),
        }),
    )
    this.recorder.itemChanged = (world, change) =>
      this.deployments.find((each) => each.world === world)?.stream.push(change)
    this.recorder.serverChanged = (node, change) => this.serverChanged(node, change)
    this.world.databases.window = 4
    this.world.instances.autostart = autostart
    this.world.instances.changed = (instance) => this.instanceChanged(instance)
    const synchronousCount = Number(plan.setup.policy.synchronousCount ?? 1)
    const listed = this.nodes.slice(1).map((id) => `"${id}"`)
    this.server('a').synchronousNames = `ANY ${Math.min(synchronousCount, count - 1)} (${listed.join(', ')})`
    this.clients = new Clients({
      ...{ world: this.world, random: this.random.split('clients') },
      record: (entry) => this.recorder.add(entry),
    })
  }

  get deployment(): Deployment {
    return this.deployments[0] as Deployment
  }

  get nodes(): readonly NodeId[] {
    return this.world.config.nodes.map(({ id }) => id)
  }

  get observers(): readonly string[] {
    return this.world.fleet.observers.map(({ id }) => id)
  }

  /** The state of the first deployment; throws before it has adopted the cluster. */
  get state(): ClusterState {
    return this.world.state
  }

  server(node: NodeId): Server {
    return this.world.databases.of(node)
  }

  instance(node: NodeId): Instance {
    const { instanceId } = this.server(node).config
    return this.world.instances.all.get(instanceId) as Instance
  }

  /** In words, for whoever reads the history. */
  note(message: string): void {
    this.recorder.add({ kind: 'trouble', message })
  }

  sleep(ms: number): Promise<void> {
    return this.time.sleep(ms)
  }

  /** Waits until it is so, looking every 100 ms; false: it was not within that time. */
  async until(isSo: () => boolean, mostMs = 600_000, everyMs = 100): Promise<boolean> {
    if (isSo()) return true
    const endMs = this.time.nowMs + mostMs
    if (mostMs <= 0) return false
    let so = false
    await this.time.until(() => {
      so = isSo()
      return so || this.time.nowMs >= endMs
    }, everyMs)
    return so
  }

  // -------------------------------------------------------------------------------------------------------------
  // The beginning

  /** The first deployment adopts the cluster, and brings it to rest. */
  async begin(): Promise<void> {
    this.recorder.look()
    this.clients.start()
    const [first, ...others] = this.deployments
    first?.schedule()
    await this.sleep(200)
    await this.command({ command: 'adopt', by: 'anna' })
    const settled = await this.until(
      () => this.state.phase === 'steady' && first?.running.length === 0,
      300_000,
    )
    if (!settled) throw new Error(`the cluster did not come to rest: ${this.state.lastEvent.message}`)
    for (const other of others) other.schedule()
  }

  /** A person's command; the answer, or why there was none. */
  async command(event: Record<string, unknown>, on = this.deployment): Promise<CommandResult | null> {
    this.note(`${on.name}: command ${JSON.stringify(event)}`)
    const asked = on.command({ cluster, ...event })
    asked.catch(() => undefined)
    const answer = await Promise.race([asked.catch(() => null), this.sleep(70_000).then(() => null)])
    if (answer?.outcome === 'refused') this.note(`refused: ${answer.reasons.join('; ')}`)
    return answer
  }

  // -------------------------------------------------------------------------------------------------------------
  // Troubles of servers and hosts

  /** The process is gone; `told` says good-bye to its sessions first. */
  crash(node: NodeId, how: 'told' | 'untold' = 'untold'): void {
    const server = this.server(node)
    if (!server.running) return
    this.note(`${node} ends, ${how}`)
    server.end(how)
  }

  /** As its files say, after crash recovery of so long. */
  restart(node: NodeId, recoveryMs = 500): void {
    const server = this.server(node)
    if (server.running || server.half || !this.world.hostUp(node)) return
    this.note(`${node} starts as a ${server.inRecovery ? 'standby' : 'primary'}`)
    server.starting = true
    server.start(server.inRecovery ? 'standby' : 'primary')
    const { starts } = server
    this.time.after(recoveryMs, () => {
      if (server.starts !== starts || !server.running) return
      server.starting = false
      this.recorder.touch()
    })
  }

  freeze(node: NodeId): void {
    this.note(`${node} is frozen`)
    this.server(node).hang(true)
  }

  thaw(node: NodeId): void {
    if (!this.server(node).hung) return
    this.note(`${node} goes on`)
    this.server(node).hang(false)
  }

  /** Changes something about a server, such as its disk, and says so. */
  change(node: NodeId, what: string, change: (server: Server) => void): void {
    this.note(`${node}: ${what}`)
    change(this.server(node))
    this.recorder.touch()
  }

  /** A person, or an autoscaler, starts the instance of a node, and the server on it if nothing else does. */
  startInstance(node: NodeId): void {
    const { instanceId } = this.server(node).config
    this.note(`somebody starts ${instanceId} of ${node}`)
    this.world.instances.start(instanceId)
  }

  stopInstance(node: NodeId): void {
    const { instanceId } = this.server(node).config
    this.note(`somebody stops ${instanceId} of ${node}`)
    this.world.instances.stop(instanceId)
  }

  /** Somebody promotes it by hand. */
  promoteByHand(node: NodeId): void {
    const server = this.server(node)
    if (!server.running || !server.inRecovery || server.hung) return
    this.note(`somebody promotes ${node}`)
    this.world.databases.promote(server)
  }

  private serverChanged(node: NodeId, change: string): void {
    if (change === 'told' || change === 'untold') {
      this.ways.ended(node)
      this.supervise(node)
    }
  }

  private instanceChanged(instance: Instance): void {
    this.recorder.touch()
    const node = this.world.config.nodes.find(({ address }) => address === instance.address)?.id ?? ''
    if (instance.state === 'stopped') this.supervising.get(node)?.cancel()
    for (const each of this.deployments) each.instanceChanged(instance.state)
  }

  /** Starts again what fell on a host that stays up; at boot it starts nothing (decision 0007). */
  private supervise(node: NodeId): void {
    const { supervisorMs } = this.setup
    const server = this.server(node)
    // What a person or a command stopped in order stays down.
    if (supervisorMs === null || server.endedHow !== 'untold' || !this.world.hostUp(node)) return
    const alarm = this.time.after(supervisorMs, () => {
      this.supervising.delete(node)
      if (!server.diskFull) this.restart(node)
    })
    this.supervising.set(node, alarm)
  }

  // -------------------------------------------------------------------------------------------------------------
  // Troubles of ways and services

  /** What goes from there to there is lost: `*` stands for all; observers, nodes, `operator` and `clients`. */
  cut(from: string, to: string): void {
    this.note(`nothing from ${from} reaches ${to}`)
    this.world.cut.add(`${from}>${to}`)
    this.recorder.touch()
  }

  /** Both ways. */
  part(one: string, other: string): void {
    this.cut(one, other)
    this.cut(other, one)
  }

  mend(from?: string, to?: string): void {
    this.note(from === undefined ? 'all ways are mended' : `the way from ${from} to ${to} is mended`)
    if (from === undefined) this.world.cut.clear()
    else this.world.cut.delete(`${from}>${to}`)
    this.recorder.touch()
  }

  /** A fault of single calls, asked before the weather; ends when `end` is called. */
  addRule(rule: Rule): { end(): void } {
    this.rules.push(rule)
    return { end: () => void this.rules.splice(this.rules.indexOf(rule), 1) }
  }

  /** Worse or better weather, in words. */
  turn(weather: Partial<Weather>): void {
    this.note(`weather: ${JSON.stringify(weather)}`)
    Object.assign(this.weather, weather)
  }

  private faultOf(call: Call, random: Random): Fault {
    for (const rule of this.rules) {
      const fault = rule(call)
      if (fault !== undefined) return fault
    }
    const { name, by } = call
    const { weather } = this
    if (by.name.startsWith('agent')) return undefined
    if (weather.deaths > 0 && random.chance(weather.deaths))
      return random.pick(['crash', 'crashAfter'] as const)
    if (weather.stalls > 0 && random.chance(weather.stalls)) {
      // What was sent before a function's end may arrive after it, for a while.
      const mostMs = by.endsAtMs + afterlifeMs - this.time.nowMs
      return Math.max(0, Math.min(random.pick([300, 3_000, 15_000, 40_000, 65_000]), mostMs))
    }
    const service = serviceOf(name)
    const rate = service === null ? 0 : weather[service]
    if (rate === 0 || !random.chance(rate)) return undefined
    const repeated = service === 'table' || service === 'names'
    return random.pick(repeated ? (['lose', 'refuse', 'again'] as const) : (['lose', 'refuse'] as const))
  }

  // -------------------------------------------------------------------------------------------------------------
  // The end

  /** Nothing is in the way any more: all that is broken outside of the databases' own files is whole. */
  heal(): void {
    this.note('everything is healed')
    this.healedAtMs = this.time.nowMs
    this.rules.length = 0
    Object.assign(this.weather, fair)
    for (const each of this.deployments) {
      each.lambda.troubles = { ...calm }
      each.stream.troubles = { duplicated: 0, delayMs: 0 }
      each.eventsLost = 0
      each.schedulerSkewMs = 0
      each.world.observersDown.clear()
      each.world.canaries.clear()
      each.world.wallSkewMs = () => 0
    }
    const { world } = this
    world.cut.clear()
    world.names.refusal = null
    world.names.syncMs = 200
    world.instances.refusing.clear()
    for (const id of this.nodes) {
      const server = this.server(id)
      Object.assign(server, { stuck: false, lag: 0, replayPaused: false, applyDelayMs: 0 })
      Object.assign(server, { diskFull: false, says: null })
      server.hang(false)
    }
    this.recorder.touch()
  }

  get isHealed(): boolean {
    return this.healedAtMs !== null
  }

  /** The history so far; the world goes on in `ended`, so this comes last. */
  history(): History {
    for (const each of this.deployments) each.end()
    this.clients.end()
    return {
      seed: this.plan.seed,
      story: this.plan.story,
      config: this.world.config,
      observers: this.observers,
      deployments: this.deployments.map(({ name }) => name),
      entries: this.recorder.entries,
      endedAtMs: this.time.nowMs,
      healedAtMs: this.healedAtMs,
      ended: this.recorder.ended(),
    }
  }
}

const services = new Map<string, keyof Weather | null>()

/** Which service a call is one of, looked up once for each name. */
function serviceOf(name: string): keyof Weather | null {
  const known = services.get(name)
  if (known !== undefined) return known
  const service = readService(name)
  services.set(name, service)
  return service
}

function readService(name: string): keyof Weather | null {
  if (/^(read|write|append|open|close)/.test(name)) return name === 'readName' ? 'names' : 'table'
  if (name === 'swap' || name === 'inSync') return 'names'
  if (name === 'describe' || name === 'stop' || name === 'start') return 'instances'
  if (name.startsWith('host:')) return 'hosts'
  return name.includes(':') ? 'sessions' : null
}
