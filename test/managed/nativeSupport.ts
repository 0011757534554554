/** How tests of Aurora begin and end. */
import { expect } from 'vitest'
import { breaches, lostCommits } from '../steps/checker.ts'
import { Machine } from '../steps/machine.ts'
import { story as wholeStory } from '../steps/support.ts'
import { type NativeOptions, NativeWorld } from './nativeWorld.ts'

const story = (world: NativeWorld) => wholeStory(world).split('\n').slice(-40).join('\n')

export interface Made {
  readonly world: NativeWorld
  readonly machine: Machine
}

export async function adopted(options: NativeOptions = {}): Promise<Made> {
  const world = new NativeWorld(options)
  const machine = new Machine(world)
  machine.clients()
  await world.time.run(machine.observe())
  await world.time.run(machine.tick())
  const answer = await world.time.run(machine.command({ command: 'adopt', cluster: 'orders' }))
  expect(answer).toMatchObject({ outcome: 'done' })
  await world.time.run(machine.finish())
  await world.time.run(machine.minutes(3))
  expect(world.state.phase, story(world)).toBe('steady')
  await world.time.run(machine.watch(4))
  return { world, machine }
}

/** The writer dies without a word; what assess starts runs to its end. */
export async function kill({ world, machine }: Made, node = 'a', ticks = 12): Promise<void> {
  world.databases.of(node).end('untold')
  await world.time.run(machine.watch(ticks))
  await world.time.run(machine.finish())
}

/** What the rules ask of an engine that elects by itself, beyond what they ask of every history. */
function nativeBreaches(world: NativeWorld): string[] {
  const found: string[] = []
  for (const [index, { act }] of world.calls.entries()) {
    const plan = world.acts[index]?.stored?.plan
    const target = world.node(plan?.target ?? 'a')
    const named = 'targetArn' in act ? act.targetArn : 'target' in act ? act.target : null
    if (plan == null || plan.target === null) found.push(`${act.do} before a target was recorded (S1)`)
    else if (named !== target.instanceId && named !== world.arn(target.id))
      found.push(`${act.do} for ${named}, recorded was ${target.id} (S1)`)
    if (world.acts[index]?.stored?.claim?.open !== true) found.push(`${act.do} with a closed claim (S4)`)
  }
  for (const { state } of world.table.written) {
    if (state.lastEvent.kind !== 'promoted' || state.plan === null) continue
    const { term, plan, primary } = state
    const covered = (id: string) =>
      plan.evidence.some((each) => each.kind === 'elected' && each.node === id && each.term === term)
    for (const [id, { possibleWriter }] of Object.entries(state.nodes))
      if (id !== primary && possibleWriter !== null && !covered(id))
        found.push(`${primary} was taken for the writer of term ${term} without evidence for ${id} (S1)`)
    if (plan.target !== primary) found.push(`${primary} is the writer, the target was ${plan.target}`)
  }
  return found
}

/** The world is right again, and nothing that was promised was broken on the way. */
export async function expectSteady({ world, machine }: Made, most = 15, mayLose = false): Promise<void> {
  await world.time.run(machine.minutes(most))
  await world.time.run(machine.finish())
  expect(
    [...breaches(world), ...nativeBreaches(world), ...(mayLose ? [] : lostCommits(world))],
    story(world),
  ).toEqual([])
  expect(world.state.phase, story(world)).toBe('steady')
  expect(world.state.primary, story(world)).toBe(world.writer)
  // The global writer endpoint is nobody's record here until Aurora moves it.
  if (!world.config.managed?.globalEndpoint || world.names.cname !== null)
    expect(world.names.cname?.target).toBe(world.node(world.writer).dnsName)
  for (const [id, status] of Object.entries(world.state.nodes)) {
    if (id !== world.writer) expect(status, id).toMatchObject({ role: 'standby', possibleWriter: null })
  }
}

export const asks = (world: NativeWorld) => world.calls.map(({ act }) => act)
