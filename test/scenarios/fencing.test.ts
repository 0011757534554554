/** What is said where nothing can fence, and what comes of old writers that nobody fenced. */
import { describe, expect, test } from 'vitest'
import rds from '../../docs/examples/rds.config.ts'
import { parseConfig } from '../../functions/config.ts'
import { configWarnings } from '../../functions/config-warnings.ts'
import { assess } from '../../functions/core/assess.ts'
import { assessInput, state } from '../core/build.ts'
import { breaches } from '../steps/checker.ts'
import { adopted, expectSteady, kill, order } from '../steps/support.ts'
import type { World } from '../steps/world.ts'

const issue = (world: World, key: string) => [...world.table.issues.values()].find((each) => each.key === key)

/** As when EC2 did not know the instance at the address of the node when it was adopted. */
function forgetInstance(world: World): void {
  const { a, ...others } = world.state.nodes
  if (a)
    world.table.states.set('orders', {
      ...world.state,
      nodes: { a: { ...a, instanceId: null }, ...others },
    })
}

describe('F27 nothing can fence the primary', () => {
  test('F27 S2 it is reported while all is well, and no more once its instance is known', async () => {
    const { world, machine } = await adopted()
    await world.time.run(machine.tick())
    expect(issue(world, 'no-fence:a')).toBeUndefined()
    forgetInstance(world)
    await world.time.run(machine.tick())
    expect(issue(world, 'no-fence:a')).toMatchObject({
      severity: 'warning',
      message: expect.stringMatching(/can not be fenced: no instance of it was recorded/),
    })
    await order(world, machine, { command: 'adopt', by: 'anna' })
    await expectSteady(world, machine)
    await world.time.run(machine.tick())
    expect(issue(world, 'no-fence:a')).toBeUndefined()
  })

  test('F27 F26 promoted by an approval without its fence: reported as long as the old primary may write', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    forgetInstance(world)
    // Cut off from all but its own clients, which go on writing to it.
    for (const from of ['x', 'y', 'z', 'operator', 'b', 'c']) world.cut.add(`${from}>a`)
    await world.time.run(machine.watch(20))
    await world.time.run(world.time.sleep(20_000))
    expect(world.state).toMatchObject({ phase: 'fencing', term: 2 })
    const approval = { acceptLoss: false, unfenced: ['a'], reason: 'cable pulled', by: 'anna', minutes: 30 }
    await order(world, machine, { command: 'approve', term: 2, ...approval })
    await world.time.run(machine.finish())
    expect(world.state.primary).toBe('b')
    await world.time.run(machine.minutes(3, () => false))
    expect(world.databases.of('a')).toMatchObject({ running: true, inRecovery: false })
    expect(issue(world, 'unfenced:a')).toMatchObject({
      severity: 'critical',
      message: expect.stringMatching(/a writer of term 1, is neither fenced nor seen to follow/),
    })
    expect(breaches(world)).toEqual([])
    // It shows up again: its instance is recognised, it is fenced, and comes back as a standby.
    world.cut.clear()
    await expectSteady(world, machine)
    await world.time.run(machine.tick())
    expect(world.state.nodes.a).toMatchObject({ role: 'standby', possibleWriter: null })
    expect(issue(world, 'unfenced:a')).toBeUndefined()
  })

  test('F27 rds: a node without a closed group is warned of at the deploy, and reported while it is the primary', () => {
    const [orders] = parseConfig(rds).clusters
    if (orders === undefined) throw new Error('the example has no cluster')
    const nodes = orders.nodes.map((node) => ({ ...node, closedGroupId: null }))
    const bare = { ...orders, nodes }
    expect(configWarnings({ ...parseConfig(rds), clusters: [bare] }).join()).toMatch(
      /without closedGroupId\. As a primary it can not be fenced/,
    )
    const [first] = nodes
    const status = { ...state().nodes.a, instanceId: 'db-A' } as NonNullable<World['state']['nodes'][string]>
    const keys = (cluster: typeof orders) =>
      assess(
        assessInput([], {
          cluster,
          state: { cluster: orders.id, primary: first?.id ?? '', nodes: { [first?.id ?? '']: status } },
        }),
      ).issues.map(({ key }) => key)
    expect(keys(bare)).toContain(`no-fence:${first?.id}`)
    expect(keys(orders)).not.toContain(`no-fence:${first?.id}`)
  })
})

describe('F92 a fence that somebody lifts', () => {
  test('F92 S11 the fenced old primary is started by hand: fenced again, and nothing is failed over', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'quorum', rejoin: 'never' } })
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(3, () => world.state.nodes.a?.fenced === true))
    const { term } = world.state
    const stops = () => world.acts.filter((act) => act.kind === 'power' && act.act === 'stop').length
    const before = stops()
    const instance = world.instances.all.get('i-00000001')
    if (instance) instance.state = 'running'
    world.databases.of('a').start('primary')
    await world.time.run(machine.minutes(4, () => false))
    expect(stops()).toBe(before + 1)
    expect(world.instances.view('i-00000001').state).toBe('stopped')
    expect(world.state).toMatchObject({
      term,
      primary: 'b',
      nodes: { a: { fenced: true, role: 'quarantined' } },
    })
    expect(breaches(world)).toEqual([])
  })
})
