/** One round: healthy, faults, healed, writable and whole again, judged. */

import { Resolver } from 'node:dns/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import type { ClusterState } from '../../functions/core/types.ts'
import { type Embedded, endpointName } from '../../local/embedded.ts'
import { monotonicMs } from '../../local/writer.ts'
import { check, type Final, outagesOf } from './checker.ts'
import { type FaultEvent, Faults } from './faults.ts'
import type { Network } from './network.ts'
import type { Planned } from './plan.ts'
import { type RoundResult, wholeWithinMs, writableWithinMs } from './result.ts'
import type { NodeId, Servers } from './servers.ts'
import type { Workload } from './workload.ts'

/** An operator starts whatever is dead when nobody can write for so long after healing. */
const operatorAfterMs = 20_000
/** Clients write this long before the first fault, and after everything is whole. */
const calmMs = 500
/** How many rounds' rows are kept, to see that a later fault does not take them back. */
const roundsKept = 10

/** A round's line in the history. */
export type Line = { readonly kind: string; readonly atMs?: number; readonly [key: string]: unknown }

export interface Surroundings {
  readonly servers: Servers
  readonly network: Network
  readonly workload: Workload
  /** Rows of earlier rounds as they were when those ended. */
  readonly ledger: Map<number, number>
  readonly record: (line: Line) => void
  /** Times which everything may last longer than its bound, for machines that are busy with something else. */
  readonly patience: number
}

export async function prepare(embedded: Embedded): Promise<void> {
  await embedded.databases.query(
    primaryOf(embedded),
    `create table ids (id text primary key, round int not null);
     create table registers (register text primary key, round int not null, version int not null);
     create table versions (register text, version int, id text not null, round int not null);
     create index on ids (round); create index on versions (round);
     grant all on ids, registers, versions to app`,
    [],
    'app',
  )
}

export async function runRound(
  around: Surroundings,
  plan: { readonly round: number; readonly planned: readonly Planned[]; readonly stopSeconds: number },
): Promise<RoundResult> {
  const { round, planned, stopSeconds } = plan
  const { servers, network, workload, record } = around
  const { embedded } = servers
  const firstState = embedded.history.length
  const before = present(embedded)
  const registers = [1, 2, 3].map((n) => `${round}.r${n}`)
  await embedded.databases.query(
    before.primary,
    `insert into registers select unnest($1::text[]), $2, 0`,
    [registers, round],
    'app',
  )
  embedded.aws.ec2.stopSeconds = stopSeconds
  workload.start(round, registers)
  await untilWritten(around, 20)
  const startMs = monotonicMs()
  await sleep(calmMs)
  const faults = new Faults(servers, network, (event: FaultEvent) => record({ kind: 'fault', ...event }))
  await faults.carryOut(planned)
  const healedMs = monotonicMs()
  record({ kind: 'healed', atMs: healedMs })
  const recovered = await recover(around, faults, healedMs)
  if (recovered.missing === null) await sleep(calmMs)
  const endMs = monotonicMs()
  await workload.stop()
  const { operations } = workload
  for (const { atMs, state } of embedded.history.slice(firstState))
    record({ kind: 'state', atMs, ...shown(state) })
  for (const operation of operations) record({ kind: 'operation', operation })
  // A cluster that did not recover may have no primary to be asked.
  const isWhole = recovered.wholeMs !== null
  const left = isWhole ? await ask(embedded, round, around.ledger) : { final: null, vanished: 0 }
  record({ kind: 'left', ...left })
  const outages = outagesOf(operations, startMs, endMs)
  const downMs = outages.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0)
  const after = present(embedded)
  const result: RoundResult = {
    round,
    planned,
    verdict: check(operations, left.final),
    vanished: left.vanished,
    outages,
    availability: 1 - downMs / (endMs - startMs),
    ...recovered,
    term: after.term,
    failovers: primaries(embedded, firstState),
  }
  record({ kind: 'result', ...result })
  return result
}

function primaryOf(embedded: Embedded): NodeId {
  return present(embedded).primary as NodeId
}

function present({ state }: Embedded): ClusterState {
  if (!state) throw new Error('the cluster is not adopted')
  return state
}

/** How often another node became the primary. */
function primaries({ history }: Embedded, from: number): number {
  const names = history.slice(Math.max(0, from - 1)).map(({ state }) => state.primary)
  return names.filter((name, at) => at > 0 && name !== names[at - 1]).length
}

function shown({ version, term, phase, primary, nodes, claim, plan, lastEvent }: ClusterState) {
  return { version, term, phase, primary, nodes, claim, target: plan?.target ?? null, event: lastEvent }
}

/** Every client that asks the name has been acknowledged something. */
async function untilWritten({ workload, patience }: Surroundings, times: number): Promise<void> {
  const deadlineMs = monotonicMs() + 30_000 * patience
  while (workload.operations.filter(({ outcome }) => outcome === 'ok').length < times) {
    if (monotonicMs() > deadlineMs) throw new Error('the clients can not write before the faults')
    await sleep(20)
  }
}

async function recover(
  { servers: { embedded }, workload, patience }: Surroundings,
  faults: Faults,
  healedMs: number,
): Promise<Pick<RoundResult, 'writableMs' | 'wholeMs' | 'missing'>> {
  for (;;) {
    const first = workload.operations.find(
      ({ outcome, byName, invokedMs }) => outcome === 'ok' && byName && invokedMs > healedMs,
    )
    const writableMs = first ? Math.round(first.completedMs - healedMs) : null
    const missing = first ? await lacks(embedded) : 'a write through the name'
    const sinceMs = Math.round(monotonicMs() - healedMs)
    if (missing === null) return { writableMs, wholeMs: sinceMs, missing }
    const mostMs = patience * (first ? wholeWithinMs : writableWithinMs)
    if (sinceMs > mostMs) return { writableMs, wholeMs: null, missing }
    await faults.tend(!first && sinceMs > operatorAfterMs)
    await sleep(100)
  }
}

/** What a whole cluster has and this one has not; null: nothing. */
async function lacks(embedded: Embedded): Promise<string | null> {
  const { phase, plan, primary, nodes, synchronous, lastEvent } = present(embedded)
  if (phase !== 'steady' || plan !== null) return `phase ${phase}: ${lastEvent.message}`
  if (synchronous.status !== 'provable') return `a provable synchronous set (${synchronous.status})`
  const unfenced = Object.entries(nodes).filter(
    ([id, node]) => id !== primary && (node.fenced || node.role !== 'standby'),
  )
  if (unfenced.length > 0) return `standbys: ${unfenced.map(([id, { role }]) => `${id} is ${role}`)}`
  try {
    const rows = await embedded.databases.query(
      primary,
      `select from pg_stat_replication where state = 'streaming' and sync_state = 'quorum'`,
    )
    if (rows.length !== 2) return `${2 - rows.length} standbys that stream and are listed`
  } catch (error) {
    return `a primary that answers (${(error as Error).message})`
  }
  const resolver = new Resolver({ timeout: 500, tries: 1 })
  resolver.setServers([embedded.resolver])
  const addresses = await resolver.resolve4(endpointName).catch(() => [])
  return addresses[0] === embedded.databases.addressOf(primary) ? null : `the name of ${primary}`
}

async function ask(embedded: Embedded, round: number, ledger: Map<number, number>) {
  const client = await embedded.postgres.connect(primaryOf(embedded), 'postgres', 'app')
  try {
    return { final: await readFinal(client, round), vanished: await vanished(client, ledger, round) }
  } finally {
    await client.end()
  }
}

/**
 * What the primary has when nobody writes any more. Sessions whose client is gone may still wait for a standby: they
 * are ended first, which leaves their commit there; nobody was told of it.
 */
async function readFinal(client: Client, round: number): Promise<Final> {
  const deadlineMs = monotonicMs() + 10_000
  const sessions = `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'`
  while ((await client.query(sessions)).rows.length > 0) {
    if (monotonicMs() > deadlineMs) throw new Error('sessions of clients do not end')
    await sleep(20)
  }
  const read = async <Row extends object>(text: string) => (await client.query<Row>(text, [round])).rows
  const ids = await read<{ id: string }>('select id from ids where round = $1')
  return {
    ids: ids.map(({ id }) => id),
    versions: await read('select register, version, id from versions where round = $1'),
    registers: await read('select register, version from registers where round = $1'),
  }
}

/** Compares earlier rounds with what the ledger says of them, and enters this one. */
async function vanished(client: Client, ledger: Map<number, number>, round: number): Promise<number> {
  const counted = await client.query<{ round: number; rows: number }>(
    `select round, count(*)::int as rows
       from (select round from ids union all select round from versions) as each group by 1`,
  )
  const now = new Map(counted.rows.map((each) => [each.round, each.rows]))
  let missing = 0
  for (const [earlier, rows] of ledger) missing += Math.max(0, rows - (now.get(earlier) ?? 0))
  ledger.set(round, now.get(round) ?? 0)
  const old = round - roundsKept
  if (ledger.delete(old)) {
    for (const table of ['ids', 'versions', 'registers'])
      await client.query(`delete from ${table} where round = $1`, [old])
  }
  return missing
}
