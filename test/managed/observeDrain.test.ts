/** H26: while a primary of RDS is drained, what observers write would look like a commit that is lost. */
import { expect, test } from 'vitest'
import type { ClusterState } from '../../functions/core/types.ts'
import { observe } from '../../functions/observe.ts'
import type { Engine, ProbeSession, Store } from '../../functions/ports.ts'
import { primaryRow, standbyRow } from '../core/build.ts'
import { rdsFleet } from './rdsWorld.ts'

/** Whether each probe of the primary wrote, in order, at the time when the loop made it. */
async function writesOf(stateAt: (nowMs: number) => Partial<ClusterState>, untilMs: number) {
  let nowMs = 0
  const probes: { atMs: number; writes: boolean }[] = []
  const session = (isPrimary: boolean): ProbeSession => ({
    probe: async ({ writeProbe }) => {
      if (isPrimary) probes.push({ atMs: nowMs, writes: writeProbe })
      const row = isPrimary ? primaryRow() : standbyRow()
      return { kind: 'answered', row: { ...row, writeProbe: writeProbe ? 'ok' : 'skipped' } }
    },
    close: () => undefined,
  })
  const store: Pick<Store, 'readState' | 'readReports' | 'writeReport'> = {
    readState: async () => ({ kind: 'found', value: stateAt(nowMs) as ClusterState }),
    readReports: async () => new Map(),
    writeReport: async () => 'written',
  }
  const engine: Pick<Engine, 'openSession'> = { openSession: (_cluster, { id }) => session(id === 'a') }
  await observe({
    fleet: rdsFleet({}),
    observer: 'x',
    store: store as Store,
    engine: () => engine as Engine,
    clock: {
      monotonicMs: () => nowMs,
      wallMs: () => nowMs,
      sleep: async (ms) => {
        nowMs += Math.max(ms, 1)
      },
    },
    logger: { info() {}, warn() {}, error() {} } as never,
    canary: async () => true,
    remainingMs: () => 10_000 + untilMs - nowMs,
    token: 1,
    holder: 'x',
  })
  return probes
}

const steady = { primary: 'a', phase: 'steady', plan: null } as Partial<ClusterState>
const drained = {
  primary: 'a',
  phase: 'fencing',
  plan: { network: { a: {} } },
} as unknown as Partial<ClusterState>

test('H26 write probes stop within six seconds of the drain, and come back after it', async () => {
  const probes = await writesOf((nowMs) => (nowMs >= 20_000 && nowMs < 60_000 ? drained : steady), 90_000)
  const at = (fromMs: number, toMs: number) =>
    probes.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).map(({ writes }) => writes)
  expect(at(2_000, 20_000)).toContain(true)
  expect(at(26_000, 60_000)).not.toContain(true)
  expect(at(66_000, 90_000)).toContain(true)
})
