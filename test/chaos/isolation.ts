/**
 * How to get a world apart: namespaces for processes, mounts, IPC and networks, in which everything that a run starts
 * ends when its first process ends. An unprivileged user namespace is tried first, then root as it is.
 */
import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Launch } from '../../local/postgres/binaries.ts'

export const isolationKinds = ['user', 'root'] as const

export interface Isolation {
  readonly kind: (typeof isolationKinds)[number]
  /** Starts the world: runs the command that follows it as the world's root, with a reaper above it. */
  readonly enter: readonly string[]
  /** In front of a server program, which refuses to run as root: see `Launch`. */
  readonly asUser: Launch['asUser']
  readonly owner: Launch['owner']
}

/** Where administrators' programs are, which are not in everybody's PATH. */
const searched = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/bin', '/bin']
export const searchPath = [...new Set(searched)].join(delimiter)

/** Debian's names; other distributions have the same ones. */
const packages = { iproute2: ['ip', 'tc'], 'util-linux': ['unshare', 'nsenter', 'setpriv', 'mount'] } as const

const nobody = 65534
const apart = ['--net', '--mount', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc']
/**
 * The first process of a process namespace inherits the orphans and has to reap them: `pg_ctl` leaves servers behind,
 * and a server does not start while its dead predecessor is a zombie. A waiting shell does it.
 */
const reaper = ['/bin/sh', '-c', '"$@" & wait $!', 'world']

const candidates: readonly Isolation[] = [
  {
    kind: 'user',
    enter: ['unshare', '--user', '--map-root-user', ...apart, ...reaper],
    asUser: ['unshare', '--user', `--map-user=${nobody}`, `--map-group=${nobody}`, '--'],
    owner: null,
  },
  {
    kind: 'root',
    enter: ['unshare', ...apart, ...reaper],
    asUser: ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--'],
    owner: { uid: nobody, gid: nobody },
  },
]

/** Everything that a run does with namespaces, once, in the small. */
const trial = `set -e
mount -t tmpfs none /run
mkdir /run/disk && mount -t tmpfs -o size=1m none /run/disk && mount -t tmpfs -o remount,size=2m none /run/disk
ip netns add trial
ip -n trial link add trial type veth peer name eth0 netns $$
ip -n trial link set trial up
ip -n trial rule add from 10.0.0.1 to 10.0.0.2 blackhole
nsenter --net=/run/netns/trial sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'`

/** The first of `kinds` that works here; or, in words for a person, why none does and what to do. */
export async function findIsolation(
  kinds: readonly Isolation['kind'][] = isolationKinds,
): Promise<Isolation | string> {
  const missing = Object.entries(packages).flatMap(([name, programs]) => {
    const absent = programs.filter((program) => !isProgram(program))
    return absent.length > 0 ? [`${absent.join(', ')} (install ${name})`] : []
  })
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only'
  if (missing.length > 0) return `not found: ${missing.join('; ')}`
  const failures: string[] = []
  for (const each of candidates.filter(({ kind }) => kinds.includes(kind))) {
    if (each.kind === 'root' && process.getuid?.() !== 0) {
      failures.push('as root: this is not root; try sudo')
      continue
    }
    const problem = await tried(each)
    if (problem === null) return each
    failures.push(`${each.kind === 'user' ? 'in a user namespace' : 'as root'}: ${problem}`)
  }
  return `no network namespaces can be made here. ${failures.join('. ')}`
}

function isProgram(name: string): boolean {
  return searchPath.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function tried({ enter, asUser }: Isolation): Promise<string | null> {
  const [program = '', ...args] = [
    ...enter,
    '/bin/sh',
    '-c',
    `${trial}\n${asUser.join(' ')} id -u >/dev/null`,
  ]
  const options = { env: { ...process.env, PATH: searchPath }, timeout: 20_000 }
  return new Promise((resolve) => {
    execFile(program, args, options, (error, _output, complaint) => {
      resolve(error === null ? null : (complaint.trim().split('\n')[0] || error.message).slice(0, 200))
    })
  })
}
