/** The clusters that the contract of the engine port runs on. */
import { createServer, type Server, type Socket } from 'node:net'
import { PromoteReadReplicaCommand, RebootDBInstanceCommand } from '@aws-sdk/client-rds'
import { type Connection, type ConnectionOptions, createConnection } from 'mysql2'
import { Client } from 'pg'
import { parseConfig } from '../../functions/config.ts'
import type { ClusterConfig, NodeConfig } from '../../functions/core/types.ts'
import { createEngines } from '../../functions/engines/index.ts'
import { createMysqlEngine } from '../../functions/engines/mysql/index.ts'
import { type PostgresServer, pickPort } from '../../local/postgres/index.ts'
import { example } from '../config-samples.ts'
import { home, startRds } from '../local/rdsFixture.ts'
import { modelEngine } from '../steps/model/engine.ts'
import { Databases } from '../steps/model/postgres.ts'
import { VirtualTime } from '../steps/model/time.ts'
import type { Subject } from './contract.ts'
import { clock, createFixture, engine, eventually, killWhenEqual } from './postgres/support.ts'

function three(config: ClusterConfig): [NodeConfig, NodeConfig, ...NodeConfig[]] {
  const [primary, standby, ...others] = config.nodes
  if (primary === undefined || standby === undefined) throw new Error('no nodes')
  return [primary, standby, ...others]
}

/** A client whose end is heard. */
async function connect(place: { address: string; port: number }, user: string, database: string) {
  const client = new Client({ host: place.address, port: place.port, user, database, ssl: false })
  let ended = false
  client.on('error', () => {
    ended = true
  })
  client.on('end', () => {
    ended = true
  })
  await client.connect()
  return { ended: () => ended, close: async () => await client.end().catch(() => {}) }
}

function stranger(config: ClusterConfig): ClusterConfig {
  return { ...config, connection: { ...config.connection, observerUser: 'nobody_here' } }
}

/** Servers of our own. */
export async function postgresSubject(): Promise<Subject> {
  const fixture = await createFixture()
  const { servers, config } = fixture
  const server = (node: NodeConfig) => get(servers.servers, node.id)
  const nodes = three(config)
  await servers.query('a', 'create table rows (n serial primary key)')
  return {
    engine,
    config,
    nodes,
    stranger: stranger(config),
    run: async (work) => await work,
    commit: async ({ id }) => void (await servers.query(id, 'insert into rows default values')),
    client: async () => await connect(nodes[0], 'postgres', 'app'),
    freeze: async (node) => await server(node).freeze(),
    thaw: async (node) => await server(node).thaw(),
    // The standbys of this cluster are made equal first: one that is ahead of a target would not follow it.
    kill: async (node) =>
      node === nodes[0]
        ? await killWhenEqual(
            fixture,
            node.id,
            nodes.slice(1).map(({ id }) => id),
          )
        : await server(node).kill(),
    start: async (node) => await server(node).start(),
    restart: async (node) => await server(node).restart('fast'),
    close: async () => await servers.close(),
  }
}

/** The servers of the step tests, in virtual time: what is proved with them holds as far as they behave alike. */
export async function modelSubject(): Promise<Subject> {
  const time = new VirtualTime()
  const [config] = parseConfig(example).clusters
  if (config === undefined) throw new Error('no cluster')
  const databases = new Databases(config.nodes, { reaches: () => true, hostUp: () => true }, () => time.nowMs)
  for (const server of databases.servers.values()) server.synchronousNames = ''
  const act = modelEngine({
    databases,
    reachable: (node) => !databases.of(node).hung,
    trip: async (_, effect) => {
      await time.sleep(1)
      return effect()
    },
    time,
    acted: () => {},
    promotionMs: 5,
  }).act
  const nodeAt = (address: string) => config.nodes.find((node) => node.address === address)?.id ?? ''
  return {
    engine: {
      act,
      probe: async (_, { address }, { writeProbe }) => databases.probe('x', nodeAt(address), writeProbe),
    },
    config,
    nodes: three(config),
    stranger: null,
    run: async (work) => await time.run(work),
    commit: async ({ id }) => void databases.commit(id),
    freeze: async ({ id }) => {
      databases.of(id).hung = true
    },
    thaw: async ({ id }) => {
      databases.of(id).hung = false
    },
    kill: async ({ id }) => databases.of(id).end('untold'),
    start: async ({ id }) => databases.of(id).start('standby'),
    restart: async ({ id }) => {
      databases.of(id).end('told')
      databases.of(id).start(id === config.nodes[0]?.id ? 'primary' : 'standby')
    },
    close: async () => {},
  }
}

/** What RDS lets a customer have: no superuser. See docs/engines.md for the same roles on AWS. */
const roles = { observer: 'rds_observer', operator: 'rds_operator', app: 'app' } as const

/** As a member of Aurora is asked: less, since Aurora has neither receivers nor positions (docs/engines.md). */
export async function auroraSubject(): Promise<Subject> {
  const subject = await rdsSubject()
  const aurora = (config: ClusterConfig): ClusterConfig => ({ ...config, engine: 'aurora' })
  const { promote: _rdsOnly, stranger: unknown, ...rest } = subject
  const config = aurora(subject.config)
  const engines = createEngines({ clock, password: async () => '' })
  return { ...rest, engine: engines.of(config), config, stranger: unknown && aurora(unknown) }
}

/** The same engine on instances of the local RDS: the functions inside the closed group, clients at the endpoint. */
export async function rdsSubject(): Promise<Subject> {
  const endpoints = ['127.0.0.31', '127.0.0.32'] as const
  const fixture = await startRds(['a', 'b'], ({ server, endpointPort: port }) => ({
    // Their own sessions are of a superuser, whom nobody else may end.
    delaysMs: { healthCheck: 3_600_000 },
    instances: [
      {
        identifier: 'orders-a',
        region: home,
        server: server('a'),
        endpoint: { address: endpoints[0], port },
      },
      {
        identifier: 'orders-b',
        region: home,
        availabilityZone: `${home}b`,
        server: server('b'),
        source: 'orders-a',
        endpoint: { address: endpoints[1], port },
        backupRetentionDays: 0,
      },
    ],
  }))
  const { servers } = fixture.postgres
  for (const statement of [
    `create role ${roles.observer} login in role pg_monitor`,
    `create role ${roles.operator} login in role pg_monitor, pg_signal_backend`,
    'create table rows (n serial primary key)',
    `grant all on rows, rows_n_seq to ${roles.app}`,
  ])
    await fixture.postgres.query('a', statement)
  const config = rdsConfig([get(servers, 'a'), get(servers, 'b')])
  await eventually('the roles are everywhere', async () => {
    const found = await fixture.postgres.query(
      'b',
      `select from pg_roles where rolname = '${roles.operator}'`,
    )
    return found.length === 1
  })
  const client = fixture.client()
  return {
    engine,
    config,
    nodes: three(config),
    stranger: stranger(config),
    run: async (work) => await work,
    commit: async ({ id }) => void (await fixture.postgres.query(id, 'insert into rows default values')),
    client: async () =>
      await connect({ address: endpoints[0], port: fixture.endpointPort }, roles.app, 'app'),
    freeze: async (node) => await fixture.rds.freeze(node.instanceId),
    thaw: async (node) => await fixture.rds.thaw(node.instanceId),
    kill: async (node) => await fixture.rds.crash(node.instanceId),
    start: async (node) => await fixture.rds.recover(node.instanceId),
    restart: async (node) =>
      void (await client.send(new RebootDBInstanceCommand({ DBInstanceIdentifier: node.instanceId }))),
    promote: async (node) => {
      const { instance } = await fixture.rds.view(node.instanceId)
      await client.send(new PromoteReadReplicaCommand({ DBInstanceIdentifier: instance.identifier }))
      await eventually('promoted', async () => {
        const { instance } = await fixture.rds.view(node.instanceId)
        return instance.source === null && instance.status === 'available'
      })
    },
    close: async () => await fixture.close(),
  }
}

function mysqlConfig(ports: readonly number[]): ClusterConfig {
  return rdsClusterConfig({
    managed: { family: 'mysql' },
    nodes: ports.map((port, index) => ({ id: 'ab'[index] ?? '', address: '127.0.0.1', port })),
    connection: {},
  })
}

function rdsConfig(servers: readonly PostgresServer[]): ClusterConfig {
  return rdsClusterConfig({
    managed: { family: 'postgres' },
    nodes: servers.map(({ id, address, port }) => ({ id, address, port })),
    connection: { database: 'app', observerUser: roles.observer, operatorUser: roles.operator },
  })
}

function rdsClusterConfig(parts: {
  readonly managed: object
  readonly nodes: readonly { readonly id: string; readonly address: string; readonly port: number }[]
  readonly connection: object
}): ClusterConfig {
  const [cluster] = parseConfig({
    region: home,
    observers: ['x', 'y', 'z'].map((id) => ({ id })),
    clusters: {
      orders: {
        engine: 'rds',
        managed: parts.managed,
        nodes: parts.nodes.map((node) => ({
          ...node,
          dnsName: `${node.id}.rds.test`,
          instanceId: `orders-${node.id}`,
          availabilityZone: `${home}${node.id}`,
          closedGroupId: 'sg-0c105ed0',
        })),
        endpoint: { name: 'orders.test', zoneId: 'Z0123456789' },
        policy: { loss: { mode: 'availability' } },
        connection: { ...parts.connection, tls: 'disable' },
      },
    },
  }).clusters
  if (cluster === undefined) throw new Error('no cluster')
  return cluster
}

function get<T>(map: ReadonlyMap<string, T>, key: string): T {
  const found = map.get(key)
  if (found === undefined) throw new Error(key)
  return found
}

/** As far as a probe asks: what a server of MySQL says of itself, and one table. */
class FakeMysql {
  readOnly: boolean
  frozen = false
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null

  constructor(port: number, readOnly: boolean) {
    this.#port = port
    this.readOnly = readOnly
  }

  async start(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket))
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve))
    this.#server = server
  }

  async kill(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((resolve) => {
      if (this.#server) this.#server.close(() => resolve())
      else resolve()
    })
    this.#server = null
  }

  /** A server that goes in order tells its sessions (from 8.0.24 on). */
  async restart(): Promise<void> {
    for (const connection of this.#connections)
      Object.assign(connection, { sequenceId: 0 }).writeError({
        code: 1053,
        message: 'Server shutdown in progress',
      })
    await new Promise((resolve) => setTimeout(resolve, 50))
    await this.kill()
    await this.start()
  }
  readonly #connections = new Set<Connection>()

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    if (this.frozen) return
    const connection = createConnection({ stream: socket, isServer: true } as ConnectionOptions)
    this.#connections.add(connection)
    connection.on('error', () => {})
    socket.on('close', () => this.#connections.delete(connection))
    connection.serverHandshake({
      protocolVersion: 10,
      serverVersion: '8.4.6',
      connectionId: 1,
      statusFlags: 2,
      characterSet: 8,
      capabilityFlags: 0xffffff & ~2048,
      authCallback: ({ user }: { user: string }, answer: (error: null, refusal?: object) => void) =>
        answer(null, user === 'nobody_here' ? { message: 'Access denied', code: 1045 } : undefined),
    })
    connection.on('query', (text: string) => this.#answer(connection, text))
  }

  #answer(connection: Connection, text: string): void {
    if (this.frozen) return
    // The driver's own servers count packets on from one query to the next, which its clients complain about.
    Object.assign(connection, { sequenceId: 1 })
    const column = (name: string) => ({
      catalog: 'def',
      schema: '',
      table: '',
      orgTable: '',
      name,
      orgName: name,
      characterSet: 33,
      columnLength: 255,
      columnType: 253,
      flags: 0,
      decimals: 0,
    })
    if (/^show global variables/.test(text)) {
      const rows = [
        ['read_only', this.readOnly ? 'ON' : 'OFF'],
        ['version', '8.4.6'],
      ].map(([Variable_name, Value]) => ({ Variable_name, Value }))
      connection.writeTextResult(rows, [column('Variable_name'), column('Value')])
    } else if (/^show replica status/.test(text)) {
      connection.writeTextResult([], [column('Source_Host')])
    } else if (this.readOnly) connection.writeError({ code: 1290, message: 'read-only' })
    else connection.writeOk()
  }
}

/** MySQL on RDS: there is no server of it on this machine, so its protocol is spoken by a stand-in. */
export async function mysqlSubject(): Promise<Subject> {
  const ports = [await pickPort(['127.0.0.1']), await pickPort(['127.0.0.1'])]
  const config = mysqlConfig(ports)
  const nodes = three(config)
  const servers = new Map(nodes.map(({ id, port }, index) => [id, new FakeMysql(port, index > 0)]))
  for (const server of servers.values()) await server.start()
  const server = (node: NodeConfig) => get(servers, node.id)
  return {
    engine: createMysqlEngine({ password: async () => undefined, clock }),
    config,
    nodes,
    stranger: stranger(config),
    run: async (work) => await work,
    commit: async () => {},
    freeze: async (node) => {
      server(node).frozen = true
    },
    thaw: async (node) => {
      server(node).frozen = false
    },
    kill: async (node) => await server(node).kill(),
    start: async (node) => await server(node).start(),
    restart: async (node) => await server(node).restart(),
    promote: async (node) => {
      server(node).readOnly = false
    },
    close: async () => {
      for (const each of servers.values()) await each.kill()
    },
  }
}
