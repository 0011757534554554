/** Parts of hazards that no other test has: late promotions, leftovers, hand-overs, many clusters at once. */
import '../steps/model/quiet.ts'
import { describe, expect, test } from 'vitest'
import { assess } from '../../functions/assess.ts'
import { type FleetDocument, parseConfig } from '../../functions/config.ts'
import { firstFleet, nextFleet } from '../../functions/core/fleet.ts'
import { loopMs } from '../../functions/core/limits.ts'
import { rank } from '../../functions/core/rank.ts'
import { parseSynchronousNames } from '../../functions/core/synchronous.ts'
import type { ClusterState, NodeStatus, Phase, Report } from '../../functions/core/types.ts'
import { observe } from '../../functions/observe.ts'
import type { Engine, ProbeSession } from '../../functions/ports.ts'
import { example, problemsOf } from '../config-samples.ts'
import { deathReports, healthy, provable, rankInput, report, state } from '../core/build.ts'
import { breaches, lostCommits } from '../steps/checker.ts'
import { Invocation } from '../steps/model/invocation.ts'
import { adopted, expectSteady, kill, kinds } from '../steps/support.ts'
import { World } from '../steps/world.ts'

const promoted = (world: World) =>
  world.acts.flatMap((act) => (act.kind === 'sql' && act.action.do === 'promote' ? [act.node] : []))

test('H01.3 S1 b is told to promote and goes silent: c is promoted behind evidence for both, b comes too late', async () => {
  const { world, machine } = await adopted({ policy: { fence: 'quorum', loss: { mode: 'availability' } } })
  world.promotionMs = 3_600_000
  world.fault = ({ name }) => {
    if (name !== 'promote:b') return undefined
    // It is told, and from then on nobody reaches it.
    world.time.after(1, () => world.cut.add('*>b'))
    return 'lose'
  }
  world.databases.of('a').end('untold')
  await world.time.run(machine.watch(4))
  world.fault = () => undefined
  await world.time.run(
    machine.minutes(30, () => world.state.plan?.target === 'c' || world.state.primary === 'c'),
  )
  world.promotionMs = 5
  await world.time.run(machine.minutes(20, () => world.state.primary === 'c'))
  expect([world.state.primary, [...new Set(promoted(world))]]).toEqual(['c', ['b', 'c']])
  const [first] = world.acts.filter(
    (act) => act.kind === 'sql' && act.action.do === 'promote' && act.node === 'c',
  )
  expect(first?.stored?.plan?.evidence.map((each) => each.node)).toEqual(expect.arrayContaining(['a', 'b']))
  // The old request comes about in the end, if its server still can: nobody may be acknowledged by it.
  world.cut.clear()
  await world.time.run(world.time.sleep(4_000_000))
  await world.time.run(machine.minutes(20))
  expect(breaches(world)).toEqual([])
  expect(world.state).toMatchObject({ primary: 'c', phase: 'steady' })
})

test('H03.2 S8 of FIRST 1 as of ANY 1: any one of the list may have acknowledged, so both must be measured', () => {
  const first = { ...provable, method: 'FIRST' as const, names: 'FIRST 1 (b,c)' }
  const promoting = state({ phase: 'promoting', term: 2, synchronous: first })
  expect(rank(rankInput({ b: 8, c: null }, { state: promoting }))).toMatchObject({ target: null, row: 'R12' })
  expect(rank(rankInput({ b: 8, c: 0 }, { state: promoting }))).toMatchObject({ target: 'b', row: 'R7' })
})

test('H03b.2 S9 a standby beyond the fork that attaches by itself under its listed name is listed by nobody', async () => {
  const { world, machine } = await adopted({
    policy: { fence: 'power', loss: { mode: 'availability' }, rejoin: 'never' },
  })
  // c alone has the last commits and is away when b is promoted; b's name is what c follows.
  world.databases.of('b').stuck = true
  await world.time.run(world.time.sleep(3_000))
  const c = world.databases.of('c')
  c.end('untold')
  await world.time.run(machine.watch(2))
  await kill(world, machine, 'a')
  expect(world.state.primary).toBe('b')
  const listings: string[] = []
  world.table.onState = ({ synchronous, primary }) => {
    if (primary === 'b' && synchronous.listed.includes('c')) listings.push(synchronous.names)
  }
  c.conninfo = 'host=10.0.2.11 port=5432 application_name=c'
  c.start('standby')
  await world.time.run(machine.minutes(6, () => false))
  expect(listings).toEqual([])
  expect(world.databases.of('b').synchronousNames).not.toMatch(/c/)
  expect(world.state.nodes.c?.role).toBe('diverged')
})

describe('H04 S9 a change of the list that dies half-way', () => {
  /** Whatever the record says is provable, no set that can acknowledge by the list in force avoids N-k+1 of it. */
  function uncovered({ state: now, databases }: World): string[] {
    const { status, listed, k, primary } = now.synchronous
    if (status !== 'provable') return []
    const parsed = parseSynchronousNames(databases.of(primary).synchronousNames)
    if (parsed.kind !== 'list') return [`recorded ${now.synchronous.names}, and nobody is waited for`]
    const needed = listed.length - k + 1
    const subsets = Array.from({ length: 2 ** listed.length }, (_, bits) =>
      listed.filter((_id, index) => (bits >> index) & 1),
    )
    return subsets
      .filter((frozen) => frozen.length === needed)
      .filter((frozen) => parsed.names.filter((name) => !frozen.includes(name)).length >= parsed.k)
      .map((frozen) => `with ${frozen} frozen, ${databases.of(primary).synchronousNames} still acknowledges`)
  }

  test.each([
    ['list:b', 'crash'],
    ['list:b', 'crashAfter'],
    ['list:b', 'lose'],
    ['writeState', 'crash'],
    ['writeState', 'crashAfter'],
  ] as const)(
    'H04.2 at each %s (%s) of the passes that complete it: the record covers the list',
    async (call, fault) => {
      for (let last = 1, reached = true; reached && last < 12; last++) {
        const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
        const problems: string[] = []
        let calls = 0
        reached = false
        world.fault = ({ name, by }) => {
          if (world.state.phase === 'settling' || world.state.phase === 'steady')
            problems.push(...uncovered(world))
          const counts = world.state.phase === 'settling' && name === call && !by.name.startsWith('command')
          if (!counts || ++calls !== last) return undefined
          reached = true
          return fault
        }
        await kill(world, machine, 'a')
        await expectSteady(world, machine, 25)
        expect(problems).toEqual([])
        expect(world.state.synchronous).toMatchObject({ status: 'provable', listed: ['a', 'c'] })
      }
    },
  )
})

describe('leftovers of observers that died', () => {
  test('H10 H19 F26 the zone of the primary takes its observer with it, whose last report says alive: failed over', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.observersDown.add('x')
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(8))
    await world.time.run(machine.finish())
    expect(world.table.reports.get('orders')?.get('x')?.nodes.a?.class).toBe('writable')
    expect(world.state.primary).toBe('b')
    await expectSteady(world, machine)
  })

  test('H10 S6 a minority that truly has answers: paged once a minute, nothing fenced, nobody promoted', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', isolated: 'page' } })
    for (const from of ['y', 'z', 'b', 'c']) world.cut.add(`${from}>a`)
    await world.time.run(machine.minutes(5, () => false))
    await world.time.run(machine.finish())
    const pages = kinds(world).filter((kind) => kind === 'paged').length
    expect(pages).toBeGreaterThan(0)
    expect(pages).toBeLessThanOrEqual(6)
    expect(world.acts.filter((act) => act.kind === 'power' || act.kind === 'host')).toEqual([])
    expect([world.state.primary, promoted(world)]).toEqual(['a', []])
  })
})

describe('H11 one loop takes over from the other', () => {
  /** Two invocations of one observer, a minute apart, as the schedule starts them. */
  async function handOver(dieAtMs: number, how: 'hangs' | 'dies') {
    const world = new World()
    const { time, databases, fleet } = world
    world.table.states.set('orders', { ...state(), phase: 'steady' })
    const probes: number[] = []
    const ticks: number[] = []
    const ends: Record<number, string> = {}
    const engine = {
      openSession: (
        _: unknown,
        { id }: { id: string },
        onEnd: (ended: { how: 'untold'; code: null }) => void,
      ): ProbeSession => {
        const server = databases.of(id)
        let open: number | null = null
        const watch = () => {
          if (open !== null && (!server.running || server.starts !== open)) {
            open = null
            onEnd({ how: 'untold', code: null })
          }
          if (time.nowMs < 400_000) time.after(10, watch)
        }
        watch()
        return {
          probe: async ({ writeProbe, timeoutMs }) => {
            if (id === 'a') probes.push(time.nowMs)
            const outcome = databases.probe('x', id, writeProbe)
            await time.sleep(outcome.kind === 'timeout' ? timeoutMs : 1)
            if (outcome.kind === 'answered') open = server.starts
            return outcome
          },
          close: () => undefined,
        }
      },
    } as unknown as Engine
    const run = (token: number) =>
      observe({
        fleet,
        observer: 'x',
        token,
        holder: `loop ${token}`,
        store: world.table.as(`loop ${token}`),
        engine: () => engine,
        clock: {
          monotonicMs: () => time.nowMs,
          wallMs: () => time.nowMs,
          sleep: (ms, signal) =>
            Promise.race([
              time.sleep(ms),
              new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve())),
            ]),
        },
        logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
        canary: async () => true,
        remainingMs: () => 300_000,
      }).then(({ ended }) => {
        ends[token] = ended.orders ?? ''
      })
    const loops = [run(1), time.sleep(60_000).then(() => run(2))]
    void time.sleep(dieAtMs).then(() => {
      if (how === 'dies') databases.of('a').end('untold')
      else databases.of('a').hung = true
    })
    const stored: { atMs: number; report: Report }[] = []
    const sample = async () => {
      for (; time.nowMs < 110_000; await time.sleep(100)) {
        const seen = world.table.reports.get('orders')?.get('x')
        if (seen) stored.push({ atMs: time.nowMs - 1_000, report: seen })
        ticks.push(time.nowMs)
      }
    }
    await time.run(Promise.all([sample(), ...loops]))
    return { probes, ends, stored, silentLooks: world.config.policy.silentLooks }
  }

  test.each(['hangs', 'dies'] as const)(
    'H11.2 a primary that %s some seconds before the next loop begins is not counted anew',
    async (how) => {
      const { stored, silentLooks, ends } = await handOver(52_000, how)
      const down = how === 'dies' ? 'refused' : 'silent'
      const isCounted = ({ report: { nodes } }: (typeof stored)[number]) =>
        nodes.a?.class === down && nodes.a.ticks >= silentLooks
      const first = stored.findIndex(isCounted)
      expect(stored[first]?.atMs).toBeLessThan(60_000)
      expect(stored.slice(first).every(isCounted)).toBe(true)
      expect(stored.at(-1)).toMatchObject({ report: { token: 2 } })
      expect(ends[1]).toMatch(/overtaken/)
    },
  )

  test('H11.1 nobody is blind at a hand-over: nodes are probed all the time, and the last loop ends by itself', async () => {
    const { probes, stored, ends } = await handOver(1_000_000, 'dies')
    const gaps = probes.slice(1).map((atMs, index) => atMs - (probes[index] ?? 0))
    expect(Math.max(...gaps)).toBeLessThanOrEqual(2_100)
    expect(stored.map(({ report: each }) => each.token)).toEqual(
      stored.map(({ report: each }) => each.token).toSorted((a, b) => a - b),
    )
    expect(ends).toEqual({ 1: expect.stringMatching(/overtaken/), 2: 'time is up' })
    expect((probes.at(-1) ?? 0) - 61_000).toBeLessThanOrEqual(loopMs + 2_100)
  })
})

describe('many clusters at once', () => {
  const many = 12
  const ids = Array.from({ length: many }, (_, index) => `c${index}`)

  function fleet(): FleetDocument {
    const nodeOf = (cluster: number, id: string, zone: number) => ({
      ...{
        id,
        address: `10.${cluster}.${zone}.11`,
        instanceId: `i-0000${String(cluster).padStart(2, '0')}0${zone}`,
      },
      // The last cluster's primary is in another zone than those of the others.
      availabilityZone: `eu-central-1${cluster === many - 1 && id === 'a' ? 'b' : 'abc'[zone - 1]}`,
    })
    return parseConfig({
      region: 'eu-central-1',
      observers: ['az1', 'az2', 'az3'].map((id) => ({ id })),
      clusters: Object.fromEntries(
        ids.map((id, index) => [
          id,
          {
            endpoint: { name: `${id}.example.org`, zoneId: 'Z0123456789' },
            nodes: [nodeOf(index, 'a', 1), nodeOf(index, 'b', 2), nodeOf(index, 'c', 3)],
            policy: { rejoin: 'never' },
          },
        ]),
      ),
    })
  }

  /** Each cluster with a state in its phase and reports of its death, or of its health. */
  async function assessed(
    phases: Record<string, Phase>,
    alive: readonly string[] = [],
    spoil?: (world: World) => void,
  ) {
    const world = new World({ fleet: fleet() })
    for (const id of ids) {
      const reports = alive.includes(id)
        ? ['az1', 'az2', 'az3'].map((each) => report(each, healthy))
        : deathReports()
      const nodes = state().nodes as Record<string, NodeStatus>
      const phase = phases[id] ?? 'steady'
      world.table.states.set(id, { ...state({ cluster: id, phase, nodes }) } as ClusterState)
      world.table.reports.set(id, new Map(reports.map((each) => [each.observer, { ...each, cluster: id }])))
    }
    spoil?.(world)
    const started: string[] = []
    world.startExecution = async (name) => {
      if (name.includes('failover')) started.push(name.split('-')[0] ?? '')
      return 'started'
    }
    const ports = world.ports(new Invocation('assess'))
    const trigger = { kind: 'hint', woken: [], reported: ids } as const
    const results = await world.time.run(assess({ ports, fleet: world.fleet }, trigger))
    return { results, started: started.toSorted() }
  }
  const others = ids.slice(0, -1)
  const healthyLast = [ids.at(-1) ?? '']

  test('H19.1 S6 a zone takes eleven primaries: all are judged, and as many fail over at once as may', async () => {
    expect((await assessed({}, healthyLast)).started).toEqual(others.toSorted())
    const underWay = (count: number) =>
      Object.fromEntries(ids.slice(0, count).map((id) => [id, 'fencing' as const]))
    const five = await assessed(underWay(5), healthyLast)
    expect(five.started).toEqual([])
    expect(five.results.c7).toBe('A30 page')
    // The next one has its turn as soon as one is through; those under way are looked at by nobody else.
    expect((await assessed(underWay(4), healthyLast)).started).toEqual(others.slice(4).toSorted())
  })

  test('H19.1 S6 primaries that die in two zones in the same minute: nothing is started, a person is told', async () => {
    const elsewhere = { [ids.at(-1) ?? '']: 'confirming' as const }
    const { started, results } = await assessed(elsewhere)
    expect(started).toEqual([])
    expect(results.c3).toBe('A29 page')
  })

  test('H23.1 what can not be read of one cluster stops that one, and no other', async () => {
    const { started, results } = await assessed({}, healthyLast, (world) => {
      world.table.unreadable = 'c2'
      const as = world.table.as.bind(world.table)
      world.table.as = (by) => ({
        ...as(by),
        readReports: async (id) => {
          if (id === 'c4') throw new TypeError('a report that nobody thought of')
          return as(by).readReports(id)
        },
      })
    })
    expect(results.c2).toBe('A1 page')
    expect(results.c4).toMatch(/^failed: TypeError/)
    expect(started).toEqual(others.filter((id) => id !== 'c2' && id !== 'c4').toSorted())
  })
})

test('H20.2 S3 a clock that goes back keeps no approval alive and ends no pause: the fleet has its own, only forwards', () => {
  const minute = 60_000
  const hour = 60 * minute
  let fleet = firstFleet(10 * hour)
  const tick = (atMs: number) => {
    fleet = nextFleet(fleet, atMs, [])
    return fleet.clockMs
  }
  expect(tick(10 * hour + minute)).toBe(10 * hour + minute)
  expect(tick(9 * hour)).toBe(10 * hour + minute)
  expect(tick(9 * hour + minute)).toBe(10 * hour + minute)
  expect(tick(10 * hour + 2 * minute)).toBe(10 * hour + 2 * minute)
  // Forwards by hours: only when two ticks in a row agree.
  expect(tick(12 * hour)).toBe(10 * hour + 2 * minute)
  expect(tick(10 * hour + 3 * minute)).toBe(10 * hour + 3 * minute)
  expect(tick(12 * hour)).toBe(10 * hour + 3 * minute)
  expect(tick(12 * hour + minute)).toBe(12 * hour + minute)
})

test('H24.2 an observer has a VPC of the deployment and no Region of its own: its table is always the one it reaches', () => {
  const [first, ...rest] = example.observers
  expect(problemsOf({ ...example, observers: [{ ...first, region: 'us-east-1' }, ...rest] })).toEqual([
    expect.stringMatching(/^observers\[0\]\.region: unknown/),
  ])
})

test('H27 S9 with a loss that may be bounded the list is lowered with the target, and the record says so', async () => {
  const policy = { fence: 'power', rejoin: 'never', loss: { mode: 'availability' } }
  const { world, machine } = await adopted({ policy })
  world.databases.of('c').end('untold')
  await world.time.run(machine.watch(2))
  await kill(world, machine, 'a')
  expect(world.state.primary).toBe('b')
  const event = world.table.written.find(({ state: each }) => each.lastEvent.kind === 'promoted')?.state
  expect(event?.lastEvent.facts.listReason).toMatch(/with loss availability, 0 must acknowledge/)
  expect(event?.synchronous).toMatchObject({ status: 'asynchronous', k: 0 })
  await world.time.run(world.time.sleep(5_000))
  expect(world.databases.acknowledged.some(({ reign }) => reign > 1)).toBe(true)
  expect(breaches(world)).toEqual([])
})

test('H30 S8 a standby whose replay stands is chosen only when it has replayed all that it received', async () => {
  const { world, machine } = await adopted({ policy: { fence: 'power' } })
  world.databases.of('b').replayPaused = true
  await kill(world, machine, 'a')
  expect(world.state.primary).toBe('c')
  expect(lostCommits(world)).toEqual([])
})
