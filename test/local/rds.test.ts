/** The local RDS against the real SDK: one primary, a replica in its Region and one in another, on real servers. */
import {
  AddTagsToResourceCommand,
  CreateDBInstanceReadReplicaCommand,
  type DBInstance,
  DBInstanceAlreadyExistsFault,
  DBInstanceNotFoundFault,
  DeleteDBInstanceCommand,
  DescribeDBInstancesCommand,
  DescribeEventsCommand,
  type DescribeEventsCommandInput,
  InvalidDBInstanceStateFault,
  ListTagsForResourceCommand,
  ModifyDBInstanceCommand,
  PromoteReadReplicaCommand,
  paginateDescribeDBInstances,
  RDSClient,
  RebootDBInstanceCommand,
  StartDBInstanceCommand,
  StopDBInstanceCommand,
} from '@aws-sdk/client-rds'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BusEvent } from '../../local/events.ts'
import { answerLost, chance, noAnswer, throttled } from '../../local/rds/index.ts'
import { keyArn } from '../../local/rds/model.ts'
import { startLocalAws } from '../../local/stack.ts'
import { clientConfig, writeAssembly } from './fixture.ts'
import { ask, away, connectTo, eventually, home, knock, type RdsFixture, startRds } from './rdsFixture.ts'

let fixture: RdsFixture
let rds: RDSClient
let abroad: RDSClient
const seen: BusEvent[] = []

beforeAll(async () => {
  fixture = await startRds(['a', 'b', 'c'], ({ server, endpointPort: port }) => ({
    instances: [
      { identifier: 'orders', region: home, server: server('a'), endpoint: { address: '127.0.0.31', port } },
      {
        identifier: 'orders-near',
        region: home,
        availabilityZone: `${home}b`,
        server: server('b'),
        source: 'orders',
        endpoint: { address: '127.0.0.32', port },
        backupRetentionDays: 0,
      },
      {
        identifier: 'orders-far',
        region: away,
        server: server('c'),
        source: 'orders',
        endpoint: { address: '127.0.0.33', port, name: 'orders-far.rds.test' },
        backupRetentionDays: 0,
      },
      ...Array.from({ length: 40 }, (_none, index) => ({
        identifier: `paper-${String(index).padStart(2, '0')}`,
        region: home,
        multiAz: true,
        tags: { team: 'paper' },
      })),
    ],
    allocate: async () => ({
      server: { address: '127.0.0.14', port: fixture.endpointPort },
      endpoint: { address: '127.0.0.34', port: fixture.endpointPort },
    }),
    onEvent: (event) => seen.push(event),
  }))
  rds = fixture.client()
  abroad = fixture.client(away)
})
afterAll(async () => await fixture?.close())

async function look(id: string, client = rds): Promise<DBInstance> {
  const reply = await client.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier: id }))
  return reply.DBInstances?.[0] ?? {}
}
const status = async (id: string, client = rds) => (await look(id, client)).DBInstanceStatus
const available = (id: string, client = rds) =>
  eventually(async () => (await status(id, client)) === 'available')
const idsOf = (id: string) =>
  fixture.rds.events.filter(({ arn }) => arn.endsWith(`:${id}`)).map(({ id }) => id)
const door = (last: number) => ({ address: `127.0.0.${last}`, port: fixture.endpointPort })
const refused = (command: Promise<unknown>) =>
  expect(command).rejects.toBeInstanceOf(InvalidDBInstanceStateFault)

describe('describe', () => {
  test('shows an instance as RDS does; source and replicas by name, or by ARN across Regions', async () => {
    expect(await look('orders')).toMatchObject({
      DBInstanceIdentifier: 'orders',
      DbiResourceId: expect.stringMatching(/^db-[A-Z2-7]{26}$/),
      DBInstanceStatus: 'available',
      Engine: 'postgres',
      Endpoint: { Address: '127.0.0.31', Port: fixture.endpointPort },
      AvailabilityZone: `${home}a`,
      MultiAZ: false,
      BackupRetentionPeriod: 7,
      InstanceCreateTime: expect.any(Date),
      DBInstanceArn: `arn:aws:rds:${home}:000000000000:db:orders`,
      VpcSecurityGroups: [{ VpcSecurityGroupId: 'sg-open', Status: 'active' }],
      DBParameterGroups: [{ DBParameterGroupName: 'default.postgres18', ParameterApplyStatus: 'in-sync' }],
      ReadReplicaDBInstanceIdentifiers: ['orders-near', `arn:aws:rds:${away}:000000000000:db:orders-far`],
      StatusInfos: [],
    })
    expect((await look('orders')).ReadReplicaSourceDBInstanceIdentifier).toBeUndefined()
    expect(await look('orders-near')).toMatchObject({
      ReadReplicaSourceDBInstanceIdentifier: 'orders',
      StatusInfos: [{ StatusType: 'read replication', Normal: true, Status: 'replicating' }],
    })
    expect(await look('orders-far', abroad)).toMatchObject({
      Endpoint: { Address: 'orders-far.rds.test' },
      ReadReplicaSourceDBInstanceIdentifier: `arn:aws:rds:${home}:000000000000:db:orders`,
    })
  })

  test('an instance of another Region is not found; the Region is the one that signed', async () => {
    await expect(look('orders', abroad)).rejects.toMatchObject({
      name: DBInstanceNotFoundFault.name,
      $metadata: { httpStatusCode: 404 },
    })
    await expect(look('orders-far')).rejects.toBeInstanceOf(DBInstanceNotFoundFault)
  })

  test('pages, from 20 to 100; filters', async () => {
    const pages: number[] = []
    const names = new Set<string | undefined>()
    const paginated = paginateDescribeDBInstances({ client: rds, pageSize: 20 }, {})
    for await (const page of paginated) {
      pages.push(page.DBInstances?.length ?? 0)
      for (const instance of page.DBInstances ?? []) names.add(instance.DBInstanceIdentifier)
    }
    expect(pages).toEqual([20, 20, 2])
    expect(names.size).toBe(42)
    await expect(rds.send(new DescribeDBInstancesCommand({ MaxRecords: 5 }))).rejects.toMatchObject({
      name: 'InvalidParameterValue',
    })
    const { DbiResourceId = '' } = await look('orders')
    const filter = async (Name: string, ...Values: string[]) => {
      const reply = await rds.send(new DescribeDBInstancesCommand({ Filters: [{ Name, Values }] }))
      return reply.DBInstances?.map(({ DBInstanceIdentifier }) => DBInstanceIdentifier)
    }
    expect(await filter('dbi-resource-id', DbiResourceId, 'db-NONE')).toEqual(['orders'])
    expect(await filter('db-instance-id', 'orders', 'paper-01')).toEqual(['orders', 'paper-01'])
    expect(await filter('db-cluster-id', 'none')).toEqual([])
    await expect(filter('colour', 'blue')).rejects.toMatchObject({ name: 'InvalidParameterValue' })
  })

  test('tags', async () => {
    const ResourceName = (await look('paper-07')).DBInstanceArn
    await rds.send(new AddTagsToResourceCommand({ ResourceName, Tags: [{ Key: 'a', Value: '<&>' }] }))
    const reply = await rds.send(new ListTagsForResourceCommand({ ResourceName }))
    expect(reply.TagList).toEqual([
      { Key: 'team', Value: 'paper' },
      { Key: 'a', Value: '<&>' },
    ])
  })
})

describe('faults', () => {
  const reboots = () => idsOf('paper-01').length
  const reboot = (client: RDSClient) =>
    client.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: 'paper-01' }))

  test('throttling, and answers that never come, with and without the effect', async () => {
    const hurried = fixture.client(home, 200)
    const before = reboots()
    let remove = fixture.front.onCall(() => throttled)
    await expect(look('orders')).rejects.toMatchObject({
      name: 'Throttling',
      message: 'Rate exceeded',
      $metadata: { httpStatusCode: 400 },
    })
    remove()
    remove = fixture.front.onCall(() => noAnswer)
    await expect(reboot(hurried)).rejects.toMatchObject({ name: 'TimeoutError' })
    remove()
    expect(await status('paper-01')).toBe('available')
    expect(reboots()).toBe(before)
    remove = fixture.front.onCall(() => answerLost)
    await expect(reboot(hurried)).rejects.toMatchObject({ name: 'TimeoutError' })
    remove()
    await eventually(() => reboots() > before)
    await available('paper-01')
  })

  test('a Region that does not answer', async () => {
    await fixture.rds.regionDown(away)
    const lost = fixture.client(away, 200)
    await expect(look('orders-far', lost)).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(await status('orders')).toBe('available')
    await fixture.rds.regionUp(away)
    expect(await status('orders-far', abroad)).toBe('available')
  })

  test('reads from the past, and late answers', async () => {
    fixture.rds.setStatus('paper-02', 'modifying')
    const remove = fixture.front.onCall(({ operation, region }) =>
      operation.startsWith('Describe') && region === home ? { staleMs: 60_000, delayMs: 20 } : undefined,
    )
    expect(await status('paper-02')).toBe('available')
    remove()
    expect(await status('paper-02')).toBe('modifying')
    fixture.rds.setStatus('paper-02', 'available')
  })

  test('chances repeat with their seed', async () => {
    const outcomes = (seed: number) => {
      const hook = chance({ seed, throttled: 0.3, answerLost: 0.2, stale: { chance: 0.5, msMost: 100 } })
      const call = { service: '2014-10-31', operation: 'DescribeDBInstances', region: home, body: '' }
      return Array.from({ length: 50 }, () => hook(call))
    }
    expect(outcomes(7)).toEqual(outcomes(7))
    expect(outcomes(7)).not.toEqual(outcomes(8))
    expect(outcomes(7)).toContainEqual(throttled)
    expect(outcomes(7)).toContainEqual(answerLost)
    expect(outcomes(7).some((mishap) => mishap && (mishap as { staleMs?: number }).staleMs)).toBe(true)
  })
})

describe('security groups', () => {
  test('a change is asynchronous; closed, new connections meet silence and old ones live on', async () => {
    const session = await connectTo(door(31))
    const modify = (id: string) =>
      rds.send(new ModifyDBInstanceCommand({ DBInstanceIdentifier: 'orders', VpcSecurityGroupIds: [id] }))
    const reply = await modify('sg-closed')
    expect(reply.DBInstance?.VpcSecurityGroups).toEqual([
      { VpcSecurityGroupId: 'sg-open', Status: 'removing' },
      { VpcSecurityGroupId: 'sg-closed', Status: 'adding' },
    ])
    expect(reply.DBInstance?.DBInstanceStatus).toBe('available')
    await eventually(async () => {
      const groups = (await look('orders')).VpcSecurityGroups
      return groups?.length === 1 && groups[0]?.Status === 'active'
    })
    expect((await look('orders')).VpcSecurityGroups?.[0]?.VpcSecurityGroupId).toBe('sg-closed')
    await eventually(async () => (await knock(door(31))) === 'silent')
    await session.query('create table through_a_closed_door ()')
    await session.end()
    await modify('sg-open')
    await eventually(async () => (await knock(door(31))) === 'answered')
    await expect(modify('sg-none')).rejects.toMatchObject({ name: 'InvalidParameterValue' })
  })

  test('a dead server refuses, a frozen one is silent; the API goes on to call both available', async () => {
    await fixture.rds.freeze('orders-near')
    expect(await knock(door(32))).toBe('silent')
    expect(await status('orders-near')).toBe('available')
    await fixture.rds.thaw('orders-near')
    await fixture.rds.crash('orders-near')
    expect((await fixture.rds.view('orders-near')).processes).toEqual([])
    expect(await knock(door(32))).toBe('refused')
    expect(await status('orders-near')).toBe('available')
    await fixture.rds.recover('orders-near')
    expect(await knock(door(32))).toBe('answered')
    // Killed behind the control plane's back.
    await fixture.postgres.servers.get('b')?.kill()
    expect(await knock(door(32))).toBe('refused')
    await fixture.rds.recover('orders-near')
  })
})

describe('reboot', () => {
  test('ends the sessions, tells of it by events, and refuses what it can not do', async () => {
    const session = await connectTo(door(31))
    const ended = new Promise((resolve) => session.once('end', resolve))
    const pids = (await fixture.rds.view('orders')).processes
    const command = new RebootDBInstanceCommand({ DBInstanceIdentifier: 'orders' })
    expect((await rds.send(command)).DBInstance?.DBInstanceStatus).toBe('rebooting')
    await refused(rds.send(command))
    await ended
    await available('orders')
    expect((await fixture.rds.view('orders')).processes.some((pid) => pids.includes(pid))).toBe(false)
    expect(idsOf('orders').slice(-2)).toEqual(['RDS-EVENT-0004', 'RDS-EVENT-0006'])
    const forced = new RebootDBInstanceCommand({ DBInstanceIdentifier: 'orders', ForceFailover: true })
    await expect(rds.send(forced)).rejects.toMatchObject({ name: 'InvalidParameterCombination' })
  })

  test('with a forced failover Multi-AZ changes its zone; a second one soon after is abandoned', async () => {
    const force = () =>
      rds.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: 'paper-03', ForceFailover: true }))
    await force()
    await eventually(async () => (await look('paper-03')).AvailabilityZone === `${home}b`)
    await available('paper-03')
    expect(idsOf('paper-03')).toEqual(['RDS-EVENT-0013', 'RDS-EVENT-0006', 'RDS-EVENT-0049'])
    await force()
    await available('paper-03')
    expect(idsOf('paper-03').at(-1)).toBe('RDS-EVENT-0034')
    expect((await look('paper-03')).AvailabilityZone).toBe(`${home}b`)
  })

  test('with the group closed first, the old sessions end and no new one begins', async () => {
    const session = await connectTo(door(31))
    const ended = new Promise((resolve) => session.once('end', resolve))
    await fixture.rds.setGroupOpen('sg-open', false)
    await session.query('select 1')
    await rds.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: 'orders' }))
    await ended
    await available('orders')
    expect(await knock(door(31))).toBe('silent')
    // Replication is not a client.
    const streams = await fixture.postgres.query(
      'a',
      `select 1 from pg_stat_replication where state = 'streaming'`,
    )
    expect(streams.length).toBeGreaterThan(0)
    await fixture.rds.setGroupOpen('sg-open', true)
    expect(await knock(door(31))).toBe('answered')
  })
})

describe('events', () => {
  test('DescribeEvents: by source and time, without event ids; the bus: with them', async () => {
    const describeEvents = (input: DescribeEventsCommandInput) =>
      rds.send(new DescribeEventsCommand(input)).then(({ Events = [] }) => Events)
    const events = await describeEvents({ SourceType: 'db-instance', SourceIdentifier: 'orders' })
    expect(events.at(-1)).toEqual({
      SourceIdentifier: 'orders',
      SourceType: 'db-instance',
      Message: 'DB instance restarted',
      EventCategories: ['availability'],
      Date: expect.any(Date),
      SourceArn: `arn:aws:rds:${home}:000000000000:db:orders`,
    })
    const later = new Date((events.at(-1)?.Date?.getTime() ?? 0) + 1)
    expect(
      await describeEvents({ SourceType: 'db-instance', SourceIdentifier: 'orders', StartTime: later }),
    ).toEqual([])
    await expect(describeEvents({ SourceIdentifier: 'orders' })).rejects.toMatchObject({
      name: 'InvalidParameterCombination',
    })
    const event = await eventually(() =>
      seen.find(({ detail }) => (detail as { EventID: string }).EventID === 'RDS-EVENT-0006'),
    )
    expect(event).toMatchObject({
      source: 'aws.rds',
      'detail-type': 'RDS DB Instance Event',
      region: home,
      detail: {
        SourceType: 'DB_INSTANCE',
        EventCategories: ['availability'],
        Message: 'DB instance restarted',
      },
    })
  })

  test('are lost, doubled and re-ordered on their way', async () => {
    const from = seen.length
    const remove = fixture.rds.onDeliver(({ id }) =>
      id === 'RDS-EVENT-0004' ? { delayMs: 1_500 } : { copies: 2 },
    )
    await rds.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: 'paper-05' }))
    await available('paper-05')
    remove()
    const removeLoss = fixture.rds.onDeliver(() => ({ lost: true }))
    await rds.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: 'paper-06' }))
    await available('paper-06')
    removeLoss()
    const came = () => {
      const details = seen
        .slice(from)
        .map(({ detail }) => detail as { EventID: string; SourceIdentifier: string })
      expect(details.some(({ SourceIdentifier }) => SourceIdentifier === 'paper-06')).toBe(false)
      return details
        .filter(({ SourceIdentifier }) => SourceIdentifier === 'paper-05')
        .map(({ EventID }) => EventID)
    }
    await eventually(() => came().length === 3)
    expect(came()).toEqual(['RDS-EVENT-0006', 'RDS-EVENT-0006', 'RDS-EVENT-0004'])
    expect(idsOf('paper-06')).toEqual(['RDS-EVENT-0004', 'RDS-EVENT-0006'])
  })
})

describe('modify', () => {
  test('waits for the window without ApplyImmediately; refuses what can not be', async () => {
    const modify = (DBInstanceIdentifier: string, input: object) =>
      rds.send(new ModifyDBInstanceCommand({ DBInstanceIdentifier, ...input }))
    expect((await modify('orders', { BackupRetentionPeriod: 9 })).DBInstance?.BackupRetentionPeriod).toBe(9)
    await expect(modify('orders', { BackupRetentionPeriod: 0 })).rejects.toMatchObject({
      name: 'InvalidParameterCombination',
    })
    const { DBInstance: later } = await modify('paper-08', { MultiAZ: false })
    expect(later).toMatchObject({ MultiAZ: true, PendingModifiedValues: { MultiAZ: false } })
    await modify('paper-08', { MultiAZ: false, ApplyImmediately: true })
    await eventually(async () => (await look('paper-08')).MultiAZ === false)
    await available('paper-08')
    await modify('paper-08', { DBParameterGroupName: 'mine', ApplyImmediately: true })
    await eventually(
      async () => (await look('paper-08')).DBParameterGroups?.[0]?.ParameterApplyStatus === 'pending-reboot',
    )
    await rds.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: 'paper-08' }))
    await eventually(
      async () => (await look('paper-08')).DBParameterGroups?.[0]?.ParameterApplyStatus === 'in-sync',
    )
  })
})

test('Multi-AZ comes back in the other zone by itself', async () => {
  const modify = (MultiAZ: boolean) =>
    rds.send(new ModifyDBInstanceCommand({ DBInstanceIdentifier: 'orders', MultiAZ, ApplyImmediately: true }))
  await modify(true)
  await eventually(async () => (await look('orders')).MultiAZ)
  await available('orders')
  await fixture.rds.crash('orders')
  await eventually(() => idsOf('orders').includes('RDS-EVENT-0049'))
  expect((await look('orders')).AvailabilityZone).toBe(`${home}b`)
  expect(await knock(door(31))).toBe('answered')
  await modify(false)
  await eventually(async () => (await look('orders')).MultiAZ === false)
  await available('orders')
})

test('the stack serves it, and its rules get the events of their own Region', async () => {
  const assembly = await writeAssembly({}, { none: 'export {}' })
  const events: BusEvent[] = []
  const aws = await startLocalAws({
    assembly: assembly.directory,
    machines: [],
    hosts: {},
    zone: { id: 'Z1', name: 'example.test' },
    rds: fixture.rds,
    onEvent: (_bus, event) => events.push(event),
  })
  const client = new RDSClient({ ...clientConfig(aws.endpoints.AWS_ENDPOINT_URL), region: away })
  try {
    expect(await status('orders-far', client)).toBe('available')
    for (const [id, of] of [
      ['orders-far', client],
      ['paper-10', rds],
    ] as const) {
      await of.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: id }))
      await available(id, of)
    }
    const sources = () =>
      events.map(({ detail }) => (detail as { SourceIdentifier: string }).SourceIdentifier)
    await eventually(() => sources().length === 2)
    expect(sources()).toEqual(['paper-10', 'paper-10'])
  } finally {
    client.destroy()
    await aws.close()
    assembly.remove()
  }
})

describe('stop', () => {
  const stop = (DBInstanceIdentifier: string) => rds.send(new StopDBInstanceCommand({ DBInstanceIdentifier }))

  test('is refused for a source and for a replica', async () => {
    await refused(stop('orders'))
    await refused(stop('orders-near'))
  })

  test('is refused when stopped already; after seven days RDS starts by itself', async () => {
    await refused(rds.send(new StartDBInstanceCommand({ DBInstanceIdentifier: 'paper-09' })))
    expect((await stop('paper-09')).DBInstance?.DBInstanceStatus).toBe('stopping')
    await refused(stop('paper-09'))
    await eventually(async () => (await status('paper-09')) === 'stopped')
    await refused(stop('paper-09'))
    expect((await look('paper-09')).AutomaticRestartTime).toBeInstanceOf(Date)
    await refused(
      rds.send(
        new ModifyDBInstanceCommand({ DBInstanceIdentifier: 'paper-09', VpcSecurityGroupIds: ['sg-closed'] }),
      ),
    )
    fixture.rds.autoRestart('paper-09')
    await available('paper-09')
    expect(idsOf('paper-09')).toEqual([
      'RDS-EVENT-0004',
      'RDS-EVENT-0087',
      'RDS-EVENT-0154',
      'RDS-EVENT-0006',
      'RDS-EVENT-0088',
    ])
  })
})

/** The rest is one story, in order: the pair falls apart, and is made whole again. */
describe('promotion', () => {
  const promote = (id: string, client = abroad) =>
    client.send(new PromoteReadReplicaCommand({ DBInstanceIdentifier: id, BackupRetentionPeriod: 3 }))

  test('is refused for what is no replica, and while it is backing up', async () => {
    await refused(promote('orders', rds))
    fixture.rds.setBackingUp('orders-far')
    await refused(promote('orders-far'))
    fixture.rds.setBackingUp('orders-far', false)
  })

  test('punishes who waits for one sign; the source is not touched', async () => {
    await ask(door(31), 'create table kept (n int)')
    await ask(door(31), 'insert into kept values (1)')
    await eventually(async () => (await ask(door(33), 'select n from kept').catch(() => [])).length === 1)
    const reply = await promote('orders-far')
    expect(reply.DBInstance).toMatchObject({
      DBInstanceStatus: 'available',
      ReadReplicaSourceDBInstanceIdentifier: expect.stringMatching(/:orders$/),
    })
    expect(await ask(door(33), 'select pg_is_in_recovery() as standby')).toEqual([{ standby: true }])
    await refused(promote('orders-far'))
    await eventually(async () => (await status('orders-far', abroad)) === 'modifying')
    await ask(door(31), 'insert into kept values (2)')
    await eventually(async () => {
      const { DBInstanceStatus, ReadReplicaSourceDBInstanceIdentifier } = await look('orders-far', abroad)
      return DBInstanceStatus === 'available' && ReadReplicaSourceDBInstanceIdentifier === undefined
    })
    const stages = fixture.rds
      .history('orders-far')
      .map(({ status, source }) => `${status}${source ? ', replica' : ''}`)
      .filter((stage, index, all) => stage !== all[index - 1])
    expect(stages.slice(stages.lastIndexOf('backing-up, replica') + 1)).toEqual([
      'available, replica',
      'modifying, replica',
      'rebooting, replica',
      'available, replica',
      'modifying, replica',
      'modifying',
      'backing-up',
      'available',
    ])
    expect(await look('orders-far', abroad)).toMatchObject({ BackupRetentionPeriod: 3, StatusInfos: [] })
    expect((await look('orders')).ReadReplicaDBInstanceIdentifiers).toEqual(['orders-near'])
    expect(idsOf('orders-far')).toContain('RDS-EVENT-0006')
    // Two writers now, and the other replica stays with the old one.
    await ask(door(33), 'insert into kept values (33)')
    await ask(door(31), 'insert into kept values (31)')
    await eventually(async () => (await ask(door(32), 'select n from kept where n = 31')).length === 1)
    expect(await ask(door(32), 'select n from kept where n = 33')).toEqual([])
    await refused(promote('orders-far'))
  })

  test('StatusInfos and an event tell of a replica that lost its source', async () => {
    await fixture.rds.crash('orders')
    await eventually(async () => (await look('orders-near')).StatusInfos?.[0]?.Status === 'error')
    expect(idsOf('orders-near')).toContain('RDS-EVENT-0045')
    await fixture.rds.recover('orders')
    await eventually(async () => (await look('orders-near')).StatusInfos?.[0]?.Normal === true)
  })

  test('a deleted source promotes its replicas of the same Region', async () => {
    const { DbiResourceId } = await look('orders')
    const remove = (input: object) =>
      rds.send(new DeleteDBInstanceCommand({ DBInstanceIdentifier: 'orders', ...input }))
    await expect(remove({})).rejects.toMatchObject({ name: 'InvalidParameterCombination' })
    await remove({ SkipFinalSnapshot: true })
    await expect(eventually(() => look('orders').then(() => false))).rejects.toBeInstanceOf(
      DBInstanceNotFoundFault,
    )
    expect(await fixture.postgres.servers.get('a')?.processes()).toEqual([])
    expect(await knock(door(31))).toBe('refused')
    await eventually(async () => {
      const { DBInstanceStatus, ReadReplicaSourceDBInstanceIdentifier } = await look('orders-near')
      return DBInstanceStatus === 'available' && ReadReplicaSourceDBInstanceIdentifier === undefined
    })
    expect(await ask(door(32), 'select pg_is_in_recovery() as standby')).toEqual([{ standby: false }])
    expect(DbiResourceId).toBeDefined()
  })

  test('a new replica, across Regions, under the old name: needs backups, has another resource id', async () => {
    const old = fixture.rds.history(`arn:aws:rds:${home}:000000000000:db:orders`)[0]
    const create = (input: object) =>
      rds.send(
        new CreateDBInstanceReadReplicaCommand({
          DBInstanceIdentifier: 'orders',
          SourceDBInstanceIdentifier: `arn:aws:rds:${away}:000000000000:db:orders-far`,
          VpcSecurityGroupIds: ['sg-open'],
          ...input,
        }),
      )
    await refused(create({ SourceDBInstanceIdentifier: 'orders-near' }))
    await expect(create({ SourceDBInstanceIdentifier: 'orders-far' })).rejects.toBeInstanceOf(
      DBInstanceNotFoundFault,
    )
    await expect(create({ DBInstanceIdentifier: 'paper-01' })).rejects.toBeInstanceOf(
      DBInstanceAlreadyExistsFault,
    )
    // Its source is encrypted, with a key of its own Region.
    const without = create({})
    await expect(without).rejects.toMatchObject({
      name: 'InvalidParameterCombination',
      message: 'Cannot create a cross region unencrypted read replica from encrypted source.',
    })
    const key = { KmsKeyId: keyArn(home, '000000000000', 'orders') }
    await expect(create({ ...key, DBParameterGroupName: 'own' })).rejects.toMatchObject({
      name: 'InvalidParameterCombination',
      message: expect.stringContaining("A parameter group can't be specified"),
    })
    await expect(create({ ...key, StorageType: 'gp3', Iops: 3_000 })).rejects.toMatchObject({
      message: expect.stringContaining("You can't specify IOPS"),
    })
    const reply = await create({
      ...key,
      DBSubnetGroupName: 'private',
      EnableIAMDatabaseAuthentication: true,
    })
    expect(reply.DBInstance).toMatchObject({
      ...key,
      DBSubnetGroup: { DBSubnetGroupName: 'private' },
      IAMDatabaseAuthenticationEnabled: true,
    })
    expect(reply.DBInstance?.DBInstanceStatus).toBe('creating')
    expect(reply.DBInstance?.Endpoint).toBeUndefined()
    await eventually(async () => (await status('orders')) === 'backing-up')
    await available('orders')
    const { DbiResourceId, ...made } = await look('orders')
    expect(DbiResourceId).not.toBe(old?.resourceId)
    expect(made).toMatchObject({ BackupRetentionPeriod: 0, InstanceCreateTime: expect.any(Date) })
    await ask(door(33), 'insert into kept values (4)')
    await eventually(async () => (await ask(door(31), 'select n from kept where n = 4')).length === 1)
    expect(await ask(door(31), 'select n from kept where n = 31')).toEqual([])
    expect((await look('orders-far', abroad)).ReadReplicaDBInstanceIdentifiers).toEqual([
      `arn:aws:rds:${home}:000000000000:db:orders`,
    ])
  })
})
