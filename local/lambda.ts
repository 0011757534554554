/**
 * Lambda's API over worker threads that run the deployed bundles (or over processes, see `enter`): one invocation per
 * worker at a time, more workers on demand. A function that exceeds its time-out is cut off by ending its worker. Not modelled: the freeze of an
 * environment between invocations (timers go on here), permissions, payload limits, /tmp.
 */
import { randomUUID } from 'node:crypto'
import type { LambdaFunction } from './deployment.ts'
import { Environment, type EnvironmentSettings } from './environment.ts'
import { AwsError, type HttpReply, type HttpRequest } from './front.ts'
import type { ErrorReport } from './lambda-worker.ts'
import { parseFunctionName } from './names.ts'

/** What becomes of one invocation, for tests: nothing, or one of these. */
export interface InvocationFault {
  /**
   * The environment dies `before` the handler runs, `after` it has returned (its effects stand, its result is lost),
   * or so many milliseconds into it.
   */
  readonly kill?: 'before' | 'after' | number
  /** Refused with TooManyRequestsException. */
  readonly throttle?: boolean
  /** The handler starts this much later: a stalled invocation. Counts towards its time-out. */
  readonly delayMs?: number
}

export interface Invocation {
  readonly functionName: string
  readonly qualifier: string
  readonly requestId: string
  readonly payload: unknown
}
export type InvocationHook = (
  invocation: Invocation,
) => InvocationFault | undefined | Promise<InvocationFault | undefined>

export interface InvokeResult {
  /** JSON. */
  readonly payload: string
  readonly functionError?: 'Unhandled'
  readonly executedVersion: string
}

export interface LambdaOptions {
  readonly functions: readonly LambdaFunction[]
  /** Variables that every function gets besides its own: endpoints, credentials, Region. Read at each start of one. */
  readonly environment: () => Record<string, string>
  readonly log: (line: string) => void
  /**
   * The command that stands in front of a function's process and puts it where it belongs, such as into a network
   * namespace; undefined: a thread of this process.
   */
  readonly enter?: (functionName: string) => readonly string[] | undefined
  /** Environments per function; above it an invocation is refused, as at a reserved concurrency. */
  readonly environmentsMost?: number
  /** Waits between the attempts of an asynchronous invocation; AWS: one and two minutes. */
  readonly asyncRetryMs?: readonly number[]
}

interface Pool {
  readonly fn: LambdaFunction
  readonly idle: Environment[]
  readonly all: Set<Environment>
}

export class LambdaService {
  readonly #pools = new Map<string, Pool>()
  readonly #options: LambdaOptions
  readonly #hooks = new Set<InvocationHook>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #closed = false

  constructor(options: LambdaOptions) {
    this.#options = options
    for (const fn of options.functions) {
      this.#pools.set(fn.name, { fn, idle: [], all: new Set() })
    }
  }

  /** Sees every invocation before it runs. Returns a function that takes the hook away. */
  onInvoke(hook: InvocationHook): () => void {
    this.#hooks.add(hook)
    return () => this.#hooks.delete(hook)
  }

  /** Kills the next invocation of a function: see `InvocationFault`. */
  killNext(name: string, kill: 'before' | 'after' | number): void {
    const remove = this.onInvoke(({ functionName }) => {
      if (functionName !== parseFunctionName(name).name) return undefined
      remove()
      return { kill }
    })
  }

  /** Starts environments and loads the function's module in them, without invoking it. */
  async prewarm(name: string, count = 1): Promise<void> {
    const { pool } = this.#resolve(name, null)
    const missing = Math.max(0, count - pool.all.size)
    await Promise.all(
      Array.from({ length: missing }, async () => {
        const environment = this.#start(pool)
        await environment.ready()
        if (environment.alive) pool.idle.push(environment)
      }),
    )
  }

  functionNames(): string[] {
    return [...this.#pools.keys()]
  }

  /** `payload` is a value or, as a string, JSON. Throws `AwsError` when the invocation is refused. */
  async invoke(nameOrArn: string, payload: unknown, qualifier: string | null = null): Promise<InvokeResult> {
    const { pool, version } = this.#resolve(nameOrArn, qualifier)
    const text = typeof payload === 'string' ? payload : (JSON.stringify(payload) ?? 'null')
    const requestId = randomUUID()
    const fault = await this.#fault({
      functionName: pool.fn.name,
      qualifier: version,
      requestId,
      payload: JSON.parse(text || 'null'),
    })
    if (fault.throttle) throw throttled()
    if (fault.kill === 'before') return failure(exited(requestId), version)
    const environment = this.#take(pool)
    try {
      const outcome = await environment.invoke(
        {
          requestId,
          payload: text || 'null',
          timeoutMs: pool.fn.timeoutSeconds * 1000,
          functionName: pool.fn.name,
          functionVersion: version,
          invokedFunctionArn: version === '$LATEST' ? pool.fn.arn : `${pool.fn.arn}:${version}`,
          memoryLimitInMB: String(pool.fn.memoryMb),
        },
        fault,
      )
      if (outcome.error) return failure(outcome.error, version)
      return { payload: outcome.payload, executedVersion: version }
    } finally {
      if (environment.alive) pool.idle.push(environment)
    }
  }

  /** An asynchronous invocation (events, streams do their own): up to two retries after errors, as configured. */
  invokeLater(nameOrArn: string, payload: unknown): void {
    const { pool } = this.#resolve(nameOrArn, null)
    void this.#attempt(nameOrArn, payload, pool.fn.asyncRetries, 0)
  }

  async #attempt(name: string, payload: unknown, retries: number, attempt: number): Promise<void> {
    const problem = await this.invoke(name, payload).then(
      (result) => (result.functionError ? result.payload : null),
      (error: Error) => error.message,
    )
    if (problem === null || this.#closed) return
    this.#options.log(`${parseFunctionName(name).name}: asynchronous invocation failed: ${problem}`)
    if (attempt >= retries) return
    const waits = this.#options.asyncRetryMs ?? [60_000, 120_000]
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void this.#attempt(name, payload, retries, attempt + 1)
    }, waits[attempt] ?? waits.at(-1))
    this.#timers.add(timer)
  }

  /** Ends every environment of a function, whatever it is doing; the next invocation starts a new one. */
  async crash(name: string): Promise<void> {
    const { pool } = this.#resolve(name, null)
    await Promise.all([...pool.all].map((environment) => environment.crash()))
  }

  /** Ends every environment; invocations in flight fail. */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    const environments = [...this.#pools.values()].flatMap((pool) => [...pool.all])
    await Promise.all(
      environments.map((environment) => environment.end('the local Lambda service was closed')),
    )
  }

  /** `POST /2015-03-31/functions/<name>/invocations`. */
  async handle(request: HttpRequest): Promise<HttpReply> {
    const match = /^\/2015-03-31\/functions\/([^/]+)\/invocations\/?$/.exec(request.path)
    if (!match || request.method !== 'POST')
      throw new AwsError('ResourceNotFoundException', request.path, 404)
    const name = decodeURIComponent(match[1] ?? '')
    const qualifier = request.query.get('Qualifier')
    const type = request.headers['x-amz-invocation-type'] ?? 'RequestResponse'
    parsePayload(request.body)
    this.#resolve(name, qualifier)
    if (type === 'DryRun') return { status: 204, body: '' }
    if (type === 'Event') {
      this.invokeLater(qualifier ? `${name}:${qualifier}` : name, request.body)
      return { status: 202, body: '' }
    }
    const result = await this.invoke(name, request.body, qualifier)
    const headers: Record<string, string> = { 'x-amz-executed-version': result.executedVersion }
    if (result.functionError) headers['x-amz-function-error'] = result.functionError
    return { status: 200, headers, body: result.payload }
  }

  async #fault(invocation: Invocation): Promise<InvocationFault> {
    for (const hook of this.#hooks) {
      const fault = await hook(invocation)
      if (fault) return fault
    }
    return {}
  }

  #resolve(nameOrArn: string, qualifier: string | null): { pool: Pool; version: string } {
    const parsed = parseFunctionName(nameOrArn)
    const pool = this.#pools.get(parsed.name)
    const wanted = qualifier ?? parsed.qualifier ?? '$LATEST'
    const version = wanted === '$LATEST' ? wanted : pool?.fn.qualifiers.get(wanted)
    if (!pool || version === undefined) {
      throw new AwsError('ResourceNotFoundException', `Function not found: ${nameOrArn}`, 404)
    }
    return { pool, version }
  }

  #take(pool: Pool): Environment {
    if (this.#closed) throw new AwsError('ServiceException', 'the local Lambda service was closed', 500)
    const warm = pool.idle.pop()
    if (warm) return warm.alive ? warm : this.#take(pool)
    const most = pool.fn.reservedConcurrency ?? this.#options.environmentsMost ?? 20
    if (pool.all.size >= most) throw throttled()
    return this.#start(pool)
  }

  #start(pool: Pool): Environment {
    const { taskRoot } = pool.fn
    if (taskRoot === null) {
      throw new AwsError(
        'ServiceException',
        `the code of ${pool.fn.name} is not a directory of the assembly`,
        500,
      )
    }
    const settings: EnvironmentSettings = {
      fn: { ...pool.fn, taskRoot },
      variables: {
        ...this.#options.environment(),
        LAMBDA_TASK_ROOT: taskRoot,
        ...pool.fn.environment,
      },
      log: this.#options.log,
      enter: this.#options.enter?.(pool.fn.name),
    }
    const environment = new Environment(settings, () => pool.all.delete(environment))
    pool.all.add(environment)
    return environment
  }
}

function parsePayload(body: string): void {
  try {
    JSON.parse(body || 'null')
  } catch (error) {
    throw new AwsError('InvalidRequestContentException', `Could not parse request body into json: ${error}`)
  }
}

function throttled(): AwsError {
  return new AwsError('TooManyRequestsException', 'Rate Exceeded.', 429)
}

function exited(requestId: string): ErrorReport {
  return {
    errorType: 'Runtime.ExitError',
    errorMessage: `RequestId: ${requestId} Error: Runtime exited with error: signal: killed`,
  }
}

function failure(error: ErrorReport, version: string): InvokeResult {
  return { payload: JSON.stringify(error), functionError: 'Unhandled', executedVersion: version }
}
