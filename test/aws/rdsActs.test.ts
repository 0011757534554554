/**
 * The fault matrix of the adapter: every act × what may become of its call. What is `refused` certainly had no effect,
 * what is `unknown` may have had one, and nothing is ever sent twice (S5).
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RdsAct, RdsOutcome } from '../../functions/ports.ts'
import type { Mishap } from '../../local/front.ts'
import { answerLost, noAnswer, throttled } from '../../local/rds/index.ts'
import { defaultSettings, keyArn } from '../../local/rds/model.ts'
import { away, eventually, home } from '../local/rdsFixture.ts'
import { type RdsWorld, startRdsWorld } from './rdsWorld.ts'

interface Cell {
  readonly mishap: Mishap | undefined
  readonly expected: Partial<RdsOutcome>
  readonly effect: boolean
}

const cells: Record<string, Cell> = {
  works: { mishap: undefined, expected: { outcome: 'requested' }, effect: true },
  'busy with something else': {
    mishap: { when: 'before', code: 'InvalidDBInstanceState', message: 'backing-up' },
    expected: { outcome: 'refused', code: 'InvalidDBInstanceState', later: true },
    effect: false,
  },
  'may not': {
    mishap: { when: 'before', code: 'AccessDenied', message: 'not authorized', status: 403 },
    expected: { outcome: 'refused', code: 'AccessDenied', later: false },
    effect: false,
  },
  'an internal failure': {
    mishap: { when: 'before', code: 'InternalFailure', status: 500 },
    expected: { outcome: 'unknown' },
    effect: false,
  },
  'a cut connection, before the effect': {
    mishap: { when: 'before' },
    expected: { outcome: 'unknown' },
    effect: false,
  },
  'a time-out before the effect': { mishap: noAnswer, expected: { outcome: 'unknown' }, effect: false },
  'a time-out after the effect': { mishap: answerLost, expected: { outcome: 'unknown' }, effect: true },
  throttled: {
    mishap: throttled,
    expected: { outcome: 'refused', code: 'Throttling', later: true },
    effect: false,
  },
  delayed: { mishap: { delayMs: 300 }, expected: { outcome: 'requested' }, effect: true },
}
const cellNames = Object.keys(cells)

/** What each act does to an instance of its own, so that cells do not meet. */
const actsOnInstances = {
  setGroups: { operation: 'ModifyDBInstance', of: (instance) => ({ instance, groupIds: ['sg-closed'] }) },
  reboot: { operation: 'RebootDBInstance', of: (instance) => ({ instance }) },
  promote: { operation: 'PromoteReadReplica', of: (instance) => ({ instance, backupRetentionDays: 5 }) },
  setParameterGroup: { operation: 'ModifyDBInstance', of: (instance) => ({ instance, name: 'orders-own' }) },
  stop: { operation: 'StopDBInstance', of: (instance) => ({ instance }) },
  rename: { operation: 'ModifyDBInstance', of: (instance) => ({ instance, to: `${instance}-t7` }) },
  deleteReplica: { operation: 'DeleteDBInstance', of: (instance) => ({ instance }) },
} as const satisfies Record<string, { operation: string; of: (instance: string) => object }>
const actNames = Object.keys(actsOnInstances) as (keyof typeof actsOnInstances)[]

const at = (last: number, port: number) => ({ address: `127.0.0.3${last}`, port })
const own = (act: string, cell: string) => `${act}-${cellNames.indexOf(cell)}`.toLowerCase()

/** In each setting another one than a replica gets by default. */
const farSettings = {
  ...defaultSettings(away, '000000000000'),
  kmsKey: keyArn(away, '000000000000', 'orders'),
  subnetGroup: 'orders-private',
  optionGroup: 'orders-options',
  storageType: 'io2',
  iops: 4_000,
  throughput: null,
  iamAuthentication: true,
  minorUpgrades: false,
  authority: 'rds-ca-ecc384-g1',
  copyTags: true,
  deletionProtection: true,
  networkType: 'DUAL',
  isPublic: true,
  logs: ['postgresql', 'upgrade'],
  monitoring: { seconds: 15, role: 'arn:aws:iam::000000000000:role/monitoring' },
  insights: { key: keyArn(away, '000000000000', 'insights'), days: 93 },
}

let world: RdsWorld
beforeAll(async () => {
  world = await startRdsWorld(['a', 'b'], ({ server, endpointPort: port }) => ({
    instances: [
      { identifier: 'source', region: home },
      ...actNames.flatMap((act) =>
        cellNames.map((cell) => ({
          identifier: own(act, cell),
          region: home,
          ...(act === 'promote' || act === 'deleteReplica' ? { source: 'source' } : {}),
        })),
      ),
      ...cellNames.flatMap((cell) => [
        { identifier: `${own('writer', cell)}`, region: home, cluster: own('cluster', cell) },
        { identifier: `${own('reader', cell)}`, region: home, cluster: own('cluster', cell) },
      ]),
      { identifier: 'lone', region: home },
      { identifier: 'middle', region: home, source: 'source' },
      { identifier: 'leaf', region: home, source: 'middle' },
      { identifier: 'near-1', region: home, cluster: 'near', server: server('a'), endpoint: at(1, port) },
      {
        identifier: 'far-2',
        region: away,
        settings: farSettings,
        parameterGroup: 'orders-ireland',
      },
      { identifier: 'far-1', region: away, cluster: 'far', server: server('b'), endpoint: at(2, port) },
    ],
    clusters: [
      ...cellNames.map((cell) => ({
        identifier: own('cluster', cell),
        region: home,
        writer: own('writer', cell),
      })),
      { identifier: 'near', region: home, writer: 'near-1', endpoint: at(3, port) },
      { identifier: 'far', region: away, endpoint: at(4, port) },
    ],
    globals: [{ identifier: 'world', clusters: ['near', 'far'], endpoint: at(5, port) }],
  }))
}, 60_000)
afterAll(async () => await world?.close())

function cellOf(name: string): Cell {
  const cell = cells[name]
  if (cell === undefined) throw new Error(name)
  return cell
}

/** Carries out one act under one mishap. Resolves to its outcome, once its one call was sent exactly once. */
async function underMishap(
  act: RdsAct,
  operation: string,
  on: string,
  mishap: Mishap | undefined,
): Promise<RdsOutcome> {
  let seen = 0
  const remove = world.front.onCall((call) => {
    if (call.operation !== operation || !`${call.body}&`.includes(`Identifier=${on}&`)) return undefined
    seen += 1
    return mishap
  })
  try {
    // Patient, for a machine that is busy, but where a time-out is what is wanted.
    const actMs = mishap?.silent ? 2_000 : 60_000
    const outcome = await world.adapter({ actMs }).act(home, act)
    expect(seen).toBe(1)
    return outcome
  } finally {
    remove()
  }
}

/** An effect is there at once or never: a call is carried out before it is answered, or not at all. */
async function expectEffect(happened: () => boolean, effect: boolean): Promise<void> {
  if (effect) await eventually(happened)
  else expect(happened()).toBe(false)
}

describe.each(actNames)('S5 %s', (name) => {
  test.concurrent.each(cellNames)('%s', async (cell) => {
    const { mishap, expected, effect } = cellOf(cell)
    const instance = own(name, cell)
    const { operation, of } = actsOnInstances[name]
    const before = world.rds.history(instance).length
    // `promoting` is not shown, but it is recorded.
    const outcome = await underMishap({ do: name, ...of(instance) } as RdsAct, operation, instance, mishap)
    expect(outcome).toMatchObject(expected)
    await expectEffect(() => (historyOf(instance) ?? Number.POSITIVE_INFINITY) > before, effect)
  })
})

/** Null: it has another name or is gone. */
function historyOf(instance: string): number | null {
  try {
    return world.rds.history(instance).length
  } catch {
    return null
  }
}

describe('S5 createReplica', () => {
  test.concurrent.each(cellNames)('%s', async (cell) => {
    const { mishap, expected, effect } = cellOf(cell)
    const instance = own('created', cell)
    const act: RdsAct = {
      do: 'createReplica',
      instance,
      source: { identifier: 'source', region: home },
      like: null,
      groupIds: ['sg-closed'],
      availabilityZone: `${home}b`,
      instanceClass: 'db.r6g.large',
      tags: { 'understudy:cluster': 'orders', 'understudy:term': '7' },
    }
    expect(await underMishap(act, 'CreateDBInstanceReadReplica', instance, mishap)).toMatchObject(expected)
    await expectEffect(() => historyOf(instance) !== null, effect)
    if (!effect) return
    expect(world.rds.history(instance)[0]).toMatchObject({
      availabilityZone: `${home}b`,
      groups: [{ id: 'sg-closed', status: 'active' }],
      source: `arn:aws:rds:${home}:000000000000:db:source`,
      tags: act.tags,
    })
  })
})

describe('S5 failoverCluster', () => {
  test.concurrent.each(cellNames)('%s', async (cell) => {
    const { mishap, expected, effect } = cellOf(cell)
    const cluster = own('cluster', cell)
    const act: RdsAct = { do: 'failoverCluster', cluster, target: own('reader', cell) }
    expect(await underMishap(act, 'FailoverDBCluster', cluster, mishap)).toMatchObject(expected)
    await expectEffect(() => world.rds.events.some(({ arn }) => arn.endsWith(`:${cluster}`)), effect)
  })
})

describe.each(['switchoverGlobal', 'failoverGlobal'] as const)('S5 %s', (name) => {
  const operation = { switchoverGlobal: 'SwitchoverGlobalCluster', failoverGlobal: 'FailoverGlobalCluster' }[
    name
  ]
  const settled = () =>
    eventually(() => {
      const { failover, members } = world.rds.global('world')
      const healthy = members.every(({ synchronization }) => synchronization === 'connected')
      return failover === null && healthy && members
    })

  test.each(cellNames)('%s', async (cell) => {
    const { mishap, expected, effect } = cellOf(cell)
    const target = (await settled()).find(({ isWriter }) => !isWriter)?.clusterArn ?? ''
    const before = world.rds.globalHistory('world').length
    const act: RdsAct = { do: name, global: 'world', targetArn: target }
    // A target that has just become a secondary may not stream yet.
    const outcome = await eventually(async () => {
      const got = await underMishap(act, operation, 'world', mishap)
      return (
        (mishap?.code !== undefined || !('code' in got) || got.code !== 'InvalidGlobalClusterState') && got
      )
    })
    expect(outcome).toMatchObject(expected)
    await expectEffect(() => world.rds.globalHistory('world').length > before, effect)
    if (effect) expect((await settled()).find(({ isWriter }) => isWriter)?.clusterArn).toBe(target)
  })
})

describe('what is sent', () => {
  const bodyOf = async (act: RdsAct, region = home) => {
    let body = ''
    const remove = world.front.onCall((call) => {
      if (call.operation.startsWith('Describe')) return undefined
      body = call.body
      return throttled
    })
    await world.adapter().act(region, act)
    remove()
    const { Action, Version, ...rest } = Object.fromEntries(new URLSearchParams(body))
    return { Action, rest }
  }

  test('groups: not with ApplyImmediately, which would apply whatever else is pending', async () => {
    expect(await bodyOf({ do: 'setGroups', instance: 'lone', groupIds: ['sg-a', 'sg-b'] })).toEqual({
      Action: 'ModifyDBInstance',
      rest: {
        DBInstanceIdentifier: 'lone',
        'VpcSecurityGroupIds.VpcSecurityGroupId.1': 'sg-a',
        'VpcSecurityGroupIds.VpcSecurityGroupId.2': 'sg-b',
      },
    })
  })

  test('a name: at once; a reboot: no failover of Multi-AZ; a deletion: without a snapshot', async () => {
    expect(await bodyOf({ do: 'rename', instance: 'lone', to: 'lone-t2' })).toEqual({
      Action: 'ModifyDBInstance',
      rest: { DBInstanceIdentifier: 'lone', NewDBInstanceIdentifier: 'lone-t2', ApplyImmediately: 'true' },
    })
    expect(await bodyOf({ do: 'reboot', instance: 'lone' })).toEqual({
      Action: 'RebootDBInstance',
      rest: { DBInstanceIdentifier: 'lone' },
    })
    expect(await bodyOf({ do: 'deleteReplica', instance: 'leaf' })).toEqual({
      Action: 'DeleteDBInstance',
      rest: { DBInstanceIdentifier: 'leaf', SkipFinalSnapshot: 'true' },
    })
  })

  test('a failover of a global database allows the loss that a switchover does not', async () => {
    const targetArn = `arn:aws:rds:${away}:000000000000:cluster:far`
    expect(await bodyOf({ do: 'failoverGlobal', global: 'world', targetArn })).toEqual({
      Action: 'FailoverGlobalCluster',
      rest: {
        GlobalClusterIdentifier: 'world',
        TargetDbClusterIdentifier: targetArn,
        AllowDataLoss: 'true',
      },
    })
    expect(await bodyOf({ do: 'switchoverGlobal', global: 'world', targetArn })).toEqual({
      Action: 'SwitchoverGlobalCluster',
      rest: { GlobalClusterIdentifier: 'world', TargetDbClusterIdentifier: targetArn },
    })
    expect(await bodyOf({ do: 'failoverCluster', cluster: 'c', target: null })).toEqual({
      Action: 'FailoverDBCluster',
      rest: { DBClusterIdentifier: 'c' },
    })
  })

  const replica = (region: string, like: string | null = null): RdsAct => ({
    do: 'createReplica',
    instance: 'copy',
    source: { identifier: 'source', region },
    like,
    groupIds: null,
    availabilityZone: null,
    instanceClass: null,
    tags: {},
  })

  test('a source in another Region by the ARN that RDS gives; the client stays where it was', async () => {
    const { rest } = await bodyOf(replica(home, 'far-2'), away)
    expect(rest.SourceDBInstanceIdentifier).toBe(`arn:aws:rds:${home}:000000000000:db:source`)
    expect(Object.keys(rest).filter((name) => name.startsWith('VpcSecurity'))).toEqual([])
    const adapter = world.adapter()
    expect(await adapter.act(away, { ...replica(home, 'far-2'), instance: 'copy-far' } as RdsAct)).toEqual({
      outcome: 'requested',
    })
    const made = world.rds.history(`arn:aws:rds:${away}:000000000000:db:copy-far`)[0]
    // Every setting of the one that it replaces; its parameter group comes later, by an act of its own.
    expect(made?.settings).toEqual(farSettings)
    expect(made?.parameterGroup.name).toBe('default.postgres18')
    // The middleware that signs a URL for the source's Region changes an endpoint.
    expect(await adapter.act(away, { do: 'stop', instance: 'nobody' })).toMatchObject({
      outcome: 'refused',
      code: 'DBInstanceNotFound',
      later: false,
    })
    expect((await adapter.instances(away)).map(({ identifier }) => identifier)).toEqual([
      'copy-far',
      'far-1',
      'far-2',
    ])
  })

  test('an encrypted source has no replica in another Region without a key of that Region: nothing is sent', async () => {
    world.calls.length = 0
    for (const like of [null, 'nobody']) {
      expect(await world.adapter().act(away, replica(home, like))).toMatchObject({
        outcome: 'refused',
        code: 'KeyNeeded',
        later: false,
        message: expect.stringContaining('make copy by hand, with KmsKeyId'),
      })
    }
    expect(world.calls).not.toContain('CreateDBInstanceReadReplica')
  })

  test('a parameter group by its own act, since no new replica of PostgreSQL takes one', async () => {
    const { rest } = await bodyOf(
      { do: 'setParameterGroup', instance: 'far-2', name: 'orders-ireland' },
      away,
    )
    expect(rest).toEqual({ DBInstanceIdentifier: 'far-2', DBParameterGroupName: 'orders-ireland' })
  })

  test('a source that can not be read, or is not there, is refused and nothing is sent', async () => {
    expect(await world.adapter().act(home, replica(away))).toMatchObject({
      outcome: 'refused',
      code: 'DBInstanceNotFound',
      later: false,
    })
    await world.rds.regionDown(away)
    world.calls.length = 0
    expect(await world.adapter({ requestMs: 1_000 }).act(home, replica(away))).toMatchObject({
      outcome: 'refused',
      later: true,
      message: expect.stringContaining('nothing was sent'),
    })
    expect(world.calls).not.toContain('CreateDBInstanceReadReplica')
    await world.rds.regionUp(away)
  })
})

describe('deleteReplica', () => {
  test.each([
    ['lone', 'NotAReplica'],
    ['middle', 'HasReplicas'],
    ['nobody', 'DBInstanceNotFound'],
  ])('%s is not deleted, whoever asks: %s', async (instance, code) => {
    world.calls.length = 0
    expect(await world.adapter().act(home, { do: 'deleteReplica', instance })).toMatchObject({
      outcome: 'refused',
      code,
      later: false,
    })
    expect(world.calls).not.toContain('DeleteDBInstance')
  })

  test('by facts of now: an answer that is shared with others does not count', async () => {
    const adapter = world.adapter()
    await adapter.instances(home)
    world.calls.length = 0
    await adapter.act(home, { do: 'deleteReplica', instance: 'lone' })
    expect(world.calls).toContain('DescribeDBInstances')
  })
})
