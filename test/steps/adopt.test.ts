/** adopt over a history: what was recorded of a node stands until the node is seen to stream from the primary. */
import { describe, expect, test } from 'vitest'
import { lostCommits } from './checker.ts'
import { Instance } from './model/aws.ts'
import { adopted, expectSteady, kill, order } from './support.ts'
import type { World } from './world.ts'

const adopt = { command: 'adopt', by: 'anna' }
const stops = (world: World) =>
  world.acts.flatMap((act) => (act.kind === 'power' && act.act === 'stop' ? [act.instanceId] : []))

describe('adopt keeps', () => {
  test('H08 S8 S11 a half-copied node: no standby, no candidate, copied to the end by settle', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', cooldownMs: 0 } })
    let cut = false
    world.fault = ({ name }) => {
      if (name !== 'rejoin-copy:a') return undefined
      cut = true
      return 'crash'
    }
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(4, () => cut))
    await world.time.run(machine.finish())
    expect([cut, world.databases.of('a').half]).toEqual([true, true])
    const answer = await order(world, machine, adopt, false)
    expect(answer).toMatchObject({ outcome: 'done', term: 3 })
    expect(JSON.stringify(answer)).toMatch(/a \(rebuilding/)
    expect(world.state.nodes.a).toMatchObject({ role: 'rebuilding', rejoin: 'copying' })
    expect(world.state.nodes.c).toMatchObject({ role: 'standby', possibleWriter: null })
    await world.time.run(machine.finish())
    expect(world.state.nodes.a?.role).toBe('rebuilding')
    world.fault = () => undefined
    await expectSteady(world, machine, 25)
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: null, rejoin: 'none' })
  })

  test('S1 S11 a possible writer that is away: fenced by power, and rejoined', async () => {
    const { world, machine } = await adopted()
    await order(world, machine, { command: 'pause', owner: 'anna', reason: 'by hand', minutes: 600 })
    // The network parts: a goes on alone, and a person promotes b.
    for (const each of ['x', 'y', 'z', 'operator', 'b', 'c']) world.cut.add(`${each}>a`)
    for (const id of ['b', 'c'])
      world.databases.of(id).conninfo = 'host=10.0.2.11 port=5432 application_name=c'
    world.databases.promote(world.databases.of('b'))
    expect(await order(world, machine, adopt, false)).toMatchObject({ outcome: 'done', primary: 'b' })
    expect(world.state.nodes).toMatchObject({
      a: { role: 'quarantined', possibleWriter: { term: 1 }, instanceId: 'i-00000001' },
      c: { role: 'standby', possibleWriter: null },
    })
    await order(world, machine, { command: 'resume', by: 'anna' })
    await world.time.run(machine.minutes(3, () => world.state.nodes.a?.fenced === true))
    expect(stops(world)).toEqual(['i-00000001'])
    world.cut.clear()
    await world.time.run(machine.minutes(15))
    expect(world.state).toMatchObject({ phase: 'steady', nodes: { a: { role: 'standby' } } })
  })

  test('S2 H02 the instance of a fenced writer, recorded while it was healthy; not one that is not its own', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', rejoin: 'never' } })
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(2, () => world.state.nodes.a?.fenced === true))
    expect(world.instances.view('i-00000001').state).toBe('stopped')
    await order(world, machine, adopt)
    expect(world.state.nodes.a).toMatchObject({
      ...{ role: 'quarantined', fenced: true, possibleWriter: { term: 1 }, instanceId: 'i-00000001' },
    })
    const described = world.fault
    world.fault = ({ name }) => (name === 'describe' ? 'refuse' : undefined)
    await order(world, machine, adopt)
    expect(world.state.nodes.a).toMatchObject({ instanceId: 'i-00000001' })
    world.fault = described
    const { nodes } = world.state
    const instance = world.instances.all.get('i-00000001')
    const adoptedWith = async (change: Record<string, unknown>) => {
      world.table.states.set('orders', { ...world.state, nodes })
      Object.assign(instance ?? {}, { address: '10.0.1.11', state: 'stopped', ...change })
      await order(world, machine, adopt)
      return world.state.nodes.a?.instanceId
    }
    expect(await adoptedWith({})).toBe('i-00000001')
    expect(await adoptedWith({ address: '10.0.9.9' })).toBeNull()
    expect(await adoptedWith({ state: 'terminated' })).toBeNull()
    // The node answers although it is stopped: the instance is another one's.
    world.databases.of('a').start('standby')
    world.instances.add(new Instance('i-0000000f', '10.0.1.11', null))
    expect(await adoptedWith({})).toBeNull()
  })

  test('S2 S11 a former primary in recovery that streams from nobody: it may have been anything since', async () => {
    const { world, machine } = await adopted()
    world.table.onState = ({ phase }) => {
      if (phase === 'settling') for (const each of machine.executions) each.stop()
    }
    await order(world, machine, { command: 'switchover', reason: 'kernel update', by: 'anna', to: 'b' })
    world.table.onState = () => undefined
    world.databases.of('a').conninfo = 'host=10.9.9.9 port=5432'
    const answer = await order(world, machine, adopt, false)
    expect(answer).toMatchObject({ outcome: 'done', primary: 'b', kept: ['a (standby, possible writer)'] })
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: { term: 1 } })
    // Seen following in an older term: pointed at the primary, and its power is not cut.
    await expectSteady(world, machine)
    expect([stops(world), world.state.nodes.a?.possibleWriter]).toEqual([[], null])
  })

  test('S9 H03b a diverged node: copied anew, not pointed at the primary', async () => {
    const { world, machine } = await adopted()
    const { c } = world.state.nodes
    if (c)
      world.table.states.set('orders', {
        ...world.state,
        nodes: { ...world.state.nodes, c: { ...c, role: 'diverged' } },
      })
    world.databases.of('c').end('untold')
    await order(world, machine, adopt, false)
    expect(world.state.nodes.c?.role).toBe('diverged')
    await expectSteady(world, machine)
    expect(world.acts).toContainEqual(expect.objectContaining({ kind: 'host', node: 'c', command: 'rejoin' }))
  })
})

test('S2 H09 adopt: who is seen to stream from the primary on its timeline is harmless, whatever was recorded', async () => {
  const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
  await kill(world, machine, 'a')
  await expectSteady(world, machine)
  // A table restored from yesterday: a is its primary, b and c its standbys.
  const yesterday = world.table.written.find(({ state }) => state.phase === 'steady')?.state
  if (yesterday) world.table.states.set('orders', { ...yesterday, version: world.state.version })
  expect(await order(world, machine, adopt)).toMatchObject({ outcome: 'done', term: 3, primary: 'b' })
  expect(world.state.nodes).toMatchObject({
    a: { role: 'standby', possibleWriter: null },
    b: { role: 'primary' },
    c: { role: 'standby', possibleWriter: null },
  })
  await world.time.run(machine.minutes(3))
  expect([world.state.phase, lostCommits(world)]).toEqual(['steady', []])
})
