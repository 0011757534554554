/**
 * Real PostgreSQL servers on loopback addresses: one primary and its streaming standbys, for the demo and the tests.
 * `fsync` is off, for speed on a laptop: a killed *process* loses nothing by that, a crashed machine would.
 */
import { appendFileSync, chmodSync, chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { HostConfig } from '../../functions/core/types.ts'
import { formatConninfo } from '../../functions/engines/postgres/conninfo.ts'
import { takeBackup } from './backup.ts'
import { chooseRunAs, type Launch, makeBaseDirectory, prepareBinaries, type RunAs, run } from './binaries.ts'
import { killProcesses, processesOf, removeSharedMemory, sharedMemoryId } from './processes.ts'
import { PostgresServer, type ServerSpec } from './server.ts'

/** Roles that every local cluster has, beside the superuser `postgres`; all without passwords (trust). */
export const localRoles = {
  observer: 'understudy_observer',
  operator: 'understudy_operator',
  replication: 'understudy_replication',
  app: 'app',
} as const

export interface ClusterOptions {
  /** The first is the primary, the others its standbys; the id is the standby's `application_name`. */
  readonly nodes: readonly ServerSpec[]
  /** Parent of everything; default: a new one below the temporary directory. Removed by `close`. */
  readonly directory?: string
  /** 'any': `ANY 1` of all other nodes, on every node. */
  readonly synchronous: 'any' | 'none'
  /** Where a node's data is, below `directory`, with `{node}` for its id; what is above must exist. Default: `{node}`. */
  readonly dataDirectory?: string
  /** Default: here, as `nobody` under root. */
  readonly launch?: Launch
  /** From which addresses (CIDR) clients, standbys and functions come, besides loopback. */
  readonly network?: string
}

export class PostgresCluster {
  readonly servers: ReadonlyMap<string, PostgresServer>
  readonly directory: string
  /** `postgres`, `pg_ctl` and `pg_basebackup` as host scripts call them: as the user of this process, root or not. */
  readonly binDirectory: string
  readonly runAs: RunAs
  readonly #options: ClusterOptions

  private constructor(
    servers: ReadonlyMap<string, PostgresServer>,
    directory: string,
    binDirectory: string,
    runAs: RunAs,
    options: ClusterOptions,
  ) {
    this.servers = servers
    this.directory = directory
    this.binDirectory = binDirectory
    this.runAs = runAs
    this.#options = options
  }

  /** Resolves when all standbys stream and, with 'any', commits wait for them. About two seconds. */
  static async create(options: ClusterOptions): Promise<PostgresCluster> {
    const { launch } = options
    const runAs = launch ? launch.owner : chooseRunAs()
    const directory = options.directory ?? makeBaseDirectory(runAs)
    mkdirSync(directory, { recursive: true, mode: 0o755 })
    const binaries = prepareBinaries(directory, runAs)
    makeOwned(join(directory, 'log'), runAs)
    const servers = new Map<string, PostgresServer>()
    for (const spec of options.nodes) {
      const place = {
        dataDirectory: join(directory, (options.dataDirectory ?? '{node}').replaceAll('{node}', spec.id)),
        logFile: join(directory, 'log', `${spec.id}.log`),
      }
      servers.set(spec.id, new PostgresServer(spec, { ...place, binaries, runAs, launch }))
    }
    const binDirectory = writeWrappers(directory, binaries, runAs, launch?.asUser)
    const cluster = new PostgresCluster(servers, directory, binDirectory, runAs, options)
    try {
      await cluster.#build(binaries, options.synchronous)
    } catch (error) {
      await cluster.close()
      throw error
    }
    return cluster
  }

  /**
   * How host scripts reach the servers: `host` of the cluster's configuration, with `{node}` for the node's id. They run
   * as the user of this process; the log is outside the data directory, which a rejoin moves.
   */
  hostConfig(): HostConfig {
    return {
      dataDirectory: join(this.directory, this.#options.dataDirectory ?? '{node}'),
      binDirectory: this.binDirectory,
      osUser: null,
      startCommand: `"{binDirectory}/pg_ctl" start -w -t 30 -s -D "{dataDirectory}" -l "${this.directory}/log/{node}.log"`,
      stopCommand: '"{binDirectory}/pg_ctl" stop -w -t 30 -s -m fast -D "{dataDirectory}"',
    }
  }

  /** Runs one statement as the superuser over a connection of its own. */
  async query<Row extends object = Record<string, unknown>>(
    id: string,
    text: string,
    values: unknown[] = [],
    database = 'postgres',
  ): Promise<Row[]> {
    const client = await this.connect(id, 'postgres', database)
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  }

  /** An open connection; the caller ends it. Errors after that are swallowed, as servers here are killed on purpose. */
  async connect(id: string, user = 'postgres', database = 'postgres'): Promise<Client> {
    const { address: host, port } = this.#server(id)
    const client = new Client({ host, port, user, database, ssl: false, connectionTimeoutMillis: 5000 })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  /** Kills every process, removes the SysV segments that these servers own, and deletes the directory. */
  async close(): Promise<void> {
    for (const server of this.servers.values()) {
      await server.kill()
      server.removeSharedMemory()
    }
    // Data directories that a rejoin moved aside, or is still making.
    for (const entry of readdirSync(this.directory, { withFileTypes: true })) {
      const path = join(this.directory, entry.name)
      if (!entry.isDirectory()) continue
      if (processesOf(path).length > 0) await killProcesses(path)
      removeSharedMemory(sharedMemoryId(path))
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }

  #server(id: string): PostgresServer {
    const server = this.servers.get(id)
    if (!server) throw new Error(`no node ${id}`)
    return server
  }

  async #build(binaries: string, synchronous: 'any' | 'none'): Promise<void> {
    const [primary, ...standbys] = [...this.servers.values()]
    if (!primary) throw new Error('a cluster needs at least one node')
    makeOwned(primary.dataDirectory, this.runAs)
    const initdb = ['-A', 'trust', '-U', 'postgres', '--no-sync', '--no-instructions', '--locale=C']
    const size = ['--encoding=UTF8', '--wal-segsize=1', '-D', primary.dataDirectory]
    const { launch, network } = this.#options
    const command = [...(launch?.asUser ?? []), join(binaries, 'initdb'), ...initdb, ...size]
    await run(command, launch ? null : this.runAs, this.directory)
    if (network !== undefined) {
      const lines = ['all', 'replication'].map((database) => `host ${database} all ${network} trust\n`)
      appendFileSync(join(primary.dataDirectory, 'pg_hba.conf'), lines.join(''))
    }
    this.#write(primary, 'postgresql.conf', settingsOf(primary))
    await primary.start()
    await this.#createRoles(primary)
    await this.#addStandbys(primary, standbys, synchronous)
    if (synchronous === 'any' && standbys.length > 0) await this.#listStandbys(primary, standbys)
  }

  async #createRoles(primary: PostgresServer): Promise<void> {
    const client = await this.connect(primary.id)
    try {
      await client.query(
        `create role ${localRoles.observer} login in role pg_monitor;
         create role ${localRoles.operator} login superuser;
         create role ${localRoles.replication} login replication;
         create role ${localRoles.app} login;`,
      )
      await client.query(`create database app owner ${localRoles.app}`)
    } finally {
      await client.end()
    }
    // Privileges on the catalogue belong to a database; without these a probe can not say whether the files agree.
    for (const database of ['postgres', 'app']) {
      await this.query(
        primary.id,
        `grant select on pg_catalog.pg_file_settings to ${localRoles.observer};
         grant execute on function pg_catalog.pg_show_all_file_settings() to ${localRoles.observer};`,
        [],
        database,
      )
    }
  }

  async #addStandbys(
    primary: PostgresServer,
    standbys: readonly PostgresServer[],
    synchronous: 'any' | 'none',
  ): Promise<void> {
    if (standbys.length === 0) return
    await takeBackup({
      source: { host: primary.address, port: primary.port, user: 'postgres', database: 'postgres' },
      sourceDirectory: primary.dataDirectory,
      targets: standbys.map((standby) => standby.dataDirectory),
      runAs: this.runAs,
    })
    for (const standby of standbys) {
      const conninfo = formatConninfo(upstreamOf(primary, standby.id))
      const others = [...this.servers.keys()].filter((id) => id !== standby.id)
      const list = synchronous === 'any' ? anyOf(others) : ''
      this.#write(standby, 'postgresql.conf', settingsOf(standby))
      this.#write(
        standby,
        'postgresql.auto.conf',
        `primary_conninfo = ${quoteSetting(conninfo)}\nsynchronous_standby_names = ${quoteSetting(list)}\n`,
      )
      this.#write(standby, 'standby.signal', '')
    }
    await Promise.all(standbys.map((standby) => standby.start()))
    await this.#waitForStreams(primary, standbys.length, `state = 'streaming'`)
  }

  async #listStandbys(primary: PostgresServer, standbys: readonly PostgresServer[]): Promise<void> {
    const client = await this.connect(primary.id)
    try {
      const list = anyOf(standbys.map((standby) => standby.id))
      await client.query(`alter system set synchronous_standby_names = ${client.escapeLiteral(list)}`)
      await client.query('select pg_reload_conf()')
    } finally {
      await client.end()
    }
    await this.#waitForStreams(primary, standbys.length, `sync_state = 'quorum'`)
  }

  async #waitForStreams(primary: PostgresServer, count: number, condition: string): Promise<void> {
    const client = await this.connect(primary.id)
    try {
      for (let tries = 0; tries < 3000; tries++) {
        const text = `select count(*)::int as n from pg_stat_replication where ${condition}`
        const found = await client.query<{ n: number }>(text)
        if (found.rows[0]?.n === count) return
        await sleep(10)
      }
      throw new Error(`standbys of ${primary.id} do not stream: ${primary.logTail()}`)
    } finally {
      await client.end()
    }
  }

  #write(server: PostgresServer, name: string, text: string): void {
    const path = join(server.dataDirectory, name)
    writeFileSync(path, text, { mode: 0o600 })
    if (this.runAs) chownSync(path, this.runAs.uid, this.runAs.gid)
  }
}

function upstreamOf(primary: PostgresServer, applicationName: string): Map<string, string> {
  return new Map([
    ['host', primary.address],
    ['port', String(primary.port)],
    ['user', localRoles.replication],
    ['application_name', applicationName],
    ['connect_timeout', '2'],
  ])
}

export function anyOf(ids: readonly string[]): string {
  return `ANY 1 (${ids.map((id) => `"${id}"`).join(', ')})`
}

function quoteSetting(value: string): string {
  return `'${value.replaceAll("'", "''")}'`
}

/**
 * What differs from the default, and why it costs time otherwise, is measured in `docs/`. The connection to the
 * primary and the synchronous list are not here: they change at run time, and what stands in a file that a person
 * edits, or on the command line, would override `ALTER SYSTEM` or confuse who reads it.
 */
function settingsOf(spec: ServerSpec): string {
  const settings: Record<string, string> = {
    listen_addresses: spec.address,
    port: String(spec.port),
    unix_socket_directories: '',
    cluster_name: spec.id,
    max_connections: '60',
    shared_buffers: '16MB',
    dynamic_shared_memory_type: 'mmap', // nothing of a killed server is left in /dev/shm
    fsync: 'off',
    hot_standby: 'on',
    wal_log_hints: 'on',
    max_wal_senders: '10',
    wal_keep_size: '128MB',
    wal_retrieve_retry_interval: '60ms',
    wal_receiver_status_interval: '1s',
    wal_receiver_timeout: '5s',
    wal_sender_timeout: '5s',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] %a ',
    lc_messages: 'C',
  }
  return `${Object.entries(settings)
    .map(([name, value]) => `${name} = ${quoteSetting(value)}`)
    .join('\n')}\n`
}

function makeOwned(path: string, runAs: RunAs): void {
  mkdirSync(path, { mode: 0o700 })
  if (runAs) chownSync(path, runAs.uid, runAs.gid)
}

/**
 * Host scripts run as the user of this process, so that `node` and this repository are reachable even below a 0700
 * home of root; only the server programs change to the user of the servers, here in the wrappers.
 */
function writeWrappers(
  directory: string,
  binaries: string,
  runAs: RunAs,
  launched: readonly string[] | undefined,
): string {
  const bin = join(directory, 'bin')
  mkdirSync(bin, { mode: 0o755 })
  const node = quoteShell(process.execPath)
  const here = (file: string) => quoteShell(join(import.meta.dirname, file))
  for (const program of ['postgres', 'pg_ctl']) {
    const real = quoteShell(join(binaries, program))
    const changed = runAs ? `${node} ${here('as_user.ts')} ${runAs.uid} ${runAs.gid} ` : ''
    const asUser = launched ? launched.map((word) => `${quoteShell(word)} `).join('') : changed
    writeScript(join(bin, program), `exec ${asUser}${real} "$@"`)
  }
  const user = runAs ? `UNDERSTUDY_RUN_AS=${runAs.uid}:${runAs.gid} ` : ''
  writeScript(join(bin, 'pg_basebackup'), `${user}exec ${node} ${here('pg_basebackup.ts')} "$@"`)
  return bin
}

function writeScript(path: string, line: string): void {
  writeFileSync(path, `#!/bin/sh\n${line}\n`)
  chmodSync(path, 0o755)
}

function quoteShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
