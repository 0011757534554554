/**
 * The client of the demo, in a thread of its own: writes a counter every few milliseconds, through the DNS name as an
 * application would, or pinned to one server's address. It never writes a number twice, and remembers what was
 * acknowledged. Times are those of the process-wide monotonic clock, in milliseconds.
 */
import { Resolver } from 'node:dns/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Client } from 'pg'

export interface WriterOptions {
  /** The name and the DNS server to ask for it; or an address: pinned. */
  readonly via: { readonly name: string; readonly resolver: string } | { readonly address: string }
  readonly port: number
  readonly writer: string
  readonly everyMs: number
  /** How long it waits for a commit or a connection before it gives up on the session. */
  readonly patienceMs: number
}

export interface Acknowledged {
  readonly n: number
  /** When the acknowledgement arrived, and from which address. */
  readonly atMs: number
  readonly address: string
}

export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** Runs the client in a worker thread. */
export class Writer {
  readonly #worker: Worker
  readonly acknowledged: Acknowledged[] = []
  #stopped: Promise<void> | undefined

  constructor(options: WriterOptions) {
    this.#worker = new Worker(new URL('./writer.ts', import.meta.url), { workerData: options, execArgv: [] })
    this.#worker.on('message', (batch: Acknowledged[]) => this.acknowledged.push(...batch))
  }

  /** Stops writing; resolves when the last acknowledgement has been counted. */
  stop(): Promise<void> {
    this.#stopped ??= new Promise((resolve) => {
      this.#worker.once('exit', () => resolve())
      this.#worker.postMessage('stop')
    })
    return this.#stopped
  }
}

async function write(options: WriterOptions): Promise<void> {
  let client: Client | undefined
  let address = ''
  let n = 0
  let stopped = false
  const resolver = new Resolver({ timeout: 300, tries: 1 })
  if ('resolver' in options.via) resolver.setServers([options.via.resolver])
  parentPort?.once('message', () => {
    stopped = true
  })
  const drop = () => {
    // A client that is destroyed in the middle of a query must not leave a cancel behind: the socket just goes.
    const dying = client as unknown as { connection?: { stream?: { destroy(): void } } } | undefined
    dying?.connection?.stream?.destroy()
    client = undefined
  }
  while (!stopped) {
    n++
    try {
      if (client === undefined) {
        address =
          'address' in options.via
            ? options.via.address
            : ((await resolver.resolve4(options.via.name))[0] ?? '')
        client = new Client({
          host: address,
          port: options.port,
          user: 'app',
          database: 'app',
          ssl: false,
          connectionTimeoutMillis: options.patienceMs,
        })
        client.on('error', () => undefined)
        await client.connect()
      }
      const patience = new AbortController()
      const sent = client.query('insert into counter (writer, n) values ($1, $2)', [options.writer, n])
      const late = delay(options.patienceMs, 'late', { signal: patience.signal }).catch(() => 'done')
      if ((await Promise.race([sent, late])) === 'late') {
        sent.catch(() => undefined)
        throw new Error('no acknowledgement in time')
      }
      patience.abort()
      parentPort?.postMessage([{ n, atMs: monotonicMs(), address } satisfies Acknowledged])
    } catch {
      drop()
      await delay(10)
    }
    await delay(options.everyMs)
  }
  drop()
}

if (!isMainThread && parentPort) {
  await write(workerData as WriterOptions)
  process.exit(0)
}
