/**
 * What every implementation of `Engine` (functions/ports.ts) does, whoever runs the server and whatever it speaks. One
 * cluster, one story: the tests build on each other, and terms only rise. What an engine does beyond this stands in
 * tests of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClusterConfig, NodeConfig, ProbeOutcome, ProbeRow } from '../../functions/core/types.ts'
import type { Engine, SessionEnded, SqlAction, SqlResult } from '../../functions/ports.ts'

/** What a kind of engine has; the suite tests that the rest is not done by accident. */
export interface Traits {
  /** We elect: freeze, measure, promote and follow are ours. */
  readonly elects: boolean
  /** Sessions can be ended and the end of the log be read (`endSessions`). */
  readonly endsSessions: boolean
  /** Positions and timelines mean something. */
  readonly positions: boolean
  /** Observers keep a connection open. */
  readonly sessions: boolean
}

/** A running cluster of one primary and its standbys, and what can happen to it. */
export interface Subject {
  readonly engine: Pick<Engine, 'probe' | 'act'> & Partial<Pick<Engine, 'openSession'>>
  readonly config: ClusterConfig
  /** The first is the primary. */
  readonly nodes: readonly [NodeConfig, NodeConfig, ...NodeConfig[]]
  /** The configuration with a login that the servers do not know; null: there are no logins. */
  readonly stranger: ClusterConfig | null
  /** Time passes until the work is done, where time is not real. */
  run<T>(work: Promise<T>): Promise<T>
  /** A client commits on this node. */
  commit(node: NodeConfig): Promise<void>
  /** A client that stays connected to the primary. */
  client?(): Promise<{ readonly ended: () => boolean; close(): Promise<void> }>
  freeze(node: NodeConfig): Promise<void>
  thaw(node: NodeConfig): Promise<void>
  kill(node: NodeConfig): Promise<void>
  start(node: NodeConfig): Promise<void>
  /** An orderly restart. */
  restart(node: NodeConfig): Promise<void>
  /** Who runs it promotes a standby. */
  promote?(node: NodeConfig): Promise<void>
  close(): Promise<void>
}

const deployment = 'test_contract'
const timeoutMs = 10_000

export function engineContract(name: string, traits: Traits, create: () => Promise<Subject>): void {
  describe(`the engine port: ${name}`, () => {
    let subject: Subject
    let primary: NodeConfig
    let standby: NodeConfig
    let third: NodeConfig | undefined
    beforeAll(async () => {
      subject = await create()
      ;[primary, standby, third] = subject.nodes
    })
    afterAll(async () => await subject?.close())

    const outcome = async (
      node: NodeConfig,
      writeProbe = false,
      config = subject.config,
      within = timeoutMs,
    ) => await subject.run(subject.engine.probe(config, node, { timeoutMs: within, writeProbe }))
    const probe = async (node: NodeConfig, writeProbe = false): Promise<ProbeRow> => {
      const seen = await outcome(node, writeProbe)
      if (seen.kind !== 'answered') throw new Error(JSON.stringify(seen))
      return seen.row
    }
    const act = async (node: NodeConfig, term: number, action: SqlAction, guard = async () => {}) =>
      await subject.run(
        subject.engine.act(subject.config, node, action, { deployment, term, timeoutMs, guard }),
      )
    const eventually = async <T>(read: () => Promise<T | false | undefined>): Promise<T> => {
      const untilMs = performance.now() + 30_000
      for (;;) {
        const found = await read().catch(() => undefined)
        if (found !== undefined && found !== false) return found
        if (performance.now() > untilMs) throw new Error(`never came true: ${read}`)
        await sleep(10)
      }
    }
    const streams = async (node: NodeConfig) =>
      await eventually(async () => {
        const row = await probe(node)
        return row.inRecovery && (!traits.positions || row.upstream?.status === 'streaming') && row
      })

    describe('probe', () => {
      test('a primary is out of recovery and takes the write that was asked for', async () => {
        expect(await probe(primary, true)).toMatchObject({ inRecovery: false, writeProbe: 'ok' })
      })

      test('nothing is written that was not asked for', async () => {
        expect(await probe(primary)).toMatchObject({ inRecovery: false, writeProbe: 'skipped' })
      })

      test('a standby is in recovery, and nothing is written there', async () => {
        await streams(standby)
        expect(await probe(standby, true)).toMatchObject({ inRecovery: true, writeProbe: 'skipped' })
      })

      test.runIf(traits.positions)(
        'all are of one system, and a standby comes to what was committed',
        async () => {
          await subject.commit(primary)
          const there = await probe(primary)
          const here = await eventually(async () => {
            const row = await probe(standby)
            return row.positionBytes >= there.positionBytes && row
          })
          expect(here.timeline).toBe(there.timeline)
          expect(here.systemIdentifier).toBe(there.systemIdentifier)
          expect(there.systemIdentifier).not.toBe('')
        },
      )

      test('S7 a server that refuses the login has answered', async ({ skip }) => {
        if (subject.stranger === null) skip()
        const refused = await outcome(primary, false, subject.stranger ?? subject.config)
        expect(refused).toMatchObject({ kind: 'sqlError', sqlState: expect.stringMatching(/^28/) })
      })

      test('F08 a frozen server is a time-out, within the time that was given', async () => {
        await subject.freeze(standby)
        const before = performance.now()
        const seen = await outcome(standby, false, subject.config, 300)
        expect(seen.kind).toBe('timeout')
        expect(performance.now() - before).toBeLessThan(5_000)
        await subject.thaw(standby)
        await streams(standby)
      })

      test('F09 where nobody listens it is refused, and found again when it is back', async () => {
        await subject.kill(standby)
        expect((await outcome(standby)).kind).toBe('refused')
        await subject.start(standby)
        await streams(standby)
      })
    })

    describe.runIf(traits.sessions)('S12 session', () => {
      const open = async (node: NodeConfig) => {
        const ends: SessionEnded[] = []
        const session = subject.engine.openSession?.(subject.config, node, (ended) => ends.push(ended))
        if (session === undefined) throw new Error('no sessions')
        const look = async (): Promise<ProbeOutcome> => await session.probe({ timeoutMs, writeProbe: false })
        await eventually(async () => (await look()).kind === 'answered')
        ends.length = 0
        return { ends, session, look }
      }

      test('it answers again and again, and closing it is no end', async () => {
        const { ends, session, look } = await open(primary)
        for (let each = 0; each < 3; each++) expect((await look()).kind).toBe('answered')
        session.close()
        await sleep(50)
        expect(ends).toEqual([])
      })

      test('H15 a restart tells, and the same session connects again', async () => {
        const { ends, session, look } = await open(primary)
        await subject.restart(primary)
        expect(await eventually(async () => ends[0])).toMatchObject({ how: 'told', code: expect.any(String) })
        await eventually(async () => (await look()).kind === 'answered')
        session.close()
      })

      test('H15 a kill does not, and says so once', async () => {
        await streams(standby)
        const { ends, session, look } = await open(standby)
        await subject.kill(standby)
        expect(await eventually(async () => ends[0])).toEqual({ how: 'untold', code: null })
        expect((await look()).kind).toBe('refused')
        expect(ends).toHaveLength(1)
        session.close()
        await subject.start(standby)
        await streams(standby)
      })
    })

    /** Something that this engine carries out. */
    const first = (): { node: NodeConfig; action: SqlAction } =>
      traits.elects
        ? { node: standby, action: { do: 'freeze' } }
        : { node: primary, action: { do: 'endSessions' } }

    describe.runIf(!traits.elects && !traits.endsSessions)('no act in SQL', () => {
      test.each<SqlAction>([{ do: 'freeze' }, { do: 'measure' }, { do: 'reconnect' }, { do: 'endSessions' }])(
        '$do is refused before anything is sent',
        async (action) => {
          let read = 0
          const result = await act(primary, 1, action, async () => void read++)
          expect(result).toEqual({ outcome: 'refused', message: expect.any(String) })
          expect(read).toBe(0)
        },
      )
    })

    describe.runIf(traits.elects || traits.endsSessions)('S4 act', () => {
      test('the claim is read once, over an open connection; when it is lost nothing is done', async () => {
        const before = await probe(standby)
        const client = await subject.client?.()
        let read = 0
        const result = await act(first().node, 1, first().action, async () => {
          read++
          throw new Error('the claim is another')
        })
        expect(result).toEqual({
          outcome: 'refused',
          message: expect.stringContaining('the claim is another'),
        })
        expect(read).toBe(1)
        expect(client?.ended() ?? false).toBe(false)
        await client?.close()
        expect(await probe(standby)).toMatchObject({ inRecovery: true, frozenBy: before.frozenBy })
      })

      test('S5 of a node that is away nothing is known, and its claim is not read', async () => {
        await subject.kill(standby)
        let read = 0
        const result = await act(standby, 1, first().action, async () => void read++)
        expect(result.outcome).toBe('unknown')
        expect(read).toBe(0)
        await subject.start(standby)
        await streams(standby)
      })

      test('a claim that can not be read in time leaves nothing behind', async ({ skip }) => {
        // Of virtual time there is no end here: nothing else sleeps.
        if (!traits.sessions) skip()
        const { node, action } = first()
        const context = { deployment, term: 1, timeoutMs: 300, guard: () => new Promise<never>(() => {}) }
        const result = await subject.engine.act(subject.config, node, action, context)
        expect(result.outcome).not.toBe('done')
        expect((await probe(standby)).frozenBy).toBeNull()
      })

      test('sessions are not ended where nobody writes', async () => {
        expect((await act(standby, 1, { do: 'endSessions' })).outcome).toBe('refused')
      })
    })

    describe.runIf(traits.endsSessions)('endSessions', () => {
      test('ends those of clients, and measures at or behind their last commit', async () => {
        const client = await subject.client?.()
        await subject.commit(primary)
        const before = await probe(primary)
        const { measurement } = done(
          await eventually(async () => await isDone(act(primary, 2, { do: 'endSessions' }))),
        )
        expect(client?.ended() ?? true).toBe(true)
        if (traits.positions) {
          expect(measurement?.positionBytes).toBeGreaterThanOrEqual(before.positionBytes)
          expect(measurement?.timeline).toBe(before.timeline)
        }
      })

      test('S5 asked again it is done again, and the server takes writes as before', async () => {
        done(await eventually(async () => await isDone(act(primary, 2, { do: 'endSessions' }))))
        expect(await probe(primary, true)).toMatchObject({ inRecovery: false, writeProbe: 'ok' })
      })
    })

    describe.runIf(!traits.elects)('what only the provider does', () => {
      test.each<SqlAction>([
        { do: 'freeze' },
        { do: 'promote', expectedTimeline: 1, synchronousStandbyNames: '' },
        {
          do: 'follow',
          upstream: { address: '127.0.0.1', port: 1 },
          applicationName: 'x',
          restoreCommand: '',
        },
      ])('is not done here: $do', async (action) => {
        expect((await act(standby, 3, action)).outcome).not.toBe('done')
        expect(await streams(standby)).toMatchObject({ inRecovery: true, frozenBy: null })
      })

      test('a list is not set', async () => {
        const { names } = (await probe(primary)).synchronous
        expect(
          (await act(primary, 3, { do: 'list', synchronousStandbyNames: 'ANY 1 (x)' })).outcome,
        ).not.toBe('done')
        expect((await probe(primary)).synchronous.names).toBe(names)
      })

      test('S9 the list counts as not provable', async () => {
        expect((await probe(primary)).synchronous.filesAgree).toBeNull()
      })

      test('a promotion by the provider shows: out of recovery, of the same system, and writable', async ({
        skip,
      }) => {
        if (subject.promote === undefined) skip()
        const before = await probe(standby)
        await subject.promote?.(standby)
        const after = await eventually(async () => {
          const row = await probe(standby, true)
          return row.writeProbe === 'ok' && row
        })
        expect(after).toMatchObject({ inRecovery: false, systemIdentifier: before.systemIdentifier })
        if (traits.positions) expect(after.timeline).toBeGreaterThan(before.timeline)
        // The source is not touched: this is what a fence is for.
        expect(await probe(primary, true)).toMatchObject({ inRecovery: false, writeProbe: 'ok' })
      })
    })

    describe.runIf(traits.elects)('election', () => {
      const promote = (expectedTimeline: number): SqlAction => ({
        do: 'promote',
        expectedTimeline,
        synchronousStandbyNames: '',
      })

      test('S8 a frozen standby stays where it is, and says so twice', async () => {
        const frozen = done(await act(standby, 5, { do: 'freeze' })).measurement
        await subject.commit(primary)
        expect(done(await act(standby, 5, { do: 'freeze' })).measurement?.positionBytes).toBe(
          frozen?.positionBytes,
        )
        expect(done(await act(standby, 5, { do: 'measure' })).measurement?.positionBytes).toBe(
          frozen?.positionBytes,
        )
        expect(await probe(standby)).toMatchObject({
          positionBytes: frozen?.positionBytes,
          frozenBy: { deployment, term: 5 },
          upstream: null,
        })
      })

      test('H05 an older term, another deployment and a wrong timeline are refused', async () => {
        const { timeline } = await probe(standby)
        expect((await act(standby, 4, { do: 'freeze' })).outcome).toBe('refused')
        expect((await act(standby, 4, promote(timeline))).outcome).toBe('refused')
        expect((await act(standby, 5, promote(timeline + 1))).outcome).toBe('refused')
        const context = { deployment: 'other', term: 9, timeoutMs, guard: async () => {} }
        const foreign = subject.engine.act(subject.config, standby, { do: 'freeze' }, context)
        expect((await subject.run(foreign)).outcome).toBe('refused')
        expect(await probe(standby)).toMatchObject({ inRecovery: true, frozenBy: { deployment, term: 5 } })
      })

      test('S5 a freeze can be lifted, more than once', async () => {
        const { measurement } = done(await act(standby, 6, { do: 'freeze' }))
        const { primaryConninfo = '' } = measurement ?? {}
        // A freeze over a freeze has no upstream to go back to: the configuration's own is what steps keep.
        const back = primaryConninfo.includes(primary.address)
          ? primaryConninfo
          : `host=${primary.address} port=${primary.port} user=${subject.config.connection.replicationUser} application_name=${standby.id}`
        const lift: SqlAction = { do: 'unfreeze', primaryConninfo: back, restoreCommand: '' }
        done(await act(standby, 6, lift))
        expect((await streams(standby)).frozenBy).toBeNull()
        done(await act(standby, 6, lift))
      })

      test('S1 only what is frozen for the term is promoted; asked again it is done', async () => {
        const { timeline } = await streams(standby)
        expect((await act(standby, 7, promote(timeline))).outcome).toBe('refused')
        await subject.kill(primary)
        for (const node of subject.nodes.slice(1)) done(await act(node, 7, { do: 'freeze' }))
        const promoted = done(await act(standby, 7, promote(timeline)))
        expect(promoted.timeline).toBeGreaterThan(timeline)
        expect(done(await act(standby, 7, promote(timeline))).timeline).toBe(promoted.timeline)
        expect(await probe(standby, true)).toMatchObject({ inRecovery: false, writeProbe: 'ok' })
      })

      test('the others follow it, and what comes late is refused', async () => {
        if (third === undefined) return
        const follow: SqlAction = {
          do: 'follow',
          upstream: standby,
          applicationName: third.id,
          restoreCommand: '',
        }
        done(await act(third, 7, follow))
        const { timeline } = await probe(standby)
        await eventually(async () => third !== undefined && (await probe(third)).timeline === timeline)
        done(await act(third, 7, follow))
        expect((await act(third, 6, { do: 'freeze' })).outcome).toBe('refused')
        expect((await act(standby, 7, follow)).outcome).toBe('refused')
        expect((await probe(standby)).inRecovery).toBe(false)
      })
    })
  })
}

function done(result: SqlResult): Extract<SqlResult, { outcome: 'done' }> {
  if (result.outcome !== 'done') throw new Error(`${result.outcome}: ${result.message}`)
  return result
}

/** A busy server, or one that somebody of RDS's own looks at, says unknown: steps ask again, too. */
async function isDone(result: Promise<SqlResult>): Promise<SqlResult | false> {
  const answer = await result
  return answer.outcome === 'done' && answer
}
