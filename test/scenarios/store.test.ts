/** The table is away, for everybody or for the side of the primary only: databases serve on, nothing is done blindly (S13). */
import { describe, expect, test } from 'vitest'
import { breaches, lostCommits } from '../steps/checker.ts'
import { Machine } from '../steps/machine.ts'
import { adopted, expectSteady } from '../steps/support.ts'
import { World } from '../steps/world.ts'

const table = ['readState', 'writeState', 'readFleet', 'readReports', 'readApproval']
/** Every call of the table by our functions gets no answer; observers write to nothing that is read. */
const tableAway: World['fault'] = ({ name }) => (table.includes(name) ? 'refuse' : undefined)

/** What the minutes bring while the table is away: observers and ticks fail, and nothing else may happen. */
async function minutesAway({ world, machine }: Awaited<ReturnType<typeof adopted>>, minutes: number) {
  let refusals = 0
  for (let minute = 0; minute < minutes; minute++) {
    await world.time.run(
      machine.watch(4).catch(() => {
        refusals++
      }),
    )
    await world.time.run(
      machine.tick().catch(() => {
        refusals++
      }),
    )
    await world.time.run(world.time.sleep(58_000))
  }
  return refusals
}

describe('the whole table is away', () => {
  test('F33 S13 one node is left: it goes on accepting writes, and nobody touches it', async () => {
    const policy = { fence: 'power', synchronous: 'none', loss: { mode: 'availability' } }
    const made = await adopted({ policy })
    const { world, machine } = made
    world.databases.of('a').synchronousNames = ''
    for (const id of ['b', 'c']) world.databases.of(id).end('untold')
    await world.time.run(machine.watch(4))
    await world.time.run(machine.finish())
    const { version } = world.state
    const before = world.databases.acknowledged.length
    world.fault = tableAway
    expect(await minutesAway(made, 30)).toBeGreaterThan(0)
    expect(world.databases.acknowledged.length).toBeGreaterThan(before + 1_500)
    expect([world.state.version, world.acts]).toEqual([version, []])
    world.fault = () => undefined
    for (const id of ['b', 'c']) world.databases.of(id).start('standby')
    await expectSteady(world, machine)
    expect(world.state).toMatchObject({ primary: 'a', term: 1 })
  })

  test('F34 S13 three healthy nodes: the primary stays, commits are acknowledged by its standbys', async () => {
    const made = await adopted({ policy: { fence: 'quorum' } })
    const { world, machine } = made
    const { version } = world.state
    const before = world.databases.acknowledged.length
    world.fault = tableAway
    expect(await minutesAway(made, 60)).toBeGreaterThan(0)
    expect(world.databases.acknowledged.length).toBeGreaterThan(before + 3_000)
    for (const id of ['b', 'c'])
      expect(world.databases.of(id).log.length).toBe(world.databases.of('a').log.length)
    expect([world.state.version, world.acts, world.names.history.length]).toEqual([version, [], 1])
    world.fault = () => undefined
    await expectSteady(world, machine)
    expect(world.state).toMatchObject({ primary: 'a', term: 1 })
  })

  test('F34 F37 S13 the primary dies meanwhile: no act without the table; with it, one failover without loss', async () => {
    const made = await adopted({ policy: { fence: 'quorum' } })
    const { world, machine } = made
    world.fault = tableAway
    world.databases.of('a').end('untold')
    await minutesAway(made, 10)
    expect([world.acts, world.state.primary]).toEqual([[], 'a'])
    world.fault = () => undefined
    await world.time.run(machine.minutes(5, () => world.state.primary !== 'a'))
    expect(world.state).toMatchObject({ primary: 'b', term: 2 })
    await expectSteady(world, machine)
  })
})

describe('the table stalls again and again', () => {
  /** Every call of the table takes 100 to 3000 ms more, for five minutes. */
  function stalls(world: World, untilMs: number): World['fault'] {
    let turn = 0
    return ({ name }) => {
      if (!table.includes(name) || world.time.nowMs > untilMs) return undefined
      turn = (turn * 1_103_515_245 + 12_345) % 2 ** 31
      return 100 + (turn % 2_900)
    }
  }
  /** The share of seconds in which a commit was acknowledged. */
  function availability({ databases }: World, fromMs: number, toMs: number): number {
    const seconds = new Set(databases.acknowledged.map(({ atMs }) => Math.floor(atMs / 1_000)))
    const wanted = Math.floor(toMs / 1_000) - Math.floor(fromMs / 1_000)
    let served = 0
    for (let each = Math.floor(fromMs / 1_000); each < Math.floor(toMs / 1_000); each++)
      if (seconds.has(each)) served++
    return served / wanted
  }

  test('F38 S13 all is well otherwise: nothing is done, and clients notice nothing', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    const fromMs = world.time.nowMs
    world.fault = stalls(world, fromMs + 300_000)
    await world.time.run(machine.minutes(5, () => false))
    expect([world.acts, world.state.primary]).toEqual([[], 'a'])
    expect(availability(world, fromMs, world.time.nowMs)).toBeGreaterThanOrEqual(0.99)
    world.fault = () => undefined
    await expectSteady(world, machine)
  })

  test('F38 S5 the primary dies meanwhile: one failover, later than usual, and nothing is lost', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    const fromMs = world.time.nowMs
    world.fault = stalls(world, fromMs + 300_000)
    world.databases.of('a').end('untold')
    await world.time.run(machine.minutes(5, () => world.state.phase === 'settling'))
    const toMs = world.time.nowMs
    expect(world.state).toMatchObject({ primary: 'b', term: 2 })
    expect(toMs - fromMs).toBeLessThan(200_000)
    world.fault = () => undefined
    await expectSteady(world, machine)
  })
})

describe('F74 a node leaves the configuration', () => {
  test('F74 its reports, its place in the list and its status are no obstacle, and it is never touched', async () => {
    const before = await adopted({ policy: { fence: 'power' } })
    const [orders] = before.world.fleet.clusters
    if (orders === undefined) throw new Error('no cluster')
    const nodes = orders.nodes.filter(({ id }) => id !== 'c')
    const fleet = { ...before.world.fleet, clusters: [{ ...orders, nodes }] }
    // The next deploy over the same table, and the same servers: c still streams under its listed name.
    const world = new World({ fleet }, before.world)
    for (const [id, state] of before.world.table.states) world.table.states.set(id, state)
    for (const [id, reports] of before.world.table.reports) world.table.reports.set(id, new Map(reports))
    for (const [key, event] of before.world.table.events) world.table.events.set(key, event)
    world.table.written.push(...before.world.table.written)
    world.table.fleet = before.world.table.fleet
    const machine = new Machine(world)
    machine.tickMs = before.machine.tickMs
    await world.time.run(machine.watch(2))
    await world.time.run(machine.minutes(4, () => world.state.synchronous.names === 'ANY 1 ("b")'))
    expect(world.state.synchronous).toMatchObject({ status: 'provable', listed: ['b'], primary: 'a' })
    world.databases.of('a').end('untold')
    await world.time.run(machine.minutes(6, () => world.state.primary === 'b'))
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
    expect(
      world.acts.filter((act) => (act.kind === 'power' ? act.instanceId === 'i-00000003' : act.node === 'c')),
    ).toEqual([])
    expect([...breaches(world), ...lostCommits(world)]).toEqual([])
    await world.time.run(machine.minutes(15))
    expect(world.state).toMatchObject({
      phase: 'steady',
      nodes: { a: { role: 'standby' }, b: { role: 'primary' } },
    })
  })
})

describe('F30 the zone of the primary loses the table, its observer and all but its own clients', () => {
  /** x stands in the zone of a, which nobody else reaches: its last report says that all is well. */
  async function split(policy: Record<string, unknown>, oneStandbyReaches: boolean) {
    const made = await adopted({ policy })
    const { world, machine } = made
    world.observersDown.add('x')
    for (const from of ['y', 'z', 'operator', 'b', ...(oneStandbyReaches ? [] : ['c'])])
      world.cut.add(`${from}>a`)
    await world.time.run(machine.watch(20))
    await world.time.run(machine.finish())
    return made
  }

  test.each(['quorum', 'power'])(
    'F30 S1 %s: a failover, and the old primary comes back as a standby',
    async (fence) => {
      const { world, machine } = await split({ fence }, false)
      expect(world.table.reports.get('orders')?.get('x')?.nodes.a?.class).toBe('writable')
      expect(world.state.primary).toBe('b')
      // Its clients wrote to it all the time: nothing was acknowledged to them after the fence.
      expect(breaches(world)).toEqual([])
      world.cut.clear()
      world.observersDown.clear()
      await expectSteady(world, machine)
      expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: null })
    },
  )

  test('F30 F28 S7 a standby still receives from it: no failover until that stops, then one without loss', async () => {
    const { world, machine } = await split({ fence: 'quorum' }, true)
    expect([world.state.primary, world.acts.filter((act) => act.kind !== 'sql')]).toEqual(['a', []])
    world.cut.add('c>a')
    await world.time.run(machine.minutes(5, () => world.state.primary !== 'a'))
    expect(world.state.primary).not.toBe('a')
    expect([...breaches(world), ...lostCommits(world)]).toEqual([])
    world.cut.clear()
    world.observersDown.clear()
    await expectSteady(world, machine)
  })
})
