/**
 * H26, a primary that still answers: its sessions are ended and a candidate catches up before its group is closed, and
 * once more behind it; in a world in which the closed group cuts its replicas off, and in one in which it does not.
 */
import { describe, expect, test } from 'vitest'
import { lostCommits } from '../steps/checker.ts'
import type { Machine } from '../steps/machine.ts'
import { story } from '../steps/support.ts'
import { adoptedRds, expectRedundant, order, rdsBreaches } from './rdsSupport.ts'
import type { RdsWorld } from './rdsWorld.ts'

const groups = [{ id: 'sg-0be1', status: 'active' }]
const events = (world: RdsWorld) => world.table.written.map(({ state }) => state.lastEvent)
const rows = (world: RdsWorld) => events(world).map(({ row }) => row)
/** What is done to the primary, in order: with RDS, and by SQL. */
const acts = (world: RdsWorld) =>
  world.acts.flatMap((act) => {
    if (act.kind === 'rds') return [act.action.do]
    if (act.kind !== 'sql' || act.action.do !== 'endSessions') return []
    return [
      act.action.keepOutMs === undefined ? 'end behind' : act.action.keepOutMs === 0 ? 'end' : 'keep out',
    ]
  })
const distinct = (names: readonly string[]) => names.filter((name, index) => name !== names[index - 1])

type Command = 'switchover' | 'failover'
const run = (world: RdsWorld, machine: Machine, command: Command) =>
  order(world, machine, { command, reason: 'test' })

/** A client whose session was never ended, since it came in between two looks, commits where nobody receives it. */
function slipIn(world: RdsWorld): void {
  const instance = world.instance('a')
  instance.clientsSince = instance.server.starts
  instance.keptOutUntilMs = 0
  expect(world.databases.commit('a')).toBe('ok')
}

/** Does it once, when an event of that kind is first written. */
function once(world: RdsWorld, kind: string, act: () => void): void {
  let over = false
  world.table.onState = (state) => {
    if (over || state.lastEvent.kind !== kind) return
    over = true
    act()
  }
}

/** S10: what was called lossless lost nothing. */
function falseProofs(world: RdsWorld): string[] {
  const target = events(world).findLast(({ kind }) => kind === 'target')
  const loss = target?.facts.loss as { provable?: string } | undefined
  return loss?.provable === 'none' && world.state.primary !== 'a' ? lostCommits(world) : []
}

async function expectUndone(world: RdsWorld): Promise<void> {
  expect(world.state, story(world)).toMatchObject({ primary: 'a', phase: 'steady', plan: null })
  expect(world.instance('a').groups).toEqual(groups)
  expect(world.instance('a').server.inRecovery).toBe(false)
  expect([...rdsBreaches(world), ...lostCommits(world)]).toEqual([])
}

describe.each([false, true])('H26 the closed group cuts replication: %s', (closedGroupCuts) => {
  test.each<Command>(['switchover', 'failover'])(
    'S10 %s of a living primary: ended, caught up, closed, ended again, and nothing is lost',
    async (command) => {
      const { world, machine } = await adoptedRds({ closedGroupCuts })
      await run(world, machine, command)
      expect(world.state.primary, story(world)).not.toBe('a')
      const done = distinct(acts(world))
      expect(done.slice(0, 5)).toEqual(['end', 'setGroups', 'keep out', 'end behind', 'reboot'])
      const kinds = events(world).map(({ kind }) => kind)
      // Recorded before it is done: the groups that it had, and that a drain has begun.
      expect(kinds.indexOf('fence intended')).toBeLessThan(kinds.indexOf('draining'))
      expect(kinds.indexOf('draining')).toBeLessThan(kinds.indexOf('sessions ended'))
      const target = events(world).find(({ kind }) => kind === 'target')
      expect(target).toMatchObject({ row: 'P7', facts: { loss: { provable: 'none', boundMs: 0 } } })
      expect(kinds).toContain('drained')
      await expectRedundant(world, machine)
    },
  )

  test('a candidate that is behind gets its time before anything is closed; a switchover then backs out', async () => {
    const { world, machine } = await adoptedRds({ closedGroupCuts })
    for (const id of ['b', 'c']) world.instance(id).server.stuck = true
    // What it lacks from here on.
    world.databases.commit('a')
    await run(world, machine, 'switchover')
    await world.time.run(machine.minutes(3))
    expect(rows(world)).toContain('X15')
    // Nothing was closed, so nothing had to be opened.
    expect(acts(world)).not.toContain('setGroups')
    await expectUndone(world)
  })

  test('a candidate that catches up in that time is waited for', async () => {
    const { world, machine } = await adoptedRds({ closedGroupCuts })
    for (const id of ['b', 'c']) world.instance(id).server.stuck = true
    world.databases.commit('a')
    once(world, 'sessions ended', () =>
      world.time.after(12_000, () => {
        for (const id of ['b', 'c']) world.instance(id).server.stuck = false
      }),
    )
    await run(world, machine, 'switchover')
    expect(world.state.primary, story(world)).not.toBe('a')
    await expectRedundant(world, machine)
  })

  test('a failover whose candidates stay behind goes on within its bound, and says what it loses', async () => {
    const { world, machine } = await adoptedRds({ closedGroupCuts })
    for (const id of ['b', 'c']) world.instance(id).server.stuck = true
    world.databases.commit('a')
    await run(world, machine, 'failover')
    expect(world.state.primary, story(world)).not.toBe('a')
    const notDrained = events(world).find(({ kind }) => kind === 'not drained')
    expect(notDrained).toMatchObject({
      row: 'X26',
      message: expect.stringMatching(/[1-9]\d* bytes are missing/),
    })
    const target = events(world).find(({ kind }) => kind === 'target')
    expect(target).toMatchObject({ row: 'P9', message: expect.stringMatching(/lacks [1-9]\d* bytes/) })
    expect(rdsBreaches(world)).toEqual([])
  })

  test('a group that RDS is slow to change: clients are kept out for two minutes, and no longer', async () => {
    const { world, machine } = await adoptedRds({ closedGroupCuts })
    world.plane.delays.groups = 3_600_000
    const startedMs = world.time.nowMs
    once(world, 'lifting', () => {
      world.plane.delays.groups = 15_000
      // Counted in looks, and not by a clock: two minutes at least, and not ten.
      expect(world.time.nowMs - startedMs).toBeGreaterThan(120_000)
      expect(world.time.nowMs - startedMs).toBeLessThan(300_000)
    })
    await run(world, machine, 'switchover')
    await world.time.run(machine.minutes(5))
    expect(acts(world)).not.toContain('reboot')
    await expectUndone(world)
  })

  test('a primary whose sessions can not be ended: a switchover closes nothing, a failover goes on', async () => {
    for (const command of ['switchover', 'failover'] as const) {
      const { world, machine } = await adoptedRds({ closedGroupCuts })
      world.cut.add('operator>a')
      await run(world, machine, command)
      await world.time.run(machine.minutes(3))
      if (command === 'switchover') {
        expect(rows(world)).toContain('X15')
        expect(acts(world)).toEqual([])
        await expectUndone(world)
      } else {
        expect(world.state.primary, story(world)).not.toBe('a')
        expect(events(world).find(({ kind }) => kind === 'target')?.row).toBe('P9')
      }
      expect([...rdsBreaches(world), ...falseProofs(world)]).toEqual([])
    }
  })

  test('a primary that dies while it is drained: a failover goes on without the proof', async () => {
    for (const kind of ['draining', 'sessions ended', 'fence requested', 'closed']) {
      const { world, machine } = await adoptedRds({ closedGroupCuts })
      once(world, kind, () => world.instance('a').server.end('untold'))
      await run(world, machine, 'failover')
      await world.time.run(machine.minutes(5))
      expect(world.state.primary, `${kind}\n${story(world)}`).not.toBe('a')
      expect([...rdsBreaches(world), ...falseProofs(world)], kind).toEqual([])
    }
  })

  // Every event of the fence, in the order in which they come: after each of them the execution is gone for good.
  const steps = ['fence intended', 'draining', 'sessions ended', 'fence requested', 'closed', 'drained']
  const later = ['reboot requested', 'reboot accepted', 'rebooting', 'evidence', 'fenced', 'target']
  const crashes = [...steps, ...later].flatMap((kind) => [
    { command: 'switchover' as const, kind },
    { command: 'failover' as const, kind },
  ])
  test.each(crashes)(
    'S5 a $command that is stopped at "$kind" is ended by the resume',
    async ({ command, kind }) => {
      const { world, machine } = await adoptedRds({ closedGroupCuts, policy: { cooldownMs: 0 } })
      once(world, kind, () => machine.executions.at(-1)?.stop())
      await run(world, machine, command)
      expect(events(world).map((each) => each.kind)).toContain(kind)
      await world.time.run(machine.minutes(20))
      await world.time.run(machine.finish(3_600_000))
      expect([...rdsBreaches(world), ...falseProofs(world)], story(world)).toEqual([])
      // Before a target is recorded a switchover is undone, after it there is only forward; a failover that finds its
      // primary alive, and nothing requested yet, gives up.
      if (command === 'switchover' && kind !== 'target') await expectUndone(world)
      else if (kind === 'target') expect(world.state.primary, story(world)).not.toBe('a')
      await expectSettled(world, machine)
    },
  )

  test.each<Command>(['switchover', 'failover'])(
    'S5 every answer of %s that gets lost is asked for again',
    async (command) => {
      for (const lost of ['endSessions', 'setGroups', 'reboot'] as const) {
        const { world, machine } = await adoptedRds({ closedGroupCuts })
        let over = false
        world.fault = ({ name }) => {
          if (over || !name.startsWith(lost === 'endSessions' ? 'endSessions' : `rds:${lost}`))
            return undefined
          over = true
          return 'lose'
        }
        await run(world, machine, command)
        expect(over).toBe(true)
        expect(world.state.primary, `${lost}\n${story(world)}`).not.toBe('a')
        expect([...rdsBreaches(world), ...falseProofs(world)]).toEqual([])
        await expectSettled(world, machine)
      }
    },
  )
})

describe('H26 a session that slips in after the candidate was cut off', () => {
  test('S10 a switchover backs out: the groups are as before, and nothing is lost', async () => {
    const { world, machine } = await adoptedRds({ closedGroupCuts: true })
    once(world, 'closed', () => slipIn(world))
    await run(world, machine, 'switchover')
    await world.time.run(machine.minutes(5))
    expect(rows(world)).toContain('X25')
    expect(acts(world).filter((each) => each === 'setGroups')).toHaveLength(2)
    expect(acts(world)).not.toContain('reboot')
    await expectUndone(world)
  })

  test('S10 a failover goes on within its bound, and says how much is missing', async () => {
    const { world, machine } = await adoptedRds({ closedGroupCuts: true })
    once(world, 'closed', () => slipIn(world))
    await run(world, machine, 'failover')
    expect(rows(world)).toContain('X26')
    expect(events(world).find(({ kind }) => kind === 'target')).toMatchObject({ row: 'P9' })
    expect(lostCommits(world)).toHaveLength(1)
    expect(rdsBreaches(world)).toEqual([])
  })

  test('S10 where nothing may be lost unseen it waits for a person, who is told what is missing', async () => {
    const { world, machine } = await adoptedRds({
      closedGroupCuts: true,
      policy: { loss: { mode: 'bounded', seconds: 0.001 } },
    })
    once(world, 'closed', () => slipIn(world))
    await order(world, machine, { command: 'failover', reason: 'test' }, 900_000)
    expect(world.state.phase, story(world)).toBe('promoting')
    expect(world.state.lastEvent).toMatchObject({ row: 'P11', message: expect.stringMatching(/lacks [1-9]/) })
    expect(acts(world)).not.toContain('promote')
  })

  test('where the closed group cuts nobody off, the candidate receives it, and nothing is lost', async () => {
    const { world, machine } = await adoptedRds({ closedGroupCuts: false })
    once(world, 'closed', () => slipIn(world))
    await run(world, machine, 'switchover')
    expect(world.state.primary, story(world)).not.toBe('a')
    await expectRedundant(world, machine)
  })
})

/** Whichever way it ended, it is over, and the cluster serves. */
async function expectSettled(world: RdsWorld, machine: Machine): Promise<void> {
  await world.time.run(machine.minutes(60))
  await world.time.run(machine.finish(3_600_000))
  expect(world.state.phase, story(world)).toBe('steady')
  expect(world.instance(world.state.primary).open).toBe(true)
  expect(rdsBreaches(world)).toEqual([])
}
