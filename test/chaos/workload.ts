/** The clients of a run, each a process in a namespace of its own; see `client.ts`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Operation } from './checker.ts'
import type { ClientOrder, ClientReport, ClientSetup } from './client.ts'

const script = fileURLToPath(new URL('./client.ts', import.meta.url))

export class Workload {
  /** Of the present round, in the order in which they were reported. */
  operations: Operation[] = []
  readonly #clients: readonly ChildProcess[]
  #died: string | undefined

  /** `enter`: the command in front of each client's process. */
  constructor(setups: readonly { readonly enter: readonly string[]; readonly setup: ClientSetup }[]) {
    this.#clients = setups.map(({ enter, setup }) => {
      const [program = '', ...args] = [...enter, process.execPath, script, JSON.stringify(setup)]
      const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      child.on('message', (report: ClientReport) => {
        if (report.kind === 'operations') this.operations.push(...report.operations)
      })
      child.on('exit', (code) => {
        this.#died ??= `client ${setup.client} ended with ${code}`
      })
      return child
    })
  }

  start(round: number, registers: readonly string[]): void {
    this.operations = []
    this.#send({ kind: 'start', round, registers })
  }

  /** Resolves when every operation has been reported. */
  async stop(): Promise<void> {
    const stopped = this.#clients.map(
      (client) =>
        new Promise<void>((resolve, reject) => {
          const listener = (report: ClientReport) => {
            if (report.kind !== 'stopped') return
            client.off('message', listener)
            resolve()
          }
          client.on('message', listener)
          client.once('exit', () => reject(new Error(this.#died)))
        }),
    )
    this.#send({ kind: 'stop' })
    await Promise.all(stopped)
  }

  #send(order: ClientOrder): void {
    if (this.#died) throw new Error(this.#died)
    for (const client of this.#clients) client.send(order)
  }
}
