/** The servers of the model of RDS: who streams from whom, who lets clients in, what a probe reads. */
import type { NodeConfig, NodeId, ProbeOutcome, ProbeRow } from '../../functions/core/types.ts'
import { Databases, type Network, Server } from '../steps/model/postgres.ts'
import type { Instance, ModelRds } from './rdsModel.ts'

/** The servers behind the names: `of` a node is the server of whoever has its identifier now. */
export class RdsDatabases extends Databases {
  plane: ModelRds | undefined
  private readonly wires: Network
  private readonly now: () => number
  private readonly nobody = new Map<NodeId, Server>()
  private readonly configs: readonly NodeConfig[]
  private commits = 0

  constructor(nodes: readonly NodeConfig[], network: Network, nowMs: () => number) {
    super(nodes, network, nowMs)
    this.wires = network
    this.now = nowMs
    this.configs = nodes
    this.plane = undefined
    for (const node of nodes) {
      const server = new Server(node, node)
      server.running = false
      this.nobody.set(node.id, server)
    }
  }

  instanceOf(node: NodeId): Instance | null {
    const config = this.configs.find((each) => each.id === node)
    const held = config ? this.plane?.held(config.instanceId) : null
    return held && held.status !== 'creating' ? held : null
  }

  override of(node: NodeId): Server {
    if (this.plane === undefined) return super.of(node)
    const nobody = this.nobody.get(node)
    if (nobody === undefined) throw new Error(`no node ${node}`)
    return this.instanceOf(node)?.server ?? nobody
  }

  override flow(): void {
    for (const each of this.plane?.present ?? []) {
      const { source, server } = each
      const receives = this.plane?.isFed(each) && server.running && server.inRecovery && !server.stuck
      if (!receives || source === null) continue
      if (server.log.length < source.server.log.length)
        server.log.push(...source.server.log.slice(server.log.length))
    }
  }

  /** A client that has the address of the node, and keeps its session for as long as the server runs. */
  override commit(node: NodeId): 'ok' | 'blocked' | 'refused' {
    const instance = this.instanceOf(node)
    return instance ? this.commitOn(instance, node) : 'refused'
  }

  commitOn(instance: Instance, name: string): 'ok' | 'refused' {
    const { server } = instance
    if (!server.running || server.hung) return 'refused'
    if (instance.clientsSince !== server.starts && !instance.open) return 'refused'
    if (this.now() < instance.keptOutUntilMs) return 'refused'
    instance.clientsSince = server.starts
    if (server.inRecovery) return 'refused'
    const id = ++this.commits
    server.log.push({ id })
    this.flow()
    this.acknowledged.push({ id, node: name, reign: server.reign, atMs: this.now() })
    return 'ok'
  }

  override probe(from: string, node: NodeId, writeProbe: boolean): ProbeOutcome {
    this.flow()
    const instance = this.instanceOf(node)
    if (instance === null) return { kind: 'unreachable', message: 'no such host' }
    const { server } = instance
    if (!this.wires.reaches(from, node) || server.hung || instance.status === 'stopped')
      return { kind: 'timeout', stage: 'connect', afterMs: 1_000 }
    if (!server.running) return { kind: 'refused', message: 'ECONNREFUSED' }
    const writes = writeProbe && !server.inRecovery
    if (writes) server.log.push({ id: 0 })
    return { kind: 'answered', row: this.rowOf(instance, writes ? 'ok' : 'skipped') }
  }

  private rowOf(instance: Instance, writeProbe: 'ok' | 'skipped'): ProbeRow {
    const { server } = instance
    const streams = server.inRecovery && this.plane?.isFed(instance)
    return {
      inRecovery: server.inRecovery,
      timeline: server.timeline,
      systemIdentifier: '7',
      positionBytes: server.positionBytes,
      receivedBytes: server.inRecovery ? server.positionBytes : null,
      replayedBytes: server.inRecovery ? server.positionBytes : null,
      replayPaused: server.replayPaused,
      applyDelayMs: 0,
      upstream: streams
        ? {
            pid: 7,
            status: 'streaming',
            timeline: server.timeline,
            // As on RDS: an address of its own network that no node is configured with.
            host: '172.31.0.7',
            port: 5432,
            latestEndBytes: server.positionBytes,
            lastMessageAgeMs: 1,
          }
        : null,
      primaryConninfo: '',
      restoreCommand: '',
      frozenBy: null,
      downstream: [],
      synchronous: { names: '', commit: 'on', filesAgree: null, overrides: [] },
      readOnlyDefault: false,
      writeProbe,
      startedAt: `start ${server.starts}`,
      settings: {},
    }
  }
}
