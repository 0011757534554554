/** Writes the history of a run: what the product does, and what is true meanwhile. */
import { isAlive } from '../../../functions/core/classify.ts'
import type { NodeId, Report } from '../../../functions/core/types.ts'
import type { ItemChange } from '../../steps/model/store.ts'
import type { Act, World } from '../../steps/world.ts'
import type { Answer, Ended, Entry } from '../history.ts'

type Happened = Entry extends infer E ? (E extends Entry ? Omit<E, 'atMs'> : never) : never

export class Recorder {
  readonly entries: Entry[] = []
  private readonly worlds: readonly World[]
  private readonly first: World
  /** By observer and node. */
  private readonly sights = new Map<string, Map<NodeId, Answer>>()
  /** By standby, and whom it was told to follow. */
  private readonly streams = new Map<NodeId, Map<NodeId, boolean>>()
  private readonly writers = new Map<NodeId, string>()
  private readonly said = new Set<string>()
  private readonly told = new Map<NodeId, { deployment: string; term: number }>()
  private readonly acknowledged = new Set<number>()
  private touched = false

  constructor(worlds: readonly World[]) {
    this.worlds = worlds
    this.first = worlds[0] as World
    for (const world of worlds) this.listenTo(world)
    const { databases, names } = this.first
    for (const server of databases.servers.values()) {
      server.changed = (change) => {
        if (change === 'promoted') this.promoted(server.id)
        else this.add({ kind: 'server', node: server.id, change })
        this.touch()
        this.serverChanged(server.id, change)
      }
    }
    databases.probeReturned = ({ id, reign }, commit) => {
      this.acknowledged.add(commit)
      this.add({ kind: 'acknowledged', client: 'probe', commit, node: id, reign })
    }
    names.changed = () => {
      const target = this.first.config.nodes.find((each) => each.dnsName === names.cname?.target)?.id ?? null
      const token = names.read().token
      this.add({
        kind: 'name',
        deployment: names.actor?.deployment ?? null,
        by: names.actor?.by ?? 'somebody by hand',
        owner: token?.deployment ?? null,
        term: token?.term ?? null,
        target,
      })
      names.actor = null
    }
  }

  /** For whoever else wants to know: sessions, supervisors. */
  serverChanged: (node: NodeId, change: string) => void = () => undefined

  add(entry: Happened): void {
    if (entry.kind === 'acknowledged') this.acknowledged.add(entry.commit)
    this.entries.push(Object.assign(entry, { atMs: this.first.time.nowMs }) as Entry)
  }

  /** Something changed that ways and streams hang on: what is true of them is looked at once all of it has. */
  touch(): void {
    if (this.touched) return
    this.touched = true
    this.first.time.after(0, () => {
      this.touched = false
      this.look()
    })
  }

  private listenTo(world: World): void {
    const { deployment } = world.fleet
    world.onAct = (act) => this.act(world, act)
    world.table.changed = (change, by) => {
      this.item(deployment, change, by)
      this.itemChanged(world, change)
    }
  }

  itemChanged: (world: World, change: ItemChange) => void = () => undefined

  private item(deployment: string, change: ItemChange, by: string): void {
    if (change.kind === 'state') this.add({ kind: 'state', deployment, state: change.after, by })
    if (change.kind === 'fleet') this.add({ kind: 'clock', deployment, clockMs: change.after.clockMs })
    if (change.kind === 'approval') this.add({ kind: 'approval', deployment, approval: change.after })
    if (change.kind === 'report') this.report(deployment, change.after)
  }

  private report(deployment: string, { observer, nodes }: Report): void {
    for (const [node, { sessionEnd }] of Object.entries(nodes)) {
      const key = `${deployment} ${observer} ${node}`
      const says = sessionEnd?.how === 'told'
      if (says === this.said.has(key)) continue
      if (says) this.said.add(key)
      else this.said.delete(key)
      this.add({ kind: 'told', deployment, observer, node, says })
    }
  }

  private act(world: World, act: Act): void {
    const { deployment } = world.fleet
    const { by, seen, mine, stalled, stored } = act
    const doing = { kind: 'act', deployment, by: by.name, seen, mine, stalled, stored } as const
    switch (act.kind) {
      case 'sql':
        if (act.action.do === 'promote') this.told.set(act.node, { deployment, term: act.term })
        this.add({ ...doing, what: 'sql', node: act.node, action: act.action, term: act.term })
        break
      case 'power': {
        const recorded = Object.entries(stored?.nodes ?? {}).find(
          ([, { instanceId }]) => instanceId === act.instanceId,
        )?.[0]
        const configured = world.config.nodes.find(({ instanceId }) => instanceId === act.instanceId)?.id
        const node = recorded ?? configured ?? null
        this.add({ ...doing, what: 'power', node, act: act.act, instanceId: act.instanceId })
        break
      }
      case 'host':
        this.add({ ...doing, what: 'host', node: act.node, command: act.command, term: act.term })
        break
      case 'rds':
        this.add({ ...doing, what: 'rds', node: act.node, action: act.action })
    }
    this.touch()
  }

  private promoted(node: NodeId): void {
    const { databases } = this.first
    const server = databases.of(node)
    const told = this.told.get(node)
    this.told.delete(node)
    this.add({
      kind: 'promoted',
      deployment: told?.deployment ?? null,
      node,
      term: told?.term ?? null,
      reign: server.reign,
      timeline: server.timeline,
      missing: this.missingOn(node),
    })
  }

  /** Commits that somebody was told of and that are not in its log. */
  private missingOn(node: NodeId): number[] {
    const { databases } = this.first
    // One byte for each commit there is: histories are long, and promotions many.
    const kept = new Uint8Array(databases.newest + 1)
    for (const { id } of databases.of(node).log) kept[id] = 1
    const missing: number[] = []
    for (const commit of this.acknowledged) if (kept[commit] !== 1) missing.push(commit)
    return missing
  }

  /** Looks at every way, stream and writer, and writes down what is not as it was. */
  look(): void {
    const { config, fleet, databases } = this.first
    databases.flow()
    for (const { id } of config.nodes) {
      const server = databases.of(id)
      const accepts = server.running && !server.starting && !server.inRecovery && this.first.hostUp(id)
      const writes = `${accepts} ${server.reign}`
      if ((this.writers.get(id) ?? 'false') !== writes && (accepts || this.writers.has(id))) {
        this.writers.set(id, writes)
        this.add({ kind: 'writer', node: id, accepts, reign: server.reign, timeline: server.timeline })
      }
      for (const observer of fleet.observers) {
        const sights = of(this.sights, observer.id)
        const answer = this.answer(observer.id, id)
        if (sights.get(id) === answer) continue
        sights.set(id, answer)
        this.add({ kind: 'sight', from: observer.id, node: id, answer })
      }
      this.stream(id)
    }
  }

  /** What a probe would be answered now. */
  private answer(from: string, node: NodeId): Answer {
    const { first } = this
    const server = first.databases.of(node)
    const heard = first.reaches(from, node) && first.reaches(node, from) && first.hostUp(node)
    if (!heard || server.hung) return 'silent'
    if (!server.running) return 'refused'
    if (server.starting) return 'answers'
    if (server.diskFull && !server.inRecovery) return 'silent'
    return server.says === null || isAlive(classOf(server.says)) ? 'answers' : 'silent'
  }

  private stream(id: NodeId): void {
    const { databases } = this.first
    const server = databases.of(id)
    const upstream = databases.upstreamOf(server)
    const streams = of(this.streams, id)
    for (const [node, progresses] of streams) {
      if (node === upstream?.id || !progresses) continue
      streams.set(node, false)
      this.add({ kind: 'stream', from: id, node, progresses: false })
    }
    if (upstream === undefined) return
    const progresses = databases.progresses(server)
    if (streams.get(upstream.id) === progresses) return
    streams.set(upstream.id, progresses)
    this.add({ kind: 'stream', from: id, node: upstream.id, progresses })
  }

  ended(): Ended {
    const { names, databases, config } = this.first
    databases.flow()
    const token = names.read().token
    const target = config.nodes.find((each) => each.dnsName === names.cname?.target)?.id ?? null
    return {
      states: Object.fromEntries(
        this.worlds.map(({ fleet, table, config: { id } }) => [fleet.deployment, table.states.get(id)]),
      ),
      name: { owner: token?.deployment ?? null, term: token?.term ?? null, target },
      servers: config.nodes.map(({ id }) => {
        const server = databases.of(id)
        return {
          id,
          running: server.running,
          inRecovery: server.inRecovery,
          writable: databases.commit(id) === 'ok',
          timeline: server.timeline,
          streamsFrom: server.receiver?.upstream ?? null,
        }
      }),
      missing: target === null ? [] : this.missingOn(target),
      events: Object.fromEntries(
        this.worlds.map(({ fleet, table }) => [
          fleet.deployment,
          [...table.events.values()].map(({ term, version }) => `${term}.${version}`),
        ]),
      ),
    }
  }
}

/** The inner map of that key. */
function of<V>(all: Map<string, Map<string, V>>, key: string): Map<string, V> {
  const known = all.get(key) ?? new Map<string, V>()
  all.set(key, known)
  return known
}

function classOf(sqlState: string) {
  return sqlState === '57P03' ? 'starting' : sqlState.startsWith('53') ? 'busy' : 'denied'
}
