/** Evidence, loss, and the world that is not as recorded. */
import { describe, expect, test } from 'vitest'
import { breaches, lostCommits } from './checker.ts'
import { Instance } from './model/aws.ts'
import type { Server } from './model/postgres.ts'
import { adopted, expectSteady, kill, kinds, order } from './support.ts'
import type { World } from './world.ts'

const promoted = (world: World) =>
  world.acts.flatMap((act) => (act.kind === 'sql' && act.action.do === 'promote' ? [act.node] : []))
const stops = (world: World) => world.acts.filter((act) => act.kind === 'power' && act.act === 'stop')

describe('is it dead?', () => {
  test('F01 F28 H02 H14 cut off from all observers, but its streams live: no failover, a page', async () => {
    const { world, machine } = await adopted()
    for (const each of ['x', 'y', 'z', 'operator']) world.cut.add(`${each}>a`)
    await world.time.run(machine.watch(8))
    await world.time.run(machine.finish())
    expect(kinds(world)).toContain('paged')
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady' })
    expect([promoted(world), stops(world)]).toEqual([[], []])
    world.cut.clear()
    await expectSteady(world, machine)
  })

  test('F03 all nodes unreachable: the observers are the suspect', async () => {
    const { world, machine } = await adopted()
    for (const node of ['a', 'b', 'c']) for (const each of ['x', 'y', 'z']) world.cut.add(`${each}>${node}`)
    await world.time.run(machine.watch(8))
    await machine.start('by-assess', {
      ...{ cluster: 'orders', kind: 'failover', reason: 'test' },
      automatic: { version: world.state.version, beat: world.state.beat, row: 'A35', facts: {} },
    })
    await world.time.run(machine.finish())
    expect(kinds(world)).toContain('paged')
    expect([promoted(world), stops(world)]).toEqual([[], []])
  })

  test.each([
    ['F16 H24 one observer', ['x'], []],
    ['F17 H24 one of the three answers at all', ['x'], ['y', 'z']],
    ['H02 H24 no observer answers', [], ['x', 'y', 'z']],
  ])('%s: no quorum, no failover', async (_, blind, down) => {
    const { world, machine } = await adopted()
    for (const each of blind) world.cut.add(`${each}>a`)
    for (const each of down) world.observersDown.add(each)
    await world.time.run(machine.watch(6))
    machine.start('by-assess', {
      ...{ cluster: 'orders', kind: 'failover', reason: 'test' },
      automatic: { version: world.state.version, beat: world.state.beat, row: 'A35', facts: {} },
    })
    await world.time.run(machine.finish())
    expect([promoted(world), stops(world)]).toEqual([[], []])
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady' })
  })

  test('H10 S6 reports say dead, looks say alive: confirm believes its looks', async () => {
    const { world, machine } = await adopted()
    world.databases.of('a').end('untold')
    await world.time.run(machine.observe())
    world.databases.of('a').start('primary')
    await world.time.run(machine.assess({ kind: 'hint', woken: [], reported: ['orders'] }))
    await world.time.run(machine.finish())
    expect(machine.executions.at(-1)?.name).toMatch(/failover/)
    expect(kinds(world).at(-1)).toBe('stood down')
    expect([promoted(world), stops(world)]).toEqual([[], []])
    expect(world.state).toMatchObject({ phase: 'steady', claim: null, plan: null })
  })

  test('F19 H15 a told end and a restart within the grace: no failover', async () => {
    const { world, machine } = await adopted()
    world.databases.of('a').end('told')
    await world.time.run(machine.watch(4))
    world.databases.of('a').start('primary')
    await world.time.run(machine.watch(4))
    await expectSteady(world, machine)
    expect(world.state.primary).toBe('a')
  })

  test('F26 an isolated primary, policy failover: only behind its stopped instance', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', isolated: 'failover' } })
    for (const each of ['y', 'z', 'operator', 'b', 'c']) world.cut.add(`${each}>a`)
    await world.time.run(machine.watch(20))
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
    expect(world.acts.findIndex((act) => act.kind === 'power')).toBeLessThan(
      world.acts.findIndex((act) => act.kind === 'sql' && act.action.do === 'promote'),
    )
    const target = world.table.written.find(({ state }) => state.lastEvent.kind === 'target')
    expect(target?.state.plan?.evidence).toEqual([expect.objectContaining({ kind: 'instanceStopped' })])
    world.cut.clear()
    await expectSteady(world, machine)
  })
})

describe('is it fenced?', () => {
  test('H02 S2 the recorded instance is another one, stopped long ago, and the node answers somebody: void', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power', isolated: 'failover' } })
    const old = new Instance('i-0000000f', '10.0.9.9', null)
    old.state = 'stopped'
    world.instances.add(old)
    const { a, ...others } = world.state.nodes
    if (a)
      world.table.states.set('orders', {
        ...world.state,
        nodes: { a: { ...a, instanceId: old.id }, ...others },
      })
    for (const each of ['y', 'z', 'operator', 'b', 'c']) world.cut.add(`${each}>a`)
    await world.time.run(machine.watch(20))
    await world.time.run(machine.finish(120_000))
    expect(world.state.phase).toBe('fencing')
    expect(promoted(world)).toEqual([])
    expect(world.state.plan?.evidence).toEqual([])
    expect(JSON.stringify(machine.executions.at(-1)?.results.at(-1)?.reasons)).toMatch(/mapping is wrong/)
  })

  test('H02 S1 the instance is started again between evidence and promotion: the evidence is read again', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    let started = false
    world.table.onState = (state) => {
      if (started || state.phase !== 'promoting') return
      started = true
      const instance = world.instances.all.get('i-00000001')
      if (instance) instance.state = 'running'
      world.databases.of('a').start('primary')
    }
    await order(world, machine, { command: 'failover', reason: 'by hand', by: 'anna' }, false)
    await world.time.run(world.time.sleep(30_000))
    expect(started).toBe(true)
    expect(promoted(world)).toEqual([])
    // Its fence is asked for again in a new term, so that the operation comes to an end.
    await world.time.run(machine.minutes(10, () => world.state.primary === 'b'))
    expect(world.state.primary).toBe('b')
    await expectSteady(world, machine)
  })

  test('H02 no instance was recorded: an approval without its fence, bound to node and term', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    const { a, ...others } = world.state.nodes
    if (a)
      world.table.states.set('orders', {
        ...world.state,
        nodes: { a: { ...a, instanceId: null }, ...others },
      })
    await order(world, machine, { command: 'failover', reason: 'by hand', by: 'anna' }, false)
    world.databases.of('a').end('untold')
    await world.time.run(world.time.sleep(30_000))
    expect(promoted(world)).toEqual([])
    const asked = { command: 'approve', acceptLoss: false, reason: 'cable pulled', by: 'anna', minutes: 30 }
    await order(world, machine, { ...asked, term: 2, unfenced: ['b'] })
    await world.time.run(world.time.sleep(30_000))
    expect(promoted(world)).toEqual([])
    await order(world, machine, { ...asked, term: 2, unfenced: ['a'] })
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
    expect(breaches(world)).toEqual([])
  })

  test('S2 H01 evidence of an older term counts for nothing', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.table.onState = (state) => {
      if (state.phase !== 'promoting' || state.plan === null || state.plan.target !== null) return
      const evidence = state.plan.evidence.map((each) => ({ ...each, term: state.term - 1 }))
      world.table.states.set('orders', { ...state, plan: { ...state.plan, evidence } })
    }
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(2))
    await world.time.run(world.time.sleep(5_000))
    expect(world.state.phase).toBe('promoting')
    expect(promoted(world)).toEqual([])
  })

  test('S2 H05 behind a quorum a standby thaws before the promotion: the fact does not hold any more', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.table.onState = (state) => {
      if (state.phase === 'promoting' && state.lastEvent.kind === 'fenced' && state.plan?.target === null)
        world.databases.of('c').conninfo = 'host=10.0.1.11 port=5432 application_name=c'
    }
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(2))
    await world.time.run(world.time.sleep(3_000))
    expect(promoted(world)).toEqual([])
    expect(breaches(world)).toEqual([])
  })
})

describe('is anything lost?', () => {
  test('H03 F55 S8 the standby that acknowledged died with the primary: nobody under never, until approved', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.databases.of('c').stuck = true
    await world.time.run(world.time.sleep(2_000))
    world.databases.of('b').end('untold')
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    await world.time.run(world.time.sleep(120_000))
    expect(world.state).toMatchObject({
      phase: 'promoting',
      plan: { target: null },
      lastEvent: { row: 'R12' },
    })
    expect(promoted(world)).toEqual([])
    const asked = { command: 'approve', term: 2, unfenced: [], reason: 'accepted', by: 'anna', minutes: 30 }
    // Bound to its target (H25): one for another node changes nothing.
    await order(world, machine, { ...asked, target: 'b', acceptLoss: true })
    await world.time.run(world.time.sleep(30_000))
    expect(promoted(world)).toEqual([])
    await order(world, machine, { ...asked, target: 'c', acceptLoss: true })
    await world.time.run(world.time.sleep(60_000))
    expect(promoted(world)).toEqual(['c'])
    expect(lostCommits(world)).not.toEqual([])
  })

  test('H03b S9 a standby beyond the target never acknowledges for it; a fresh copy brings it back', async () => {
    const { world, machine } = await adopted({
      policy: { fence: 'power', loss: { mode: 'availability' } },
      nodes: { c: { promotable: false } },
    })
    world.databases.of('b').stuck = true
    await world.time.run(world.time.sleep(3_000))
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('b')
    expect(world.table.written.some(({ state }) => state.nodes.c?.role === 'diverged')).toBe(true)
    await world.time.run(machine.minutes(15))
    expect(world.state.phase).toBe('steady')
    const kept = new Set(world.databases.of('c').log.map((entry) => entry.id))
    const later = world.databases.acknowledged.filter((each) => each.reign > 1)
    expect(later.filter(({ id }) => !kept.has(id)).length).toBeLessThanOrEqual(1)
    expect(breaches(world)).toEqual([])
  })

  test('H04 S9 the list was emptied by hand: recorded as asynchronous, and not promoted under never', async () => {
    const { world, machine } = await adopted({ policy: { synchronous: 'fixed' } })
    world.databases.of('a').synchronousNames = ''
    await world.time.run(machine.watch(3))
    await world.time.run(machine.finish())
    expect(world.state.synchronous.status).toBe('asynchronous')
    await world.time.run(machine.minutes(2))
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    await world.time.run(world.time.sleep(120_000))
    expect(world.state).toMatchObject({ phase: 'promoting', lastEvent: { row: 'R12' } })
    expect(promoted(world)).toEqual([])
  })

  test('H03 S9 a list that is put back over standbys that lag counts only when they hold what was told before it', async () => {
    const { world, machine } = await adopted({ policy: { loss: { mode: 'never' } } })
    const [a, b, c] = ['a', 'b', 'c'].map((id) => world.databases.of(id)) as [Server, Server, Server]
    const listed = a.synchronousNames
    b.stuck = true
    c.stuck = true
    a.synchronousNames = ''
    await world.time.run(machine.minutes(2, () => world.state.synchronous.status === 'asynchronous'))
    world.databases.commit('a')
    a.synchronousNames = listed
    await world.time.run(machine.minutes(3, () => false))
    expect(world.state.synchronous.status).not.toBe('provable')
    expect(world.state.phase).not.toBe('steady')
    b.stuck = false
    c.stuck = false
    await expectSteady(world, machine)
    expect(world.state.synchronous.status).toBe('provable')
  })

  test('H05 S8 the living primary feeds its standbys until the freeze bites: measured after, nothing lost', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.fault = ({ name }) => {
      if (name.includes(':')) world.databases.commit('a')
      return undefined
    }
    await order(world, machine, { command: 'failover', reason: 'by hand', by: 'anna' })
    world.fault = () => undefined
    expect(world.state.primary).not.toBe('a')
    await expectSteady(world, machine)
  })

  test('H21 S10 bounded: fresh reports bound the age, and it is within the bound', async () => {
    const policy = { fence: 'quorum', synchronous: 'managed', loss: { mode: 'bounded', seconds: 60 } }
    const { world, machine } = await adopted({ policy })
    world.databases.of('a').synchronousNames = ''
    await world.time.run(machine.watch(3))
    await world.time.run(machine.finish())
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(120))
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
    const target = world.table.written.find(({ state }) => state.lastEvent.kind === 'target')
    expect(target?.state.lastEvent.row).toMatch(/^R[78]$/)
  })

  const alone = async (rejoin: 'automatic' | 'never') => {
    const { world, machine } = await adopted({ policy: { fence: 'power', rejoin } })
    world.fault = ({ name }) => {
      if (name === 'follow:c') world.databases.of('c').end('untold')
      return undefined
    }
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    for (let i = 0; i < 120 && world.state.phase !== 'repointing'; i++)
      await world.time.run(world.time.sleep(1_000))
    expect(world.state).toMatchObject({ primary: 'b', phase: 'repointing' })
    expect(world.databases.acknowledged.filter((each) => each.reign > 1)).toEqual([])
    return { world, machine }
  }

  test('H27 S9 nobody is left to acknowledge: commits wait and a person is paged; they return with a standby', async () => {
    const { world, machine } = await alone('never')
    await world.time.run(world.time.sleep(300_000))
    expect(kinds(world)).toContain('paged')
    expect(world.state.phase).toBe('repointing')
    world.fault = () => undefined
    world.databases.of('c').start('standby')
    await world.time.run(machine.finish())
    expect(world.state.phase).toBe('settling')
    expect([...breaches(world), ...lostCommits(world)]).toEqual([])
  })

  test('H27 S9 S11 nobody is left to acknowledge: the old primary is brought back for it', async () => {
    const { world, machine } = await alone('automatic')
    // Its instance needs fifteen seconds to start; nobody waits first for followers that there are not.
    await world.time.run(world.time.sleep(45_000))
    expect(world.state.nodes.a?.role).toBe('standby')
    expect(world.state.phase).toBe('settling')
    world.fault = () => undefined
    world.databases.of('c').start('standby')
    await expectSteady(world, machine)
  })
})

test('F37 S8 a standby that was away when the others were frozen comes back: measured too, nobody is asked', async () => {
  const { world, machine } = await adopted({ policy: { fence: 'power' } })
  world.databases.of('c').end('untold')
  world.databases.of('a').end('untold')
  await world.time.run(machine.watch(4))
  await world.time.run(world.time.sleep(60_000))
  expect(world.state).toMatchObject({ phase: 'promoting', lastEvent: { row: 'R12' } })
  world.databases.of('c').start('standby')
  await world.time.run(machine.finish())
  await expectSteady(world, machine)
})

test('F59 H03b S9 a standby that was away and is beyond the fork is copied anew, never pointed at the primary', async () => {
  const { world, machine } = await adopted({ policy: { fence: 'power', loss: { mode: 'availability' } } })
  world.databases.of('b').stuck = true
  await world.time.run(world.time.sleep(3_000))
  world.databases.of('c').end('untold')
  world.databases.of('b').stuck = false
  world.cut.add('b>a')
  await kill(world, machine, 'a')
  expect(world.state.primary).toBe('b')
  world.cut.clear()
  world.databases.of('c').start('standby')
  await world.time.run(machine.minutes(15))
  expect(world.table.written.some(({ state }) => state.nodes.c?.role === 'diverged')).toBe(true)
  expect(world.state).toMatchObject({ phase: 'steady', nodes: { c: { role: 'standby' } } })
  expect(breaches(world)).toEqual([])
})
