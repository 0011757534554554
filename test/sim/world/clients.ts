/**
 * Applications: they find the primary by its name, keep their sessions for as long as they last, and know only what they
 * were told. Pools hold on to an address; some clients write wherever a server lets them.
 */
import type { NodeId } from '../../../functions/core/types.ts'
import type { World } from '../../steps/world.ts'
import type { EntryOf } from '../history.ts'
import type { Random } from '../random.ts'

export interface ClientsOptions {
  readonly world: World
  readonly random: Random
  readonly record: (entry: Omit<EntryOf<'acknowledged'>, 'atMs'> | Omit<EntryOf<'cutShort'>, 'atMs'>) => void
}

/** How a client finds the server that it writes to. */
type Habit = 'name' | 'pool' | 'everywhere'

/** A session: with this start of this server. */
interface Session {
  readonly node: NodeId
  readonly starts: number
}

const giveUpMs = 5_000

export class Clients {
  /** How often a client writes, milliseconds. */
  everyMs = 1_000
  /** How often a wait that became too long is cancelled instead of its connection closed (S2). */
  cancels = 0
  private readonly options: ClientsOptions
  private over = false

  constructor(options: ClientsOptions) {
    this.options = options
  }

  start(): void {
    const habits: readonly Habit[] = ['name', 'pool', 'everywhere']
    for (const habit of habits) void this.work(habit, this.options.random.split(habit))
  }

  /** They write no more. */
  end(): void {
    this.over = true
  }

  private async work(habit: Habit, random: Random): Promise<void> {
    const { world } = this.options
    let session: Session | null = null
    let cached: { node: NodeId; untilMs: number } | null = null
    let failures = 0
    while (!this.over) {
      await world.time.sleep(this.everyMs / 2 + random.below(this.everyMs))
      if (habit === 'everywhere') {
        await this.write(world.config.nodes[random.below(world.config.nodes.length)]?.id ?? '', habit, random)
        continue
      }
      if (session === null) {
        // A pool tries the address that it knows again and again, before it asks for another.
        const keeps: boolean = habit === 'pool' && cached !== null && failures < 8
        if (!keeps && (cached === null || world.time.nowMs >= cached.untilMs)) cached = this.resolve()
        session = cached && this.connect(cached.node)
      }
      const written: boolean = session !== null && (await this.write(session.node, habit, random, session))
      failures = written ? 0 : failures + 1
      if (!written) session = null
      if (failures > 8) cached = null
    }
  }

  private resolve(): { node: NodeId; untilMs: number } | null {
    const { names, config, time } = this.options.world
    const { answered } = names
    const node = config.nodes.find((each) => each.dnsName === answered?.target)
    return node ? { node: node.id, untilMs: time.nowMs + (answered?.ttlSeconds ?? 0) * 1_000 } : null
  }

  private connect(node: NodeId): Session | null {
    const { world } = this.options
    const server = world.databases.of(node)
    const answers = this.reaches(node) && server.running && !server.starting && !server.hung
    return answers && !server.inRecovery ? { node, starts: server.starts } : null
  }

  private reaches(node: NodeId): boolean {
    const { world } = this.options
    return world.reaches('clients', node) && world.reaches(node, 'clients') && world.hostUp(node)
  }

  /** True: committed, as far as the client was told. */
  private async write(node: NodeId, client: string, random: Random, session?: Session): Promise<boolean> {
    const { world, record } = this.options
    const { databases, time } = world
    if (!world.reaches('clients', node) || !world.hostUp(node)) return false
    if (session && databases.of(node).starts !== session.starts) return false
    const { promise, resolve } = Promise.withResolvers<boolean>()
    let waits = true
    const outcome = databases.commit(node, (server, commit) => {
      if (!waits) return
      // Told when the words arrive; who has lost the way to the server knows nothing.
      time.after(1, () => {
        const told = waits && world.reaches(node, 'clients') && world.hostUp(node)
        if (told) record({ kind: 'acknowledged', client, commit, node, reign: server.reign })
        waits = false
        alarm.cancel()
        resolve(told)
      })
    })
    const commit = databases.newest
    const alarm = time.after(outcome === 'refused' ? 1 : giveUpMs, () => {
      waits = false
      if (outcome === 'blocked' && random.chance(this.cancels)) record({ kind: 'cutShort', commit })
      resolve(false)
    })
    return promise
  }
}
