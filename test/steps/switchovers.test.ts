/** Switchovers that must not begin, and one that was interrupted after its target was recorded (S5: only forward). */
import { expect, test } from 'vitest'
import { adopted, expectSteady, order } from './support.ts'

/** The execution ends for good once the target is recorded; nothing that it asks of the target arrives. */
async function interrupted() {
  const made = await adopted({ policy: { fence: 'quorum' } })
  const { world, machine } = made
  const unreachable = () => world.state.plan?.target === 'b'
  world.fault = ({ name }) => (name === 'connect:b' && unreachable() ? 'refuse' : undefined)
  await order(world, machine, { command: 'switchover', reason: 'work', by: 'anna' })
  expect(world.state).toMatchObject({ phase: 'promoting', plan: { target: 'b', promotedTimeline: null } })
  return made
}

const targets = (world: Awaited<ReturnType<typeof adopted>>['world']) =>
  new Set(world.table.written.map(({ state }) => state.plan?.target ?? null).filter((each) => each !== null))

test('S1 S5 H12 the old primary is frozen for the new term, and the recorded target is promoted', async () => {
  const { world, machine } = await interrupted()
  world.fault = () => undefined
  await expectSteady(world, machine)
  expect([world.state.primary, ...targets(world)]).toEqual(['b', 'b'])
})

test('S1 S5 H07 its writes do not come back while the target may be promoted', async () => {
  const { world, machine } = await interrupted()
  // Nor does the resume reach the old primary, for longer than it has patience.
  world.fault = ({ name }) => (name === 'connect:a' ? 'refuse' : undefined)
  await world.time.run(machine.minutes(8))
  expect(world.databases.of('a').inRecovery).toBe(true)
  expect(world.acts.filter((act) => act.kind === 'host' && act.command === 'resumeWrites')).toEqual([])
  world.fault = () => undefined
  await expectSteady(world, machine)
  expect([world.state.primary, ...targets(world)]).toEqual(['b', 'b'])
})

test('F77 S1 none begins beside a second node that is out of recovery', async () => {
  const { world, machine } = await adopted()
  world.databases.promote(world.databases.of('b'))
  await order(world, machine, { command: 'switchover', reason: 'work', by: 'anna' })
  expect(world.state.lastEvent.message).toContain('b is out of recovery as well')
  expect(world.acts.filter((act) => act.kind === 'host')).toEqual([])
  expect(world.databases.of('a').inRecovery).toBe(false)
})
