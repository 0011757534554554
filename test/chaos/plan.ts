/** What happens in a round: a pure function of seed, round and the kinds of faults that are allowed. */
import { createHash } from 'node:crypto'
import type { Phase } from '../../functions/core/types.ts'

export const faultKinds = ['kill', 'freeze', 'link', 'oneway', 'delay', 'disk', 'step', 'observer'] as const
export type FaultKind = (typeof faultKinds)[number]

/**
 * Roles at the moment of the fault, since a schedule does not know who is primary by then. The target of a failover
 * under way counts as the primary.
 */
export const nodeRoles = ['primary', 'standby 1', 'standby 2'] as const
export type NodeRole = (typeof nodeRoles)[number]
export const observerMembers = ['observer-a', 'observer-b', 'observer-c'] as const
export const clientMembers = ['client-1', 'client-2'] as const
/** What has a link: servers by role, the others by name. */
export type Place = NodeRole | (typeof observerMembers)[number] | (typeof clientMembers)[number] | 'aws'

export const steps = ['confirm', 'fence', 'promote', 'repoint', 'settle', 'operate'] as const
export type Step = (typeof steps)[number]
const workPhases = ['confirming', 'fencing', 'promoting', 'repointing', 'settling'] as const satisfies Phase[]

/** Milliseconds after the beginning of the round's faults, or the moment at which the cluster enters a phase. */
export type When = { readonly atMs: number } | { readonly phase: (typeof workPhases)[number] }

export type Fault =
  | { readonly kind: 'freeze' | 'disk'; readonly node: NodeRole }
  /** `comesBack`: its server is started again at the end, whatever has become of it, as an init system does. */
  | { readonly kind: 'kill'; readonly node: NodeRole; readonly comesBack: boolean }
  | { readonly kind: 'link'; readonly place: Place }
  /** Null: everybody else. */
  | { readonly kind: 'oneway'; readonly from: Place | null; readonly to: Place | null }
  | { readonly kind: 'delay'; readonly place: Place; readonly delayMs: number; readonly jitterMs: number }
  /** The next invocations of a step's function end before the handler, after it, or so many milliseconds into it. */
  | {
      readonly kind: 'step'
      readonly step: Step
      readonly kill: 'before' | 'after' | number
      readonly times: number
    }
  /** The execution is stopped when the cluster enters the phase, and found dead by the next ticks. */
  | { readonly kind: 'step'; readonly step: 'execution' }
  | { readonly kind: 'observer'; readonly observers: readonly (typeof observerMembers)[number][] }

export interface Planned {
  readonly fault: Fault
  readonly when: When
  /** How long it lasts; what has ended by itself (a kill) is put right after that time. */
  readonly forMs: number
}

/** A generator of numbers of its own for each text, the same on every machine. */
export class Dice {
  readonly #seed: string
  #count = 0

  constructor(seed: string) {
    this.#seed = seed
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    const digest = createHash('sha256')
      .update(`${this.#seed}/${this.#count++}`)
      .digest()
    return digest.readUInt32BE(0) / 2 ** 32
  }

  /** Whole, from `least` up to and including `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  pick<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)] as T
  }
}

/** The faults of one round, in the order in which they were drawn. */
export function planRound(
  seed: number,
  round: number,
  kinds: readonly FaultKind[] = faultKinds,
): readonly Planned[] {
  const dice = new Dice(`${seed}/${round}`)
  const count = dice.pick([1, 1, 1, 1, 2, 2, 2, 2, 2, 3])
  const planned = Array.from({ length: count }, () => drawPlanned(dice, dice.pick(kinds)))
  // Steps are killed, and phases entered, in a failover only: there has to be one.
  const needsFailover = planned.some(({ fault, when }) => fault.kind === 'step' || 'phase' in when)
  return needsFailover && !planned.some(isDeath) ? [...planned, death] : planned
}

/**
 * How long the stop of an instance takes in a round, seconds. As long an old primary that lives, or is thawed, is held back by the
 * frozen standbys alone.
 */
export function stopSecondsOf(seed: number, round: number): number {
  return new Dice(`${seed}/${round}/stop`).pick([1, 1, 4, 10])
}

const death: Planned = {
  fault: { kind: 'kill', node: 'primary', comesBack: false },
  when: { atMs: 400 },
  forMs: 3_000,
}

function isDeath({ fault, when }: Planned): boolean {
  return fault.kind === 'kill' && fault.node === 'primary' && 'atMs' in when
}

function drawPlanned(dice: Dice, kind: FaultKind): Planned {
  const fault = drawFault(dice, kind)
  const isDuring = dice.next() < 0.25
  const phase = dice.pick(workPhases)
  const atMs = dice.between(200, 2_000)
  // Shorter, a server with a full disk may find room in what it has already.
  const forMs = fault.kind === 'disk' ? dice.between(3_000, 8_000) : dice.between(800, 7_000)
  // What waits for an invocation, waits from the beginning.
  if (fault.kind === 'step' && 'times' in fault) return { fault, when: { atMs: 0 }, forMs: 8_000 }
  return { fault, when: isDuring || fault.kind === 'step' ? { phase } : { atMs }, forMs }
}

function drawFault(dice: Dice, kind: FaultKind): Fault {
  const node = () => (dice.next() < 0.65 ? 'primary' : dice.pick(['standby 1', 'standby 2'] as const))
  const place = (): Place => {
    const part = dice.next()
    if (part < 0.6) return node()
    if (part < 0.8) return dice.pick(observerMembers)
    return part < 0.92 ? dice.pick(clientMembers) : 'aws'
  }
  switch (kind) {
    case 'kill':
      return { kind, node: node(), comesBack: dice.next() < 0.4 }
    case 'freeze':
    case 'disk':
      return { kind, node: node() }
    case 'link':
      return { kind, place: place() }
    case 'delay':
      return { kind, place: place(), delayMs: dice.between(20, 400), jitterMs: dice.between(0, 50) }
    case 'oneway': {
      const one = place()
      const other = dice.next() < 0.3 ? null : place()
      // To or from itself would be nothing.
      const peer = other === one ? null : other
      return dice.next() < 0.5 ? { kind, from: one, to: peer } : { kind, from: peer, to: one }
    }
    case 'observer':
      return { kind, observers: dice.next() < 0.3 ? twoOf(dice) : [dice.pick(observerMembers)] }
    case 'step':
      if (dice.next() < 0.25) return { kind, step: 'execution' }
      return {
        kind,
        step: dice.pick(steps),
        kill: dice.pick(['before', 'after', dice.between(1, 60)] as const),
        times: dice.pick([1, 1, 2]),
      }
  }
}

function twoOf(dice: Dice): (typeof observerMembers)[number][] {
  const spared = dice.pick(observerMembers)
  return observerMembers.filter((each) => each !== spared)
}

/** For a line of a terminal. */
export function describeFault({ fault, when }: Planned): string {
  const moment = 'phase' in when ? ` while ${when.phase}` : ''
  return `${faultText(fault)}${moment}`
}

function faultText(fault: Fault): string {
  switch (fault.kind) {
    case 'link':
      return `link of ${fault.place}`
    case 'oneway':
      return `oneway ${fault.from ?? 'all'} to ${fault.to ?? 'all'}`
    case 'delay':
      return `delay ${fault.place}`
    case 'observer':
      return fault.observers.map((each) => `kill ${each}`).join(' ')
    case 'step':
      return 'times' in fault
        ? `kill ${fault.step} ${typeof fault.kill === 'number' ? 'within' : fault.kill}`
        : 'stop execution'
    case 'kill':
      return `${fault.comesBack ? 'restart' : 'kill'} ${fault.node}`
    default:
      return `${fault.kind} ${fault.node}`
  }
}
