/** What RDS does inside the servers: promote, follow, copy. Through the superuser, as RDS' own agents have one. */
import { appendFileSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { formatConninfo } from '../../functions/engines/postgres/conninfo.ts'
import { takeBackup } from '../postgres/backup.ts'
import { prepareBinaries, type RunAs } from '../postgres/binaries.ts'
import { localRoles, type PostgresCluster, PostgresServer } from '../postgres/index.ts'
import { removeSharedMemory, sharedMemoryId } from '../postgres/processes.ts'

// A dead server refuses at once; these are for frozen ones, and long enough for a machine that is busy.
const connectTimeoutMs = 3_000
const queryTimeoutMs = 10_000
const pollMs = 10
const streamDeadlineMs = 20_000

/** Makes servers in the directory of a cluster, whose `close` so ends and removes them too. */
export class Workshop {
  readonly #directory: string
  readonly #runAs: RunAs
  #binaries: string | null = null

  constructor(cluster: PostgresCluster) {
    this.#directory = cluster.directory
    this.#runAs = cluster.runAs
  }

  /** Not yet on disk: `buildStandby` puts it there. */
  server(id: string, address: string, port: number): PostgresServer {
    const place = {
      dataDirectory: join(this.#directory, id),
      logFile: join(this.#directory, 'log', `${id}.log`),
      binaries: this.#findBinaries(),
      runAs: this.#runAs,
    }
    return new PostgresServer({ id, address, port }, place)
  }

  /** A new copy of `source` that streams from it; what `standby` had before is gone. */
  async buildStandby(source: PostgresServer, standby: PostgresServer): Promise<void> {
    await destroyServer(standby)
    const directory = standby.dataDirectory
    await takeBackup({
      source: superuser(source),
      sourceDirectory: source.dataDirectory,
      targets: [directory],
      runAs: this.#runAs,
    })
    const own = { listen_addresses: standby.address, port: String(standby.port), cluster_name: standby.id }
    const lines = Object.entries(own).map(([name, value]) => `${name} = '${value}'\n`)
    // The last line of a setting counts: these take the place of the source's.
    appendFileSync(join(directory, 'postgresql.conf'), lines.join(''))
    this.#write(
      join(directory, 'postgresql.auto.conf'),
      `primary_conninfo = '${conninfoOf(source, standby.id)}'\n`,
    )
    this.#write(join(directory, 'standby.signal'), '')
    await standby.start()
    await untilStreams(source, standby)
  }

  #write(path: string, text: string): void {
    writeFileSync(path, text, { mode: 0o600 })
    if (this.#runAs) chownSync(path, this.#runAs.uid, this.#runAs.gid)
  }

  #findBinaries(): string {
    if (this.#binaries === null) {
      const base = join(this.#directory, 'rds')
      mkdirSync(base, { recursive: true, mode: 0o755 })
      this.#binaries = prepareBinaries(base, this.#runAs)
    }
    return this.#binaries
  }
}

/** Leaves nothing of a server: no process, no file, no segment of shared memory, whose id only its files know. */
export async function destroyServer(server: PostgresServer): Promise<void> {
  const segment = sharedMemoryId(server.dataDirectory)
  await server.kill()
  removeSharedMemory(segment)
  rmSync(server.dataDirectory, { recursive: true, force: true, maxRetries: 5 })
}

/** Ends with a server that accepts writes on a new timeline. Waits as long as the server does not answer. */
export async function promoteServer(server: PostgresServer, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    try {
      if ((await server.processes()).length === 0) await server.start()
      const [row] = await query<{ standby: boolean }>(server, 'select pg_is_in_recovery() as standby')
      if (row?.standby === false) break
      await query(server, 'select pg_promote(false)')
    } catch {
      // Frozen, starting, or promoted at this moment: looked at again.
    }
    await sleep(pollMs, undefined, { signal })
  }
  await alterSystem(server, { primary_conninfo: '', synchronous_standby_names: '' })
}

/** Points a standby to another server; false: it does not stream, because it has what the other has not. */
export async function follow(standby: PostgresServer, upstream: PostgresServer): Promise<boolean> {
  try {
    await alterSystem(standby, { primary_conninfo: conninfoOf(upstream, standby.id) })
    await untilStreams(upstream, standby, 3_000)
    return true
  } catch {
    return false
  }
}

/** As if the network between a standby and its source were gone. Returns what heals it. */
export async function cutReplication(standby: PostgresServer): Promise<() => Promise<void>> {
  const [row] = await query<{ conninfo: string }>(
    standby,
    `select current_setting('primary_conninfo') as conninfo`,
  )
  // Nothing listens on port 1.
  await alterSystem(standby, { primary_conninfo: 'host=127.0.0.1 port=1 connect_timeout=2' })
  while ((await isStreaming(standby)) === true) await sleep(pollMs)
  return async () => await alterSystem(standby, { primary_conninfo: row?.conninfo ?? '' })
}

/** Commits wait for one of the readers, which stands for Aurora's storage: it loses nothing inside its Region. */
export async function listSynchronous(writer: PostgresServer, readers: readonly string[]): Promise<void> {
  const list = readers.length === 0 ? '' : `ANY 1 (${readers.map((id) => `"${id}"`).join(', ')})`
  await alterSystem(writer, { synchronous_standby_names: list })
}

/** Null: it does not answer. */
export async function receivedPosition(server: PostgresServer): Promise<bigint | null> {
  const text = `select pg_wal_lsn_diff(coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::text as at`
  const [row] = await query<{ at: string | null }>(server, text).catch(() => [])
  return row?.at ? BigInt(row.at) : null
}

/** Up to where a writer has written its log; null: it does not answer, or is no writer. */
export async function writtenPosition(server: PostgresServer): Promise<bigint | null> {
  const text = `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as at`
  const [row] = await query<{ at: string }>(server, text).catch(() => [])
  return row ? BigInt(row.at) : null
}

export async function answers(server: PostgresServer): Promise<boolean> {
  return await query(server, 'select 1').then(
    () => true,
    () => false,
  )
}

/** Null: it does not answer, so nothing is known. */
export async function isStreaming(standby: PostgresServer): Promise<boolean | null> {
  const text = `select count(*)::int as n from pg_stat_wal_receiver where status = 'streaming'`
  const [row] = await query<{ n: number }>(standby, text).catch(() => [])
  return row ? row.n > 0 : null
}

export async function query<Row extends object>(
  server: PostgresServer,
  text: string,
  values: readonly unknown[] = [],
  database = 'postgres',
): Promise<Row[]> {
  const client = new Client({ ...superuser(server), database, query_timeout: queryTimeoutMs })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query<Row>(text, [...values])).rows
  } finally {
    // Of a frozen server it never ends; the socket is cut instead.
    client.end().catch(() => {})
    setTimeout(() => client.connection.stream.destroy(), connectTimeoutMs).unref()
  }
}

async function alterSystem(server: PostgresServer, settings: Record<string, string>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    const literal = `'${value.replaceAll("'", "''")}'`
    await query(server, value === '' ? `alter system reset ${name}` : `alter system set ${name} = ${literal}`)
  }
  await query(server, 'select pg_reload_conf()')
}

async function untilStreams(
  source: PostgresServer,
  standby: PostgresServer,
  deadlineMs = streamDeadlineMs,
): Promise<void> {
  const untilMs = performance.now() + deadlineMs
  for (;;) {
    const [row] = await query<{ n: number }>(
      source,
      `select count(*)::int as n from pg_stat_replication where state = 'streaming' and application_name = $1`,
      [standby.id],
    )
    if (row && row.n > 0) return
    if (performance.now() > untilMs) throw new Error(`${standby.id} does not stream from ${source.id}`)
    await sleep(pollMs)
  }
}

function superuser(server: PostgresServer) {
  return {
    host: server.address,
    port: server.port,
    user: 'postgres',
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: connectTimeoutMs,
  } as const
}

function conninfoOf(upstream: PostgresServer, applicationName: string): string {
  return formatConninfo(
    new Map([
      ['host', upstream.address],
      ['port', String(upstream.port)],
      ['user', localRoles.replication],
      ['application_name', applicationName],
      ['connect_timeout', '2'],
    ]),
  )
}
