/** What belongs to an identifier, and what to the instance that has it: endpoints, the controller's way, renaming. */
import {
  CreateDBInstanceReadReplicaCommand,
  type DBInstance,
  DBInstanceAlreadyExistsFault,
  DBInstanceNotFoundFault,
  DescribeDBInstancesCommand,
  InvalidDBInstanceStateFault,
  ModifyDBInstanceCommand,
  type ModifyDBInstanceCommandInput,
  PromoteReadReplicaCommand,
  type RDSClient,
  RebootDBInstanceCommand,
  StopDBInstanceCommand,
} from '@aws-sdk/client-rds'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ask, connectTo, eventually, home, knock, type RdsFixture, startRds } from './rdsFixture.ts'

let fixture: RdsFixture
let rds: RDSClient

beforeAll(async () => {
  fixture = await startRds(['a', 'b'], ({ server, endpointPort: port }) => ({
    instances: [
      {
        identifier: 'orders',
        region: home,
        server: server('a'),
        endpoint: { address: '127.0.0.31', port, name: 'orders.rds.test' },
        controller: { address: '127.0.0.32', port },
      },
      {
        identifier: 'orders-near',
        region: home,
        server: server('b'),
        source: 'orders',
        endpoint: { address: '127.0.0.33', port },
        controller: { address: '127.0.0.34', port },
        backupRetentionDays: 0,
      },
      { identifier: 'paper', region: home },
    ],
    // Groups and copies take longer than a new name does: they must find who has another one by then.
    delaysMs: { stop: 10_000, securityGroups: 120_000, createReplica: 200_000, createBackup: 10_000 },
  }))
  rds = fixture.client()
})
afterAll(async () => await fixture?.close())

async function look(id: string): Promise<DBInstance> {
  const reply = await rds.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier: id }))
  return reply.DBInstances?.[0] ?? {}
}
const available = (id: string) =>
  eventually(async () => (await look(id).catch(() => null))?.DBInstanceStatus === 'available')
const modify = (DBInstanceIdentifier: string, input: Partial<ModifyDBInstanceCommandInput>) =>
  rds.send(new ModifyDBInstanceCommand({ DBInstanceIdentifier, ...input }))
const rename = (id: string, to: string) => modify(id, { NewDBInstanceIdentifier: to, ApplyImmediately: true })
const at = (last: number) => ({ address: `127.0.0.${last}`, port: fixture.endpointPort })
const [client, controller] = [() => at(31), () => at(32)]
const endpointOf = async (id: string) => {
  const { Endpoint } = await look(id)
  return { address: String(Endpoint?.Address), port: Number(Endpoint?.Port) }
}
const isStandby = 'select pg_is_in_recovery() as standby'

/** One story, in order: the primary is cut off, dies, and gives its name to a replica of its successor. */
test('a closed group cuts clients off; the controller’s way stays open', async () => {
  expect([await knock(client()), await knock(controller())]).toEqual(['answered', 'answered'])
  await modify('orders', { VpcSecurityGroupIds: ['sg-closed'] })
  await eventually(async () => {
    const { VpcSecurityGroups: groups = [] } = await look('orders')
    return groups.length === 1 && groups[0]?.Status === 'active'
  })
  expect([await knock(client()), await knock(controller())]).toEqual(['silent', 'answered'])
})

test('the API answers for a dead instance; a reboot starts it, writable, behind its closed group', async () => {
  await fixture.rds.crash('orders')
  expect([await knock(client()), await knock(controller())]).toEqual(['silent', 'refused'])
  expect((await look('orders')).DBInstanceStatus).toBe('available')
  expect((await modify('orders', { BackupRetentionPeriod: 8 })).DBInstance?.BackupRetentionPeriod).toBe(8)
  await rds.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: 'orders' }))
  await eventually(async () => (await knock(controller())) === 'answered')
  await available('orders')
  expect(await ask(controller(), isStandby)).toEqual([{ standby: false }])
  expect(await knock(client())).toBe('silent')
  const told = fixture.rds.events.filter(({ arn }) => arn.endsWith(':orders')).map(({ id }) => id)
  expect(told).toEqual(['RDS-EVENT-0004', 'RDS-EVENT-0006'])
})

test('a new name is refused where it can not be, and waits for the window without ApplyImmediately', async () => {
  await expect(rename('orders', 'paper')).rejects.toBeInstanceOf(DBInstanceAlreadyExistsFault)
  await expect(rename('orders', 'orders--1')).rejects.toMatchObject({ name: 'InvalidParameterValue' })
  const reply = await modify('paper', { NewDBInstanceIdentifier: 'paper-2' })
  expect(reply.DBInstance).toMatchObject({
    DBInstanceIdentifier: 'paper',
    DBInstanceStatus: 'available',
    PendingModifiedValues: { DBInstanceIdentifier: 'paper-2' },
  })
  await expect(rename('orders', 'paper-2')).rejects.toBeInstanceOf(DBInstanceAlreadyExistsFault)
})

test('a stopped instance keeps its name', async () => {
  await rds.send(new StopDBInstanceCommand({ DBInstanceIdentifier: 'paper' }))
  await eventually(async () => (await look('paper')).DBInstanceStatus === 'stopped')
  await expect(rename('paper', 'paper-3')).rejects.toBeInstanceOf(InvalidDBInstanceStateFault)
})

test('renamed: resource id, groups and replicas stay, the endpoint changes, and the server is restarted', async () => {
  const before = await look('orders')
  const pids = (await fixture.rds.view('orders')).processes
  const session = await connectTo(controller())
  const ended = new Promise((resolve) => session.once('end', resolve))
  const { DBInstance } = await rename('orders', 'Orders-T1')
  expect(DBInstance).toMatchObject({ DBInstanceIdentifier: 'orders', DBInstanceStatus: 'renaming' })
  await expect(rename('orders', 'other')).rejects.toBeInstanceOf(InvalidDBInstanceStateFault)
  await ended
  await available('orders-t1')
  await expect(look('orders')).rejects.toBeInstanceOf(DBInstanceNotFoundFault)
  const after = await look('orders-t1')
  expect(after).toMatchObject({
    DbiResourceId: before.DbiResourceId,
    VpcSecurityGroups: before.VpcSecurityGroups,
    ReadReplicaDBInstanceIdentifiers: ['orders-near'],
    DBInstanceArn: before.DBInstanceArn?.replace(/orders$/, 'orders-t1'),
  })
  expect(after.PendingModifiedValues?.DBInstanceIdentifier).toBeUndefined()
  expect(after.Endpoint).not.toEqual(before.Endpoint)
  expect((await look('orders-near')).ReadReplicaSourceDBInstanceIdentifier).toBe('orders-t1')
  // Nobody has the old name, and the group came along.
  expect([await knock(client()), await knock(controller())]).toEqual(['refused', 'refused'])
  expect(await knock(await endpointOf('orders-t1'))).toBe('silent')
  expect((await fixture.rds.view('orders-t1')).processes.some((pid) => pids.includes(pid))).toBe(false)
  const told = fixture.rds.events.filter(({ arn }) => arn.endsWith(':orders-t1')).map(({ id }) => id)
  expect(told).toEqual(['RDS-EVENT-0004', 'RDS-EVENT-0006'])
  await eventually(async () => (await look('orders-near')).StatusInfos?.[0]?.Normal === true)
})

test('a group that is being changed arrives under the new name', async () => {
  await modify('orders-t1', { VpcSecurityGroupIds: ['sg-open'] })
  await rename('orders-t1', 'orders-t2')
  await available('orders-t2')
  await eventually(async () => (await knock(await endpointOf('orders-t2'))) === 'answered')
  expect((await look('orders-t2')).VpcSecurityGroups).toEqual([
    { VpcSecurityGroupId: 'sg-open', Status: 'active' },
  ])
})

test('who is created under the old name takes both ways over, with a resource id of its own', async () => {
  const old = fixture.rds.history(`arn:aws:rds:${home}:000000000000:db:orders`)[0]
  await rds.send(
    new PromoteReadReplicaCommand({ DBInstanceIdentifier: 'orders-near', BackupRetentionPeriod: 7 }),
  )
  await expect(rename('orders-near', 'orders-new')).rejects.toBeInstanceOf(InvalidDBInstanceStateFault)
  await eventually(async () => {
    const { DBInstanceStatus, ReadReplicaSourceDBInstanceIdentifier } = await look('orders-near')
    return DBInstanceStatus === 'available' && ReadReplicaSourceDBInstanceIdentifier === undefined
  })
  await rds.send(
    new CreateDBInstanceReadReplicaCommand({
      DBInstanceIdentifier: 'orders',
      SourceDBInstanceIdentifier: 'orders-near',
      VpcSecurityGroupIds: ['sg-closed'],
    }),
  )
  // The source gets another name while the copy is under way.
  await rename('orders-near', 'orders-main')
  await available('orders')
  await available('orders-main')
  const made = await look('orders')
  expect(made).toMatchObject({
    Endpoint: { Address: 'orders.rds.test', Port: fixture.endpointPort },
    ReadReplicaSourceDBInstanceIdentifier: 'orders-main',
  })
  expect(made.DbiResourceId).not.toBe(old?.resourceId)
  expect([await knock(client()), await knock(controller())]).toEqual(['silent', 'answered'])
  expect(await ask(controller(), isStandby)).toEqual([{ standby: true }])
  await eventually(async () => (await look('orders')).StatusInfos?.[0]?.Normal === true)
})
