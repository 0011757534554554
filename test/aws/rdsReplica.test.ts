/** What a new replica takes over, by the rules of one Region and of two: the API's reference, field by field. */
import type { DBInstance } from '@aws-sdk/client-rds'
import { describe, expect, test } from 'vitest'
import { type ReplicaPlan, replicaOf } from '../../functions/aws/rdsReplica.ts'

const home = 'eu-central-1'
const away = 'eu-west-1'
const key = (region: string, name = 'orders') => `arn:aws:kms:${region}:1:key/${name}`

const source: DBInstance = {
  DBInstanceIdentifier: 'orders-b',
  DBInstanceArn: `arn:aws:rds:${home}:1:db:orders-b`,
  Engine: 'postgres',
  AllocatedStorage: 500,
  StorageEncrypted: true,
  KmsKeyId: key(home),
  StorageType: 'gp3',
  Iops: 12_000,
  StorageThroughput: 500,
  DeletionProtection: true,
  MultiAZ: true,
  IAMDatabaseAuthenticationEnabled: true,
  DBSubnetGroup: { DBSubnetGroupName: 'home-private' },
  OptionGroupMemberships: [{ OptionGroupName: 'home-options', Status: 'in-sync' }],
  DBParameterGroups: [{ DBParameterGroupName: 'home-parameters' }],
  PerformanceInsightsEnabled: true,
  PerformanceInsightsKMSKeyId: key(home, 'insights'),
  PerformanceInsightsRetentionPeriod: 7,
  MonitoringInterval: 0,
  Endpoint: { Address: 'x', Port: 5433 },
}
const like: DBInstance = {
  ...source,
  DBInstanceIdentifier: 'orders-c-t2',
  KmsKeyId: key(away),
  DeletionProtection: false,
  MultiAZ: false,
  DBSubnetGroup: { DBSubnetGroupName: 'away-private' },
  OptionGroupMemberships: [{ OptionGroupName: 'away-options', Status: 'in-sync' }],
  DBParameterGroups: [{ DBParameterGroupName: 'away-parameters' }],
  PerformanceInsightsKMSKeyId: key(away, 'insights'),
}
const plan = (changes: Partial<ReplicaPlan> = {}): ReplicaPlan => ({
  act: {
    do: 'createReplica',
    instance: 'orders-c',
    source: { identifier: 'orders-b', region: home },
    like: 'orders-c-t2',
    groupIds: ['sg-1'],
    availabilityZone: 'eu-west-1a',
    instanceClass: 'db.r8g.large',
    tags: {},
  },
  region: away,
  source,
  like,
  ...changes,
})
const made = (changes: Partial<ReplicaPlan> = {}) => {
  const planned = replicaOf(plan(changes))
  if ('missingKey' in planned) throw new Error(planned.missingKey)
  return planned.input
}
const near = (changes: Partial<DBInstance> = {}) =>
  made({ region: home, like: { ...like, KmsKeyId: source.KmsKeyId, ...changes } })

describe('in another Region', () => {
  test('as the one that it replaces: its key, its subnet group, its options', () => {
    expect(made()).toMatchObject({
      SourceDBInstanceIdentifier: source.DBInstanceArn,
      KmsKeyId: key(away),
      DBSubnetGroupName: 'away-private',
      OptionGroupName: 'away-options',
      PerformanceInsightsKMSKeyId: key(away, 'insights'),
      EnableIAMDatabaseAuthentication: true,
      Port: 5433,
      AvailabilityZone: 'eu-west-1a',
    })
    expect(made()).toMatchObject({ DeletionProtection: false })
  })

  test('a parameter group is taken for MySQL alone, and never a default one', () => {
    expect(made().DBParameterGroupName).toBeUndefined()
    expect(made({ like: { ...like, Engine: 'mariadb' } }).DBParameterGroupName).toBeUndefined()
    const mysql = { ...like, Engine: 'mysql' }
    expect(made({ like: mysql }).DBParameterGroupName).toBe('away-parameters')
    const own = {
      DBParameterGroups: [{ DBParameterGroupName: 'default.mysql8.4' }],
      OptionGroupMemberships: [{ OptionGroupName: 'default:mysql-8-4' }],
    }
    const input = made({ like: { ...mysql, ...own } })
    expect([input.DBParameterGroupName, input.OptionGroupName]).toEqual([undefined, undefined])
  })

  test('without it only what is legal there; an encrypted source then has no key, which only a person can name', () => {
    expect(replicaOf(plan({ like: null }))).toMatchObject({ missingKey: expect.stringMatching(/KMS key/) })
    const plain = { ...source, StorageEncrypted: false }
    const input = made({ like: null, source: plain })
    expect(input).toMatchObject({ EnableIAMDatabaseAuthentication: true, EnablePerformanceInsights: true })
    const absent = ['KmsKeyId', 'DBSubnetGroupName', 'OptionGroupName', 'PerformanceInsightsKMSKeyId']
    expect(absent.filter((name) => name in input)).toEqual([])
    // Of a source these say nothing about its replicas.
    expect([input.MultiAZ, input.DeletionProtection]).toEqual([undefined, undefined])
  })

  test('an unencrypted source has no encrypted replica, whatever was there before', () => {
    expect(made({ source: { ...source, StorageEncrypted: false } }).KmsKeyId).toBeUndefined()
  })
})

describe('in the same Region', () => {
  test('RDS takes the groups of the source, and refuses to be told a subnet group', () => {
    const input = near()
    expect(input.SourceDBInstanceIdentifier).toBe('orders-b')
    const absent = [
      'KmsKeyId',
      'DBSubnetGroupName',
      'OptionGroupName',
      'DBParameterGroupName',
      'PreSignedUrl',
    ]
    expect(absent.filter((name) => name in input)).toEqual([])
    expect(input.EnableIAMDatabaseAuthentication).toBe(true)
  })

  test('another key than that of the source is kept', () => {
    expect(near({ KmsKeyId: key(home, 'other') }).KmsKeyId).toBe(key(home, 'other'))
    expect(made({ region: home, like: null }).KmsKeyId).toBeUndefined()
  })

  test('Multi-AZ as before, and then in no zone of its own', () => {
    expect(near({ MultiAZ: true })).toMatchObject({ MultiAZ: true })
    expect(near({ MultiAZ: true }).AvailabilityZone).toBeUndefined()
  })
})

describe('storage', () => {
  const of = (pattern: Partial<DBInstance>, size = 500) => {
    const { StorageType, Iops, StorageThroughput } = near({ ...pattern })
    const small = made({ source: { ...source, AllocatedStorage: size }, like: { ...like, ...pattern } })
    return size === 500
      ? [StorageType, Iops, StorageThroughput]
      : [small.StorageType, small.Iops, small.StorageThroughput]
  }
  test.each([
    [{}, 500, ['gp3', 12_000, 500]],
    // RDS names them, and refuses to be told them.
    [{ Iops: 3_000, StorageThroughput: 125 }, 399, ['gp3', undefined, undefined]],
    [{ StorageType: 'io2', Iops: 5_000 }, 100, ['io2', 5_000, undefined]],
    [{ StorageType: 'gp2', Iops: 300 }, 500, ['gp2', undefined, undefined]],
  ])('%o of %i GiB', (pattern, size, expected) => {
    expect(of(pattern, size)).toEqual(expected)
  })
})

test('monitoring needs its role, or RDS refuses the whole request', () => {
  const role = 'arn:aws:iam::1:role/monitoring'
  expect(near({ MonitoringInterval: 30, MonitoringRoleArn: role })).toMatchObject({
    MonitoringInterval: 30,
    MonitoringRoleArn: role,
  })
  expect('MonitoringInterval' in near({ MonitoringInterval: 0, MonitoringRoleArn: role })).toBe(false)
})

test('nothing is sent that nobody asked for', () => {
  const bare = { DBInstanceIdentifier: 'orders-b', DBInstanceArn: 'arn' }
  expect(made({ source: bare, like: null, region: home })).toEqual({
    DBInstanceIdentifier: 'orders-c',
    SourceDBInstanceIdentifier: 'orders-b',
    VpcSecurityGroupIds: ['sg-1'],
    AvailabilityZone: 'eu-west-1a',
    DBInstanceClass: 'db.r8g.large',
    Tags: [],
  })
})
