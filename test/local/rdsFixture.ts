/** A control plane of RDS behind a real HTTP server, with SDK clients and clients of the databases. */
import { RDSClient } from '@aws-sdk/client-rds'
import { Client } from 'pg'
import { expect } from 'vitest'
import { type Front, startFront } from '../../local/front.ts'
import { loopbackAddresses, PostgresCluster, pickPort } from '../../local/postgres/index.ts'
import { RdsControlPlane, type RdsOptions, rdsVersion } from '../../local/rds/index.ts'
import { clientConfig } from './fixture.ts'

export const home = 'eu-central-1'
export const away = 'eu-west-1'

export interface RdsFixture {
  readonly rds: RdsControlPlane
  readonly front: Front
  readonly postgres: PostgresCluster
  /** The same port on all addresses of this list is free for endpoints. */
  readonly endpointPort: number
  client(region?: string, requestTimeout?: number): RDSClient
  close(): Promise<void>
}

export interface Ready {
  readonly server: (id: string) => NonNullable<ReturnType<PostgresCluster['servers']['get']>>
  readonly endpointPort: number
}

export const endpointAddresses = [1, 2, 3, 4, 5, 6, 7].map((index) => `127.0.0.3${index}`)

export async function startRds(
  nodes: readonly string[],
  describe: (ready: Ready) => Omit<RdsOptions, 'postgres' | 'regions' | 'securityGroups'>,
): Promise<RdsFixture> {
  const port = await pickPort([...loopbackAddresses, '127.0.0.14'])
  const endpointPort = await pickPort(endpointAddresses)
  const postgres = await PostgresCluster.create({
    nodes: nodes.map((id, index) => ({ id, address: `127.0.0.1${index + 1}`, port })),
    synchronous: 'none',
  })
  const clients: RDSClient[] = []
  let rds: RdsControlPlane | undefined
  try {
    const server: Ready['server'] = (id) => {
      const found = postgres.servers.get(id)
      if (!found) throw new Error(id)
      return found
    }
    const plane = await RdsControlPlane.create({
      timeScale: 0.01,
      delaysMs: {
        // The long ones, of which tests see no more than their end.
        createReplica: 10_000,
        createBackup: 20_000,
        delete: 10_000,
        stop: 10_000,
        start: 10_000,
        convertToMultiAz: 10_000,
        globalResync: 10_000,
        multiAzRecently: 3_600_000,
      },
      ...describe({ server, endpointPort }),
      postgres,
      regions: [home, away],
      securityGroups: { 'sg-open': true, 'sg-closed': false },
    })
    rds = plane
    const front = await startFront({
      json: {},
      path: {},
      query: { [rdsVersion]: (operation, form, context) => plane.handle(operation, form, context) },
    })
    return {
      rds: plane,
      front,
      postgres,
      endpointPort,
      client(region = home, requestTimeout = 30_000) {
        const client = new RDSClient({
          ...clientConfig(front.url),
          region,
          requestHandler: { requestTimeout, throwOnRequestTimeout: true },
        })
        clients.push(client)
        return client
      },
      async close() {
        for (const client of clients) client.destroy()
        await front.close()
        await plane.close()
        await postgres.close()
      },
    }
  } catch (error) {
    await rds?.close()
    await postgres.close()
    throw error
  }
}

export interface Place {
  readonly address: string
  readonly port: number
}

/** An application's connection; ended by the test. Errors afterwards are what tests provoke. */
export async function connectTo({ address, port }: Place, timeoutMs = 20_000): Promise<Client> {
  const client = new Client({
    host: address,
    port,
    user: 'postgres',
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Polls until `check` gives something other than undefined or false; patient, for a machine that is busy. */
export async function eventually<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const untilMs = Date.now() + 100_000
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== false) return value as T
    if (Date.now() > untilMs) throw new Error(`never came true: ${check}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** One statement over a connection of its own. */
export async function ask(place: Place, text: string): Promise<Record<string, unknown>[]> {
  const client = await connectTo(place)
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end().catch(() => {})
  }
}

/** What a new client meets at the door. */
export async function knock(place: Place): Promise<'answered' | 'refused' | 'silent'> {
  try {
    await (await connectTo(place, 500)).end()
    return 'answered'
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (
      code === 'ECONNREFUSED' ||
      code === 'ECONNRESET' ||
      /terminated|starting up|shutting down/.test(message)
    ) {
      return 'refused'
    }
    expect(message).toMatch(/timeout/)
    return 'silent'
  }
}
