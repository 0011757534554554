/**
 * Errors of MySQL and MariaDB as the SQLSTATEs of PostgreSQL, by which `classify` judges. Their own are too coarse: most
 * are HY000, and 08004 stands for "too many connections" as well as for a refused host.
 * Numbers: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html,
 * https://mariadb.com/kb/en/mariadb-error-code-reference/
 */
import type { ProbeOutcome } from '../../core/types.ts'
import { toOutcome as toCommonOutcome } from '../postgres/errors.ts'

const stateOf: Readonly<Record<number, string>> = {
  1021: '53100', // disk full
  1114: '53100', // the table is full
  1030: '58030', // the storage engine answers with an error
  1037: '53200', // out of memory
  1038: '53200',
  1041: '53200',
  1040: '53300', // too many connections
  1203: '53300', // of this user
  1226: '53300', // a limit of this user
  1053: '57P01', // shutdown is in progress
  1077: '57P01', // normal shutdown
  1927: '57P01', // MariaDB: the connection was killed
  1045: '28P01', // access denied
  1698: '28P01',
  1044: '28000', // not to this database
  1129: '28000', // the host is blocked
  1130: '28000', // the host may not connect
  3118: '28000', // the account is locked
  3159: '28000', // connections need TLS
  1049: '3D000', // unknown database
}

/** By which a server tells that it ends a session. */
export const toldCode = '57P01'

/** It refuses writes: `--read-only`, a read-only transaction, a replica that is read-only. */
export const readOnlyErrors: ReadonlySet<number> = new Set([1290, 1792, 1836])

/** The table of the write probe is not there, or not for us. */
export const noTableErrors: ReadonlySet<number> = new Set([1046, 1049, 1142, 1143, 1146])

/** The privilege for a status is missing, or the statement is unknown to this version. */
export const noStatusErrors: ReadonlySet<number> = new Set([1064, 1142, 1227])

const notSignedIn: ReadonlySet<string> = new Set([
  'AUTH_SWITCH_PLUGIN_ERROR',
  'HANDSHAKE_NO_SSL_SUPPORT',
  'HANDSHAKE_SSL_ERROR',
  'MYSQL_CLEAR_PASSWORD_NOT_ENABLED',
])

export interface MysqlError extends Error {
  /** A number where the server spoke without being asked. */
  readonly code?: string | number
  readonly errno?: number
  readonly sqlState?: string
}

export function errorNumber(error: unknown): number | undefined {
  const { code, errno, sqlState } = (error ?? {}) as MysqlError
  // The number of a socket's error is negative and comes without a state.
  const number = typeof code === 'number' ? code : sqlState === undefined ? undefined : errno
  return number !== undefined && number >= 1_000 ? number : undefined
}

/** Null: not an error that the server sent. */
export function sqlStateOf(error: unknown): string | null {
  const number = errorNumber(error)
  if (number === undefined) return null
  // Any other answer is an answer: 'HY000' says no more than that.
  const own = (error as MysqlError).sqlState?.replace(/^#/, '') ?? ''
  return stateOf[number] ?? (/^(?!57|58|53|XX)[0-9A-Z]{5}$/.test(own) ? own : 'HY000')
}

export function toOutcome(error: unknown, received: boolean): Exclude<ProbeOutcome, { kind: 'answered' }> {
  const sqlState = sqlStateOf(error)
  const { code, message } = (error ?? {}) as MysqlError
  if (sqlState !== null) return { kind: 'sqlError', sqlState, message: message ?? '' }
  // From the driver, after the server spoke: no TLS there, or a way to sign in that we do not have.
  if (notSignedIn.has(String(code)) || /unknown plugin/.test(message ?? ''))
    return { kind: 'sqlError', sqlState: '28000', message: message ?? '' }
  if (code === 'PROTOCOL_CONNECTION_LOST')
    return {
      kind: 'reset',
      message: received ? `${message}, after the server had answered` : (message ?? ''),
    }
  return toCommonOutcome(error, received)
}
