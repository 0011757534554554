/** S10: the age of what a replica had is not forgotten when one invocation of an observer hands over to the next. */
import { expect, test } from 'vitest'
import type { ClusterState, ProbeOutcome, Report } from '../../functions/core/types.ts'
import { observe } from '../../functions/observe.ts'
import type { Engine, ProbeSession, Store } from '../../functions/ports.ts'
import { primaryRow, standbyRow } from '../core/build.ts'
import { rdsFleet } from './rdsWorld.ts'

const diedAtMs = 30_000
const handedOverAtMs = 60_000
const refused: ProbeOutcome = { kind: 'refused', message: 'dead' }

/** One observer, two invocations that overlap; the primary dies half a minute before the second one begins. */
async function handOver(bounded: boolean, silentFromMs = Number.POSITIVE_INFINITY): Promise<Report[]> {
  let nowMs = 0
  const sleepers: { atMs: number; wake: () => void }[] = []
  const written: { report: Report; atMs: number }[] = []
  const sessionOf = (isPrimary: boolean): ProbeSession => ({
    probe: async () =>
      isPrimary
        ? nowMs < diedAtMs
          ? { kind: 'answered', row: primaryRow() }
          : refused
        : { kind: 'answered', row: standbyRow() },
    close: () => undefined,
  })
  const state = { primary: 'a', phase: 'steady', plan: null } as unknown as ClusterState
  const storeOf = (token: number): Pick<Store, 'readState' | 'readReports' | 'writeReport'> => ({
    readState: async () => ({ kind: 'found', value: state }),
    readReports: async () => {
      const last = written.at(-1)
      return new Map(last ? [['x', { kind: 'found' as const, value: last.report }]] : [])
    },
    writeReport: async (report) => {
      if (token === 1 && nowMs >= silentFromMs) return 'unknown'
      if ((written.at(-1)?.report.token ?? 0) > report.token) return 'lost'
      written.push({ report, atMs: nowMs })
      return 'written'
    },
  })
  const engine: Pick<Engine, 'openSession'> = { openSession: (_cluster, { id }) => sessionOf(id === 'a') }
  const loss = bounded ? ({ mode: 'bounded', seconds: 60 } as const) : ({ mode: 'availability' } as const)
  const clock = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    sleep: (ms: number) =>
      new Promise<void>((wake) => void sleepers.push({ atMs: nowMs + Math.max(ms, 1), wake })),
  }
  const run = (token: number) =>
    observe({
      ...{ fleet: rdsFleet({ policy: { loss } }), observer: 'x', store: storeOf(token) as Store },
      ...{ engine: () => engine as Engine, clock, canary: async () => true, token, holder: `x${token}` },
      ...{ logger: { info() {}, warn() {}, error() {} } as never, remainingMs: () => 130_000 - nowMs },
    })
  const loops = [run(1)]
  while (nowMs < 90_000) {
    // Whatever can go on at this time does, before the time does.
    await new Promise((resolve) => setImmediate(resolve))
    const next = sleepers.sort((a, b) => a.atMs - b.atMs).shift()
    if (next === undefined) break
    if (nowMs < handedOverAtMs && next.atMs >= handedOverAtMs) loops.push(run(2))
    nowMs = next.atMs
    next.wake()
  }
  return written.map(({ report }) => report)
}

const agesOf = (reports: readonly Report[], token: number) =>
  reports.filter((report) => report.token === token).map(({ nodes }) => nodes.b?.caughtUpAgeMs ?? null)

test('S10 the next invocation goes on counting from what the last one knew, and never says less', async () => {
  const ages = agesOf(await handOver(true), 2)
  expect(ages.length).toBeGreaterThan(3)
  for (const age of ages) expect(age).toBeGreaterThanOrEqual(handedOverAtMs - diedAtMs)
  expect(ages[0]).toBeLessThan(handedOverAtMs - diedAtMs + 10_000)
  expect(ages).toEqual(ages.toSorted((a, b) => Number(a) - Number(b)))
})

test('S3 a report that was there before the next invocation began has no known age: nothing is taken from it', async () => {
  const ages = agesOf(await handOver(true, handedOverAtMs - 5_000), 2)
  expect(ages.length).toBeGreaterThan(3)
  expect(new Set(ages)).toEqual(new Set([null]))
})
