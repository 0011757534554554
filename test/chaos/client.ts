/**
 * One client machine of the workload, in a process of its own: several connections, each with one operation at a time.
 * Most ask the name for the server at each connect; the last keeps to the address that it had when the round began,
 * and would go on writing to an old primary if that let it.
 */
import { Resolver } from 'node:dns/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, DatabaseError } from 'pg'
import { monotonicMs } from '../../local/writer.ts'
import type { Operation } from './checker.ts'

export interface ClientSetup {
  readonly client: string
  readonly name: string
  /** `address:port` of the DNS server. */
  readonly resolver: string
  readonly port: number
  readonly connections: number
}

export type ClientOrder =
  | { readonly kind: 'start'; readonly round: number; readonly registers: readonly string[] }
  | { readonly kind: 'stop' }

export type ClientReport =
  | { readonly kind: 'operations'; readonly operations: readonly Operation[] }
  | { readonly kind: 'stopped' }

/** A client gives up on an answer after this, and on its session. */
const patienceMs = 1_500
const connectPatienceMs = 800
/** The first connection of a client lives for so many operations, as those of pools do; the others as long as they can. */
const shortLife = 20
/** One in so many that give up asks the server to cancel first, as drivers do at a query time-out. */
const cancels = 4

const setup: ClientSetup = JSON.parse(process.argv[2] ?? '')
const done: Operation[] = []
let round = 0
let registers: readonly string[] = []
let running: Promise<unknown> = Promise.resolve()
let stopped = true

process.on('message', (order: ClientOrder) => {
  if (order.kind === 'start') {
    round = order.round
    registers = order.registers
    stopped = false
    running = Promise.all(Array.from({ length: setup.connections }, (_, n) => new Connection(n).work()))
    return
  }
  stopped = true
  void running.then(() => {
    flush()
    report({ kind: 'stopped' })
  })
})
process.on('disconnect', () => process.exit())
setInterval(flush, 100)

function report(message: ClientReport): void {
  process.send?.(message)
}

function flush(): void {
  if (done.length > 0) report({ kind: 'operations', operations: done.splice(0) })
}

/** Who acknowledges, and the timeline into which it writes at that moment. */
const witness = `host(inet_server_addr()) as server, ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int as timeline`

class Connection {
  readonly #byName: boolean
  readonly #isShort: boolean
  readonly #label: string
  readonly #resolver = new Resolver({ timeout: 300, tries: 1 })
  #address: string | undefined
  #session: Client | undefined
  #sessionPid = 0
  #cancelled = false
  #count = 0

  constructor(n: number) {
    this.#byName = n < setup.connections - 1
    this.#isShort = n === 0
    this.#label = `${setup.client}.${n}`
    this.#resolver.setServers([setup.resolver])
  }

  async work(): Promise<void> {
    while (!stopped) {
      try {
        this.#session ??= await this.#connect()
        if (Math.random() < 0.5) await this.#add(this.#session)
        else await this.#set(this.#session)
        if (this.#isShort && this.#count % shortLife === 0) this.#drop()
      } catch {
        this.#drop()
        await sleep(20)
      }
      await sleep(5 + Math.random() * 30)
    }
    this.#drop()
  }

  async #connect(): Promise<Client> {
    if (this.#byName || this.#address === undefined)
      this.#address = (await this.#resolver.resolve4(setup.name))[0]
    if (this.#address === undefined) throw new Error(`${setup.name} has no address`)
    const client = new Client({
      host: this.#address,
      port: setup.port,
      user: 'app',
      database: 'app',
      ssl: false,
      connectionTimeoutMillis: connectPatienceMs,
    })
    client.on('error', () => undefined)
    client.on('notice', ({ message }) => {
      if (message?.includes('synchronous replication')) this.#cancelled = true
    })
    try {
      await client.connect()
      const { rows } = await within(client.query<{ pid: number }>('select pg_backend_pid() as pid'))
      this.#sessionPid = rows[0]?.pid ?? 0
      return client
    } catch (error) {
      destroy(client)
      throw error
    }
  }

  async #add(client: Client): Promise<void> {
    await this.#operate(client, { kind: 'add', register: null, fromVersion: null }, (id) => ({
      text: `insert into ids (id, round) values ($1, $2) returning ${witness}`,
      values: [id, round],
    }))
  }

  async #set(client: Client): Promise<void> {
    const register = registers[Math.floor(Math.random() * registers.length)] ?? ''
    const read = client.query<{ version: number }>('select version from registers where register = $1', [
      register,
    ])
    const fromVersion = (await within(read)).rows[0]?.version
    if (fromVersion === undefined) throw new Error('the register is not there')
    await this.#operate(client, { kind: 'set', register, fromVersion }, (id) => ({
      text: `with moved as (
               update registers set version = version + 1 where register = $1 and version = $2 returning version),
             logged as (
               insert into versions (register, version, id, round) select $1, version, $3, $4 from moved)
             select ${witness} from moved`,
      values: [register, fromVersion, id, round],
    }))
  }

  /** Never throws away an operation: what becomes of it is told whatever happens. Throws when the session is over. */
  async #operate(
    client: Client,
    what: Pick<Operation, 'kind' | 'register' | 'fromVersion'>,
    statement: (id: string) => { text: string; values: unknown[] },
  ): Promise<void> {
    const id = `${round}.${this.#label}.${this.#count++}`
    const invokedMs = monotonicMs()
    const tell = (rest: Pick<Operation, 'outcome' | 'server' | 'timeline' | 'reason'>) => {
      const { client: name } = setup
      done.push({
        id,
        client: name,
        ...what,
        invokedMs,
        completedMs: monotonicMs(),
        byName: this.#byName,
        ...rest,
      })
    }
    const nobody = { server: null, timeline: null }
    this.#cancelled = false
    const sent = client.query<{ server: string; timeline: number }>(statement(id))
    try {
      const { rows } = await within(sent, () => this.#cancel())
      const [row] = rows
      if (row === undefined) tell({ outcome: 'failed', ...nobody, reason: 'another version' })
      else if (this.#cancelled) tell({ outcome: 'indeterminate', ...row, reason: 'the wait was cancelled' })
      else tell({ outcome: 'ok', ...row, reason: null })
    } catch (error) {
      const outcome = isRefusal(error) ? 'failed' : 'indeterminate'
      tell({ outcome, ...nobody, reason: (error as Error).message.slice(0, 120) })
      if (outcome === 'indeterminate') throw error
    }
  }

  /** As a driver does it: by another connection. Nobody waits for what comes of it. */
  #cancel(): void {
    if (Math.random() * cancels >= 1 || this.#address === undefined) return
    const client = new Client({
      host: this.#address,
      port: setup.port,
      user: 'app',
      database: 'app',
      ssl: false,
      connectionTimeoutMillis: connectPatienceMs,
    })
    client.on('error', () => undefined)
    client
      .connect()
      .then(() => client.query('select pg_cancel_backend($1)', [this.#sessionPid]))
      .catch(() => undefined)
      .finally(() => destroy(client))
  }

  #drop(): void {
    if (this.#session) destroy(this.#session)
    this.#session = undefined
  }
}

/** The socket goes, and nothing is said to the server. */
function destroy(client: Client): void {
  const { connection } = client as unknown as { connection?: { stream?: { destroy(): void } } }
  connection?.stream?.destroy()
}

/** `onLate` is called when half of the patience is over. */
async function within<T>(sent: Promise<T>, onLate?: () => void): Promise<T> {
  const answered = new AbortController()
  const { signal } = answered
  sent.catch(() => undefined)
  const late = async () => {
    await sleep(patienceMs / 2, undefined, { signal })
    onLate?.()
    await sleep(patienceMs / 2, undefined, { signal })
    throw new Error('no answer in time')
  }
  try {
    return await Promise.race([sent, late()])
  } finally {
    answered.abort()
  }
}

/**
 * An error of the statement itself: the transaction is rolled back for certain. Anything that ends the session, or
 * comes from what is around the statement, may have come after the commit.
 */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof DatabaseError &&
    error.severity === 'ERROR' &&
    /^(22|23|25|40|42|53)/.test(error.code ?? '')
  )
}
