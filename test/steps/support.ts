/** How tests begin and end. */
import { expect } from 'vitest'
import type { CommandResult } from '../../functions/command.ts'
import { breaches, lostCommits } from './checker.ts'
import { Machine } from './machine.ts'
import { cluster, World, type WorldOptions } from './world.ts'

/** A cluster that was adopted and settled, its observers' sessions open, its clients writing. */
export async function adopted(options: WorldOptions = {}): Promise<{ world: World; machine: Machine }> {
  const world = new World(options)
  const machine = new Machine(world)
  machine.clients()
  await world.time.run(machine.observe())
  await world.time.run(machine.tick())
  const answer = await world.time.run(machine.command({ command: 'adopt', cluster }))
  expect(answer).toMatchObject({ outcome: 'done' })
  await world.time.run(machine.finish())
  await world.time.run(machine.minutes(3))
  expect(world.state.phase).toBe('steady')
  await world.time.run(machine.watch(4))
  return { world, machine }
}

/** The server dies without a word; observers see it, and what assess starts runs to its end. */
export async function kill(world: World, machine: Machine, node: string): Promise<void> {
  world.databases.of(node).end('untold')
  await world.time.run(machine.watch(4))
  await world.time.run(machine.finish())
}

/** What an operator asks for; with `finish` until what it starts is over. */
export async function order(
  world: World,
  machine: Machine,
  event: Record<string, unknown>,
  finish = true,
): Promise<CommandResult> {
  const answer = await world.time.run(machine.command({ cluster, ...event }))
  if (finish && event.command !== 'approve') await world.time.run(machine.finish())
  return answer
}

/** Kinds of the events of all states, in order. */
export const kinds = (world: World) => world.table.written.map(({ state }) => state.lastEvent.kind)

/** What is in the history, line by line: for the message of a test that fails. */
export const story = (world: World) =>
  world.table.written
    .filter(({ state }) => state.lastEvent.version === state.version)
    .map(({ state, atMs }) => `${atMs} ${state.version} ${state.phase} ${state.lastEvent.message}`)
    .join('\n')

/** The world is right again, and nothing that was promised was broken on the way. */
export async function expectSteady(world: World, machine: Machine, most = 15): Promise<void> {
  await world.time.run(machine.minutes(most))
  await world.time.run(machine.finish())
  expect([...breaches(world), ...lostCommits(world)]).toEqual([])
  const { phase, lastEvent } = world.state
  expect(phase, `${lastEvent.message}\n${story(world)}`).toBe('steady')
  const target = world.config.nodes.find((node) => node.id === world.state.primary)?.dnsName
  expect(world.names.cname?.target).toBe(target)
  const writable = [...world.databases.servers.values()].filter((each) => each.running && !each.inRecovery)
  expect(writable.map((each) => each.id)).toEqual([world.state.primary])
}
