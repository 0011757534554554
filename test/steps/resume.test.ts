/**
 * An execution may end after any of its writes, for ever. Each prefix of the writes of each kind of operation is tried:
 * it is stopped there, the minutes pass, and what stood half done is finished or undone (S5; section 6, resume).
 */
import { describe, expect, test } from 'vitest'
import { adopted, expectSteady, kinds, order } from './support.ts'
import type { WorldOptions } from './world.ts'

interface Operation {
  readonly options: WorldOptions
  readonly begin: (world: Awaited<ReturnType<typeof adopted>>) => Promise<unknown>
}

const dies = async ({ world, machine }: Awaited<ReturnType<typeof adopted>>) => {
  world.databases.of('a').end('untold')
  await world.time.run(machine.watch(4))
}

const operations: Readonly<Record<string, Operation>> = {
  'a failover behind a quorum': { options: { policy: { fence: 'quorum' } }, begin: dies },
  'a failover behind power': { options: { policy: { fence: 'power' } }, begin: dies },
  'a failover by hand of a living primary': {
    options: {},
    begin: ({ world, machine }) =>
      order(world, machine, { command: 'failover', reason: 'by hand', by: 'anna' }, false),
  },
  'a switchover': {
    options: { policy: { fence: 'quorum' } },
    begin: ({ world, machine }) =>
      order(world, machine, { command: 'switchover', reason: 'by hand', by: 'anna' }, false),
  },
}

/** Runs it, and ends every execution after write number `last`; returns how many writes there were. */
async function stoppedAfter({ options, begin }: Operation, last: number, when: 'crash' | 'crashAfter') {
  const made = await adopted(options)
  const { world, machine } = made
  let writes = 0
  world.fault = ({ name, by }) => {
    if (name !== 'writeState' || !by.name.startsWith('orders-') || ++writes !== last) return undefined
    for (const execution of machine.executions) execution.stop()
    return when
  }
  await begin(made)
  await world.time.run(machine.finish())
  return { ...made, writes }
}

describe.each(Object.entries(operations))('F41 F42 F69 F70 H12 S5 %s', (_, operation) => {
  test('is finished or undone from every prefix of its writes', async () => {
    const { writes } = await stoppedAfter(operation, 0, 'crash')
    expect(writes).toBeGreaterThan(8)
    for (let last = 1; last <= writes; last++) {
      const { world, machine } = await stoppedAfter(operation, last, 'crashAfter')
      await expectSteady(world, machine)
    }
  })
})

test('S5 S6 a primary that answers again behind our own power fence is not spared by the resume', async () => {
  const { world, machine } = await adopted({ policy: { fence: 'power' } })
  world.instances.stopMs = 300_000
  world.databases.of('a').hung = true
  await world.time.run(machine.watch(20))
  expect(world.state.plan?.fenceRequested).toEqual(['a'])
  for (const execution of machine.executions) execution.stop()
  world.databases.of('a').hung = false
  await world.time.run(machine.minutes(12, () => world.state.primary === 'b'))
  expect(kinds(world)).not.toContain('stood down')
  await expectSteady(world, machine)
  expect(world.state.term).toBe(3)
})
