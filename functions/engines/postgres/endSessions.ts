/**
 * Ends the sessions of everybody else, behind a closed group that lets nobody in again, and measures the end of the log
 * after them: a replica that has received it has every commit that a client was told of.
 */
import type { ClusterConfig } from '../../core/types.ts'
import type { SqlResult } from '../../ports.ts'
import { type Operator, Refusal } from './operator.ts'
import { probeName } from './probe.ts'
import { primaryTimeline } from './query.ts'

/**
 * Without replication, whose senders are no client backends: they carry the log to the replica that is waited for.
 * Probes of our own observers go on, they write nothing that a client was told of; by role and by name, so that an
 * application that borrows the role is no probe. `rdsadmin` is RDS's own superuser, whom nobody else may end.
 */
const others = `from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
  and usename is distinct from 'rdsadmin'
  and not coalesce(usename = $1 and application_name = $2, false)`

export async function endSessions(operator: Operator, cluster: ClusterConfig): Promise<SqlResult> {
  await refuseUnlessAble(operator)
  const who = [cluster.connection.observerUser, probeName]
  let ended = 0
  for (;;) {
    ended += await endAll(operator, who)
    const measured = await measureEnd(operator)
    // Who came in meanwhile may have been told of a commit beyond it.
    if ((await count(operator, who)) > 0) continue
    const inside = await schedulers(operator)
    return {
      outcome: 'done',
      measurement: { ...measured, replayable: true, primaryConninfo: '', restoreCommand: '' },
      message: `${ended} sessions ended; the log ended at ${measured.positionBytes} after the last of them${inside}`,
    }
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

/** Until none is left: a backend goes when it next looks, which a busy one does late. */
async function endAll(operator: Operator, who: readonly string[]): Promise<number> {
  const ended = new Set<number>()
  await operator.until(async () => {
    const rows = await operator.read<{ pid: number }>(`select pid, pg_terminate_backend(pid) ${others}`, [
      ...who,
    ])
    for (const { pid } of rows) ended.add(pid)
    if (rows.length > 0) await operator.clock.sleep(10)
    return rows.length === 0
  }, 'sessions do not end')
  return ended.size
}

async function count(operator: Operator, who: readonly string[]): Promise<number> {
  const rows = await operator.read<{ n: number }>(`select count(*)::int as n ${others}`, [...who])
  return rows[0]?.n ?? 0
}

/**
 * A commit with `synchronous_commit = off` was told to its client before it was flushed: the inserted end counts, and
 * our own commit flushes everything before it.
 */
async function measureEnd(operator: Operator): Promise<{ timeline: number; positionBytes: number }> {
  const inserted = await operator.read<{ bytes: number }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as bytes`,
  )
  await operator.change(`select pg_logical_emit_message(true, 'understudy', '')`)
  const flushed = await operator.read<{ bytes: number; timeline: number }>(
    `select pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::float8 as bytes, ${primaryTimeline} as timeline`,
  )
  const [before, after] = [inserted[0]?.bytes, flushed[0]?.bytes]
  if (before === undefined || after === undefined || !(after >= before))
    throw new Error(`the log is flushed to ${after} and was written to ${before}`)
  return { timeline: flushed[0]?.timeline ?? 0, positionBytes: after }
}

/** Jobs need no session from outside: no group keeps them away, and a restart begins them again. */
async function schedulers(operator: Operator): Promise<string> {
  const rows = await operator.read<{ name: string }>(
    `select distinct backend_type as name from pg_stat_activity where backend_type like 'pg_cron%'`,
  )
  return rows.length === 0 ? '' : '; pg_cron may still run jobs inside the server'
}
