/** Answers of RDS, damaged on their way: a view never shows more than the answer says, or there is none. */
import { RDSClient } from '@aws-sdk/client-rds'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRds } from '../../functions/aws/rds.ts'
import type { RdsAct } from '../../functions/ports.ts'
import { answerXml, list, type XmlFields } from '../../local/rds/xml.ts'
import { answeredBy, damagedXml, elementsOf, expectOutage } from './sdk.ts'
import { fuzz } from './support.ts'

const region = 'eu-central-1'
const arn = (kind: string, name: string, where = region) =>
  `arn:aws:rds:${where}:123456789012:${kind}:${name}`

let body = ''
let status = 200
const client = new RDSClient(answeredBy(() => ({ status, body, headers: { 'content-type': 'text/xml' } })))
/** A new invocation: nothing is kept of an earlier answer. */
const rds = () =>
  createRds({
    client: () => client,
    actingClient: () => client,
    cloudwatch: () => {
      throw new Error('not here')
    },
    clock: { monotonicMs: () => 0, wallMs: () => 0, sleep: async () => undefined },
  })

const group = (id: string, state: string) => ({ VpcSecurityGroupId: id, Status: state })
const instance = (identifier: string, more: XmlFields): XmlFields => ({
  DBInstanceIdentifier: identifier,
  DbiResourceId: `db-${identifier}`,
  DBInstanceArn: arn('db', identifier),
  DBInstanceStatus: 'available',
  Engine: 'postgres',
  EngineVersion: '18.1',
  Endpoint: { Address: `${identifier}.rds.amazonaws.com`, Port: 5432 },
  MultiAZ: true,
  BackupRetentionPeriod: 7,
  VpcSecurityGroups: list('VpcSecurityGroupMembership', [group('sg-1', 'active')]),
  ...more,
})
const instances = answerXml('DescribeDBInstances', {
  DBInstances: list('DBInstance', [
    instance('orders-1', {
      ReadReplicaDBInstanceIdentifiers: list('ReadReplicaDBInstanceIdentifier', ['orders-2', 'orders-3']),
    }),
    instance('orders-2', {
      DBInstanceStatus: 'modifying',
      ReadReplicaSourceDBInstanceIdentifier: 'orders-1',
      VpcSecurityGroups: list('VpcSecurityGroupMembership', [
        group('sg-1', 'removing'),
        group('sg-2', 'adding'),
      ]),
      StatusInfos: list('DBInstanceStatusInfo', [
        { StatusType: 'read replication', Normal: true, Status: 'replicating' },
      ]),
    }),
    instance('orders-3', {
      DBInstanceStatus: 'rebooting',
      ReadReplicaSourceDBInstanceIdentifier: arn('db', 'orders-1'),
    }),
  ]),
})
const clusters = answerXml('DescribeDBClusters', {
  DBClusters: list('DBCluster', [
    {
      DBClusterIdentifier: 'users',
      DbClusterResourceId: 'cluster-USERS',
      DBClusterArn: arn('cluster', 'users'),
      Status: 'failing-over',
      Engine: 'aurora-postgresql',
      Endpoint: 'users.cluster-x.rds.amazonaws.com',
      DBClusterMembers: list('DBClusterMember', [
        { DBInstanceIdentifier: 'users-1', IsClusterWriter: true },
        { DBInstanceIdentifier: 'users-2', IsClusterWriter: false },
      ]),
    },
  ]),
})
const globals = answerXml('DescribeGlobalClusters', {
  GlobalClusters: list('GlobalClusterMember', [
    {
      GlobalClusterIdentifier: 'users-global',
      Status: 'switching-over',
      GlobalClusterMembers: list('GlobalClusterMember', [
        { DBClusterArn: arn('cluster', 'users'), IsWriter: true },
        {
          DBClusterArn: arn('cluster', 'users', 'eu-north-1'),
          IsWriter: false,
          SynchronizationStatus: 'connected',
        },
      ]),
      FailoverState: {
        Status: 'pending',
        FromDbClusterArn: arn('cluster', 'users'),
        IsDataLossAllowed: false,
      },
    },
  ]),
})

/** The text of each element of a name, in one part of the document. */
const texts = (xml: string, name: string) =>
  elementsOf(xml).flatMap((each) =>
    each.name === name ? [unescaped(xml.slice(each.innerStart, each.innerEnd))] : [],
  )
const unescaped = (text: string) => text.replaceAll('&lt;', '<').replaceAll('&amp;', '&')
/** Of a list that stands there twice nobody can say which one is meant. */
const twice = (xml: string, list: string) => texts(xml, list).length > 1

test('S2 an instance is what its answer says, or the read fails as an outage does', async () => {
  await fuzz(damagedXml(instances), 60, async (damaged) => {
    body = damaged
    const views = await rds().instances(region).catch(expectOutage)
    if (!views || twice(damaged, 'DBInstances')) return
    // None of them is missing, and each is what stands there.
    const parts = elementsOf(damaged).filter(({ name }) => name === 'DBInstance')
    expect(views).toHaveLength(parts.length)
    for (const [index, view] of views.entries()) {
      const part = damaged.slice(parts[index]?.innerStart, parts[index]?.innerEnd)
      expect(texts(part, 'DBInstanceIdentifier')).toContain(view.identifier)
      expect(texts(part, 'DBInstanceStatus')).toContain(view.status)
      expect(texts(part, 'DbiResourceId')).toContain(view.resourceId)
      if (view.source === null) expect(texts(part, 'ReadReplicaSourceDBInstanceIdentifier').join('')).toBe('')
      const memberships = texts(part, 'VpcSecurityGroupMembership')
      expect(view.groups.length).toBeLessThanOrEqual(memberships.length)
      for (const { id, status: state } of view.groups)
        expect(
          memberships.some(
            (each) =>
              texts(each, 'VpcSecurityGroupId').includes(id) &&
              (state === '' || texts(each, 'Status').includes(state)),
          ),
        ).toBe(true)
      expect(view.pendingGroups).toBe(view.groups.some((each) => each.status !== 'active'))
      for (const text of [view.engine, view.engineVersion, ...view.replicas, ...view.parameterGroups])
        expect(text).toBeTypeOf('string')
      expect(Number.isFinite(view.backupRetentionDays)).toBe(true)
      if (view.replication?.normal) expect(texts(part, 'Normal')).toContain('true')
    }
  })
})

test('S2 a cluster of Aurora has no writer that its answer does not name', async () => {
  await fuzz(damagedXml(clusters), 40, async (damaged) => {
    body = damaged
    const views = await rds().clusters(region).catch(expectOutage)
    if (!views || twice(damaged, 'DBClusters')) return
    expect(views).toHaveLength(texts(damaged, 'DBCluster').length)
    for (const view of views) {
      expect(texts(damaged, 'Status')).toContain(view.status)
      for (const { identifier, isWriter } of view.members) {
        const said = texts(damaged, 'DBClusterMember').filter((each) =>
          texts(each, 'DBInstanceIdentifier').includes(identifier),
        )
        if (isWriter) expect(said.flatMap((each) => texts(each, 'IsClusterWriter'))).toContain('true')
      }
    }
  })
})

test('S2 a global cluster that could not be read is not absent', async () => {
  await fuzz(damagedXml(globals), 40, async (damaged) => {
    body = damaged
    const view = await rds().global(region, 'users-global').catch(expectOutage)
    if (view === undefined) return
    if (view === null) {
      const there = '<GlobalClusters><GlobalClusterMember><GlobalClusterIdentifier>users-global<'
      return expect(damaged).not.toContain(there)
    }
    expect(texts(damaged, 'Status')).toContain(view.status)
    for (const member of view.members) {
      expect(texts(damaged, 'DBClusterArn')).toContain(member.clusterArn)
      if (member.isWriter) expect(texts(damaged, 'IsWriter')).toContain('true')
    }
  })
})

test('an answer of another kind, or none of RDS at all, is an outage', async () => {
  const others = fc.constantFrom(
    '',
    ' ',
    '<html><body>Sign in</body></html>',
    '{}',
    'ok',
    instances,
    clusters,
    globals,
  )
  const reads = fc.constantFrom('instances', 'clusters', 'global')
  await fuzz(fc.tuple(others, reads), 30, async ([other, read]) => {
    body = other
    const own = { instances, clusters, global: globals }[read] === other
    const answer =
      read === 'global' ? rds().global(region, 'users-global') : rds()[read as 'instances'](region)
    if (own) expect(await answer).not.toBeNull()
    else await answer.then((got) => expect(got, 'an outage').toBeUndefined(), expectOutage)
  })
})

const acts: readonly RdsAct[] = [
  { do: 'setGroups', instance: 'orders-1', groupIds: ['sg-2'] },
  { do: 'reboot', instance: 'orders-1' },
  { do: 'promote', instance: 'orders-2', backupRetentionDays: 1 },
  { do: 'rename', instance: 'orders-1', to: 'orders-1-t2' },
]

test('S5 an act whose answer can not be read is unknown, never refused', async () => {
  const error = (code: string) =>
    `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>m</Message></Error><RequestId>r</RequestId></ErrorResponse>`
  const answers = fc.record({
    act: fc.constantFrom(...acts),
    code: fc.constantFrom('InvalidDBInstanceState', 'DBInstanceNotFound', 'Throttling', 'Odd'),
    state: fc.constantFrom(200, 400, 404, 500, 503),
    damage: fc.nat(),
  })
  await fuzz(answers, 50, async ({ act, code, state, damage }) => {
    const whole = error(code)
    status = state
    body = damage % 3 === 0 ? whole : whole.slice(0, damage % whole.length)
    try {
      const outcome = await rds().act(region, act)
      expect(['requested', 'refused', 'unknown']).toContain(outcome.outcome)
      // Only an error that came whole, or a status of the caller's own mistake, says no.
      if (outcome.outcome === 'refused')
        expect(state === 400 || state === 404 || code === 'Throttling').toBe(true)
      if (outcome.outcome === 'requested') expect(state).toBe(200)
    } finally {
      status = 200
    }
  })
})
