/** One PostgreSQL server on this machine, known by its data directory: whoever started it. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, fchownSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, DatabaseError } from 'pg'
import { type Launch, type RunAs, serverEnvironment } from './binaries.ts'
import {
  freezeProcesses,
  killProcesses,
  postmasterPid,
  processesOf,
  removeSharedMemory,
  sharedMemoryId,
  signal,
} from './processes.ts'

export interface ServerSpec {
  readonly id: string
  readonly address: string
  readonly port: number
}

export interface ServerPlace {
  readonly dataDirectory: string
  readonly logFile: string
  /** Directory of the real binaries, reachable by `runAs`. */
  readonly binaries: string
  readonly runAs: RunAs
  /** Instead of starting it as `runAs`, here. */
  readonly launch?: Launch | undefined
}

export type StopMode = 'fast' | 'immediate'

/** https://www.postgresql.org/docs/current/server-shutdown.html */
const stopSignal = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const satisfies Record<
  StopMode,
  NodeJS.Signals
>

const startDeadlineMs = 30_000
const stopDeadlineMs = 30_000

/** A standby whose upstream is away may stay before its consistent point for ever: it is up all the same. */
const patienceMs = 3_000

export class PostgresServer {
  readonly id: string
  readonly address: string
  readonly port: number
  readonly dataDirectory: string
  readonly #place: ServerPlace
  readonly #segments = new Set<number | undefined>()

  constructor(spec: ServerSpec, place: ServerPlace) {
    this.id = spec.id
    this.address = spec.address
    this.port = spec.port
    this.dataDirectory = place.dataDirectory
    this.#place = place
  }

  /** Starts the server unless it runs, and waits until it answers a query, in recovery or not. */
  async start(): Promise<void> {
    if ((await this.processes()).length === 0) this.#spawn()
    const until = performance.now() + startDeadlineMs
    for (;;) {
      if (await this.#answers(performance.now() > until - startDeadlineMs + patienceMs)) return
      if (performance.now() > until || (await this.#isGone())) {
        throw new Error(`server ${this.id} did not start: ${this.logTail()}`)
      }
      await sleep(5)
    }
  }

  async stop(mode: StopMode): Promise<void> {
    const postmaster = postmasterPid(this.dataDirectory)
    const running = await this.processes()
    if (postmaster !== undefined && running.includes(postmaster)) signal(postmaster, stopSignal[mode])
    const until = performance.now() + stopDeadlineMs
    while ((await this.processes()).length > 0) {
      if (performance.now() > until) throw new Error(`server ${this.id} did not stop: ${this.logTail()}`)
      await sleep(2)
    }
  }

  async restart(mode: StopMode): Promise<void> {
    await this.stop(mode)
    await this.start()
  }

  /** Resolves when no process of the data directory is left, like the power of a machine being cut. */
  async kill(): Promise<void> {
    // Its data directory may be moved or deleted before it starts again, and the id is known only from there.
    this.#segments.add(sharedMemoryId(this.dataDirectory))
    await killProcesses(this.dataDirectory)
  }

  /** Removes what killed servers left in the kernel. Not in `kill`: it takes a process, while others measure an outage. */
  removeSharedMemory(): void {
    for (const segment of this.#segments) removeSharedMemory(segment)
    this.#segments.clear()
  }

  async freeze(): Promise<void> {
    await freezeProcesses(this.dataDirectory)
  }

  async thaw(): Promise<void> {
    for (const pid of await this.processes()) signal(pid, 'SIGCONT')
  }

  /** Process ids of the server. Empty is the proof that nothing of it can write any more. */
  async processes(): Promise<number[]> {
    return processesOf(this.dataDirectory)
  }

  logTail(lines = 12): string {
    try {
      return readFileSync(this.#place.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
    } catch {
      return '(no log)'
    }
  }

  #spawn(): void {
    const { logFile, binaries, runAs, launch } = this.#place
    const log = openSync(logFile, 'a')
    // pg_ctl, as a host script calls it, opens it as the user of the server.
    if (runAs) fchownSync(log, runAs.uid, runAs.gid)
    const before = launch ? [...launch.enter(this.id), ...launch.asUser] : []
    const [program = '', ...args] = [...before, join(binaries, 'postgres'), '-D', this.dataDirectory]
    const child = spawn(program, args, {
      cwd: this.dataDirectory,
      env: serverEnvironment(),
      detached: true, // a Ctrl-C at the terminal is for the demo, which closes its servers itself
      stdio: ['ignore', log, log],
      ...(launch ? {} : runAs),
    })
    closeSync(log)
    child.on('error', (error) => {
      this.#spawnError = error
    })
    // The server may outlive what this process awaits; `start` polls by timers, which keep it alive meanwhile.
    child.unref()
    this.#spawnError = undefined
    this.#spawnedAt = performance.now()
  }
  #spawnError: Error | undefined
  #spawnedAt = 0

  async #isGone(): Promise<boolean> {
    if (this.#spawnError) throw this.#spawnError
    return performance.now() - this.#spawnedAt > 1000 && (await this.processes()).length === 0
  }

  async #answers(patienceIsOver: boolean): Promise<boolean> {
    const client = new Client({
      host: this.address,
      port: this.port,
      user: 'postgres',
      database: 'postgres',
      ssl: false,
      connectionTimeoutMillis: 1000,
    })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query('select 1')
      return true
    } catch (error) {
      return patienceIsOver && this.#isStandby() && error instanceof DatabaseError && error.code === '57P03'
    } finally {
      client.end().catch(() => {})
    }
  }

  #isStandby(): boolean {
    return existsSync(join(this.dataDirectory, 'standby.signal'))
  }
}
