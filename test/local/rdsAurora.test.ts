/** Aurora and Aurora Global on the local RDS, against the real SDK: two members in each of two Regions. */
import {
  type DBCluster,
  DBClusterNotFoundFault,
  DescribeDBClustersCommand,
  DescribeDBInstancesCommand,
  DescribeEventsCommand,
  DescribeGlobalClustersCommand,
  FailoverDBClusterCommand,
  FailoverGlobalClusterCommand,
  type GlobalCluster,
  GlobalClusterNotFoundFault,
  InvalidDBClusterStateFault,
  InvalidDBInstanceStateFault,
  InvalidGlobalClusterStateFault,
  ModifyDBClusterCommand,
  PromoteReadReplicaCommand,
  type RDSClient,
  StopDBInstanceCommand,
  SwitchoverGlobalClusterCommand,
} from '@aws-sdk/client-rds'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  ask,
  away,
  connectTo,
  eventually,
  home,
  knock,
  type Place,
  type RdsFixture,
  startRds,
} from './rdsFixture.ts'

let fixture: RdsFixture
let rds: RDSClient
let abroad: RDSClient
const primaryArn = `arn:aws:rds:${home}:000000000000:cluster:shop`
const secondaryArn = `arn:aws:rds:${away}:000000000000:cluster:shop-far`

beforeAll(async () => {
  fixture = await startRds(['a', 'b', 'c', 'd'], ({ server, endpointPort: port }) => ({
    instances: [
      { identifier: 'shop-1', region: home, server: server('a'), cluster: 'shop' },
      {
        identifier: 'shop-2',
        region: home,
        availabilityZone: `${home}b`,
        server: server('b'),
        cluster: 'shop',
      },
      { identifier: 'far-1', region: away, server: server('c'), cluster: 'shop-far' },
      { identifier: 'far-2', region: away, server: server('d'), cluster: 'shop-far' },
    ],
    clusters: [
      {
        identifier: 'shop',
        region: home,
        writer: 'shop-1',
        endpoint: { address: '127.0.0.31', port },
        readerEndpoint: { address: '127.0.0.32', port },
      },
      { identifier: 'shop-far', region: away, endpoint: { address: '127.0.0.33', port } },
    ],
    globals: [
      { identifier: 'world', clusters: ['shop', 'shop-far'], endpoint: { address: '127.0.0.34', port } },
    ],
  }))
  rds = fixture.client()
  abroad = fixture.client(away)
})
afterAll(async () => await fixture?.close())

const at = (last: number) => ({ address: `127.0.0.${last}`, port: fixture.endpointPort })
const [writerDoor, readerDoor, farDoor, globalDoor] = [31, 32, 33, 34]
async function look(id = 'shop', client = rds): Promise<DBCluster> {
  const reply = await client.send(new DescribeDBClustersCommand({ DBClusterIdentifier: id }))
  return reply.DBClusters?.[0] ?? {}
}
async function lookGlobal(client = rds): Promise<GlobalCluster> {
  const reply = await client.send(new DescribeGlobalClustersCommand({ GlobalClusterIdentifier: 'world' }))
  return reply.GlobalClusters?.[0] ?? {}
}
const writer = ({ DBClusterMembers = [] }: DBCluster) =>
  DBClusterMembers.find(({ IsClusterWriter }) => IsClusterWriter)?.DBInstanceIdentifier
const idsOf = (id: string) =>
  fixture.rds.events.filter(({ arn }) => arn.endsWith(`:${id}`)).map(({ id }) => id)
const write = (n: number, door = writerDoor) => ask(at(door), `insert into kept values (${n})`)
/** As soon as the endpoint leads to a writer. */
const writeAtLast = (n: number, door = writerDoor) =>
  eventually(() =>
    write(n, door).then(
      () => true,
      () => false,
    ),
  )
const rows = async (door: number) => (await ask(at(door), 'select n from kept order by n')).map(({ n }) => n)
/** Every member streams from the writer again. */
const whole = () =>
  eventually(async () => {
    const { members } = fixture.rds.global('world')
    const clusters = members.map(({ clusterArn }) => fixture.rds.cluster(clusterArn))
    const instances = clusters.flatMap((cluster) =>
      cluster.members.map(({ arn }) => fixture.rds.history(arn).at(-1)),
    )
    if (instances.some((instance) => instance?.status !== 'available')) return false
    await new Promise((resolve) => setTimeout(resolve, 50))
    const door = members[0]?.isWriter ? writerDoor : farDoor
    const streams = await ask(at(door), `select 1 from pg_stat_replication where state = 'streaming'`).catch(
      () => [],
    )
    return streams.length === 3
  })

describe('a cluster', () => {
  test('shows members and endpoints; the secondary of a global database has no writer', async () => {
    expect(await look()).toMatchObject({
      DBClusterIdentifier: 'shop',
      DBClusterArn: primaryArn,
      Status: 'available',
      Engine: 'aurora-postgresql',
      Endpoint: '127.0.0.31',
      ReaderEndpoint: '127.0.0.32',
      Port: fixture.endpointPort,
      GlobalClusterIdentifier: 'world',
      DBClusterMembers: [
        { DBInstanceIdentifier: 'shop-1', IsClusterWriter: true },
        { DBInstanceIdentifier: 'shop-2', IsClusterWriter: false },
      ],
    })
    expect(writer(await look('shop-far', abroad))).toBeUndefined()
    await expect(look('shop', abroad)).rejects.toBeInstanceOf(DBClusterNotFoundFault)
    const Filters = [{ Name: 'db-cluster-id', Values: ['shop'] }]
    const reply = await rds.send(new DescribeDBInstancesCommand({ Filters }))
    expect(
      reply.DBInstances?.map(({ Engine, DBClusterIdentifier }) => [Engine, DBClusterIdentifier]),
    ).toEqual([
      ['aurora-postgresql', 'shop'],
      ['aurora-postgresql', 'shop'],
    ])
    await ask(at(writerDoor), 'create table kept (n int)')
    await write(1)
    await eventually(async () => (await rows(readerDoor).catch(() => [])).length === 1)
    expect(await knock(at(farDoor))).toBe('refused')
  })

  test('what belongs to plain instances is refused for members', async () => {
    const DBInstanceIdentifier = 'shop-2'
    await expect(rds.send(new PromoteReadReplicaCommand({ DBInstanceIdentifier }))).rejects.toBeInstanceOf(
      InvalidDBInstanceStateFault,
    )
    await expect(rds.send(new StopDBInstanceCommand({ DBInstanceIdentifier }))).rejects.toBeInstanceOf(
      InvalidDBClusterStateFault,
    )
  })

  test('ModifyDBCluster closes the doors of cluster and members', async () => {
    const session = await connectTo(at(writerDoor))
    const modify = (id: string) =>
      rds.send(new ModifyDBClusterCommand({ DBClusterIdentifier: 'shop', VpcSecurityGroupIds: [id] }))
    expect((await modify('sg-closed')).DBCluster?.VpcSecurityGroups).toContainEqual({
      VpcSecurityGroupId: 'sg-closed',
      Status: 'adding',
    })
    await eventually(async () => (await knock(at(writerDoor))) === 'silent')
    expect(await knock(at(readerDoor))).toBe('silent')
    expect(await knock(at(globalDoor))).toBe('silent')
    await session.query('select 1')
    await session.end()
    await modify('sg-open')
    await eventually(async () => (await knock(at(writerDoor))) === 'answered')
  })

  test('FailoverDBCluster loses nothing; the cluster endpoint follows late', async () => {
    const failover = (target: string) =>
      rds.send(
        new FailoverDBClusterCommand({ DBClusterIdentifier: 'shop', TargetDBInstanceIdentifier: target }),
      )
    await expect(failover('shop-1')).rejects.toBeInstanceOf(InvalidDBInstanceStateFault)
    await write(2)
    expect((await failover('shop-2')).DBCluster?.Status).toBe('failing-over')
    await expect(failover('shop-2')).rejects.toBeInstanceOf(InvalidDBClusterStateFault)
    await eventually(async () => (await look()).Status === 'available')
    expect(writer(await look())).toBe('shop-2')
    expect(idsOf('shop')).toEqual(['RDS-EVENT-0073', 'RDS-EVENT-0071'])
    await writeAtLast(3)
    await whole()
    expect(await rows(writerDoor)).toEqual([1, 2, 3])
  })

  test('elects by itself when the writer dies, and when it hangs', async () => {
    await write(4)
    // Behind the control plane's back.
    await fixture.postgres.servers.get('b')?.kill()
    await eventually(async () => writer(await look()) === 'shop-1')
    await writeAtLast(5)
    await whole()
    await write(6)
    await fixture.rds.freeze('shop-1')
    await eventually(async () => writer(await look()) === 'shop-2')
    await writeAtLast(7)
    await whole()
    expect(await rows(writerDoor)).toEqual([1, 2, 3, 4, 5, 6, 7])
  })
})

describe('a global database', () => {
  const switchover = (target: string, client = rds) =>
    client.send(
      new SwitchoverGlobalClusterCommand({
        GlobalClusterIdentifier: 'world',
        TargetDbClusterIdentifier: target,
      }),
    )
  const failover = (target: string, input: object, client = abroad) =>
    client.send(
      new FailoverGlobalClusterCommand({
        GlobalClusterIdentifier: 'world',
        TargetDbClusterIdentifier: target,
        ...input,
      }),
    )
  const finished = (client = rds) =>
    eventually(async () => {
      const { FailoverState, Status } = await lookGlobal(client)
      return FailoverState === undefined && Status === 'available'
    })

  test('is the same from both Regions', async () => {
    const global = await lookGlobal()
    expect(global).toMatchObject({
      GlobalClusterArn: 'arn:aws:rds::000000000000:global-cluster:world',
      Endpoint: '127.0.0.34',
      GlobalClusterMembers: [
        {
          DBClusterArn: primaryArn,
          IsWriter: true,
          Readers: [secondaryArn],
          SynchronizationStatus: 'connected',
        },
        { DBClusterArn: secondaryArn, IsWriter: false, SynchronizationStatus: 'connected' },
      ],
    })
    expect(await lookGlobal(abroad)).toMatchObject({ GlobalClusterArn: global.GlobalClusterArn })
    await expect(
      rds.send(new DescribeGlobalClustersCommand({ GlobalClusterIdentifier: 'none' })),
    ).rejects.toBeInstanceOf(GlobalClusterNotFoundFault)
  })

  test('who is cut off from a Region gets no answer there, and a connection that stood is gone', async () => {
    const session = await connectTo(at(writerDoor))
    const ended = new Promise((resolve) => session.once('end', resolve))
    fixture.rds.cutOff('127.0.0.1', home)
    await ended
    expect([await knock(at(writerDoor)), await knock(at(readerDoor))]).toEqual(['silent', 'silent'])
    fixture.rds.cutOff('127.0.0.1', home, false)
    expect(await knock(at(writerDoor))).toBe('answered')
  })

  test('a switchover is refused while a member is unhealthy, and for a target that is no ARN', async () => {
    await expect(switchover('shop-far')).rejects.toBeInstanceOf(DBClusterNotFoundFault)
    await expect(failover(secondaryArn, { AllowDataLoss: true, Switchover: true })).rejects.toMatchObject({
      name: 'InvalidParameterCombination',
    })
    await fixture.rds.freeze('far-1')
    await fixture.rds.freeze('far-2')
    await expect(switchover(secondaryArn)).rejects.toBeInstanceOf(InvalidGlobalClusterStateFault)
    await fixture.rds.thaw('far-1')
    await fixture.rds.thaw('far-2')
    await whole()
  })

  test('FailoverGlobalCluster without AllowDataLoss is a switchover: nothing is lost, the endpoint comes last', async () => {
    await write(8)
    const { GlobalCluster: started } = await failover(secondaryArn, {})
    expect(started?.FailoverState).toEqual({
      Status: 'pending',
      FromDbClusterArn: primaryArn,
      ToDbClusterArn: secondaryArn,
      IsDataLossAllowed: false,
    })
    await expect(switchover(secondaryArn)).rejects.toBeInstanceOf(InvalidGlobalClusterStateFault)
    await finished()
    expect(idsOf('shop-far')).not.toContain('RDS-EVENT-0397')
    expect((await lookGlobal()).GlobalClusterMembers?.map(({ IsWriter }) => IsWriter)).toEqual([false, true])
    await eventually(() => idsOf('shop-far').includes('RDS-EVENT-0397'))
    await writeAtLast(9, globalDoor)
    expect(await rows(farDoor)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    const states = fixture.rds.globalHistory('world').map(({ failover }) => failover?.status ?? 'none')
    expect(states.filter((state, index) => state !== states[index - 1])).toEqual(
      // The first attempt was refused.
      ['none', 'pending', 'none', 'pending', 'switching-over', 'none'],
    )
    await whole()
    await switchover(primaryArn)
    await finished()
    await writeAtLast(10, globalDoor)
    await whole()
  })

  test('with data loss: what had not arrived is lost; an old primary out of reach goes on to accept writes', async () => {
    const far = fixture.postgres.servers.get('c') as Place
    await write(11)
    await eventually(async () => (await ask(far, 'select n from kept where n = 11')).length === 1)
    for (const id of ['far-1', 'far-2']) await fixture.rds.cutReplication(id)
    const cutAtMs = Date.now()
    await write(12)
    // CloudWatch of the secondary's Region says how far it is behind, and goes on doing so as long as the writer answers.
    expect(await lags(home)).toEqual([])
    await eventually(async () => ((await lags(away)).at(-1)?.Maximum ?? 0) > 500)
    expect((await lags(away)).at(-1)?.Maximum).toBeLessThanOrEqual(Date.now() - cutAtMs + slackMs)
    const old = serverOf(writer(await look()) ?? '')
    await fixture.rds.regionDown(home)
    await expect(switchover(secondaryArn, abroad)).rejects.toBeInstanceOf(InvalidGlobalClusterStateFault)
    await failover(secondaryArn, { AllowDataLoss: true })
    await finished(abroad)
    expect((await lookGlobal(abroad)).GlobalClusterMembers?.[0]?.SynchronizationStatus).toBe('pending-resync')
    // The primary's Region can not be reached, so the event is the new primary's.
    expect(idsOf('far-1').concat(idsOf('far-2'))).toContain('RDS-EVENT-0391')
    await writeAtLast(13, farDoor)
    expect(await rows(farDoor)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13])
    await ask(old, 'insert into kept values (14)')
    await eventually(() => idsOf('shop-far').filter((id) => id === 'RDS-EVENT-0397').length === 2)
    expect(idsOf('shop')).not.toContain('RDS-EVENT-0240')
    await fixture.rds.regionUp(home)
    await eventually(() => idsOf('shop').includes('RDS-EVENT-0241'))
    await whole()
    expect(await ask(old, 'select pg_is_in_recovery() as standby')).toEqual([{ standby: true }])
    expect(await rows(farDoor)).not.toContain(14)
    expect((await lookGlobal()).GlobalClusterMembers?.[0]?.SynchronizationStatus).toBe('connected')
    const { Events = [] } = await abroad.send(
      new DescribeEventsCommand({ SourceType: 'db-cluster', EventCategories: ['global failover'] }),
    )
    expect(Events.at(-1)?.Message).toMatch(/global writer endpoint/)
  })
})

/** What was not yet seen to be received when the stream was cut. */
const slackMs = 5_000
const lags = (region: string) =>
  fixture.rds.samples(region, {
    MetricName: 'AuroraGlobalDBRPOLag',
    Dimensions: [
      { Name: 'DBClusterIdentifier', Value: region === away ? 'shop-far' : 'shop' },
      { Name: 'SourceRegion', Value: home },
    ],
  })

/** Of a server itself, past every proxy. */
function serverOf(instance: string): Place {
  const found = fixture.postgres.servers.get({ 'shop-1': 'a', 'shop-2': 'b' }[instance] ?? '')
  if (!found) throw new Error(`no server of ${instance}`)
  return found
}
