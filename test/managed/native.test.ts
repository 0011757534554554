/** Aurora elects; its election is followed, or asked for where none comes. */
import { describe, expect, test } from 'vitest'
import { kinds, order, story } from '../steps/support.ts'
import { adopted, asks, expectSteady, kill } from './nativeSupport.ts'

describe('aurora', () => {
  test('S1 S2 the election of Aurora is followed: nothing is asked for, the name moves, the old writer is a reader', async () => {
    const made = await adopted()
    const { world } = made
    await kill(made)
    expect(asks(world)).toEqual([])
    expect(world.state, story(world)).toMatchObject({ primary: 'b', term: 2 })
    expect(world.state.nodes.b?.possibleWriter).not.toBeNull()
    const promoted = world.table.written.find(({ state }) => state.lastEvent.kind === 'promoted')?.state
    expect(promoted?.plan).toMatchObject({
      target: 'b',
      loss: { provable: 'none' },
      evidence: [{ kind: 'elected', node: 'a', term: 2, writer: 'b' }],
    })
    await expectSteady(made)
    expect(world.table.issues).toEqual(new Map())
  })

  test('an election that nobody saw a death of is followed too: E1', async () => {
    const made = await adopted()
    const { world, machine } = made
    world.electionMs = 100
    world.rejoinMs = 100
    world.electInside('c')
    await world.time.run(world.time.sleep(2_000))
    await world.time.run(machine.watch(3))
    await world.time.run(machine.finish())
    expect(world.state.primary, story(world)).toBe('c')
    expect(kinds(world)).toContain('elected')
    expect(JSON.stringify(machine.executions.at(-1)?.input)).toContain('"row":"E1"')
    await expectSteady(made)
    expect(asks(world)).toEqual([])
  })

  test('an election that never comes is asked for once, after its time, with the target recorded before', async () => {
    const made = await adopted({ nodes: { c: { preference: 5 } } })
    const { world } = made
    world.electsAfterMs = null
    const startMs = world.time.nowMs
    await kill(made)
    expect(asks(world)).toEqual([{ do: 'failoverCluster', cluster: 'orders', target: 'orders-c' }])
    expect((world.calls[0]?.atMs ?? 0) - startMs).toBeGreaterThan(30_000)
    expect(world.acts[0]?.stored?.plan).toMatchObject({
      target: 'c',
      facts: { native: { asked: 'unknown' } },
    })
    expect(world.state.primary).toBe('c')
    await expectSteady(made)
  })

  test('H26 an election that hangs is never raced: a person is told', async () => {
    const made = await adopted()
    const { world, machine } = made
    world.electionMs = 3_600_000
    await kill(made)
    await world.time.run(machine.finish())
    expect(asks(world)).toEqual([])
    expect(world.state.lastEvent.message).toMatch(/failing-over/)
    expect(kinds(world)).toContain('paged')
    expect(world.state.primary).toBe('a')
  })

  test('a writer that comes back in place is left alone', async () => {
    const made = await adopted()
    const { world, machine } = made
    world.electsAfterMs = null
    world.time.after(12_000, () => world.databases.of('a').start('primary'))
    await kill(made)
    await world.time.run(machine.finish())
    expect(world.state, story(world)).toMatchObject({ primary: 'a', phase: 'steady', plan: null })
    expect(asks(world)).toEqual([])
  })

  test('H02 a writer whose resource is not the recorded one is nobody that we know', async () => {
    const made = await adopted()
    const { world } = made
    const b = world.state.nodes.b
    if (b === undefined) throw new Error('no b')
    world.table.states.set('orders', {
      ...world.state,
      nodes: { ...world.state.nodes, b: { ...b, instanceId: 'db-of-another' } },
    })
    await kill(made)
    expect(world.state.primary).toBe('a')
    expect(world.state.nodes.b?.instanceId).toBe('db-of-another')
  })

  test('S14 inside the cooldown an election is followed, and none is asked for', async () => {
    const made = await adopted()
    const { world, machine } = made
    await kill(made)
    await expectSteady(made)
    await kill(made, 'b', 40)
    expect(world.state, story(world)).toMatchObject({ primary: 'a', term: 3 })
    await expectSteady(made)
    world.electsAfterMs = null
    await kill(made, 'a', 40)
    await world.time.run(machine.minutes(3, () => false))
    expect(asks(world)).toEqual([])
    expect(world.state.primary).toBe('a')
  })

  test('the API of RDS is away: nothing is asked for and nothing is believed until it is back', async () => {
    const made = await adopted()
    const { world, machine } = made
    world.apiDown.add('eu-central-1')
    await kill(made)
    await world.time.run(world.time.sleep(120_000))
    expect(world.state.primary).toBe('a')
    world.apiDown.clear()
    await world.time.run(machine.finish())
    await expectSteady(made)
    expect(world.state.primary).toBe('b')
  })

  test('a failover by hand of a living writer asks at once', async () => {
    const made = await adopted()
    const { world, machine } = made
    await order(world, machine, { command: 'failover', reason: 'by hand', by: 'anna', to: 'c' })
    expect(world.state.primary, story(world)).toBe('c')
    expect(asks(world)).toHaveLength(1)
    await expectSteady(made)
  })

  test.each([{ to: 'c' }, {}])('switchover, %o: FailoverDBCluster with its target', async (to) => {
    const made = await adopted()
    const { world, machine } = made
    await order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna', ...to })
    const target = to.to ?? 'b'
    expect(asks(world)).toEqual([{ do: 'failoverCluster', cluster: 'orders', target: `orders-${target}` }])
    expect(world.state.primary, story(world)).toBe(target)
    expect(world.state.lastFailover).toBeNull()
    await expectSteady(made)
  })

  test('F77 a switchover in doubt is refused, and nothing is asked for', async () => {
    const made = await adopted({ nodes: { b: { promotable: false } } })
    const { world, machine } = made
    world.databases.of('c').end('untold')
    await order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna' })
    expect(machine.executions.at(-1)).toMatchObject({ status: 'refused' })
    expect(world.state, story(world)).toMatchObject({ primary: 'a', phase: 'steady', plan: null })
    expect(asks(world)).toEqual([])
  })

  test('a switchover that AWS certainly refuses ends as it began', async () => {
    const made = await adopted()
    const { world, machine } = made
    world.refuses = () => ({ outcome: 'refused', code: 'AccessDenied', later: false, message: 'no' })
    await order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna' })
    expect(world.state, story(world)).toMatchObject({ primary: 'a', plan: null })
    expect(asks(world)).toHaveLength(1)
    await expectSteady(made)
  })

  test('S1 somebody else than the recorded target is elected: only a new term follows it', async () => {
    const made = await adopted()
    const { world, machine } = made
    world.electsAfterMs = null
    world.refuses = () => {
      world.electInside('c')
      return { outcome: 'requested' }
    }
    await kill(made)
    expect(world.state.plan?.target).toBe('b')
    expect(world.state.primary).toBe('a')
    await world.time.run(machine.minutes(6, () => world.state.primary === 'c'))
    expect(world.state.term, story(world)).toBe(3)
    await expectSteady(made)
    expect(asks(world)).toHaveLength(1)
  })
})
