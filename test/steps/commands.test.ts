/** What operators ask for, before, beside and after an operation; and what is left when the workflow itself fails. */
import { describe, expect, test } from 'vitest'
import { breaches } from './checker.ts'
import { Machine } from './machine.ts'
import { adopted, expectSteady, kill, kinds, order } from './support.ts'
import { cluster, World } from './world.ts'

const by = { reason: 'test', by: 'anna' }
const acts = (world: World) => world.acts.length

describe('adopt', () => {
  const fresh = () => {
    const world = new World()
    return { world, machine: new Machine(world) }
  }

  test('S10 section 7: the first start makes the token and points the name; again it begins one term above', async () => {
    const { world, machine } = fresh()
    expect(await order(world, machine, { command: 'adopt' })).toMatchObject({ outcome: 'done', term: 1 })
    expect(world.names.read()).toMatchObject({ token: { term: 1 }, cname: { target: expect.any(String) } })
    expect(await order(world, machine, { command: 'adopt' })).toMatchObject({ outcome: 'done', term: 2 })
    await expectSteady(world, machine)
  })

  test.each<[string, (world: World) => unknown, RegExp]>([
    ['no writer', (world) => world.databases.of('a').end('told'), /0 nodes are writable/],
    ['H09 two writers', (world) => world.databases.promote(world.databases.of('b')), /2 nodes are writable/],
    ['H24 no quorum', (world) => ['x', 'y'].map((each) => world.observersDown.add(each)), /1 of 3 observers/],
    [
      'a token of somebody else',
      (world) => Object.assign(world.names, { token: { raw: 'spf1', ttlSeconds: 60 } }),
      /D2/,
    ],
    [
      'H17 another deployment',
      (world) => Object.assign(world.names, { token: { raw: 'understudy prod orders 4', ttlSeconds: 60 } }),
      /D3/,
    ],
    [
      'a foreign target',
      (world) => Object.assign(world.names, { cname: { target: 'db.elsewhere.org', ttlSeconds: 5 } }),
      /D6/,
    ],
    ['a weighted record', (world) => Object.assign(world.names, { foreignRecord: 'weighted' }), /D1/],
  ])('%s: refused, and nothing changed', async (_, spoil, reason) => {
    const { world, machine } = fresh()
    spoil(world)
    const answer = await order(world, machine, { command: 'adopt' })
    expect(answer).toMatchObject({ outcome: 'refused', reasons: [expect.stringMatching(reason)] })
    expect([world.table.states.size, world.names.history, acts(world)]).toEqual([0, [], 0])
  })

  test('H17 section 7: an explicit take-over, above the foreign term', async () => {
    const { world, machine } = fresh()
    world.names.token = { raw: 'understudy prod orders 4', ttlSeconds: 60 }
    world.names.cname = { target: 'db.elsewhere.org', ttlSeconds: 5 }
    expect(await order(world, machine, { command: 'adopt', takeOver: true })).toMatchObject({ term: 5 })
    expect(world.names.read()).toMatchObject({ token: { deployment: 'understudy', term: 5 } })
  })

  test('F90 bad input gets everything that is wrong, and changes nothing', async () => {
    const { world, machine } = fresh()
    const answer = await order(world, machine, { command: 'pause', cluster: 'orders', minutes: 0 })
    expect(answer).toMatchObject({ outcome: 'refused' })
    expect(JSON.stringify(answer)).toMatch(/owner.*reason.*minutes/)
    expect(await order(world, machine, { command: 'adopt', cluster: 'nobody' })).toMatchObject({
      outcome: 'refused',
    })
    machine.start('bad', { cluster, kind: 'failover', typo: 1 })
    machine.start('unknown', { cluster: 'nobody', kind: 'failover', ...by })
    machine.start('never-adopted', { cluster, kind: 'failover', ...by })
    await world.time.run(machine.finish())
    expect(machine.executions.map((each) => each.status)).toEqual(['refused', 'refused', 'refused'])
    expect(world.table.states.size).toBe(0)
  })
})

describe('pause', () => {
  test.each(['confirming', 'fencing', 'promoting', 'repointing', 'settling'])(
    'H25 S14 a pause, and its end, written beside a running operation in %s break nothing',
    async (phase) => {
      const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
      // Room between two writes of the operation: without it the command is refused, and asked again.
      world.fault = ({ name, by }) =>
        by.name.startsWith('orders-') && ['look', 'operate', 'swap'].includes(name) ? 30 : undefined
      let reached = false
      let asked = false
      const answers: string[] = []
      world.table.onState = (state) => {
        reached ||= state.phase === phase
        if (!reached || asked || answers.includes('done')) return
        asked = true
        const pause = { command: 'pause', owner: 'anna', reason: 'r', minutes: 5, cluster }
        void machine.command(pause).then(({ outcome }) => {
          asked = false
          answers.push(outcome)
        })
      }
      await kill(world, machine, 'a')
      expect(answers).toContain('done')
      expect(world.state.primary).toBe('b')
      await order(world, machine, { command: 'resume', by: 'anna' })
      await expectSteady(world, machine)
      expect(kinds(world)).toEqual(expect.arrayContaining(['paused']))
    },
  )

  test('F80 F79 S12 killed while paused: nothing; the resume looks afresh, and a restart meanwhile is no death', async () => {
    const { world, machine } = await adopted()
    await order(world, machine, { command: 'pause', owner: 'anna', reason: 'upgrade', minutes: 60 })
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(3, () => false))
    expect(acts(world)).toBe(0)
    world.databases.of('a').start('primary')
    await order(world, machine, { command: 'resume', by: 'anna' })
    await expectSteady(world, machine)
    expect([acts(world), world.state.primary]).toEqual([0, 'a'])
  })

  test('H20 S3 one tick of a wrong clock ends no pause; two that agree do', async () => {
    const { world, machine } = await adopted()
    await order(world, machine, { command: 'pause', owner: 'anna', reason: 'upgrade', minutes: 60 })
    machine.tickMs += 2 * 3_600_000
    await world.time.run(machine.tick())
    await kill(world, machine, 'a')
    expect(acts(world)).toBe(0)
    await world.time.run(machine.tick())
    await world.time.run(machine.tick())
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
  })
})

describe('by hand', () => {
  test('H25 a manual failover takes over a confirming one; a second one is refused with the name of the first', async () => {
    const { world, machine } = await adopted({ policy: { restartGraceMs: 600_000 } })
    world.databases.of('a').end('told')
    await world.time.run(machine.watch(2))
    const { version, beat } = world.state
    machine.start('waits', {
      ...{ cluster, kind: 'failover', reason: 'test' },
      automatic: { version, beat, row: 'A34', facts: {} },
    })
    await world.time.run(world.time.sleep(5_000))
    expect(world.state).toMatchObject({ phase: 'confirming', term: 2 })
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(2_000))
    expect(world.state.term).toBe(3)
    const answer = await order(world, machine, { command: 'switchover', ...by }, false)
    expect(JSON.stringify(answer)).toMatch(/L6.*by-hand/)
    await world.time.run(machine.finish())
    expect(machine.executions.find((each) => each.name === 'waits')?.status).toBe('succeeded')
    await expectSteady(world, machine)
  })

  test('F68 H18 S14 a second death inside the cooldown needs an approval; settling does not forbid it', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(12))
    await kill(world, machine, 'b')
    await world.time.run(machine.minutes(2, () => false))
    expect(world.state).toMatchObject({ primary: 'b', term: 2 })
    const approval = { ...by, term: 3, acceptLoss: false, unfenced: [], minutes: 60 }
    await order(world, machine, { command: 'approve', ...approval })
    await world.time.run(machine.minutes(3, () => world.state.primary !== 'b'))
    await expectSteady(world, machine)
    expect(world.state.term).toBe(3)
  })

  test('H18 S1 a failover over settling: the first writer, not fenced yet, is fenced before anything else', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    await kill(world, machine, 'a')
    expect(world.state.phase).toBe('settling')
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(machine.minutes(12, () => world.state.primary === 'c'))
    const target = world.table.written.filter(({ state }) => state.lastEvent.kind === 'target').at(-1)
    expect(target?.state.plan?.evidence.map((each) => each.node)).toEqual(expect.arrayContaining(['a', 'b']))
    await expectSteady(world, machine)
  })

  test('S2 a failover over settling does not cut the power of a former primary that follows already', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.table.onState = ({ phase }) => {
      if (phase === 'settling') for (const each of machine.executions) each.stop()
    }
    await order(world, machine, { command: 'switchover', ...by, to: 'b' })
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: expect.anything() })
    world.table.onState = () => undefined
    await order(world, machine, { command: 'failover', ...by })
    expect(world.state.primary).not.toBe('b')
    const stopped = world.acts.flatMap((act) => (act.kind === 'power' ? [act.instanceId] : []))
    expect(new Set(stopped)).toEqual(new Set(['i-00000002']))
    await expectSteady(world, machine)
  })
})

describe('a refused start', () => {
  const refusals = (world: World) => [...world.table.events.values()].filter(({ kind }) => kind === 'refused')

  test('H22 by hand leaves why in the history, beside the version that it saw, and explain says it', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.instances.stopMs = 300_000
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(5_000))
    expect(world.state.phase).toBe('fencing')
    // From the console, twice in the same moment; and by the CLI, which is told at once.
    for (const name of ['console-1', 'console-2'])
      machine.start(name, { cluster, kind: 'switchover', reason: 'kernel', by: 'ben' })
    await world.time.run(world.time.sleep(500))
    expect(machine.executions.slice(-2).map(({ status }) => status)).toEqual(['refused', 'refused'])
    expect(await order(world, machine, { command: 'failover', ...by }, false)).toMatchObject({
      reasons: [expect.stringMatching(/^L6/)],
    })
    expect(refusals(world)).toMatchObject([
      { row: 'L6', by: 'ben', facts: { execution: 'console-1' } },
      { row: 'L6', by: 'ben', facts: { execution: 'console-2' } },
      { row: 'L6', by: 'anna', message: expect.stringMatching(/^failover \(test\) was refused: .*fencing/) },
    ])
    const explained = await order(world, machine, { command: 'explain', limit: 50 }, false)
    const events = (explained as unknown as { events: { kind: string; version: number; term: number }[] })
      .events
    expect(events.filter(({ kind }) => kind === 'refused')).toHaveLength(3)
    const { version } = world.state.lastEvent
    expect(events.filter((each) => each.version === version && each.kind !== 'refused')).toHaveLength(1)
    const places = events.map(({ term, version: v }) => term * 1e6 + v)
    expect(places).toEqual(places.toSorted((a, b) => b - a))
  })

  test('H22 F79 of the newest version, too: explain shows both, the refusal after it', async () => {
    const { world, machine } = await adopted()
    await order(world, machine, { command: 'pause', owner: 'anna', reason: 'backup', minutes: 30 })
    expect(world.state.lastEvent.version).toBe(world.state.version)
    await order(world, machine, { command: 'switchover', ...by }, false)
    const explained = await order(world, machine, { command: 'explain', limit: 2 }, false)
    expect(explained).toMatchObject({ events: [{ kind: 'refused', row: 'L4' }, { kind: 'paused' }] })
  })

  test('what assess starts is left out, and a refusal stands although it can not be recorded', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.instances.stopMs = 300_000
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(5_000))
    const { version, beat } = world.state
    const automatic = { version, beat, row: 'A33', facts: {} }
    machine.start('automatic', { cluster, kind: 'failover', reason: 'test', automatic })
    await world.time.run(world.time.sleep(500))
    expect(machine.executions.at(-1)).toMatchObject({
      status: 'succeeded',
      results: [{ outcome: 'refused' }],
    })
    const as = world.table.as.bind(world.table)
    world.table.as = (name) => ({ ...as(name), appendEvent: () => Promise.reject(new Error('no answer')) })
    machine.start('by-hand', { cluster, kind: 'failover', ...by })
    await world.time.run(world.time.sleep(500))
    expect(machine.executions.at(-1)).toMatchObject({
      status: 'refused',
      results: [{ reasons: [expect.stringMatching(/^L6/)] }],
    })
    expect(refusals(world)).toEqual([])
  })
})

test('status says which approval is needed, which is in force, and the clock by which they end', async () => {
  type Shown = { clockMs: number; approval: Record<string, unknown>; decision: { row: string } }
  const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
  const shown = async () =>
    ((await order(world, machine, { command: 'status' }, false)) as unknown as { clusters: Shown[] })
      .clusters[0]
  expect(await shown()).toMatchObject({
    clockMs: machine.tickMs,
    approval: { term: 2, needed: null, given: null },
  })
  await kill(world, machine, 'a')
  await world.time.run(machine.minutes(12))
  await kill(world, machine, 'b')
  expect(await shown()).toMatchObject({
    decision: { row: 'A27' },
    approval: { term: 3, needed: 'a failover inside the cooldown', inForce: false },
  })
  const approval = { ...by, term: 3, acceptLoss: false, unfenced: [], minutes: 60 }
  await order(world, machine, { command: 'approve', ...approval })
  expect(await shown()).toMatchObject({
    decision: { row: 'A33' },
    approval: { term: 3, needed: null, inForce: true, given: { by: 'anna' } },
  })
})

describe('halted', () => {
  test('H12 a step that goes on failing halts; acknowledge looks afresh; a late execution halts nobody', async () => {
    const { world, machine } = await adopted()
    const look = world.ports.bind(world)
    world.ports = (invocation, endsAtMs) => ({
      ...look(invocation, endsAtMs),
      functions: {
        ...look(invocation, endsAtMs).functions,
        look: () => Promise.reject(new TypeError('a bug')),
      },
    })
    await order(world, machine, { command: 'failover', ...by })
    expect(world.state).toMatchObject({ phase: 'halted', claim: null, halted: { step: 'confirm' } })
    world.ports = look
    expect(await order(world, machine, { command: 'failover', ...by })).toMatchObject({
      reasons: [expect.stringContaining('L1')],
    })
    world.databases.of('a').hung = true
    expect(await order(world, machine, { command: 'acknowledge', ...by })).toMatchObject({
      outcome: 'refused',
    })
    world.databases.of('a').hung = false
    expect(await order(world, machine, { command: 'acknowledge', ...by })).toMatchObject({ outcome: 'done' })
    await expectSteady(world, machine)
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(2_000))
    await order(world, machine, { command: 'halt', execution: 'another', error: 'late' }, false)
    expect(world.state.phase).not.toBe('halted')
    await world.time.run(machine.finish())
    await expectSteady(world, machine)
  })

  test('H23 an item that can not be read stops that cluster, opens an issue, and nothing else happens', async () => {
    const { world, machine } = await adopted()
    world.table.unreadable = cluster
    const { version } = world.state
    await kill(world, machine, 'a')
    await world.time.run(machine.tick())
    machine.start('by-hand', { cluster, kind: 'failover', ...by })
    await world.time.run(machine.finish())
    expect(machine.executions.at(-1)?.status).toBe('refused')
    expect([...world.table.issues.keys()].length).toBeGreaterThan(0)
    expect([world.state.version, acts(world)]).toEqual([version, 0])
    world.table.unreadable = null
    await world.time.run(machine.tick())
    await world.time.run(machine.finish())
    await expectSteady(world, machine)
    expect(breaches(world)).toEqual([])
  })
})
