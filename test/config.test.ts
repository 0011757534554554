import { describe, expect, test } from 'vitest'
import { configWarnings, defineConfig, parseConfig } from '../functions/config.ts'
import { findDefaultDnsName } from '../functions/config-defaults.ts'
import {
  example,
  managedExamples,
  orders,
  problemsOf,
  withCluster,
  withManaged,
  withNodes,
  withPolicy,
} from './config-samples.ts'

describe('defaults', () => {
  const config = parseConfig(example)
  const [cluster] = config.clusters

  test('the example has no problem and no warning', () => {
    expect(problemsOf(example)).toEqual([])
    expect(configWarnings(config)).toEqual([])
  })

  test.each<[string, unknown]>([
    ['the example', example],
    ['only what is required', withCluster({ policy: {}, connection: {}, observe: {} })],
    ...Object.entries(managedExamples),
    ['a managed one with another family', withManaged('rds', { managed: { family: 'mysql' } })],
  ])('parsing the result again gives the same bytes, so that the asset stays the same: %s', (_, input) => {
    const once = JSON.stringify(parseConfig(input))
    expect(JSON.stringify(parseConfig(JSON.parse(once)))).toBe(once)
  })

  test('clusters may be given by id or as a list', () => {
    expect(parseConfig({ ...example, clusters: [{ id: 'orders', ...orders }] })).toEqual(config)
  })

  test('a node is filled in from its address and the deployment', () => {
    expect(cluster?.nodes[0]).toEqual({
      id: 'orders-a',
      address: '10.0.1.11',
      port: 5432,
      dnsName: 'ip-10-0-1-11.eu-central-1.compute.internal',
      instanceId: 'i-0aaaaaaaaaaaaaaaa',
      region: 'eu-central-1',
      availabilityZone: 'eu-central-1a',
      promotable: true,
      preference: 0,
      sourceAddresses: ['10.0.1.11'],
      readerAddress: null,
      closedGroupId: null,
      groupIds: null,
    })
  })

  test('policy, observation and connection are the cautious ones', () => {
    const { policy, observe, connection } = parseConfig(withCluster({ policy: {} })).clusters[0] ?? {}
    expect(policy).toEqual({
      fence: 'power',
      cancelledWaits: 'refused',
      loss: { mode: 'never' },
      synchronous: 'managed',
      synchronousCount: 1,
      isolated: 'page',
      crossRegion: 'allowed',
      rejoin: 'automatic',
      rebuild: 'approve',
      holdMs: 250,
      restartGraceMs: 20_000,
      silentLooks: 3,
      cooldownMs: 3_600_000,
    })
    expect(observe).toEqual({
      intervalMs: 2000,
      urgentIntervalMs: 500,
      probeTimeoutMs: 1000,
      heartbeatMs: 27_000,
    })
    expect(connection).toEqual({
      database: 'postgres',
      observerUser: 'understudy_observer',
      operatorUser: 'understudy_operator',
      replicationUser: 'understudy_replication',
      password: { from: 'none' },
      tls: 'require',
    })
  })

  test('operate sits in all subnets of the observers, unless told otherwise', () => {
    expect(config.operator.vpc?.subnetIds).toEqual([
      'subnet-0aaaaaaaaaaaaaaaa',
      'subnet-0bbbbbbbbbbbbbbbb',
      'subnet-0cccccccccccccccc',
    ])
    expect(parseConfig({ ...example, operator: { vpc: null } }).operator.vpc).toBeNull()
    const outside = { ...example, observers: example.observers.map(({ id }) => ({ id })) }
    expect(parseConfig(outside).operator.vpc).toBeNull()
  })

  test.each([
    ['10.0.1.11', 'eu-central-1', 'ip-10-0-1-11.eu-central-1.compute.internal'],
    ['10.0.1.11', 'us-east-1', 'ip-10-0-1-11.ec2.internal'],
    ['172.16.0.1', 'us-west-2', 'ip-172-16-0-1.us-west-2.compute.internal'],
    ['172.32.0.1', 'us-west-2', undefined],
    ['192.168.7.7', 'eu-west-1', 'ip-192-168-7-7.eu-west-1.compute.internal'],
    ['100.64.0.1', 'eu-west-1', 'ip-100-64-0-1.eu-west-1.compute.internal'],
    ['8.8.8.8', 'eu-west-1', undefined],
    ['2001:db8::1', 'eu-west-1', undefined],
    ['db-a.example.com', 'eu-west-1', 'db-a.example.com'],
  ])('the default name of %s in %s', (address, region, name) => {
    expect(findDefaultDnsName('postgres', address, region)).toBe(name)
  })
})

describe('warnings', () => {
  const warn = (input: unknown) => configWarnings(parseConfig(input))

  test.each<[string, unknown, string]>([
    [
      'H24 a majority of observers in one zone',
      {
        ...example,
        observers: example.observers.map((each, index) => ({
          ...each,
          availabilityZone: index < 2 ? 'eu-central-1a' : 'eu-central-1c',
        })),
      },
      'observers: a majority is in eu-central-1a',
    ],
    [
      'every standby must acknowledge',
      withPolicy({ synchronousCount: 2 }),
      'clusters.orders.nodes: every standby must acknowledge',
    ],
    [
      'one promotable node',
      withNodes({ promotable: false }, { promotable: false }),
      'clusters.orders.nodes: only one is promotable',
    ],
    [
      'one zone',
      withNodes({}, { availabilityZone: 'eu-central-1a' }, { availabilityZone: 'eu-central-1a' }),
      'clusters.orders.nodes: all are in one Availability Zone',
    ],
    [
      'H24 nodes where no observer is',
      withNodes({ region: 'eu-west-1' }),
      'clusters.orders.nodes: some are outside eu-central-1',
    ],
    [
      'H30 a secret costs an endpoint',
      withCluster({ connection: { password: { from: 'secret', secretId: 'x' } } }),
      'clusters.orders.connection.password: a secret needs an interface endpoint',
    ],
    [
      'no encryption',
      withCluster({ connection: { tls: 'disable' } }),
      "clusters.orders.connection.tls: 'disable'",
    ],
  ])('%s', (_, input, says) => {
    expect(warn(input)).toEqual([expect.stringContaining(says)])
  })
})

test('defineConfig gives back what it was given', () => {
  expect(defineConfig(example)).toBe(example)
})
