/** A failover that lacks a standby for its proof, and the standby is back: how soon it is measured. */
import { expect, test } from 'vitest'
import { adopted, expectSteady } from './support.ts'

/**
 * c is away while b is frozen, and back before the power fence has its evidence: the first ranking sees that it answers.
 * With the seconds that promote let pass, each time, before it was to be measured.
 */
async function cameBack(isFreezable: boolean) {
  const { world, machine } = await adopted({ policy: { fence: 'power' } })
  world.instances.stopMs = 10_000
  world.databases.of('c').end('untold')
  world.databases.of('a').end('untold')
  await world.time.run(machine.watch(4))
  for (let tries = 0; tries < 100 && world.state.plan?.frozen.b?.positionBytes === undefined; tries++)
    await world.time.run(world.time.sleep(100))
  await world.time.run(world.time.sleep(5_000))
  expect(world.state.phase).toBe('fencing')
  if (!isFreezable) world.fault = ({ name }) => (name === 'freeze:c' ? 'refuse' : undefined)
  world.databases.of('c').start('standby')
  await world.time.run(isFreezable ? machine.finish() : world.time.sleep(300_000))
  const waits = machine.executions
    .flatMap(({ results }) => results)
    .filter(({ step, outcome, next }) => step === 'promote' && outcome === 'waiting' && next === 'fence')
    .map(({ waitSeconds }) => waitSeconds)
  return { world, machine, waits }
}

test('F37 a standby that is back is measured soon: nothing else is waited for', async () => {
  const { world, machine, waits } = await cameBack(true)
  expect(waits.filter((seconds) => seconds > 2)).toEqual([])
  await expectSteady(world, machine)
})

test('F37 one that answers and can not be frozen is tried ever more rarely', async () => {
  const { world, machine, waits } = await cameBack(false)
  expect(waits[0]).toBeLessThanOrEqual(2)
  expect(waits.at(-1)).toBe(10)
  world.fault = () => undefined
  await expectSteady(world, machine)
})
