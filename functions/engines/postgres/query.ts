/** The one query of a probe, and how its answer becomes a `ProbeRow`. */
import type { Downstream, ProbeRow, Upstream } from '../../core/types.ts'
import { parseFreeze, withoutSecrets } from './conninfo.ts'

/** Settings that cost time in a failover, or make a rejoin slower; as `SHOW` gives them. */
const settingNames = [
  'wal_retrieve_retry_interval',
  'wal_receiver_status_interval',
  'wal_receiver_timeout',
  'wal_sender_timeout',
  'wal_keep_size',
  'max_wal_senders',
  'hot_standby',
  'wal_log_hints',
  'full_page_writes',
  'primary_slot_name',
  'data_checksums',
] as const

const bytes = (lsn: string) => `pg_wal_lsn_diff(${lsn}, '0/0')`

/**
 * Timeline of a standby. With a receiver: the one it receives. Without (frozen, or its upstream is away): the newest of
 * the control file's (which lags to the last restart point), of the point that recovery must reach, and of the WAL
 * segments on disk; history files do not count, a diverged standby fetches those of timelines that it never enters.
 */
export const standbyTimeline = `coalesce(
  (select r.received_tli from pg_stat_wal_receiver r where r.received_tli > 0),
  greatest(
    (select timeline_id from pg_control_checkpoint()),
    (select min_recovery_end_timeline from pg_control_recovery()),
    (select max(('x' || left(w.name, 8))::bit(32)::int) from pg_ls_waldir() w where w.name ~ '^[0-9A-F]{24}$')))`

/** Timeline of a server out of recovery: `pg_control_checkpoint` lags there too. */
export const primaryTimeline = `('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int`

/** The greater of received and replayed: the received one falls back to its segment's start after a restart. */
export const standbyPosition = bytes('greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())')

/** Readable only with `pg_read_all_settings` (in `pg_monitor`); without it '' rather than a failed probe. */
const conninfo = `case when pg_has_role(current_user, 'pg_read_all_settings', 'usage')
  then current_setting('primary_conninfo') else '' end`

/**
 * A role without a grant on `pg_file_settings` gets null, and so does a standby, whose list binds nobody: this reads the
 * configuration files. The inner statement stands in a string because privileges of a relation are checked, and what
 * it reads is planned, whether or not its branch is ever reached. It counts settings whose last entry in the files is
 * not what the server runs.
 */
const filesAgree = `case
  when not rec.on and has_table_privilege('pg_catalog.pg_file_settings', 'select')
    and has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'execute')
  then query_to_xml($sql$
    select count(*) as differ from
      (values ('synchronous_standby_names', ''), ('synchronous_commit', 'on')) as wanted (name, builtin)
      join pg_settings s using (name)
      where s.reset_val is distinct from coalesce(
        (select f.setting from pg_file_settings f where f.name = wanted.name order by f.seqno desc limit 1), builtin)
        and not exists (select from pg_db_role_setting d, unnest(d.setconfig) c where c like wanted.name || '=%')
    $sql$, true, false, '')::text ~ '<differ>0</differ>'
  else null end`

/** By functions where catalogs would do, as each catalog that a new session has to open costs it half a millisecond. */
const overrides = `(select coalesce(json_agg(o.name order by o.name), '[]') from (
  select concat_ws(' in ', case when s.setrole <> 0 then 'role ' || pg_get_userbyid(s.setrole) end,
      case when s.setdatabase <> 0
        then 'database ' || (pg_identify_object('pg_database'::regclass, s.setdatabase, 0)).name end) as name
    from pg_db_role_setting s where array_to_string(s.setconfig, E'\\n') ~ '(^|\\n)synchronous_commit=') o)`

const upstream = `(select json_build_object('pid', r.pid, 'status', r.status, 'timeline', r.received_tli,
    'host', r.sender_host, 'port', r.sender_port, 'latestEndBytes', ${bytes('r.latest_end_lsn')},
    'lastMessageAgeMs', extract(epoch from clock_timestamp() - r.last_msg_receipt_time) * 1000)
  from pg_stat_wal_receiver r)`

/** The functions behind the views `pg_stat_replication` and `pg_stat_activity`: a new session plans them at half the cost. */
const downstream = `(select coalesce(json_agg(json_build_object('applicationName', a.application_name,
    'clientAddress', host(a.client_addr), 'state', w.state, 'syncState', w.sync_state,
    'flushedBytes', ${bytes('w.flush_lsn')}) order by w.pid), '[]')
  from pg_stat_get_wal_senders() w, pg_stat_get_activity(w.pid) a)`

/** A write probe of ours that still waits: another one would only queue behind it and hold one more backend. */
const waiting = `exists (select from pg_stat_get_activity(null)
  where usesysid = quote_ident(current_user)::regrole and wait_event = 'SyncRep'
    and clock_timestamp() - query_start > interval '250 milliseconds')`

export const probeQuery = `select json_build_object(
  'inRecovery', rec.on,
  'timeline', case when rec.on then ${standbyTimeline} else ${primaryTimeline} end,
  'systemIdentifier', (select system_identifier::text from pg_control_system()),
  'positionBytes', case when rec.on then ${standbyPosition} else ${bytes('pg_current_wal_flush_lsn()')} end,
  'receivedBytes', case when rec.on then ${bytes('pg_last_wal_receive_lsn()')} end,
  'replayedBytes', case when rec.on then ${bytes('pg_last_wal_replay_lsn()')} end,
  'replayPaused', case when rec.on then pg_is_wal_replay_paused() else false end,
  'applyDelayMs', extract(epoch from current_setting('recovery_min_apply_delay')::interval) * 1000,
  'upstream', ${upstream},
  'primaryConninfo', ${conninfo},
  'restoreCommand', current_setting('restore_command'),
  'downstream', ${downstream},
  'synchronousNames', current_setting('synchronous_standby_names'),
  'synchronousCommit', current_setting('synchronous_commit'),
  'filesAgree', ${filesAgree},
  'overrides', ${overrides},
  'readOnlyDefault', current_setting('default_transaction_read_only') = 'on',
  'writeProbeWaits', case when rec.on then false else ${waiting} end,
  'startedAt', to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  'settings', json_build_object(${settingNames.map((name) => `'${name}', current_setting('${name}', true)`).join(', ')})
) as probe from (select pg_is_in_recovery() as on) rec`

/**
 * Aurora has no log of its own to ask for: the functions about receivers, positions and the control file answer "not
 * supported in Aurora" or want `wal_level = logical`
 * (https://github.com/DataDog/integrations-core/issues/14498, https://github.com/DataDog/integrations-core/issues/20356).
 * Its members share one volume: there is no timeline and no position to compare.
 */
export const auroraProbeQuery = `select json_build_object(
  'inRecovery', pg_is_in_recovery(),
  'timeline', 0, 'systemIdentifier', '', 'positionBytes', 0, 'receivedBytes', null, 'replayedBytes', null,
  'replayPaused', false, 'applyDelayMs', 0, 'upstream', null, 'primaryConninfo', '', 'restoreCommand', '',
  'downstream', json_build_array(),
  'synchronousNames', '', 'synchronousCommit', current_setting('synchronous_commit'),
  'filesAgree', null, 'overrides', json_build_array(),
  'readOnlyDefault', current_setting('default_transaction_read_only') = 'on',
  'writeProbeWaits', false,
  'startedAt', to_char(pg_postmaster_start_time() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  'settings', json_build_object()
) as probe`

/** Of a receiver or sender a role without `pg_read_all_stats` is shown the process id alone. */
type Seen<T> = { readonly [K in keyof T]: T[K] | null }

/** What the server's JSON holds; positions come as numbers, exact below 2^53. */
export interface ProbeAnswer {
  readonly inRecovery: boolean
  readonly timeline: number
  readonly systemIdentifier: string
  readonly positionBytes: number | null
  readonly receivedBytes: number | null
  readonly replayedBytes: number | null
  readonly replayPaused: boolean
  readonly applyDelayMs: number
  readonly upstream: (Seen<Upstream> & { readonly pid: number }) | null
  readonly primaryConninfo: string
  readonly restoreCommand: string
  readonly downstream: readonly Seen<Downstream>[]
  readonly synchronousNames: string
  readonly synchronousCommit: string
  readonly filesAgree: boolean | null
  readonly overrides: readonly string[]
  readonly readOnlyDefault: boolean
  readonly writeProbeWaits: boolean
  readonly startedAt: string
  readonly settings: Readonly<Record<string, string | null>>
}

/** What is not shown is nothing: neither streaming nor a name. */
const toUpstream = (seen: NonNullable<ProbeAnswer['upstream']>): Upstream => ({
  ...seen,
  status: seen.status ?? '',
  timeline: seen.timeline ?? 0,
  host: seen.host ?? '',
  port: seen.port ?? 0,
})
const toDownstream = (seen: Seen<Downstream>): Downstream => ({
  ...seen,
  applicationName: seen.applicationName ?? '',
  state: seen.state ?? '',
  syncState: seen.syncState ?? '',
})

/** Never throws, and gives what the schemas take: whoever answers a probe is alive (S7). */
export function toRow(answer: ProbeAnswer, writeProbe: ProbeRow['writeProbe']): ProbeRow {
  return {
    inRecovery: answer.inRecovery,
    timeline: answer.timeline,
    systemIdentifier: answer.systemIdentifier,
    positionBytes: answer.positionBytes ?? 0,
    receivedBytes: answer.receivedBytes,
    replayedBytes: answer.replayedBytes,
    replayPaused: answer.replayPaused,
    applyDelayMs: answer.applyDelayMs,
    upstream: answer.upstream && toUpstream(answer.upstream),
    primaryConninfo: withoutSecrets(answer.primaryConninfo),
    restoreCommand: answer.restoreCommand,
    // A server out of recovery keeps the setting; only a standby can be frozen.
    frozenBy: answer.inRecovery ? parseFreeze(answer.primaryConninfo) : null,
    downstream: answer.downstream.map(toDownstream),
    synchronous: {
      names: answer.synchronousNames,
      commit: answer.synchronousCommit,
      filesAgree: answer.filesAgree,
      overrides: answer.overrides,
    },
    readOnlyDefault: answer.readOnlyDefault,
    writeProbe,
    startedAt: answer.startedAt,
    settings: Object.fromEntries(
      Object.entries(answer.settings).filter((entry): entry is [string, string] => entry[1] !== null),
    ),
  }
}
