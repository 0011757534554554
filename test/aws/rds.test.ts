/** Reads of RDS: paging, sharing, staleness, what an answer means, and what happens when there is none. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createClients } from '../../functions/aws/clients.ts'
import { createRds } from '../../functions/aws/rds.ts'
import { rdsLate } from '../../functions/aws/rdsLate.ts'
import { outcomeOf, rdsCode } from '../../functions/aws/rdsOutcome.ts'
import { clusterView, eventViews, globalView, instanceView, parseArn } from '../../functions/aws/rdsViews.ts'
import { noAnswer, throttled } from '../../local/rds/index.ts'
import { away, eventually, home } from '../local/rdsFixture.ts'
import { type RdsWorld, startRdsWorld, TestClock } from './rdsWorld.ts'
import { serve } from './servers.ts'

let world: RdsWorld
beforeAll(async () => {
  world = await startRdsWorld(['a'], () => ({
    instances: [
      { identifier: 'orders', region: home, multiAz: true, backupRetentionDays: 14 },
      { identifier: 'orders-near', region: home, source: 'orders', backupRetentionDays: 0 },
      { identifier: 'orders-far', region: away, source: 'orders', backupRetentionDays: 0 },
      { identifier: 'web-1', region: home, cluster: 'web' },
      { identifier: 'web-2', region: home, cluster: 'web' },
      { identifier: 'web-far-1', region: away, cluster: 'web-far' },
      ...Array.from({ length: 240 }, (_none, index) => ({ identifier: `paper-${index}`, region: home })),
    ],
    clusters: [
      { identifier: 'web', region: home, writer: 'web-1' },
      { identifier: 'web-far', region: away },
    ],
    globals: [{ identifier: 'world', clusters: ['web', 'web-far'] }],
  }))
}, 60_000)
afterAll(async () => await world?.close())

/** One invocation, and the calls that it makes. */
function invocation(options: Parameters<RdsWorld['adapter']>[0] = {}) {
  world.calls.length = 0
  return world.adapter(options)
}
const find = async (id: string, region = home, options = {}) =>
  (await world.adapter(options).instances(region)).find(({ identifier }) => identifier === id)

describe('instances', () => {
  test('the whole fleet of a Region by pages of one unfiltered read', async () => {
    const bodies: string[] = []
    const remove = world.front.onCall(({ body }) => {
      bodies.push(body)
      return undefined
    })
    onTestFinished(() => void remove())
    const all = await invocation().instances(home)
    expect(all).toHaveLength(244)
    expect(new Set(all.map(({ identifier }) => identifier)).size).toBe(244)
    expect(world.calls).toEqual(['DescribeDBInstances', 'DescribeDBInstances', 'DescribeDBInstances'])
    expect(bodies.some((body) => /Filter|DBInstanceIdentifier/.test(body))).toBe(false)
  })

  test('as the port shows them: sources and replicas by name, or taken apart', async () => {
    expect(await find('orders')).toEqual({
      identifier: 'orders',
      resourceId: expect.stringMatching(/^db-[A-Z2-7]{26}$/),
      region: home,
      status: 'available',
      engine: 'postgres',
      engineVersion: '18.4',
      address: `orders.local.${home}.rds.amazonaws.com`,
      port: 5432,
      availabilityZone: `${home}a`,
      multiAz: true,
      clusterIdentifier: null,
      source: null,
      replicas: ['orders-near', `arn:aws:rds:${away}:000000000000:db:orders-far`],
      groups: [{ id: 'sg-open', status: 'active' }],
      parameterGroups: ['default.postgres18'],
      pendingReboot: false,
      deletionProtected: false,
      backupRetentionDays: 14,
      replication: null,
      instanceClass: 'db.r6g.large',
      pendingGroups: false,
    })
    expect(await find('orders-near')).toMatchObject({
      source: { identifier: 'orders', region: home },
      replication: { status: 'replicating', normal: true },
      backupRetentionDays: 0,
    })
    expect(await find('orders-far', away)).toMatchObject({ source: { identifier: 'orders', region: home } })
    expect(await find('web-1')).toMatchObject({ clusterIdentifier: 'web', engine: 'aurora-postgresql' })
  })

  test('S2 groups on their way are kept with their status', async () => {
    const adapter = world.adapter()
    await adapter.act(home, { do: 'setGroups', instance: 'paper-1', groupIds: ['sg-closed'] })
    const view = (await adapter.instances(home)).find(({ identifier }) => identifier === 'paper-1')
    expect(view).toMatchObject({
      groups: [
        { id: 'sg-open', status: 'removing' },
        { id: 'sg-closed', status: 'adding' },
      ],
      pendingGroups: true,
    })
    await eventually(async () => (await find('paper-1'))?.pendingGroups === false)
    expect((await find('paper-1'))?.groups).toEqual([{ id: 'sg-closed', status: 'active' }])
  })

  test('a status that nobody knows yet is kept', async () => {
    world.rds.setStatus('paper-2', 'teleporting')
    expect(await find('paper-2')).toMatchObject({ status: 'teleporting' })
  })

  test('eventual consistency is seen as it is', async () => {
    world.rds.setStatus('paper-3', 'rebooting')
    const remove = world.front.onCall(({ operation }) =>
      operation === 'DescribeDBInstances' ? { staleMs: 60_000 } : undefined,
    )
    expect(await find('paper-3')).toMatchObject({ status: 'available' })
    remove()
    expect(await find('paper-3')).toMatchObject({ status: 'rebooting' })
  })
})

describe('sharing', () => {
  const pages = () => world.calls.filter((name) => name === 'DescribeDBInstances').length

  test('callers of one invocation share what began within a second, one Region each', async () => {
    const adapter = invocation()
    await Promise.all(Array.from({ length: 20 }, () => adapter.instances(home)))
    world.clock.nowMs += 999
    await adapter.instances(home)
    expect(pages()).toBe(3)
    await adapter.instances(away)
    expect(pages()).toBe(4)
    world.clock.nowMs += 1
    await adapter.instances(home)
    expect(pages()).toBe(7)
    await world.adapter().instances(home)
    expect(pages()).toBe(10)
  })

  test('`fresh` reads anew, and others share that', async () => {
    const adapter = invocation()
    await adapter.instances(home)
    world.rds.setStatus('paper-4', 'modifying')
    const status = async (fresh: boolean) =>
      (await adapter.instances(home, { fresh })).find(({ identifier }) => identifier === 'paper-4')?.status
    expect([await status(false), await status(true), await status(false)]).toEqual([
      'available',
      'modifying',
      'modifying',
    ])
  })

  test('S5 what was read before an act is not shared after it, whatever became of the act', async () => {
    for (const mishap of [undefined, throttled]) {
      const adapter = invocation()
      await adapter.instances(home)
      const remove = world.front.onCall(({ operation }) =>
        operation === 'RebootDBInstance' ? mishap : undefined,
      )
      await adapter.act(home, { do: 'reboot', instance: 'paper-5' })
      remove()
      await adapter.instances(home)
      expect(pages()).toBe(6)
    }
  })

  test('a failure is shared by who waits for it, and not kept', async () => {
    const adapter = invocation({ requestMs: 200 })
    const remove = world.front.onCall(() => noAnswer)
    const both = await Promise.allSettled([adapter.instances(home), adapter.instances(home)])
    remove()
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(pages()).toBe(1)
    expect(await adapter.instances(home)).toHaveLength(244)
  })
})

describe('outages', () => {
  test('a Region that does not answer throws in time, as an outage, and takes no other with it', async () => {
    await world.rds.regionDown(away)
    const adapter = world.adapter({ tries: 2, requestMs: 200 })
    const startedMs = performance.now()
    for (const read of [
      () => adapter.instances(away),
      () => adapter.clusters(away),
      () => adapter.global(away, 'world'),
      () => adapter.events(away, { type: 'db-instance', identifier: 'orders-far' }),
    ])
      await expect(read()).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(performance.now() - startedMs).toBeLessThan(10_000)
    expect(await adapter.act(away, { do: 'reboot', instance: 'orders-far' })).toMatchObject({
      outcome: 'unknown',
    })
    expect(await adapter.instances(home)).toHaveLength(244)
    await world.rds.regionUp(away)
    expect(await adapter.instances(away)).toHaveLength(2)
  })

  test('throttling is waited out by trying again, and told when it does not end', async () => {
    let left = 2
    const remove = world.front.onCall(() => (left-- > 0 ? throttled : undefined))
    expect(await invocation({ tries: 3 }).instances(home)).toHaveLength(244)
    left = 99
    await expect(invocation({ tries: 2 }).instances(home)).rejects.toMatchObject({ name: 'Throttling' })
    remove()
  })

  test('an emulator that repeats its marker is not read for ever', async () => {
    const page = `<DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/"><DescribeDBInstancesResult><Marker>again</Marker><DBInstances/></DescribeDBInstancesResult></DescribeDBInstancesResponse>`
    const { endpoint, seen } = await serve(() => ({ body: page, headers: { 'content-type': 'text/xml' } }))
    const { RDSClient } = await import('@aws-sdk/client-rds')
    const client = () =>
      new RDSClient({ endpoint, region: home, credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
    const rds = createRds({
      client,
      actingClient: client,
      cloudwatch: () => expect.unreachable(),
      clock: new TestClock(),
    })
    expect(await rds.instances(home)).toEqual([])
    expect(seen).toHaveLength(2)
  })
})

describe('clusters', () => {
  test('members with their writer', async () => {
    expect((await world.adapter().clusters(home)).find(({ identifier }) => identifier === 'web')).toEqual({
      identifier: 'web',
      resourceId: expect.stringMatching(/^cluster-/),
      arn: `arn:aws:rds:${home}:000000000000:cluster:web`,
      region: home,
      status: 'available',
      engine: 'aurora-postgresql',
      endpoint: `web.cluster-local.${home}.rds.amazonaws.com`,
      readerEndpoint: `web.cluster-ro-local.${home}.rds.amazonaws.com`,
      members: [
        { identifier: 'web-1', isWriter: true },
        { identifier: 'web-2', isWriter: false },
      ],
      globalWriteForwarding: null,
    })
  })

  test('a global cluster from any Region of a member; null when there is none', async () => {
    const expected = {
      identifier: 'world',
      status: 'available',
      endpoint: expect.any(String),
      members: [
        {
          clusterArn: `arn:aws:rds:${home}:000000000000:cluster:web`,
          region: home,
          clusterIdentifier: 'web',
          isWriter: true,
          synchronizationStatus: 'connected',
        },
        {
          clusterArn: `arn:aws:rds:${away}:000000000000:cluster:web-far`,
          region: away,
          clusterIdentifier: 'web-far',
          isWriter: false,
          synchronizationStatus: 'connected',
        },
      ],
      failover: null,
    }
    const adapter = world.adapter()
    expect(await adapter.global(home, 'world')).toEqual(expected)
    expect(await adapter.global(away, 'World')).toEqual(expected)
    expect(await adapter.global(home, 'nothing')).toBeNull()
  })
})

describe('events', () => {
  test('of one instance, newest first, all pages', async () => {
    const adapter = world.adapter()
    expect(await adapter.events(home, { type: 'db-instance', identifier: 'paper-9' })).toEqual([])
    await adapter.act(home, { do: 'reboot', instance: 'paper-9' })
    const seen = await eventually(async () => {
      const events = await adapter.events(home, { type: 'db-instance', identifier: 'paper-9' })
      return events.length >= 2 && events
    })
    expect(seen.map(({ message }) => message)).toEqual(['DB instance restarted', 'DB instance shutdown'])
    expect(seen[0]).toEqual({
      source: 'paper-9',
      atText: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      message: 'DB instance restarted',
      categories: ['availability'],
    })
  })

  test('of one second the later is the newer; what can not be read is left out', () => {
    const at = new Date('2026-11-20T10:00:00Z')
    const views = eventViews('x', [
      { Date: at, Message: 'first' },
      { Date: at, Message: 'second' },
      { Message: 'without a date' },
      { Date: new Date(at.getTime() - 1), Message: 'earlier, and late' },
      { Date: at },
    ])
    expect(views.map(({ message }) => message)).toEqual(['second', 'first', 'earlier, and late'])
    expect(views[0]).toMatchObject({ source: 'x', categories: [] })
  })
})

describe('answers that lack something', () => {
  const whole = {
    ...{ DBInstanceIdentifier: 'a', DbiResourceId: 'db-A', DBInstanceStatus: 'available' },
    // What a fence gives back when it is lifted: unknown is not none.
    VpcSecurityGroups: [],
  }

  test('what must be there is missed by name, as an outage of the service', () => {
    for (const field of Object.keys(whole)) {
      const act = () => instanceView(home, { ...whole, [field]: undefined })
      expect(act).toThrow(`without ${field}`)
      expect(act).toThrow(expect.objectContaining({ code: 'EBADMSG' }))
    }
    expect(() => clusterView(home, { DBClusterIdentifier: 'a', Status: 'available' })).toThrow(
      'RDS answered cluster a in eu-central-1 without DbClusterResourceId',
    )
    expect(() =>
      globalView({ GlobalClusterIdentifier: 'g', Status: 'x', GlobalClusterMembers: [{}] }),
    ).toThrow('without DBClusterArn')
    expect(() =>
      globalView({
        GlobalClusterIdentifier: 'g',
        Status: 'x',
        GlobalClusterMembers: [{ DBClusterArn: 'near' }],
      }),
    ).toThrow('readable DBClusterArn')
  })

  test('the rest is nothing rather than something: no group is active, no backups are turned off', () => {
    expect(instanceView(home, whole)).toMatchObject({
      address: null,
      port: null,
      source: null,
      replicas: [],
      groups: [],
      pendingGroups: false,
      backupRetentionDays: 1,
      replication: null,
    })
    expect(
      instanceView(home, { ...whole, VpcSecurityGroups: [{ VpcSecurityGroupId: 'sg-1' }] }),
    ).toMatchObject({ groups: [{ id: 'sg-1', status: '' }], pendingGroups: true })
    expect(
      instanceView(home, { ...whole, ReadReplicaSourceDBInstanceIdentifier: '', StatusInfos: [{}] }),
    ).toMatchObject({ source: null, replication: null })
    // A replica of a Multi-AZ cluster is a replica.
    expect(
      instanceView(home, {
        ...whole,
        ReadReplicaSourceDBClusterIdentifier: 'arn:aws:rds:eu-west-1:1:cluster:c',
      }),
    ).toMatchObject({ source: { identifier: 'c', region: 'eu-west-1' } })
    expect(globalView({ GlobalClusterIdentifier: 'g', Status: 'x', FailoverState: {} })).toMatchObject({
      failover: null,
    })
    // AWS documents states that the SDK's enumeration lacks.
    const FailoverState = { Status: 'switching-back' as never }
    expect(globalView({ GlobalClusterIdentifier: 'g', Status: 'x', FailoverState })).toMatchObject({
      failover: { status: 'switching-back', from: null, to: null, dataLossAllowed: false },
    })
  })

  test('ARNs of other partitions, and what is none', () => {
    expect(parseArn('arn:aws-cn:rds:cn-north-1:1:db:orders')).toEqual({
      region: 'cn-north-1',
      name: 'orders',
    })
    expect(parseArn('orders')).toBeUndefined()
    expect(parseArn('arn:aws:rds::1')).toBeUndefined()
  })
})

describe('refusals', () => {
  const failed = (name: string, status = 400) =>
    outcomeOf({ name, message: 'no', $metadata: { httpStatusCode: status } })

  test.each([
    ['InvalidDBInstanceState', 'InvalidDBInstanceState', true],
    ['InvalidDBInstanceStateFault', 'InvalidDBInstanceState', true],
    ['Rds.InvalidDbInstanceStateException', 'InvalidDBInstanceState', true],
    ['InvalidDBClusterStateFault', 'InvalidDBClusterState', true],
    ['InvalidGlobalClusterStateFault', 'InvalidGlobalClusterState', true],
    ['InsufficientDBInstanceCapacity', 'InsufficientDBInstanceCapacity', true],
    ['Throttling', 'Throttling', true],
    ['DBInstanceNotFoundFault', 'DBInstanceNotFound', false],
    ['DBInstanceAlreadyExists', 'DBInstanceAlreadyExists', false],
    ['InvalidParameterCombination', 'InvalidParameterCombination', false],
    ['KMSKeyNotAccessibleFault', 'KMSKeyNotAccessible', false],
    ['StorageQuotaExceeded', 'StorageQuotaExceeded', false],
  ])('%s is %s, to be tried later: %s', (name, code, later) => {
    expect(failed(name)).toMatchObject({ outcome: 'refused', code, later })
  })

  test('S5 what does not tell is unknown', () => {
    expect(failed('InternalFailure', 500)).toMatchObject({ outcome: 'unknown' })
    expect(failed('ServiceUnavailable', 503)).toMatchObject({ outcome: 'unknown' })
    expect(failed('RequestExpired')).toMatchObject({ outcome: 'unknown' })
    expect(outcomeOf(new TypeError('a bug'))).toMatchObject({ outcome: 'unknown' })
    expect(rdsCode('GlobalClusterNotFoundFault')).toBe('GlobalClusterNotFound')
  })
})

describe('as it is deployed', () => {
  test('loaded on first use, by endpoints of the environment alone; acts have one attempt', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL', world.front.url)
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'a')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'b')
    vi.stubEnv('AWS_MAX_ATTEMPTS', '9')
    onTestFinished(() => void vi.unstubAllEnvs())
    const clients = createClients({ region: home })
    const rds = rdsLate({
      client: clients.rds,
      actingClient: clients.rdsActs,
      cloudwatch: clients.cloudwatch,
      clock: new TestClock(),
    })
    expect(await rds.instances(away)).toHaveLength(2)
    let asked = 0
    const remove = world.front.onCall(({ operation }) => {
      if (operation === 'RebootDBInstance') asked += 1
      return { when: 'before', code: 'InternalFailure', status: 500 }
    })
    onTestFinished(() => void remove())
    expect(await rds.act(home, { do: 'reboot', instance: 'paper-6' })).toMatchObject({ outcome: 'unknown' })
    expect(asked).toBe(1)
    world.calls.length = 0
    await expect(rds.instances(home)).rejects.toMatchObject({ name: 'InternalFailure' })
    expect(world.calls).toHaveLength(3)
    const [reading, acting] = [await clients.rds(home), await clients.rdsActs(home)]
    expect(await reading.config.retryMode).toEqual('adaptive')
    expect([await reading.config.maxAttempts(), await acting.config.maxAttempts()]).toEqual([3, 1])
    expect(await clients.rds(home)).toBe(reading)
    // What is under way ends with the handler (S4).
    remove()
    const silent = world.front.onCall(() => noAnswer)
    onTestFinished(() => void silent())
    const acts = rds.act(home, { do: 'reboot', instance: 'paper-6' })
    await eventually(() => world.calls.includes('RebootDBInstance'))
    clients.inFlight.abort()
    expect(await acts).toMatchObject({ outcome: 'unknown' })
  })
})
