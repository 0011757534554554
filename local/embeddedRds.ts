/**
 * A primary of RDS and two read replicas, Single-AZ: PostgreSQL servers behind the local RDS, in its time, which runs
 * faster. Each identifier has the endpoint that clients use, and the way that Understudy's own functions go, which the
 * closed group leaves open. What dies here stays dead: RDS starts no server of a Single-AZ instance again by itself.
 */
import type { ConfigPlaces, DatabaseOptions, Flavour } from './databases.ts'
import { region, zone, zones } from './databases.ts'
import { databasesOf, required, startPlane } from './embeddedManaged.ts'
import { loopbackAddresses } from './postgres/index.ts'

/** The servers themselves are where nobody but RDS looks. */
const nodes = [
  { id: 'a', server: '127.0.0.11', client: '127.0.0.21', controller: '127.0.0.31' },
  { id: 'b', server: '127.0.0.12', client: '127.0.0.22', controller: '127.0.0.32' },
  { id: 'c', server: '127.0.0.13', client: '127.0.0.23', controller: '127.0.0.33' },
].map((node, index) => ({
  ...node,
  identifier: `orders-${node.id}`,
  availabilityZone: zones[index] ?? zones[0],
}))
type Node = (typeof nodes)[number]

const openGroup = 'sg-0000000000000open'
const closedGroup = 'sg-000000000000closed'

/** A promotion that takes some three minutes in reality takes four seconds, the copy of a replica ten. */
const timeScale = 0.02

const endpointOf = ({ identifier }: Node) => `${identifier}.rds.${zone.name}`

export const rdsFlavour: Flavour = {
  addresses: [...loopbackAddresses, ...nodes.flatMap(({ client, controller }) => [client, controller])],
  faults: ['kill', 'freeze', 'restart', 'switchover'],

  cluster: ({ port }: ConfigPlaces, { policy, managed }: DatabaseOptions) => ({
    engine: 'rds',
    nodes: nodes.map((node) => ({
      id: node.id,
      address: node.controller,
      port,
      dnsName: endpointOf(node),
      instanceId: node.identifier,
      availabilityZone: node.availabilityZone,
      closedGroupId: closedGroup,
      groupIds: [openGroup],
      // RDS' own replication does not pass the controller's way.
      sourceAddresses: ['127.0.0.1'],
    })),
    policy: {
      fence: 'network',
      loss: { mode: 'bounded', seconds: 5 },
      synchronous: 'none',
      rejoin: 'never',
      rebuild: 'automatic',
      silentLooks: 2,
      holdMs: 100,
      ...policy,
    },
    managed: { family: 'postgres', providerGraceMs: 20_000, backupGraceMs: 20_000, ...managed },
  }),

  async start(port, options) {
    const [primary] = nodes
    const { postgres, plane } = await startPlane(nodes, port, options, (server) => ({
      regions: [region],
      securityGroups: { [openGroup]: true, [closedGroup]: false },
      timeScale,
      instances: nodes.map((node) => ({
        identifier: node.identifier,
        region,
        availabilityZone: node.availabilityZone,
        server: server(node.id),
        endpoint: { address: node.client, port, name: endpointOf(node) },
        controller: { address: node.controller, port },
        ...(node === primary ? {} : { source: required(primary).identifier, backupRetentionDays: 0 }),
      })),
    }))
    const nodeOf = (id: string): Node => required(nodes.find((node) => node.id === id))
    return databasesOf(postgres, plane, {
      hosts: Object.fromEntries(nodes.map((node) => [endpointOf(node), node.client])),
      followers: nodes.length - 1,
      addressOf: (id) => nodeOf(id).client,
      instanceOf: (id) => nodeOf(id).identifier,
    })
  },
}
