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
 * A role without a grant on `pg_file_settings` gets null. The inner statement stands in a string because privileges
 * of a relation are checked when a statement starts, whether or not its branch is ever reached. It counts settings
 * whose last entry in the files is not what the server runs.
 */
const filesAgree = `case
  when has_table_privilege('pg_catalog.pg_file_settings', 'select')
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

const overrides = `(select coalesce(json_agg(o.name order by o.name), '[]') from (
  select concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) as name
    from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
    where exists (select from unnest(s.setconfig) c where c like 'synchronous_commit=%')) o)`

const upstream = `(select json_build_object('pid', r.pid, 'status', r.status, 'timeline', r.received_tli,
    'host', r.sender_host, 'port', r.sender_port, 'latestEndBytes', ${bytes('r.latest_end_lsn')},
    'lastMessageAgeMs', extract(epoch from clock_timestamp() - r.last_msg_receipt_time) * 1000)
  from pg_stat_wal_receiver r)`

const downstream = `(select coalesce(json_agg(json_build_object('applicationName', application_name,
    'clientAddress', host(client_addr), 'state', state, 'syncState', sync_state,
    'flushedBytes', ${bytes('flush_lsn')}) order by pid), '[]')
  from pg_stat_replication)`

/** A write probe of ours that still waits: another one would only queue behind it and hold one more backend. */
const waiting = `exists (select from pg_stat_activity where usename = current_user and wait_event = 'SyncRep'
  and clock_timestamp() - query_start > interval '250 milliseconds')`

export const probeQuery = `select json_build_object(
  'inRecovery', rec.on,
  'timeline', case when rec.on then ${standbyTimeline} else ${primaryTimeline} end,
  'systemIdentifier', (select system_identifier::text from pg_control_system()),
  'positionBytes', case when rec.on then ${standbyPosition} else ${bytes('pg_current_wal_flush_lsn()')} end,
  'receivedBytes', case when rec.on then ${bytes('pg_last_wal_receive_lsn()')} end,
  'replayedBytes', case when rec.on then ${bytes('pg_last_wal_replay_lsn()')} end,
  'replayPaused', case when rec.on then pg_is_wal_replay_paused() else false end,
  'applyDelayMs', (select setting::bigint from pg_settings where name = 'recovery_min_apply_delay'),
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
  readonly upstream: Upstream | null
  readonly primaryConninfo: string
  readonly restoreCommand: string
  readonly downstream: readonly Downstream[]
  readonly synchronousNames: string
  readonly synchronousCommit: string
  readonly filesAgree: boolean | null
  readonly overrides: readonly string[]
  readonly readOnlyDefault: boolean
  readonly writeProbeWaits: boolean
  readonly startedAt: string
  readonly settings: Readonly<Record<string, string | null>>
}

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
    upstream: answer.upstream,
    primaryConninfo: withoutSecrets(answer.primaryConninfo),
    restoreCommand: answer.restoreCommand,
    // A server out of recovery keeps the setting; only a standby can be frozen.
    frozenBy: answer.inRecovery ? parseFreeze(answer.primaryConninfo) : null,
    downstream: answer.downstream,
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
