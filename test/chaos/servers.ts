/**
 * The cluster of a run: each server in a namespace and on a disk of its own, each observer's functions in processes in
 * theirs, AWS's APIs and the DNS server in this process's.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Embedded } from '../../local/embedded.ts'
import type { Isolation } from './isolation.ts'
import { type Network, ownMember } from './network.ts'

const execute = promisify(execFile)

export const nodeIds = ['a', 'b', 'c'] as const
export type NodeId = (typeof nodeIds)[number]

/** Room for a copy of everything while a node is rebuilt; memory is taken only by what is written. */
const diskBytes = 1 << 30
/**
 * A scheduled minute. Long enough that a step which polls moves its beat in between, so that nothing that lives is
 * resumed; short enough for rounds of seconds.
 */
const minuteMs = 15_000
/** Instead of the longest time-out of a function: nothing that was killed here goes on as a zombie. */
const resumeWaitMs = 8_000

export class Servers {
  readonly embedded: Embedded
  readonly #disks: string

  private constructor(embedded: Embedded, disks: string) {
    this.embedded = embedded
    this.#disks = disks
  }

  /** Adopted and steady. `directory` is this world's own, and ends with it. */
  static async start(
    directory: string,
    network: Network,
    isolation: Pick<Isolation, 'asUser' | 'owner'>,
    log: (line: string) => void,
  ): Promise<Servers> {
    const disks = join(directory, 'disks')
    for (const node of nodeIds) {
      mkdirSync(join(disks, node), { recursive: true, mode: 0o755 })
      await execute('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes},mode=0755`, 'none', join(disks, node)])
    }
    const address = (node: NodeId) => network.addressOf(node)
    const embedded = await Embedded.start({
      stopSeconds: 1,
      warmCalls: 2,
      policy: { cooldownMs: 0 },
      log,
      overrides: { minuteMs, waitTimeOverrides: { ResumeWait: resumeWaitMs } },
      site: {
        addresses: { a: address('a'), b: address('b'), c: address('c') },
        isHere: false,
        address: network.addressOf(ownMember),
        enter: (name) => {
          const observer = /-(?:observe|look)-([abc])$/.exec(name)?.[1]
          return observer === undefined ? undefined : network.enter(`observer-${observer}`)
        },
        cluster: {
          directory: join(directory, 'postgres'),
          dataDirectory: '../disks/{node}/data',
          network: network.cidr,
          launch: { ...isolation, enter: (node) => network.enter(node) },
        },
      },
    })
    return new Servers(embedded, disks)
  }

  /** The disk of a node has no byte left. */
  async fillDisk(node: NodeId): Promise<void> {
    for (let tries = 1; ; tries++) {
      const { blocks, bfree, bsize } = statfsSync(join(this.#disks, node))
      try {
        return await this.#resize(node, (blocks - bfree) * bsize)
      } catch (error) {
        // The server wrote in between, and a disk can not be smaller than what is on it.
        if (tries === 20) throw error
      }
    }
  }

  /** Makes the primary begin new files of WAL, which the standbys receive: a full disk is noticed by those alone. */
  async turnWal(): Promise<void> {
    const { postgres, state } = this.embedded
    const client = await postgres.connect(state?.primary ?? 'a')
    try {
      await client.query('set synchronous_commit = local; set statement_timeout = 2000')
      for (let files = 0; files < 20; files++) {
        await client.query(`select pg_logical_emit_message(true, 'chaos', '')`)
        await client.query('select pg_switch_wal()')
      }
    } finally {
      await client.end()
    }
  }

  async freeDisk(node: NodeId): Promise<void> {
    await this.#resize(node, diskBytes)
  }

  async #resize(node: NodeId, bytes: number): Promise<void> {
    // With the source named, too, mount does not repeat the present options, whose user ids are not those of this world.
    const options = ['-t', 'tmpfs', '-o', `remount,size=${bytes}`, 'none']
    await execute('mount', [...options, join(this.#disks, node)])
  }
}
