/**
 * The fault matrix: every call of the provider's API, at every step that makes it, goes wrong in each of five ways: an
 * error, a time-out before and after its effect, throttling, an effect that comes when its caller is long gone. In each
 * cell no rule of safety is broken, and once the fault is gone the operation ends as it does without one.
 */
import { describe, expect, test } from 'vitest'
import { lostCommits } from '../steps/checker.ts'
import type { Machine } from '../steps/machine.ts'
import { story } from '../steps/support.ts'
import { adoptedRds, expectRedundant, kill, order, rdsBreaches } from './rdsSupport.ts'
import { type RdsCall, type RdsOptions, type RdsWorld, rdsFaults } from './rdsWorld.ts'

interface Scenario {
  readonly name: string
  readonly begin: (world: RdsWorld, machine: Machine) => Promise<unknown>
  readonly options?: RdsOptions
}

const ordered = (command: 'failover' | 'switchover') => (world: RdsWorld, machine: Machine) =>
  order(world, machine, { command, reason: 'test' })
/** Only a living primary is drained: for a dead one it is all the same. */
const options = { closedGroupCuts: true }

const scenarios: readonly Scenario[] = [
  { name: 'failover of a dead primary', begin: (world, machine) => kill(world, machine, 'a') },
  { name: 'failover of a living primary', begin: ordered('failover') },
  { name: 'switchover', begin: ordered('switchover') },
  { name: 'H26 failover whose closed group cuts replication', begin: ordered('failover'), options },
  { name: 'H26 switchover whose closed group cuts replication', begin: ordered('switchover'), options },
]

/** The calls that a run without faults makes: the first and the last of each name in each step. */
async function callsOf({ begin, options }: Scenario): Promise<RdsCall[]> {
  const { world, machine } = await adoptedRds(options)
  const before = world.rdsCalls.length
  await begin(world, machine)
  await expectRedundant(world, machine)
  const cells = new Map<string, RdsCall>()
  for (const call of world.rdsCalls.slice(before)) {
    const key = `${call.step} ${call.name}`
    if (!cells.has(`${key} first`)) cells.set(`${key} first`, call)
    cells.set(`${key} last`, call)
  }
  return [
    ...new Map([...cells.values()].map((call) => [`${call.step} ${call.name} ${call.count}`, call])).values(),
  ]
}

for (const scenario of scenarios) {
  const calls = await callsOf(scenario)
  const cells = calls.flatMap(({ name, step, count }) =>
    rdsFaults.map((fault) => ({ name, step, count, fault })),
  )

  describe(scenario.name, () => {
    test('makes the calls that it should', () => {
      const made = [...new Set(calls.map(({ step, name }) => `${step}: ${name}`))].toSorted()
      expect(made).toEqual(
        expect.arrayContaining([
          'fence: events',
          'fence: instances',
          'fence: reboot',
          'fence: setGroups',
          'promote: instances',
          'promote: promote',
          'settle: createReplica',
          'settle: deleteReplica',
          'settle: instances',
          'settle: rename',
          'settle: stop',
        ]),
      )
    })

    test.each(cells)('$step $name (call $count): $fault', async (cell) => {
      const { world, machine } = await adoptedRds(scenario.options)
      let met = false
      world.rdsFault = ({ name, step, count }) => {
        const isIt = name === cell.name && step === cell.step && count === cell.count
        met ||= isIt
        return isIt ? cell.fault : undefined
      }
      await scenario.begin(world, machine)
      expect([...rdsBreaches(world), ...lostCommits(world)], story(world)).toEqual([])
      await expectRedundant(world, machine, 90)
      expect(met).toBe(true)
    })
  })
}

describe('the API fails for minutes, then answers', () => {
  test.each(
    rdsFaults.flatMap((fault) => scenarios.map((scenario) => ({ fault, scenario, name: scenario.name }))),
  )('$name: $fault', async ({ fault, scenario }) => {
    const { world, machine } = await adoptedRds({ ...scenario.options, policy: { cooldownMs: 0 } })
    const untilMs = world.time.nowMs + 200_000
    world.rdsFault = () => (world.time.nowMs < untilMs ? fault : undefined)
    await scenario.begin(world, machine)
    world.rdsFault = () => undefined
    await world.time.run(machine.minutes(40))
    await world.time.run(machine.finish(3_600_000))
    expect([...rdsBreaches(world), ...lostCommits(world)], story(world)).toEqual([])
    // A switchover may have backed out: then all is as before.
    expect(world.state.phase, story(world)).toBe('steady')
    await expectRedundant(world, machine, 90)
  })
})
