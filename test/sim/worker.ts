/** A process that tells the histories of the seeds that it is given, and answers with what came of them. */
import { describe } from './describe.ts'
import { runSeed } from './run.ts'
import { StateMachine } from './world/stateMachine.ts'

export interface Job {
  readonly seeds: readonly number[]
  /** The synthesised definition. */
  readonly machine: unknown
  readonly story?: string
}

export interface Told {
  readonly failovers: number
  readonly switchovers: number
  readonly violations: number
  readonly cpuSeconds: number
  /** What is wrong, for a person. */
  readonly lines: readonly string[]
}

/** So much of a history that went wrong is shown; the rest with `--seed`. */
const linesMost = 25
const violationsMost = 5

let machine: StateMachine | undefined

async function tell(job: Job): Promise<Told> {
  machine ??= new StateMachine(job.machine)
  const told = { failovers: 0, switchovers: 0, violations: 0 }
  const lines: string[] = []
  const began = process.cpuUsage()
  for (const seed of job.seeds) {
    const options = { machine, ...(job.story === undefined ? {} : { story: job.story }) }
    try {
      const { history, violations, failovers, switchovers } = await runSeed(seed, options)
      told.failovers += failovers
      told.switchovers += switchovers
      told.violations += violations.length
      if (violations.length === 0) continue
      lines.push(`seed ${seed}, story ${history.story}:`, ...describe(history).slice(-linesMost))
      for (const { property, atMs, message } of violations.slice(0, violationsMost))
        lines.push(`VIOLATION ${property} at ${atMs} ms: ${message}`)
      if (violations.length > violationsMost) lines.push(`  and ${violations.length - violationsMost} more`)
      lines.push(`  again: npm run sim -- --seed ${seed}${job.story ? ` --story ${job.story}` : ''}`)
    } catch (error) {
      told.violations++
      lines.push(`seed ${seed} could not be told: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
  const { user, system } = process.cpuUsage(began)
  return { ...told, cpuSeconds: (user + system) / 1e6, lines }
}

process.on('message', (job) => {
  void tell(job as Job).then((told) => process.send?.(told))
})
