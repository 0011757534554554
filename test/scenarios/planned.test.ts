/** Planned work that must not begin, sites that change their roles, and what can be known before it is needed. */
import { describe, expect, test } from 'vitest'
import { breaches, lostCommits } from '../steps/checker.ts'
import { Databases } from '../steps/model/postgres.ts'
import { adopted, expectSteady, kinds, order } from '../steps/support.ts'
import type { World } from '../steps/world.ts'

const switchover = { command: 'switchover', reason: 'kernel update', by: 'anna' }
const writable = (world: World) =>
  [...world.databases.servers.values()].flatMap((each) => (each.running && !each.inRecovery ? [each.id] : []))

/** Nothing was begun: the primary was not stopped, nobody frozen, and the cluster is as before. */
function expectUntouched(world: World): void {
  expect(world.acts).toEqual([])
  expect(world.state).toMatchObject({ primary: 'a', phase: 'steady', plan: null })
  expect(world.databases.of('a')).toMatchObject({ running: true, inRecovery: false, starts: 1 })
}

describe('F82 planned work without a standby', () => {
  test.each<[string, (world: World) => unknown]>([
    ['both are down', ({ databases }) => ['b', 'c'].map((id) => databases.of(id).end('untold'))],
    ['both hang', ({ databases }) => ['b', 'c'].map((id) => Object.assign(databases.of(id), { hung: true }))],
    [
      'neither streams',
      ({ databases }) =>
        ['b', 'c'].map((id) => Object.assign(databases.of(id), { conninfo: 'host=10.9.9.9 port=5432' })),
    ],
    [
      'neither replays',
      ({ databases }) => ['b', 'c'].map((id) => Object.assign(databases.of(id), { replayPaused: true })),
    ],
  ])('F82 %s: the switchover is refused before any write is stopped', async (_, lose) => {
    const { world, machine } = await adopted()
    lose(world)
    await order(world, machine, switchover)
    expect(machine.executions.at(-1)).toMatchObject({
      status: 'refused',
      results: [{ reasons: [expect.stringMatching(/no promotable standby streams/)] }],
    })
    expectUntouched(world)
  })
})

describe('F88 a name under another token', () => {
  test.each([
    ['of another deployment', 'understudy prod orders 4', /D3/],
    ['of another cluster', 'understudy understudy billing 1', /D3/],
    ['of a term that is to come', 'understudy understudy orders 9', /D4/],
    ['of nobody that we know', 'v=spf1 -all', /D2/],
  ])(
    'F88 H17 a token %s: refused before any write is stopped; with ours nothing is lost',
    async (_, raw, row) => {
      const { world, machine } = await adopted()
      const ours = world.names.token
      world.names.token = { raw, ttlSeconds: 60 }
      await order(world, machine, switchover)
      expect(machine.executions.at(-1)?.status).toBe('refused')
      expect(machine.executions.at(-1)?.results.at(-1)?.reasons.join()).toMatch(row)
      expectUntouched(world)
      world.names.token = ours
      await order(world, machine, switchover)
      expect(world.state.primary).toBe('b')
      expect(lostCommits(world)).toEqual([])
      await expectSteady(world, machine)
    },
  )

  test('F88 a name that can not be read: refused, too', async () => {
    const { world, machine } = await adopted()
    world.fault = ({ name }) => (name === 'readName' ? 'refuse' : undefined)
    await order(world, machine, switchover)
    expect(machine.executions.at(-1)?.results.at(-1)?.reasons.join()).toMatch(/can not be read/)
    expectUntouched(world)
  })

  test('F88 S4 an input that says what only a step may say: refused, nothing is done', async () => {
    const { world, machine } = await adopted()
    const forged = { cluster: 'orders', reason: 'r', by: 'eve', outcome: 'done', next: 'promote' }
    const { term } = world.state
    machine.start('term', { ...forged, kind: 'failover', term, promoted: { node: 'c', timeline: 9 } })
    machine.start('older', { ...forged, kind: 'switchover', term: term - 1 })
    machine.start('resume', {
      ...forged,
      kind: 'resume',
      automatic: { version: 1, beat: 1, row: 'A3', facts: {} },
    })
    await world.time.run(machine.finish())
    expect(machine.executions.slice(-3).map(({ results }) => results.at(-1)?.outcome)).toEqual([
      'refused',
      'refused',
      'refused',
    ])
    expectUntouched(world)
  })
})

describe('F89 a site that is split off', () => {
  /** Standbys restore what the archive has whenever they do not stream: all but the last entries of the primary. */
  class Archived extends Databases {
    behind = 6
    override flow(): void {
      super.flow()
      const [newest] = [...this.servers.values()]
        .filter((each) => !each.inRecovery)
        .toSorted((x, y) => y.timeline - x.timeline || y.log.length - x.log.length)
      if (newest === undefined) return
      const archive = newest.log.slice(0, Math.max(0, newest.log.length - this.behind))
      for (const server of this.servers.values()) {
        const fits =
          server.timeline <= newest.timeline && server.log.at(-1)?.id === archive[server.log.length - 1]?.id
        if (!server.running || !server.inRecovery || server.restoreCommand === '' || server.receiver || !fits)
          continue
        server.log.push(...archive.slice(server.log.length))
      }
    }
  }

  test('F89 S8 fed by an archive, promoted, its old site demoted, and the role given back', async () => {
    const { world, machine } = await adopted({
      policy: { fence: 'power', loss: { mode: 'availability' }, cooldownMs: 0 },
      databases: (...args) => new Archived(...args),
    })
    const archive = world.databases as Archived
    const c = world.databases.of('c')
    c.restoreCommand = 'cp /archive/%f %p'
    for (const from of ['a', 'b']) world.cut.add(`c>${from}`)
    // A cut stream stands for a minute before it is given up.
    await world.time.run(world.time.sleep(70_000))
    world.databases.flow()
    expect([c.receiver, world.databases.of('a').log.length - c.log.length]).toEqual([null, archive.behind])
    // The first site is lost; what it had last reaches the archive when c is frozen already, and must not reach c.
    let frozenAt: number | null = null
    world.table.onState = ({ lastEvent, plan }) => {
      if (frozenAt === null && plan?.frozen.c?.positionBytes) {
        frozenAt = plan.frozen.c.positionBytes
        archive.behind = 0
        world.databases.flow()
      }
      if (lastEvent.kind === 'target') expect(c.positionBytes).toBe(frozenAt)
    }
    for (const id of ['a', 'b']) world.databases.of(id).end('untold')
    await world.time.run(machine.minutes(6, () => world.state.primary === 'c'))
    expect([frozenAt !== null, world.state.primary, writable(world)]).toEqual([true, 'c', ['c']])
    world.table.onState = () => undefined
    world.cut.clear()
    // The first site is back: both its nodes are standbys of c.
    world.databases.of('b').start('standby')
    await world.time.run(machine.minutes(20))
    const roles = () =>
      Object.fromEntries(Object.entries(world.state.nodes).map(([id, { role }]) => [id, role]))
    expect([world.state.phase, roles()]).toEqual(['steady', { a: 'standby', b: 'standby', c: 'primary' }])
    const lost = lostCommits(world).length
    await order(world, machine, { ...switchover, to: 'a' })
    await world.time.run(machine.minutes(15))
    expect([world.state.phase, roles()]).toEqual(['steady', { a: 'primary', b: 'standby', c: 'standby' }])
    expect([writable(world), lostCommits(world).length, breaches(world)]).toEqual([['a'], lost, []])
    expect(world.names.cname?.target).toContain('10-0-1-11')
  })
})

describe('F91 what can be known before it is needed', () => {
  const doctor = async (spoil: (made: Awaited<ReturnType<typeof adopted>>) => unknown, policy = {}) => {
    const made = await adopted({ policy })
    const { world, machine } = made
    await spoil(made)
    const before = [world.state.version, world.acts.length]
    const answer = await order(world, machine, { command: 'doctor' }, false)
    expect([world.state.version, world.acts.length]).toEqual(before)
    return answer.outcome === 'refused' ? answer.reasons : []
  }
  const denied = (world: World, by: readonly string[]) => {
    const probe = world.databases.probe.bind(world.databases)
    world.databases.probe = (from, node, write) =>
      node === 'a' && by.includes(from)
        ? { kind: 'sqlError', sqlState: '28P01', message: 'password authentication failed' }
        : probe(from, node, write)
  }

  test('F91 all is well: done, and nothing was changed', async () => {
    expect(await doctor(() => undefined)).toEqual([])
  })

  test.each<[string, Parameters<typeof doctor>[0], RegExp[]]>([
    [
      'no quorum',
      ({ world }) => ['y', 'z'].map((id) => world.observersDown.add(id)),
      [/^quorum: 1 of 3 observers look \(missing: y, z\): 2 are needed/, /^candidate: /],
    ],
    [
      'a quorum without room for a loss',
      ({ world }) => world.observersDown.add('z'),
      [/^quorum: 2 of 3 .*missing: z.*one more that is lost/],
    ],
    [
      'a canary',
      ({ world }) => world.canaries.set('x', false),
      [/^quorum: .*the canary of x does not answer/],
    ],
    [
      'a refused login, which is not an unreachable node',
      ({ world }) => denied(world, ['x', 'y', 'z']),
      [/^login: a lives, but does not let x, y, z in \(28P01: password authentication failed\)/],
    ],
    ['an unreachable node', ({ world }) => world.cut.add('y>b'), [/^network: b is silent for y/]],
    [
      'a pause',
      ({ world, machine }) =>
        order(world, machine, { command: 'pause', owner: 'anna', reason: 'upgrade', minutes: 9 }),
      [/^permission: an automatic failover would be refused: L3: paused by anna/],
    ],
    [
      'a table that does not answer',
      ({ world }) => {
        world.fault = ({ name }) => (name === 'readState' ? 'refuse' : undefined)
      },
      [/^record: the table does not answer/],
    ],
    [
      'an API of EC2 that does not answer',
      ({ world }) => {
        world.fault = ({ name }) => (name === 'describe' ? 'refuse' : undefined)
      },
      [/^fence: what fences does not answer \(eu-central-1/],
    ],
    [
      'an API that refuses us, which is no outage',
      ({ world }) => {
        const ports = world.ports.bind(world)
        const no = Object.assign(new Error('not authorized'), {
          name: 'UnauthorizedOperation',
          $metadata: { httpStatusCode: 403, attempts: 1 },
        })
        world.ports = (by, endsAtMs) => ({
          ...ports(by, endsAtMs),
          fence: { ...ports(by, endsAtMs).fence, observe: () => Promise.reject(no) },
        })
      },
      [/^fence: what fences refuses us \(eu-central-1: UnauthorizedOperation/],
    ],
    [
      'the name of another deployment',
      ({ world }) =>
        Object.assign(world.names, { token: { raw: 'understudy prod orders 4', ttlSeconds: 60 } }),
      [/^name: orders\.example\.org is not ours to move: D3/],
    ],
  ])('F91 %s is told apart', async (_, spoil, reasons) => {
    const found = await doctor(spoil)
    expect(found).toHaveLength(reasons.length)
    for (const [index, reason] of reasons.entries()) expect(found[index]).toMatch(reason)
  })

  test('F91 F27 nobody could fence the primary: said, and adopt mends it', async () => {
    const { world, machine } = await adopted()
    const { a } = world.state.nodes
    if (a)
      world.table.states.set('orders', {
        ...world.state,
        nodes: { ...world.state.nodes, a: { ...a, instanceId: null } },
      })
    expect(await order(world, machine, { command: 'doctor' }, false)).toMatchObject({
      reasons: [expect.stringMatching(/^fence: no instance of a was recorded/)],
    })
    await order(world, machine, { command: 'adopt', by: 'anna' })
    expect(await order(world, machine, { command: 'doctor' }, false)).toMatchObject({ outcome: 'done' })
    expect(kinds(world)).toContain('adopted')
  })
})
