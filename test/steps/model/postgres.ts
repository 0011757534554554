/**
 * Three PostgreSQL servers as far as failover is concerned: a log, timelines, streaming by `primary_conninfo`, commits
 * that wait for a synchronous list, sessions of the operator role, files that decide what a start makes of a server.
 */
import { parseSynchronousNames } from '../../../functions/core/synchronous.ts'
import type { Downstream, NodeConfig, NodeId, ProbeOutcome, ProbeRow } from '../../../functions/core/types.ts'
import { isFrozen, parseConninfo, parseMark } from '../../../functions/engines/postgres/conninfo.ts'

/** One entry of the log. The same id at the same place means the same log up to there. */
export interface Entry {
  readonly id: number
  /** Called once when its commit returns. */
  readonly returned?: ((server: Server, commit: number) => void) | undefined
}

/** What a `primary_conninfo` says. */
interface Following {
  readonly host: string | undefined
  readonly port: string | undefined
  readonly name: string
  readonly frozen: boolean
  /** Deployment and term that it carries, in force as a freeze or not. */
  readonly mark: ProbeRow['frozenBy']
}

const followings = new Map<string, Following>()

/** Parsed once for each text: it is looked at by every probe and commit. */
export function following(conninfo: string): Following {
  const known = followings.get(conninfo)
  if (known) return known
  const options = parseConninfo(conninfo)
  const parsed = {
    host: options.get('host'),
    port: options.get('port'),
    name: options.get('application_name') ?? '',
    frozen: isFrozen(conninfo),
    mark: parseMark(conninfo),
  }
  if (followings.size > 10_000) followings.clear()
  followings.set(conninfo, parsed)
  return parsed
}

const lists = new Map<string, ReturnType<typeof parseSynchronousNames>>()

function synchronousList(names: string): ReturnType<typeof parseSynchronousNames> {
  const known = lists.get(names)
  if (known) return known
  const parsed = parseSynchronousNames(names)
  if (lists.size > 10_000) lists.clear()
  lists.set(names, parsed)
  return parsed
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
/** How a probe of so many milliseconds ends that gets no answer. */
const silence = { kind: 'timeout', stage: 'connect', afterMs: 1_000 } as const
const startingUp = { kind: 'sqlError', sqlState: '57P03', message: 'starting up' } as const
const refused = { kind: 'refused', message: 'ECONNREFUSED' } as const
const noSpace = { kind: 'sqlError', sqlState: '53100', message: 'no space left on device' } as const

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
  /** Length of the log that its upstream knows it to have. */
  heard = 0
  /** So many entries behind its upstream, at least. */
  lag = 0
  /** `recovery_min_apply_delay`. */
  applyDelayMs = 0
  /** It answers and can not commit (F23). */
  diskFull = false
  /** SQLSTATE with which it answers every new question (S7); null: it serves. */
  says: string | null = null
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
  /** Whom this conninfo says to follow, looked up once. */
  told: { readonly conninfo: string; readonly upstream: Server | undefined } | null = null
  /** Called after each change of what its process is: started, ended, frozen, promoted. */
  changed: (change: 'started' | 'told' | 'untold' | 'hung' | 'unhung' | 'promoted') => void = () => undefined

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
    this.starting = false
    this.changed(how)
  }

  start(as: 'standby' | 'primary'): void {
    this.running = true
    this.starts++
    this.inRecovery = as === 'standby'
    this.changed('started')
  }

  /** SIGSTOP and SIGCONT. */
  hang(hung: boolean): void {
    if (!this.running || this.hung === hung) return
    this.hung = hung
    this.changed(hung ? 'hung' : 'unhung')
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
  /** A write probe's commit has returned. */
  probeReturned: (server: Server, commit: number) => void = () => undefined
  /** How many entries a stream sends without an answer. */
  window = 0
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

  /** Whom it is told to follow; undefined while it is no running standby, or is frozen. */
  upstreamOf(server: Server): Server | undefined {
    if (!server.running || server.starting || !server.inRecovery) return undefined
    if (server.told?.conninfo !== server.conninfo) {
      const { frozen, host, port } = following(server.conninfo)
      const isIt = ({ config }: Server) => config.address === host && String(config.port) === port
      const upstream = frozen ? undefined : [...this.servers.values()].find(isIt)
      server.told = { conninfo: server.conninfo, upstream }
    }
    return server.told.upstream
  }

  /** Connected, whether or not its log fits: a diverged standby acknowledges, too (H03b). */
  private attached(server: Server): Server | undefined {
    const upstream = this.upstreamOf(server)
    if (upstream === undefined || upstream === server || !upstream.running || upstream.starting)
      return undefined
    if (upstream.hung || server.hung || !this.network.hostUp(upstream.id)) return undefined
    const there = this.network.reaches(server.id, upstream.id)
    return there && this.network.reaches(upstream.id, server.id) ? upstream : undefined
  }

  /** A stream whose answers are lost on their way goes on for as much as TCP sends without one. */
  private receivesUnheard(server: Server): void {
    const upstream = this.upstreamOf(server)
    if (upstream === undefined || server.receiver?.upstream !== upstream.id || server.hung) return
    if (!upstream.running || upstream.hung || !this.network.hostUp(upstream.id) || server.stuck) return
    if (!this.network.reaches(upstream.id, server.id) || !this.fits(server, upstream)) return
    const end = Math.min(upstream.log.length, server.heard + this.window)
    if (end > server.log.length) server.log.push(...upstream.log.slice(server.log.length, end))
  }

  /** What the upstream commits now reaches the standby. */
  progresses(server: Server): boolean {
    const upstream = this.attached(server)
    return upstream !== undefined && !server.stuck && !server.diskFull && this.fits(server, upstream)
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
      if (this.window > 0 && upstream === undefined) this.receivesUnheard(server)
      this.loseReceiver(server)
      return false
    }
    if (server.receiver?.upstream !== upstream.id)
      server.receiver = { pid: ++this.pids, upstream: upstream.id, aliveMs: this.nowMs() }
    server.receiver.aliveMs = this.nowMs()
    server.heard = server.log.length
    if (server.stuck || server.diskFull) return false
    const end = upstream.log.length - server.lag
    if (server.log.length >= end) {
      server.timeline = upstream.timeline
      return false
    }
    server.log.push(...upstream.log.slice(server.log.length, end))
    server.heard = server.log.length
    server.timeline = upstream.timeline
    return true
  }

  /** A dead process resets its streams; a frozen or vanished one leaves them standing for a minute (H14). */
  private loseReceiver(server: Server): void {
    const { receiver } = server
    if (receiver === null) return
    const upstream = this.of(receiver.upstream)
    const reaches = (from: Server, to: Server) => this.network.reaches(from.id, to.id)
    const stands =
      this.upstreamOf(server) === upstream &&
      this.nowMs() - receiver.aliveMs < receiverTimeoutMs &&
      (upstream.hung ||
        !this.network.hostUp(upstream.id) ||
        !reaches(server, upstream) ||
        !reaches(upstream, server))
    if (!stands) server.receiver = null
  }

  private release(server: Server): void {
    if (server.waiting.length === 0 || !server.running || server.inRecovery) return
    // In order: what a standby has, it has with everything before it.
    for (let [first] = server.waiting; first !== undefined; [first] = server.waiting) {
      if (!this.isAcknowledged(server, server.log.length - server.waiting.length + 1)) return
      server.waiting.shift()
      this.acknowledged.push({ id: first.id, node: server.id, reign: server.reign, atMs: this.nowMs() })
      if (first.returned) first.returned(server, first.id)
      else this.probeReturned(server, first.id)
    }
  }

  private isAcknowledged(server: Server, length: number): boolean {
    const names = synchronousList(server.synchronousNames)
    if (names.kind !== 'list' || server.synchronousCommit === 'local') return true
    let holders = 0
    for (const name of names.names) {
      for (const standby of this.servers.values()) {
        if (standby.log.length < length || standby.stuck || !standby.running) continue
        if (following(standby.conninfo).name !== name || this.attached(standby) !== server) continue
        if (standby.receiver === null && this.fits(standby, server)) continue
        holders++
        break
      }
    }
    return holders >= names.k
  }

  /** Id of the last commit of all. */
  get newest(): number {
    return this.ids
  }

  /** A commit by a client or a write probe. `blocked`: it waits; `returned` is called when it returns. */
  commit(node: NodeId, returned?: Entry['returned']): 'ok' | 'blocked' | 'refused' {
    const server = this.of(node)
    if (!server.running || server.starting || server.hung || server.inRecovery) return 'refused'
    if (server.diskFull || server.says !== null) return 'refused'
    const entry: Entry = { id: ++this.ids, returned }
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
    server.changed('promoted')
  }

  /** What a probe from there brings back. */
  probe(from: string, node: NodeId, writeProbe: boolean): ProbeOutcome {
    this.flow()
    const server = this.of(node)
    if (!this.network.reaches(from, node) || !this.network.hostUp(node) || server.hung) return silence
    // A question that arrives is worked upon, whether or not its answer finds the way back.
    const heard = this.network.reaches(node, from)
    if (server.starting) return heard ? startingUp : silence
    if (!server.running) return heard ? refused : silence
    if (server.says !== null) {
      const answer = { kind: 'sqlError', sqlState: server.says, message: `SQLSTATE ${server.says}` } as const
      return heard ? answer : silence
    }
    const writes = writeProbe && !server.inRecovery
    if (writes && server.diskFull) return heard ? noSpace : silence
    const wrote = writes ? this.commit(node) : 'skipped'
    if (!heard) return silence
    return { kind: 'answered', row: this.row(server, wrote === 'refused' ? 'skipped' : wrote) }
  }

  private downstreamOf(server: Server): Downstream[] {
    const all: Downstream[] = []
    for (const each of this.servers.values()) {
      if (each.receiver?.upstream !== server.id || this.attached(each) !== server) continue
      all.push({
        applicationName: following(each.conninfo).name,
        clientAddress: each.config.address,
        state: 'streaming',
        syncState: 'quorum',
        flushedBytes: each.positionBytes,
      })
    }
    return all
  }

  protected row(server: Server, writeProbe: ProbeRow['writeProbe']): ProbeRow {
    const upstream = server.receiver && this.of(server.receiver.upstream)
    const told = following(server.conninfo)
    return {
      inRecovery: server.inRecovery,
      timeline: server.timeline,
      systemIdentifier: '7',
      positionBytes: server.positionBytes,
      receivedBytes: server.inRecovery ? server.positionBytes : null,
      replayedBytes: server.inRecovery ? server.positionBytes : null,
      replayPaused: server.replayPaused,
      applyDelayMs: server.applyDelayMs,
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
      frozenBy: told.frozen ? told.mark : null,
      downstream: this.downstreamOf(server),
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
