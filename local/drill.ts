/**
 * One fault on the embedded cluster, from the healthy state to the healthy state, measured from outside: by clients
 * that write, and by the states that were written. The demo shows it; the end-to-end tests assert on it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterState, EngineName, NodeId, Phase, Policy } from '../functions/core/types.ts'
import { type Fault, faults } from './databases.ts'
import { clusterId, type Embedded, endpointName } from './embedded.ts'
import { type Acknowledged, monotonicMs, Writer } from './writer.ts'

export { type Fault, faults }

/** What came of it. Times in milliseconds; null: did not happen. */
export interface DrillResult {
  readonly engine: EngineName
  readonly fault: Fault
  readonly fence: Policy['fence']
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
  /** From the oldest lost one to the last that the old primary acknowledged; 0 when none is lost. */
  readonly lostMs: number
  /** What the policy allows of that: 0 with loss `never`; null: any. */
  readonly lossBoundMs: number | null
  /** Writes that another node than the new primary acknowledged after the new primary's first. */
  readonly twoWriters: number
  readonly failedOver: boolean
  readonly term: number
  readonly primary: NodeId
  readonly nodes: Readonly<Record<NodeId, string>>
  /** Servers that stream from the primary at the end, and how many should. */
  readonly streaming: number
  readonly followers: number
  /** From the fault to a redundant cluster. */
  readonly redundantMs: number | null
}

const thawAfterMs = 6_000
/** How long after a restart a wrong failover would have begun: the hold and a few ticks, generously. */
const calmMs = 5_000

/** Creates what the clients write to. */
export async function prepare(embedded: Embedded): Promise<void> {
  await embedded.databases.query(
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
    /** What has gone wrong before the fault: called once the clients write. */
    before?: () => Promise<void>
    /** How long they go on until the fault. */
    writeForMs?: number
    onStart?: (atMs: number, primary: NodeId) => void
  },
): Promise<DrillResult> {
  const before = required(embedded.state)
  await prepare(embedded)
  const { port, resolver } = embedded
  const address = embedded.databases.addressOf(before.primary)
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
    await options.before?.()
    await delay(options.writeForMs ?? 1_000)
    const startMs = monotonicMs()
    options.onStart?.(startMs, before.primary)
    const faultMs = (await begin(embedded, options.fault, before.primary)) ?? startMs
    await aftermath(embedded, options.fault, before, client, faultMs)
    const redundantMs = monotonicMs() - faultMs
    await delay(300)
    await Promise.all([client.stop(), pinned.stop()])
    return await resultOf(embedded, { ...options, before, faultMs, redundantMs, client, pinned })
  } finally {
    await Promise.all([client.stop(), pinned.stop()])
  }
}

/** Resolves with the time of the fault, where that is not the time of the call. */
async function begin(embedded: Embedded, fault: Fault, primary: NodeId): Promise<number | undefined> {
  if (fault !== 'switchover') return await embedded.databases.inflict(fault, primary)
  const order = { command: 'switchover', cluster: clusterId, by: 'drill', reason: 'a drill' }
  const answer = await embedded.command(order)
  if (answer.outcome !== 'done') throw new Error(`the switchover was refused: ${JSON.stringify(answer)}`)
  return undefined
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
    await embedded.databases.thaw(before.primary)
  }
  await embedded.until((state) => state.term > before.term && state.primary !== before.primary)
  await writesAfter(client, faultMs)
  if (fault === 'kill') await embedded.databases.heal?.(before.primary)
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
  const address = embedded.databases.addressOf(state.primary)
  const first = firstAfter(client.acknowledged, faultMs, failedOver ? address : undefined)
  const at = (phase: Phase) =>
    embedded.history.find(
      (seen) => seen.atMs > faultMs && seen.state.phase === phase && seen.state.term > before.term,
    )?.atMs
  const span = (from: number | undefined, to: number | undefined) =>
    failedOver && from !== undefined && to !== undefined ? round(to - from) : null
  const acknowledged = [...client.acknowledged, ...pinned.acknowledged]
  const late =
    first === undefined
      ? []
      : acknowledged.filter((each) => failedOver && each.atMs > first.atMs && each.address !== first.address)
  const { policy, engine } = embedded.config
  const lost = [...(await missing(embedded, 'name', client)), ...(await missing(embedded, 'pinned', pinned))]
  const byOld = acknowledged.filter((each) => !failedOver || each.address !== address)
  return {
    engine,
    fault: run.fault,
    fence: policy.fence,
    detectMs: span(faultMs, at('confirming')),
    confirmMs: span(at('confirming'), at('fencing')),
    fenceMs: span(at('fencing'), at('promoting')),
    promoteMs: span(at('promoting'), at('repointing')),
    repointMs: span(at('repointing'), at('settling')),
    outageMs: first === undefined ? null : round(first.atMs - faultMs),
    acknowledged: acknowledged.length,
    lost: lost.length,
    lostMs: lost.length === 0 ? 0 : round(Math.max(...times(byOld)) - Math.min(...times(lost))),
    // What is planned loses nothing.
    lossBoundMs: run.fault === 'switchover' ? 0 : lossBoundMs(policy),
    twoWriters: late.length,
    failedOver,
    term: state.term,
    primary: state.primary,
    nodes: Object.fromEntries(Object.entries(state.nodes).map(([id, node]) => [id, node.role])),
    streaming: await countStreaming(embedded, state.primary),
    followers: embedded.databases.followers,
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

/** Acknowledged, and absent from the present primary. */
async function missing(embedded: Embedded, writer: string, client: Writer): Promise<Acknowledged[]> {
  const rows = await embedded.databases.query<{ n: string }>(
    required(embedded.state).primary,
    'select n from counter where writer = $1',
    [writer],
    'app',
  )
  const present = new Set(rows.map((row) => Number(row.n)))
  return client.acknowledged.filter((each) => !present.has(each.n))
}

async function countStreaming(embedded: Embedded, primary: NodeId): Promise<number> {
  const text = `select count(*)::int as n from pg_stat_replication where state = 'streaming'`
  const [row] = await embedded.databases.query<{ n: number }>(primary, text)
  return row?.n ?? 0
}

function lossBoundMs({ loss }: Policy): number | null {
  if (loss.mode === 'never') return 0
  return loss.mode === 'bounded' ? loss.seconds * 1000 : null
}

const times = (acknowledged: readonly Acknowledged[]) => acknowledged.map(({ atMs }) => atMs)
const round = (ms: number) => Math.round(ms * 10) / 10

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the cluster is not adopted')
  return value
}
