/**
 * One fault on the embedded cluster, from the healthy state to the healthy state, measured from outside: by clients
 * that write, and by the states that were written. The demo shows it; the end-to-end tests assert on it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterState, NodeId, Phase } from '../functions/core/types.ts'
import { type Embedded, endpointName } from './embedded.ts'
import { type Acknowledged, monotonicMs, Writer } from './writer.ts'

export const faults = ['kill', 'freeze', 'restart'] as const
export type Fault = (typeof faults)[number]

/** What came of it. Times in milliseconds; null: did not happen. */
export interface DrillResult {
  readonly fault: Fault
  readonly fence: 'quorum' | 'power'
  /** From the fault to the claim, and then each step by itself. */
  readonly detectMs: number | null
  readonly confirmMs: number | null
  readonly fenceMs: number | null
  readonly promoteMs: number | null
  readonly repointMs: number | null
  /** From the fault to the first write that was acknowledged through the name afterwards. */
  readonly outageMs: number | null
  readonly acknowledged: number
  /** Acknowledged, and absent from the primary at the end. */
  readonly lost: number
  /** Writes that another node than the new primary acknowledged after the new primary's first. */
  readonly twoWriters: number
  readonly failedOver: boolean
  readonly term: number
  readonly primary: NodeId
  readonly nodes: Readonly<Record<NodeId, string>>
  /** From the fault to a redundant cluster. */
  readonly redundantMs: number | null
}

const thawAfterMs = 6_000
/** How long after a restart a wrong failover would have begun: the hold and a few ticks, generously. */
const calmMs = 5_000

/** Creates what the clients write to. */
export async function prepare(embedded: Embedded): Promise<void> {
  await embedded.postgres.query(
    embedded.state?.primary ?? 'a',
    `create table if not exists counter (writer text, n bigint, at timestamptz default clock_timestamp(), primary key (writer, n));
     truncate counter; grant all on counter to app`,
    [],
    'app',
  )
}

/** `onStart` is told the monotonic time of the fault. */
export async function drill(
  embedded: Embedded,
  options: {
    fault: Fault
    fence: 'quorum' | 'power'
    writeForMs?: number
    onStart?: (atMs: number, primary: NodeId) => void
  },
): Promise<DrillResult> {
  const before = required(embedded.state)
  await prepare(embedded)
  const { port, resolver } = embedded
  const address = embedded.postgres.servers.get(before.primary)?.address ?? ''
  const timing = { everyMs: 5, patienceMs: 500, port }
  const client = new Writer({ ...timing, via: { name: endpointName, resolver }, writer: 'name' })
  // A client that never asks the name again: what it is told by the old primary must be true, or not be told at all.
  const pinned = new Writer({ ...timing, everyMs: 50, via: { address }, writer: 'pinned' })
  try {
    const warmMs = monotonicMs() + 60_000
    while (client.acknowledged.length < 50 || pinned.acknowledged.length < 10) {
      if (monotonicMs() > warmMs) throw new Error('the clients could not write before the fault')
      await delay(20)
    }
    await delay(options.writeForMs ?? 1_000)
    const faultMs = monotonicMs()
    options.onStart?.(faultMs, before.primary)
    await inflict(embedded, options.fault, before.primary)
    await aftermath(embedded, options.fault, before, client, faultMs)
    const redundantMs = monotonicMs() - faultMs
    await delay(300)
    await Promise.all([client.stop(), pinned.stop()])
    return await resultOf(embedded, { ...options, before, faultMs, redundantMs, client, pinned })
  } finally {
    await Promise.all([client.stop(), pinned.stop()])
  }
}

async function inflict(embedded: Embedded, fault: Fault, primary: NodeId): Promise<void> {
  const server = required(embedded.postgres.servers.get(primary))
  if (fault === 'kill') await server.kill()
  else if (fault === 'restart') await server.restart('fast')
  else await server.freeze()
}

/** Waits until writes are back and the cluster is redundant; thaws what was frozen while its stop is under way. */
async function aftermath(
  embedded: Embedded,
  fault: Fault,
  before: ClusterState,
  client: Writer,
  faultMs: number,
): Promise<void> {
  if (fault === 'restart') {
    await writesAfter(client, faultMs)
    await delay(calmMs)
    return
  }
  if (fault === 'freeze') {
    await delay(Math.max(0, faultMs + thawAfterMs - monotonicMs()))
    await embedded.postgres.servers.get(before.primary)?.thaw()
  }
  await embedded.until((state) => state.term > before.term && state.primary !== before.primary)
  await writesAfter(client, faultMs)
  await embedded.until((state) => state.phase === 'steady', 180_000)
}

async function writesAfter(client: Writer, atMs: number): Promise<void> {
  const deadlineMs = monotonicMs() + 120_000
  while (!client.acknowledged.some((each) => each.atMs > atMs + 1)) {
    if (monotonicMs() > deadlineMs) throw new Error('no write was acknowledged after the fault')
    await delay(10)
  }
}

async function resultOf(
  embedded: Embedded,
  run: {
    fault: Fault
    fence: 'quorum' | 'power'
    before: ClusterState
    faultMs: number
    redundantMs: number
    client: Writer
    pinned: Writer
  },
): Promise<DrillResult> {
  const { before, faultMs, client, pinned } = run
  const state = required(embedded.state)
  const failedOver = state.primary !== before.primary
  const first = firstAfter(
    client.acknowledged,
    faultMs,
    failedOver ? embedded.postgres.servers.get(state.primary)?.address : undefined,
  )
  const at = (phase: Phase) =>
    embedded.history.find(
      (seen) => seen.atMs > faultMs && seen.state.phase === phase && seen.state.term > before.term,
    )?.atMs
  const span = (from: number | undefined, to: number | undefined) =>
    failedOver && from !== undefined && to !== undefined ? round(to - from) : null
  const late =
    first === undefined
      ? []
      : [...client.acknowledged, ...pinned.acknowledged].filter(
          (each) => failedOver && each.atMs > first.atMs && each.address !== first.address,
        )
  return {
    fault: run.fault,
    fence: run.fence,
    detectMs: span(faultMs, at('confirming')),
    confirmMs: span(at('confirming'), at('fencing')),
    fenceMs: span(at('fencing'), at('promoting')),
    promoteMs: span(at('promoting'), at('repointing')),
    repointMs: span(at('repointing'), at('settling')),
    outageMs: first === undefined ? null : round(first.atMs - faultMs),
    acknowledged: client.acknowledged.length + pinned.acknowledged.length,
    lost: (await missing(embedded, 'name', client)) + (await missing(embedded, 'pinned', pinned)),
    twoWriters: late.length,
    failedOver,
    term: state.term,
    primary: state.primary,
    nodes: Object.fromEntries(Object.entries(state.nodes).map(([id, node]) => [id, node.role])),
    redundantMs: run.fault === 'restart' ? null : round(run.redundantMs),
  }
}

/** The first write of a client that was acknowledged after the fault: by the new primary, where there is one. */
function firstAfter(
  acknowledged: readonly Acknowledged[],
  faultMs: number,
  address: string | undefined,
): Acknowledged | undefined {
  return acknowledged.find(
    (each) => each.atMs > faultMs && (address === undefined || each.address === address),
  )
}

async function missing(embedded: Embedded, writer: string, client: Writer): Promise<number> {
  const rows = await embedded.postgres.query<{ n: string }>(
    required(embedded.state).primary,
    'select n from counter where writer = $1',
    [writer],
    'app',
  )
  const present = new Set(rows.map((row) => Number(row.n)))
  return client.acknowledged.filter((each) => !present.has(each.n)).length
}

const round = (ms: number) => Math.round(ms * 10) / 10

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the cluster is not adopted')
  return value
}
