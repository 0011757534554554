/** H22: what was decided stands in the events with all that it was decided by, through the table and back. */
import { describe, expect, test } from 'vitest'
import { eventSchema } from '../../functions/schemas.ts'
import { replay } from '../sim/checkers/replay.ts'
import { adopted, expectSteady, kill, kinds, order } from './support.ts'
import { cluster, type World } from './world.ts'

/** Rows of all events, each decided once more by the facts that came back from the table. */
function replayed(world: World): string[] {
  return [...world.table.events.values(), world.state.lastEvent].flatMap((stored) => {
    const { row, facts } = eventSchema.parse(JSON.parse(JSON.stringify(stored)))
    if (row === null || row === 'C0') return []
    const again = replay(row, (facts.decided ?? facts) as Record<string, unknown>)
    // A claim by hand names the row that allowed it; its facts stand beside.
    const claim = facts.claim as { row: string; facts: Record<string, unknown> } | undefined
    if (claim !== undefined) expect(replay('L', claim.facts).row).toBe(claim.row)
    if (claim === undefined || !row.startsWith('L')) expect(again.row).toBe(row)
    return [row]
  })
}

describe('H22 every decision is explained by what is recorded of it', () => {
  test.each(['quorum', 'power'] as const)('a failover with fence %s, to the end', async (fence) => {
    const { world, machine } = await adopted({ policy: { fence } })
    await kill(world, machine, 'a')
    await expectSteady(world, machine)
    expect(replayed(world)).toEqual(expect.arrayContaining(['A33', 'C15', 'R7', 'D9', 'T5', 'T6', 'T7']))
  })

  test('a switchover, a start by hand that is refused, and one by hand that is not', async () => {
    const { world, machine } = await adopted()
    await order(world, machine, { command: 'switchover', reason: 'patch', by: 'anna' })
    await expectSteady(world, machine)
    await order(world, machine, { command: 'failover', reason: 'r', by: 'anna', to: world.state.primary })
    await order(world, machine, { command: 'failover', reason: 'r', by: 'anna' })
    await expectSteady(world, machine)
    expect(replayed(world)).toEqual(expect.arrayContaining(['L9', 'L2', 'C3', 'R7']))
  })

  test('S5 S12 an operation that stands down says by what', async () => {
    const { world, machine } = await adopted()
    const { primary } = world.state
    machine.start('false-alarm', {
      ...{ cluster, kind: 'failover', reason: 'a false alarm' },
      automatic: { version: world.state.version, beat: world.state.beat, row: 'A33', facts: {} },
    })
    await world.time.run(machine.finish())
    expect(world.state).toMatchObject({ primary, lastEvent: { kind: 'stood down', row: 'C6' } })
    const { facts } = world.state.lastEvent
    expect(replay('C', facts.decided as Record<string, unknown>)).toMatchObject({ row: 'C6', does: 'alive' })
  })

  test('section 7: a name that was edited by hand is moved back, and the history says why', async () => {
    const { world, machine } = await adopted()
    const cname = world.names.cname
    if (cname === null) throw new Error('no name')
    world.names.cname = { ...cname, ttlSeconds: 300 }
    machine.start('pass', { cluster, kind: 'settle', reason: 'by the hour' })
    await world.time.run(machine.finish())
    expect(world.names.cname?.ttlSeconds).toBe(cname.ttlSeconds)
    expect(kinds(world).at(-1)).toBe('repointed')
    expect(replayed(world)).toContain('D8')
  })
})

test('S14 H25 a pause that comes between the look at the state and the claim holds: nothing is claimed', async () => {
  const { world, machine } = await adopted()
  const { term } = world.state
  let isAsked = false
  world.fault = ({ name, by }) => {
    if (name !== 'writeState' || !/ confirm /.test(by.name) || isAsked) return undefined
    isAsked = true
    void machine.command({ command: 'pause', cluster, owner: 'anna', reason: 'upgrade', minutes: 60 })
    return 500
  }
  await kill(world, machine, 'a')
  expect(isAsked).toBe(true)
  expect(world.state).toMatchObject({ term, phase: 'steady', pause: { owner: 'anna' } })
  expect(kinds(world)).not.toContain('confirmed')
})

describe('H17 H09 S11 whoever lost the name replaces nobody', () => {
  test.each([
    ['another deployment took it over', 'understudy staging orders 9'],
    ['it carries a newer term: the table was put back', 'understudy understudy orders 9'],
  ])('%s: halted before anything is fenced', async (_, raw) => {
    const { world, machine } = await adopted()
    world.names.token = { raw, ttlSeconds: 60 }
    await kill(world, machine, 'a')
    expect(world.state).toMatchObject({ phase: 'halted', primary: 'a', halted: { step: 'confirm' } })
    expect(world.acts.filter(({ kind }) => kind !== 'sql')).toEqual([])
    expect(world.databases.of('b').inRecovery && world.databases.of('c').inRecovery).toBe(true)
  })

  test('S13 Route 53 does not answer: the failover goes on', async () => {
    const { world, machine } = await adopted()
    world.fault = ({ name, by }) => (name === 'readName' && / confirm /.test(by.name) ? 'refuse' : undefined)
    await kill(world, machine, 'a')
    await expectSteady(world, machine)
    expect(world.state.primary).not.toBe('a')
  })
})
