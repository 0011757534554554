/** The end of everybody else's sessions, on real servers: what remains, what is measured, what is refused. */
import type { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clock, createFixture, deployment, done, engine, eventually, type Fixture } from './support.ts'

let fixture: Fixture
beforeAll(async () => {
  fixture = await createFixture(['a', 'b'])
  await fixture.servers.query('a', 'create table rows (n serial primary key)')
  await fixture.servers.query('a', 'grant all on rows to app')
  await fixture.servers.query('a', `grant usage on sequence rows_n_seq to app`)
}, 60_000)
afterAll(async () => await fixture?.servers.close())

const end = { do: 'endSessions' } as const
const app = async (id = 'a') => {
  const client = await fixture.servers.connect(id, 'app', 'postgres')
  client.on('error', () => {})
  return client
}
const isOpen = async (client: Client) =>
  await client.query('select 1').then(
    () => true,
    () => false,
  )
const streams = async () =>
  await eventually('b streams', async () => (await fixture.probe('b')).upstream?.status === 'streaming')

describe('endSessions', { timeout: 60_000 }, () => {
  it('S4 the guard comes first: without the claim nobody is cut off', async () => {
    const client = await app()
    const result = await fixture.act('a', 1, end, async () => {
      throw new Error('the claim is another')
    })
    expect(result).toMatchObject({ outcome: 'refused', message: expect.stringContaining('another') })
    expect(await isOpen(client)).toBe(true)
    await client.end()
  })

  it('S10 ends all clients, idle, busy or in a transaction; what was told is at or before the measured end', async () => {
    const [idle, busy, open, writer] = [await app(), await app(), await app(), await app()]
    // A role that lets commits be told before they are flushed.
    await writer.query('set synchronous_commit = off')
    const sleeping = busy.query('select pg_sleep(60)').then(
      () => 'ran',
      (error) => error.code,
    )
    await open.query('begin')
    await open.query('insert into rows default values')
    let told = 0
    let stopped = false
    const writing = (async () => {
      while (!stopped) {
        const rows = await writer.query('insert into rows default values returning n').catch(() => null)
        if (!rows) return
        told += 1
      }
    })()
    await eventually('writes', async () => told > 50)
    const { measurement, message } = done(await fixture.act('a', 2, end))
    stopped = true
    await writing
    expect(await sleeping).toBe('57P01')
    for (const client of [idle, open, writer]) expect(await isOpen(client)).toBe(false)
    expect(message).toMatch(/^4 sessions ended/)
    expect(measurement).toMatchObject({ timeline: 1, replayable: true, primaryConninfo: '' })
    // The replica that has the measured end has every row that was told.
    await eventually('b has it', async () => {
      const row = await fixture.probe('b')
      return (row.replayedBytes ?? 0) >= (measurement?.positionBytes ?? Number.POSITIVE_INFINITY)
    })
    const [count] = await fixture.servers.query<{ n: number }>('b', 'select count(*)::int as n from rows')
    expect(count?.n).toBeGreaterThanOrEqual(told)
    await streams()
  })

  it('spares replication and the probes of observers, but nobody who borrows their role', async () => {
    await streams()
    const before = (await fixture.probe('b')).upstream?.pid
    const session = engine.openSession(fixture.config, fixture.node('a'), () => expect.unreachable())
    await session.probe({ timeoutMs: 5_000, writeProbe: false })
    const borrowed = await fixture.servers.connect('a', 'understudy_observer', 'app')
    borrowed.on('error', () => {})
    done(await fixture.act('a', 2, end))
    expect(await isOpen(borrowed)).toBe(false)
    expect(await session.probe({ timeoutMs: 5_000, writeProbe: false })).toMatchObject({ kind: 'answered' })
    expect((await fixture.probe('b')).upstream).toMatchObject({ status: 'streaming', pid: before })
    session.close()
  })

  it('ends who comes back in the meantime, and measures after them', async () => {
    let stopped = false
    let connections = 0
    const returning = (async () => {
      while (!stopped) {
        const client = await app().catch(() => null)
        if (!client) continue
        connections += 1
        // Somebody who gives up after a while, as behind a group that is closed meanwhile.
        await client.query('insert into rows default values').catch(() => {})
        if (connections >= 5) stopped = true
        await client.query('select pg_sleep(0.05)').catch(() => {})
        await client.end().catch(() => {})
      }
    })()
    const result = done(await fixture.act('a', 2, end))
    stopped = true
    await returning
    expect(result.measurement?.positionBytes).toBeGreaterThan(0)
  })

  it('H26 measures without a word of its own: a replica that is cut off from here on has the end', async () => {
    await streams()
    const measured = async () => done(await fixture.act('a', 2, end)).measurement?.positionBytes ?? 0
    // The server itself writes a record now and then: between two that agree it did not.
    let at = 0
    await eventually('nothing is written meanwhile', async () => {
      const [first, again] = [await measured(), await measured()]
      at = again
      return first === again
    })
    const received = async () => (await fixture.probe('b')).receivedBytes ?? 0
    await eventually('b has it', async () => (await received()) >= at)
  })

  it('H26 keeps out who comes back, for as long as it is told, and measures behind who was there first', async () => {
    const first = await app()
    let stopped = false
    let commits = 0
    const coming = (async () => {
      while (!stopped) {
        const client = await app().catch(() => null)
        if (!client) continue
        // Long enough to be met.
        await client.query('select pg_sleep(0.2)').then(
          () => commits++,
          () => {},
        )
        await client.end().catch(() => {})
      }
    })()
    const startedMs = clock.monotonicMs()
    const { measurement } = done(await fixture.act('a', 2, { do: 'endSessions', keepOutMs: 1_000 }))
    expect(clock.monotonicMs() - startedMs).toBeGreaterThanOrEqual(1_000)
    expect(commits).toBe(0)
    expect(await isOpen(first)).toBe(false)
    expect(measurement?.positionBytes).toBeGreaterThan(0)
    // Nobody is kept out any longer than that.
    await eventually('clients are back', async () => commits > 0)
    // Those who come back do not hold it up: it is no proof that nobody is left.
    done(await fixture.act('a', 2, { do: 'endSessions', keepOutMs: 0 }))
    stopped = true
    await coming
  })

  it('is done again at once: nobody is left', async () => {
    await new Promise((resolve) => setTimeout(resolve, 50))
    const first = done(await fixture.act('a', 2, end))
    const again = done(await fixture.act('a', 2, end))
    expect(again.message).toMatch(/^0 sessions ended/)
    expect(again.measurement?.positionBytes).toBeGreaterThanOrEqual(first.measurement?.positionBytes ?? 0)
  })

  it('S2 who may not see the sessions of others finds none, which is no proof: refused', async () => {
    await fixture.servers.query('a', 'create role blind login')
    await eventually('b has it', async () => {
      const rows = await fixture.servers.query('b', `select from pg_roles where rolname = 'blind'`)
      return rows.length > 0
    })
    const { connection } = fixture.config
    const config = { ...fixture.config, connection: { ...connection, operatorUser: 'blind' } }
    const client = await app()
    const act = async () =>
      await engine.act(config, fixture.node('a'), end, {
        deployment,
        term: 2,
        timeoutMs: 10_000,
        guard: async () => {},
      })
    expect(await act()).toMatchObject({ outcome: 'refused', message: expect.stringContaining('pg_monitor') })
    await fixture.servers.query('a', 'grant pg_monitor to blind')
    expect(await act()).toMatchObject({ outcome: 'refused' })
    expect(await isOpen(client)).toBe(true)
    await fixture.servers.query('a', 'grant pg_signal_backend to blind')
    expect(await act()).toMatchObject({ outcome: 'done' })
    expect(await isOpen(client)).toBe(false)
  })

  it('a session that may not be ended leaves the outcome unknown, and not done', async () => {
    const superuser = await fixture.servers.connect('a', 'postgres', 'postgres')
    superuser.on('error', () => {})
    const { connection } = fixture.config
    const config = { ...fixture.config, connection: { ...connection, operatorUser: 'blind' } }
    const result = await engine.act(config, fixture.node('a'), end, {
      deployment,
      term: 2,
      timeoutMs: 3_000,
      guard: async () => {},
    })
    expect(result.outcome).toBe('unknown')
    expect(await isOpen(superuser)).toBe(true)
    await superuser.end()
  })

  it('S2 a session that was told to end and is still there is not gone', async () => {
    const client = await app()
    const [row] = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows
    const pid = row?.pid ?? 0
    process.kill(pid, 'SIGSTOP')
    try {
      const context = { deployment, term: 2, timeoutMs: 1_500, guard: async () => {} }
      const result = await engine.act(fixture.config, fixture.node('a'), end, context)
      expect(result).toMatchObject({ outcome: 'unknown' })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    done(await fixture.act('a', 2, end))
  })

  it('is refused on a replica, and unknown where nobody answers', async () => {
    expect(await fixture.act('b', 2, end)).toMatchObject({
      outcome: 'refused',
      message: expect.stringContaining('in recovery'),
    })
    await fixture.servers.servers.get('a')?.freeze()
    const startedMs = clock.monotonicMs()
    const result = await engine.act(fixture.config, fixture.node('a'), end, {
      deployment,
      term: 2,
      timeoutMs: 500,
      guard: async () => {},
    })
    await fixture.servers.servers.get('a')?.thaw()
    expect(result).toMatchObject({ outcome: 'unknown' })
    expect(clock.monotonicMs() - startedMs).toBeLessThan(10_000)
  })
})

describe('probes of Aurora', { timeout: 60_000 }, () => {
  const aurora = () => ({
    ...fixture.config,
    engine: 'aurora' as const,
    managed: {
      family: 'postgres' as const,
      providerGraceMs: 0,
      backupGraceMs: 0,
      clusterId: null,
      globalClusterId: null,
      globalEndpoint: false,
    },
  })
  const probe = async (id: string) =>
    await engine.probe(aurora(), fixture.node(id), { timeoutMs: 5_000, writeProbe: true })

  it('ask for no log: role and a commit are all', async () => {
    await streams()
    expect(await probe('a')).toMatchObject({
      kind: 'answered',
      row: {
        inRecovery: false,
        timeline: 0,
        positionBytes: 0,
        upstream: null,
        downstream: [],
        writeProbe: 'ok',
        startedAt: (await fixture.probe('a')).startedAt,
      },
    })
    expect(await probe('b')).toMatchObject({ row: { inRecovery: true, writeProbe: 'skipped' } })
  })

  it('commit by a temporary table where the log takes no messages', async () => {
    // As Aurora without logical replication answers: 55000, "WAL control functions cannot be executed".
    await fixture.servers.query(
      'a',
      `create schema aurora;
       create function aurora.pg_logical_emit_message(boolean, text, text) returns pg_lsn language plpgsql as
         $$ begin raise 'WAL control functions cannot be executed' using errcode = '55000'; end $$;
       grant usage on schema aurora to understudy_observer;
       alter role understudy_observer set search_path = aurora, pg_catalog;`,
      [],
      'app',
    )
    expect(await probe('a')).toMatchObject({ kind: 'answered', row: { writeProbe: 'ok' } })
    await fixture.servers.query('a', 'revoke temporary on database app from public')
    expect(await probe('a')).toMatchObject({ kind: 'answered', row: { writeProbe: 'blocked' } })
  })
})
