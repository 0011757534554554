/**
 * One Aurora cluster: a writer and two readers on the local RDS, in its time, which runs faster. Aurora elects when the
 * writer dies, and what died comes back as a reader.
 */
import type { ConfigPlaces, DatabaseOptions, Flavour } from './databases.ts'
import { region, zone, zones } from './databases.ts'
import { databasesOf, required, startPlane } from './embeddedManaged.ts'
import { loopbackAddresses } from './postgres/index.ts'

const nodes = ['a', 'b', 'c'].map((id, index) => ({
  id,
  identifier: `orders-${id}`,
  dnsName: `orders-${id}.rds.${zone.name}`,
  server: `127.0.0.1${index + 1}`,
  endpoint: `127.0.0.2${index + 1}`,
  availabilityZone: zones[index] ?? zones[0],
}))

/** An election that takes half a minute in reality, until it is noticed included, takes three seconds. */
const timeScale = 0.1

export const auroraFlavour: Flavour = {
  addresses: [...loopbackAddresses, ...nodes.map(({ endpoint }) => endpoint)],
  faults: ['kill', 'freeze', 'restart', 'switchover'],

  cluster: ({ port }: ConfigPlaces, { policy, managed }: DatabaseOptions) => ({
    engine: 'aurora',
    nodes: nodes.map(({ id, endpoint, dnsName, identifier, availabilityZone }) => ({
      id,
      address: endpoint,
      port,
      dnsName,
      instanceId: identifier,
      availabilityZone,
    })),
    policy: {
      fence: 'native',
      loss: { mode: 'never' },
      synchronous: 'none',
      rejoin: 'never',
      silentLooks: 2,
      holdMs: 100,
      ...policy,
    },
    managed: { family: 'postgres', providerGraceMs: 20_000, ...managed },
  }),

  async start(port, options) {
    const { postgres, plane } = await startPlane(nodes, port, options, (server) => ({
      regions: [region],
      securityGroups: { 'sg-0000000000000open': true },
      timeScale,
      instances: nodes.map((node) => ({
        identifier: node.identifier,
        region,
        availabilityZone: node.availabilityZone,
        server: server(node.id),
        endpoint: { address: node.endpoint, port, name: node.dnsName },
        cluster: 'orders',
      })),
      clusters: [{ identifier: 'orders', region, writer: required(nodes[0]).identifier }],
    }))
    const nodeOf = (id: string) => required(nodes.find((node) => node.id === id))
    return databasesOf(postgres, plane, {
      hosts: Object.fromEntries(nodes.map(({ dnsName, endpoint }) => [dnsName, endpoint])),
      followers: nodes.length - 1,
      addressOf: (id) => nodeOf(id).endpoint,
      instanceOf: (id) => nodeOf(id).identifier,
    })
  },
}
