/**
 * One connection to one server, with hard time-outs that destroy the socket and do not depend on the driver, which is
 * loaded on first use: who has no MySQL does not pay for it at each cold start.
 */
import { Socket } from 'node:net'
import type { Connection, ConnectionOptions, SslOptions } from 'mysql2'
import type { ClusterConfig, NodeConfig } from '../../core/types.ts'
import type { Clock } from '../../ports.ts'
import { bounded } from '../bounded.ts'
import { endpointOf } from '../passwords.ts'
import type { Stage } from '../postgres/errors.ts'
import type { PasswordOf } from '../postgres/link.ts'
import type { Authorities } from '../tls.ts'
import { sqlStateOf, toldCode } from './errors.ts'

export interface LinkOptions {
  readonly cluster: ClusterConfig
  readonly node: Pick<NodeConfig, 'address' | 'port'>
  readonly password: PasswordOf
  readonly authorities?: Authorities | undefined
  readonly clock: Clock
  readonly timeoutMs: number
}

export type Row = Readonly<Record<string, unknown>>

export class Link {
  /** Called once when an open connection ends and `destroy` was not called. */
  onEnd: ((ended: { how: 'told' | 'untold'; code: string | null }) => void) | undefined
  readonly #socket: Socket
  readonly #clock: Clock
  #connection: Connection | undefined
  #told: string | null = null
  #ended = false
  #destroyed = false

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    socket.on('error', () => {})
  }

  /** Connects and signs in. Throws `TimedOut` or what the driver found; either way nothing is left open. */
  static async open(options: LinkOptions): Promise<Link> {
    const socket = new Socket()
    const link = new Link(socket, options.clock)
    let stage: Stage = 'connect'
    socket.once('connect', () => {
      stage = 'startup'
    })
    try {
      await link.#bounded(link.#connect(options), options.timeoutMs, () => stage)
    } catch (error) {
      link.destroy()
      throw Object.assign(error as Error, { received: socket.bytesRead > 0 })
    }
    socket.once('close', () => link.#end())
    if (socket.destroyed) link.#end()
    return link
  }

  get open(): boolean {
    return !this.#ended && !this.#destroyed
  }

  get told(): string | null {
    return this.#told
  }

  /** One statement; a time-out destroys the connection. */
  async query(text: string, timeoutMs: number): Promise<readonly Row[]> {
    const work = new Promise<readonly Row[]>((resolve, reject) => {
      this.#connection?.query(text, (error, rows) => {
        if (error) reject(error)
        else resolve(Array.isArray(rows) ? (rows as Row[]) : [])
      })
    })
    try {
      return await this.#bounded(work, timeoutMs, () => 'query')
    } catch (error) {
      this.#hear(error)
      throw error
    }
  }

  destroy(): void {
    this.#destroyed = true
    this.#socket.destroy()
  }

  async #connect(options: LinkOptions): Promise<void> {
    const [{ createConnection }, config] = await Promise.all([import('mysql2'), configOf(options)])
    if (this.#destroyed) return
    this.#socket.setKeepAlive(true).setNoDelay(true)
    this.#socket.connect(options.node.port, options.node.address)
    const connection = createConnection({ ...config, stream: this.#socket })
    this.#connection = connection
    connection.on('error', (error) => this.#hear(error))
    await new Promise<void>((resolve, reject) => {
      connection.once('connect', () => resolve())
      connection.once('error', reject)
    })
  }

  #hear(error: unknown): void {
    if (sqlStateOf(error) === toldCode) this.#told = toldCode
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    // The last message may still be in the driver's parser when the socket reports its close.
    setImmediate(() => {
      if (!this.#destroyed) this.onEnd?.({ how: this.#told ? 'told' : 'untold', code: this.#told })
    })
  }

  async #bounded<T>(work: Promise<T>, timeoutMs: number, stage: () => Stage): Promise<T> {
    return await bounded(work, { clock: this.#clock, timeoutMs, stage, giveUp: () => this.destroy() })
  }
}

async function configOf(options: LinkOptions): Promise<ConnectionOptions> {
  const { cluster, node } = options
  const { connection } = cluster
  const byToken = connection.password.from === 'iam'
  if (byToken && connection.tls === 'disable')
    throw new Error('a token is a password in clear text, which needs TLS')
  const [password, ssl, { hostname }] = await Promise.all([
    options.password(cluster, connection.observerUser, node),
    sslOf(options),
    endpointOf(cluster, node),
  ])
  return {
    // The socket is ours: to the driver the host is no more than the name that the certificate must have.
    host: hostname,
    port: node.port,
    user: connection.observerUser,
    ...(password === undefined ? {} : { password }),
    database: connection.database,
    connectTimeout: 0,
    supportBigNumbers: true,
    enableCleartextPlugin: byToken,
    connectAttributes: { program_name: 'understudy probe' },
    ...(ssl === undefined ? {} : { ssl }),
  }
}

const verifying = new WeakMap<readonly string[], SslOptions>()
const unverified: SslOptions = { rejectUnauthorized: false }
const systemVerified: SslOptions = { rejectUnauthorized: true, verifyIdentity: true }

/** The driver reads certificates once per object. */
async function sslOf({ cluster, authorities }: LinkOptions): Promise<SslOptions | undefined> {
  if (cluster.connection.tls === 'disable') return undefined
  if (cluster.connection.tls === 'require') return unverified
  if (authorities === undefined) return systemVerified
  const ca = await authorities()
  const known = verifying.get(ca)
  if (known !== undefined) return known
  const ssl: SslOptions = { ca: [...ca], rejectUnauthorized: true, verifyIdentity: true }
  verifying.set(ca, ssl)
  return ssl
}
