/** Servers on instances of one's own: three PostgreSQL servers, each an instance of the local EC2. */
import type { Databases, Flavour } from './databases.ts'
import { zone, zones } from './databases.ts'
import type { Machine } from './machine.ts'
import {
  type ClusterOptions,
  loopbackAddresses,
  PostgresCluster,
  type PostgresServer,
} from './postgres/index.ts'

interface Node {
  readonly id: string
  readonly address: string
  readonly instanceId: string
  readonly availabilityZone: string
}

/** Where the servers are. The default is loopback. */
export interface Site {
  /** Of the servers, by node. */
  readonly addresses: Readonly<Record<'a' | 'b' | 'c', string>>
  /** Whether the servers' addresses are this process's, and a port for them is to be found here. */
  readonly isHere: boolean
  /** From where a node's standby connects, if not from its own address. */
  readonly sourceAddress?: string
  /** How and where the servers are started. */
  readonly cluster?: Pick<ClusterOptions, 'directory' | 'dataDirectory' | 'launch' | 'network'>
}

const loopback: Site = {
  addresses: { a: '127.0.0.11', b: '127.0.0.12', c: '127.0.0.13' },
  isHere: true,
  sourceAddress: '127.0.0.1',
}

const dnsNameOf = (id: string) => `${id}.nodes.${zone.name}`

export const postgresFlavour: Flavour = postgresAt(loopback)

export function postgresAt(site: Site): Flavour {
  const { a, b, c } = site.addresses
  const nodes: readonly Node[] = [
    { id: 'a', address: a, instanceId: 'i-0000000000000000a', availabilityZone: zones[0] },
    { id: 'b', address: b, instanceId: 'i-0000000000000000b', availabilityZone: zones[1] },
    { id: 'c', address: c, instanceId: 'i-0000000000000000c', availabilityZone: zones[2] },
  ]
  return {
    addresses: site.isHere ? loopbackAddresses : [],
    faults: ['kill', 'freeze', 'restart', 'switchover'],

    cluster: ({ port, postgres }, { fence, policy }) => ({
      engine: 'postgres',
      nodes: nodes.map((node) => ({
        ...node,
        port,
        dnsName: dnsNameOf(node.id),
        ...(site.sourceAddress === undefined ? {} : { sourceAddresses: [site.sourceAddress] }),
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
        ...site.cluster,
      })
      return databasesOf(postgres, nodes, site)
    },
  }
}

function databasesOf(postgres: PostgresCluster, nodes: readonly Node[], site: Site): Databases {
  const server = (node: string): PostgresServer => {
    const found = postgres.servers.get(node)
    if (found === undefined) throw new Error(`no server ${node}`)
    return found
  }
  return {
    postgres,
    aws: {
      machines: nodes.map((node) => machineOf(postgres, server(node.id), node, site)),
      hosts: Object.fromEntries(nodes.map((node) => [dnsNameOf(node.id), node.address])),
    },
    followers: nodes.length - 1,
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

function machineOf(
  postgres: PostgresCluster,
  server: PostgresServer,
  node: Node,
  { cluster }: Site,
): Machine {
  return {
    ...(cluster?.launch ? { enter: cluster.launch.enter(node.id) } : {}),
    instanceId: node.instanceId,
    privateAddress: node.address,
    availabilityZone: node.availabilityZone,
    powerOff: () => server.kill(),
    // A host whose server does not start at boot, as the product requires: Understudy starts it, as a standby (S11).
    powerOn: async () => undefined,
    cwd: postgres.directory,
    shellEnvironment: {
      PATH: `${postgres.binDirectory}:${process.env.PATH ?? ''}`,
      ...(process.env.TMPDIR ? { TMPDIR: process.env.TMPDIR } : {}),
    },
  }
}
