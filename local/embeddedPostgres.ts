/** Servers on instances of one's own: three PostgreSQL servers, each an instance of the local EC2. */
import type { Databases, Flavour } from './databases.ts'
import { zone, zones } from './databases.ts'
import type { Machine } from './machine.ts'
import { loopbackAddresses, PostgresCluster, type PostgresServer } from './postgres/index.ts'

const nodes = [
  { id: 'a', address: '127.0.0.11', instanceId: 'i-0000000000000000a', availabilityZone: zones[0] },
  { id: 'b', address: '127.0.0.12', instanceId: 'i-0000000000000000b', availabilityZone: zones[1] },
  { id: 'c', address: '127.0.0.13', instanceId: 'i-0000000000000000c', availabilityZone: zones[2] },
] as const

const dnsNameOf = (id: string) => `${id}.nodes.${zone.name}`

export const postgresFlavour: Flavour = {
  addresses: loopbackAddresses,

  cluster: ({ port, postgres }, { fence, policy }) => ({
    engine: 'postgres',
    nodes: nodes.map((node) => ({
      ...node,
      port,
      dnsName: dnsNameOf(node.id),
      sourceAddresses: ['127.0.0.1'],
    })),
    policy: {
      fence: fence ?? 'quorum',
      cancelledWaits: 'accepted',
      loss: { mode: 'never' },
      synchronous: 'managed',
      silentLooks: 2,
      // A restart takes some 40 ms on loopback; a quarter of a second, the default, is for real networks.
      holdMs: 100,
      ...policy,
    },
    host: postgres?.hostConfig() ?? { dataDirectory: '/nowhere/{node}', binDirectory: '/nowhere' },
  }),

  async start(port) {
    const postgres = await PostgresCluster.create({
      nodes: nodes.map(({ id, address }) => ({ id, address, port })),
      synchronous: 'any',
    })
    return databasesOf(postgres)
  },
}

function databasesOf(postgres: PostgresCluster): Databases {
  const server = (node: string): PostgresServer => {
    const found = postgres.servers.get(node)
    if (found === undefined) throw new Error(`no server ${node}`)
    return found
  }
  return {
    postgres,
    aws: {
      machines: nodes.map((node) => machineOf(postgres, server(node.id), node)),
      hosts: Object.fromEntries(nodes.map((node) => [dnsNameOf(node.id), node.address])),
    },
    isReady: (state) => state.synchronous.status === 'provable',
    addressOf: (node) => server(node).address,
    query: (node, text, values, database) => postgres.query(node, text, values, database),
    async inflict(fault, node) {
      if (fault === 'kill') await server(node).kill()
      else if (fault === 'restart') await server(node).restart('fast')
      else await server(node).freeze()
      return undefined
    },
    thaw: (node) => server(node).thaw(),
    close: () => postgres.close(),
  }
}

function machineOf(postgres: PostgresCluster, server: PostgresServer, node: (typeof nodes)[number]): Machine {
  return {
    instanceId: node.instanceId,
    privateAddress: node.address,
    availabilityZone: node.availabilityZone,
    powerOff: () => server.kill(),
    // A host whose server does not start at boot, as the product requires: Understudy starts it, as a standby (S11).
    powerOn: async () => undefined,
    cwd: postgres.directory,
    shellEnvironment: { PATH: `${postgres.binDirectory}:${process.env.PATH ?? ''}` },
  }
}
