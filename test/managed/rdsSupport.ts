/** How tests of rds begin and end, and what must hold of every history of theirs. */
import { expect } from 'vitest'
import { possibleWriters } from '../../functions/core/state.ts'
import { breaches, lostCommits } from '../steps/checker.ts'
import { Machine } from '../steps/machine.ts'
import { story } from '../steps/support.ts'
import { cluster } from '../steps/world.ts'
import { type RdsOptions, RdsWorld } from './rdsWorld.ts'

/** A cluster that was adopted and settled, its observers' sessions open, its clients writing. */
export async function adoptedRds(
  options: RdsOptions = {},
  prepare: (world: RdsWorld) => void = () => undefined,
): Promise<{ world: RdsWorld; machine: Machine }> {
  const world = new RdsWorld(options)
  prepare(world)
  const machine = new Machine(world)
  world.clients()
  await world.time.run(machine.observe())
  await world.time.run(machine.tick())
  const answer = await world.time.run(machine.command({ command: 'adopt', cluster }))
  expect(answer).toMatchObject({ outcome: 'done' })
  await world.time.run(machine.finish())
  await world.time.run(machine.minutes(3))
  expect(world.state.phase, story(world)).toBe('steady')
  await world.time.run(machine.watch(4))
  return { world, machine }
}

/** The server of the node dies without a word; observers see it, and what assess starts runs to its end. */
export async function kill(
  world: RdsWorld,
  machine: Machine,
  node: string,
  mostMs = 3_600_000,
): Promise<void> {
  world.instance(node).server.end('untold')
  await world.time.run(machine.watch(4))
  await world.time.run(machine.finish(mostMs))
}

export async function order(
  world: RdsWorld,
  machine: Machine,
  event: Record<string, unknown>,
  mostMs = 3_600_000,
) {
  const answer = await world.time.run(machine.command({ cluster, by: 'sam', ...event }))
  if (event.command !== 'approve') await world.time.run(machine.finish(mostMs))
  return answer
}

/** Every breach of a rule, in words: those of every engine, and those of RDS. */
export function rdsBreaches(world: RdsWorld): string[] {
  return [
    ...breaches(world),
    ...promotions(world),
    ...claimsOpen(world),
    ...deletions(world),
    ...world.openAtPromotion,
  ]
}

/** S1, S2: who is promoted is the recorded target, and every other possible writer has evidence that holds at this moment. */
function promotions(world: RdsWorld): string[] {
  return world.acts.flatMap((act) => {
    if (act.kind !== 'rds' || act.action.do !== 'promote') return []
    const { stored } = act
    const found: string[] = []
    const target = stored?.plan?.target ?? null
    if (stored === undefined || target === null || `orders-${target}` !== act.node)
      return [`${act.node} was promoted, the target was ${target}`]
    if (stored.nodes[target]?.possibleWriter == null) found.push(`target ${target} is no possible writer`)
    for (const id of possibleWriters(stored)) {
      if (id === target) continue
      const evidence = stored.plan?.evidence.find((each) => each.node === id && each.term === stored.term)
      if (evidence === undefined) found.push(`${act.node} was promoted without evidence for ${id}`)
    }
    return found
  })
}

/** S4: an act on the provider is made with its claim open; a late one may find that nobody holds it any more. */
function claimsOpen(world: RdsWorld): string[] {
  return world.acts.flatMap((act) => {
    if (act.kind !== 'rds' || act.stalled || world.late.has(act.by)) return []
    const { claim } = act.stored ?? {}
    const isOpen = claim?.open === true && act.by.claims.has(claim.id)
    return isOpen || act.by.dead
      ? []
      : [`${act.by.name}: ${act.action.do} on ${act.node} without an open claim`]
  })
}

/** A former primary is never deleted. */
function deletions(world: RdsWorld): string[] {
  const former = new Set(world.table.written.map(({ state }) => state.nodes[state.primary]?.instanceId))
  return world.plane.instances
    .filter((each) => each.gone && former.has(each.resourceId))
    .map((each) => `${each.identifier} was a primary and is deleted`)
}

/** Minutes pass until it is steady; then all is as it should be, and nothing that was promised was broken on the way. */
export async function expectRedundant(world: RdsWorld, machine: Machine, most = 60): Promise<void> {
  await world.time.run(machine.minutes(most))
  await world.time.run(machine.finish(3_600_000))
  expect([...rdsBreaches(world), ...lostCommits(world)], story(world)).toEqual([])
  const { phase, primary, nodes } = world.state
  expect(phase, `${world.state.lastEvent.message}\n${story(world)}`).toBe('steady')
  const target = world.config.nodes.find((node) => node.id === primary)?.dnsName
  expect(world.names.cname?.target).toBe(target)
  for (const { id } of world.config.nodes) {
    const instance = world.instance(id)
    expect(nodes[id]).toMatchObject({
      role: id === primary ? 'primary' : 'standby',
      instanceId: instance.resourceId,
    })
    if (id !== primary) expect(instance.source?.resourceId).toBe(world.instance(primary).resourceId)
    expect(instance.open).toBe(true)
  }
}
