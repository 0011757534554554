/**
 * What stands between clients and a server: an endpoint's address, with the security groups at its door. Replication
 * does not pass here, as RDS' own traffic is not subject to the customer's groups.
 *
 * A group lets new connections in or drops their packets; connections that stand go on, as security groups track them
 * (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html). Dropped packets look
 * like silence. A user space proxy can not leave a SYN unanswered: the connection is made here, and then nothing comes.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Target {
  readonly address: string
  readonly port: number
}

/** Of new connections: to a server, dropped, or refused because nothing listens behind an open door. */
export type Route =
  | { readonly kind: 'forward'; readonly to: Target }
  | { readonly kind: 'silent' }
  | { readonly kind: 'refuse' }

export class EndpointProxy {
  readonly address: string
  readonly port: number
  #route: Route = { kind: 'refuse' }
  #server: Server | null = null
  #change: Promise<void> = Promise.resolve()
  readonly #sockets = new Set<Socket>()
  readonly #isCut: (source: string) => boolean
  #closed = false

  /** `isCut`: whether nothing from an address arrives here at present, whatever the route. */
  constructor(at: Target, isCut: (source: string) => boolean = () => false) {
    this.address = at.address
    this.port = at.port
    this.#isCut = isCut
  }

  get route(): Route {
    return this.#route
  }

  /** Resolves when new connections are treated so. */
  async setRoute(route: Route): Promise<void> {
    this.#route = route
    this.#change = this.#change.then(() => this.#apply())
    await this.#change
  }

  /** Connections that stand end for who is cut off; a network that is gone would keep them waiting first. */
  cut(): void {
    for (const socket of this.#sockets) if (this.#isCut(socket.remoteAddress ?? '')) socket.destroy()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#change.catch(() => {})
    this.#server?.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  async #apply(): Promise<void> {
    if (this.#closed) return
    if (this.#route.kind === 'refuse') {
      // Only the listening ends: connections that stand are ended by their server, or not at all.
      this.#server?.close()
      this.#server = null
    } else if (!this.#server) {
      this.#server = await this.#listen()
    }
  }

  async #listen(): Promise<Server> {
    for (let attempt = 1; ; attempt++) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
      try {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject)
          server.listen({ host: this.address, port: this.port, exclusive: true }, resolve)
        })
        return server
      } catch (error) {
        if (attempt === 50) throw error
        await sleep(20)
      }
    }
  }

  #accept(socket: Socket): void {
    this.#track(socket)
    const route: Route = this.#isCut(socket.remoteAddress ?? '') ? { kind: 'silent' } : this.#route
    if (route.kind === 'forward') this.#forward(socket, route.to)
    else if (route.kind === 'refuse') socket.resetAndDestroy()
    else {
      // Reads on, so that a client that gives up is noticed.
      socket.resume()
      socket.on('end', () => socket.destroy())
    }
  }

  #forward(client: Socket, to: Target): void {
    const server = connect({
      host: to.address,
      port: to.port,
      allowHalfOpen: true,
      noDelay: true,
    })
    this.#track(server)
    client.pipe(server)
    server.pipe(client)
    server.on('error', () => client.resetAndDestroy())
    client.on('error', () => server.destroy())
    // Without an error both directions were ended, or the peer is gone for good.
    server.on('close', () => client.destroySoon())
    client.on('close', () => server.destroy())
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }
}
