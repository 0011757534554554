/**
 * An Aurora global database: a cluster of a writer and a reader in one Region, one of two readers in another, on the local
 * RDS. Understudy is in a third Region. A fault takes the whole Region of the primary: its servers and its API.
 */
import type { ConfigPlaces, DatabaseOptions, Databases, Flavour } from './databases.ts'
import { endpointName, region as home, zone } from './databases.ts'
import { databasesOf, required, startPlane } from './embeddedManaged.ts'
import { loopbackAddresses } from './postgres/index.ts'
import type { RdsControlPlane } from './rds/index.ts'

const nodes = [
  { id: 'a', region: 'eu-west-1', endpoint: '127.0.0.21', readers: '127.0.0.31', servers: [1, 2] },
  { id: 'b', region: 'eu-north-1', endpoint: '127.0.0.22', readers: '127.0.0.32', servers: [3, 4] },
].map((node) => ({
  ...node,
  identifier: `orders-${node.id}`,
  dnsName: `orders-${node.id}.${node.region}.${zone.name}`,
  instances: node.servers.map((last, index) => ({
    id: `${node.id}${index + 1}`,
    identifier: `orders-${node.id}-${index + 1}`,
    server: `127.0.0.1${last}`,
    availabilityZone: `${node.region}${'ab'[index]}`,
  })),
}))
const servers = nodes.flatMap(({ instances }) => instances)
const globalId = 'orders-global'
const nodeOf = (id: string) => required(nodes.find((node) => node.id === id))

/** A failover that takes a minute in reality takes two seconds, a new volume for the old primary nine. */
const timeScale = 0.03

export const globalFlavour: Flavour = {
  addresses: [
    ...new Set([
      ...loopbackAddresses,
      ...servers.map(({ server }) => server),
      ...nodes.flatMap(({ endpoint, readers }) => [endpoint, readers]),
    ]),
  ],
  faults: ['kill', 'restart', 'switchover'],

  cluster: ({ port }: ConfigPlaces, { policy, managed }: DatabaseOptions) => ({
    engine: 'aurora-global',
    nodes: nodes.map(({ id, endpoint, readers, dnsName, identifier, region, instances }) => ({
      id,
      address: endpoint,
      readerAddress: readers,
      port,
      dnsName,
      instanceId: identifier,
      region,
      availabilityZone: required(instances[0]).availabilityZone,
    })),
    policy: {
      fence: 'native',
      // Counted from the last sample of CloudWatch: the time that Aurora is given passes within it, too.
      loss: { mode: 'bounded', seconds: 30 },
      synchronous: 'none',
      rejoin: 'never',
      silentLooks: 2,
      holdMs: 100,
      ...policy,
    },
    managed: { family: 'postgres', providerGraceMs: 5_000, globalClusterId: globalId, ...managed },
  }),

  async start(port, options) {
    const { postgres, plane } = await startPlane(servers, port, options, (server) => ({
      regions: [home, ...nodes.map(({ region }) => region)],
      securityGroups: { 'sg-0000000000000open': true },
      timeScale,
      instances: nodes.flatMap(({ region, identifier: cluster, instances }) =>
        instances.map(({ id, identifier, availabilityZone }) => ({
          identifier,
          region,
          availabilityZone,
          server: server(id),
          cluster,
        })),
      ),
      clusters: nodes.map(({ identifier, region, endpoint, readers, dnsName, instances }, index) => ({
        identifier,
        region,
        endpoint: { address: endpoint, port, name: dnsName },
        readerEndpoint: { address: readers, port },
        ...(index === 0 ? { writer: required(instances[0]).identifier } : {}),
      })),
      globals: [{ identifier: globalId, clusters: [nodeOf('a').identifier, nodeOf('b').identifier] }],
    }))
    const places = {
      hosts: Object.fromEntries(nodes.map(({ dnsName, endpoint }) => [dnsName, endpoint])),
      followers: servers.length - 1,
      addressOf: (id: string) => nodeOf(id).endpoint,
      instanceOf: (id: string) => writerOf(plane, id),
    }
    return regionsOf(plane, databasesOf(postgres, plane, places), options.managed?.globalEndpoint === true)
  },
}

/** A secondary has none: its first reader. */
function writerOf(plane: RdsControlPlane, node: string): string {
  const { members } = plane.cluster(nodeOf(node).identifier)
  return required(members.find(({ isWriter }) => isWriter) ?? members[0]).identifier
}

function regionsOf(plane: RdsControlPlane, databases: Databases, isEndpointGlobal: boolean): Databases {
  const { aws, inflict } = databases
  const endpoint = {
    hosts: { ...aws.hosts, [endpointName]: nodeOf('a').endpoint },
    /** The name of the clients is Aurora's own, which it moves. */
    onHosts: (move: (name: string, address: string) => void) =>
      plane.onEndpoint((_global, name) =>
        move(endpointName, required(nodes.find(({ dnsName }) => dnsName === name)).endpoint),
      ),
  }
  return {
    ...databases,
    aws: { ...aws, ...(isEndpointGlobal ? endpoint : {}) },
    async inflict(fault, node) {
      if (fault !== 'kill') return await inflict(fault, node)
      await plane.regionDown(nodeOf(node).region, 'dead')
      return undefined
    },
    heal: (node) => plane.regionUp(nodeOf(node).region),
  }
}
