/**
 * One connection to one server, with hard time-outs that destroy the socket and do not depend on the driver. Nothing
 * is cancelled: a cancel of a commit that waits for its standbys makes the server report success.
 */
import { Socket } from 'node:net'
import { Client, type ClientConfig, type DatabaseError, type QueryResultRow } from 'pg'
import type { ClusterConfig, NodeConfig } from '../../core/types.ts'
import type { Clock } from '../../ports.ts'
import { bounded } from '../bounded.ts'
import { type Authorities, tlsOf } from '../tls.ts'
import { type Stage, toldCodes } from './errors.ts'

export type PasswordOf = (
  cluster: ClusterConfig,
  user: string,
  node: Pick<NodeConfig, 'address' | 'port'>,
) => Promise<string | undefined>

export interface LinkOptions {
  readonly cluster: ClusterConfig
  readonly node: Pick<NodeConfig, 'address' | 'port'>
  readonly user: string
  readonly applicationName: string
  readonly password: PasswordOf
  readonly authorities?: Authorities | undefined
  readonly clock: Clock
  readonly timeoutMs: number
}

export class Link {
  /** Called once when an open connection ends and `destroy` was not called. */
  onEnd: ((ended: { how: 'told' | 'untold'; code: string | null }) => void) | undefined
  readonly #client: Client
  readonly #socket: Socket
  readonly #clock: Clock
  #told: string | null = null
  #ended = false
  #destroyed = false

  private constructor(client: Client, socket: Socket, clock: Clock) {
    this.#client = client
    this.#socket = socket
    this.#clock = clock
    // A fast stop tells its sessions by an error, an immediate one and the crash of a backend by a notice (H15).
    client.on('error', (error) => this.#hear((error as Partial<DatabaseError>).code))
    client.on('notice', (notice) => this.#hear(notice.code))
  }

  /** Connects and signs in. Throws `TimedOut` or what the driver found; either way nothing is left open. */
  static async open(options: LinkOptions): Promise<Link> {
    const ssl = await tlsOf(options)
    const socket = new Socket()
    const client = new Client({ ...configOf(options, socket), ssl })
    const link = new Link(client, socket, options.clock)
    let stage: Stage = 'connect'
    socket.once('connect', () => {
      stage = 'startup'
    })
    try {
      await link.#bounded(client.connect(), options.timeoutMs, () => stage)
    } catch (error) {
      link.destroy()
      throw Object.assign(error as Error, { received: socket.bytesRead > 0 })
    }
    // Only a connection that was open can end. Its end is that of the socket: the driver's own event comes later.
    socket.once('close', () => link.#end())
    if (socket.destroyed) link.#end()
    return link
  }

  get open(): boolean {
    return !this.#ended && !this.#destroyed
  }

  /** One statement; a time-out destroys the connection. */
  async query<Row extends QueryResultRow>(
    text: string,
    values: unknown[],
    timeoutMs: number,
    name?: string,
  ): Promise<Row[]> {
    try {
      const query = name === undefined ? { text, values } : { name, text, values }
      const result = await this.#bounded(this.#client.query<Row>(query), timeoutMs, () => 'query')
      return result.rows
    } catch (error) {
      // With a query under way the driver gives the server's last words to the query, not to 'error'.
      this.#hear((error as Partial<DatabaseError>).code)
      throw error
    }
  }

  /** The code by which the server told that it ends this session; null: it did not, or has not ended. */
  get told(): string | null {
    return this.#told
  }

  literal(text: string): string {
    return this.#client.escapeLiteral(text)
  }

  destroy(): void {
    this.#destroyed = true
    this.#socket.destroy()
  }

  #hear(code: string | undefined): void {
    if (code !== undefined && toldCodes.has(code)) this.#told = code
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

function configOf(options: LinkOptions, socket: Socket): ClientConfig {
  const { connection } = options.cluster
  return {
    host: options.node.address,
    port: options.node.port,
    user: options.user,
    database: connection.database,
    // A function, so that the driver neither looks for ~/.pgpass nor reads PGPASSWORD.
    password: (async () =>
      await options.password(options.cluster, options.user, options.node)) as () => Promise<string>,
    application_name: options.applicationName,
    stream: () => socket,
    keepAlive: true,
  }
}

/** What one tick of a deadline leaves. */
export function deadline(clock: Clock, timeoutMs: number): () => number {
  const until = clock.monotonicMs() + timeoutMs
  return () => until - clock.monotonicMs()
}
