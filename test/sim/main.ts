/** `npm run sim`: tells many histories on all cores, and judges each. The last line is the summary as JSON. */
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { describe } from './describe.ts'
import { runSeed } from './run.ts'
import { stories } from './stories/index.ts'
import type { Job, Told } from './worker.ts'
import { definition } from './world/definition.ts'
import { StateMachine } from './world/stateMachine.ts'

interface Options {
  readonly seeds: number
  readonly from: number
  readonly seed?: number
  readonly story?: string
  readonly jobs: number
  readonly json?: true
}

interface Summary {
  seeds: number
  failovers: number
  switchovers: number
  violations: number
  /** Of CPU time: simulated failovers per second and core. */
  failoversPerSecond: number
}

/** So many seeds are handed to a worker at once. */
const portion = 20

const whole = (least: number) => (text: string) => {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least)
    throw new InvalidArgumentError(`must be a whole number, at least ${least}.`)
  return value
}

async function tellOne({ seed = 0, story, json }: Options): Promise<number> {
  const machine = new StateMachine(await definition())
  const began = process.cpuUsage()
  const outcome = await runSeed(seed, { machine, ...(story === undefined ? {} : { story }) })
  if (!json) for (const line of describe(outcome.history)) console.log(line)
  if (!json) for (const line of violationLines(outcome)) console.log(line)
  const { failovers, switchovers, violations } = outcome
  const counted = { seeds: 1, failovers, switchovers, violations: violations.length }
  console.log(JSON.stringify({ ...counted, failoversPerSecond: perSecond(failovers, cpuSeconds(began)) }))
  return violations.length > 0 ? 1 : 0
}

async function runAll(options: Options): Promise<number> {
  const { seeds, from, jobs, story, json } = options
  const machine = await definition()
  const summary: Summary = { seeds: 0, failovers: 0, switchovers: 0, violations: 0, failoversPerSecond: 0 }
  let seconds = 0
  let next = from
  const portions = (): number[] => {
    const count = Math.min(portion, from + seeds - next)
    const taken = Array.from({ length: Math.max(0, count) }, (_, index) => next + index)
    next += taken.length
    return taken
  }
  const work = async () => {
    const worker = fork(new URL('./worker.ts', import.meta.url), {
      // Most of what a history makes is garbage with it: collected rarely, it costs a tenth of the time.
      execArgv: ['--max-semi-space-size=64'],
    })
    try {
      for (let taken = portions(); taken.length > 0; taken = portions()) {
        const job: Job = { seeds: taken, machine, ...(story === undefined ? {} : { story }) }
        const told = await ask(worker, job)
        summary.seeds += taken.length
        summary.failovers += told.failovers
        summary.switchovers += told.switchovers
        summary.violations += told.violations
        seconds += told.cpuSeconds
        if (!json) for (const line of told.lines) console.log(line)
      }
    } finally {
      worker.disconnect()
    }
  }
  await Promise.all(Array.from({ length: Math.min(jobs, Math.ceil(seeds / portion)) }, work))
  summary.failoversPerSecond = perSecond(summary.failovers, seconds)
  console.log(JSON.stringify(summary))
  return summary.violations > 0 ? 1 : 0
}

function ask(worker: ChildProcess, job: Job): Promise<Told> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) =>
      reject(new Error(`a worker ended with ${code}; its seeds: ${job.seeds}`))
    worker.once('exit', ended)
    worker.once('message', (told) => {
      worker.off('exit', ended)
      resolve(told as Told)
    })
    worker.send(job)
  })
}

function violationLines({ violations }: Awaited<ReturnType<typeof runSeed>>): string[] {
  return violations.map(({ property, atMs, message }) => `VIOLATION ${property} at ${atMs} ms: ${message}`)
}

function cpuSeconds(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1e6
}

function perSecond(count: number, seconds: number): number {
  return Math.round((10 * count) / seconds) / 10
}

const program = new Command('sim')
  .description('Tells simulated histories of failovers, one for each seed, and judges them.')
  .option('--seeds <number>', 'how many seeds', whole(1), 1_000)
  .option('--from <number>', 'the first seed', whole(0), 1)
  .option('--seed <number>', 'one seed alone, told in words', whole(0))
  .addOption(new Option('--story <name>', 'one story alone').choices(stories.map(({ name }) => name)))
  .option('--jobs <number>', 'how many processes', whole(1), availableParallelism())
  .option('--json', 'nothing but the summary')
  .action(async (options: Options) => {
    process.exitCode = options.seed === undefined ? await runAll(options) : await tellOne(options)
  })

await program.parseAsync()
