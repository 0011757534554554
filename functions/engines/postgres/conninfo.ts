/**
 * libpq connection strings as maps: `primary_conninfo` is read, its upstream changed, and the rest kept.
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
 */
import { freezeName, frozenHost } from '../../core/limits.ts'
import type { FreezeMark } from '../../core/types.ts'

export type Conninfo = ReadonlyMap<string, string>

/** Keyword/value form (with quoting) or URI. A string that is neither gives what could be read before the mistake. */
export function parseConninfo(text: string): Map<string, string> {
  return /^postgres(ql)?:\/\//.test(text) ? parseUri(text) : parsePairs(text)
}

// As libpq reads it (`conninfo_parse`): blanks are those of C, and a quote within a value that did not begin with one is
// part of it; nothing need stand between a closing quote and the next keyword.
const pair =
  /[ \t\n\v\f\r]*([A-Za-z_]\w*)[ \t\n\v\f\r]*=[ \t\n\v\f\r]*(?:'((?:[^'\\]|\\.)*)'(?!')|(?!')((?:[^ \t\n\v\f\r\\]|\\.?)*))/sy

function parsePairs(text: string): Map<string, string> {
  const options = new Map<string, string>()
  pair.lastIndex = 0
  for (let match = pair.exec(text); match; match = pair.exec(text))
    options.set(match[1] ?? '', (match[2] ?? match[3] ?? '').replace(/\\(.?)/gs, '$1'))
  return options
}

function parseUri(text: string): Map<string, string> {
  const options = new Map<string, string>()
  const match = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(text)
  if (!match) return options
  const [, credentials = '', places = '', dbname, query = ''] = match
  const hosts = places.split(',').map((part) => /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(part))
  // No port: most probably the rest of a password that was not encoded.
  if (hosts.includes(null)) return options
  const set = (key: string, value: string | undefined) => {
    if (value) options.set(key, decoded(value))
  }
  set('host', hosts.map((host) => (host?.[1] ?? '').replace(/^\[|\]$/g, '')).join(','))
  if (hosts.some((host) => host?.[2])) set('port', hosts.map((host) => host?.[2] ?? '').join(','))
  const [user, ...password] = credentials.split(':')
  set('user', user)
  set('password', password.join(':'))
  set('dbname', dbname)
  for (const [key = '', ...value] of query.split('&').map((each) => each.split('=')))
    if (/^[A-Za-z_]\w*$/.test(key)) set(key, value.join('='))
  return options
}

/**
 * Without an exception: a server keeps whatever somebody wrote there, also while nothing reads it, as on a primary; its
 * probe would fail, and a healthy server look broken.
 */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Keyword/value form, in the order of the map; quoted only where needed. */
export function formatConninfo(options: Conninfo): string {
  return [...options].map(([key, value]) => `${key}=${quote(value)}`).join(' ')
}

function quote(value: string): string {
  if (/^[^\s'\\]+$/.test(value)) return value
  return `'${value.replace(/['\\]/g, '\\$&')}'`
}

/** What may leave the server: secrets never stand in results, plans or messages. */
export function withoutSecrets(text: string): string {
  const options = parseConninfo(text)
  for (const secret of ['password', 'sslpassword', 'oauth_client_secret']) options.delete(secret)
  return formatConninfo(options)
}

/** Where to connect and under which name: replaced as one, everything else of a conninfo is kept. */
const upstreamKeys = [
  'host',
  'hostaddr', // wins over `host`
  'port',
  'application_name',
  'fallback_application_name',
  'service', // may bring a hostaddr of its own
  'servicefile',
  'target_session_attrs', // 'read-write' would refuse a target in its first moment
  'load_balance_hosts',
  'dbname', // meaningless for streaming, and slot synchronisation is not ours
]

/**
 * The freeze: a socket directory that does not exist. Without a host libpq would connect to the default socket: on a
 * stock host the standby itself. Host and name come first, which `isFrozenFor` and the promoting statement rely on;
 * the other options (passfile, sslmode, even a password) stay on the server, so that who lifts the freeze finds them.
 */
export function frozenConninfo(current: string, mark: FreezeMark): string {
  return formatConninfo(
    replaceUpstream(current, [
      ['host', frozenHost],
      ['application_name', freezeName(mark.deployment, mark.term)],
    ]),
  )
}

/** How `primary_conninfo` of a node frozen for this term begins. */
export function frozenPrefix(mark: FreezeMark): string {
  return `host=${frozenHost} application_name=${freezeName(mark.deployment, mark.term)}`
}

export function replaceUpstream(
  current: string,
  upstream: readonly (readonly [string, string])[],
): Map<string, string> {
  const kept = parseConninfo(current)
  for (const key of upstreamKeys) kept.delete(key)
  const next = new Map(upstream)
  for (const [key, value] of kept) if (!next.has(key)) next.set(key, value)
  return next
}

/**
 * Deployment and term of the mark: in the `application_name` of a frozen node or of a copy being made; a follower under
 * its own name carries it as `fallback_application_name`, which libpq ignores beside the other.
 */
export function parseMark(text: string): FreezeMark | null {
  const options = parseConninfo(text)
  for (const key of ['application_name', 'fallback_application_name']) {
    const match = /^understudy_(.+)_(\d+)$/.exec(options.get(key) ?? '')
    if (match) return { deployment: match[1] ?? '', term: Number(match[2]) }
  }
  return null
}

/** Nothing wins over the host: `hostaddr` would, and a `service` may bring one. */
export function isFrozen(text: string): boolean {
  const options = parseConninfo(text)
  return options.get('host') === frozenHost && !options.get('hostaddr') && !options.get('service')
}

/** The mark of a freeze in force; null when nobody froze the node. */
export function parseFreeze(text: string): FreezeMark | null {
  return isFrozen(text) ? parseMark(text) : null
}
