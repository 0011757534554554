import { describe, expect, test } from 'vitest'
import { approvalView } from '../../functions/core/approval.ts'
import { isClosed } from '../../functions/core/managedView.ts'
import { lostCommits } from '../steps/checker.ts'
import type { Machine } from '../steps/machine.ts'
import { kinds, story } from '../steps/support.ts'
import { cluster } from '../steps/world.ts'
import { adoptedRds, expectRedundant, kill, order, rdsBreaches } from './rdsSupport.ts'
import { away, closed, home, type RdsWorld } from './rdsWorld.ts'

const minutes = (world: RdsWorld, machine: Machine, most: number, until?: () => boolean) =>
  world.time.run(machine.minutes(most, until))
const acts = (world: RdsWorld) =>
  world.acts.flatMap((act) => (act.kind === 'rds' ? [`${act.action.do} ${act.node}`] : []))
const rows = (world: RdsWorld) => world.table.written.map(({ state }) => state.lastEvent.row)

/** RDS and every server of the Region are out of reach. */
function regionDown(world: RdsWorld): void {
  world.plane.down.add(home)
  for (const node of ['a', 'b']) world.cut.add(`*>${node}`)
  world.instance('c').replicationCut = true
}
function regionUp(world: RdsWorld): void {
  world.plane.down.clear()
  world.cut.clear()
}

describe('failover', () => {
  test('a dead primary: closed, rebooted, the replica promoted, the name moved, both places filled anew', async () => {
    const { world, machine } = await adoptedRds()
    const old = world.instance('a')
    await kill(world, machine, 'a')
    expect(world.state.primary, story(world)).toBe('b')
    expect(world.state.term).toBe(2)
    expect(old.groups).toEqual([{ id: closed, status: 'active' }])
    await expectRedundant(world, machine)
    expect(acts(world).slice(0, 3)).toEqual(['setGroups orders-a', 'reboot orders-a', 'promote orders-b'])
    expect(old).toMatchObject({ identifier: 'orders-a-t2', status: 'stopping', gone: false })
    expect(world.instance('b').backupRetentionDays).toBe(7)
    expect(world.plane.instances.filter((each) => each.gone).map((each) => each.identifier)).toEqual([
      'orders-c-t2',
    ])
    expect(world.state.findings).toEqual([])
  })

  test('promoted is only who is available, without a source, and writes (M1 to M6)', async () => {
    const { world, machine } = await adoptedRds()
    world.instance('a').server.end('untold')
    await world.time.run(machine.watch(4))
    const seen: string[] = []
    world.table.onState = (state) => {
      if (state.phase !== 'repointing' || state.lastEvent.kind !== 'promoted') return
      const { status, source, server } = world.instance('b')
      if (seen.length === 0) seen.push(`${status} ${source?.identifier ?? 'none'} ${server.inRecovery}`)
    }
    await world.time.run(machine.finish(3_600_000))
    expect(seen).toEqual(['available none false'])
  })

  test('ordered while the primary lives: its sessions are ended behind the group, and nothing is lost', async () => {
    const { world, machine } = await adoptedRds()
    const answer = await order(world, machine, { command: 'failover', reason: 'test' })
    expect(answer).toMatchObject({ outcome: 'done' })
    const target = world.table.written.find(({ state }) => state.lastEvent.kind === 'target')?.state
    expect(target?.lastEvent.row).toBe('P7')
    expect(target?.plan?.loss).toMatchObject({ provable: 'none', boundMs: 0 })
    expect(kinds(world)).toContain('drained')
    await expectRedundant(world, machine)
  })

  test('nobody can be promoted behind the fence: said with what to do, and who comes back is promoted', async () => {
    const { world, machine } = await adoptedRds()
    world.table.onState = (state) => {
      if (state.lastEvent.kind !== 'fenced') return
      for (const id of ['b', 'c']) world.instance(id).server.end('untold')
    }
    await kill(world, machine, 'a', 600_000)
    world.table.onState = () => undefined
    await world.time.run(machine.tick())
    expect(world.state.phase, story(world)).toBe('promoting')
    const issue = world.table.issues.get('orders nobody-to-promote')
    expect(issue).toMatchObject({
      severity: 'critical',
      message: expect.stringMatching(/b: it does not answer/),
    })
    expect(issue?.todo).toContain(
      'modify-db-instance --region eu-central-1 --db-instance-identifier orders-a --vpc-security-group-ids sg-0be1',
    )
    world.instance('b').server.start('standby')
    await minutes(world, machine, 10, () => world.state.primary === 'b')
    await world.time.run(machine.finish(3_600_000))
    await world.time.run(machine.tick())
    expect(world.state.primary, story(world)).toBe('b')
    expect([...world.table.issues.keys()]).not.toContain('orders nobody-to-promote')
    expect(rdsBreaches(world)).toEqual([])
  })

  test('nobody comes back: halt, the old groups, adopt, as the runbook says', async () => {
    const { world, machine } = await adoptedRds()
    const old = world.instance('a')
    world.table.onState = (state) => {
      if (state.lastEvent.kind !== 'fenced') return
      for (const id of ['b', 'c']) world.instance(id).server.end('untold')
    }
    await kill(world, machine, 'a', 600_000)
    world.table.onState = () => undefined
    await order(world, machine, { command: 'halt', reason: 'no replica comes back' }, 60_000)
    expect(world.state.phase).toBe('halted')
    world.plane.act(home, { do: 'setGroups', instance: 'orders-a', groupIds: ['sg-0be1'] })
    await world.time.run(world.time.sleep(90_000))
    const answer = await order(world, machine, { command: 'adopt' })
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'done' })
    expect(world.state.primary).toBe('a')
    expect(old.open).toBe(true)
    expect([...rdsBreaches(world), ...lostCommits(world)]).toEqual([])
  })

  test('a primary that hangs is fenced by its reboot, however long it had sessions', async () => {
    const { world, machine } = await adoptedRds()
    world.instance('a').server.hung = true
    await world.time.run(machine.watch(8))
    await world.time.run(machine.finish(3_600_000))
    await expectRedundant(world, machine)
    expect(world.state.primary).not.toBe('a')
  })

  test('a replica that is being backed up is waited for, within its grace', async () => {
    const { world, machine } = await adoptedRds()
    const { server } = world.instance('c')
    world.instance('c').replicationCut = true
    world.instance('b').status = 'backing-up'
    await world.time.run(machine.watch(4))
    world.time.after(200_000, () => {
      world.instance('b').status = 'available'
    })
    await kill(world, machine, 'a')
    expect(rows(world)).toContain('P2')
    expect(world.state.primary).toBe('b')
    expect(server.inRecovery).toBe(true)
  })

  test('one that is backed up for longer than that is passed over', async () => {
    const { world, machine } = await adoptedRds({ managed: { backupGraceMs: 30_000 } })
    world.instance('b').status = 'backing-up'
    await kill(world, machine, 'a')
    expect(world.state.primary, story(world)).toBe('c')
  })

  test('Multi-AZ fails over by itself, and is followed', async () => {
    const { world, machine } = await adoptedRds({}, (each) => {
      each.instance('a').multiAz = true
    })
    const instance = world.instance('a')
    world.time.after(70_000, () => instance.server.start('primary'))
    await kill(world, machine, 'a')
    expect(rows(world)).toContain('V9')
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady' })
    expect(acts(world)).toEqual([])
    expect(rdsBreaches(world)).toEqual([])
  })

  test('Multi-AZ that does not come back within its grace is failed over', async () => {
    const { world, machine } = await adoptedRds({ managed: { providerGraceMs: 60_000 } }, (each) => {
      each.instance('a').multiAz = true
    })
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('b')
    await minutes(world, machine, 60)
    // What was Multi-AZ is not any more: said, for as long as it is so.
    expect(world.state.findings.map((each) => each.key)).toEqual(['settings-differ:b'])
    expect([...world.table.issues.keys()]).toContain('orders settings-differ:b')
    world.instance('b').multiAz = true
    await minutes(
      world,
      machine,
      130,
      () => world.state.findings.length === 0 && world.state.phase === 'steady',
    )
    await world.time.run(machine.tick())
    expect([...world.table.issues.keys()]).not.toContain('orders settings-differ:b')
    await expectRedundant(world, machine)
  })

  test('what RDS does with the primary is followed, not raced', async () => {
    const { world, machine } = await adoptedRds()
    world.plane.reboot(world.instance('a'))
    await world.time.run(machine.watch(60))
    await world.time.run(machine.finish(3_600_000))
    await minutes(world, machine, 3)
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady' })
    expect(acts(world)).toEqual([])
  })

  test('H02: another instance under the recorded name is neither fenced nor taken for fenced', async () => {
    const { world, machine } = await adoptedRds()
    // Renamed and replaced by a person: the name is another instance, behind the closed group, as if it were fenced.
    const instance = world.instance('a') as { resourceId: string; groups: unknown }
    instance.resourceId = 'db-ANOTHER'
    instance.groups = [{ id: closed, status: 'active' }]
    await kill(world, machine, 'a', 600_000)
    expect(world.state.phase).toBe('fencing')
    expect(rows(world)).toContain('X5')
    expect(acts(world)).toEqual([])
    await order(world, machine, {
      command: 'approve',
      reason: 'test',
      term: 2,
      acceptLoss: false,
      unfenced: ['a'],
      minutes: 60,
    })
    await world.time.run(machine.finish(3_600_000))
    expect(world.state.primary).toBe('b')
    expect(acts(world)[0]).toBe('promote orders-b')
    expect(rdsBreaches(world)).toEqual([])
  })

  test('a replica whose name belongs to another instance is not promoted', async () => {
    const { world, machine } = await adoptedRds()
    const replaced = world.instance('b') as { resourceId: string }
    replaced.resourceId = 'db-ANOTHER'
    await kill(world, machine, 'a')
    expect(world.state.primary, story(world)).toBe('c')
  })

  test('with its Region down nothing is promoted before a person accepts the missing fence', async () => {
    const { world, machine } = await adoptedRds()
    regionDown(world)
    // Its clients inside the Region still reach it: it goes on writing.
    await world.time.run(machine.watch(12))
    await world.time.run(machine.finish(900_000))
    expect(world.state.phase, story(world)).toBe('fencing')
    expect(rows(world)).toContain('X4')
    expect(acts(world)).toEqual([])
    const decision = { action: 'wait', row: 'A6', reason: '' } as const
    expect(approvalView({ state: world.state, decision, given: null, clockMs: 0 })).toMatchObject({
      term: 2,
      needed: 'the missing fence of a',
    })
    await minutes(world, machine, 5, () => false)
    expect(acts(world)).toEqual([])
    world.cut.add('clients>a')
    const { term } = world.state
    await order(world, machine, {
      command: 'approve',
      reason: 'test',
      term,
      acceptLoss: false,
      unfenced: ['a'],
      minutes: 600,
    })
    await world.time.run(machine.finish(3_600_000))
    expect(world.state.primary, story(world)).toBe('c')
    expect(world.state.nodes.a).toMatchObject({ fenced: false, role: 'quarantined' })
    // The Region is back: the old primary is fenced before anything else is done with it.
    const old = world.instance('a')
    regionUp(world)
    world.cut.add('clients>a')
    const before = acts(world).length
    await minutes(world, machine, 60)
    const since = acts(world).slice(before)
    expect(since.indexOf('setGroups orders-a')).toBeGreaterThanOrEqual(0)
    expect(since.indexOf('reboot orders-a')).toBeLessThan(since.indexOf('rename orders-a'))
    expect(isClosed(world.plane.view(old), closed)).toBe(true)
    world.cut.clear()
    await minutes(world, machine, 60)
    // What a had alone is lost with it: that is what was accepted.
    expect(world.state).toMatchObject({ phase: 'steady', primary: 'c' })
    expect(world.instance('a').source?.identifier).toBe('orders-c')
    expect(world.instance('a').node.region).toBe(home)
    expect(rdsBreaches(world).filter((each) => !each.includes('two writers'))).toEqual([])
  })

  test('the replica of the other Region is promoted when it is the only one, and its Region answers', async () => {
    const { world, machine } = await adoptedRds({ nodes: { b: { promotable: false } } })
    await kill(world, machine, 'a')
    expect(world.state.primary).toBe('c')
    expect(world.instance('c').node.region).toBe(away)
    await expectRedundant(world, machine)
  })

  test('and once more: the new primary dies, too', async () => {
    const { world, machine } = await adoptedRds({ policy: { cooldownMs: 0 } })
    await kill(world, machine, 'a')
    await expectRedundant(world, machine)
    await kill(world, machine, 'b')
    expect(world.state.primary, story(world)).not.toBe('b')
    await expectRedundant(world, machine)
    const former = world.plane.instances.filter((each) => /-t\d+$/.test(each.identifier) && !each.gone)
    expect(former.map((each) => each.identifier)).toEqual(['orders-a-t2', 'orders-b-t3'])
  })

  test('the new primary dies before anything was made anew: nothing is taken apart, and nobody is promoted blindly', async () => {
    const { world, machine } = await adoptedRds({ policy: { cooldownMs: 0 } })
    world.table.onState = (state) => {
      if (state.lastEvent.kind === 'repointed') world.instance('b').server.end('untold')
    }
    await kill(world, machine, 'a')
    await minutes(world, machine, 10, () => false)
    expect(acts(world).filter((each) => /^(delete|stop|rename)/.test(each))).toEqual([])
    expect(rdsBreaches(world)).toEqual([])
  })
})

describe('evidence', () => {
  const open = (world: RdsWorld) => {
    const instance = world.instance('a')
    instance.groups = [{ id: 'sg-0be1', status: 'active' }]
    if (!instance.server.running) instance.server.start('primary')
  }
  /** Does it once, when an event of that kind is first written. */
  const once = (world: RdsWorld, kind: string, act: () => void) => {
    let over = false
    world.table.onState = (state) => {
      if (over || state.lastEvent.kind !== kind) return
      over = true
      act()
    }
  }

  test.each(['closed', 'rebooting', 'evidence'])(
    'opened by somebody after it was %s: closed and rebooted again before anybody is promoted',
    async (kind) => {
      const { world, machine } = await adoptedRds()
      once(world, kind, () => open(world))
      await kill(world, machine, 'a')
      await minutes(world, machine, 30, () => world.state.primary === 'b')
      await world.time.run(machine.finish(3_600_000))
      expect(world.state.primary, story(world)).toBe('b')
      const done = acts(world)
      expect(
        done.slice(0, done.indexOf('promote orders-b')).filter((each) => each === 'setGroups orders-a'),
      ).toHaveLength(2)
      await expectRedundant(world, machine)
    },
  )

  test('opened between the fence and the promotion: read again, and not promoted in this term', async () => {
    const { world, machine } = await adoptedRds()
    once(world, 'fenced', () => open(world))
    await kill(world, machine, 'a')
    expect(acts(world)).not.toContain('promote orders-b')
    await minutes(world, machine, 30, () => world.state.primary === 'b')
    await world.time.run(machine.finish(3_600_000))
    expect(world.state).toMatchObject({ primary: 'b', term: 3 })
    await expectRedundant(world, machine)
  })

  test.each([true, false])(
    'a new term fences anew, whatever an older one had seen (opened: %s)',
    async (opened) => {
      const { world, machine } = await adoptedRds()
      once(world, 'rebooting', () => {
        machine.executions.at(-1)?.stop()
        world.fault = ({ by }) => (by.name.includes('fence') ? 'crash' : undefined)
        world.time.after(30_000, () => {
          if (opened) open(world)
          world.fault = () => undefined
        })
      })
      await kill(world, machine, 'a')
      await minutes(world, machine, 30, () => world.state.primary === 'b')
      await world.time.run(machine.finish(3_600_000))
      expect(world.state.primary, story(world)).toBe('b')
      expect(acts(world).filter((each) => each === 'reboot orders-a')).toHaveLength(2)
      await expectRedundant(world, machine)
    },
  )

  test('a target whose name went to another instance is not promoted (M2)', async () => {
    const { world, machine } = await adoptedRds()
    once(world, 'target', () => {
      const instance = world.instance('b') as { resourceId: string }
      instance.resourceId = 'db-ANOTHER'
    })
    await kill(world, machine, 'a')
    expect(rows(world)).toContain('M2')
    await minutes(world, machine, 5, () => false)
    expect(acts(world).filter((each) => each.startsWith('promote'))).toEqual([])
    expect(rdsBreaches(world)).toEqual([])
  })
})

describe('rebuild', () => {
  test("policy 'approve': nothing is renamed or made before the term is approved", async () => {
    const { world, machine } = await adoptedRds({ policy: { rebuild: 'approve' } })
    await kill(world, machine, 'a')
    await minutes(world, machine, 5, () => false)
    expect(acts(world)).toEqual(['setGroups orders-a', 'reboot orders-a', 'promote orders-b'])
    const decision = { action: 'wait', row: 'A19', reason: '' } as const
    expect(approvalView({ state: world.state, decision, given: null, clockMs: 0 })).toMatchObject({
      term: 2,
      needed: 'new replicas in place of a, c',
    })
    expect([...world.table.issues.keys()]).toEqual(
      expect.arrayContaining(['orders replica-unapproved:a', 'orders replica-unapproved:c']),
    )
    await order(world, machine, {
      command: 'approve',
      reason: 'test',
      term: 2,
      acceptLoss: false,
      unfenced: [],
      minutes: 10,
    })
    await expectRedundant(world, machine)
  })

  test("policy 'never': a replica that a person makes is taken over", async () => {
    const { world, machine } = await adoptedRds({ policy: { rebuild: 'never' } })
    await kill(world, machine, 'a')
    await minutes(world, machine, 3, () => false)
    expect(acts(world)).toHaveLength(3)
    // It runs on behind its closed group, where only we reach it: that is no second writer.
    expect(world.instance('a').server).toMatchObject({ running: true, inRecovery: false })
    expect([...world.table.issues.keys()]).not.toContain('orders two-writers')
    expect(world.told.join()).not.toMatch(/TWO WRITERS/)
    const create = (node: 'a' | 'c', region: string) => {
      const old = world.instance(node)
      old.identifier = `kept-${node}`
      const source = { identifier: 'orders-b', region: home }
      const groupIds = old.node.groupIds
      const place = { availabilityZone: null, instanceClass: null, tags: {} }
      const like = `kept-${node}`
      const act = {
        do: 'createReplica' as const,
        instance: `orders-${node}`,
        source,
        like,
        groupIds,
        ...place,
      }
      expect(world.plane.act(region, act)).toEqual({ outcome: 'requested' })
    }
    create('a', home)
    create('c', away)
    await expectRedundant(world, machine)
    expect(world.plane.held('kept-c')?.gone).toBe(false)
  })

  test('a replica in another Region is made like the one that it replaces, its parameter group included', async () => {
    const { world, machine } = await adoptedRds({}, (each) => {
      each.instance('c').parameterGroup = 'orders-ireland'
    })
    const old = world.instance('c')
    await kill(world, machine, 'a')
    await expectRedundant(world, machine)
    expect(world.instance('c')).not.toBe(old)
    expect(world.instance('c')).toMatchObject({ parameterGroup: 'orders-ireland', pendingReboot: false })
    const done = acts(world)
    expect(done.indexOf('setParameterGroup orders-c')).toBeLessThan(done.indexOf('reboot orders-c'))
    // Of what is in the Region of its source RDS takes the settings by itself.
    expect(done).not.toContain('setParameterGroup orders-a')
    const made = world.acts.flatMap((act) =>
      act.kind === 'rds' && act.action.do === 'createReplica' ? [act.action.like] : [],
    )
    expect(made.toSorted()).toEqual(['orders-a-t2', 'orders-c-t2'])
  })

  test('a replaced replica that is protected from deletion stays, is told of, and keeps nobody waiting', async () => {
    const { world, machine } = await adoptedRds({}, (each) => {
      each.instance('c').deletionProtected = true
    })
    const old = world.instance('c')
    await kill(world, machine, 'a')
    await expectRedundant(world, machine)
    expect(old).toMatchObject({ identifier: 'orders-c-t2', gone: false })
    expect(acts(world)).not.toContain('deleteReplica orders-c-t2')
    await world.time.run(machine.tick())
    expect([...world.table.issues.keys()]).toContain('orders replica-kept:c')
    old.deletionProtected = false
    await minutes(world, machine, 130, () => old.gone)
    expect(old.gone).toBe(true)
    await expectRedundant(world, machine)
  })

  test('RDS starts the old primary after seven days: it is stopped again, and no client met it', async () => {
    const { world, machine } = await adoptedRds()
    const old = world.instance('a')
    await kill(world, machine, 'a')
    await expectRedundant(world, machine)
    await world.days(7.002)
    expect(old.status).toBe('starting')
    const before = acts(world).length
    // Every event is lost: the first tick of the hour sees it, too.
    await minutes(world, machine, 70, () => old.status === 'stopped')
    expect(old.status).toBe('stopped')
    expect(acts(world).slice(before)).toEqual(['stop orders-a-t2'])
    await expectRedundant(world, machine)
  })

  test('an event of RDS wakes the pass at once', async () => {
    const { world, machine } = await adoptedRds()
    const old = world.instance('a')
    await kill(world, machine, 'a')
    await expectRedundant(world, machine)
    await world.days(7.01)
    await world.time.run(machine.watch(2))
    expect(old.status).toBe('available')
    await world.time.run(machine.assess({ kind: 'hint', woken: [cluster], reported: [] }))
    await world.time.run(machine.finish())
    expect(old.status).toBe('stopping')
  })

  test('an old primary that is opened again is closed, rebooted and told of', async () => {
    const { world, machine } = await adoptedRds({ policy: { rebuild: 'never' } })
    const old = world.instance('a')
    await kill(world, machine, 'a')
    await minutes(world, machine, 2, () => false)
    world.cut.add('clients>a')
    old.groups = [{ id: 'sg-0be1', status: 'active' }]
    const { starts } = old.server
    await minutes(world, machine, 6, () => false)
    expect(isClosed(world.plane.view(old), closed)).toBe(true)
    expect(old.server.starts).toBeGreaterThan(starts)
    expect(world.state.nodes.a?.fenced).toBe(true)
    expect(kinds(world)).toContain('paged')
    expect(rdsBreaches(world)).toEqual([])
  })
})

describe('switchover', () => {
  test('writes stopped behind the group, drained to the last commit, promoted, rebuilt: nothing is lost', async () => {
    const { world, machine } = await adoptedRds()
    const answer = await order(world, machine, { command: 'switchover', reason: 'test', to: 'c' })
    expect(answer).toMatchObject({ outcome: 'done' })
    expect(world.state.primary, story(world)).toBe('c')
    expect(world.state.plan?.loss ?? { provable: 'none' }).toMatchObject({ provable: 'none' })
    expect(lostCommits(world)).toEqual([])
    await expectRedundant(world, machine)
  })

  test('H26 backs out when no candidate gets the end of the log: the groups are as before', async () => {
    const { world, machine } = await adoptedRds()
    const instance = world.instance('a')
    world.table.onState = (state) => {
      if (state.lastEvent.kind !== 'closed') return
      // As H26 warns: the closed group cuts the replication, too. A session that was met by nobody commits behind it.
      world.instance('b').replicationCut = true
      world.instance('c').replicationCut = true
      instance.clientsSince = instance.server.starts
      instance.keptOutUntilMs = 0
      world.databases.commit('a')
    }
    await order(world, machine, { command: 'switchover', reason: 'test' })
    await minutes(world, machine, 5)
    expect(rows(world)).toContain('X25')
    expect(world.state).toMatchObject({ primary: 'a', phase: 'steady', plan: null })
    expect(instance.groups).toEqual([{ id: 'sg-0be1', status: 'active' }])
    expect(instance.server.inRecovery).toBe(false)
    expect(acts(world)).toEqual(['setGroups orders-a', 'setGroups orders-a'])
    expect([...rdsBreaches(world), ...lostCommits(world)]).toEqual([])
  })

  test('an execution that is stopped in the middle is undone by the resume', async () => {
    const { world, machine } = await adoptedRds()
    const instance = world.instance('a')
    world.table.onState = (state) => {
      if (state.lastEvent.kind === 'closed') machine.executions.at(-1)?.stop()
    }
    await order(world, machine, { command: 'switchover', reason: 'test', to: 'b' })
    expect(world.state.phase).toBe('fencing')
    await minutes(world, machine, 10)
    await world.time.run(machine.finish(3_600_000))
    await minutes(world, machine, 10)
    expect(world.state, story(world)).toMatchObject({ primary: 'a', phase: 'steady' })
    expect(instance.groups).toEqual([{ id: 'sg-0be1', status: 'active' }])
    expect([...rdsBreaches(world), ...lostCommits(world)]).toEqual([])
  })

  test('one whose target is recorded goes forward only', async () => {
    const { world, machine } = await adoptedRds()
    world.table.onState = (state) => {
      if (state.lastEvent.kind === 'target') machine.executions.at(-1)?.stop()
    }
    await order(world, machine, { command: 'switchover', reason: 'test', to: 'b' })
    world.table.onState = () => undefined
    await minutes(world, machine, 10, () => world.state.primary === 'b')
    await world.time.run(machine.finish(3_600_000))
    expect(world.state.primary, story(world)).toBe('b')
    await expectRedundant(world, machine)
  })

  test('is refused while anything is in doubt', async () => {
    const { world, machine } = await adoptedRds()
    const refused = async (to: string | undefined, why: RegExp) => {
      await order(world, machine, { command: 'switchover', reason: 'test', ...(to ? { to } : {}) })
      expect(world.state).toMatchObject({ primary: 'a', phase: 'steady' })
      expect(world.state.lastEvent.message).toMatch(why)
      expect(acts(world)).toEqual([])
    }
    world.instance('b').status = 'backing-up'
    await refused('b', /b is no available replica of a/)
    world.instance('b').status = 'available'
    world.instance('a').status = 'modifying'
    await refused(undefined, /a is modifying/)
    world.instance('a').status = 'available'
    world.plane.down.add(home)
    await refused('c', /does not show the recorded instance of a/)
  })
})

describe('resume', () => {
  test('a target that dies before its promotion: another one, behind evidence for both', async () => {
    const { world, machine } = await adoptedRds()
    world.table.onState = (state) => {
      if (state.lastEvent.kind !== 'target' || state.term !== 2) return
      machine.executions.at(-1)?.stop()
      world.rdsFault = ({ name }) => (name === 'promote' ? 'before' : undefined)
      world.instance('b').server.end('untold')
    }
    await kill(world, machine, 'a')
    await world.time.run(world.time.sleep(60_000))
    world.rdsFault = () => undefined
    await minutes(world, machine, 60, () => world.state.primary === 'c')
    await world.time.run(machine.finish(3_600_000))
    expect(world.state.primary, story(world)).toBe('c')
    const done = acts(world)
    expect(done.indexOf('setGroups orders-b')).toBeLessThan(done.indexOf('promote orders-c'))
    expect(done).not.toContain('promote orders-b')
    await expectRedundant(world, machine)
  })

  test('a target that was deleted: nobody else is promoted before a person accepts that it has no fence', async () => {
    const { world, machine } = await adoptedRds()
    world.table.onState = (state) => {
      if (state.lastEvent.kind === 'target' && state.term === 2) world.instance('b').gone = true
    }
    await kill(world, machine, 'a')
    world.table.onState = () => undefined
    await minutes(world, machine, 10, () => rows(world).includes('X5'))
    expect(acts(world).filter((each) => each.startsWith('promote'))).toEqual([])
    const { term } = world.state
    await order(world, machine, {
      command: 'approve',
      reason: 'test',
      term,
      acceptLoss: false,
      unfenced: ['b'],
      minutes: 60,
    })
    await minutes(world, machine, 60, () => world.state.primary === 'c')
    expect(rdsBreaches(world)).toEqual([])
  })
})

describe('adopt', () => {
  test('records resource ids of what answers at the address that RDS names, and voids them when the name moves', async () => {
    const { world, machine } = await adoptedRds()
    const ids = () =>
      Object.fromEntries(Object.entries(world.state.nodes).map(([id, each]) => [id, each.instanceId]))
    expect(ids()).toEqual({ a: 'db-ORDERS-A-1', b: 'db-ORDERS-B-2', c: 'db-ORDERS-C-3' })
    const moved = world.instance('b') as { resourceId: string }
    moved.resourceId = 'db-ANOTHER'
    world.instance('b').server.end('untold')
    world.instance('c').server.end('untold')
    await order(world, machine, { command: 'adopt' })
    expect(ids()).toEqual({ a: 'db-ORDERS-A-1', b: null, c: 'db-ORDERS-C-3' })
  })

  test('an instance at another address is not the one that the probes reach', async () => {
    const { world, machine } = await adoptedRds()
    const { plane } = world
    const view = plane.view.bind(plane)
    plane.view = (instance) =>
      instance.identifier === 'orders-c'
        ? { ...view(instance), address: 'elsewhere.example.com' }
        : view(instance)
    await order(world, machine, { command: 'adopt' })
    await minutes(world, machine, 3, () => false)
    expect(world.state.nodes.c?.instanceId).toBeNull()
    expect(world.state.phase).toBe('settling')
  })
})
