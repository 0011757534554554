/** One guard each: what a step, a claim or a session refuses, when everything around it would let it pass. */
import { describe, expect, test } from 'vitest'
import { Invocation } from './model/invocation.ts'
import { adopted, expectSteady, kill, order } from './support.ts'
import { cluster, type World } from './world.ts'

const by = { reason: 'test', by: 'anna' }
const stops = (world: World) => world.acts.filter((act) => act.kind === 'power' && act.act === 'stop')

describe('a step', () => {
  test.each(['fencing', 'promoting', 'repointing'] as const)(
    'S4 of an older term is refused, although the cluster is %s',
    async (phase) => {
      const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
      const step = ({ fencing: 'fence', promoting: 'promote', repointing: 'repoint' } as const)[phase]
      let asked: ReturnType<typeof machine.invoke> | undefined
      world.table.onState = (state) => {
        if (state.phase !== phase || asked) return
        asked = machine.invoke({ name: 'old' }, step, { cluster, kind: 'failover', reason: 'old', term: 1 })
      }
      await kill(world, machine, 'a')
      expect(await asked).toMatchObject({
        outcome: 'refused',
        reasons: [expect.stringMatching(/term 1 is over/)],
      })
      expect(world.state.term).toBe(2)
      await expectSteady(world, machine)
    },
  )

  test('F70 S5 that dies after any of its writes is repeated, and goes on in the same term', async () => {
    let writes = 0
    for (let last = 0; last === 0 || last < writes; last++) {
      const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
      writes = 0
      world.fault = ({ name, by: { name: who } }) =>
        name === 'writeState' && who.startsWith('orders-') && ++writes === last + 1 ? 'crashAfter' : undefined
      await kill(world, machine, 'a')
      expect([world.state.term, world.state.primary], `died after write ${last + 1}`).toEqual([2, 'b'])
      world.fault = () => undefined
      await expectSteady(world, machine)
    }
    expect(writes).toBeGreaterThan(8)
  })
})

describe('a claim', () => {
  test('S4 a session reads it after it connected: another id, or an older term, is refused without effect', async () => {
    const { world } = await adopted()
    const ports = world.ports(new Invocation('stranger'))
    const { term } = world.state
    const names = world.databases.of('a').synchronousNames
    for (const asked of [
      { term, claimId: 'stranger' },
      { term: term - 1, claimId: 'stranger' },
    ]) {
      const action = { do: 'list', synchronousStandbyNames: '' } as const
      const result = await world.time.run(ports.functions.operate({ cluster, node: 'a', action, ...asked }))
      expect(result).toMatchObject({ outcome: 'refused', message: expect.stringMatching(/claim is held by/) })
    }
    expect(world.databases.of('a').synchronousNames).toBe(names)
  })

  test('H01 S4 an attempt that stalls between its intent and its act finds that it lost its claim', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    machine.kills = false
    let stalled: Invocation | undefined
    world.fault = (call) => {
      const { claim } = world.state
      if (stalled || call.name !== 'readState' || !claim?.open || !call.by.claims.has(claim.id))
        return undefined
      stalled = call.by
      return 400_000
    }
    await kill(world, machine, 'a')
    await world.time.run(world.time.sleep(400_000))
    expect(stalled).toBeDefined()
    expect(stops(world).filter((act) => act.by === stalled)).toEqual([])
    await expectSteady(world, machine)
  })

  test('S4 L10 who raises the term over an open claim waits the longest time-out out first', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    await kill(world, machine, 'a')
    world.fault = ({ name }) => (name === 'start' ? 20_000 : undefined)
    await world.time.run(world.time.sleep(40_000))
    await world.time.run(machine.tick())
    await world.time.run(world.time.sleep(6_000))
    expect(world.state.claim).toMatchObject({ open: true, step: 'settle' })
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(10_000))
    expect(world.state.term).toBe(2)
    expect(machine.executions.at(-1)?.results[0]?.reasons[0]).toMatch(/^L10/)
    world.fault = () => undefined
    await world.time.run(machine.minutes(12, () => world.state.primary !== 'b'))
    await expectSteady(world, machine)
  })

  test('S4 a pass of settle over an open claim of another one waits, too', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    await kill(world, machine, 'a')
    world.fault = ({ name }) => (name === 'start' ? 20_000 : undefined)
    await world.time.run(world.time.sleep(40_000))
    await world.time.run(machine.tick())
    await world.time.run(world.time.sleep(6_000))
    machine.start('another', { cluster, kind: 'settle', reason: 'test' })
    await world.time.run(world.time.sleep(1_000))
    expect(machine.executions.at(-1)?.results[0]).toMatchObject({ outcome: 'waiting', waitSeconds: 70 })
    world.fault = () => undefined
    await expectSteady(world, machine)
  })

  test('H12 L5 a resume of an operation that went on meanwhile is refused', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.instances.stopMs = 300_000
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(10_000))
    const adopt = await order(world, machine, { command: 'adopt' }, false)
    expect(adopt).toMatchObject({ outcome: 'refused', reasons: [expect.stringMatching(/is fencing/)] })
    const { version, beat } = world.state
    const automatic = { version, beat, row: 'A3', facts: {} }
    const resume = machine.start('resume', { cluster, kind: 'resume', reason: 'test', automatic })
    machine.start('by-hand', { cluster, kind: 'resume', ...by })
    await world.time.run(machine.finish())
    expect(resume?.results[0]?.reasons[0]).toMatch(/^L5/)
    expect(machine.executions.find((each) => each.name === 'by-hand')?.status).toBe('refused')
    expect(world.state).toMatchObject({ term: 2, primary: 'b' })
    await expectSteady(world, machine)
  })
})
