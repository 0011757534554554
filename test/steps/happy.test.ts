/** The flow from a death, or an order, to a steady cluster, when nothing else goes wrong. */
import { describe, expect, test } from 'vitest'
import { adopted, expectSteady, kill, kinds, order } from './support.ts'

describe('failover', () => {
  test('F02 F09 F83 S1 S8 behind a quorum: writes return before the power fence has evidence, a rejoins', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    await kill(world, machine, 'a')
    expect(world.state).toMatchObject({ primary: 'b', term: 2, timeline: 2, phase: 'settling' })
    expect(world.instances.view('i-00000001').state).toBe('stopping')
    expect(kinds(world)).toEqual(
      expect.arrayContaining(['claimed', 'confirmed', 'fenced', 'target', 'promoted']),
    )
    await expectSteady(world, machine)
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: null, fenced: false })
    expect(world.state.synchronous).toMatchObject({ status: 'provable', k: 1, listed: ['a', 'c'] })
  })

  test('F02 S2 behind power: nobody is promoted before the instance is stopped', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    const promoted = () => world.acts.find((act) => act.kind === 'sql' && act.action.do === 'promote')
    world.databases.of('a').hung = true
    await world.time.run(machine.watch(12))
    expect(promoted()).toBeUndefined()
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
    const evidence = world.table.written.find(({ state }) => state.lastEvent.kind === 'evidence')
    expect(promoted()?.atMs).toBeGreaterThan(evidence?.atMs ?? Number.POSITIVE_INFINITY)
    await expectSteady(world, machine)
  })

  test('S14 a living primary is failed over by hand, behind its power fence', async () => {
    const { world, machine } = await adopted()
    await order(world, machine, { command: 'failover', reason: 'the host is replaced', by: 'anna', to: 'c' })
    expect(world.state).toMatchObject({ primary: 'c', phase: 'settling' })
    await expectSteady(world, machine)
  })

  test('F46 S8 a standby whose receiver stands still is not chosen, whatever its preference', async () => {
    const { world, machine } = await adopted({
      policy: { fence: 'power' },
      nodes: { b: { preference: 9 } },
    })
    world.databases.of('b').stuck = true
    await world.time.run(world.time.sleep(2_000))
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('c')
    world.databases.of('b').stuck = false
    await expectSteady(world, machine)
  })

  test('F52 a node that may never be promoted is not, although it is the furthest', async () => {
    const { world, machine } = await adopted({ nodes: { b: { promotable: false } } })
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('c')
    await expectSteady(world, machine)
  })

  test('F36 a node that the state does not know is never chosen', async () => {
    const { world, machine } = await adopted()
    const { b, ...nodes } = world.state.nodes
    expect(b).toBeDefined()
    world.table.states.set('orders', { ...world.state, nodes })
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('c')
  })

  test('F48 F62 H21 bounded loss that can not be proved waits for an approval, and its approval counts', async () => {
    const policy = { fence: 'power', synchronous: 'none', loss: { mode: 'bounded', seconds: 1 } }
    const { world, machine } = await adopted({ policy })
    // Nobody's reports are newer than the promotion's first read: no age is an upper bound.
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(5))
    await world.time.run(world.time.sleep(120_000))
    expect(world.state).toMatchObject({ phase: 'promoting', plan: { target: null } })
    expect(world.state.lastEvent).toMatchObject({ kind: 'paged', row: 'R11' })
    const asked = { command: 'approve', term: 2, acceptLoss: true, unfenced: [], reason: 'seen', by: 'anna' }
    await order(world, machine, { ...asked, target: 'b', minutes: 30 })
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
  })
})

describe('switchover', () => {
  const asked = { command: 'switchover', reason: 'kernel update', by: 'anna' }

  test.each([{ to: 'c' }, {}])(
    'F87 H07 without loss, %o: the old primary follows, no power fence',
    async (to) => {
      const { world, machine } = await adopted()
      await order(world, machine, { ...asked, ...to })
      expect(world.state.primary).toBe(to.to ?? 'b')
      expect(world.acts.filter((act) => act.kind === 'power')).toEqual([])
      expect(world.state.lastFailover).toBeNull()
      await expectSteady(world, machine)
    },
  )

  test('F77 no, wrong, broken or forbidden target: refused, and nothing changed', async () => {
    const { world, machine } = await adopted({ nodes: { b: { promotable: false } } })
    for (const to of ['a', 'b', 'q'])
      expect(await order(world, machine, { ...asked, to })).toMatchObject({ outcome: 'refused' })
    world.databases.of('c').conninfo = 'host=10.9.9.9 port=5432'
    await order(world, machine, { ...asked, to: 'c' })
    expect(machine.executions.at(-1)?.status).toBe('refused')
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady', plan: null })
    expect(world.acts).toEqual([])
  })

  test('F79 refused while paused', async () => {
    const { world, machine } = await adopted()
    await order(world, machine, { command: 'pause', owner: 'anna', reason: 'backup', minutes: 30 })
    const answer = await order(world, machine, asked)
    expect(answer).toMatchObject({ outcome: 'refused', reasons: [expect.stringContaining('L4')] })
  })

  test('H07 F77 S12 while an earlier writer is not shown harmless: refused before any write is stopped', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.instances.stopMs = 600_000
    await kill(world, machine, 'a')
    await order(world, machine, { ...asked, to: 'c' })
    expect(machine.executions.at(-1)).toMatchObject({ status: 'refused' })
    expect(machine.executions.at(-1)?.results.at(-1)?.reasons[0]).toMatch(/a may still be a writer/)
    expect(world.state).toMatchObject({ primary: 'b', phase: 'settling' })
    expect(world.acts.filter((act) => act.kind === 'host')).toEqual([])
  })
})
