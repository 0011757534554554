/** HTTP servers of the tests: one that answers as a service would, and one that stands between a client and a table. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }

export interface Seen {
  readonly method: string
  readonly path: string
  /** The operation, of protocols that name it in a header. */
  readonly target: string
  readonly body: string
}

export type Reply =
  | { readonly status?: number; readonly body: string; readonly headers?: Record<string, string> }
  /** The connection ends without an answer. */
  | 'drop'
  /** Never answers. */
  | 'silence'
  /** The head of an answer, and nothing after it. */
  | 'stall'

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function bodyOf(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of message) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

function seenOf(message: IncomingMessage, body: string): Seen {
  const target = String(message.headers['x-amz-target'] ?? '')
  return {
    method: message.method ?? '',
    path: message.url ?? '',
    target: target.split('.').pop() ?? '',
    body,
  }
}

/** Answers each request by the handler, and keeps what was asked. */
export async function serve(answer: (seen: Seen, all: readonly Seen[]) => Reply | Promise<Reply>) {
  const seen: Seen[] = []
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const one = seenOf(incoming, await bodyOf(incoming))
      seen.push(one)
      const reply = await answer(one, seen)
      if (reply === 'silence') return
      if (reply === 'stall') return void outgoing.writeHead(200, { 'content-length': 99 }).write('{')
      if (reply === 'drop') incoming.socket.destroy()
      else outgoing.writeHead(reply.status ?? 200, reply.headers ?? {}).end(reply.body)
    })()
  })
  return { endpoint: await listen(server), seen }
}

/** What the proxy does with a request: nothing of it reaches the table, or the table's answer is lost. */
export type Fate = 'pass' | 'loseRequest' | 'loseAnswer' | 'holdAnswer'

/** Between a client and a real table. The fate may first do something of its own after the effect (`afterEffect`). */
export async function proxy(
  upstream: string,
  fate: (seen: Seen) => Fate,
  afterEffect: (seen: Seen) => Promise<void> = async () => {},
) {
  const seen: Seen[] = []
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const one = seenOf(incoming, await bodyOf(incoming))
      seen.push(one)
      const what = fate(one)
      if (what === 'loseRequest') return incoming.socket.destroy()
      const answer = await forward(upstream, incoming, one.body)
      await afterEffect(one)
      if (what === 'loseAnswer') return incoming.socket.destroy()
      if (what === 'pass') relay(outgoing, answer)
    })()
  })
  return { endpoint: await listen(server), seen }
}

interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

async function forward(upstream: string, incoming: IncomingMessage, body: string): Promise<Answer> {
  const outgoing = request(upstream, {
    method: incoming.method,
    path: incoming.url,
    headers: incoming.headers,
  })
  outgoing.end(body)
  const [message] = (await once(outgoing, 'response')) as [IncomingMessage]
  const headers = Object.fromEntries(
    Object.entries(message.headers).map(([key, value]) => [key, String(value)]),
  )
  return { status: message.statusCode ?? 500, headers, body: await bodyOf(message) }
}

function relay(outgoing: ServerResponse, answer: Answer): void {
  outgoing.writeHead(answer.status, answer.headers).end(answer.body)
}
