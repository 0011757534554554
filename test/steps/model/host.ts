/** Host commands, recognised by the builders that make their scripts, and carried out on model servers. */
import { hostOf } from '../../../functions/core/host.ts'
import { freezeName } from '../../../functions/core/limits.ts'
import type { ClusterConfig, NodeConfig } from '../../../functions/core/types.ts'
import {
  formatConninfo,
  frozenConninfo,
  replaceUpstream,
} from '../../../functions/engines/postgres/conninfo.ts'
import {
  detached,
  discardOldDataScript,
  rejoinScript,
  resumeWritesScript,
  stopWritesScript,
} from '../../../functions/engines/postgres/host.ts'
import type { Host } from '../../../functions/ports.ts'
import { baseBytes, type Databases, following, type Server } from './postgres.ts'

export type HostCommand = { readonly term: number } & (
  | { readonly do: 'stopWrites' | 'resumeWrites' | 'discard' }
  | { readonly do: 'rejoin'; readonly upstream: NodeConfig }
)

class Refusal extends Error {}

/** Which builder made it, from what. Throws on any other script. */
export function recognise(
  cluster: ClusterConfig,
  deployment: string,
  node: NodeConfig,
  script: string,
): HostCommand {
  const term = Number(/^term=(\d+)$/m.exec(script)?.[1])
  const host = hostOf(cluster, node.id)
  if (host === null) throw new Error('no host is configured')
  const base = { deployment, term, node: node.id, host }
  const is = (made: string) => script === made || script === detached(made)
  if (is(stopWritesScript(base))) return { do: 'stopWrites', term }
  if (is(resumeWritesScript(base))) return { do: 'resumeWrites', term }
  if (is(discardOldDataScript(base))) return { do: 'discard', term }
  const { replicationUser } = cluster.connection
  const applicationName = `${node.id}_unlisted`
  const upstream = cluster.nodes.find((each) =>
    is(rejoinScript({ ...base, upstream: each, replicationUser, applicationName })),
  )
  if (upstream) return { do: 'rejoin', term, upstream }
  throw new Error(`a script that no builder made: ${script.slice(0, 80)}`)
}

export interface HostWorld {
  readonly databases: Databases
  readonly deployment: string
  readonly hostUp: (node: string) => boolean
  /** One sub-step on the host, where faults happen. */
  step<T>(name: string, effect: () => T): Promise<T>
}

export async function runOnHost(
  world: HostWorld,
  node: NodeConfig,
  command: HostCommand,
): ReturnType<Host['run']> {
  if (!world.hostUp(node.id)) return { outcome: 'unknown', message: 'the agent does not answer' }
  const server = world.databases.of(node.id)
  try {
    const said = await carryOut(world, server, command)
    return { outcome: 'done', stdout: `${said}\noutcome=done` }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { outcome: error instanceof Refusal ? 'refused' : 'unknown', message }
  }
}

async function carryOut(world: HostWorld, server: Server, command: HostCommand): Promise<string> {
  const mark = following(server.conninfo).mark
  if (mark && mark.deployment !== world.deployment) throw new Refusal('the mark of another deployment')
  if (mark && mark.term > command.term) throw new Refusal(`the mark of the newer term ${mark.term}`)
  switch (command.do) {
    case 'stopWrites':
      return stopWrites(world, server, command.term)
    case 'resumeWrites':
      return resumeWrites(world, server, command.term)
    case 'rejoin':
      return rejoin(world, server, command.term, command.upstream)
    case 'discard':
      return 'discarded 0'
  }
}

async function stopWrites(world: HostWorld, server: Server, term: number): Promise<string> {
  const step = <T>(name: string, effect: () => T) => world.step(`stopWrites-${name}:${server.id}`, effect)
  const { deployment } = world
  const ours = server.stopped?.term === term
  if (server.running && server.inRecovery) {
    if (!ours || following(server.conninfo).mark?.term !== term)
      throw new Refusal('in recovery, not by this term')
    return `checkpoint=${server.stopped?.checkpointBytes}`
  }
  if (!server.running && !ours) throw new Refusal('the server is stopped, and not by this term')
  if (server.running) {
    await step('aside', () => {
      server.stopped = { term, checkpointBytes: null, conninfo: server.conninfo }
    })
    await step('stop', () => {
      // The shutdown waits for every attached standby to have its checkpoint.
      const checkpointBytes = server.positionBytes
      world.databases.commit(server.id)
      server.end('told')
      server.stopped = { term, conninfo: server.stopped?.conninfo ?? '', checkpointBytes }
    })
  }
  const checkpoint = server.stopped?.checkpointBytes ?? null
  if (checkpoint === null) throw new Error('the server did not shut down cleanly')
  await step('freeze', () => {
    server.inRecovery = true
    server.conninfo = frozenConninfo(server.conninfo, { deployment, term })
  })
  await step('start', () => {
    if (!server.running) server.start('standby')
  })
  return `checkpoint=${checkpoint}`
}

async function resumeWrites(world: HostWorld, server: Server, term: number): Promise<string> {
  const step = <T>(name: string, effect: () => T) => world.step(`resumeWrites-${name}:${server.id}`, effect)
  if (server.running && !server.inRecovery) {
    server.stopped = null
    return 'already: the server is the primary'
  }
  if (server.stopped === null) throw new Refusal('no write-stop of ours is recorded on this host')
  if (server.stopped.term > term) throw new Refusal('stopped for a newer term')
  if (server.running && !following(server.conninfo).frozen) throw new Refusal('the server follows somebody')
  await step('stop', () => server.running && server.end('told'))
  await step('start', () => {
    server.conninfo = server.stopped?.conninfo ?? ''
    server.stopped = null
    server.start('primary')
  })
  return 'the server is the primary again'
}

async function rejoin(world: HostWorld, server: Server, term: number, from: NodeConfig): Promise<string> {
  const step = <T>(name: string, effect: () => T) => world.step(`rejoin-${name}:${server.id}`, effect)
  const { deployment } = world
  if (server.running && !server.inRecovery) throw new Refusal('the server is not in recovery')
  if (server.running && following(server.conninfo).mark === null) throw new Refusal('no mark of ours')
  if (server.running && server.receiver?.upstream === from.id) return 'already: streams'
  const upstream = world.databases.of(from.id)
  // The signal file and the mark first: whatever starts the server from here on starts a standby (H08).
  await step('signal', () => {
    server.end('told')
    server.inRecovery = true
    server.conninfo = frozenConninfo(server.conninfo, { deployment, term })
  })
  await step('half', () => {
    server.half = true
  })
  await step('copy', () => {
    if (!upstream.running || upstream.inRecovery || !world.hostUp(from.id))
      throw new Error('pg_basebackup from the upstream failed')
    server.log = [...upstream.log]
    server.timeline = upstream.timeline
    server.half = false
  })
  await step('start', () => {
    if (server.half) throw new Error('half a copy can not be started')
    server.conninfo = formatConninfo(
      replaceUpstream(server.conninfo, [
        ['host', from.address],
        ['port', String(from.port)],
        ['user', 'replicator'],
        ['application_name', `${server.id}_unlisted`],
        ['fallback_application_name', freezeName(deployment, term)],
      ]),
    )
    server.stopped = null
    server.start('standby')
    world.databases.flow()
  })
  if (server.positionBytes < baseBytes) throw new Error('an empty copy')
  return 'copied from the upstream'
}
