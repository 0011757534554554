/** How tests begin and end. */
import { expect } from 'vitest'
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

/** The world is right again, and nothing that was promised was broken on the way. */
export async function expectSteady(world: World, machine: Machine, most = 12): Promise<void> {
  await world.time.run(machine.minutes(most))
  expect(breaches(world)).toEqual([])
  expect(lostCommits(world)).toEqual([])
  expect(world.state).toMatchObject({ phase: 'steady', halted: null })
  const target = world.config.nodes.find((node) => node.id === world.state.primary)?.dnsName
  expect(world.names.cname?.target).toBe(target)
  const writable = [...world.databases.servers.values()].filter((each) => each.running && !each.inRecovery)
  expect(writable.map((each) => each.id)).toEqual([world.state.primary])
}
