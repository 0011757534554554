/** Who may take over, and who may not: limits of loss, Regions, contradictions, and standbys that have what nobody else has. */
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../functions/config.ts'
import { configWarnings } from '../../functions/config-warnings.ts'
import { rank } from '../../functions/core/rank.ts'
import { problemsOf, withCluster, withNodes, withPolicy } from '../config-samples.ts'
import { cluster, node, rankInput } from '../core/build.ts'
import { breaches } from '../steps/checker.ts'
import { adopted, expectSteady, kill, kinds, order } from '../steps/support.ts'
import type { World } from '../steps/world.ts'

const openIssues = (world: World) => [...world.table.issues.values()].map(({ key }) => key)
const targetEvent = (world: World) =>
  world.table.written.find(({ state }) => state.lastEvent.kind === 'target')?.state

describe('F49 a loss just inside its limit', () => {
  /** The same history each time, but for the limit. */
  async function withLimit(seconds: number) {
    const policy = { fence: 'power', synchronous: 'none', loss: { mode: 'bounded', seconds } }
    const { world, machine } = await adopted({ policy })
    world.databases.of('a').synchronousNames = ''
    world.databases.of('a').hung = true
    await world.time.run(machine.watch(160))
    await world.time.run(machine.finish(120_000))
    return world
  }

  test('F48 F49 S10 promoted at the limit, not a millisecond below it', async () => {
    const free = await withLimit(3_600)
    const boundMs = targetEvent(free)?.plan?.loss?.boundMs ?? 0
    expect(boundMs).toBeGreaterThan(0)
    const inside = await withLimit(boundMs / 1_000)
    expect(inside.state.primary).toBe('b')
    expect(targetEvent(inside)).toMatchObject({
      lastEvent: { row: 'R8' },
      plan: { loss: { provable: 'bounded', boundMs } },
    })
    const beyond = await withLimit((boundMs - 1) / 1_000)
    expect(beyond.state).toMatchObject({ primary: 'a', phase: 'promoting', lastEvent: { row: 'R11' } })
  })
})

describe('F51 targets in another Region', () => {
  const nodes = { c: { region: 'eu-west-1', availabilityZone: 'eu-west-1a' } }
  const forbidden = { fence: 'power', crossRegion: 'forbidden', loss: { mode: 'availability' } }

  test('F51 forbidden: the standby of the same Region, although the other one is further', async () => {
    const { world, machine } = await adopted({ policy: forbidden, nodes })
    world.databases.of('b').stuck = true
    await world.time.run(world.time.sleep(3_000))
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('b')
    expect(targetEvent(world)?.lastEvent.facts.passedOver).toMatchObject({
      c: expect.stringMatching(/eu-west-1 .*crossRegion is forbidden/),
    })
    world.databases.of('b').stuck = false
    await world.time.run(machine.minutes(15))
    expect([world.state.phase, breaches(world)]).toEqual(['steady', []])
  })

  test('F51 forbidden, and nobody else is left: nothing is fenced or promoted, and it is said why', async () => {
    const { world, machine } = await adopted({ policy: forbidden, nodes })
    world.databases.of('b').end('untold')
    await world.time.run(machine.watch(4))
    await kill(world, machine, 'a')
    await world.time.run(machine.minutes(3, () => false))
    expect([world.state.primary, world.acts]).toEqual(['a', []])
    expect(openIssues(world)).toContain('no-candidate')
  })

  test('F51 F77 forbidden: a switchover or failover there is refused, and nothing is changed', async () => {
    const { world, machine } = await adopted({ policy: forbidden, nodes })
    const { version } = world.state
    for (const command of ['switchover', 'failover']) {
      const answer = await order(world, machine, { command, to: 'c', reason: 'site', by: 'anna' })
      expect(answer).toMatchObject({
        outcome: 'refused',
        reasons: [expect.stringMatching(/^L2.*crossRegion/)],
      })
    }
    expect([world.state.version, world.acts]).toEqual([version, []])
  })

  test('F51 forbidden: a switchover without a wish takes the standby of the same Region', async () => {
    const { world, machine } = await adopted({
      policy: forbidden,
      nodes: { c: { ...nodes.c, preference: 9 } },
    })
    await order(world, machine, { command: 'switchover', reason: 'kernel', by: 'anna' })
    expect(world.state.primary).toBe('b')
    await expectSteady(world, machine)
  })

  test('F51 allowed, which is the default: the furthest, wherever it is', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' }, nodes })
    world.databases.of('b').stuck = true
    await world.time.run(world.time.sleep(3_000))
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('c')
  })

  test('F51 F90 a configuration in which nobody could take over is refused', () => {
    const away = { region: 'eu-west-1', availabilityZone: 'eu-west-1a' }
    const spread = (changes: Record<string, unknown>) =>
      withCluster({
        ...withNodes({}, away, { ...away, ...changes }).clusters.orders,
        policy: { crossRegion: 'forbidden' },
      })
    expect(problemsOf(spread({}))).toEqual([])
    expect(problemsOf(spread({ region: 'eu-south-1', availabilityZone: 'eu-south-1a' }))).toEqual([
      expect.stringMatching(/policy\.crossRegion: 'forbidden', and no Region has a promotable node/),
    ])
  })
})

describe('F54 contradictions in the configuration', () => {
  test('F54 never promotable and preferred: it is warned of, and never promoted', async () => {
    expect(configWarnings(parseConfig(withNodes({}, { promotable: false, preference: 5 })))).toContainEqual(
      expect.stringMatching(/orders-b .*preference/),
    )
    const { world, machine } = await adopted({ nodes: { b: { promotable: false, preference: 9 } } })
    const answer = await order(world, machine, { command: 'switchover', to: 'b', reason: 'r', by: 'anna' })
    expect(answer).toMatchObject({ outcome: 'refused', reasons: [expect.stringMatching(/^L2/)] })
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('c')
    await expectSteady(world, machine)
  })

  test('F54 a preference for a Region that is forbidden is warned of', () => {
    const away = { region: 'eu-west-1', availabilityZone: 'eu-west-1a', preference: 3 }
    const fleet = withCluster({
      ...withNodes({}, {}, away).clusters.orders,
      policy: { crossRegion: 'forbidden' },
    })
    expect(configWarnings(parseConfig(fleet))).toContainEqual(expect.stringMatching(/orders-c .*crossRegion/))
  })

  test('F54 the same preference twice: the order of the configuration decides, each time', () => {
    const three = [node('a', '1'), node('b', '2', { preference: 1 }), node('c', '3', { preference: 1 })]
    for (let i = 0; i < 5; i++)
      expect(rank(rankInput({ b: 8, c: 8 }, { cluster: cluster({ nodes: three }) })).target).toBe('b')
    const turned = [three[2], three[0], three[1]].flatMap((each) => each ?? [])
    expect(rank(rankInput({ b: 8, c: 8 }, { cluster: cluster({ nodes: turned }) })).target).toBe('c')
  })

  test('F54 F90 policies that contradict each other are refused, all in one answer', () => {
    const problems = problemsOf(withPolicy({ synchronous: 'none', fence: 'quorum', loss: { mode: 'never' } }))
    expect(problems).toEqual([
      expect.stringContaining('policy.loss'),
      expect.stringContaining('policy.fence'),
      expect.stringContaining('policy.cancelledWaits'),
    ])
  })
})

describe('F63 a standby that has what its primary lacks', () => {
  /** c holds commits of nobody: its primary came back without its last ones, or somebody wrote to c. */
  async function errant(policy: Record<string, unknown> = {}, timeline = 1) {
    const made = await adopted({ policy: { fence: 'power', ...policy } })
    const { world, machine } = made
    const c = world.databases.of('c')
    c.conninfo = 'host=10.9.9.9 port=5432 application_name=c'
    for (let id = 1; id <= 4_000; id++) c.log.push({ id: -id })
    c.timeline = timeline
    await world.time.run(machine.watch(2))
    return made
  }

  test.each([1, 2])(
    'F63 H03b S8 it is reported, frozen and never promoted, however far it is (timeline %i)',
    async (timeline) => {
      const { world, machine } = await errant({ rejoin: 'never', loss: { mode: 'availability' } }, timeline)
      await world.time.run(machine.minutes(2, () => false))
      expect(openIssues(world)).toContain('diverged:c')
      expect(world.state.nodes.c?.role).toBe('diverged')
      expect(world.databases.of('c').conninfo).toContain('understudy-frozen')
      await kill(world, machine, 'a')
      expect(world.state.primary).toBe('b')
      expect(targetEvent(world)?.lastEvent.facts.passedOver).toMatchObject({
        c: expect.stringMatching(/diverged/),
      })
      expect(breaches(world)).toEqual([])
    },
  )

  test('F63 S11 it is copied anew, and is a standby again', async () => {
    const { world, machine } = await errant()
    await expectSteady(world, machine)
    await world.time.run(machine.minutes(3, () => false))
    await expectSteady(world, machine)
    expect(kinds(world)).toEqual(expect.arrayContaining(['diverged', 'rejoining', 'rejoined']))
    expect(world.state.nodes.c).toMatchObject({ role: 'standby' })
    expect(openIssues(world)).not.toContain('diverged:c')
    expect(world.databases.of('c').log.some(({ id }) => id < 0)).toBe(false)
  })

  test('F63 one that only stopped to follow is reported as that, and is not copied anew', async () => {
    const { world, machine } = await adopted({ policy: { fence: 'power' } })
    world.databases.of('c').conninfo = 'host=10.9.9.9 port=5432 application_name=c'
    await world.time.run(machine.watch(1))
    expect(openIssues(world)).toEqual(expect.not.arrayContaining(['not-following:c']))
    await world.time.run(machine.minutes(3, () => false))
    expect(openIssues(world)).toContain('not-following:c')
    expect(world.state.nodes.c?.role).toBe('standby')
    world.databases.of('c').conninfo = 'host=10.0.1.11 port=5432 application_name=c'
    await world.time.run(machine.minutes(2, () => false))
    expect(openIssues(world)).toEqual(expect.not.arrayContaining(['not-following:c']))
    expect(kinds(world)).not.toContain('diverged')
  })
})
