/** What a function's code runs in: a thread of this process, or a process of its own that is put somewhere else. */
import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { InvokeMessage, WorkerMessage, WorkerSetup } from './lambda-worker.ts'

export interface Runtime {
  readonly output: readonly Readable[]
  onMessage(listener: (message: WorkerMessage) => void): void
  onError(listener: (error: Error) => void): void
  onExit(listener: (code: number) => void): void
  send(message: InvokeMessage): void
  /** Resolves when nothing of it runs any more. */
  terminate(): Promise<void>
}

const script = new URL('./lambda-worker.ts', import.meta.url)

export function startThread(setup: WorkerSetup, variables: Record<string, string>): Runtime {
  const worker = new Worker(script, {
    workerData: setup,
    env: variables,
    // Nothing of how the parent was started (test runners, loaders) may leak in.
    execArgv: [],
    stdout: true,
    stderr: true,
  })
  return {
    output: [worker.stdout, worker.stderr],
    onMessage: (listener) => worker.on('message', listener),
    onError: (listener) => worker.on('error', listener),
    onExit: (listener) => worker.on('exit', listener),
    send: (message) => worker.postMessage(message),
    terminate: async () => void (await worker.terminate()),
  }
}

/** `enter`: a command and its arguments, which runs what follows it and hands on its open files. */
export function startProcess(
  enter: readonly string[],
  setup: WorkerSetup,
  variables: Record<string, string>,
): Runtime {
  const [program = '', ...args] = [...enter, process.execPath, fileURLToPath(script), JSON.stringify(setup)]
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH ?? '', ...variables },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    // A Ctrl-C at the terminal is for whoever started this one.
    detached: true,
  })
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  return {
    output: [child.stdout, child.stderr].filter((stream) => stream !== null),
    onMessage: (listener) => child.on('message', (message) => listener(message as WorkerMessage)),
    onError: (listener) => child.on('error', listener),
    onExit: (listener) => child.on('exit', (code) => listener(code ?? 137)),
    // A process that has just died takes nothing; its exit tells.
    send: (message) => child.send(message, () => undefined),
    async terminate() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
