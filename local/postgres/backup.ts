/**
 * Copies a running server by the online backup functions and plain file copies: the npm package ships no
 * `pg_basebackup`, and on one machine the source's files are at hand.
 */
import { chmodSync, chownSync, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import type { RunAs } from './binaries.ts'

/** Contents that a copy must not have; the directories themselves must exist. The same list as pg_basebackup's. */
const emptied = new Set([
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
])
const leftOut = new Set([
  'postmaster.pid',
  'postmaster.opts',
  'standby.signal',
  'recovery.signal',
  'backup_label',
])

export interface Backup {
  readonly source: ClientConfig
  /** Where the source keeps its data; null: ask it. */
  readonly sourceDirectory: string | null
  /** New directories, each a full copy. */
  readonly targets: readonly string[]
  readonly runAs: RunAs
}

/** Takes one backup into all targets. They hold all WAL that they need, and no signal file. */
export async function takeBackup(backup: Backup): Promise<void> {
  const client = new Client({ ...backup.source, ssl: false })
  client.on('error', () => {}) // reported by the query that was running
  await client.connect()
  try {
    const asked = await client.query<{ data_directory: string }>('show data_directory')
    const from = backup.sourceDirectory ?? asked.rows[0]?.data_directory ?? ''
    // Start and stop belong to one session: the backup ends with it.
    await client.query(`select pg_backup_start('understudy', true)`)
    for (const target of backup.targets) {
      makeDirectory(target, backup.runAs)
      copyTree(from, target, backup.runAs, true)
    }
    const stopped = await client.query<{ label: string; last: string }>(
      `select labelfile as label, pg_walfile_name(lsn) as last from pg_backup_stop(false)`,
    )
    const { label, last } = stopped.rows[0] ?? { label: '', last: '' }
    for (const target of backup.targets) finishCopy(from, target, label, last, backup.runAs)
  } finally {
    await client.end()
  }
}

function copyTree(from: string, to: string, runAs: RunAs, top: boolean): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (top && leftOut.has(entry.name)) continue
    const source = join(from, entry.name)
    const target = join(to, entry.name)
    if (entry.isDirectory()) {
      makeDirectory(target, runAs)
      if (!(top && emptied.has(entry.name))) copyTree(source, target, runAs, false)
    } else if (entry.isFile()) {
      copyOne(source, target, runAs)
    }
  }
}

function makeDirectory(path: string, runAs: RunAs): void {
  mkdirSync(path, { mode: 0o700, recursive: true })
  chmodSync(path, 0o700)
  if (runAs !== null) chownSync(path, runAs.uid, runAs.gid)
}

/** A file may vanish between listing and copy (a dropped table, a temporary file): the WAL makes up for it. */
function copyOne(source: string, target: string, runAs: RunAs): void {
  try {
    copyFileSync(source, target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  chmodSync(target, 0o600)
  if (runAs !== null) chownSync(target, runAs.uid, runAs.gid)
}

/** Adds the label, unchanged, and the WAL from the backup's start to its end (`-X stream`). */
function finishCopy(from: string, to: string, label: string, last: string, runAs: RunAs): void {
  const first = /START WAL LOCATION: \S+ \(file ([0-9A-F]{24})\)/.exec(label)?.[1]
  if (first === undefined) throw new Error('pg_backup_stop returned no usable label')
  writeFileSync(join(to, 'backup_label'), label, { mode: 0o600 })
  if (runAs !== null) chownSync(join(to, 'backup_label'), runAs.uid, runAs.gid)
  for (const extra of ['archive_status', 'summaries']) makeDirectory(join(to, 'pg_wal', extra), runAs)
  for (const name of readdirSync(join(from, 'pg_wal'))) {
    const needed = /^[0-9A-F]{24}$/.test(name) ? name >= first && name <= last : name.endsWith('.history')
    if (needed) copyOne(join(from, 'pg_wal', name), join(to, 'pg_wal', name), runAs)
  }
}
