/** The name: compare and swap, drift, a table that is away, and a world newer than our state. */
import { describe, expect, test } from 'vitest'
import { breaches, lostCommits } from './checker.ts'
import { Machine } from './machine.ts'
import { adopted, expectSteady, kill, kinds, order } from './support.ts'
import { cluster, World } from './world.ts'

const powers = (world: World) => world.acts.filter((act) => act.kind === 'power')

describe('repoint', () => {
  test('H16 a TTL edited by hand is no obstacle, and is mended', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    if (world.names.cname) world.names.cname.ttlSeconds = 30
    await kill(world, machine, 'a')
    expect(world.names.cname).toMatchObject({ ttlSeconds: 5 })
    await expectSteady(world, machine)
  })

  test('H16 S5 a time-out after its effect: read again, it is ours', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.fault = ({ name, count }) => (name === 'swap' && count < 4 ? 'lose' : undefined)
    await kill(world, machine, 'a')
    expect(world.names.history.map((each) => each.term)).toEqual([1, 2])
    await expectSteady(world, machine)
  })

  test('H09 H17 section 7: a token above ours supersedes us; nothing is moved back', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.fault = ({ name }) => {
      if (name === 'swap') world.names.token = { raw: 'understudy understudy orders 9', ttlSeconds: 60 }
      return undefined
    }
    await kill(world, machine, 'a')
    expect(world.names.read()).toMatchObject({ token: { term: 9 } })
    expect(
      machine.executions.find((each) => each.results.some(({ step }) => step === 'repoint'))?.results.at(-1),
    ).toMatchObject({ outcome: 'refused', reasons: [expect.stringMatching(/D4/)] })
  })

  test('section 7: an absent token counts only because our state says that we wrote it', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.names.token = null
    world.table.states.set(cluster, { ...world.state, endpointTerm: null })
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    await world.time.run(world.time.sleep(20_000))
    expect(world.state).toMatchObject({ primary: 'b', phase: 'repointing', lastEvent: { kind: 'paged' } })
    expect(world.names.history).toHaveLength(1)
    world.table.states.set(cluster, { ...world.state, endpointTerm: 1 })
    await world.time.run(machine.finish())
    await world.time.run(machine.minutes(10))
    expect(world.names.read()).toMatchObject({ token: { term: 2 } })
  })

  test('H28 S13 the table is lost between promote and repoint: the name moves, and all is recorded later', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    let away = false
    world.table.onState = (state) => {
      away ||= state.phase === 'repointing'
    }
    const table = ['readState', 'writeState', 'readFleet', 'readReports', 'readApproval']
    world.fault = ({ name }) => (away && table.includes(name) ? 'refuse' : undefined)
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    await world.time.run(world.time.sleep(10_800_000))
    expect(world.state.phase).toBe('repointing')
    expect(world.names.history.at(-1)).toMatchObject({
      term: 2,
      target: expect.stringContaining('10-0-2-11'),
    })
    world.fault = () => undefined
    await world.time.run(machine.finish())
    expect(kinds(world)).toContain('repointed')
    await expectSteady(world, machine)
  })
})

describe('the world is newer', () => {
  test('H09 S11 a state older than the name fences nobody', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.instances.stopMs = 900_000
    await kill(world, machine, 'a')
    const asked = powers(world).length
    world.databases.of('a').start('primary')
    const a = world.instances.all.get('i-00000001')
    if (a) a.state = 'running'
    world.names.token = { raw: 'understudy understudy orders 7', ttlSeconds: 60 }
    await world.time.run(machine.watch(2))
    await world.time.run(machine.tick())
    await world.time.run(machine.finish())
    expect(powers(world)).toHaveLength(asked)
    expect(world.state.phase).toBe('halted')
  })

  test('H09 S11 a person promoted B by hand while paused: neither is fenced, a person decides and adopts', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    await order(world, machine, { command: 'pause', owner: 'anna', reason: 'by hand', minutes: 60 })
    world.databases.promote(world.databases.of('b'))
    await order(world, machine, { command: 'resume', by: 'anna' })
    await world.time.run(machine.minutes(4, () => false))
    expect(powers(world)).toEqual([])
    expect([...world.table.issues.values()].some((each) => each.severity === 'critical')).toBe(true)
    expect(world.state.primary).toBe('a')
  })

  test('H09 a restored table: its term and primary are yesterday, and nobody is touched', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    const yesterday = world.state
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(12))
    const before = world.acts.length
    world.table.states.set(cluster, yesterday)
    await world.time.run(machine.minutes(4, () => false))
    expect(world.acts.slice(before).filter((act) => act.kind !== 'sql')).toEqual([])
    expect(world.databases.of('b').inRecovery).toBe(false)
    expect(world.names.history.at(-1)?.term).toBe(2)
  })

  test('H17 two deployments on the same servers: at most one of them promotes', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    const other = new World({ policy: { fence: 'quorum' }, deployment: 'staging' }, world)
    const staging = new Machine(other)
    await world.time.run(staging.observe())
    await world.time.run(staging.tick())
    expect(await order(other, staging, { command: 'adopt' })).toMatchObject({ outcome: 'refused' })
    expect(await order(other, staging, { command: 'adopt', takeOver: true })).toMatchObject({
      outcome: 'done',
    })
    await world.time.run(staging.finish())
    world.databases.of('a').end('untold')
    const both = (one: Machine) => one.watch(4)
    await world.time.run(Promise.all([both(machine), both(staging)]))
    await world.time.run(world.time.sleep(120_000))
    const out = [...world.databases.servers.values()].filter((each) => each.running && !each.inRecovery)
    expect(out.length).toBeLessThanOrEqual(1)
    expect(breaches(world)).toEqual([])
    expect(breaches(other)).toEqual([])
    expect(new Set(world.names.history.map((each) => each.deployment))).toEqual(
      new Set(['understudy', 'staging']),
    )
  })
})

describe('executions', () => {
  test('H13 the same look gives the same name; one that died before its claim blocks nothing', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.fault = ({ name, by }) =>
      by.name.startsWith('orders-') && name === 'readState' ? 'crash' : undefined
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(2))
    const hint = { kind: 'hint', woken: [], reported: [cluster] } as const
    await world.time.run(machine.assess(hint))
    const before = machine.executions.length
    await world.time.run(machine.assess(hint))
    expect(machine.executions).toHaveLength(before)
    for (const execution of machine.executions) execution.stop()
    expect(world.state.term).toBe(1)
    world.fault = () => undefined
    await world.time.run(machine.observe())
    await world.time.run(machine.tick())
    await world.time.run(machine.finish())
    expect(world.state).toMatchObject({ term: 2, primary: 'b' })
    expect(new Set(machine.executions.map((each) => each.name)).size).toBe(machine.executions.length)
    await expectSteady(world, machine)
  })

  test('H12 F41 two executions of the same look: one claims, the other ends without an act', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(2))
    const first = machine.executions.at(-1)
    machine.start('a-second-one', first?.input)
    await world.time.run(machine.finish())
    expect(machine.executions.find((each) => each.name === 'a-second-one')?.results.at(-1)?.reasons).toEqual([
      expect.stringMatching(/L6|L7|superseded/),
    ])
    expect(world.acts.filter((act) => act.kind === 'sql' && act.action.do === 'promote')).toHaveLength(1)
    expect(lostCommits(world)).toEqual([])
    await expectSteady(world, machine)
  })
})
