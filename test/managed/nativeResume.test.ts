/** An execution may end after any of its writes, for ever: assess resumes it in a new term, and it ends as it should. */
import { describe, expect, test } from 'vitest'
import { order } from '../steps/support.ts'
import { adopted, asks, expectSteady, type Made } from './nativeSupport.ts'
import type { NativeOptions } from './nativeWorld.ts'

interface Operation {
  readonly options: NativeOptions
  readonly begin: (made: Made) => Promise<unknown>
  readonly mayLose?: boolean
}

const dies = async ({ world, machine }: Made) => {
  world.databases.of('a').end('untold')
  await world.time.run(machine.watch(12))
}
const planned = ({ world, machine }: Made) =>
  order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna' }, false)
const global: NativeOptions = { kind: 'aurora-global', policy: { loss: { mode: 'availability' } } }

const operations: Readonly<Record<string, Operation>> = {
  'an election of Aurora': { options: {}, begin: dies },
  'an election asked for': {
    options: {},
    begin: (made) => {
      made.world.electsAfterMs = null
      return dies(made)
    },
  },
  'a switchover': { options: {}, begin: planned },
  'a global failover': { options: global, begin: dies, mayLose: true },
  'a global switchover': { options: global, begin: planned },
}

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
  return { made, writes }
}

describe.each(Object.entries(operations))('S1 S4 S5 H12 %s', (_, operation) => {
  test.each(['crash', 'crashAfter'] as const)(
    'is finished or undone from every prefix of its writes: %s',
    async (when) => {
      const { writes } = await stoppedAfter(operation, 0, when)
      expect(writes).toBeGreaterThan(6)
      for (let last = 1; last <= writes; last++) {
        const { made } = await stoppedAfter(operation, last, when)
        await expectSteady(made, 15, operation.mayLose).catch((error: Error) => {
          throw new Error(`write ${last}: ${error.message}`, { cause: error })
        })
        expect(asks(made.world).length, `write ${last}`).toBeLessThanOrEqual(2)
      }
    },
  )
})
