import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createFixture,
  deployment,
  done,
  engine,
  eventually,
  type Fixture,
  killWhenEqual,
} from './support.ts'

// One cluster, one story: the tests build on each other, and terms only rise.
let fixture: Fixture
beforeAll(async () => {
  fixture = await createFixture()
  await fixture.servers.query('a', 'create table rows (n serial primary key)')
}, 60_000)
afterAll(async () => await fixture?.servers.close())

const server = (id: string) => {
  const found = fixture.servers.servers.get(id)
  if (!found) throw new Error(id)
  return found
}
const insert = async (id: string) => await fixture.servers.query(id, 'insert into rows default values')
const streams = async (id: string, timeline = 1) =>
  await eventually(`${id} streams`, async () => {
    const row = await fixture.probe(id)
    return row.upstream?.status === 'streaming' && row.timeline === timeline && row
  })
const foreign = async (id: string, action: Parameters<typeof engine.act>[2], term = 99) =>
  await engine.act(fixture.config, fixture.node(id), action, {
    deployment: 'other',
    term,
    timeoutMs: 5000,
    guard: async () => {},
  })

describe('freeze', { timeout: 60_000 }, () => {
  it('H05 stops reception, also while the primary is frozen, and the position stays', async () => {
    await server('a').freeze()
    const frozen = done(await fixture.act('b', 1, { do: 'freeze' }))
    await server('a').thaw()
    await eventually('a writes', async () => (await fixture.probe('a', true)).writeProbe === 'ok')
    for (let each = 0; each < 20; each++) await insert('a')
    const row = await fixture.probe('b')
    expect(row.upstream).toBeNull()
    expect(row.positionBytes).toBe(frozen.measurement?.positionBytes)
    expect((await fixture.probe('c')).positionBytes).toBeGreaterThan(row.positionBytes)
    expect(frozen.measurement).toMatchObject({ timeline: 1, replayable: true })
    expect(frozen.measurement?.primaryConninfo).toContain('host=127.0.0.11')
  })

  it('is idempotent, and measure agrees with it', async () => {
    const again = done(await fixture.act('b', 1, { do: 'freeze' }))
    const measured = done(await fixture.act('b', 1, { do: 'measure' }))
    expect(measured.measurement).toEqual(again.measurement)
  })

  it('measures the greater of received and replayed: the received one falls back after a restart', async () => {
    const before = done(await fixture.act('b', 1, { do: 'measure' }))
    await server('b').restart('fast')
    const after = done(await fixture.act('b', 1, { do: 'measure' }))
    const row = await fixture.probe('b')
    expect(row.receivedBytes).toBeLessThan(row.replayedBytes ?? 0)
    // Replay ends with the last whole record; the receiver may have had the beginning of one more.
    expect(after.measurement?.positionBytes).toBe(row.replayedBytes)
    expect(after.measurement?.positionBytes).toBeLessThanOrEqual(before.measurement?.positionBytes ?? 0)
  })

  it('is lifted by unfreeze', async () => {
    const primaryConninfo = fixture.conninfo('a', 'b')
    done(await fixture.act('b', 1, { do: 'unfreeze', primaryConninfo, restoreCommand: '' }))
    expect((await streams('b')).frozenBy).toBeNull()
    expect(
      done(await fixture.act('b', 1, { do: 'unfreeze', primaryConninfo, restoreCommand: '' })).message,
    ).toMatch(/not frozen/)
  })

  it('empties restore_command, and unfreeze restores it', async () => {
    await fixture.servers.query('c', `alter system set restore_command = 'false %f %p'`)
    await fixture.servers.query('c', 'select pg_reload_conf()')
    await eventually('set', async () => (await fixture.probe('c')).restoreCommand !== '')
    const frozen = done(await fixture.act('c', 1, { do: 'freeze' }))
    expect((await fixture.probe('c')).restoreCommand).toBe('')
    expect(frozen.measurement?.restoreCommand).toBe('false %f %p')
    const primaryConninfo = frozen.measurement?.primaryConninfo ?? ''
    done(await fixture.act('c', 1, { do: 'unfreeze', primaryConninfo, restoreCommand: 'false %f %p' }))
    expect((await streams('c')).restoreCommand).toBe('false %f %p')
  })

  it('is refused out of recovery, and measure without a freeze', async () => {
    expect(await fixture.act('a', 1, { do: 'freeze' })).toMatchObject({ outcome: 'refused' })
    expect(await fixture.act('b', 1, { do: 'measure' })).toMatchObject({ outcome: 'refused' })
  })

  it('keeps a password on the server and out of every result', async () => {
    const conninfo = `${fixture.conninfo('a', 'b')} password=hunter2 sslmode=prefer`
    await fixture.servers.query('b', `alter system set primary_conninfo = '${conninfo}'`)
    await fixture.servers.query('b', 'select pg_reload_conf()')
    await eventually('in force', async () => (await fixture.probe('b')).primaryConninfo.includes('sslmode'))
    await streams('b')
    const frozen = await fixture.act('b', 2, { do: 'freeze' })
    const seen = [frozen, await fixture.probe('b'), await fixture.act('b', 2, { do: 'measure' })]
    expect(JSON.stringify(seen)).not.toContain('hunter2')
    const primaryConninfo = done(frozen).measurement?.primaryConninfo ?? ''
    const lifted = await fixture.act('b', 2, { do: 'unfreeze', primaryConninfo, restoreCommand: '' })
    expect(JSON.stringify(lifted)).not.toContain('hunter2')
    const [row] = await fixture.servers.query<{ c: string }>(
      'b',
      `select current_setting('primary_conninfo') as c`,
    )
    expect(row?.c).toContain('password=hunter2')
    expect(row?.c).toContain('host=127.0.0.11')
    await streams('b')
  })
})

describe('S4 the order of sessions', { timeout: 60_000 }, () => {
  it('H06 a late statement of an older term is dead after the first act of a newer one', async () => {
    const late = await fixture.servers.connect('b', 'understudy_operator', 'app')
    await late.query('set application_name = understudy_test_one_2')
    const statement = late.query('select pg_sleep(60)').then(
      () => 'ran',
      (error) => error.code,
    )
    const idle = await fixture.servers.connect('b', 'understudy_operator', 'app')
    done(await fixture.act('b', 3, { do: 'freeze' }))
    expect(await statement).toBe('57P01')
    await expect(idle.query('select 1')).rejects.toThrow()
  })

  it('H06 an act is refused while a session of a newer term is there, which lives on', async () => {
    const newer = await fixture.servers.connect('c', 'understudy_operator', 'app')
    await newer.query('set application_name = understudy_test_one_10')
    expect(await fixture.act('c', 3, { do: 'freeze' })).toMatchObject({ outcome: 'refused' })
    expect((await newer.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    expect((await fixture.probe('c')).frozenBy).toBeNull()
    await newer.end()
  })

  it('reads the claim after the connection is made, and does nothing when it is lost', async () => {
    let sessions = 0
    const result = await fixture.act('c', 3, { do: 'freeze' }, async () => {
      const rows = await fixture.servers.query(
        'c',
        `select from pg_stat_activity where usename = 'understudy_operator' and application_name = 'understudy_test_one_3'`,
      )
      sessions = rows.length
      throw new Error('the claim is another')
    })
    expect(result).toEqual({ outcome: 'refused', message: expect.stringContaining('the claim is another') })
    expect(sessions).toBe(1)
    expect((await fixture.probe('c')).frozenBy).toBeNull()
  })

  it('the mark of a newer term or of another deployment refuses every act', async () => {
    const primaryConninfo = fixture.conninfo('a', 'b')
    const upstream = fixture.node('a')
    const acts = [
      { do: 'freeze' },
      { do: 'measure' },
      { do: 'unfreeze', primaryConninfo, restoreCommand: '' },
      { do: 'promote', expectedTimeline: 1, synchronousStandbyNames: '' },
      { do: 'follow', upstream, applicationName: 'b', restoreCommand: '' },
    ] as const
    for (const action of acts) {
      expect(await fixture.act('b', 2, action), action.do).toMatchObject({ outcome: 'refused' })
      expect(await foreign('b', action), action.do).toMatchObject({ outcome: 'refused' })
    }
    expect(await fixture.probe('b')).toMatchObject({ inRecovery: true, frozenBy: { deployment, term: 3 } })
  })
})

describe('a diverged standby', { timeout: 60_000 }, () => {
  it('H03b is measured beyond one that was frozen before it', async () => {
    const behind = done(await fixture.act('b', 3, { do: 'measure' })).measurement
    await insert('a')
    const row = await eventually('c is ahead', async () => {
      const seen = await fixture.probe('c')
      return seen.positionBytes > (behind?.positionBytes ?? 0) && seen
    })
    expect(row.timeline).toBe(behind?.timeline)
  })
})

describe('promote', { timeout: 60_000 }, () => {
  const promote = (expectedTimeline = 1) =>
    ({ do: 'promote', expectedTimeline, synchronousStandbyNames: 'ANY 1 ("c")' }) as const

  it('H05 is refused: not frozen, wrong term, wrong timeline', async () => {
    expect(await fixture.act('c', 4, promote())).toMatchObject({ outcome: 'refused' })
    expect(await fixture.act('b', 4, promote())).toMatchObject({ outcome: 'refused' })
    expect(await fixture.act('b', 3, promote(2))).toMatchObject({ outcome: 'refused' })
    expect((await fixture.probe('b')).inRecovery).toBe(true)
    expect((await fixture.probe('c')).inRecovery).toBe(true)
  })

  it('H05 is refused while a receiver is left: the freeze is in the files, not in force', async () => {
    const pids = await fixture.servers.query<{ pid: number }>(
      'c',
      `select pid from pg_stat_activity where backend_type = 'startup'`,
    )
    const startup = pids[0]?.pid ?? 0
    process.kill(startup, 'SIGSTOP') // it is the one that stops a receiver when the conninfo changes
    try {
      const context = { deployment, term: 4, timeoutMs: 1500, guard: async () => {} }
      const frozen = await engine.act(fixture.config, fixture.node('c'), { do: 'freeze' }, context)
      expect(frozen.outcome).toBe('unknown')
      expect((await fixture.probe('c')).upstream).not.toBeNull()
      expect(await fixture.act('c', 4, promote())).toMatchObject({
        outcome: 'refused',
        message: expect.stringContaining('receiver'),
      })
    } finally {
      process.kill(startup, 'SIGCONT')
    }
    done(await fixture.act('c', 4, { do: 'freeze' }))
  })

  it('S9 sets the own list first, promotes, and is done when asked again', async () => {
    for (const id of ['b', 'c']) {
      const primaryConninfo = fixture.conninfo('a', id)
      done(await fixture.act(id, 4, { do: 'unfreeze', primaryConninfo, restoreCommand: '' }))
    }
    await killWhenEqual(fixture, 'a', ['b', 'c'])
    for (const id of ['b', 'c']) done(await fixture.act(id, 4, { do: 'freeze' }))
    expect(done(await fixture.act('b', 4, promote())).timeline).toBe(2)
    expect(done(await fixture.act('b', 4, promote())).timeline).toBe(2)
    const outcome = await engine.probe(fixture.config, fixture.node('b'), {
      timeoutMs: 600,
      writeProbe: true,
    })
    // Nobody follows yet: a commit waits instead of being acknowledged by nobody.
    expect(outcome).toMatchObject({
      row: { inRecovery: false, timeline: 2, writeProbe: 'blocked', synchronous: { names: 'ANY 1 ("c")' } },
    })
  })

  it('a late un-freeze after the promotion is refused', async () => {
    const primaryConninfo = fixture.conninfo('a', 'b')
    const late = await fixture.act('b', 4, { do: 'unfreeze', primaryConninfo, restoreCommand: '' })
    expect(late.outcome).toBe('refused')
  })

  it('a list is set only out of recovery', async () => {
    const list = { do: 'list', synchronousStandbyNames: 'ANY 1 ("c", "a")' } as const
    expect(await fixture.act('c', 4, list)).toMatchObject({ outcome: 'refused' })
    done(await fixture.act('b', 4, list))
    expect((await fixture.probe('b')).synchronous).toMatchObject({
      names: 'ANY 1 ("c", "a")',
      filesAgree: true,
    })
  })
})

describe('follow', { timeout: 60_000 }, () => {
  const follow = (upstream: string, applicationName = 'c') =>
    ({ do: 'follow', upstream: fixture.node(upstream), applicationName, restoreCommand: '' }) as const

  it('is refused on the promoted node', async () => {
    expect(await fixture.act('b', 4, follow('c'))).toMatchObject({ outcome: 'refused' })
  })

  it('re-points a frozen standby, which streams on the new timeline; commits return', async () => {
    done(await fixture.act('c', 4, follow('b')))
    expect(await streams('c', 2)).toMatchObject({ frozenBy: null })
    await eventually('commits', async () => (await fixture.probe('b', true)).writeProbe === 'ok')
    expect(done(await fixture.act('c', 4, follow('b'))).message).toMatch(/already/)
  })

  it('the term stays with the follower: what comes late is refused', async () => {
    expect(await fixture.act('c', 3, { do: 'freeze' })).toMatchObject({ outcome: 'refused' })
    expect(await fixture.act('c', 4, follow('a'))).toMatchObject({ outcome: 'refused' })
    expect((await fixture.probe('c')).primaryConninfo).toContain('host=127.0.0.12')
  })

  it('H14 reconnect makes a new receiver', async () => {
    const before = (await streams('c', 2)).upstream?.pid
    done(await fixture.act('c', 4, { do: 'reconnect' }))
    await eventually('a new one', async () => {
      const upstream = (await fixture.probe('c')).upstream
      return upstream?.status === 'streaming' && upstream.pid !== before
    })
    expect(await fixture.act('b', 4, { do: 'reconnect' })).toMatchObject({ outcome: 'refused' })
  })

  it('a node that is away is unknown', async () => {
    expect(await fixture.act('a', 4, { do: 'freeze' })).toMatchObject({ outcome: 'unknown' })
  })
})
