/** One execution environment of a function: a worker thread, or a process, with its own variables. */
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { LambdaFunction } from './deployment.ts'
import type { InvocationFault } from './lambda.ts'
import type { ErrorReport, InvokeMessage, WorkerMessage } from './lambda-worker.ts'
import { type Runtime, startProcess, startThread } from './runtimes.ts'

export interface EnvironmentSettings {
  readonly fn: LambdaFunction & { readonly taskRoot: string }
  readonly variables: Record<string, string>
  readonly log: (line: string) => void
  /** See `LambdaOptions`. */
  readonly enter?: readonly string[] | undefined
}

type Outcome = { readonly error: ErrorReport } | { readonly error?: undefined; readonly payload: string }

/** Loading has its own limit, as the init phase has on AWS (10 s there; this machine may be busy). */
const loadMostMs = 60_000

export class Environment {
  readonly #runtime: Runtime
  readonly #fn: LambdaFunction
  readonly #loaded: Promise<ErrorReport | null>
  #settle: ((outcome: Outcome) => void) | null = null
  #current: InvokeMessage | null = null
  /** False once the worker has ended or is being ended: never to be used again. */
  alive = true

  constructor({ fn, variables, log, enter }: EnvironmentSettings, onEnd: () => void) {
    this.#fn = fn
    const setup = { taskRoot: fn.taskRoot, handler: fn.handler }
    this.#runtime = enter ? startProcess(enter, setup, variables) : startThread(setup, variables)
    for (const stream of this.#runtime.output) logLines(stream, fn.name, log)
    this.#loaded = new Promise((resolve) => {
      const slow = setTimeout(() => resolve(loadFailure('took too long')), loadMostMs)
      const finish = (error: ErrorReport | null) => {
        clearTimeout(slow)
        resolve(error)
      }
      this.#runtime.onMessage((message: WorkerMessage) => {
        if (message.kind === 'loaded') finish(null)
        else if (message.kind === 'loadFailed') finish(message.error)
        else this.#finish(message)
      })
      this.#runtime.onError((error) => {
        log(`${fn.name}: ${(error.stack ?? String(error)).slice(0, 2000)}`)
        this.#die({ errorType: error.name, errorMessage: error.message })
        finish(loadFailure(error.message))
      })
      this.#runtime.onExit((code) => {
        this.#die(exitReport(this.#current?.requestId, code))
        finish(loadFailure(`exit status ${code}`))
        onEnd()
      })
    })
  }

  /** Resolves when the module is loaded, or could not be: then the environment is not alive any more. */
  async ready(): Promise<ErrorReport | null> {
    const problem = await this.#loaded
    if (problem) await this.#terminate()
    return problem
  }

  /** One invocation; the caller makes sure that it is the only one. */
  async invoke(message: InvokeMessage, fault: InvocationFault): Promise<Outcome> {
    const problem = await this.ready()
    if (problem) return { error: problem }
    if (!this.alive) return { error: exitReport(message.requestId, 1) }
    const timers: NodeJS.Timeout[] = []
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#settle = resolve
      this.#current = message
      timers.push(setTimeout(() => this.#die(timedOut(message)), message.timeoutMs))
      if (typeof fault.kill === 'number') {
        timers.push(setTimeout(() => this.#die(exitReport(message.requestId, 137)), fault.kill))
      }
      const delay = fault.delayMs ?? 0
      const post = () => this.#runtime.send({ ...message, timeoutMs: message.timeoutMs - delay })
      if (delay > 0) timers.push(setTimeout(post, delay))
      else post()
    })
    for (const timer of timers) clearTimeout(timer)
    this.#settle = null
    this.#current = null
    if (fault.kill === 'after') {
      await this.#terminate()
      return { error: exitReport(message.requestId, 137) }
    }
    // Nobody may see the end of an invocation whose handler could still act.
    if (!this.alive) await this.#terminate()
    return outcome
  }

  /** The environment dies as it stands; what it was asked for fails as when Lambda loses one. */
  async crash(): Promise<void> {
    this.#die(exitReport(this.#current?.requestId, 137))
    await this.#terminate()
  }

  async end(reason: string): Promise<void> {
    this.#die({ errorType: 'Local.Closed', errorMessage: `${this.#fn.name}: ${reason}` })
    await this.#terminate()
  }

  #finish(message: Extract<WorkerMessage, { requestId: string }>): void {
    if (message.requestId !== this.#current?.requestId) return
    this.#settle?.(message.kind === 'error' ? { error: message.error } : { payload: message.payload })
  }

  #die(error: ErrorReport): void {
    this.alive = false
    this.#settle?.({ error })
  }

  async #terminate(): Promise<void> {
    this.alive = false
    await this.#runtime.terminate()
  }
}

function logLines(stream: Readable, name: string, log: (line: string) => void): void {
  createInterface({ input: stream }).on('line', (line) => log(`${name}: ${line}`))
}

/** Text as Lambda writes it, with the type that Step Functions and callers see. */
function timedOut(message: InvokeMessage): ErrorReport {
  const seconds = (message.timeoutMs / 1000).toFixed(2)
  return {
    errorType: 'Sandbox.Timedout',
    errorMessage: `RequestId: ${message.requestId} Error: Task timed out after ${seconds} seconds`,
  }
}

function exitReport(requestId: string | undefined, code: number): ErrorReport {
  const how = code === 137 ? 'signal: killed' : `exit status ${code}`
  return {
    errorType: 'Runtime.ExitError',
    errorMessage: `RequestId: ${requestId ?? '-'} Error: Runtime exited with error: ${how}`,
  }
}

function loadFailure(reason: string): ErrorReport {
  return { errorType: 'Runtime.ImportModuleError', errorMessage: `Error: Cannot load module: ${reason}` }
}
