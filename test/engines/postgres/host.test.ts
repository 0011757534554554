import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hostOf } from '../../../functions/core/host.ts'
import {
  discardOldDataScript,
  rejoinScript,
  resumeWritesScript,
  stopWritesScript,
} from '../../../functions/engines/postgres/host.ts'
import { localRoles } from '../../../local/postgres/index.ts'
import { createFixture, deployment, done, eventually, type Fixture, killWhenEqual } from './support.ts'

// One cluster, one story: a switchover begun and undone, a kill, and the way back of the old primary.
let fixture: Fixture
beforeAll(async () => {
  fixture = await createFixture()
}, 60_000)
afterAll(async () => await fixture?.servers.close())

const shell = spawnSync('dash', ['-c', ':']).status === 0 ? 'dash' : 'sh'
const host = (node: string) => {
  const found = hostOf({ ...fixture.config, host: fixture.servers.hostConfig() }, node)
  if (!found) throw new Error(node)
  return found
}
const run = (script: string) => {
  const { status, stdout, stderr } = spawnSync(shell, ['-c', script], { encoding: 'utf8' })
  return { status, last: stdout.trimEnd().split('\n').at(-1) ?? '', stdout, stderr }
}
const base = (node: string, term: number) => ({ deployment, term, node, host: host(node) })
const rejoin = (node: string, term: number, upstream: string) =>
  rejoinScript({
    ...base(node, term),
    upstream: fixture.node(upstream),
    replicationUser: localRoles.replication,
    applicationName: `${node}_unlisted`,
  })
const server = (id: string) => {
  const found = fixture.servers.servers.get(id)
  if (!found) throw new Error(id)
  return found
}
const writes = async (id: string) =>
  await eventually(`${id} writes`, async () => (await fixture.probe(id, true)).writeProbe === 'ok')
const refused = { status: 65, last: expect.stringMatching(/^outcome=refused /) }

describe('stopWrites and resumeWrites', { timeout: 120_000 }, () => {
  it('S2 the primary comes back in recovery, frozen for the term, and its standbys have the shutdown checkpoint', async () => {
    const stopped = run(stopWritesScript(base('a', 3)))
    expect(stopped).toMatchObject({ status: 0, last: expect.stringMatching(/^outcome=done /) })
    const checkpoint = Number(/checkpoint=(\d+)/.exec(stopped.stdout)?.[1])
    expect(await fixture.probe('a')).toMatchObject({ inRecovery: true, frozenBy: { deployment, term: 3 } })
    const measured = done(await fixture.act('a', 3, { do: 'measure' })).measurement
    expect(measured?.positionBytes).toBeGreaterThan(checkpoint)
    for (const id of ['b', 'c']) {
      // H07: what the primary wrote last has reached every standby that was connected.
      expect((await fixture.probe(id)).positionBytes).toBeGreaterThanOrEqual(measured?.positionBytes ?? 0)
    }
    const again = run(stopWritesScript(base('a', 3)))
    expect(again).toMatchObject({ status: 0, stdout: expect.stringContaining(`checkpoint=${checkpoint}\n`) })
  })

  it('a late stop or resume of an older term is refused', () => {
    expect(run(stopWritesScript(base('a', 2)))).toMatchObject(refused)
    expect(run(resumeWritesScript(base('a', 2)))).toMatchObject(refused)
    expect(run(stopWritesScript({ ...base('a', 4), deployment: 'other' }))).toMatchObject(refused)
  })

  it('H07 resume of a newer term undoes it: the primary that it was, with its settings', async () => {
    expect(run(resumeWritesScript(base('a', 4)))).toMatchObject({ status: 0 })
    await writes('a')
    expect(await fixture.probe('a')).toMatchObject({
      inRecovery: false,
      timeline: 1,
      primaryConninfo: '',
      synchronous: { names: 'ANY 1 ("b", "c")', filesAgree: true },
    })
    expect(run(resumeWritesScript(base('a', 4)))).toMatchObject({ status: 0 })
  })

  it('a standby, and a server that others stopped, are left alone', async () => {
    expect(run(stopWritesScript(base('b', 4)))).toMatchObject(refused)
    expect(run(resumeWritesScript(base('b', 4)))).toMatchObject(refused)
    await server('b').stop('fast')
    expect(run(stopWritesScript(base('b', 4)))).toMatchObject(refused)
    expect(run(resumeWritesScript(base('b', 4)))).toMatchObject(refused)
    expect(await server('b').processes()).toEqual([])
    await server('b').start()
  })
})

describe('rejoin', { timeout: 120_000 }, () => {
  it('a running primary, and a standby without a mark, are refused', () => {
    expect(run(rejoin('a', 5, 'b'))).toMatchObject(refused)
    expect(run(rejoin('b', 5, 'c'))).toMatchObject(refused)
  })

  it('S11 a killed primary becomes a standby of the new one: signal, copy, stream on the new timeline', async () => {
    await fixture.servers.query('a', 'create table t as select 1 as n')
    const own = readFileSync(`${server('a').dataDirectory}/postgresql.conf`, 'utf8')
    await killWhenEqual(fixture, 'a', ['b', 'c'])
    for (const id of ['b', 'c']) done(await fixture.act(id, 5, { do: 'freeze' }))
    done(
      await fixture.act('b', 5, {
        do: 'promote',
        expectedTimeline: 1,
        synchronousStandbyNames: 'ANY 1 ("c")',
      }),
    )
    const upstream = fixture.node('b')
    done(await fixture.act('c', 5, { do: 'follow', upstream, applicationName: 'c', restoreCommand: '' }))
    await writes('b')
    expect(run(rejoin('a', 5, 'b'))).toMatchObject({
      status: 0,
      last: expect.stringMatching(/^outcome=done copied/),
    })
    const row = await eventually('a streams', async () => {
      await fixture.probe('b', true) // some log to receive
      const seen = await fixture.probe('a')
      return seen.upstream?.status === 'streaming' && seen.timeline === 2 && seen
    })
    expect(row.synchronous.names).toBe('')
    expect(row.primaryConninfo).toContain('application_name=a_unlisted')
    expect(readFileSync(`${server('a').dataDirectory}/postgresql.conf`, 'utf8')).toBe(own)
    expect(existsSync(`${server('a').dataDirectory}.understudy-5`)).toBe(true)
    const [sender] = (await fixture.probe('b')).downstream.filter(
      (each) => each.applicationName === 'a_unlisted',
    )
    expect(sender).toMatchObject({ syncState: 'async' })
  })

  it('a second run finds it done, and does not copy again', async () => {
    const [before] = await server('a').processes()
    await fixture.probe('b', true)
    expect(run(rejoin('a', 5, 'b'))).toMatchObject({
      status: 0,
      last: expect.stringMatching(/^outcome=done already/),
    })
    expect((await server('a').processes())[0]).toBe(before)
  })

  it('S11 a late command of an older term, or of another deployment, is refused', async () => {
    expect(run(rejoin('a', 4, 'c'))).toMatchObject(refused)
    expect(
      run(
        rejoinScript({
          ...JSON.parse(JSON.stringify(base('a', 9))),
          deployment: 'other',
          upstream: fixture.node('c'),
          replicationUser: 'x',
          applicationName: 'x',
        }),
      ),
    ).toMatchObject(refused)
    expect(await fixture.probe('a')).toMatchObject({ upstream: { host: '127.0.0.12', status: 'streaming' } })
    // Also when it finds the server stopped, as a newer term's fence leaves it.
    await server('a').stop('fast')
    expect(run(rejoin('a', 4, 'c'))).toMatchObject(refused)
    expect(await server('a').processes()).toEqual([])
  })

  it('a run that finds its own copy stopped starts it', async () => {
    const running = runAside(rejoin('a', 5, 'b'))
    const streams = await eventually('a streams', async () => {
      await fixture.probe('b', true)
      return (await fixture.probe('a')).upstream?.status === 'streaming'
    })
    expect(streams).toBe(true)
    await keepWriting(running)
    expect(running.output).toMatch(/outcome=done already/)
  })

  it('one command at a time: another one is refused while it works', async () => {
    const lock = `${server('a').dataDirectory}.understudy-lock`
    spawnSync('mkdir', [lock])
    const boot = existsSync('/proc/sys/kernel/random/boot_id')
      ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
      : 'none'
    writeFileSync(`${lock}/holder`, `${boot} ${process.pid}\n`)
    expect(run(rejoin('a', 6, 'b'))).toMatchObject(refused)
    // A holder that is gone holds nothing.
    writeFileSync(`${lock}/holder`, `of-another-boot ${process.pid}\n`)
    await fixture.probe('b', true)
    expect(run(discardOldDataScript(base('a', 5)))).toMatchObject({
      status: 0,
      last: 'outcome=done discarded 1',
    })
    expect(existsSync(lock)).toBe(false)
    expect(existsSync(`${server('a').dataDirectory}.understudy-5`)).toBe(false)
  })

  it('a diverged standby is copied anew in a newer term, its old data discarded only once the copy streams', async () => {
    done(await fixture.act('c', 7, { do: 'freeze' }))
    expect(run(discardOldDataScript(base('c', 7)))).toMatchObject(refused)
    expect(run(rejoin('c', 6, 'b'))).toMatchObject(refused)
    expect(run(rejoin('c', 7, 'b'))).toMatchObject({ status: 0 })
    await eventually('c streams', async () => (await fixture.probe('c')).upstream?.status === 'streaming')
  })

  it('H08 a copy that fails leaves a server that can only come up frozen', async () => {
    const broken = rejoin('c', 8, 'b').replaceAll('--checkpoint=fast', '--no-such-option')
    expect(run(broken).status).toBe(1)
    expect(await server('c').processes()).toEqual([])
    await server('c').start()
    expect(await fixture.probe('c')).toMatchObject({
      inRecovery: true,
      frozenBy: { deployment, term: 8 },
      upstream: null,
    })
    expect(run(rejoin('c', 8, 'b'))).toMatchObject({ status: 0 })
    await eventually('c streams', async () => (await fixture.probe('c')).upstream?.status === 'streaming')
  })
})

function runAside(script: string): { output: string; child: ChildProcess; ended: boolean } {
  const child = spawn(shell, ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  const running = { output: '', child, ended: false }
  child.stdout.on('data', (chunk) => {
    running.output += chunk
  })
  child.on('exit', () => {
    running.ended = true
  })
  return running
}

async function keepWriting(running: { ended: boolean }): Promise<void> {
  await eventually('the script ends', async () => {
    await fixture.probe('b', true)
    return running.ended
  })
}
