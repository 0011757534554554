/**
 * The processes of one server, found by their working directory. Every PostgreSQL child calls setsid(), so a server is
 * as many process groups as processes: `kill(-pid)` reaches the postmaster alone, and its backends go on to commit.
 * The working directory survives reparenting, and a zombie has none.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Process ids whose working directory is `dataDirectory` (a real path). Empty: the proof of the fence. */
export function processesOf(dataDirectory: string): number[] {
  return process.platform === 'linux' ? byWorkingDirectory(dataDirectory) : byParent(dataDirectory)
}

function byWorkingDirectory(dataDirectory: string): number[] {
  const found: number[] = []
  for (const name of readdirSync('/proc')) {
    if (name < '0' || name > '9~') continue
    try {
      if (readlinkSync(`/proc/${name}/cwd`) === dataDirectory) found.push(Number(name))
    } catch {
      // gone in the meantime, a zombie, or not ours to see
    }
  }
  return found
}

/** Without /proc (macOS): the postmaster and what it forked. Orphans of a dead postmaster are found by their title. */
function byParent(dataDirectory: string): number[] {
  const postmaster = postmasterPid(dataDirectory)
  const lines = execFileSync('ps', ['-axo', 'pid=,ppid=,stat=,command='], { encoding: 'utf8' }).split('\n')
  const found: number[] = []
  for (const line of lines) {
    const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line)
    if (!match || match[3]?.startsWith('Z')) continue
    const isPostmaster = Number(match[1]) === postmaster && (match[4] ?? '').includes('postgres')
    if (isPostmaster || Number(match[2]) === postmaster || (match[4] ?? '').includes(`-D ${dataDirectory}`)) {
      found.push(Number(match[1]))
    }
  }
  return found
}

/** First line of `postmaster.pid`: of a server that runs, or that was killed. */
export function postmasterPid(dataDirectory: string): number | undefined {
  const pid = Number(readPidFile(dataDirectory)[0])
  return Number.isInteger(pid) && pid > 1 ? pid : undefined
}

function readPidFile(dataDirectory: string): string[] {
  try {
    return readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return []
  }
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/**
 * SIGKILL of every process, the postmaster stopped first so that it can not fork meanwhile; then polls until none is
 * left, since some outlive the postmaster's exit by milliseconds. Throws when one survives `deadlineMs`.
 */
export async function killProcesses(dataDirectory: string, deadlineMs = 10_000): Promise<void> {
  const named = postmasterPid(dataDirectory)
  // The file of a dead server may name a number that somebody else has by now.
  const postmaster = processesOf(dataDirectory).find((pid) => pid === named)
  if (postmaster !== undefined) signal(postmaster, 'SIGSTOP')
  const until = performance.now() + deadlineMs
  for (;;) {
    const left = processesOf(dataDirectory)
    if (left.length === 0) return untilReaped(postmaster)
    if (performance.now() > until)
      throw new Error(`processes ${left.join(', ')} of ${dataDirectory} survive SIGKILL`)
    for (const pid of left) if (pid !== postmaster) signal(pid, 'SIGKILL')
    if (postmaster !== undefined && left.includes(postmaster)) signal(postmaster, 'SIGKILL')
    await sleep(1)
  }
}

/**
 * A server that is started at once finds its predecessor's `postmaster.pid`, and refuses to run while a process with that
 * number exists, a zombie included. Whoever is its parent reaps it; nobody can make it do so.
 */
async function untilReaped(postmaster: number | undefined): Promise<void> {
  const until = performance.now() + 5_000
  while (postmaster !== undefined && exists(postmaster) && performance.now() < until) await sleep(1)
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** SIGSTOP of every process; repeated until no new one shows up and all of them stand still. */
export async function freezeProcesses(dataDirectory: string): Promise<void> {
  const postmaster = postmasterPid(dataDirectory)
  if (postmaster !== undefined) signal(postmaster, 'SIGSTOP')
  const stopped = new Set<number>()
  for (;;) {
    const all = processesOf(dataDirectory)
    const fresh = all.filter((pid) => !stopped.has(pid))
    for (const pid of fresh) {
      signal(pid, 'SIGSTOP')
      stopped.add(pid)
    }
    // A signal is only sent here: a process that runs on another processor goes on until it takes it.
    if (fresh.length === 0 && all.every(standsStill)) return
    await sleep(1)
  }
}

/** Stopped, a zombie, gone, or (without /proc) not to be told. */
function standsStill(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return /^[TtZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return true
  }
}

/** SysV shared memory segment of the server: second number of line 7 of `postmaster.pid`. */
export function sharedMemoryId(dataDirectory: string): number | undefined {
  const id = Number(readPidFile(dataDirectory)[6]?.trim().split(/\s+/)[1])
  return Number.isInteger(id) ? id : undefined
}

/**
 * Removes the segment that a killed server left behind. By its id and only when nobody is attached: other servers live
 * on the machine, and a pattern would hit theirs.
 */
export function removeSharedMemory(id: number | undefined): void {
  if (id === undefined || process.platform === 'win32') return
  try {
    execFileSync('ipcrm', ['-m', String(id)], { stdio: 'ignore' })
  } catch {
    // removed already
  }
}
