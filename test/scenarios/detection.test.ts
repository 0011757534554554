/** Deaths of other kinds, and how long one is waited for. */
import { describe, expect, test } from 'vitest'
import { adopted, expectSteady, kinds } from '../steps/support.ts'
import type { World } from '../steps/world.ts'

const promotions = (world: World) =>
  world.acts.filter((act) => act.kind === 'sql' && act.action.do === 'promote')
const powers = (world: World) => world.acts.filter((act) => act.kind === 'power')

describe('F25 a configuration that can not be started with', () => {
  test('F25 a restart that does not come back: its grace, then the normal path, and it rejoins', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', restartGraceMs: 5_000 } })
    const endedMs = world.time.nowMs
    world.databases.of('a').end('told')
    await world.time.run(machine.watch(20))
    await world.time.run(machine.finish())
    expect(world.state).toMatchObject({ primary: 'b', term: 2 })
    const [promotion] = promotions(world)
    expect((promotion?.atMs ?? 0) - endedMs).toBeGreaterThanOrEqual(5_000)
    expect(kinds(world)).toEqual(expect.arrayContaining(['confirmed', 'fenced', 'target', 'promoted']))
    await expectSteady(world, machine)
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: null })
  })

  test('F25 F12 one that lets nobody in, on a server that runs on: alive, no failover', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    const probe = world.databases.probe.bind(world.databases)
    world.databases.probe = (from, node, write) =>
      node === 'a'
        ? { kind: 'sqlError', sqlState: '28000', message: 'no pg_hba.conf entry' }
        : probe(from, node, write)
    await world.time.run(machine.watch(20))
    await world.time.run(machine.minutes(2, () => false))
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady' })
    expect(world.acts).toEqual([])
  })
})

/** No loop has anything to say of how its session ended: looks alone must show a hold. */
function forgetSessions({ table }: World): void {
  const as = table.as.bind(table)
  table.as = (by) => ({
    ...as(by),
    writeReport: (report) => {
      const nodes = Object.entries(report.nodes).map(([id, node]) => [id, { ...node, sessionEnd: null }])
      return as(by).writeReport({ ...report, nodes: Object.fromEntries(nodes) })
    },
  })
}

describe('F23 a full disk', () => {
  test('F23 it is said what is wrong; nothing is replaced while its streams live, and a failover by hand ends well', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
    world.cut.add('clients>a')
    const probe = world.databases.probe.bind(world.databases)
    const full = {
      kind: 'sqlError',
      sqlState: '53100',
      message: 'could not extend file: No space left',
    } as const
    world.databases.probe = (from, node, write) =>
      node === 'a' && !world.databases.of('a').inRecovery ? full : probe(from, node, write)
    await world.time.run(machine.watch(20))
    await world.time.run(machine.minutes(2, () => false))
    await world.time.run(machine.finish())
    expect([world.state.primary, promotions(world), powers(world)]).toEqual(['a', [], []])
    expect([...world.table.issues.values()]).toContainEqual(
      expect.objectContaining({
        key: 'node-down:a',
        message: expect.stringMatching(/53100: .*No space left/),
      }),
    )
    await world.time.run(
      machine.command({ command: 'failover', cluster: 'orders', reason: 'disk full', by: 'anna' }),
    )
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
    world.cut.clear()
    world.databases.probe = probe
    await expectSteady(world, machine)
  })
})

describe('F18 one voice', () => {
  test('F18 H24 an observer that reports a death again and again starts nothing', async () => {
    const { world, machine } = await adopted()
    const { version } = world.state
    for (let again = 0; again < 10; again++) {
      world.cut.add('x>a')
      await world.time.run(machine.watch(6))
      await world.time.run(machine.tick())
      world.cut.clear()
      await world.time.run(machine.watch(2))
    }
    expect([
      world.state.version,
      world.acts,
      machine.executions.filter(({ status }) => status === 'running'),
    ]).toEqual([version, [], []])
  })
})

describe('F47 a delay before a failover', () => {
  /** Milliseconds from the death to the promotion; none within `mostMs`: null. */
  async function delay(holdMs: number, mostMs: number, sessions = true): Promise<number | null> {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', holdMs } })
    if (!sessions) forgetSessions(world)
    const diedMs = world.time.nowMs
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(4))
    await world.time.run(machine.finish())
    await world.time.run(machine.minutes(Math.ceil(mostMs / 60_000), () => world.state.primary !== 'a'))
    const [promotion] = promotions(world)
    if (promotion === undefined) return null
    await expectSteady(world, machine)
    return promotion.atMs - diedMs
  }

  test.each([0, 250, 3_000, 20_000, 60_000])(
    'F47 S12 a hold of %i ms is waited out, then a standby is promoted',
    async (holdMs) => {
      const waited = await delay(holdMs, 300_000)
      expect(waited).not.toBeNull()
      expect(waited).toBeGreaterThanOrEqual(holdMs)
      expect(waited).toBeLessThan(holdMs * 1.25 + 3_000)
    },
  )

  test('F47 S12 the longest hold, when nobody knows how the sessions ended: waited out all the same', async () => {
    const waited = await delay(60_000, 600_000, false)
    expect(waited).not.toBeNull()
    expect(waited).toBeGreaterThanOrEqual(60_000)
  })

  test('F47 S6 refused throughout a long delay is a death, whatever is done about isolated primaries', async () => {
    const policy = { fence: 'quorum', holdMs: 30_000, isolated: 'failover' }
    const { world, machine } = await adopted({ policy })
    world.databases.of('a').end('untold')
    await world.time.run(machine.minutes(5, () => world.state.primary !== 'a'))
    const target = world.table.written.find(({ state }) => state.lastEvent.kind === 'target')
    expect(target?.state.plan?.evidence).toEqual([expect.objectContaining({ kind: 'quorum' })])
    await expectSteady(world, machine)
  })

  test('F47 F19 a primary that is back before the delay is over: nothing is fenced, nobody promoted', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', holdMs: 20_000 } })
    world.databases.of('a').end('untold')
    await world.time.run(machine.watch(2))
    await world.time.run(world.time.sleep(12_000))
    expect(world.state.phase).toBe('confirming')
    world.databases.of('a').start('primary')
    await world.time.run(machine.finish())
    expect(kinds(world).at(-1)).toBe('stood down')
    expect([promotions(world), powers(world)]).toEqual([[], []])
    await expectSteady(world, machine)
  })
})
