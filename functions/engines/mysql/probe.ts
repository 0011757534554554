/**
 * A probe of MySQL or MariaDB: what the server says of itself, and on a writable one a commit.
 *
 * Unlike PostgreSQL there is no log to which a plain role may write without a table, so the commit needs one that the
 * owner makes once, in the database of the connection (docs/engines.md):
 *
 *     create table understudy_probe (id int primary key, n bigint not null) engine = innodb;
 *     grant select, insert, update on understudy_probe to <observer>;
 *
 * Without it no commit is claimed: `skipped`, and the reason among the settings.
 */
import type { ProbeOutcome, ProbeRow } from '../../core/types.ts'
import type { ProbeSession, SessionEnded } from '../../ports.ts'
import { TimedOut } from '../postgres/errors.ts'
import type { ProbeContext } from '../postgres/probe.ts'
import { type ProbeOptions, probeOnceOver, type SessionDriver, sessionOver } from '../session.ts'
import { errorNumber, noStatusErrors, noTableErrors, readOnlyErrors, toOutcome } from './errors.ts'
import { Link, type Row } from './link.ts'

/** Asked for by name, as each family and version knows others: a variable that is unknown is just not there. */
const variableNames = [
  'read_only',
  'super_read_only',
  'innodb_read_only', // on Aurora's readers, whose read_only may be off
  'transaction_read_only',
  'tx_read_only',
  'version',
] as const
const variablesQuery = `show global variables where variable_name in (${variableNames.map((name) => `'${name}'`).join(', ')})`

/** One row for all, updated in place: it never grows. The whole commit path, binary log and semi-synchronous wait included. */
const writeQuery =
  'insert into understudy_probe (id, n) values (1, 1) on duplicate key update n = understudy_probe.n + 1'

const driverOf = (context: ProbeContext): SessionDriver<Link> => ({
  clock: context.clock,
  connect: async (timeoutMs) => await Link.open({ ...context, timeoutMs }),
  probe: probeOver,
  toOutcome,
})

export const probeOnce = (context: ProbeContext, options: ProbeOptions): Promise<ProbeOutcome> =>
  probeOnceOver(driverOf(context), options)

export const openSession = (context: ProbeContext, onEnd: (ended: SessionEnded) => void): ProbeSession =>
  sessionOver(driverOf(context), onEnd)

async function probeOver(link: Link, options: ProbeOptions, left: () => number): Promise<ProbeRow> {
  const variables = new Map(
    (await link.query(variablesQuery, left())).map((row) => {
      const [name, value] = Object.values(row)
      return [String(name).toLowerCase(), String(value)]
    }),
  )
  const version = variables.get('version')
  // Without an answer to the one question it is no server that we know.
  if (version === undefined || !variables.has('read_only'))
    throw new Error('the server does not tell its version and read_only')
  const on = (name: string) => /^(on|1|yes)$/i.test(variables.get(name) ?? '')
  const inRecovery =
    on('read_only') ||
    on('super_read_only') ||
    on('innodb_read_only') ||
    (await hasSource(link, version, left))
  const write =
    options.writeProbe && !inRecovery
      ? await probeWrite(link, options, left)
      : ({ outcome: 'skipped' } as const)
  return {
    inRecovery,
    // No timelines, and positions of binary logs of two servers do not compare: never more than "unknown".
    timeline: 0,
    systemIdentifier: '',
    positionBytes: 0,
    receivedBytes: null,
    replayedBytes: null,
    replayPaused: false,
    applyDelayMs: 0,
    upstream: null,
    primaryConninfo: '',
    restoreCommand: '',
    frozenBy: null,
    downstream: [],
    synchronous: { names: '', commit: '', filesAgree: null, overrides: [] },
    readOnlyDefault: on('transaction_read_only') || on('tx_read_only'),
    writeProbe: write.outcome,
    // Only an uptime in whole seconds is told, which gives two starts to one server: a restart would be seen that
    // never was, and it is evidence of a fence.
    startedAt: 'unknown',
    settings: { version, ...('reason' in write ? { understudy_probe: write.reason } : {}) },
  }
}

/** A replica whose `read_only` somebody turned off is a replica all the same, if we are allowed to see it. */
async function hasSource(link: Link, version: string, left: () => number): Promise<boolean> {
  let rows: readonly Row[]
  try {
    rows = await link.query(statusQuery(version), left())
  } catch (error) {
    if (noStatusErrors.has(errorNumber(error) ?? 0)) return false
    throw error
  }
  return rows.some((row) => Boolean(row.Source_Host ?? row.Master_Host))
}

/** Renamed in MySQL 8.0.22, the old name gone in 8.4; MariaDB keeps the old one. */
function statusQuery(version: string): string {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number)
  const isNew = major > 8 || (major === 8 && (minor > 0 || patch >= 22))
  return !/mariadb/i.test(version) && isNew ? 'show replica status' : 'show slave status'
}

/** Blocked: the commit did not return in its time, or writes are refused. The socket is destroyed, nothing cancelled. */
async function probeWrite(
  link: Link,
  options: ProbeOptions,
  left: () => number,
): Promise<{ outcome: 'ok' | 'blocked' } | { outcome: 'skipped'; reason: string }> {
  try {
    await link.query(writeQuery, Math.min(left(), Math.max(200, options.timeoutMs / 2)))
    return { outcome: 'ok' }
  } catch (error) {
    if (error instanceof TimedOut) return { outcome: 'blocked' }
    const number = errorNumber(error) ?? 0
    if (readOnlyErrors.has(number)) return { outcome: 'blocked' }
    if (noTableErrors.has(number)) return { outcome: 'skipped', reason: (error as Error).message }
    const outcome = toOutcome(error, true)
    if (outcome.kind === 'sqlError' && !outcome.sqlState.startsWith('57P')) return { outcome: 'blocked' }
    throw error
  }
}
