/** The state machine around the steps, the schedule around assess, and clients that write wherever a server lets them. */
import { assess, type Trigger } from '../../functions/assess.ts'
import { command as runCommand } from '../../functions/command.ts'
import { confirm } from '../../functions/confirm.ts'
import { observation } from '../../functions/core/classify.ts'
import {
  functionTimeoutSeconds,
  taskMarginSeconds,
  type WorkflowStep,
  zombieWaitSeconds,
} from '../../functions/core/limits.ts'
import { type NodeMemory, remember, reportChanged, reported } from '../../functions/core/observe.ts'
import type { NodeId, Report } from '../../functions/core/types.ts'
import type { StepResult } from '../../functions/core/workflow.ts'
import { runStep } from '../../functions/entry.ts'
import { fence } from '../../functions/fence.ts'
import { promote } from '../../functions/promote.ts'
import { repoint } from '../../functions/repoint.ts'
import { settle } from '../../functions/settle.ts'
import { Invocation, InvocationDied } from './model/invocation.ts'
import { cluster, type World } from './world.ts'

const bodies = { confirm, fence, promote, repoint, settle }

export interface Execution {
  readonly name: string
  readonly input: unknown
  status: 'running' | 'succeeded' | 'refused' | 'halted' | 'stopped'
  readonly results: (StepResult & { step: WorkflowStep })[]
  /** As a person stops it in the console: what it has sent still arrives. */
  stop(): void
  readonly over: Promise<void>
}

class Stopped extends Error {}

export class Machine {
  readonly world: World
  readonly executions: Execution[] = []
  /** Lambda ends an invocation at its time-out; a false one lets it run on (H06). */
  kills = true
  /** No execution goes on while it waits so long: what tests do by hand between two ticks. */
  tickMs = Date.parse('2026-01-01T00:00:00Z')
  private readonly memory = new Map<string, NodeMemory>()
  private readonly open = new Map<string, number>()
  private sequence = 0
  private invocations = 0

  constructor(world: World) {
    this.world = world
    world.startExecution = async (name, input) => (this.start(name, input) ? 'started' : 'exists')
  }

  /** StartExecution: an execution's name is used once (H13). */
  start(name: string, input: unknown): Execution | undefined {
    if (this.executions.some((each) => each.name === name)) return undefined
    const stopped = Promise.withResolvers<never>()
    stopped.promise.catch(() => undefined)
    const execution: Execution = {
      name,
      input,
      status: 'running',
      results: [],
      stop: () => {
        execution.status = 'stopped'
        stopped.reject(new Stopped())
      },
      over: Promise.resolve(),
    }
    this.executions.push(execution)
    const over = Promise.race([this.run(execution, input as StepResult), stopped.promise]).catch((error) => {
      if (!(error instanceof Stopped)) throw error
    })
    return Object.assign(execution, { over })
  }

  private async run(execution: Execution, input: StepResult): Promise<void> {
    const { time } = this.world
    let data = JSON.parse(JSON.stringify(input)) as StepResult
    let step: WorkflowStep = data.kind === 'settle' ? 'settle' : 'confirm'
    if (data.kind === 'resume') await time.sleep(zombieWaitSeconds * 1_000)
    for (;;) {
      try {
        data = await this.task(execution, step, data)
      } catch (error) {
        if (execution.status !== 'stopped') await this.halt(execution, error)
        return
      }
      if (execution.status === 'stopped') return
      execution.results.push({ ...data, step })
      if (data.outcome === 'refused') {
        execution.status = data.automatic === undefined ? 'refused' : 'succeeded'
        return
      }
      if (data.outcome === 'waiting') await time.sleep(data.waitSeconds * 1_000)
      if (data.next === 'end') {
        execution.status = 'succeeded'
        return
      }
      step = data.next
    }
  }

  /** A Task with its Retry: many tries after a death or a time-out, two more after an error of the handler. */
  private async task(execution: Execution, step: WorkflowStep, data: StepResult): Promise<StepResult> {
    let errors = 0
    for (let tries = 0; ; tries++) {
      try {
        return JSON.parse(JSON.stringify(await this.invoke(execution, step, data))) as StepResult
      } catch (error) {
        const transient = error instanceof InvocationDied
        if (!transient) errors++
        if (tries >= 8 || errors > 2 || execution.status === 'stopped') throw error
        await this.world.time.sleep(Math.min(1_000 * 1.5 ** tries, 10_000))
      }
    }
  }

  /** One invocation of one step, as the Lambda function runs it. */
  invoke(execution: Pick<Execution, 'name'>, step: WorkflowStep, data: unknown): Promise<StepResult> {
    const { time, fleet } = this.world
    const me = new Invocation(`${execution.name} ${step} ${++this.invocations}`)
    const limitMs = functionTimeoutSeconds[step] * 1_000
    const ports = this.world.ports(me, time.nowMs + limitMs)
    const body = runStep({ input: data, execution: execution.name }, step, bodies[step], { ports, fleet })
    body.catch(() => undefined)
    const timedOut = time.sleep(limitMs).then(() => {
      if (this.kills) me.kill()
      return time.sleep(taskMarginSeconds * 1_000)
    })
    return Promise.race([body, me.died, timedOut.then(() => Promise.reject(new InvocationDied(me.name)))])
  }

  private async halt(execution: Execution, error: unknown): Promise<void> {
    for (let tries = 0; tries < 20; tries++) {
      const event = { command: 'halt', cluster, error: String(error), execution: execution.name }
      const answer = await this.command(event).catch(() => undefined)
      if (answer?.outcome === 'done') break
      await this.world.time.sleep(5_000)
    }
    execution.status = 'halted'
  }

  /** A command function's invocation. */
  command(event: Record<string, unknown>): ReturnType<typeof runCommand> {
    const me = new Invocation(`command ${event.command} ${++this.invocations}`)
    const world = { ports: this.world.ports(me), fleet: this.world.fleet }
    return Promise.race([runCommand(world, event), me.died])
  }

  /** One tick of every observer's loop; true when a report says something new. */
  async observe(): Promise<boolean> {
    const { world } = this
    const nowMs = world.time.nowMs
    let news = false
    for (const { id } of world.fleet.observers) {
      if (world.observersDown.has(id)) continue
      const nodes: Record<NodeId, Report['nodes'][string]> = {}
      for (const node of world.config.nodes) nodes[node.id] = this.remembered(id, node.id, nowMs)
      const before = world.table.reports.get(cluster)?.get(id)
      const canary = world.canaries.get(id) ?? null
      const changed = reportChanged(before, { nodes, canary }, world.config)
      news ||= changed
      const report: Report = {
        ...{ cluster, observer: id, token: 1, holder: 'loop', sequence: ++this.sequence },
        ...{ changed, canary, nodes },
      }
      await world.table.as(id).writeReport(report)
    }
    return news
  }

  private remembered(observer: string, node: NodeId, nowMs: number) {
    const { databases } = this.world
    const key = `${observer}>${node}`
    const server = databases.of(node)
    const primary = this.world.table.states.get(cluster)?.primary
    const outcome = databases.probe(observer, node, node === primary)
    const started = this.open.get(key)
    const ended = started !== undefined && (!server.running || server.starts !== started)
    const cutOff = !this.world.reaches(observer, node) || !this.world.hostUp(node)
    if (outcome.kind === 'answered') this.open.set(key, server.starts)
    else if (ended && !cutOff) this.open.delete(key)
    const memory = remember(this.memory.get(key), observation(outcome, 1), {
      nowMs,
      counts: this.world.canaries.get(observer) !== false,
      ended:
        ended && !cutOff && outcome.kind !== 'answered'
          ? { how: server.endedHow, code: null, atMs: nowMs }
          : null,
      primaryBytes: primary ? databases.of(primary).positionBytes : null,
    })
    this.memory.set(key, memory)
    return reported(memory, nowMs)
  }

  assess(trigger: Trigger): Promise<Record<string, string>> {
    const me = new Invocation(`assess ${++this.invocations}`)
    return Promise.race([assess({ ports: this.world.ports(me), fleet: this.world.fleet }, trigger), me.died])
  }

  /** A minute tick of the scheduler. */
  tick(): Promise<Record<string, string>> {
    this.tickMs += 60_000
    return this.assess({ kind: 'tick', eventMs: this.tickMs })
  }

  /** Observers look, and assess is woken by what is new. */
  async watch(ticks = 1): Promise<void> {
    for (let i = 0; i < ticks; i++) {
      if (await this.observe()) await this.assess({ kind: 'hint', woken: [], reported: [cluster] })
      await this.world.time.sleep(this.world.config.observe.urgentIntervalMs)
    }
  }

  /** Waits until no execution runs, or for so long that those which still do wait for a person. */
  async finish(mostMs = 600_000): Promise<void> {
    const endMs = this.world.time.nowMs + mostMs
    while (this.executions.some(({ status }) => status === 'running') && this.world.time.nowMs < endMs)
      await this.world.time.sleep(100)
  }

  /** Minutes as they pass in production: observers, ticks, and whatever they start; until steady or `most` minutes. */
  async minutes(
    most: number,
    until: () => boolean = () => this.world.state.phase === 'steady',
  ): Promise<void> {
    for (let minute = 0; minute < most && !until(); minute++) {
      await this.watch(4)
      await this.tick()
      await this.world.time.sleep(58_000)
    }
  }

  /** Clients that write to every server that lets them: the worst that pools with old addresses do. */
  clients(everyMs = 1_000): void {
    const { world } = this
    const write = () => {
      for (const { id } of world.config.nodes)
        if (world.reaches('clients', id) && world.hostUp(id)) world.databases.commit(id)
      world.time.after(everyMs, write)
    }
    write()
  }
}
