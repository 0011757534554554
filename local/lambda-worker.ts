/**
 * The inside of one execution environment: loads the function's module once, then carries out one invocation after
 * the other. Its environment is exactly what the parent gave it (`process.env` of a worker is its own).
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'

export interface WorkerSetup {
  readonly taskRoot: string
  /** `file.export` or `folder/file.export`. */
  readonly handler: string
}

export interface InvokeMessage {
  readonly requestId: string
  readonly payload: string
  readonly timeoutMs: number
  readonly functionName: string
  readonly functionVersion: string
  readonly invokedFunctionArn: string
  readonly memoryLimitInMB: string
}

export interface ErrorReport {
  readonly errorType: string
  readonly errorMessage: string
  readonly trace?: string[]
}

export type WorkerMessage =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'loadFailed'; readonly error: ErrorReport }
  | { readonly kind: 'result'; readonly requestId: string; readonly payload: string }
  | { readonly kind: 'error'; readonly requestId: string; readonly error: ErrorReport }

type Handler = (event: unknown, context: unknown) => unknown

if (!parentPort && !process.send) throw new Error('lambda-worker.ts is started by environment.ts')
const { taskRoot, handler }: WorkerSetup = parentPort ? workerData : JSON.parse(process.argv[2] ?? '')

try {
  const run = await load()
  const onMessage = (message: InvokeMessage) => void invoke(run, message)
  if (parentPort) parentPort.on('message', onMessage)
  else process.on('message', onMessage).on('disconnect', () => process.exit())
  send({ kind: 'loaded' })
} catch (error) {
  send({ kind: 'loadFailed', error: report(error) })
}

function send(message: WorkerMessage): void {
  if (parentPort) parentPort.postMessage(message)
  else process.send?.(message)
}

async function load(): Promise<Handler> {
  const dot = handler.lastIndexOf('.')
  const name = handler.slice(dot + 1)
  const module = await import(pathToFileURL(join(taskRoot, `${handler.slice(0, dot)}.mjs`)).href)
  const run = module[name]
  if (typeof run !== 'function') throw new Error(`${handler} is undefined or not exported`)
  return run as Handler
}

async function invoke(run: Handler, message: InvokeMessage): Promise<void> {
  const started = performance.now()
  const { requestId, functionName, functionVersion, invokedFunctionArn, memoryLimitInMB } = message
  const context = {
    awsRequestId: requestId,
    functionName,
    functionVersion,
    invokedFunctionArn,
    memoryLimitInMB,
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () =>
      Math.max(0, Math.round(message.timeoutMs - (performance.now() - started))),
  }
  try {
    const result = await run(JSON.parse(message.payload), context)
    send({ kind: 'result', requestId, payload: JSON.stringify(result) ?? 'null' })
  } catch (error) {
    send({ kind: 'error', requestId, error: report(error) })
  }
}

function report(error: unknown): ErrorReport {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] }
  return {
    errorType: error.name,
    errorMessage: error.message,
    trace: (error.stack ?? '').split('\n').map((line) => line.slice(0, 300)),
  }
}
