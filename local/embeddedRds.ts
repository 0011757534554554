/**
 * A primary of RDS and two read replicas, Single-AZ: PostgreSQL servers behind the local RDS, in its time, which runs
 * faster. Each identifier has the endpoint that clients use, and the way that Understudy's own functions go, which the
 * closed group leaves open. What dies here stays dead: RDS starts no server of a Single-AZ instance again by itself.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterState } from '../functions/core/types.ts'
import type { ConfigPlaces, DatabaseOptions, Databases, Flavour } from './databases.ts'
import { region, zone, zones } from './databases.ts'
import { loopbackAddresses, PostgresCluster, type PostgresServer } from './postgres/index.ts'
import { RdsControlPlane } from './rds/index.ts'
import { query } from './rds/servers.ts'
import { monotonicMs } from './writer.ts'

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

  cluster: ({ port }: ConfigPlaces, { policy }: DatabaseOptions) => ({
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
    managed: { family: 'postgres', providerGraceMs: 20_000, backupGraceMs: 20_000 },
  }),

  async start(port, { log }) {
    const postgres = await PostgresCluster.create({
      nodes: nodes.map(({ id, server }) => ({ id, address: server, port })),
      synchronous: 'none',
    })
    try {
      const [primary] = nodes
      const plane = await RdsControlPlane.create({
        postgres,
        regions: [region],
        securityGroups: { [openGroup]: true, [closedGroup]: false },
        timeScale,
        ...(log ? { log } : {}),
        instances: nodes.map((node) => ({
          identifier: node.identifier,
          region,
          availabilityZone: node.availabilityZone,
          server: required(postgres.servers.get(node.id)),
          endpoint: { address: node.client, port, name: endpointOf(node) },
          controller: { address: node.controller, port },
          ...(node === primary ? {} : { source: required(primary).identifier, backupRetentionDays: 0 }),
        })),
      })
      return databasesOf(postgres, plane)
    } catch (error) {
      await postgres.close()
      throw error
    }
  },
}

function databasesOf(postgres: PostgresCluster, plane: RdsControlPlane): Databases {
  const nodeOf = (id: string): Node => required(nodes.find((node) => node.id === id))
  /** Whoever has the identifier now: after a rebuild that is another server. */
  const server = async (id: string): Promise<PostgresServer> =>
    required((await plane.view(nodeOf(id).identifier)).server ?? undefined)
  return {
    postgres,
    aws: {
      machines: [],
      hosts: Object.fromEntries(nodes.map((node) => [endpointOf(node), node.client])),
      rds: plane,
    },
    isReady: (state: ClusterState) => Object.values(state.nodes).every((node) => node.instanceId !== null),
    addressOf: (node) => nodeOf(node).client,
    query: async (node, text, values = [], database = 'postgres') =>
      await query(await server(node), text, values, database),
    async inflict(fault, node) {
      const { identifier } = nodeOf(node)
      if (fault === 'restart') return await rebootByHand(plane, identifier)
      if (fault === 'kill') await plane.crash(identifier)
      else await plane.freeze(identifier)
      return undefined
    },
    thaw: (node) => plane.thaw(nodeOf(node).identifier),
    async close() {
      await plane.close()
      await postgres.close()
    },
  }
}

/** What a person does in the console. RDS lets the sessions be for a while: resolves when it has ended them. */
async function rebootByHand(plane: RdsControlPlane, identifier: string): Promise<number> {
  const form = new URLSearchParams({ DBInstanceIdentifier: identifier })
  const before = plane.events.length
  await plane.handle('RebootDBInstance', form, { region, staleMs: 0 })
  while (!plane.events.slice(before).some(({ id }) => id === 'RDS-EVENT-0004')) await delay(2)
  return monotonicMs()
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing there')
  return value
}
