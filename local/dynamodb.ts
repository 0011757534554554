/**
 * DynamoDB's API: dynalite in this process, with two things added that it lacks: a change feed with old and new image,
 * made inside the key's lock and therefore in the order of the writes, and `ReturnValuesOnConditionCheckFailure`.
 * Both reach into dynalite's modules: its version is pinned, and contract tests hold it to this.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { FaultHook } from './front.ts'

const require = createRequire(import.meta.url)

export type AttributeMap = Record<string, Record<string, unknown>>

/** One change of one item, before it is shaped by a stream's view type. */
export interface Change {
  readonly table: string
  readonly keys: AttributeMap
  readonly oldImage: AttributeMap | null
  readonly newImage: AttributeMap | null
  /** Rises with every change of this process: the order of the writes to one item. */
  readonly sequence: number
  readonly atMs: number
}

export interface LocalDynamoDb {
  readonly url: string
  /** From the properties of AWS::DynamoDB::Table or GlobalTable. */
  createTable(name: string, properties: Record<string, unknown>): Promise<void>
  /** Called in the order of the writes of an item, before their replies are sent. */
  onChange(listener: (change: Change) => void): () => void
  /** As at the front; `code` is ignored: a fault is a cut connection, or with `code` a server error. */
  onCall(hook: FaultHook): () => void
  close(): Promise<void>
}

// biome-ignore lint/suspicious/noExplicitAny: dynalite has no types
type Untyped = any
type Callback = (error: unknown, value?: unknown) => void
interface ItemDb {
  get(key: string, callback: Callback): void
  put(key: string, value: unknown, callback: Callback): void
  del(key: string, callback: Callback): void
  observed?: boolean
}

export async function startDynamoDb(port = 0, address = '127.0.0.1'): Promise<LocalDynamoDb> {
  const listeners = new Set<(change: Change) => void>()
  const hooks = new Set<FaultHook>()
  const keysOf = new Map<string, string[]>()
  let sequence = 0
  const server = createServer((table, before, after) => {
    const names = keysOf.get(table) ?? ['pk', 'sk']
    // A write that changes nothing makes no stream record on AWS either.
    if (isDeepStrictEqual(before, after)) return
    const image = after ?? before ?? {}
    const keys = Object.fromEntries(names.flatMap((name) => (image[name] ? [[name, image[name]]] : [])))
    sequence += 1
    const change = { table, keys, oldImage: before, newImage: after, sequence, atMs: Date.now() }
    for (const listener of listeners) listener(change)
  })
  interpose(server, hooks)
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, resolve)
  })
  const url = `http://${address}:${(server.address() as AddressInfo).port}`
  return {
    url,
    async createTable(name, properties) {
      keysOf.set(
        name,
        (properties.KeySchema as { AttributeName: string }[]).map(({ AttributeName }) => AttributeName),
      )
      await call(url, 'CreateTable', createTableInput(name, properties))
      await untilActive(url, name)
    },
    onChange: (listener) => subscribe(listeners, listener),
    onCall: (hook) => subscribe(hooks, hook),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function subscribe<T>(set: Set<T>, item: T): () => void {
  set.add(item)
  return () => set.delete(item)
}

type OnWrite = (table: string, before: AttributeMap | null, after: AttributeMap | null) => void

function createServer(onWrite: OnWrite): Server {
  const db: Untyped = require('dynalite/db')
  allOldOnConditionFailure(db)
  const dynalite: Untyped = require('dynalite')
  const create = db.create
  try {
    db.create = (options: unknown) => observeWrites(create(options), onWrite)
    return dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 }) as Server
  } finally {
    db.create = create
  }
}

/** dynalite ignores the parameter; its actions call `db.checkConditional` with the item that they read. */
function allOldOnConditionFailure(db: Untyped): void {
  if (db.checkConditional.returnsAllOld) return
  const original = db.checkConditional
  const wrapped = (data: Untyped, existing: unknown) => {
    const error = original(data, existing)
    if (error && existing && data.ReturnValuesOnConditionCheckFailure === 'ALL_OLD')
      error.body.Item = existing
    return error
  }
  wrapped.returnsAllOld = true
  db.checkConditional = wrapped
  for (const action of ['putItem', 'updateItem', 'deleteItem']) {
    // A parameter that is not in this list is dropped before the action sees it.
    require(`dynalite/validations/${action}`).types.ReturnValuesOnConditionCheckFailure = {
      type: 'String',
      enum: ['ALL_OLD', 'NONE'],
    }
  }
}

function observeWrites(store: Untyped, onWrite: OnWrite): Untyped {
  const original = store.getItemDb
  store.getItemDb = (table: string): ItemDb => {
    const items = original(table) as ItemDb
    if (items.observed) return items
    items.observed = true
    const { get, put, del } = items
    const observed = (
      key: string,
      after: AttributeMap | null,
      write: (done: Callback) => void,
      done: Callback,
    ) => {
      get.call(items, key, (_missing, before) => {
        write((error) => {
          // What was read is ours alone; what was written is the caller's, too.
          if (!error) onWrite(table, (before as AttributeMap | undefined) ?? null, copy(after))
          done(error)
        })
      })
    }
    items.put = (key, value, done) =>
      observed(key, value as AttributeMap, (written) => put.call(items, key, value, written), done)
    items.del = (key, done) => observed(key, null, (written) => del.call(items, key, written), done)
    return items
  }
  return store
}

function copy(image: unknown): AttributeMap | null {
  return image === undefined || image === null ? null : JSON.parse(JSON.stringify(image))
}

/** Puts the fault hooks before dynalite's own listener, and after it by holding back the end of its reply. */
function interpose(server: Server, hooks: Set<FaultHook>): void {
  const [serve] = server.listeners('request') as ((
    request: IncomingMessage,
    response: ServerResponse,
  ) => void)[]
  server.removeAllListeners('request')
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!serve) return
    if (hooks.size === 0) return serve(request, response)
    void serveWithFaults(serve, hooks, request, response)
  })
}

async function serveWithFaults(
  serve: (request: IncomingMessage, response: ServerResponse) => void,
  hooks: Set<FaultHook>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)
  const operation = String(request.headers['x-amz-target'] ?? '').split('.')[1] ?? ''
  let fault: Awaited<ReturnType<FaultHook>>
  for (const hook of hooks)
    fault ??= await hook({ service: 'DynamoDB', operation, body: body.toString('utf8') })
  const fail = () => {
    if (fault?.code === undefined) return request.socket.destroy()
    const reply = JSON.stringify({ __type: fault.code, message: fault.message ?? 'injected fault' })
    response.writeHead(fault.status ?? 500, { 'content-type': 'application/x-amz-json-1.0' })
    return endReply.call(response, reply)
  }
  const endReply = response.end as (text: string) => unknown
  if (fault?.when === 'before') return void fail()
  if (fault) response.end = (() => fail()) as typeof response.end
  serve(request, response)
  // dynalite listens for the body that was already read.
  request.emit('data', body)
  request.emit('end')
}

/** Translates what CloudFormation has and CreateTable has not; what dynalite ignores is left out. */
function createTableInput(name: string, properties: Record<string, unknown>): Record<string, unknown> {
  const indexes = properties.GlobalSecondaryIndexes as Record<string, unknown>[] | undefined
  const index = ({ IndexName, KeySchema, Projection }: Record<string, unknown>) => ({
    IndexName,
    KeySchema,
    Projection,
  })
  return {
    TableName: name,
    AttributeDefinitions: properties.AttributeDefinitions,
    KeySchema: properties.KeySchema,
    BillingMode: 'PAY_PER_REQUEST',
    ...(indexes?.length ? { GlobalSecondaryIndexes: indexes.map(index) } : {}),
  }
}

async function untilActive(url: string, name: string): Promise<void> {
  for (;;) {
    const { Table } = (await call(url, 'DescribeTable', { TableName: name })) as {
      Table: { TableStatus: string }
    }
    if (Table.TableStatus === 'ACTIVE') return
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

async function call(url: string, operation: string, input: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `DynamoDB_20120810.${operation}`,
      'x-amz-date': '20260101T000000Z',
      authorization: `AWS4-HMAC-SHA256 Credential=local/20260101/local/dynamodb/aws4_request, SignedHeaders=host, Signature=${randomUUID()}`,
      // A kept connection would hold up `close`.
      connection: 'close',
    },
    body: JSON.stringify(input),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`DynamoDB ${operation}: ${text}`)
  return JSON.parse(text)
}
