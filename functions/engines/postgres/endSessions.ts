/**
 * Ends the sessions of everybody else and measures the end of the log after them. Behind a closed group that lets nobody
 * in again, a replica that has received it has every commit that a client was told of.
 */
import type { ClusterConfig } from '../../core/types.ts'
import type { SqlResult } from '../../ports.ts'
import { type Operator, Refusal } from './operator.ts'
import { probeName } from './probe.ts'
import { primaryTimeline } from './query.ts'

/**
 * Without replication, whose senders are no client backends: they carry the log to the replica that is waited for.
 * Probes of our own observers go on, they write nothing that a client was told of; by role and by name, so that an
 * application that borrows the role is no probe. `rdsadmin` is RDS's own superuser, whom nobody else may end. Sessions of
 * our own role were ended when this one was opened (S4): a newer one is not to be met by a statement of an older one.
 */
const others = `from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
  and usename is distinct from 'rdsadmin' and usename is distinct from current_user
  and not coalesce(usename = $1 and application_name = $2, false)`

/** With `keepOutMs` clients may come back: it ends them for so long, and the measured end is behind what it met first. */
export async function endSessions(
  operator: Operator,
  cluster: ClusterConfig,
  keepOutMs?: number,
): Promise<SqlResult> {
  await refuseUnlessAble(operator)
  const who = [cluster.connection.observerUser, probeName]
  let ended = 0
  for (;;) {
    ended += await endAll(
      operator,
      who,
      keepOutMs === undefined ? isNobody : firstAreGone(operator, keepOutMs),
    )
    const measured = await measureEnd(operator)
    // Who came in meanwhile may have been told of a commit beyond it.
    if (keepOutMs === undefined && (await count(operator, who)) > 0) continue
    const inside = await schedulers(operator)
    return {
      outcome: 'done',
      measurement: { ...measured, replayable: true, primaryConninfo: '', restoreCommand: '' },
      message: `${ended} sessions ended; the log ended at ${measured.positionBytes} after the last of them${inside}`,
    }
  }
}

type IsOver = (left: readonly number[]) => boolean
const isNobody: IsOver = (left) => left.length === 0

function firstAreGone({ clock }: Operator, keepOutMs: number): IsOver {
  const untilMs = clock.monotonicMs() + keepOutMs
  let first: readonly number[] | undefined
  return (left) => {
    first ??= left
    return clock.monotonicMs() >= untilMs && !first.some((pid) => left.includes(pid))
  }
}

/** Who may not see the sessions of others finds none, which is no proof that there are none. */
async function refuseUnlessAble(operator: Operator): Promise<void> {
  const rows = await operator.read<{ recovery: boolean; sees: boolean; ends: boolean }>(
    `select pg_is_in_recovery() as recovery, pg_has_role('pg_read_all_stats', 'usage') as sees,
      pg_has_role('pg_signal_backend', 'usage') as ends`,
  )
  const { recovery, sees, ends } = rows[0] ?? { recovery: true, sees: false, ends: false }
  if (recovery) throw new Refusal('the node is in recovery: it has no writers to end')
  if (!sees || !ends)
    throw new Refusal(
      'the operator role needs pg_monitor and pg_signal_backend to end the sessions of others',
    )
}

/** Told again until it is over: a backend goes when it next looks, which a busy one does late. */
async function endAll(operator: Operator, who: readonly string[], isOver: IsOver): Promise<number> {
  const ended = new Set<number>()
  await operator.until(async () => {
    const rows = await operator.read<{ pid: number }>(`select pid, pg_terminate_backend(pid) ${others}`, [
      ...who,
    ])
    const left = rows.map(({ pid }) => pid)
    for (const pid of left) ended.add(pid)
    const over = isOver(left)
    if (!over) await operator.clock.sleep(10)
    return over
  }, 'sessions do not end')
  return ended.size
}

async function count(operator: Operator, who: readonly string[]): Promise<number> {
  const rows = await operator.read<{ n: number }>(`select count(*)::int as n ${others}`, [...who])
  return rows[0]?.n ?? 0
}

/** Longer than three of the delays with which the server's own writer flushes what nobody waits for. */
const flushMs = 1_000

/**
 * A commit with `synchronous_commit = off` was told to its client before it was flushed: the inserted end counts. It is
 * waited for until it is flushed, since only then it is sent to replicas; a commit of our own helps where nothing else
 * does, and only there: a replica that is cut off from here on would never have it, and need not (H26).
 */
async function measureEnd(operator: Operator): Promise<{ timeline: number; positionBytes: number }> {
  const inserted = await operator.read<{ bytes: number }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as bytes`,
  )
  const positionBytes = inserted[0]?.bytes ?? Number.NaN
  const flushed = async () => {
    const rows = await operator.read<{ bytes: number; timeline: number }>(
      `select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::float8 as bytes, ${primaryTimeline} as timeline`,
    )
    return rows[0] ?? { bytes: Number.NaN, timeline: 0 }
  }
  const untilMs = operator.clock.monotonicMs() + flushMs
  let end = await flushed()
  while (end.bytes < positionBytes && operator.clock.monotonicMs() < untilMs) {
    await operator.clock.sleep(20)
    end = await flushed()
  }
  if (end.bytes < positionBytes) {
    await operator.change(`select pg_logical_emit_message(true, 'understudy', '')`)
    end = await flushed()
  }
  if (!(end.bytes >= positionBytes))
    throw new Error(`the log is flushed to ${end.bytes} and was written to ${positionBytes}`)
  return { timeline: end.timeline, positionBytes }
}

/** Jobs need no session from outside: no group keeps them away, and a restart begins them again. */
async function schedulers(operator: Operator): Promise<string> {
  const rows = await operator.read<{ name: string }>(
    `select distinct backend_type as name from pg_stat_activity where backend_type like 'pg_cron%'`,
  )
  return rows.length === 0 ? '' : '; pg_cron may still run jobs inside the server'
}
