/** Bringing a fallen primary back, on hosts that behave badly, and backing out of a switchover. */
import { describe, expect, test } from 'vitest'
import { adopted, expectSteady, kill, order } from './support.ts'
import type { Call, Fault, World } from './world.ts'

/** The host of `a` loses its power and boots again; a careless one starts its server at boot. */
function reboot(world: World): void {
  const server = world.databases.of('a')
  const instance = world.instances.all.get('i-00000001')
  server.end('untold')
  if (instance) instance.state = 'stopped'
  world.instances.start('i-00000001')
}

describe('rejoin', () => {
  test.each(['signal', 'half', 'copy', 'start'])(
    'H08 F83 S11 the host reboots before "%s" of the rejoin: never a primary, and rejoined in the end',
    async (sub) => {
      const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
      let booted = 0
      world.fault = ({ name }) => {
        if (name !== `rejoin-${sub}:a` || booted++ > 0) return undefined
        world.instances.autostart = sub !== 'signal' && sub !== 'half' && sub !== 'copy'
        reboot(world)
        return 'crash'
      }
      await kill(world, machine, 'a')
      await expectSteady(world, machine, 25)
      expect(booted).toBeGreaterThan(0)
      expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: null })
    },
  )

  test('H08 S11 a server that starts at boot behind its lifted fence is fenced again', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.instances.autostart = true
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(6, () => false))
    const stops = world.acts.filter((act) => act.kind === 'power' && act.act === 'stop')
    expect(stops.length).toBeGreaterThan(1)
    world.instances.autostart = false
    await expectSteady(world, machine, 25)
  })

  test('F92 rejoin never: fenced, it stays down, and nothing else happens', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', rejoin: 'never' } })
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(8, () => false))
    expect(world.instances.view('i-00000001').state).toBe('stopped')
    expect(world.state).toMatchObject({ phase: 'settling', primary: 'b', nodes: { a: { fenced: true } } })
  })

  test('S9 a standby that is away is no obstacle, and is pointed at the primary when it is back', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power', loss: { mode: 'availability' } } })
    world.databases.of('c').end('untold')
    await world.time.run(machine.watch(3))
    await world.time.run(machine.finish())
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    await world.time.run(world.time.sleep(90_000))
    world.databases.of('c').start('standby')
    await world.time.run(machine.minutes(15))
    expect(world.state).toMatchObject({ phase: 'steady', nodes: { c: { role: 'standby' } } })
  })
})

describe('after a switchover', () => {
  test.each<[string, (world: World) => void, (world: World) => void]>([
    [
      'hangs',
      (world) => Object.assign(world.databases.of('a'), { hung: true }),
      (world) => Object.assign(world.databases.of('a'), { hung: false }),
    ],
    [
      'is cut off',
      (world) => ['x', 'y', 'z', 'operator'].map((each) => world.cut.add(`${each}>a`)),
      (world) => world.cut.clear(),
    ],
  ])('S2 the old primary, seen following, %s: its power is not cut', async (_, trouble, repair) => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.table.onState = ({ phase }) => {
      if (phase === 'settling') for (const each of machine.executions) each.stop()
    }
    await order(world, machine, { command: 'switchover', reason: 'kernel update', by: 'anna', to: 'b' })
    world.table.onState = () => undefined
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: expect.anything() })
    trouble(world)
    await world.time.run(machine.minutes(4, () => false))
    expect(world.state).toMatchObject({ phase: 'settling', primary: 'b' })
    expect(world.acts.filter((act) => act.kind === 'power')).toEqual([])
    repair(world)
    await expectSteady(world, machine)
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: null })
    expect(world.acts.filter((act) => act.kind === 'power')).toEqual([])
  })

  test('S11 the old primary, seen following, that comes back as a primary: fenced', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.table.onState = ({ phase }) => {
      if (phase === 'settling') for (const each of machine.executions) each.stop()
    }
    await order(world, machine, { command: 'switchover', reason: 'kernel update', by: 'anna', to: 'b' })
    world.table.onState = () => undefined
    world.databases.of('a').end('untold')
    world.databases.of('a').timeline = 1
    world.databases.of('a').start('primary')
    await world.time.run(machine.minutes(3, () => world.acts.some((act) => act.kind === 'power')))
    expect(world.acts.filter((act) => act.kind === 'power')).toMatchObject([{ act: 'stop' }])
    await world.time.run(machine.minutes(15))
    expect(world.state).toMatchObject({ phase: 'steady', primary: 'b' })
  })
})

describe('a switchover backs out', () => {
  const asked = { command: 'switchover', reason: 'kernel update', by: 'anna' }

  const when = (hit: (name: string) => boolean, fault: Fault) => () => (call: Call) =>
    hit(call.name) ? fault : undefined

  test.each<[string, (world: World) => World['fault']]>([
    ['the agent of the primary is silent', when((name) => name === 'host:stopWrites', 'refuse')],
    ['the answer of the stop is lost for ever', when((name) => name === 'host:stopWrites', 'lose')],
    ['the stop dies half-way', when((name) => name.startsWith('stopWrites-freeze'), 'crash')],
    ['the old primary can not be measured', when((name) => name === 'measure:a', 'refuse')],
    [
      'its standbys lose sight of it before the end of its log',
      (world) => (call) => {
        if (call.name !== 'stopWrites-stop:a') return undefined
        for (const id of ['b', 'c']) world.databases.of(id).stuck = true
        world.databases.commit('a')
        return undefined
      },
    ],
  ])('H07 S5 %s: the primary writes again, and nothing is left frozen', async (_, spoil) => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.fault = spoil(world)
    await order(world, machine, asked)
    world.fault = () => undefined
    for (const server of world.databases.servers.values()) server.stuck = false
    await world.time.run(machine.finish())
    expect(world.state).toMatchObject({ primary: 'a', term: 2, plan: null })
    expect(world.state.phase).not.toBe('halted')
    await expectSteady(world, machine)
    expect(world.databases.of('a').stopped).toBeNull()
    expect(
      [...world.databases.servers.values()].some((each) => each.conninfo.includes('understudy-frozen')),
    ).toBe(false)
  })
})
