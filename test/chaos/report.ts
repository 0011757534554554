/** What a run says: a line for each round, a table and one JSON object at the end. */
import Table from 'cli-table3'
import { describeFault } from './plan.ts'
import { isHeld, type RoundResult, wholeWithinMs, writableWithinMs } from './result.ts'

/** What `npm run chaos` prints last. */
export interface Summary {
  readonly seed: number
  readonly rounds: number
  readonly acknowledged: number
  readonly lost: number
  readonly unexpected: number
  /** Rounds in which two servers acknowledged writes. */
  readonly twoWriters: number
  /** What was no order of compare-and-sets. */
  readonly disorder: number
  /** Rounds that were not writable, or not whole, in time after healing. */
  readonly notWritable: number
  readonly notWhole: number
  readonly failovers: number
  /** Part of the time in which writes were acknowledged, from 0 to 1. */
  readonly availability: number
  /** Every time without an acknowledged write, shortest first. */
  readonly outagesMs: readonly number[]
  readonly recoveryMs: { readonly median: number; readonly max: number }
  readonly folder: string
}

export function summarise(seed: number, results: readonly RoundResult[], folder: string): Summary {
  const sum = (count: (result: RoundResult) => number) =>
    results.reduce((total, each) => total + count(each), 0)
  const recovery = sorted(results.flatMap(({ writableMs }) => writableMs ?? []))
  return {
    seed,
    rounds: results.length,
    acknowledged: sum(({ verdict }) => verdict.acknowledged),
    lost: sum(({ verdict, vanished }) => verdict.lost.length + vanished),
    unexpected: sum(({ verdict }) => verdict.unexpected.length),
    twoWriters: sum(({ verdict }) => (verdict.twoWriters.length > 0 ? 1 : 0)),
    disorder: sum(({ verdict }) => verdict.disorder.length),
    notWritable: sum(({ writableMs }) => (writableMs === null ? 1 : 0)),
    notWhole: sum(({ wholeMs }) => (wholeMs === null ? 1 : 0)),
    failovers: sum(({ failovers }) => failovers),
    availability: round4(sum(({ availability }) => availability) / Math.max(1, results.length)),
    outagesMs: sorted(
      results.flatMap(({ outages }) => outages.map(({ fromMs, toMs }) => Math.round(toMs - fromMs))),
    ),
    recoveryMs: { median: quantile(recovery, 0.5), max: quantile(recovery, 1) },
    folder,
  }
}

const width = 80
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`

export function roundHeader(): string {
  return row('round', 'outage', 'avail', 'whole', 'term', 'faults')
}

/** One line of a terminal. The outage is the sum of the round's. */
export function roundLine(result: RoundResult): string {
  const { outages, availability, wholeMs, planned } = result
  const outageMs = outages.reduce((total, { fromMs, toMs }) => total + toMs - fromMs, 0)
  const mark = isHeld(result) ? '' : ' FAILED'
  return row(
    `${result.round}${mark}`,
    seconds(outageMs),
    `${(availability * 100).toFixed(1)} %`,
    wholeMs === null ? 'no' : seconds(wholeMs),
    String(result.term),
    planned.map(describeFault).join(', '),
  )
}

function row(
  round: string,
  outage: string,
  avail: string,
  whole: string,
  term: string,
  faults: string,
): string {
  const line = `${round.padStart(5)} ${outage.padStart(7)} ${avail.padStart(8)} ${whole.padStart(7)} ${term.padStart(5)}  ${faults}`
  return line.length > width ? `${line.slice(0, width - 1)}…` : line
}

/** In words, what was wrong in a round. */
export function problemsOf(result: RoundResult): string[] {
  const { verdict, vanished, writableMs, wholeMs, missing } = result
  const listed = (what: string, items: readonly string[]) =>
    items.length > 0
      ? [`${what}: ${items.slice(0, 5).join('; ')}${items.length > 5 ? ` and ${items.length - 5} more` : ''}`]
      : []
  return [
    ...listed('acknowledged and lost', verdict.lost),
    ...listed('there, and never attempted or known to have failed', verdict.unexpected),
    ...listed('two writers', verdict.twoWriters),
    ...listed('no order of compare-and-sets', verdict.disorder),
    ...(vanished > 0 ? [`${vanished} rows of earlier rounds are not there any more`] : []),
    ...(writableMs === null ? ['not writable in time after healing'] : []),
    ...(wholeMs === null ? [`not whole in time after healing; it lacks ${missing}`] : []),
  ]
}

export function summaryTable(summary: Summary): string {
  const table = new Table({ style: { head: [], border: [] }, colAligns: ['left', 'right'] })
  const { outagesMs } = summary
  const at = (part: number) => seconds(quantile(outagesMs, part))
  table.push(
    ['rounds', summary.rounds],
    ['failovers and switchovers', summary.failovers],
    ['acknowledged writes', summary.acknowledged],
    ['acknowledged writes lost', summary.lost],
    ['unexpected writes', summary.unexpected],
    ['rounds with two writers', summary.twoWriters],
    [`rounds not writable in ${writableWithinMs / 1000} s after healing`, summary.notWritable],
    [`rounds not whole in ${wholeWithinMs / 1000} s after healing`, summary.notWhole],
    ['availability', `${(summary.availability * 100).toFixed(2)} %`],
    ['outages', outagesMs.length],
    ['outage: median, 90 %, longest', `${at(0.5)}, ${at(0.9)}, ${at(1)}`],
    [
      'writable after healing: median, longest',
      `${seconds(summary.recoveryMs.median)}, ${seconds(summary.recoveryMs.max)}`,
    ],
  )
  return table.toString()
}

function sorted(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}

function quantile(ascending: readonly number[], part: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(part * ascending.length))] ?? 0
}

function round4(value: number): number {
  return Math.round(value * 1e4) / 1e4
}
