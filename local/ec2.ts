/**
 * EC2's API over the local machines. A stop takes `stopSeconds`, and the power goes at the end of it, as with a
 * forced stop on EC2: until then the server serves. State changes are announced on the default bus.
 */
import { randomUUID } from 'node:crypto'
import { AwsError, escapeXml, formList, unknownOperation } from './front.ts'
import type { Machine, PowerState } from './machine.ts'

export interface Ec2Options {
  readonly machines: readonly Machine[]
  /** Between the request and the loss of power. */
  readonly stopSeconds?: number
  /** Between the request and `running`. */
  readonly startSeconds?: number
  readonly onState?: (instanceId: string, state: PowerState) => void
  readonly log: (line: string) => void
}

interface Instance {
  readonly machine: Machine
  state: PowerState
  /** The transition under way; a `close` waits for it. */
  transition: Promise<void>
}

const stateCodes: Record<PowerState, number> = { pending: 0, running: 16, stopping: 64, stopped: 80 }

export class Ec2Service {
  readonly #instances: ReadonlyMap<string, Instance>
  readonly #options: Ec2Options
  readonly #timers = new Map<NodeJS.Timeout, () => void>()
  readonly #listeners = new Set<(instanceId: string, state: PowerState) => void>()
  #stopSeconds: number
  #closed = false

  constructor(options: Ec2Options) {
    this.#options = options
    this.#stopSeconds = options.stopSeconds ?? 0
    this.#instances = new Map(
      options.machines.map((machine) => [
        machine.instanceId,
        { machine, state: 'running', transition: Promise.resolve() },
      ]),
    )
    if (options.onState) this.#listeners.add(options.onState)
  }

  /** How long the next stops take. */
  set stopSeconds(seconds: number) {
    this.#stopSeconds = seconds
  }

  state(instanceId: string): PowerState | null {
    return this.#instances.get(instanceId)?.state ?? null
  }

  onState(listener: (instanceId: string, state: PowerState) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const [timer, skip] of this.#timers) {
      clearTimeout(timer)
      skip()
    }
    await Promise.all([...this.#instances.values()].map(({ transition }) => transition))
  }

  handle(operation: string, form: URLSearchParams): string {
    if (operation === 'DescribeInstances') return this.#describe(form)
    if (operation !== 'StopInstances' && operation !== 'StartInstances') throw unknownOperation(operation)
    const instances = formList(form, 'InstanceId').map((id) => this.#find(id))
    // All or none: one that cannot be changed refuses the call.
    for (const { machine, state } of instances) {
      const refused = operation === 'StopInstances' ? state === 'pending' : state === 'stopping'
      const what = operation === 'StopInstances' ? 'stopped' : 'started'
      if (refused) {
        throw new AwsError(
          'IncorrectInstanceState',
          `The instance '${machine.instanceId}' is not in a state from which it can be ${what}.`,
        )
      }
    }
    const items = instances.map((instance) => {
      const before = instance.state
      if (operation === 'StopInstances') this.#stop(instance)
      else this.#start(instance)
      return `<item><instanceId>${instance.machine.instanceId}</instanceId>${stateXml('currentState', instance.state)}${stateXml('previousState', before)}</item>`
    })
    return reply(operation, `<instancesSet>${items.join('')}</instancesSet>`)
  }

  #stop(instance: Instance): void {
    if (instance.state !== 'running') return
    this.#enter(instance, 'stopping')
    this.#transition(instance, this.#stopSeconds, 'stopped', () => instance.machine.powerOff())
  }

  #start(instance: Instance): void {
    if (instance.state !== 'stopped') return
    this.#enter(instance, 'pending')
    this.#transition(instance, this.#options.startSeconds ?? 0, 'running', () => instance.machine.powerOn())
  }

  #transition(instance: Instance, seconds: number, end: PowerState, act: () => Promise<void>): void {
    instance.transition = (async () => {
      if (seconds > 0) await this.#sleep(seconds * 1000)
      if (this.#closed) return
      try {
        await act()
        this.#enter(instance, end)
      } catch (error) {
        this.#options.log(
          `ec2: ${instance.machine.instanceId} did not become ${end}: ${(error as Error).message}`,
        )
      }
    })()
  }

  #enter(instance: Instance, state: PowerState): void {
    instance.state = state
    this.#options.log(`ec2: ${instance.machine.instanceId} is ${state}`)
    for (const listener of this.#listeners) listener(instance.machine.instanceId, state)
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        resolve()
      }, ms)
      this.#timers.set(timer, resolve)
    })
  }

  #find(id: string): Instance {
    const instance = this.#instances.get(id)
    if (!instance) throw new AwsError('InvalidInstanceID.NotFound', `The instance ID '${id}' does not exist`)
    return instance
  }

  #describe(form: URLSearchParams): string {
    const ids = formList(form, 'InstanceId')
    const named = ids.length > 0 ? ids.map((id) => this.#find(id)) : [...this.#instances.values()]
    const filters: [string, string[]][] = []
    for (let index = 1; form.has(`Filter.${index}.Name`); index += 1) {
      filters.push([form.get(`Filter.${index}.Name`) ?? '', formList(form, `Filter.${index}.Value`)])
    }
    const found = named.filter((instance) =>
      filters.every(([name, values]) => values.includes(field(instance, name))),
    )
    return reply('DescribeInstances', `<reservationSet>${found.map(instanceXml).join('')}</reservationSet>`)
  }
}

function field({ machine, state }: Instance, filter: string): string {
  switch (filter) {
    case 'instance-id':
      return machine.instanceId
    case 'instance-state-name':
      return state
    case 'private-ip-address':
      return machine.privateAddress
    case 'availability-zone':
      return machine.availabilityZone
  }
  throw new AwsError('InvalidParameterValue', `The filter '${filter}' is not served locally`)
}

function instanceXml({ machine, state }: Instance): string {
  const { instanceId, privateAddress, availabilityZone } = machine
  return `<item><reservationId>r-local</reservationId><instancesSet><item><instanceId>${escapeXml(instanceId)}</instanceId>${stateXml(
    'instanceState',
    state,
  )}<privateIpAddress>${privateAddress}</privateIpAddress><placement><availabilityZone>${availabilityZone}</availabilityZone></placement></item></instancesSet></item>`
}

function stateXml(element: string, state: PowerState): string {
  return `<${element}><code>${stateCodes[state]}</code><name>${state}</name></${element}>`
}

function reply(operation: string, body: string): string {
  return `<${operation}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>${randomUUID()}</requestId>${body}</${operation}Response>`
}
