/** Aurora Global: who may lose what, whom Aurora could not block, and where the endpoint leads. */
import { describe, expect, test } from 'vitest'
import { kinds, order, story } from '../steps/support.ts'
import { adopted, asks, expectSteady, kill, type Made } from './nativeSupport.ts'
import type { NativeOptions } from './nativeWorld.ts'

const options = (policy: Record<string, unknown>, managed: Record<string, unknown> = {}): NativeOptions => ({
  kind: 'aurora-global',
  policy,
  managed,
})
const never = options({ loss: { mode: 'never' } })
const available = options({ loss: { mode: 'availability' } })
const bounded = options({ loss: { mode: 'bounded', seconds: 10 } })
const toB = {
  do: 'failoverGlobal',
  global: 'orders-global',
  targetArn: 'arn:aws:rds:eu-north-1:123456789012:cluster:orders-b',
}

const approve = ({ world, machine }: Made, change: Record<string, unknown> = {}) =>
  order(world, machine, {
    command: 'approve',
    term: world.state.term,
    ...{ target: 'b', acceptLoss: true, unfenced: [], reason: 'seen', by: 'anna', minutes: 30 },
    ...change,
  })

describe('planned', () => {
  test.each([{ to: 'c' }, {}])('switchover, %o: SwitchoverGlobalCluster, without loss', async (to) => {
    const made = await adopted(never)
    const { world, machine } = made
    await order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna', ...to })
    const target = to.to ?? 'b'
    expect(world.calls).toMatchObject([
      { region: 'eu-central-1', act: { do: 'switchoverGlobal', targetArn: world.arn(target) } },
    ])
    expect(world.state.primary, story(world)).toBe(target)
    await expectSteady(made)
    expect([...world.table.issues.keys()]).not.toContain('orders old-writer-may-accept-writes')
  })

  test('a target that is not synchronised is nobody to switch to', async () => {
    const made = await adopted(never)
    const { world, machine } = made
    world.unsynchronised.add('c')
    await order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna', to: 'c' })
    expect(machine.executions.at(-1)?.status).toBe('refused')
    expect(asks(world)).toEqual([])
  })
})

describe('unplanned: loss', () => {
  test('S10 never: nothing is asked for until a person accepts it for this term and target', async () => {
    const made = await adopted(never)
    const { world, machine } = made
    await kill(made)
    await world.time.run(world.time.sleep(120_000))
    expect(asks(world)).toEqual([])
    expect(world.state).toMatchObject({ phase: 'promoting', plan: { target: null } })
    expect(world.state.lastEvent).toMatchObject({ row: 'G36', facts: { candidate: 'b' } })
    expect([...world.table.events.values()].filter(({ kind }) => kind === 'paged')).toHaveLength(1)
    await approve(made, { target: 'c' })
    await world.time.run(world.time.sleep(60_000))
    expect(asks(world)).toEqual([])
    await approve(made, { acceptLoss: false })
    await world.time.run(world.time.sleep(60_000))
    expect(asks(world)).toEqual([])
    await approve(made)
    await world.time.run(machine.finish())
    expect(asks(world)).toEqual([toB])
    expect(world.calls[0]?.region).toBe('eu-north-1')
    await expectSteady(made, 15, true)
    expect(world.state.primary).toBe('b')
  })

  test('S1 availability: the target is recorded before the call, the election is its evidence', async () => {
    const made = await adopted(available)
    const { world } = made
    await kill(made)
    expect(asks(world)).toEqual([toB])
    expect(world.acts[0]?.stored?.plan).toMatchObject({ target: 'b', loss: { provable: 'unknown' } })
    const promoted = world.table.written.find(({ state }) => state.lastEvent.kind === 'promoted')?.state
    expect(promoted?.plan?.evidence).toEqual([{ kind: 'elected', node: 'a', term: 2, writer: 'b' }])
    expect(promoted?.nodes.a).toMatchObject({ role: 'quarantined', fenced: true })
    await expectSteady(made, 15, true)
  })

  test.each([
    ['fresh enough', { lagMs: 800, ageMs: 5_000 }, true],
    ['too old', { lagMs: 800, ageMs: 9_500 }, false],
    ['too far behind', { lagMs: 11_000, ageMs: 0 }, false],
    ['missing', null, false],
  ] as const)('S10 bounded, the sample is %s', async (_, sample, allowed) => {
    const made = await adopted(bounded)
    const { world } = made
    world.lags.b = sample
    await kill(made)
    expect(asks(world), story(world)).toEqual(allowed ? [toB] : [])
    if (!allowed) {
      expect(world.state.lastEvent).toMatchObject({ row: 'G36' })
      return
    }
    expect(world.table.written.at(-1)?.state.plan?.loss ?? { boundMs: 5_800 }).toMatchObject({
      boundMs: 5_800,
    })
    await expectSteady(made, 15, true)
  })

  test('of two that may be asked for, the one that loses less', async () => {
    const made = await adopted(bounded)
    const { world } = made
    world.lags.b = { lagMs: 5_000, ageMs: 1_000 }
    world.lags.c = { lagMs: 100, ageMs: 1_000 }
    await kill(made)
    expect(world.state.primary, story(world)).toBe('c')
  })

  test('AWS makes nobody the writer of another Region by itself: its own time inside the Region comes first', async () => {
    const made = await adopted(available)
    const { world } = made
    const startMs = world.time.nowMs
    world.time.after(20_000, () => world.databases.of('a').start('primary'))
    await kill(made)
    expect(asks(world)).toEqual([])
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady' })
    expect(world.time.nowMs - startMs).toBeLessThan(60_000)
  })

  test('S6 isolated: no failover with data loss while some reach it, unless its missing fence is approved', async () => {
    const made = await adopted(options({ loss: { mode: 'availability' }, isolated: 'failover' }))
    const { world, machine } = made
    for (const from of ['x', 'y']) world.cut.add(`${from}>a`)
    await world.time.run(machine.watch(20))
    await world.time.run(machine.finish())
    expect(asks(world)).toEqual([])
    expect(kinds(world)).toContain('paged')
    expect(world.state.primary).toBe('a')
  })
})

describe('a Region is lost', () => {
  test('any Region that answers describes the global cluster; the fence times out and is said to have', async () => {
    const made = await adopted(available)
    const { world, machine } = made
    world.fenceHolds = false
    world.loseRegion('a')
    await world.time.run(machine.watch(12))
    await world.time.run(machine.finish())
    expect(asks(world)).toEqual([toB])
    expect(world.state, story(world)).toMatchObject({ primary: 'b', phase: 'settling' })
    expect(world.state.nodes.a).toMatchObject({ role: 'quarantined', fenced: false })
    await world.time.run(machine.minutes(2, () => false))
    const open = () => [...world.table.issues.keys()]
    expect(open()).toContain('orders old-writer-may-accept-writes')
    expect(open()).toContain('orders unplanned-failover-snapshot')
    world.regainRegion('a')
    await expectSteady(made, 15, true)
    await world.time.run(machine.tick())
    expect(open()).not.toContain('orders old-writer-may-accept-writes')
  })

  test('S2 no word of the fence is no fence: the old writer may accept writes until it is a secondary again', async () => {
    const made = await adopted(available)
    const { world, machine } = made
    world.rejoinMs = 300_000
    world.rdsFault = ({ name }) => (name === 'events' ? 'error' : undefined)
    await kill(made)
    expect(world.state.nodes.a, story(world)).toMatchObject({ role: 'quarantined', fenced: false })
    await world.time.run(machine.minutes(1, () => false))
    expect([...world.table.issues.keys()]).toContain('orders old-writer-may-accept-writes')
    // It comes late, and is known from then on.
    world.rdsFault = () => undefined
    await world.time.run(machine.minutes(2, () => false))
    await world.time.run(machine.finish())
    expect(world.state.nodes.a).toMatchObject({ role: 'quarantined', fenced: true })
    await expectSteady(made, 15, true)
  })

  test('the Region of the API alone: the primary lives, so nothing is done', async () => {
    const made = await adopted(available)
    const { world, machine } = made
    world.apiDown.add('eu-central-1')
    await world.time.run(machine.watch(20))
    await world.time.run(machine.minutes(2, () => false))
    expect(asks(world)).toEqual([])
    expect(world.state.primary).toBe('a')
  })

  test('two writers, after a fence that did not hold, are the loudest alarm; nothing is moved back', async () => {
    const made = await adopted(available)
    const { world, machine } = made
    world.fenceHolds = false
    world.rejoinMs = 3_600_000
    world.databases.of('a').hung = true
    await world.time.run(machine.watch(12))
    await world.time.run(machine.finish())
    expect(world.state.primary, story(world)).toBe('b')
    world.databases.of('a').hung = false
    await world.time.run(machine.watch(4))
    await world.time.run(machine.tick())
    expect([...world.table.issues.keys()]).toContain('orders two-writers')
    expect(world.state.primary).toBe('b')
  })
})

describe('the global writer endpoint', () => {
  const withEndpoint = options({ loss: { mode: 'availability' } }, { globalEndpoint: true })

  test('no name of ours is moved: it is waited for until Aurora leads it to the new writer', async () => {
    const made = await adopted(withEndpoint)
    const { world } = made
    const before = world.names.history.length
    world.endpointMs = 40_000
    const startMs = world.time.nowMs
    await kill(made)
    expect(before).toBe(0)
    expect(world.names.history).toEqual([])
    const repointed = world.table.written.find(({ state }) => state.lastEvent.kind === 'repointed')
    expect(repointed?.state.lastEvent.message, story(world)).toMatch(/Aurora moved/)
    expect((repointed?.atMs ?? 0) - startMs).toBeGreaterThan(70_000)
    await expectSteady(made, 15, true)
    expect(world.names.history).toHaveLength(before)
  })
})
