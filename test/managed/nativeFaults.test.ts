/**
 * The fault matrix: each call of RDS that a clean run makes, in each step, fails in each way once: with an error, with a
 * time-out before or after its effect, throttled, or delayed. Whatever happened, the cluster ends steady and no rule broke.
 */
import { describe, expect, test } from 'vitest'
import { order } from '../steps/support.ts'
import { adopted, asks, expectSteady, kill, type Made } from './nativeSupport.ts'
import { type NativeOptions, rdsFaults } from './nativeWorld.ts'

interface Scenario {
  readonly options: NativeOptions
  readonly begin: (made: Made) => Promise<unknown>
  readonly mayLose?: boolean
  /** Most calls that act: one, and its repetition after an answer that was lost or refused. */
  readonly asksMost: number
}

const global: NativeOptions = { kind: 'aurora-global', policy: { loss: { mode: 'availability' } } }
const planned = ({ world, machine }: Made) =>
  order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna', to: 'b' })

const scenarios: Readonly<Record<string, Scenario>> = {
  'aurora: its election followed': { options: {}, begin: (made) => kill(made), asksMost: 0 },
  'aurora: an election asked for': {
    options: {},
    begin: (made) => {
      made.world.electsAfterMs = null
      return kill(made)
    },
    asksMost: 2,
  },
  'aurora: switchover': { options: {}, begin: planned, asksMost: 2 },
  'global: failover': { options: global, begin: (made) => kill(made), asksMost: 2, mayLose: true },
  'global: a Region is lost and comes back': {
    options: global,
    begin: async (made) => {
      made.world.loseRegion('a')
      made.world.time.after(180_000, () => made.world.regainRegion('a'))
      await made.world.time.run(made.machine.watch(12))
      await made.world.time.run(made.machine.finish())
    },
    asksMost: 2,
    mayLose: true,
  },
  'global: switchover, its endpoint': {
    options: { ...global, managed: { globalEndpoint: true } },
    begin: planned,
    asksMost: 2,
  },
}

const steps = ['confirm', 'fence', 'promote', 'repoint', 'settle']

async function run({ options, begin }: Scenario, before: (made: Made) => void): Promise<Made> {
  const made = await adopted(options)
  made.world.countAnew()
  before(made)
  await begin(made)
  return made
}

/** The first, the second and the last call of each name in each step. */
async function cells(scenario: Scenario): Promise<{ step: string; name: string; count: number }[]> {
  const { world } = await run(scenario, () => undefined)
  const last = new Map<string, number>()
  for (const { step, name, count } of world.counted)
    if (steps.includes(step)) last.set(`${step} ${name}`, count)
  return [...last].flatMap(([key, most]) => {
    const [step = '', name = ''] = key.split(' ')
    return [...new Set([1, Math.min(2, most), most])].map((count) => ({ step, name, count }))
  })
}

describe.each(Object.entries(scenarios))('S1 S5 %s', (_, scenario) => {
  test.each(rdsFaults)('%s, at each call of each step', async (fault) => {
    const all = await cells(scenario)
    expect(all.length).toBeGreaterThan(5)
    for (const cell of all) {
      const made = await run(scenario, ({ world }) => {
        world.rdsFault = ({ step, name, count }) =>
          step === cell.step && name === cell.name && count === cell.count ? fault : undefined
      })
      const { world } = made
      const where = `${fault} at ${cell.step} ${cell.name} ${cell.count}`
      await expectSteady(made, 15, scenario.mayLose).catch((error: Error) => {
        throw new Error(`${where}: ${error.message}`, { cause: error })
      })
      expect(asks(world).length, where).toBeLessThanOrEqual(scenario.asksMost)
      const targets = new Set(asks(world).map((act) => JSON.stringify(act)))
      expect(targets.size, where).toBeLessThanOrEqual(1)
      const refused = cell.name === 'switchoverGlobal' || cell.name === 'failoverCluster'
      if (!(fault === 'error' && refused)) expect(world.state.primary, where).toBe('b')
    }
  })

  test('its Region throttles everything for a minute', async () => {
    const made = await run(scenario, ({ world }) => {
      const untilMs = world.time.nowMs + 60_000
      world.rdsFault = () => (world.time.nowMs < untilMs ? 'throttled' : undefined)
    })
    await expectSteady(made, 15, scenario.mayLose)
  })
})
