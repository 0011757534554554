import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { enterable } from '../../local/postgres/binaries.ts'
import { freePorts, localRoles, PostgresCluster, pickPort } from '../../local/postgres/index.ts'
import { processesOf, sharedMemoryId } from '../../local/postgres/processes.ts'

let cluster: PostgresCluster
beforeAll(async () => {
  const port = await pickPort()
  const nodes = ['a', 'b'].map((id, index) => ({ id, address: `127.0.0.1${index + 1}`, port }))
  cluster = await PostgresCluster.create({ nodes, synchronous: 'any' })
}, 60_000)
afterAll(async () => await cluster?.close())

const server = (id: string) => {
  const found = cluster.servers.get(id)
  if (!found) throw new Error(id)
  return found
}
const segments = () =>
  existsSync('/proc/sysvipc/shm')
    ? readFileSync('/proc/sysvipc/shm', 'utf8')
        .split('\n')
        .slice(1)
        .map((line) => Number(line.trim().split(/\s+/)[1]))
    : []

describe('a local cluster', { timeout: 60_000 }, () => {
  it('streams synchronously, with roles that sign in without passwords', async () => {
    const senders = await cluster.query(
      'a',
      'select application_name, state, sync_state from pg_stat_replication',
    )
    expect(senders).toEqual([{ application_name: 'b', state: 'streaming', sync_state: 'quorum' }])
    for (const role of [localRoles.observer, localRoles.operator, localRoles.app]) {
      const client = await cluster.connect('a', role, 'app')
      expect((await client.query('select current_user as me')).rows).toEqual([{ me: role }])
      await client.end()
    }
    const app = await cluster.connect('a', 'app', 'app')
    await app.query('create table mine (n int)')
    await app.end()
    expect(await cluster.query('b', 'select pg_is_in_recovery() as standby')).toEqual([{ standby: true }])
  })

  it('kill leaves no process and no shared memory, with backends at work', async () => {
    const busy = await cluster.connect('a')
    const ended = busy.query('do $$ begin loop perform 1; end loop; end $$').catch((error) => error)
    const before = await server('a').processes()
    expect(before.length).toBeGreaterThan(5)
    const segment = sharedMemoryId(server('a').dataDirectory)
    await server('a').kill()
    expect(await server('a').processes()).toEqual([])
    // A process without a working directory has closed its files and let go of its memory; the rest of its exit may last.
    await vi.waitUntil(() => !before.some(isAlive), { timeout: 30_000 })
    server('a').removeSharedMemory()
    expect(segments()).not.toContain(segment)
    expect(await ended).toBeInstanceOf(Error)
    await server('a').start()
  })

  it('kill reaches backends that outlived their postmaster, and a frozen server', async () => {
    const [postmaster = 0] = (await server('a').processes())
      .filter((pid) => parentOf(pid) !== undefined)
      .sort()
    await server('a').freeze()
    process.kill(
      Number(readFileSync(join(server('a').dataDirectory, 'postmaster.pid'), 'utf8').split('\n')[0]),
      9,
    )
    expect(postmaster).toBeGreaterThan(0)
    expect((await server('a').processes()).length).toBeGreaterThan(0)
    await server('a').kill()
    expect(await server('a').processes()).toEqual([])
    await server('a').start()
  })

  it('freeze stops every process: no commit goes on, and all goes on after a thaw', async () => {
    const client = await cluster.connect('a')
    await server('a').freeze()
    for (const pid of await server('a').processes()) expect(stateOf(pid)).toMatch(/^(T|undefined)$/)
    let answered = false
    const query = client.query('select 1').then(() => {
      answered = true
    })
    await new Promise((resolve) => setTimeout(resolve, 150))
    expect(answered).toBe(false)
    await server('a').thaw()
    await query
    await client.end()
  })

  it('restart, fast and immediate, keeps what was written', async () => {
    await cluster.query('a', 'create table kept as select 1 as n')
    await server('a').restart('fast')
    await server('a').restart('immediate')
    expect(await cluster.query('a', 'select n from kept')).toEqual([{ n: 1 }])
  })

  it('the programs of the bin directory run as the user of this process', async () => {
    const status = () =>
      spawnSync(join(cluster.binDirectory, 'pg_ctl'), ['status', '-D', server('b').dataDirectory], {
        encoding: 'utf8',
      }).status
    expect(status()).toBe(0)
    await server('b').stop('fast')
    expect(status()).toBe(3)
    await server('b').start()
    const copy = join(cluster.directory, 'copy')
    const conninfo = `host=${server('a').address} port=${server('a').port} user=${localRoles.replication}`
    const backup = spawnSync(
      join(cluster.binDirectory, 'pg_basebackup'),
      ['-D', copy, '-d', conninfo, '-X', 'stream', '--checkpoint=fast', '--no-password', '-w'],
      { encoding: 'utf8' },
    )
    expect(backup.stderr).toBe('')
    expect(readdirSync(copy)).toContain('backup_label')
    expect(readdirSync(join(copy, 'pg_wal')).some((name) => /^[0-9A-F]{24}$/.test(name))).toBe(true)
    expect(readdirSync(copy)).not.toContain('postmaster.pid')
    expect(statSync(copy).uid).toBe(statSync(server('a').dataDirectory).uid)
  })
})

describe('close', { timeout: 60_000 }, () => {
  it('removes every process, segment and file, also of a directory that was moved aside', async () => {
    const [port = 0] = await freePorts(1)
    const other = await PostgresCluster.create({
      nodes: [{ id: 'x', address: '127.0.0.11', port }],
      synchronous: 'none',
    })
    const data = other.servers.get('x')?.dataDirectory ?? ''
    const segment = sharedMemoryId(data)
    if (process.platform === 'linux') expect(segments()).toContain(segment)
    const moved = `${data}.understudy-7`
    spawnSync('mv', [data, moved])
    expect(processesOf(moved).length).toBeGreaterThan(0)
    await other.close()
    expect(processesOf(moved)).toEqual([])
    expect(existsSync(other.directory)).toBe(false)
    expect(segments()).not.toContain(segment)
    // The other cluster on this machine is untouched.
    expect(await cluster.query('a', 'select 1 as one')).toEqual([{ one: 1 }])
  })
})

describe('enterable', () => {
  it('looks at every ancestor', () => {
    const runAs = { uid: 65_534, gid: 65_534 }
    const top = mkdtempSync(join(tmpdir(), 'understudy-test-')) // 0700
    mkdirSync(join(top, 'open'), { mode: 0o755 })
    expect(enterable(join(top, 'open'), runAs)).toBe(process.getuid?.() === runAs.uid)
    expect(enterable(join(top, 'open'), null)).toBe(true)
    expect(enterable('/', runAs)).toBe(true)
    rmSync(top, { recursive: true })
  })
})

/** A zombie is dead: whoever should have waited for it is not our concern. */
function isAlive(pid: number): boolean {
  const state = stateOf(pid)
  return state !== undefined && state !== 'Z' && state !== 'X'
}

function stateOf(pid: number): string | undefined {
  return fieldsOf(pid)?.[0]
}

function parentOf(pid: number): number | undefined {
  const parent = Number(fieldsOf(pid)?.[1])
  return Number.isInteger(parent) ? parent : undefined
}

function fieldsOf(pid: number): string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
  } catch {
    return undefined
  }
}
