/** What several stories do: find a call of the product, hold it up, and wait for what the product wrote. */
import type { ClusterState, Phase } from '../../../functions/core/types.ts'
import type { Call, Fault } from '../../steps/world.ts'
import type { Setup } from '../plan.ts'
import { afterlifeMs } from '../world/lambda.ts'
import type { Sim } from '../world/sim.ts'
import type { Story } from './index.ts'

/**
 * A story whose parameters are what its plan draws. Seldom told among all: it mostly waits, and the seeds that it has in
 * the list of mutants are its own.
 */
export const told = <P>(story: Story<P>): Story => ({ weight: 0.1, ...story }) as Story

/** Three nodes, nobody who starts servers by himself: what happens is what the story does. */
export const plain = {
  count: 3,
  supervisorMs: null,
  autostart: false,
  deployments: ['understudy'],
} as const satisfies Partial<Setup>

/** What a cluster is promised: nothing is lost, and automation acts at once. */
export const strict = {
  loss: { mode: 'never' },
  synchronousCount: 1,
  isolated: 'page',
  cooldownMs: 0,
  silentLooks: 2,
} as const

export const threeObservers = [{ id: 'x' }, { id: 'y' }, { id: 'z' }] as const

/** Is this a call of one attempt of that step of the workflow? */
export const isOf = (step: string) => (call: Call) => call.by.name.includes(` ${step} `)

/** At most for as long as a request may be under way: a function's end, and what was sent before it. */
export function heldMs(sim: Sim, { by }: Call, wantedMs: number): number {
  return Math.max(0, Math.min(wantedMs, by.endsAtMs + afterlifeMs - sim.time.nowMs))
}

/** One fault, at the how-many-eth call that fits (from 0); `meanwhile` is done as it is decided. */
export function once(
  sim: Sim,
  fits: (call: Call) => boolean,
  fault: (call: Call) => Fault,
  options: { readonly nth?: number; readonly meanwhile?: (call: Call) => void } = {},
): { happened(): boolean } {
  let left = options.nth ?? 0
  let isOver = false
  sim.addRule((call) => {
    if (isOver || !fits(call) || left-- > 0) return undefined
    isOver = true
    sim.note(`${call.name} of ${call.by.name} goes wrong`)
    options.meanwhile?.(call)
    return fault(call)
  })
  return { happened: () => isOver }
}

/** Waits for a state; false: none came within that time. */
export function untilState(
  sim: Sim,
  is: (state: ClusterState) => boolean,
  mostMs?: number,
): Promise<boolean> {
  return sim.until(() => is(sim.state), mostMs, 20)
}

export const untilPhase = (sim: Sim, phase: Phase, mostMs?: number) =>
  untilState(sim, (state) => state.phase === phase, mostMs)

/** No execution runs any more, or it waits for more than that. */
export const untilQuiet = (sim: Sim, mostMs = 120_000) =>
  sim.until(() => sim.deployment.running.length === 0, mostMs)

/** Stops every execution that runs, as a person does in the console. */
export function abortAll(sim: Sim): void {
  for (const { name, run } of sim.deployment.running) {
    sim.note(`somebody stops the execution ${name}`)
    run.abort()
  }
}

/** Nothing that any observer or operate sends reaches the node; clients and standbys do. */
export function hide(sim: Sim, node: string, from: readonly string[] = [...sim.observers, 'operator']): void {
  for (const each of from) sim.cut(each, node)
}

/** A person starts the instance, and the server on it, as its files say. */
export async function startByHand(sim: Sim, node: string): Promise<void> {
  sim.startInstance(node)
  await sim.until(() => sim.instance(node).state === 'running', 30_000, 20)
  sim.restart(node, 0)
}

/** By then the name must lead to the newest writer, or, with `ends`, that node must write no more. */
export function promise(sim: Sim, what: string, withinMs: number, ends?: string): void {
  const untilMs = sim.time.nowMs + withinMs
  sim.recorder.add({ kind: 'promise', what, untilMs, ...(ends === undefined ? {} : { ends }) })
}
