/** The engine as observers use it: probes over ways that take their time, and sessions that notice how a server ends. */
import type { ClusterConfig, NodeId, ProbeOutcome } from '../../../functions/core/types.ts'
import type { Engine, ProbeSession, SessionEnded } from '../../../functions/ports.ts'
import type { Server } from '../../steps/model/postgres.ts'
import type { World } from '../../steps/world.ts'

type Probing = { timeoutMs: number; writeProbe: boolean }

/** An open session of an observer's loop. */
interface Open {
  readonly server: Server
  readonly starts: number
}

export class Ways {
  /** One way to a node and back, milliseconds. */
  linkMs: (from: string, to: NodeId) => number = () => 1
  private readonly world: World
  private readonly listening = new Map<NodeId, Set<() => void>>()

  constructor(world: World) {
    this.world = world
  }

  /** The server of a node has ended, by a word or without: those whose session it had are told so, if they can be. */
  ended(node: NodeId): void {
    for (const hear of [...(this.listening.get(node) ?? [])]) hear()
  }

  async probe(from: string, node: NodeId, { timeoutMs, writeProbe }: Probing): Promise<ProbeOutcome> {
    const { time, databases } = this.world
    const wayMs = this.linkMs(from, node)
    if (wayMs >= timeoutMs) {
      await time.sleep(timeoutMs)
      return { kind: 'timeout', stage: 'connect', afterMs: timeoutMs }
    }
    await time.sleep(wayMs)
    const outcome = databases.probe(from, node, writeProbe)
    const waits =
      outcome.kind === 'timeout' || (outcome.kind === 'answered' && outcome.row.writeProbe === 'blocked')
    if (waits) await time.sleep(timeoutMs - wayMs)
    return outcome
  }

  /** The engine of one observer. */
  engineOf(from: string, clock: { isDead(): boolean }): Engine {
    const nodeAt = (cluster: ClusterConfig, address: string) =>
      cluster.nodes.find((each) => each.address === address)?.id
    return {
      probe: async (cluster, { address }, options) => {
        const node = nodeAt(cluster, address)
        if (node === undefined) return { kind: 'unreachable', message: `no route to ${address}` }
        return this.probe(from, node, options)
      },
      openSession: (_cluster, node, onEnd) => this.session(from, node.id, clock, onEnd),
      act: () => {
        throw new Error('an observer does not act')
      },
    }
  }

  private session(
    from: string,
    node: NodeId,
    clock: { isDead(): boolean },
    onEnd: (ended: SessionEnded) => void,
  ): ProbeSession {
    const { world } = this
    let open: Open | null = null
    const hearers = this.listening.get(node) ?? new Set<() => void>()
    this.listening.set(node, hearers)
    const hear = () => {
      if (open === null || open.server.running) return
      // A host that is gone says nothing, nor does one whose words do not come through.
      if (!world.hostUp(node) || !world.reaches(node, from)) return
      const { endedHow } = open.server
      open = null
      world.time.after(this.linkMs(from, node), () => {
        if (!clock.isDead()) onEnd({ how: endedHow, code: endedHow === 'told' ? '57P01' : null })
      })
    }
    hearers.add(hear)
    return {
      probe: async (options) => {
        const outcome = await this.probe(from, node, options)
        const server = world.databases.of(node)
        if (outcome.kind === 'timeout') open = null
        else if (open !== null && (open.server !== server || open.starts !== server.starts)) {
          // The session of a server that is gone is reset by the one that is there now.
          open = null
          onEnd({ how: 'untold', code: null })
          return { kind: 'reset', message: 'ECONNRESET' }
        } else if (outcome.kind === 'answered') open ??= { server, starts: server.starts }
        return outcome
      },
      close: () => void hearers.delete(hear),
    }
  }
}
