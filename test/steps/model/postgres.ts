/**
 * Three PostgreSQL servers as far as failover is concerned: a log, timelines, streaming by `primary_conninfo`, commits
 * that wait for a synchronous list, sessions of the operator role, files that decide what a start makes of a server.
 */
import { parseSynchronousNames } from '../../../functions/core/synchronous.ts'
import type { NodeConfig, NodeId, ProbeOutcome, ProbeRow } from '../../../functions/core/types.ts'
import { isFrozen, parseConninfo, parseFreeze } from '../../../functions/engines/postgres/conninfo.ts'

/** One entry of the log. The same id at the same place means the same log up to there. */
interface Entry {
  readonly id: number
}

export interface Session {
  readonly term: number
  alive: boolean
}

/** A commit that a client was told of. `reign` rises with every promotion of any server. */
export interface Acknowledged {
  readonly id: number
  readonly node: NodeId
  readonly reign: number
  readonly atMs: number
}

export const baseBytes = 0x3000000
const entryBytes = 8
const receiverTimeoutMs = 60_000

export class Server {
  readonly config: NodeConfig
  running = true
  /** SIGSTOP: its kernel answers, it does not. */
  hung = false
  starting = false
  inRecovery: boolean
  timeline = 1
  log: Entry[] = []
  conninfo: string
  restoreCommand = ''
  synchronousNames = ''
  synchronousCommit = 'on'
  replayPaused = false
  /** Its receiver streams and receives nothing (F46). */
  stuck = false
  receiver: { pid: number; upstream: NodeId; aliveMs: number } | null = null
  sessions = new Set<Session>()
  starts = 1
  endedHow: 'told' | 'untold' = 'untold'
  reign = 0
  /** A rewind or copy was cut off: what is on disk is no server. */
  half = false
  /** What `stopWrites` left on the host. */
  stopped: { term: number; checkpointBytes: number | null; conninfo: string } | null = null
  waiting: Entry[] = []

  constructor(config: NodeConfig, primary: NodeConfig) {
    this.config = config
    this.inRecovery = config.id !== primary.id
    this.conninfo = this.inRecovery
      ? `host=${primary.address} port=${primary.port} user=replicator application_name=${config.id}`
      : ''
  }

  get id(): NodeId {
    return this.config.id
  }

  get positionBytes(): number {
    return baseBytes + this.log.length * entryBytes
  }

  /** Everything that hangs on the process ends with it. */
  end(how: 'told' | 'untold'): void {
    this.running = false
    this.hung = false
    this.endedHow = how
    this.receiver = null
    this.waiting = []
    for (const session of this.sessions) session.alive = false
    this.sessions.clear()
  }

  start(as: 'standby' | 'primary'): void {
    this.running = true
    this.starts++
    this.inRecovery = as === 'standby'
  }
}

export interface Network {
  /** From an observer, `operator`, `clients` or a node to a node. */
  reaches(from: string, to: NodeId): boolean
  hostUp(node: NodeId): boolean
}

export class Databases {
  readonly servers: ReadonlyMap<NodeId, Server>
  readonly acknowledged: Acknowledged[] = []
  private readonly network: Network
  private readonly nowMs: () => number
  private ids = 0
  private pids = 100
  private reigns = 1

  constructor(nodes: readonly NodeConfig[], network: Network, nowMs: () => number) {
    const [primary] = nodes
    if (primary === undefined) throw new Error('no nodes')
    this.network = network
    this.nowMs = nowMs
    this.servers = new Map(nodes.map((node) => [node.id, new Server(node, primary)]))
    const standbys = nodes.slice(1).map((node) => `"${node.id}"`)
    this.of(primary.id).synchronousNames = `ANY 1 (${standbys.join(', ')})`
    this.of(primary.id).reign = 1
  }

  of(node: NodeId): Server {
    const server = this.servers.get(node)
    if (server === undefined) throw new Error(`no server ${node}`)
    return server
  }

  private upstreamOf(server: Server): Server | undefined {
    if (!server.running || !server.inRecovery || isFrozen(server.conninfo)) return undefined
    const options = parseConninfo(server.conninfo)
    return [...this.servers.values()].find(
      ({ config }) => config.address === options.get('host') && String(config.port) === options.get('port'),
    )
  }

  /** Connected, whether or not its log fits: a diverged standby acknowledges, too (H03b). */
  private attached(server: Server): Server | undefined {
    const upstream = this.upstreamOf(server)
    if (upstream === undefined || upstream === server || !upstream.running) return undefined
    const linked = this.network.hostUp(upstream.id) && this.network.reaches(server.id, upstream.id)
    return linked && !upstream.hung && !server.hung ? upstream : undefined
  }

  private fits(server: Server, upstream: Server): boolean {
    const last = server.log.length
    return (
      server.timeline <= upstream.timeline &&
      last <= upstream.log.length &&
      server.log[last - 1]?.id === upstream.log[last - 1]?.id
    )
  }

  /** What streams by itself: done before anybody looks at a server or writes to one. */
  flow(): void {
    for (let again = true; again; ) {
      again = false
      for (const server of this.servers.values()) if (this.receive(server)) again = true
    }
    for (const server of this.servers.values()) this.release(server)
  }

  private receive(server: Server): boolean {
    if (!server.running) return false
    const upstream = this.attached(server)
    if (upstream === undefined || !this.fits(server, upstream)) {
      this.loseReceiver(server)
      return false
    }
    if (server.receiver?.upstream !== upstream.id)
      server.receiver = { pid: ++this.pids, upstream: upstream.id, aliveMs: this.nowMs() }
    server.receiver.aliveMs = this.nowMs()
    if (server.stuck || server.log.length === upstream.log.length) {
      if (!server.stuck) server.timeline = upstream.timeline
      return false
    }
    server.log.push(...upstream.log.slice(server.log.length))
    server.timeline = upstream.timeline
    return true
  }

  /** A dead process resets its streams; a frozen or vanished one leaves them standing for a minute (H14). */
  private loseReceiver(server: Server): void {
    const { receiver } = server
    if (receiver === null) return
    const upstream = this.of(receiver.upstream)
    const stands =
      this.upstreamOf(server) === upstream &&
      this.nowMs() - receiver.aliveMs < receiverTimeoutMs &&
      (upstream.hung || !this.network.hostUp(upstream.id) || !this.network.reaches(server.id, upstream.id))
    if (!stands) server.receiver = null
  }

  private release(server: Server): void {
    if (!server.running || server.inRecovery) return
    // In order: what a standby has, it has with everything before it.
    for (let [first] = server.waiting; first !== undefined; [first] = server.waiting) {
      if (!this.isAcknowledged(server, server.log.length - server.waiting.length + 1)) return
      server.waiting.shift()
      this.acknowledged.push({ id: first.id, node: server.id, reign: server.reign, atMs: this.nowMs() })
    }
  }

  private isAcknowledged(server: Server, length: number): boolean {
    const names = parseSynchronousNames(server.synchronousNames)
    if (names.kind !== 'list' || server.synchronousCommit === 'local') return true
    const holders = names.names.filter((name) =>
      [...this.servers.values()].some((standby) => {
        const { receiver } = standby
        const carries = parseConninfo(standby.conninfo).get('application_name') === name
        if (!carries || standby.log.length < length || standby.stuck) return false
        return this.attached(standby) === server && (receiver !== null || !this.fits(standby, server))
      }),
    )
    return holders.length >= names.k
  }

  /** A commit by a client or a write probe. False: it waits. */
  commit(node: NodeId): 'ok' | 'blocked' | 'refused' {
    const server = this.of(node)
    if (!server.running || server.hung || server.inRecovery) return 'refused'
    const entry = { id: ++this.ids }
    server.log.push(entry)
    server.waiting.push(entry)
    this.flow()
    return server.waiting.includes(entry) ? 'blocked' : 'ok'
  }

  promote(server: Server): void {
    server.inRecovery = false
    server.timeline += 1
    server.receiver = null
    server.reign = ++this.reigns
  }

  /** What a probe from there brings back. */
  probe(from: string, node: NodeId, writeProbe: boolean): ProbeOutcome {
    this.flow()
    const server = this.of(node)
    if (!this.network.reaches(from, node) || !this.network.hostUp(node) || server.hung)
      return { kind: 'timeout', stage: 'connect', afterMs: 1_000 }
    if (server.starting) return { kind: 'sqlError', sqlState: '57P03', message: 'starting up' }
    if (!server.running) return { kind: 'refused', message: 'ECONNREFUSED' }
    const wrote = writeProbe && !server.inRecovery ? this.commit(node) : 'skipped'
    return { kind: 'answered', row: this.row(server, wrote === 'refused' ? 'skipped' : wrote) }
  }

  private row(server: Server, writeProbe: ProbeRow['writeProbe']): ProbeRow {
    const upstream = server.receiver && this.of(server.receiver.upstream)
    return {
      inRecovery: server.inRecovery,
      timeline: server.timeline,
      systemIdentifier: '7',
      positionBytes: server.positionBytes,
      receivedBytes: server.inRecovery ? server.positionBytes : null,
      replayedBytes: server.inRecovery ? server.positionBytes : null,
      replayPaused: server.replayPaused,
      applyDelayMs: 0,
      upstream:
        server.receiver && upstream
          ? {
              pid: server.receiver.pid,
              status: 'streaming',
              timeline: server.timeline,
              host: upstream.config.address,
              port: upstream.config.port,
              latestEndBytes: server.positionBytes,
              lastMessageAgeMs: 1,
            }
          : null,
      primaryConninfo: server.conninfo,
      restoreCommand: server.restoreCommand,
      frozenBy: parseFreeze(server.conninfo),
      downstream: [...this.servers.values()]
        .filter((each) => each.receiver?.upstream === server.id && this.attached(each) === server)
        .map((each) => ({
          applicationName: parseConninfo(each.conninfo).get('application_name') ?? '',
          clientAddress: each.config.address,
          state: 'streaming',
          syncState: 'quorum',
          flushedBytes: each.positionBytes,
        })),
      synchronous: {
        names: server.synchronousNames,
        commit: server.synchronousCommit,
        filesAgree: true,
        overrides: [],
      },
      readOnlyDefault: false,
      writeProbe,
      startedAt: `start ${server.starts}`,
      settings: {},
    }
  }
}
