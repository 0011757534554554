/** Makes faults and puts them right again. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterState } from '../../functions/core/types.ts'
import type { PostgresServer } from '../../local/postgres/index.ts'
import { monotonicMs } from '../../local/writer.ts'
import type { Network } from './network.ts'
import type { Fault, NodeRole, Place, Planned } from './plan.ts'
import { type NodeId, nodeIds, type Servers } from './servers.ts'

/** What was done when, for the history. `node`: who had the role. */
export interface FaultEvent {
  readonly atMs: number
  readonly what: 'begins' | 'ends' | 'failed' | 'starts server'
  readonly fault?: Fault
  readonly node?: string
  readonly message?: string
}

type Undo = () => Promise<void> | void

/** The faults of one round. */
export class Faults {
  readonly #servers: Servers
  readonly #network: Network
  readonly #tell: (event: FaultEvent) => void
  readonly #undos = new Set<Undo>()
  readonly #held = new Map<string, { count: number; readonly undo: Promise<Undo> }>()
  readonly #starting = new Map<NodeId, Promise<void>>()
  readonly #before: ClusterState
  #isOver = false

  constructor(servers: Servers, network: Network, tell: (event: FaultEvent) => void) {
    this.#servers = servers
    this.#network = network
    this.#tell = tell
    this.#before = this.#state
  }

  /** Resolves when every fault has been made and put right again. */
  async carryOut(planned: readonly Planned[]): Promise<void> {
    const startMs = monotonicMs()
    const timed = planned.filter(({ when }) => 'atMs' in when)
    for (const each of planned.filter(({ when }) => 'phase' in when)) void this.#atPhase(each)
    await Promise.all(timed.map((each) => this.#atTime(each, startMs)))
    // What waits for a phase gets as much time as the others took.
    const stillMs = Math.max(...planned.filter(({ when }) => 'phase' in when).map(({ forMs }) => forMs), 0)
    await sleep(stillMs)
    this.#isOver = true
    await this.heal()
  }

  /** Whatever is still wrong is put right. */
  async heal(): Promise<void> {
    for (const undo of [...this.#undos].reverse()) await this.#undo(undo)
    await this.tend()
  }

  /**
   * What the init system or an operator does, and Understudy leaves to them: starts the server of a standby that has
   * died on a machine that runs. `all`: also those that a failover under way rests on, as somebody does who sees that
   * it does not go on; one that hangs in its start is ended before.
   */
  async tend(all = false): Promise<void> {
    for (const node of nodeIds) {
      const { role, fenced, possibleWriter } = this.#state.nodes[node] ?? {}
      const isStandby = node !== this.#state.primary && role === 'standby' && !fenced && !possibleWriter
      const isNeeded = role === 'primary' || role === 'target' || role === 'frozen'
      if (all && isNeeded) await this.#endIfStuck(node)
      if (isStandby || (all && isNeeded)) await this.#startAgain(node)
    }
  }

  /** A server whose start failed for want of disk may say that it is starting for ever, with nothing that starts it. */
  async #endIfStuck(node: NodeId): Promise<void> {
    try {
      await (await this.#servers.embedded.postgres.connect(node)).end()
    } catch (error) {
      if ((error as { code?: string }).code === '57P03') await this.#server(node).kill()
    }
  }

  /** Unless it runs, or its machine does not. */
  async #startAgain(node: NodeId): Promise<void> {
    const { instanceId } = this.#state.nodes[node] ?? {}
    const isOn = this.#servers.embedded.aws.ec2.state(instanceId ?? '') === 'running'
    if (this.#starting.has(node) || !isOn || (await this.#server(node).processes()).length > 0) return
    // From the look at the machine to the start of the process nothing else has its turn: it can not be off by then.
    const starting = this.#server(node)
      .start()
      .catch((error: Error) =>
        this.#tell({ atMs: monotonicMs(), what: 'failed', node, message: error.message }),
      )
      .finally(() => this.#starting.delete(node))
    this.#starting.set(node, starting)
    this.#tell({ atMs: monotonicMs(), what: 'starts server', node })
  }

  async #atTime({ fault, when, forMs }: Planned, startMs: number): Promise<void> {
    const atMs = 'atMs' in when ? when.atMs : 0
    await sleep(Math.max(0, startMs + atMs - monotonicMs()))
    await this.#inflict(fault, forMs)
  }

  async #atPhase({ fault, when, forMs }: Planned): Promise<void> {
    const phase = 'phase' in when ? when.phase : null
    const state = await this.#servers.embedded.onState(
      (seen) => this.#isOver || (seen.phase === phase && seen.term > this.#before.term),
    )
    if (!this.#isOver && state.phase === phase) await this.#inflict(fault, forMs)
  }

  async #inflict(fault: Fault, forMs: number): Promise<void> {
    const node = 'node' in fault ? this.#nodeOf(fault.node) : undefined
    const event = { fault, ...(node ? { node } : {}) }
    try {
      const undo = await this.#make(fault)
      this.#tell({ atMs: monotonicMs(), what: 'begins', ...event })
      const ends: Undo = async () => {
        await undo()
        this.#tell({ atMs: monotonicMs(), what: 'ends', ...event })
      }
      this.#undos.add(ends)
      await sleep(forMs)
      await this.#undo(ends)
    } catch (error) {
      this.#tell({ atMs: monotonicMs(), what: 'failed', ...event, message: (error as Error).message })
    }
  }

  async #undo(undo: Undo): Promise<void> {
    if (!this.#undos.delete(undo)) return
    try {
      await undo()
    } catch (error) {
      this.#tell({ atMs: monotonicMs(), what: 'failed', message: `not undone: ${(error as Error).message}` })
    }
  }

  async #make(fault: Fault): Promise<Undo> {
    switch (fault.kind) {
      case 'kill':
        return await this.#kill(this.#nodeOf(fault.node), fault.comesBack)
      case 'freeze': {
        const server = this.#server(this.#nodeOf(fault.node))
        return await this.#hold(`freeze ${server.id}`, async () => {
          await server.freeze()
          return () => server.thaw()
        })
      }
      case 'disk': {
        const node = this.#nodeOf(fault.node)
        return await this.#hold(`disk ${node}`, () => this.#fillDisk(node))
      }
      case 'link':
      case 'oneway':
      case 'delay':
        return await this.#cut(fault)
      case 'observer':
        return await this.#killObservers(fault.observers)
      case 'step':
        return 'times' in fault ? this.#killStep(fault) : this.#stopExecution()
    }
  }

  /** What two faults do to the same thing at a time is done once, and undone when both are over. */
  async #hold(what: string, begin: () => Promise<Undo>): Promise<Undo> {
    const held = this.#held.get(what) ?? { count: 0, undo: begin() }
    this.#held.set(what, held)
    held.count++
    const undo = await held.undo
    return async () => {
      held.count--
      if (held.count > 0) return
      this.#held.delete(what)
      await undo()
    }
  }

  async #fillDisk(node: NodeId): Promise<Undo> {
    await this.#servers.fillDisk(node)
    // It fails when the primary's disk is the full one, and is not waited for.
    this.#servers.turnWal().catch(() => undefined)
    return async () => {
      await this.#servers.freeDisk(node)
      await this.tend()
    }
  }

  async #cut(fault: Extract<Fault, { kind: 'link' | 'oneway' | 'delay' }>): Promise<Undo> {
    const network = this.#network
    if (fault.kind === 'oneway') {
      const from = fault.from && this.#memberOf(fault.from)
      const to = fault.to && this.#memberOf(fault.to)
      return await this.#hold(`oneway ${from} ${to}`, async () => {
        await network.drop(from, to)
        return () => network.undrop(from, to)
      })
    }
    const member = this.#memberOf(fault.place)
    return await this.#hold(`${fault.kind} ${member}`, async () => {
      if (fault.kind === 'link') await network.setLink(member, 'down')
      else await network.delay(member, fault)
      return () => (fault.kind === 'link' ? network.setLink(member, 'up') : network.undelay(member))
    })
  }

  /** After its machine was off nothing starts a server but Understudy: the service is disabled at boot. */
  async #kill(node: NodeId, comesBack: boolean): Promise<Undo> {
    const { instanceId } = this.#state.nodes[node] ?? {}
    let wasOff = false
    const unwatch = this.#servers.embedded.aws.ec2.onState((id) => {
      wasOff ||= id === instanceId
    })
    await this.#server(node).kill()
    return async () => {
      unwatch()
      await (comesBack && !wasOff ? this.#startAgain(node) : this.tend())
    }
  }

  /** They are killed, and die again whenever they are started. */
  async #killObservers(observers: readonly string[]): Promise<Undo> {
    const { lambda } = this.#servers.embedded.aws
    const names = observers.flatMap((member) =>
      ['observe', 'look'].map((kind) => `understudy-${kind}-${member.slice(-1)}`),
    )
    const unhook = lambda.onInvoke(({ functionName }) =>
      names.includes(functionName) ? { kill: 'before' } : undefined,
    )
    await Promise.all(names.map((name) => lambda.crash(name)))
    return unhook
  }

  #killStep({ step, kill, times }: Extract<Fault, { times: number }>): Undo {
    let left = times
    return this.#servers.embedded.aws.lambda.onInvoke(({ functionName }) => {
      if (functionName !== `understudy-${step}` || left === 0) return undefined
      left--
      return { kill }
    })
  }

  /** The ticks that follow are those of the minutes in which nobody moves the beat, only sooner. */
  #stopExecution(): Undo {
    const { embedded } = this.#servers
    const { term, claim } = this.#state
    const execution = claim && embedded.aws.workflow.execution(claim.holder)
    if (!execution) throw new Error('no execution holds the claim')
    embedded.aws.workflow.stop(execution)
    const ticking = (async () => {
      while (this.#state.term === term && this.#state.phase !== 'steady') {
        await embedded.tick()
        await sleep(1_000)
      }
    })().catch(() => undefined)
    return () => void ticking
  }

  get #state(): ClusterState {
    const { state } = this.#servers.embedded
    if (!state) throw new Error('the cluster is not adopted')
    return state
  }

  #server(node: NodeId): PostgresServer {
    const server = this.#servers.embedded.postgres.servers.get(node)
    if (!server) throw new Error(`no server ${node}`)
    return server
  }

  #nodeOf(role: NodeRole): NodeId {
    const { plan, primary: recorded } = this.#state
    const primary = plan?.target ?? recorded
    const standbys = nodeIds.filter((node) => node !== primary)
    const found = role === 'primary' ? (primary as NodeId) : standbys[role === 'standby 1' ? 0 : 1]
    if (found === undefined) throw new Error(`nobody is ${role}`)
    return found
  }

  #memberOf(place: Place): string {
    return place === 'primary' || place === 'standby 1' || place === 'standby 2' ? this.#nodeOf(place) : place
  }
}
