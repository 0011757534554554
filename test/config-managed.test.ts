/** Configuration of what AWS runs: defaults that follow the engine, rules, warnings. */
import { describe, expect, test } from 'vitest'
import { configWarnings, parseConfig } from '../functions/config.ts'
import {
  example,
  type ManagedName,
  managedExamples,
  managedNodes,
  orders,
  problemsOf,
  withCluster,
  withManaged,
  withManagedNodes,
  withNodes,
  withPolicy,
} from './config-samples.ts'

const names = Object.keys(managedExamples) as ManagedName[]
const clusterOf = (input: unknown) => parseConfig(input).clusters[0]

describe.each(names)('the example of %s', (name) => {
  test('has no problem', () => expect(problemsOf(managedExamples[name])).toEqual([]))

  test('has no warning, but where the deployment is', () => {
    const warnings = configWarnings(parseConfig(managedExamples[name]))
    expect(warnings.filter((text) => !text.includes('where the deployment is'))).toEqual([])
    expect(warnings).toHaveLength(name === 'rds' ? 1 : 0)
  })
})

describe('defaults follow the engine', () => {
  test.each([
    ['rds', 'network'],
    ['aurora', 'native'],
    ['aurora-global', 'native'],
  ] as const)('%s: fence %s, no synchronous list, the managed settings', (name, fence) => {
    const cluster = clusterOf(managedExamples[name])
    expect(cluster?.policy).toMatchObject({ fence, synchronous: 'none' })
    expect(cluster?.host).toBeNull()
    expect(cluster?.managed).toEqual({
      family: 'postgres',
      providerGraceMs: 180_000,
      backupGraceMs: 300_000,
      clusterId: null,
      globalClusterId: name === 'aurora-global' ? 'users-global' : null,
      globalEndpoint: name === 'aurora-global',
    })
  })

  test('postgres has no managed settings', () => expect(clusterOf(example)?.managed).toBeNull())

  test.each([
    ['postgres', 5432, 'postgres'],
    ['mysql', 3306, 'understudy'],
    ['mariadb', 3306, 'understudy'],
  ])('%s: port %i, database %s', (family, port, database) => {
    const cluster = clusterOf(withManaged('rds', { managed: { family } }))
    expect(cluster?.nodes.map((node) => node.port)).toEqual([port, port, port])
    expect(cluster?.connection.database).toBe(database)
  })

  test('what is given stands', () => {
    const cluster = clusterOf(
      withManaged('rds', {
        managed: { family: 'mysql' },
        connection: { database: 'app' },
        nodes: managedNodes('rds', { port: 3307 }),
      }),
    )
    expect(cluster?.nodes.map((node) => node.port)).toEqual([3307, 3306, 3306])
    expect(cluster?.connection.database).toBe('app')
  })
})

describe('F90 rules', () => {
  const one = (input: unknown) => {
    const problems = problemsOf(input)
    expect(problems).toHaveLength(1)
    return problems[0]
  }
  const orders0 = 'clusters.orders.nodes[0]'
  const long = `a${'b'.repeat(52)}`

  test.each<[string, unknown, string]>([
    [
      'postgres: not an EC2 instance',
      withNodes({ instanceId: 'orders-a' }),
      `${orders0}.instanceId: must be the id of an EC2 instance`,
    ],
    [
      'rds: an EC2 instance',
      withManagedNodes('rds', { instanceId: 'i-0aaaaaaaaaaaaaaaa' }),
      `${orders0}.instanceId: is the id of an EC2 instance, and rds needs the identifier of a DB instance`,
    ],
    [
      'rds: capitals',
      withManagedNodes('rds', { instanceId: 'Orders-1' }),
      `${orders0}.instanceId: must be the identifier of a DB instance as RDS shows it`,
    ],
    [
      'rds: two hyphens',
      withManagedNodes('rds', { instanceId: 'orders--1' }),
      `${orders0}.instanceId: must be the identifier`,
    ],
    [
      'rds: no room for the name of an old primary',
      withManagedNodes('rds', { instanceId: long }),
      `${orders0}.instanceId: is longer than 52`,
    ],
    [
      'aurora-global: a final hyphen',
      withManagedNodes('aurora-global', { instanceId: 'users-' }),
      'nodes[0].instanceId: must be the identifier of a DB cluster',
    ],
    [
      'rds: the same instance twice',
      withManagedNodes('rds', {}, { instanceId: 'orders-1' }),
      'nodes[1].instanceId: is used twice (orders-1). A node is an instance',
    ],
    [
      'H30 rds: the endpoint of a cluster',
      withManagedNodes('rds', { address: 'x.cluster-c1.eu-central-1.rds.amazonaws.com' }),
      `${orders0}.address: is an endpoint of a cluster`,
    ],
    [
      'H30 aurora: the reader endpoint',
      withManagedNodes('aurora', { address: 'x.cluster-ro-c1.eu-central-1.rds.amazonaws.com' }),
      'nodes[0].address: is an endpoint of a cluster',
    ],
    [
      'H30 aurora-global: the global endpoint',
      withManagedNodes('aurora-global', { address: 'x.global-c1.global.rds.amazonaws.com' }),
      'nodes[0].address: must be the endpoint of the cluster of its Region',
    ],
    [
      'aurora-global: a secondary answers at its reader endpoint only',
      withManagedNodes('aurora-global', { readerAddress: null }),
      'nodes[0].readerAddress: is needed',
    ],
    [
      'H30 aurora-global: another endpoint as that of the readers',
      withManagedNodes('aurora-global', { readerAddress: 'x.cluster-c1.eu-central-1.rds.amazonaws.com' }),
      'nodes[0].readerAddress: must be the reader endpoint of the cluster',
    ],
    [
      'aurora: an endpoint of readers',
      withManagedNodes('aurora', { readerAddress: 'x.cluster-ro-c1.eu-central-1.rds.amazonaws.com' }),
      'nodes[0].readerAddress: is for aurora-global only',
    ],
    [
      'no name for an address of RDS',
      withManagedNodes('rds', { address: '10.0.1.11' }),
      `${orders0}.dnsName: is missing, and an IP address is no name`,
    ],
    [
      'a name of AWS as the endpoint',
      withManaged('rds', {
        endpoint: { name: 'orders-1.c1.eu-central-1.rds.amazonaws.com', zoneId: 'Z0123456789' },
      }),
      'clusters.orders.endpoint.name: is a name of AWS',
    ],
    [
      'the global endpoint without saying so',
      withManaged('aurora-global', {
        endpoint: { name: 'users-global.global-c1.global.rds.amazonaws.com', zoneId: 'Z0123456789' },
        managed: { globalEndpoint: false },
      }),
      'clusters.users.endpoint.name: is a name of AWS',
    ],
    ['managed for postgres', withCluster({ managed: {} }), 'clusters.orders.managed: is for what AWS runs'],
    [
      'a host',
      withManaged('aurora', { host: orders.host }),
      'clusters.carts.host: must be null: nobody reaches the hosts of aurora',
    ],
    [
      'S2 postgres: network',
      withPolicy({ fence: 'network' }),
      "policy.fence: 'network' is no fence of postgres (S2). Use 'power' or 'quorum', or leave it out.",
    ],
    [
      'S2 rds: power',
      withManaged('rds', { policy: { fence: 'power' } }),
      "policy.fence: 'power' is no fence of rds (S2). Use 'network', or leave it out.",
    ],
    [
      'S2 rds: quorum',
      withManaged('rds', { policy: { fence: 'quorum' } }),
      "policy.fence: 'quorum' is no fence of rds",
    ],
    [
      'S2 aurora: network',
      withManaged('aurora', { policy: { fence: 'network' } }),
      "policy.fence: 'network' is no fence of aurora (S2). Use 'native'",
    ],
    [
      'S10 rds: never',
      withManaged('rds', { policy: { loss: { mode: 'never' } } }),
      "policy.loss: 'never' can not be proved: replicas of RDS are asynchronous (S10). Set",
    ],
    [
      'S10 rds: the default',
      withManaged('rds', { policy: { loss: undefined } }),
      "policy.loss: 'never' can not be proved",
    ],
    [
      'S9 a list that nobody can set',
      withManaged('rds', { policy: { synchronous: 'managed' } }),
      "policy.synchronous: must be 'none'",
    ],
    [
      'rds without a fence',
      withManagedNodes('rds', { closedGroupId: null }),
      `${orders0}.closedGroupId: is needed`,
    ],
    [
      'a closed group elsewhere',
      withManagedNodes('aurora', { closedGroupId: 'sg-1' }),
      'nodes[0].closedGroupId: is for rds only',
    ],
    [
      'the same for postgres',
      withNodes({ closedGroupId: 'sg-1' }),
      'nodes[0].closedGroupId: is for rds only',
    ],
    [
      'a closed group that clients get',
      withManagedNodes('rds', { groupIds: ['sg-1', 'sg-0ccccccccccccccc1'] }),
      `${orders0}.groupIds: names sg-0ccccccccccccccc1, which is a closed group`,
    ],
    [
      'groups elsewhere',
      withManagedNodes('aurora', { groupIds: ['sg-1'] }),
      'nodes[0].groupIds: is for rds only',
    ],
    [
      'groups for the only node of a Region',
      withManagedNodes('rds', {}, {}, { groupIds: null }),
      'nodes[2].groupIds: is needed: when orders-1 is the primary, in eu-central-1, its groups are none of eu-west-1',
    ],
    [
      'groups for a node whose primary may be elsewhere',
      withManagedNodes('rds', { groupIds: null }),
      `${orders0}.groupIds: is needed: when orders-far is the primary, in eu-west-1`,
    ],
    [
      "a closed group that is the functions' own",
      withManagedNodes('rds', {}, {}, { closedGroupId: 'sg-0fffffffffffffff0' }),
      'nodes[2].closedGroupId: is sg-0fffffffffffffff0, which the functions carry themselves',
    ],
    [
      "a closed group that is the operator's",
      {
        ...managedExamples.rds,
        operator: {
          vpc: { vpcId: 'vpc-1', subnetIds: ['subnet-1'], securityGroupIds: ['sg-0ccccccccccccccc2'] },
        },
      },
      'nodes[2].closedGroupId: is sg-0ccccccccccccccc2, which the functions carry themselves',
    ],
    [
      'a closed group in two Regions',
      withManagedNodes('rds', {}, {}, { closedGroupId: 'sg-0ccccccccccccccc1' }),
      'nodes[2].closedGroupId: is sg-0ccccccccccccccc1, which is used in eu-central-1 as well',
    ],
    [
      'iam for postgres',
      withCluster({ connection: { password: { from: 'iam' }, tls: 'verify-full' } }),
      "connection.password: 'iam' is a login of RDS and Aurora",
    ],
    [
      'iam without verification',
      withManaged('aurora', { connection: { tls: 'require' } }),
      "connection.tls: must be 'verify-full' with password 'iam'",
    ],
    [
      'aurora-global without its id',
      withManaged('aurora-global', { managed: { globalClusterId: null } }),
      'managed.globalClusterId: is missing',
    ],
    [
      'a global id elsewhere',
      withManaged('aurora', { managed: { globalClusterId: 'users-global' } }),
      "managed.globalClusterId: is for engine 'aurora-global' only",
    ],
    [
      'a global endpoint elsewhere',
      withManaged('rds', { managed: { globalEndpoint: true } }),
      "managed.globalEndpoint: is for engine 'aurora-global' only",
    ],
    [
      'a global id that is none',
      withManaged('aurora-global', { managed: { globalClusterId: 'Users' } }),
      'managed.globalClusterId: is not the identifier of a global cluster',
    ],
    [
      'an Aurora of MariaDB',
      withManaged('aurora', { managed: { family: 'mariadb' } }),
      "managed.family: must be 'postgres' or 'mysql'",
    ],
    [
      'aurora-global: a zone in which nothing is written',
      withManaged('aurora-global', { endpoint: { name: 'users.example.org', zoneId: 'Z0123456789' } }),
      'endpoint.zoneId: is of no use with managed.globalEndpoint',
    ],
    [
      'aurora-global: a name of ours without its zone',
      withManaged('aurora-global', {
        endpoint: { name: 'users.example.org' },
        managed: { globalEndpoint: false },
      }),
      'endpoint.zoneId: is missing',
    ],
    [
      'a name without its zone',
      withCluster({ endpoint: { name: 'orders.example.org' } }),
      'endpoint.zoneId: is missing',
    ],
    [
      'rds: a cluster',
      withManaged('rds', { managed: { clusterId: 'carts' } }),
      "managed.clusterId: is for engine 'aurora' only",
    ],
    [
      'aurora-global: two clusters of a Region',
      withManagedNodes('aurora-global', {}, { region: 'eu-central-1' }),
      'nodes[1].region: is used twice (eu-central-1)',
    ],
    [
      'aurora in two Regions',
      withManagedNodes('aurora', {}, { region: 'eu-west-1' }),
      'nodes[1].region: is eu-west-1, and the first node is in eu-central-1',
    ],
  ])('%s', (_, input, says) => {
    expect(one(input)).toContain(says)
  })

  test('all at once, each with what to do', () => {
    const problems = problemsOf(
      withManaged('rds', {
        nodes: managedNodes('rds', { instanceId: 'Orders' }, { closedGroupId: null }),
        host: orders.host,
        policy: { fence: 'quorum', loss: { mode: 'never' }, synchronous: 'fixed' },
        managed: { globalClusterId: 'g', globalEndpoint: true },
        connection: { password: { from: 'iam' }, tls: 'require' },
      }),
    )
    expect(problems.map((problem) => problem.split(': ')[0]).toSorted()).toEqual(
      [
        'nodes[0].instanceId',
        'nodes[1].closedGroupId',
        'host',
        'policy.fence',
        'policy.loss',
        'policy.synchronous',
        'managed.globalClusterId',
        'managed.globalEndpoint',
        'connection.tls',
      ]
        .map((path) => `clusters.orders.${path}`)
        .toSorted(),
    )
  })

  test('a mistyped engine hides no other problem', () => {
    const problems = problemsOf(withManaged('rds', { engine: 'rdss', endpoint: { name: 'x', zoneId: 'z' } }))
    expect(problems.join('\n')).toMatch(/engine: expected postgres or rds[\s\S]*endpoint\.zoneId: must be/)
  })

  test.each<[string, unknown]>([
    ['S10 aurora: never', withManaged('aurora', { policy: { loss: { mode: 'never' } } })],
    ['S10 aurora-global: never', withManaged('aurora-global', { policy: { loss: { mode: 'never' } } })],
    [
      'rds that is never promoted, without a fence',
      withManagedNodes('rds', {}, {}, { promotable: false, closedGroupId: null }),
    ],
    [
      'rds that is never rebuilt, without groups',
      withManaged('rds', {
        nodes: managedNodes('rds', {}, {}, { groupIds: null }),
        policy: { rebuild: 'never' },
      }),
    ],
    [
      'no groups where no primary can be elsewhere',
      withManagedNodes('rds', { groupIds: null }, { groupIds: null }, { promotable: false }),
    ],
    ['the same identifier in two Regions', withManagedNodes('rds', {}, {}, { instanceId: 'orders-1' })],
    [
      'the same cluster identifier in two Regions',
      withManagedNodes('aurora-global', { instanceId: 'users' }, { instanceId: 'users' }),
    ],
    [
      'an alias of the global endpoint',
      withManaged('aurora-global', { endpoint: { name: 'users.example.org' } }),
    ],
    [
      'an address with a name',
      withManagedNodes('rds', { address: '10.0.1.11', dnsName: 'orders-1.example.org' }),
    ],
    [
      'a secret',
      withManaged('rds', { connection: { password: { from: 'secret', secretId: 'x' }, tls: 'require' } }),
    ],
  ])('allowed: %s', (_, input) => {
    expect(problemsOf(input)).toEqual([])
  })
})

describe('warnings', () => {
  const home = { region: 'eu-north-1' }
  const warn = (input: object) => configWarnings(parseConfig({ ...input, ...home }))

  test.each<[string, object, string]>([
    [
      'nothing is rebuilt',
      withManaged('rds', { policy: { rebuild: 'never' } }),
      "policy.rebuild: 'never' leaves the new primary without any replica",
    ],
    [
      'one replica, and its backups',
      withManagedNodes('rds', {}, {}, { promotable: false }),
      'nodes: only one replica can be promoted, and RDS promotes none while it is backed up',
    ],
    [
      'a bound that MySQL can not prove',
      withManaged('rds', { managed: { family: 'mysql' } }),
      "policy.loss: 'bounded' can not be proved for mysql",
    ],
    [
      'a node that can not be fenced',
      withManaged('rds', {
        nodes: [
          ...managedNodes('rds'),
          {
            ...managedNodes('rds')[2],
            id: 'orders-reports',
            instanceId: 'orders-reports',
            address: 'reports.example.org',
            promotable: false,
            closedGroupId: null,
          },
        ],
      }),
      'nodes: orders-reports without closedGroupId. As a primary it can not be fenced',
    ],
    [
      'an IP address',
      withManagedNodes('rds', { address: '10.0.1.11', dnsName: 'a.example.org' }),
      'nodes: orders-1 by IP address, which RDS changes',
    ],
    [
      'no password',
      withManaged('rds', { connection: { password: { from: 'none' } } }),
      'connection.password: RDS lets nobody in without one',
    ],
    [
      'H30 a secret costs an endpoint, a token does not',
      withManaged('rds', { connection: { password: { from: 'secret', secretId: 'x' } } }),
      "connection.password: a secret needs an interface endpoint for Secrets Manager in each zone of the observers, which costs more than the rest. 'iam' does not.",
    ],
    [
      'encryption without verification',
      withManaged('rds', { connection: { password: { from: 'secret', secretId: 'x' }, tls: 'require' } }),
      "connection.tls: 'require' does not check who answers",
    ],
  ])('%s', (_, input, says) => {
    expect(warn(input)).toContainEqual(expect.stringContaining(`clusters.orders.${says}`))
  })

  test('H24 the deployment where a primary may be', () => {
    const at = (region: string) =>
      configWarnings(parseConfig({ ...managedExamples['aurora-global'], region }))
    expect(at('eu-central-1')).toEqual([
      expect.stringContaining('nodes: users-eu-central-1 in eu-central-1, where the deployment is.'),
    ])
    expect(at('eu-west-3')).toEqual([])
  })

  test('S10 a bound that the time of AWS uses up', () => {
    const bounded = (seconds: number, providerGraceMs?: number) => {
      const managed = providerGraceMs === undefined ? {} : { managed: { providerGraceMs } }
      const policy = { loss: { mode: 'bounded', seconds } }
      return configWarnings(parseConfig(withManaged('aurora-global', { policy, ...managed })))
    }
    expect(bounded(240)).toContainEqual(expect.stringContaining('policy.loss: the bound counts from'))
    expect(bounded(90, 20_000)).toEqual([])
  })

  test('H24 all nodes in one other Region', () => {
    const north = withManagedNodes('aurora', ...Array(3).fill({ region: 'eu-north-1' }))
    expect(configWarnings(parseConfig(north))).toEqual([
      expect.stringContaining('nodes: some are outside eu-central-1'),
    ])
  })
})
