/** The flow from a death to a steady cluster, when nothing else goes wrong. */
import { expect, test } from 'vitest'
import { breaches, lostCommits } from './checker.ts'
import { adopted } from './support.ts'

test('F02 S1 S8 a killed primary is replaced behind a quorum, and comes back as a standby', async () => {
  const { world, machine } = await adopted({ policy: { fence: 'quorum' } })
  console.log(JSON.stringify(world.state.lastEvent), world.state.phase, machine.executions.map(e=>[e.name,e.status,e.results.map(r=>r.reasons)]))
  world.databases.of('a').end('untold')
  await world.time.run(machine.watch(3))
  await world.time.run(machine.finish())
  console.log(world.table.written.map(w=>`${w.atMs} ${w.state.term}.${w.state.version} ${w.state.phase} ${w.state.lastEvent.kind} ${w.state.lastEvent.message}`).join('\n'))
  expect(world.state.primary).not.toBe('a')
  await world.time.run(machine.minutes(10))
  console.log(world.table.written.map(w=>`${w.atMs} ${w.state.term}.${w.state.version} ${w.state.phase} ${w.state.lastEvent.kind} ${w.state.lastEvent.message}`).slice(-30).join('\n'))
  expect(world.state.phase).toBe('steady')
  expect(breaches(world)).toEqual([])
  expect(lostCommits(world)).toEqual([])
})
