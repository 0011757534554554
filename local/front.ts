/**
 * One HTTP server for every AWS API except DynamoDB's. It finds the service by the wire protocol: `x-amz-target`
 * (JSON), an `Action` with its `Version` in a form (query), or the path (Lambda, Route 53), and writes errors in the
 * form of that protocol. Signatures are not checked.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** An error that a service answers with; `code` is the wire code. */
export class AwsError extends Error {
  readonly code: string
  readonly status: number
  constructor(code: string, message: string, status = 400) {
    super(message)
    this.name = code
    this.code = code
    this.status = status
  }
}

export type JsonApi = (
  operation: string,
  input: Record<string, unknown>,
  context: Pick<QueryContext, 'region'>,
) => Promise<unknown> | unknown
/** Answers the XML body. */
export type QueryApi = (
  operation: string,
  form: URLSearchParams,
  context: QueryContext,
) => Promise<string> | string

export interface QueryContext {
  /** The Region that the call was signed for. */
  readonly region: string
  /** Of a read: it is to see what was true that long ago; see `Mishap`. */
  readonly staleMs: number
}
/** Answers the XML body; throws `AwsError`. */
export type PathApi = (request: HttpRequest) => Promise<HttpReply> | HttpReply

export interface HttpRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: string
}
export interface HttpReply {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body: string
}

export interface Services {
  /** By the part of `x-amz-target` before the dot. */
  readonly json: Readonly<Record<string, JsonApi>>
  /** By the `Version` of the form. */
  readonly query: Readonly<Record<string, QueryApi>>
  /** By the first segment of the path, which is the API version: `2015-03-31` Lambda, `2013-04-01` Route 53. */
  readonly path: Readonly<Record<string, PathApi>>
}

export interface Call {
  /** `AWSStepFunctions`, `AmazonSSM`, `AWSEvents`, `2016-11-15` (EC2), `2010-03-31` (SNS), `2015-03-31` (Lambda), … */
  readonly service: string
  /** Operation, or method and path. */
  readonly operation: string
  readonly body: string
}
export interface SignedCall extends Call {
  /** The Region that the call was signed for; empty when it was not signed. */
  readonly region: string
}

/**
 * What goes wrong with a call. `before`: it has no effect; `after`: it has its effect and the reply is lost or
 * replaced. Without `code` the connection is cut without an answer.
 */
export interface Fault {
  readonly when: 'before' | 'after'
  readonly code?: string
  readonly message?: string
  readonly status?: number
}
export type FaultHook = (call: Call) => Fault | undefined | Promise<Fault | undefined>

/** What else may become of a call to the front: with `when` a fault, without it answered, only late or from old facts. */
export interface Mishap extends Partial<Fault> {
  /** Without `code` the connection stays open and nothing is answered, until the client gives up. */
  readonly silent?: boolean
  /** The answer comes this much later than its effect. A hook that waits delays the effect, too. */
  readonly delayMs?: number
  /** The service answers with what was true that long ago, where it can: eventually consistent reads. */
  readonly staleMs?: number
}
export type MishapHook = (call: SignedCall) => Mishap | undefined | Promise<Mishap | undefined>

export interface Front {
  readonly url: string
  /** Sees every call before it is carried out. Returns a function that takes the hook away. */
  onCall(hook: MishapHook): () => void
  close(): Promise<void>
}

export async function startFront(services: Services, port = 0, address = '127.0.0.1'): Promise<Front> {
  const hooks = new Set<MishapHook>()
  const server = createServer((request, response) => {
    answer(services, hooks, request, response).catch((error: Error) => {
      if (!response.headersSent) response.writeHead(500)
      response.end(error.stack)
    })
  })
  // The SDK's agents keep connections; a local server must not end them under a request.
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, resolve)
  })
  return {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    onCall(hook) {
      hooks.add(hook)
      return () => hooks.delete(hook)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  services: Services,
  hooks: Set<MishapHook>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  // As it came: `//` and `*` are paths of requests, and no URLs.
  const [path = '/', ...query] = (request.url ?? '/').split('?')
  const http: HttpRequest = {
    method: request.method ?? 'GET',
    path,
    query: new URLSearchParams(query.join('?')),
    headers: request.headers,
    body: Buffer.concat(chunks).toString('utf8'),
  }
  const route = findRoute(services, http)
  const fault = await findFault(hooks, {
    service: route.service,
    operation: route.operation,
    region: regionOf(http),
    body: http.body,
  })
  let reply: HttpReply | null = null
  if (fault?.when !== 'before') reply = await carryOut(route, fault?.staleMs ?? 0)
  if (fault?.delayMs) await sleep(fault.delayMs)
  if (fault?.when && fault.code === undefined) {
    if (!fault.silent) request.socket.destroy()
    return
  }
  if (fault?.when)
    reply = route.fail(new AwsError(fault.code ?? '', fault.message ?? 'injected fault', fault.status ?? 400))
  if (!reply) return
  response.writeHead(reply.status, { 'x-amzn-requestid': randomUUID(), ...reply.headers })
  response.end(reply.body)
}

async function findFault(hooks: Set<MishapHook>, call: SignedCall): Promise<Mishap | undefined> {
  for (const hook of hooks) {
    const fault = await hook(call)
    if (fault) return fault
  }
  return undefined
}

interface Route {
  readonly service: string
  readonly operation: string
  run(staleMs: number): Promise<HttpReply>
  fail(error: AwsError): HttpReply
}

async function carryOut(route: Route, staleMs: number): Promise<HttpReply> {
  try {
    return await route.run(staleMs)
  } catch (error) {
    if (error instanceof AwsError) return route.fail(error)
    return route.fail(new AwsError('InternalFailure', (error as Error).stack ?? String(error), 500))
  }
}

function findRoute(services: Services, http: HttpRequest): Route {
  const target = http.headers['x-amz-target']
  if (typeof target === 'string') return jsonRoute(services, target, http)
  const version = http.path.split('/')[1] ?? ''
  const api = named(services.path, version)
  if (api) {
    return {
      service: version,
      operation: `${http.method} ${http.path}`,
      run: async () => api(http),
      fail: version === '2013-04-01' ? xmlError : restJsonError,
    }
  }
  return queryRoute(services, http)
}

function jsonRoute(services: Services, target: string, http: HttpRequest): Route {
  const [service = '', operation = ''] = target.split('.')
  const type = String(http.headers['content-type'] ?? 'application/x-amz-json-1.0')
  const api = named(services.json, service)
  return {
    service,
    operation,
    run: async () => {
      if (!api) throw new AwsError('UnknownOperationException', `no local service answers ${target}`)
      const output = await api(operation, inputOf(http.body), { region: regionOf(http) })
      return { status: 200, headers: { 'content-type': type }, body: JSON.stringify(output ?? {}) }
    },
    fail: (error) => ({
      status: error.status,
      headers: { 'content-type': type },
      body: JSON.stringify({ __type: error.code, message: error.message }),
    }),
  }
}

/** Not what every object has, such as `constructor`. */
function named<T>(apis: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(apis, name) ? apis[name] : undefined
}

function inputOf(body: string): Record<string, unknown> {
  let input: unknown
  try {
    input = JSON.parse(body || '{}')
  } catch {
    throw new AwsError('SerializationException', 'the body is no JSON')
  }
  if (typeof input === 'object' && input !== null && !Array.isArray(input))
    return input as Record<string, unknown>
  throw new AwsError('SerializationException', 'the body is no JSON object')
}

function queryRoute(services: Services, http: HttpRequest): Route {
  const form = new URLSearchParams(http.body)
  const version = form.get('Version') ?? ''
  const operation = form.get('Action') ?? ''
  const api = named(services.query, version)
  return {
    service: version,
    operation,
    run: async (staleMs) => {
      if (!api) throw new AwsError('InvalidAction', `no local service answers ${operation || http.path}`, 404)
      const body = await api(operation, form, { region: regionOf(http), staleMs })
      return { status: 200, headers: { 'content-type': 'text/xml' }, body }
    },
    fail: version === '2016-11-15' ? ec2Error : xmlError,
  }
}

/** Of the credential scope: `Credential=<key>/<date>/<Region>/<service>/aws4_request`. */
function regionOf(http: HttpRequest): string {
  return /Credential=[^/]+\/\d+\/([^/]+)\//.exec(http.headers.authorization ?? '')?.[1] ?? ''
}

/** Names of the operations that a service does not have. */
export function unknownOperation(operation: string): AwsError {
  return new AwsError('UnknownOperationException', `${operation} is not served locally`)
}

function restJsonError(error: AwsError): HttpReply {
  return {
    status: error.status,
    headers: { 'content-type': 'application/json', 'x-amzn-errortype': error.code },
    body: JSON.stringify({ Type: 'User', Message: error.message, message: error.message }),
  }
}

/** The only form that gives SDK clients both class and message, for Route 53 as well as for SNS. */
function xmlError(error: AwsError): HttpReply {
  const body = `<ErrorResponse><Error><Type>Sender</Type><Code>${escapeXml(error.code)}</Code><Message>${escapeXml(
    error.message,
  )}</Message></Error><RequestId>${randomUUID()}</RequestId></ErrorResponse>`
  return { status: error.status, headers: { 'content-type': 'text/xml' }, body }
}

function ec2Error(error: AwsError): HttpReply {
  const body = `<Response><Errors><Error><Code>${escapeXml(error.code)}</Code><Message>${escapeXml(
    error.message,
  )}</Message></Error></Errors><RequestID>${randomUUID()}</RequestID></Response>`
  return { status: error.status, headers: { 'content-type': 'text/xml' }, body }
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

export function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)
}

/** `InstanceId.1=…&InstanceId.2=…` of a query form as a list. */
export function formList(form: URLSearchParams, prefix: string): string[] {
  const values: string[] = []
  for (let index = 1; form.has(`${prefix}.${index}`); index += 1)
    values.push(form.get(`${prefix}.${index}`) ?? '')
  return values
}
