/** What servers hold in settings and views: read without an exception, and never as more than it says. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { frozenHost } from '../../functions/core/limits.ts'
import { formatSynchronousNames, parseSynchronousNames } from '../../functions/core/synchronous.ts'
import {
  formatConninfo,
  frozenConninfo,
  frozenPrefix,
  isFrozen,
  parseConninfo,
  parseFreeze,
  parseMark,
  replaceUpstream,
  withoutSecrets,
} from '../../functions/engines/postgres/conninfo.ts'
import { type ProbeAnswer, toRow } from '../../functions/engines/postgres/query.ts'
import { probeRowSchema } from '../../functions/schemas.ts'
import { fuzz, put } from './support.ts'

const mark = { deployment: 'my_prod', term: 12 }
const keyword = fc.constantFrom(
  'host',
  'hostaddr',
  'port',
  'user',
  'password',
  'sslmode',
  'application_name',
  'passfile',
  'service',
  'options',
)
/** No server keeps a NUL in a setting. */
const value = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.constantFrom(
      '',
      "it's",
      'a b',
      '\\',
      "'",
      "a'b",
      'p%w',
      'x=y',
      '\u00a0',
      '\n',
      frozenHost,
      '10.0.0.1',
      'understudy_my_prod_12',
      'a+b',
      "\\'",
    ),
  )
  .map((text) => text.replaceAll('\0', ''))
const options = fc
  .uniqueArray(fc.tuple(keyword, value), { selector: ([key]) => key, maxLength: 6 })
  .map((pairs) => new Map(pairs))

/** Whatever somebody set: pairs with any spacing and quoting, URIs, halves of both. */
const text = fc.oneof(
  options.map(formatConninfo),
  fc
    .array(
      fc.tuple(
        keyword,
        fc.constantFrom('=', ' = ', '= ', '', '=='),
        value,
        fc.constantFrom(' ', '', '\t', '  \n'),
      ),
      { maxLength: 5 },
    )
    .map((parts) => parts.map((part) => part.join('')).join('')),
  fc
    .tuple(
      fc.constantFrom('postgres://', 'postgresql://', 'POSTGRES://', 'postgres:/'),
      fc.array(
        fc.oneof(
          value,
          fc.constantFrom('@', ':', '/', '?', '&', '=', ',', '%', '%zz', '[::1]', ':5432', 'user:pa:ss@'),
        ),
        { maxLength: 8 },
      ),
    )
    .map(([scheme, parts]) => scheme + parts.join('')),
  value,
)

test('a conninfo is read back as it was written', async () => {
  await fuzz(options, 300, (pairs) => {
    expect([...parseConninfo(formatConninfo(pairs))]).toEqual([...pairs])
  })
})

test('S8 every text can be read; frozen are only those that lead to no server', async () => {
  await fuzz(text, 500, (conninfo) => {
    const read = parseConninfo(conninfo)
    // Reading once more what was read changes nothing.
    expect([...parseConninfo(formatConninfo(read))]).toEqual([...read])
    parseMark(conninfo)
    if (isFrozen(conninfo)) {
      expect(read.get('host')).toBe(frozenHost)
      for (const stronger of ['hostaddr', 'service']) expect(read.get(stronger) ?? '').toBe('')
    }
    // A freeze over anything is a freeze, in the very form that the promoting statement compares.
    const frozen = frozenConninfo(conninfo, mark)
    expect(parseFreeze(frozen)).toEqual(mark)
    expect(frozen === frozenPrefix(mark) || frozen.startsWith(`${frozenPrefix(mark)} `)).toBe(true)
    // What signing in needs comes out of it again.
    const kept = replaceUpstream(frozen, [])
    for (const key of ['user', 'password', 'sslmode', 'passfile']) expect(kept.get(key)).toBe(read.get(key))
  })
})

test('no secret leaves the server', async () => {
  const secret = 'hunter2-hunter2'
  const around = fc.tuple(
    options,
    fc.nat(),
    fc.constantFrom('password', 'sslpassword', 'oauth_client_secret'),
  )
  await fuzz(around, 100, ([pairs, where, key]) => {
    const entries: [string, string][] = [...pairs].filter(([other]) => other !== key)
    entries.splice(where % (entries.length + 1), 0, [key, `${secret}' \\x`])
    expect(withoutSecrets(formatConninfo(new Map(entries)))).not.toContain(secret)
    const uri = `postgresql://u:${secret}%zz:${secret}@h:5432/db?${key}=${secret}%`
    expect(withoutSecrets(uri)).not.toContain(secret)
    expect(withoutSecrets(`postgres://u:/${secret}@h/db`)).not.toContain(`:${secret}`)
  })
})

const names = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        'ANY',
        'FIRST',
        'any ',
        ' 1',
        ' 2 ',
        '99999999999',
        '0',
        '(',
        ')',
        ',',
        '*',
        '"*"',
        '"a""b"',
        '"',
        'a',
        'B',
        'é',
        '\u{1f600}',
        '\ud800',
        ' ',
        '\t',
        '-',
        '.',
        '1a',
      ),
      { maxLength: 10 },
    )
    .map((parts) => parts.join('')),
)

test('S9 any synchronous_standby_names is a list that can be written again, nobody, or not understood', async () => {
  await fuzz(names, 500, (list) => {
    const read = parseSynchronousNames(list)
    if (read.kind === 'none') return expect(list.trim()).toBe('')
    if (read.kind === 'unparseable') return expect(read.reason).not.toBe('')
    expect(read.names.length).toBeGreaterThan(0)
    expect(read.k).toBeGreaterThanOrEqual(1)
    expect(Number.isSafeInteger(read.k)).toBe(true)
    for (const name of read.names) expect(list.replaceAll('""', '"')).toContain(name)
    const again = parseSynchronousNames(formatSynchronousNames(read.k, read.names))
    expect(again).toEqual({ kind: 'list', method: 'ANY', k: read.k, names: read.names })
  })
})

test('long texts are read in one go', () => {
  for (const part of ["'", "''", '\\', 'a=b ', "a='", '(', '"', 'a,', '%', '@', ':']) {
    parseConninfo(`host=${part.repeat(50_000)}`)
    parseConninfo(`postgres://${part.repeat(50_000)}`)
    parseSynchronousNames(`ANY 1 (${part.repeat(50_000)})`)
  }
})

const answer: ProbeAnswer = {
  inRecovery: true,
  timeline: 3,
  systemIdentifier: '7400000000000000001',
  positionBytes: 5,
  receivedBytes: 5,
  replayedBytes: 5,
  replayPaused: false,
  applyDelayMs: 0,
  upstream: {
    pid: 7,
    status: 'streaming',
    timeline: 3,
    host: '10.0.0.1',
    port: 5432,
    latestEndBytes: 5,
    lastMessageAgeMs: 2,
  },
  primaryConninfo: 'host=10.0.0.1',
  restoreCommand: '',
  downstream: [
    {
      applicationName: 'c',
      clientAddress: '10.0.0.3',
      state: 'streaming',
      syncState: 'quorum',
      flushedBytes: 5,
    },
  ],
  synchronousNames: 'ANY 1 (b)',
  synchronousCommit: 'on',
  filesAgree: true,
  overrides: [],
  readOnlyDefault: false,
  writeProbeWaits: false,
  startedAt: '2026-01-01T00:00:00.000000Z',
  settings: { hot_standby: 'on' },
}
/** What a server answers with null: a role that may not see it, a receiver that has not received yet. */
const nullable = [
  ...['positionBytes', 'receivedBytes', 'replayedBytes', 'upstream', 'filesAgree'].map((key) => [key]),
  ...['status', 'timeline', 'host', 'port', 'latestEndBytes', 'lastMessageAgeMs'].map((key) => [
    'upstream',
    key,
  ]),
  ...['applicationName', 'clientAddress', 'state', 'syncState', 'flushedBytes'].map((key) => [
    'downstream',
    '0',
    key,
  ]),
  ['settings', 'hot_standby'],
]

test('S7 a server that answers the probe is alive, whatever it is set to and whatever it does not show', async () => {
  const odd = fc.record({
    unseen: fc.subarray(nullable),
    conninfo: text,
    names,
    command: value,
    inRecovery: fc.boolean(),
  })
  await fuzz(odd, 200, ({ unseen, conninfo, names: list, command, inRecovery }) => {
    const seen = structuredClone(answer)
    for (const path of unseen)
      if (path.length === 1 || seen.upstream !== null || path[0] !== 'upstream') put(seen, path, null)
    const row = toRow(
      { ...seen, primaryConninfo: conninfo, restoreCommand: command, synchronousNames: list, inRecovery },
      'skipped',
    )
    expect(probeRowSchema.safeParse(row).error).toBeUndefined()
    // Nothing looks better than it was seen.
    if (seen.upstream?.status !== 'streaming') expect(row.upstream?.status).not.toBe('streaming')
    if (seen.upstream !== null) expect(row.upstream).not.toBeNull()
    expect(row.downstream).toHaveLength(seen.downstream.length)
    if (row.frozenBy !== null) expect(inRecovery && isFrozen(conninfo)).toBe(true)
  })
})
