/** Attempts that overlap, stall, lose answers, and wake when the world has moved on. */
import { describe, expect, test } from 'vitest'
import { breaches, lostCommits } from './checker.ts'
import { adopted, expectSteady, kill, kinds, order } from './support.ts'
import type { Call, Fault, World } from './world.ts'

const long = 400_000
const promotions = (world: World) =>
  world.acts.flatMap((act) => (act.kind === 'sql' && act.action.do === 'promote' ? [act.node] : []))

/** The fault at the first call that fits, from the moment of a state that fits. */
function once(world: World, fits: (call: Call) => boolean, fault: Fault, from = () => true) {
  let begun = false
  let over = false
  world.fault = (call) => {
    begun ||= from()
    if (over || !begun || !fits(call)) return undefined
    over = true
    return fault
  }
  return () => over
}

describe('one term', () => {
  test.each([
    ['the write of its target', 'writeState'],
    ['a look at its claim', 'readState'],
    ['an act on a node', 'operate'],
    ['the power fence', 'stop'],
  ])('H01 H06 S1 S4 attempt 1 of promote stalls in %s and wakes after attempt 2', async (_, name) => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    machine.kills = false
    const happened = once(
      world,
      (call) => call.name === name && !call.by.name.startsWith('assess'),
      name === 'stop' ? 60_000 : long,
      () => world.state.phase === 'promoting',
    )
    await kill(world, machine, 'a')
    await world.time.run(world.time.sleep(long))
    expect(happened()).toBe(true)
    await expectSteady(world, machine)
    expect(new Set(promotions(world)).size).toBe(1)
  })

  test('H05 H06 S4 the promoting statement stalls on its way; the next act on the node ends its session', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    once(world, (call) => call.name === 'promote:b', 45_000)
    await kill(world, machine, 'a')
    await world.time.run(world.time.sleep(100_000))
    expect(promotions(world)).toEqual(['b'])
    await expectSteady(world, machine)
  })

  test.each(['operate', 'writeState'])(
    'F42 S2 S5 promote dies at its next %s after the promotion: what held the quorum follows by now, it goes on',
    async (name) => {
      const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
      const happened = once(
        world,
        (call) => call.name === name && / promote /.test(call.by.name),
        'crash',
        () => !world.databases.of('b').inRecovery,
      )
      await kill(world, machine, 'a')
      expect([happened(), world.state.primary, world.state.term]).toEqual([true, 'b', 2])
      await expectSteady(world, machine)
    },
  )

  test('H06 S5 every answer of the table is lost once: own writes are not taken for those of others', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    const lost = new Set<number>()
    world.fault = ({ name, by }) => {
      const { version } = world.state
      if (name !== 'writeState' || !by.name.startsWith('orders-') || lost.has(version)) return undefined
      lost.add(version)
      return 'lose'
    }
    await kill(world, machine, 'a')
    world.fault = () => undefined
    expect(lost.size).toBeGreaterThan(4)
    await expectSteady(world, machine)
    expect(kinds(world)).not.toContain('halted')
  })
})

describe('over terms', () => {
  test.each(['writeState', 'readState', 'operate', 'look', 'describe', 'stop'])(
    'H01 H05 H12 S4 a stalled execution (in %s) is resumed in a new term, then wakes',
    async (name) => {
      const { world, machine } = await adopted({ policy: { fence: 'power' } })
      machine.kills = false
      const happened = once(
        world,
        (call) => call.name === name && call.by.name.startsWith('orders-'),
        // A request to AWS is over with its function: what the resume waits out.
        name === 'stop' ? 60_000 : long,
        () => world.state.phase === 'fencing' || world.state.phase === 'promoting',
      )
      world.databases.of('a').end('untold')
      await world.time.run(machine.watch(2))
      machine.executions.at(-1)?.stop()
      await world.time.run(machine.minutes(10))
      await world.time.run(world.time.sleep(long))
      expect(happened()).toBe(true)
      expect(world.state.term).toBeGreaterThan(2)
      await expectSteady(world, machine)
      expect(new Set(promotions(world)).size).toBe(1)
    },
  )

  test('H05 S4 a promoting statement of an older term lands after the new term acted: it finds no session', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    once(world, (call) => call.name === 'promote:b', 250_000)
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(2))
    machine.executions.at(-1)?.stop()
    await world.time.run(machine.minutes(12))
    await world.time.run(world.time.sleep(300_000))
    expect(world.state.term).toBeGreaterThan(2)
    await expectSteady(world, machine)
  })

  test('H01 S1 B was told to promote and went silent: C needs evidence against A and B', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.promotionMs = 600_000
    world.fault = ({ name }) => {
      if (name === 'promote:b') world.databases.of('b').hung = true
      return undefined
    }
    world.instances.stopMs = 200_000
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    world.databases.of('b').hung = true
    world.cut.add('*>b')
    await world.time.run(machine.minutes(30, () => world.state.primary === 'c'))
    world.promotionMs = 5
    await world.time.run(machine.minutes(10, () => world.state.primary === 'c'))
    const told = world.acts.filter((act) => act.kind === 'sql' && act.action.do === 'promote')
    for (const act of told.filter((each) => 'node' in each && each.node === 'c'))
      expect(act.stored?.plan?.evidence.map((each) => each.node)).toEqual(expect.arrayContaining(['a', 'b']))
    expect(breaches(world)).toEqual([])
  })

  test('S8 H10 a target that died is doubted anew in each term, and its old position chooses nobody', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.databases.of('b').stuck = true
    await world.time.run(world.time.sleep(3_000))
    world.fault = ({ name }) => {
      if (name !== 'promote:c') return undefined
      world.databases.of('c').hung = true
      world.databases.of('b').end('untold')
      return 'lose'
    }
    world.promotionMs = 3_600_000
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(2))
    const stop = () => {
      for (const execution of machine.executions) execution.stop()
    }
    stop()
    const doubted = ({ plan, term }: World['state']) => term === 3 && (plan?.looks.dead ?? 0) > 0
    world.table.onState = (state) => {
      if (doubted(state)) stop()
    }
    await world.time.run(
      machine.minutes(20, () => world.state.term === 4 && world.state.phase === 'promoting'),
    )
    const claims = world.table.written
      .map(({ state }) => state)
      .filter((each) => each.lastEvent.kind === 'claimed')
    expect(claims.map(({ term, plan }) => [term, plan?.looks.dead])).toEqual(
      expect.arrayContaining([
        [3, 0],
        [4, 0],
      ]),
    )
    await world.time.run(machine.minutes(5, () => false))
    expect(world.state).toMatchObject({ phase: 'promoting', plan: { target: null } })
    expect(promotions(world)).not.toContain('b')
  })

  test('H06 S4 an operator session reads its claim after it connected: a superseded act is refused', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    machine.kills = false
    // The call of the first freeze is under way for a term that is over when it connects.
    once(
      world,
      (call) => call.name === 'connect:b',
      300_000,
      () => world.state.term === 2,
    )
    await order(world, machine, { command: 'failover', reason: 'by hand', by: 'anna' }, false)
    await world.time.run(world.time.sleep(3_000))
    machine.executions.at(-1)?.stop()
    await world.time.run(machine.minutes(10))
    await world.time.run(world.time.sleep(300_000))
    expect(breaches(world)).toEqual([])
    expect(lostCommits(world)).toEqual([])
    const late = world.acts.filter((act) => act.kind === 'sql' && act.stored && act.term < act.stored.term)
    expect(late).toEqual([])
  })
})
