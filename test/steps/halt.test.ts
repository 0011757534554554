/** The way out of an operation that waits and will not end: halted by hand, mended by hand, acknowledged or adopted. */
import { describe, expect, test } from 'vitest'
import { breaches, lostCommits } from './checker.ts'
import { adopted, expectSteady, kill, kinds, order } from './support.ts'
import { cluster, type World } from './world.ts'

const by = { reason: 'it will not end', by: 'anna' }
const halt = { command: 'halt', ...by }

/** What a person does on the machines: the newest writer goes on, every other one is ended, who fell is started. */
function mend(world: World): string {
  for (const instance of world.instances.all.values()) instance.state = 'running'
  const servers = [...world.databases.servers.values()]
  for (const server of servers)
    if (!server.running && !server.half) server.start(server.inRecovery ? 'standby' : 'primary')
  const [writer, ...older] = servers
    .filter((each) => !each.inRecovery)
    .toSorted((x, y) => y.timeline - x.timeline)
  for (const each of older) each.end('untold')
  return writer?.id ?? 'nobody'
}

describe('halt', () => {
  test('F52 S4 S5 R3: only the fenced primary has the data; halted, started by hand, acknowledged', async () => {
    const { world, machine } = await adopted({
      policy: { fence: 'power' },
      nodes: { b: { promotable: false } },
    })
    world.databases.of('c').end('untold')
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(120_000))
    expect(world.state).toMatchObject({ phase: 'promoting', lastEvent: { kind: 'paged', row: 'R3' } })
    const acts = world.acts.length
    const answer = await order(world, machine, halt)
    expect(answer).toMatchObject({ outcome: 'done' })
    expect(JSON.stringify(answer)).toMatch(/promoting.*term 2.*power fence of a.*frozen: b/)
    expect(world.state).toMatchObject({
      phase: 'halted',
      term: 2,
      claim: null,
      halted: { reason: 'anna: it will not end', step: 'promote' },
      lastEvent: { kind: 'halted', by: 'anna', message: expect.stringContaining('it will not end') },
    })
    expect(machine.executions.at(-1)?.status).toBe('refused')
    // Nothing goes on by itself, neither the execution nor the minute tick.
    await world.time.run(machine.minutes(4, () => false))
    expect([world.state.phase, world.acts.length]).toEqual(['halted', acts])
    expect(await order(world, machine, { command: 'failover', ...by })).toMatchObject({
      reasons: [expect.stringContaining('L1')],
    })
    expect(mend(world)).toBe('a')
    expect(await order(world, machine, { command: 'acknowledge', ...by })).toMatchObject({ outcome: 'done' })
    await expectSteady(world, machine)
    expect(world.state).toMatchObject({ primary: 'a', term: 2 })
  })

  test.each(['confirming', 'fencing', 'promoting', 'repointing', 'settling'] as const)(
    'S4 S5 in %s: the running step does nothing more, and a person brings it to an end',
    async (phase) => {
      const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
      world.fault = ({ name, by: { name: who } }) =>
        who.startsWith('orders-') && ['look', 'operate', 'swap'].includes(name) ? 30 : undefined
      let asked: ReturnType<typeof machine.command> | undefined
      world.table.onState = (state) => {
        if (state.phase === phase) asked ??= machine.command({ ...halt, cluster })
      }
      await order(world, machine, { command: 'failover', ...by })
      expect(await asked).toMatchObject({ outcome: 'done' })
      world.table.onState = () => undefined
      world.fault = () => undefined
      expect(world.state).toMatchObject({ phase: 'halted', term: 2 })
      const { atMs } = world.table.written.find(({ state }) => state.phase === 'halted') ?? { atMs: 0 }
      // What was on its way may still arrive; nothing is begun.
      expect(world.acts.filter((act) => act.atMs > atMs && !act.mine)).toEqual([])
      const acts = world.acts.length
      await world.time.run(machine.minutes(3, () => false))
      expect([world.state.phase, world.acts.length]).toEqual(['halted', acts])
      const command = mend(world) === world.state.primary ? 'acknowledge' : 'adopt'
      expect(await order(world, machine, { command, ...by, ...forAdopt(command) })).toMatchObject({
        outcome: 'done',
      })
      await expectSteady(world, machine, 25)
    },
  )

  test('S4 L10 over an open claim: it says what may still arrive, and the next operation waits that out', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.fault = ({ name }) => (name === 'stop' ? 30_000 : undefined)
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(5_000))
    const { claim } = world.state
    expect(claim).toMatchObject({ open: true, step: 'fence' })
    const answer = await order(world, machine, halt, false)
    expect(JSON.stringify(answer)).toMatch(/may still be acting in step fence.*70 s/)
    expect(world.state.claim).toMatchObject({ open: true, step: 'fence' })
    expect(world.state.claim?.id).not.toBe(claim?.id)
    expect(await order(world, machine, { command: 'acknowledge', ...by }, false)).toMatchObject({
      outcome: 'done',
    })
    expect(world.state).toMatchObject({ phase: 'settling', claim: { open: true } })
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(5_000))
    expect(machine.executions.at(-1)?.results[0]?.reasons[0]).toMatch(/^L10/)
    world.fault = () => undefined
    await world.time.run(machine.minutes(12, () => world.state.primary !== 'a'))
    await expectSteady(world, machine)
    expect(world.state.term).toBe(3)
  })

  test('S4 adopt raises the term over an open claim: the first pass waits it out, too', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    await kill(world, machine, 'a')
    world.fault = ({ name }) => (name === 'start' ? 20_000 : undefined)
    await world.time.run(world.time.sleep(40_000))
    await world.time.run(machine.tick())
    await world.time.run(world.time.sleep(6_000))
    const { claim } = world.state
    expect(claim).toMatchObject({ open: true, step: 'settle' })
    expect(await order(world, machine, { command: 'adopt' }, false)).toMatchObject({ outcome: 'done' })
    expect(world.state).toMatchObject({ term: 3, claim: { open: true } })
    expect(world.state.claim?.id).not.toBe(claim?.id)
    await world.time.run(world.time.sleep(2_000))
    expect(machine.executions.at(-1)?.results[0]).toMatchObject({ outcome: 'waiting', waitSeconds: 70 })
    world.fault = () => undefined
    await expectSteady(world, machine, 25)
  })

  test('S3 it wins over a step that writes meanwhile, on a fresh read each time', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.instances.stopMs = 300_000
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(5_000))
    let races = 3
    world.fault = ({ name, by: { name: who } }) => {
      if (name === 'writeState' && who.startsWith('command halt') && races-- > 0) overtake(world)
      return undefined
    }
    expect(await order(world, machine, halt)).toMatchObject({ outcome: 'done' })
    expect(world.state.phase).toBe('halted')
  })

  test('nothing under way, or halted already: refused, and nothing is changed', async () => {
    const { world, machine } = await adopted()
    const { version } = world.state
    const steady = await order(world, machine, halt)
    expect(steady).toMatchObject({ outcome: 'refused', reasons: [expect.stringMatching(/is steady.*pause/)] })
    expect(world.state.version).toBe(version)
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(2_000))
    await order(world, machine, halt)
    const again = await order(world, machine, { ...halt, by: 'ben' })
    expect(again).toMatchObject({ outcome: 'refused', reasons: [expect.stringMatching(/halted.*anna/)] })
    // The workflow's own halt, of the execution that lost its claim, changes nothing of it either.
    const execution = machine.executions.at(-1)?.name
    await order(world, machine, { command: 'halt', execution, error: 'late' })
    expect(world.state.halted?.reason).toMatch(/^anna/)
  })

  test('H07 a switchover that is halted leaves its write-stop, and says so', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.fault = ({ name }) => (name === 'measure:a' ? 'refuse' : undefined)
    await order(world, machine, { command: 'switchover', ...by }, false)
    await world.time.run(world.time.sleep(4_000))
    expect(world.state).toMatchObject({ phase: 'fencing', plan: { writeStop: { node: 'a' } } })
    const answer = await order(world, machine, halt)
    expect(JSON.stringify(answer)).toMatch(/a was stopped for a switchover/)
    world.fault = () => undefined
    const server = world.databases.of('a')
    server.end('told')
    Object.assign(server, { conninfo: '', stopped: null })
    server.start('primary')
    expect(await order(world, machine, { command: 'acknowledge', ...by })).toMatchObject({ outcome: 'done' })
    expect(world.state.plan?.writeStop ?? null).toBeNull()
    await expectSteady(world, machine)
    expect(kinds(world)).toContain('acknowledged')
    expect([...breaches(world), ...lostCommits(world)]).toEqual([])
  })
})

describe('pause', () => {
  test('H25 S14 that loses a race is tried once more on a fresh read, and no more than that', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.instances.stopMs = 300_000
    await order(world, machine, { command: 'failover', ...by }, false)
    await world.time.run(world.time.sleep(5_000))
    let races = 1
    world.fault = ({ name, by: { name: who } }) => {
      if (name === 'writeState' && /^command (pause|resume)/.test(who) && races-- > 0) overtake(world)
      return undefined
    }
    const pause = { command: 'pause', owner: 'anna', reason: 'r', minutes: 5 }
    expect(await order(world, machine, pause, false)).toMatchObject({ outcome: 'done' })
    expect(world.state.pause).toMatchObject({ owner: 'anna' })
    races = 1
    expect(await order(world, machine, { command: 'resume', by: 'anna' }, false)).toMatchObject({
      outcome: 'done',
    })
    races = 2
    expect(await order(world, machine, pause, false)).toMatchObject({
      outcome: 'refused',
      reasons: [expect.stringContaining('look again')],
    })
    expect(world.state.pause).toBeNull()
  })
})

/** A step writes between a command's read and its write. */
function overtake(world: World): void {
  const { state } = world
  const claim = state.claim && { ...state.claim, id: `${state.claim.id}'` }
  world.table.states.set(cluster, { ...state, version: state.version + 1, beat: state.beat + 1, claim })
}

/** adopt asks for no reason. */
const forAdopt = (command: string) => (command === 'adopt' ? { reason: undefined } : {})
