import { describe, expect, test } from 'vitest'
import { parseConfig } from '../functions/config.ts'
import { example, orders, problemsOf, withCluster, withNodes, withPolicy } from './config-samples.ts'

describe('F90 problems', () => {
  test('all are said at once: mistyped, missing, unknown, and rules between settings', () => {
    const input = {
      ...example,
      regoin: 'eu-central-1',
      observers: [...example.observers, { id: 'a' }],
      clusters: {
        orders: {
          ...orders,
          endpoint: { ...orders.endpoint, ttlSeconds: 300 },
          nodes: [
            { ...orders.nodes[0], port: '5432' },
            { ...orders.nodes[1], instanceId: undefined },
            orders.nodes[0],
          ],
          policy: { synchronous: 'none', fence: 'quorum', holdMs: -1 },
        },
      },
    }
    const problems = problemsOf(input)
    expect(problems).toEqual(
      expect.arrayContaining([
        'regoin: unknown. Did you mean region?',
        expect.stringMatching(/^observers: there are 4, an even number/),
        'observers[3].id: is used twice (a). Give each observer its own id.',
        expect.stringMatching(/^clusters\.orders\.endpoint\.ttlSeconds: must be at most 60/),
        expect.stringMatching(/^clusters\.orders\.nodes\[0\]\.port: expected a number, got text\. TCP port/),
        expect.stringMatching(/^clusters\.orders\.nodes\[1\]\.instanceId: missing/),
        'clusters.orders.nodes[2].id: is used twice (orders-a). Give each node its own id.',
        expect.stringMatching(/^clusters\.orders\.policy\.loss: 'never' can not be proved/),
        expect.stringMatching(/^clusters\.orders\.policy\.fence: 'quorum' needs a provable/),
        expect.stringMatching(/^clusters\.orders\.policy\.cancelledWaits: must be 'accepted'/),
        expect.stringMatching(/^clusters\.orders\.policy\.holdMs: must be at least 0/),
      ]),
    )
    expect(problems).toHaveLength(11)
  })

  test('the error names their number and lists each on a line', () => {
    expect(() => parseConfig({ ...example, region: 'Frankfurt', deployment: 'x' })).toThrow(
      /^The configuration has 2 problems:\n {2}- deployment: .*\n {2}- region: is not the name of an AWS Region/,
    )
  })

  test.each([
    [undefined],
    [null],
    ['text'],
    [7],
    [[]],
    [{}],
    [{ clusters: 7, observers: {} }],
    [{ clusters: { a: 1 } }],
  ])('input %j gives problems, never a crash', (input) => {
    expect(problemsOf(input)).not.toEqual([])
  })

  test.each([
    ['region', 'clustr', 'nothing near'],
    ['policy', 'fense', 'Did you mean fence?'],
    ['policy', 'holdMS', 'Did you mean holdMs?'],
    ['policy', 'xyzzyxyzzy', 'Remove it; known here: fence, cancelledWaits, loss'],
  ])('an unknown key in %s: %s', (where, key, says) => {
    const input = where === 'policy' ? withPolicy({ [key]: 1 }) : { ...example, [key]: 1 }
    const path = where === 'policy' ? `clusters.orders.policy.${key}` : key
    const [problem] = problemsOf(input)
    expect(problem).toContain(`${path}: unknown. ${where === 'policy' ? says : ''}`)
  })

  test('a value that may be secret is never repeated', () => {
    const secret = 'hunter2'
    const inputs = [
      withCluster({ connection: { password: secret } }),
      withCluster({ connection: { password: { from: secret } } }),
      withCluster({ connection: { password: { from: 'none', secretId: secret } } }),
      withCluster({ connection: { password: { from: 'secret', secretId: { value: secret } } } }),
      withCluster({ connection: { tls: secret, operatorUser: [secret] } }),
    ]
    for (const input of inputs) {
      expect(problemsOf(input)).not.toEqual([])
      expect(problemsOf(input).join()).not.toContain(secret)
    }
  })

  const one = (input: unknown) => {
    const problems = problemsOf(input)
    expect(problems).toHaveLength(1)
    return problems[0]
  }
  const at = 'clusters.orders'

  test.each<[string, unknown, string]>([
    ['deployment', { ...example, deployment: 'Under_study' }, 'deployment: must be 3 to 32'],
    ['account', { ...example, account: '123' }, 'account: must be 12 digits'],
    [
      'an e-mail address',
      { ...example, notifications: { emails: ['me'] } },
      'notifications.emails[0]: is not an e-mail',
    ],
    ['retention', { ...example, logs: { retentionDays: 31 } }, 'logs.retentionDays: expected'],
    [
      'two observers',
      { ...example, observers: example.observers.slice(0, 2) },
      'observers: needs three observers at least',
    ],
    [
      'a canary',
      { ...example, observers: [{ ...example.observers[0], canary: 'host' }, ...example.observers.slice(1)] },
      'observers[0].canary: must be host:port',
    ],
    [
      'a canary on a port that there is not',
      {
        ...example,
        observers: [{ ...example.observers[0], canary: 'host:99999' }, ...example.observers.slice(1)],
      },
      'observers[0].canary: must be host:port',
    ],
    [
      'an id that every object has as a key',
      { ...example, clusters: { constructor: orders } },
      'clusters.constructor.id: is a word that JavaScript keeps',
    ],
    ['no cluster', { ...example, clusters: {} }, 'clusters: needs one cluster at least'],
    ['cluster id', { ...example, clusters: { Orders: orders } }, 'clusters.Orders.id: must be 1 to 40'],
    ['a long cluster id', { ...example, clusters: { ['o'.repeat(41)]: orders } }, 'must be 1 to 40'],
    [
      'one node',
      withCluster({ nodes: orders.nodes.slice(0, 1), policy: { synchronous: 'fixed' } }),
      `${at}.nodes: needs two nodes`,
    ],
    ['node id', withNodes({ id: 'orders_a' }), `${at}.nodes[0].id: must be 1 to 40`],
    [
      'address with a port',
      withNodes({ address: '10.0.1.11:5432', dnsName: 'a.example' }),
      `${at}.nodes[0].address: must be an IP`,
    ],
    [
      'address used twice',
      withNodes({}, { address: '10.0.1.11' }),
      `${at}.nodes[1].address: is used twice (10.0.1.11:5432)`,
    ],
    [
      'instance used twice',
      withNodes({}, {}, { instanceId: 'i-0aaaaaaaaaaaaaaaa' }),
      `${at}.nodes[2].instanceId: is used twice`,
    ],
    [
      'instance id',
      withNodes({ instanceId: 'orders-a' }),
      `${at}.nodes[0].instanceId: must be the id of an EC2`,
    ],
    ['no name for a public address', withNodes({ address: '8.8.8.8' }), `${at}.nodes[0].dnsName: is missing`],
    [
      'H30 address is the endpoint',
      withNodes({ address: 'orders.db.example.internal', dnsName: 'a.example' }),
      `${at}.nodes[0].address: is the name of an endpoint`,
    ],
    [
      'H30 name is the endpoint',
      withNodes({ dnsName: 'ORDERS.db.example.internal' }),
      `${at}.nodes[0].dnsName: is the name of an endpoint`,
    ],
    [
      'nobody promotable',
      withNodes({ promotable: false }, { promotable: false }, { promotable: false }),
      `${at}.nodes: no node may be promoted`,
    ],
    [
      'endpoint name',
      withCluster({ endpoint: { ...orders.endpoint, name: 'orders..internal' } }),
      `${at}.endpoint.name: is not a DNS name`,
    ],
    [
      'endpoint name with a final dot',
      withCluster({ endpoint: { ...orders.endpoint, name: 'orders.internal.' } }),
      `${at}.endpoint.name: is not a DNS name`,
    ],
    [
      'zone id',
      withCluster({ endpoint: { ...orders.endpoint, zoneId: '/hostedzone/Z1' } }),
      `${at}.endpoint.zoneId: must be the id`,
    ],
    [
      'resolver',
      withCluster({ endpoint: { ...orders.endpoint, resolver: '10.0.0.2' } }),
      `${at}.endpoint.resolver: must be the IP address and port`,
    ],
    ...['dns.example:53', '10.0.0.2:0', '10.0.0.2:65536', '::1:53', '[dns]:53'].map(
      (resolver): [string, unknown, string] => [
        `resolver ${resolver}, which Node would throw on or die of`,
        withCluster({ endpoint: { ...orders.endpoint, resolver } }),
        `${at}.endpoint.resolver: must be the IP address and port`,
      ],
    ),
    ['engine', withCluster({ engine: 'oracle' }), `${at}.engine: expected postgres or rds`],
    [
      'S10 never without a list',
      withPolicy({ synchronous: 'none' }),
      `${at}.policy.loss: 'never' can not be proved`,
    ],
    [
      'S2 quorum without a list',
      withPolicy({ fence: 'quorum', synchronous: 'none', loss: { mode: 'availability' } }),
      `${at}.policy.fence: 'quorum' needs`,
    ],
    [
      'S2 quorum and never without the declaration',
      withPolicy({ fence: 'quorum' }),
      `${at}.policy.cancelledWaits: must be 'accepted'`,
    ],
    [
      'bounded without seconds',
      withPolicy({ loss: { mode: 'bounded' } }),
      `${at}.policy.loss.seconds: missing`,
    ],
    [
      'bounded by nothing',
      withPolicy({ loss: { mode: 'bounded', seconds: 0 } }),
      `${at}.policy.loss.seconds: must be more than 0`,
    ],
    ['loss mode', withPolicy({ loss: { mode: 'sometimes' } }), `${at}.policy.loss.mode: expected one of`],
    [
      'more acknowledgements than standbys',
      withPolicy({ synchronousCount: 3 }),
      `${at}.policy.synchronousCount: is 3, but there are 2`,
    ],
    [
      'rejoin without a host',
      withCluster({ host: null }),
      `${at}.host: is needed by policy.rejoin 'automatic'`,
    ],
    [
      'a relative path',
      withCluster({ host: { ...orders.host, dataDirectory: 'data' } }),
      `${at}.host.dataDirectory: must be an absolute path`,
    ],
    [
      'a path that a shell would read',
      withCluster({ host: { ...orders.host, binDirectory: '/usr/$(id)' } }),
      `${at}.host.binDirectory: must be an absolute path`,
    ],
    [
      'a user',
      withCluster({ host: { ...orders.host, osUser: 'root; id' } }),
      `${at}.host.osUser: is not the name of a user`,
    ],
    [
      'a lazy urgency',
      withCluster({ observe: { urgentIntervalMs: 3000 } }),
      `${at}.observe.urgentIntervalMs: is above`,
    ],
    [
      'probes that pile up',
      withCluster({ observe: { intervalMs: 100, urgentIntervalMs: 100 } }),
      `${at}.observe.probeTimeoutMs: is above`,
    ],
    [
      'a heartbeat between ticks',
      withCluster({ observe: { heartbeatMs: 1000 } }),
      `${at}.observe.heartbeatMs: is below`,
    ],
  ])('%s', (_, input, says) => {
    const problem = one(input)
    expect(problem).toContain(says)
  })

  test('clusters do not share servers, instances, ids or names', () => {
    const problems = problemsOf({
      ...example,
      clusters: [
        { id: 'orders', ...orders },
        { id: 'orders', ...orders },
      ],
    })
    expect(problems.filter((problem) => problem.includes('is used twice'))).toHaveLength(
      2 + 2 * orders.nodes.length,
    )
  })

  test('S6 observers are odd in number, with distinct ids', () => {
    const [a, b, c] = example.observers
    expect(one({ ...example, observers: [a, b, c, { id: 'd' }] })).toContain(
      'observers: there are 4, an even number',
    )
    expect(one({ ...example, observers: [a, b, { ...c, id: 'a' }] })).toContain(
      'observers[2].id: is used twice',
    )
  })

  test('H24 observers that all share the zone of a node are refused', () => {
    const shared = (availabilityZone: string) => ({
      ...example,
      observers: example.observers.map((observer) => ({ ...observer, availabilityZone })),
    })
    expect(one(shared('eu-central-1a'))).toContain('observers: all are in eu-central-1a')
    expect(problemsOf(shared('eu-central-1d'))).toEqual([])
  })

  test('operate needs a place of its own when observers are in several VPCs', () => {
    const [first, ...others] = example.observers
    const elsewhere = {
      ...first?.vpc,
      vpcId: 'vpc-other',
      subnetIds: ['subnet-1'],
      securityGroupIds: ['sg-1'],
    }
    expect(one({ ...example, observers: [{ ...first, vpc: elsewhere }, ...others] })).toContain(
      'operator.vpc: is needed',
    )
  })

  test('quorum and never with the declaration is accepted', () => {
    expect(problemsOf(withPolicy({ fence: 'quorum', cancelledWaits: 'accepted' }))).toEqual([])
  })
})
