/**
 * `npm run bench`: the demo many times, each in a process of its own, and the distribution of what came of it. Shared
 * machines are noisy: quote medians, and compare only what ran in one go. The last line is one JSON object.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import Table from 'cli-table3'
import { Command, InvalidArgumentError, Option } from 'commander'
import { type DrillResult, faults } from '../local/drill.ts'

const count = (text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('must be a whole number above 0')
  return value
}

const options = new Command('bench')
  .description('Runs the demo many times and prints the distribution of the outage.')
  .option('--runs <n>', 'how many runs', count, 20)
  .addOption(new Option('--fault <fault>').choices(faults).default('kill'))
  .addOption(new Option('--fence <fence>').choices(['quorum', 'power']).default('quorum'))
  .option('--stop-seconds <seconds>', 'how long the stop of an instance takes', '20')
  .parse()
  .opts<{ runs: number; fault: string; fence: string; stopSeconds: string }>()

const measures = ['detectMs', 'confirmMs', 'fenceMs', 'promoteMs', 'repointMs', 'outageMs'] as const

async function run(): Promise<DrillResult> {
  const demo = new URL('../local/demo.ts', import.meta.url).pathname
  const flags = [
    '--json',
    '--fault',
    options.fault,
    '--fence',
    options.fence,
    '--stop-seconds',
    options.stopSeconds,
  ]
  const { stdout } = await promisify(execFile)(process.execPath, [demo, ...flags], { timeout: 300_000 })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
}

const results: DrillResult[] = []
let failed = 0
for (let n = 1; n <= options.runs; n++) {
  try {
    const result = await run()
    results.push(result)
    console.log(
      `run ${n}: outage ${result.outageMs} ms, lost ${result.lost}, two writers ${result.twoWriters}`,
    )
  } catch (error) {
    failed++
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    console.log(`run ${n}: FAILED ${stderr.trim()} ${stdout.trim().split('\n').at(-1)}`)
  }
}

const table = new Table({ head: ['measure', 'min', 'median', 'max'], style: { head: [], border: [] } })
const summary: Record<string, { min: number; median: number; max: number }> = {}
for (const measure of measures) {
  const values = results
    .map((result) => result[measure])
    .filter((value) => value !== null)
    .toSorted((a, b) => a - b)
  if (values.length === 0) continue
  const at = (part: number) => values[Math.min(values.length - 1, Math.floor(part * values.length))] ?? 0
  summary[measure] = { min: at(0), median: at(0.5), max: at(1) }
  table.push([measure, at(0), at(0.5), at(1)])
}
const total = (pick: (result: DrillResult) => number) =>
  results.reduce((sum, result) => sum + pick(result), 0)
console.log(table.toString())
console.log(
  JSON.stringify({
    ...{ runs: options.runs, failed, fault: options.fault, fence: options.fence },
    ...{
      acknowledged: total((each) => each.acknowledged),
      lost: total((each) => each.lost),
      twoWriters: total((each) => each.twoWriters),
    },
    ...summary,
  }),
)
process.exitCode = failed > 0 ? 1 : 0
