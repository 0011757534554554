/** Probes of MySQL and MariaDB, against the server that the driver itself brings. */
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { type Connection, createServer } from 'mysql2'
import { describe, expect, onTestFinished, test } from 'vitest'
import { classify } from '../../functions/core/classify.ts'
import type { ProbeOutcome } from '../../functions/core/types.ts'
import { createEngines } from '../../functions/engines/index.ts'
import { managedCluster } from './managed.ts'
import { clock } from './postgres/support.ts'

type Answer =
  | readonly Readonly<Record<string, string | null>>[]
  | { readonly error: number; readonly message?: string }
  | 'ok'
  | 'silence'
  | 'drop'

interface Behaviour {
  readonly variables?: Readonly<Record<string, string>> | Answer
  readonly status?: Answer
  readonly write?: Answer
  readonly signIn?: { readonly code: number; readonly message: string }
  readonly greeting?: { readonly code: number; readonly message: string }
}

const primary = { read_only: 'OFF', super_read_only: 'OFF', innodb_read_only: 'OFF', version: '8.0.39' }

async function mysql(behaviour: Behaviour) {
  const asked: string[] = []
  const users: string[] = []
  const connections: Connection[] = []
  const server = createServer((raw) => {
    const connection = raw as unknown as Connection
    connections.push(connection)
    connection.on('error', () => {})
    if (behaviour.greeting) return void connection.writeError(behaviour.greeting)
    connection.serverHandshake({
      protocolVersion: 10,
      serverVersion: '8.0.39',
      connectionId: connections.length,
      statusFlags: 2,
      characterSet: 8,
      // Without CLIENT_SSL and CLIENT_DEPRECATE_EOF.
      capabilityFlags: 0xffffff & ~0x800,
      authCallback: ({ user }: { user: string }, done: (_: null, error?: object) => void) => {
        users.push(user)
        done(null, behaviour.signIn)
        sequence(connection, 0)
      },
    })
    connection.on('query', (text: string) => {
      asked.push(text)
      sequence(connection, 1)
      const variables = behaviour.variables ?? primary
      const isAnswer = Array.isArray(variables) || typeof variables === 'string' || 'error' in variables
      if (/^show global variables/.test(text)) {
        const rows = isAnswer
          ? (variables as Answer)
          : Object.entries(variables as Record<string, string>).map(([Variable_name, Value]) => ({
              Variable_name,
              Value,
            }))
        reply(connection, rows)
      } else if (/^show (replica|slave) status/.test(text)) {
        reply(connection, behaviour.status ?? [])
      } else {
        reply(connection, behaviour.write ?? 'ok')
      }
      sequence(connection, 0)
    })
  })
  server.listen(0)
  const { _server } = server as unknown as { _server: ReturnType<typeof createTcpServer> }
  await once(_server, 'listening')
  onTestFinished(() => {
    for (const connection of connections) connection.destroy()
    _server.close()
  })
  const { port } = _server.address() as AddressInfo
  return { node: { address: '127.0.0.1', port }, asked, users, connections }
}

/** The driver's server counts packets on and on; the protocol begins anew with each command. */
function sequence(connection: Connection, next: number): void {
  Object.assign(connection, { sequenceId: next })
}

function reply(connection: Connection, answer: Answer): void {
  if (answer === 'silence') return
  if (answer === 'drop') {
    connection.destroy()
    return
  }
  if (answer === 'ok') {
    connection.writeOk({ affectedRows: 1 })
    return
  }
  if ('error' in answer) {
    connection.writeError({ code: answer.error, message: answer.message ?? 'no' } as never)
    return
  }
  const names = Object.keys(answer[0] ?? { none: '' })
  const columns = names.map((name) => ({
    catalog: 'def',
    schema: '',
    table: '',
    orgTable: '',
    name,
    orgName: name,
    characterSet: 33,
    columnLength: 255,
    columnType: 253,
    flags: 0,
    decimals: 0,
  }))
  // Not writeTextResult: it puts as many empty columns before the values.
  const raw = connection as unknown as { writeColumns(c: object[]): void; writeTextRow(r: unknown[]): void }
  raw.writeColumns(columns)
  for (const row of answer) raw.writeTextRow(names.map((name) => row[name]))
  connection.writeEof()
}

const config = managedCluster({}, { family: 'mysql' })
const engine = createEngines({ clock, password: async () => 'x' }).of(config)
const options = { timeoutMs: 10_000, writeProbe: true }
const look = async (behaviour: Behaviour, change = {}) => {
  const server = await mysql(behaviour)
  const outcome = await engine.probe(config, server.node, { ...options, ...change })
  return { ...server, outcome, class: classify(outcome) }
}
const rowOf = (outcome: ProbeOutcome) =>
  outcome.kind === 'answered' ? outcome.row : expect.fail(JSON.stringify(outcome))

describe('the role', () => {
  test('writable, and a commit through the table of the owner', async () => {
    const { outcome, asked, users } = await look({})
    expect(outcome).toMatchObject({
      row: {
        inRecovery: false,
        timeline: 0,
        positionBytes: 0,
        upstream: null,
        frozenBy: null,
        readOnlyDefault: false,
        writeProbe: 'ok',
        startedAt: 'unknown',
        settings: { version: '8.0.39' },
      },
    })
    expect(asked).toEqual([
      expect.stringContaining("'read_only'"),
      'show replica status',
      expect.stringContaining('insert into understudy_probe'),
    ])
    expect(users).toEqual([config.connection.observerUser])
  })

  test.each(['read_only', 'super_read_only', 'innodb_read_only'])(
    '%s makes a replica of it',
    async (name) => {
      const { outcome, asked } = await look({ variables: { ...primary, [name]: 'ON' } })
      expect(rowOf(outcome)).toMatchObject({ inRecovery: true, writeProbe: 'skipped' })
      expect(asked).not.toContainEqual(expect.stringContaining('insert'))
    },
  )

  test('so does a source, where somebody turned read_only off', async () => {
    for (const [version, row, text] of [
      ['8.0.39', { Source_Host: '10.0.0.1' }, 'show replica status'],
      ['8.0.21', { Master_Host: '10.0.0.1' }, 'show slave status'],
      ['8.4.3', { Source_Host: '10.0.0.1' }, 'show replica status'],
      ['9.1.0', { Source_Host: '10.0.0.1' }, 'show replica status'],
      ['5.7.44', { Master_Host: '10.0.0.1' }, 'show slave status'],
      ['10.11.9-MariaDB-log', { Master_Host: '10.0.0.1' }, 'show slave status'],
    ] as const) {
      const { outcome, asked } = await look({ variables: { ...primary, version }, status: [row] })
      expect(rowOf(outcome), version).toMatchObject({ inRecovery: true })
      expect(asked[1], version).toBe(text)
    }
  })

  test('without the privilege for a status read_only alone tells; MariaDB knows no super_read_only', async () => {
    const variables = { read_only: '0', version: '10.11.9-MariaDB-log', tx_read_only: 'ON' }
    const { outcome } = await look({ variables, status: { error: 1227 } })
    expect(rowOf(outcome)).toMatchObject({ inRecovery: false, readOnlyDefault: true, writeProbe: 'ok' })
  })

  test('a server that does not tell is none that we know', async () => {
    expect((await look({ variables: { version: '8.0.39' } })).class).toBe('broken')
    expect((await look({ variables: [] })).class).toBe('broken')
  })
})

describe('the commit', () => {
  test('not asked for, not made', async () => {
    const { outcome, asked } = await look({}, { writeProbe: false })
    expect(rowOf(outcome).writeProbe).toBe('skipped')
    expect(asked).toHaveLength(2)
  })

  test.each([1146, 1142, 1143])(
    'without the table (%s) none is claimed, and the reason is told',
    async (error) => {
      const { outcome } = await look({ write: { error, message: 'no such table' } })
      expect(rowOf(outcome)).toMatchObject({
        writeProbe: 'skipped',
        settings: { understudy_probe: 'no such table' },
      })
    },
  )

  test.each([1290, 1836, 1792, 1205])('refused (%s), it is blocked', async (error) => {
    expect((await look({ write: { error } })).class).toBe('writes blocked')
  })

  test('that does not return is blocked, and the socket destroyed', async () => {
    const { class: is, connections } = await look({ write: 'silence' }, { timeoutMs: 2_000 })
    expect(is).toBe('writes blocked')
    await expect
      .poll(() => (connections[0] as unknown as { stream: { destroyed: boolean } }).stream.destroyed)
      .toBe(true)
  })

  test('the end of the server in the midst of it says more', async () => {
    expect((await look({ write: 'drop' })).outcome.kind).toBe('reset')
    expect((await look({ write: { error: 1053 } })).class).toBe('stopping')
  })
})

describe('S7 what proves life', () => {
  test.each([
    ['too many connections', { greeting: { code: 1040, message: 'Too many connections' } }, 'busy'],
    ['a blocked host', { greeting: { code: 1129, message: 'Host is blocked' } }, 'denied'],
    ['a wrong password', { signIn: { code: 1045, message: 'Access denied' } }, 'denied'],
    ['a database that is not there', { signIn: { code: 1049, message: 'Unknown database' } }, 'denied'],
    ['a shutdown', { variables: { error: 1053 } }, 'stopping'],
    ['no memory', { variables: { error: 1041 } }, 'busy'],
    ['any other error', { variables: { error: 1105 } }, 'denied'],
  ] as const)('%s', async (_, behaviour, expected) => {
    expect((await look(behaviour as Behaviour)).class).toBe(expected)
  })

  test.each([
    ['a full disk', { variables: { error: 1021 } }, 'broken'],
    ['a broken engine', { variables: { error: 1030 } }, 'broken'],
  ] as const)('and what does not: %s', async (_, behaviour, expected) => {
    expect((await look(behaviour as Behaviour)).class).toBe(expected)
  })

  test('TLS that the server does not have is denied', async () => {
    const { node } = await mysql({})
    const outcome = await engine.probe(managedCluster({ tls: 'require' }, { family: 'mysql' }), node, options)
    expect(classify(outcome)).toBe('denied')
  })

  test('a token is not sent in clear', async () => {
    const { node, users } = await mysql({})
    const cluster = managedCluster({ password: { from: 'iam' } }, { family: 'mysql' })
    const signing = createEngines({ clock, password: async () => 'x', token: async () => 'token' }).of(
      cluster,
    )
    expect((await signing.probe(cluster, node, options)).kind).not.toBe('answered')
    expect(users).toEqual([])
  })

  test('silence at any stage, and nobody there', async () => {
    const silent = createTcpServer((socket) => void socket.on('error', () => {}))
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const node = { address: '127.0.0.1', port }
    expect(await engine.probe(config, node, { ...options, timeoutMs: 500 })).toMatchObject({
      kind: 'timeout',
      stage: 'startup',
    })
    silent.close()
    await once(silent, 'close')
    expect(await engine.probe(config, node, options)).toMatchObject({ kind: 'refused' })
    const { class: is } = await look({ variables: 'silence' }, { timeoutMs: 2_000 })
    expect(is).toBe('silent')
  })
})

describe('a session', () => {
  test('keeps its connection, tells of its end once, and comes back', async () => {
    const server = await mysql({})
    const ends: object[] = []
    const node = { ...config.nodes[0], ...server.node } as never
    const session = engine.openSession(config, node, (ended) => ends.push(ended))
    expect(await session.probe(options)).toMatchObject({ kind: 'answered' })
    expect(await session.probe(options)).toMatchObject({ kind: 'answered' })
    expect(server.connections).toHaveLength(1)
    server.connections[0]?.destroy()
    await expect.poll(() => ends).toEqual([{ how: 'untold', code: null }])
    expect(await session.probe(options)).toMatchObject({ kind: 'answered' })
    session.close()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(ends).toHaveLength(1)
  })

  test('S12 an end that was told is told on', async () => {
    const server = await mysql({})
    const ends: object[] = []
    const session = engine.openSession(config, { ...config.nodes[0], ...server.node } as never, (ended) =>
      ends.push(ended),
    )
    await session.probe(options)
    server.connections[0]?.writeError({ code: 1053, message: 'Server shutdown in progress' } as never)
    server.connections[0]?.end()
    await expect.poll(() => ends).toEqual([{ how: 'told', code: '57P01' }])
    session.close()
  })
})

test('acts are refused: none of them is for it', async () => {
  const { node, users } = await mysql({})
  const context = { deployment: 'd', term: 1, timeoutMs: 1_000, guard: async () => {} }
  for (const action of [{ do: 'endSessions' }, { do: 'freeze' }] as const)
    expect(await engine.act(config, { ...config.nodes[0], ...node } as never, action, context)).toMatchObject(
      {
        outcome: 'refused',
      },
    )
  expect(users).toEqual([])
})
