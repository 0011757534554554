/** The acts of the PostgreSQL engine on model servers: the same comparisons, the same discipline of sessions (S4). */

import { freezeName } from '../../../functions/core/limits.ts'
import type { ClusterConfig } from '../../../functions/core/types.ts'
import {
  formatConninfo,
  frozenConninfo,
  frozenPrefix,
  replaceUpstream,
} from '../../../functions/engines/postgres/conninfo.ts'
import type { Engine, SqlAction, SqlResult } from '../../../functions/ports.ts'
import { type Databases, following, type Server, type Session } from './postgres.ts'
import type { VirtualTime } from './time.ts'

class Refusal extends Error {}

/** How often a session looks whether its promotion has come about. */
const promotionLookMs = 2

export interface EngineWorld {
  readonly databases: Databases
  readonly reachable: (node: string) => boolean
  /** One round trip to the node, where faults happen. */
  trip<T>(name: string, effect: () => T): Promise<T>
  readonly time: Pick<VirtualTime, 'sleep' | 'until'>
  /** Called at the effect of each act. */
  acted(act: { node: string; action: SqlAction; term: number }): void
  /** How long a promotion takes after it was asked for. */
  readonly promotionMs: number
}

type Context = Parameters<Engine['act']>[3]

export function modelEngine(world: EngineWorld): Pick<Engine, 'act'> {
  return {
    async act(_cluster: ClusterConfig, node, action, context) {
      const server = world.databases.of(node.id)
      const session: Session = { term: context.term, alive: true }
      try {
        await world.trip(`connect:${node.id}`, () => {
          if (!world.reachable(node.id)) throw new Error('no session: no answer in time')
          if (!server.running || server.starting) throw new Error('no session: refused')
          server.sessions.add(session)
        })
        await open(world, server, session, context)
        return await carryOut(world, server, session, action, context)
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        return { outcome: error instanceof Refusal ? 'refused' : 'unknown', message }
      } finally {
        server.sessions.delete(session)
      }
    },
  }
}

async function open(world: EngineWorld, server: Server, session: Session, context: Context): Promise<void> {
  await context.guard().catch((error) => {
    throw new Refusal(`the claim could not be shown: ${error}`)
  })
  await world.trip(`session:${server.id}`, () => {
    if (!session.alive) throw new Error('the session was ended')
    for (const other of server.sessions) {
      if (other.term > session.term) throw new Refusal('an operator of a newer term is on the node')
    }
    for (const other of server.sessions) if (other !== session) other.alive = false
  })
}

async function carryOut(
  world: EngineWorld,
  server: Server,
  session: Session,
  action: SqlAction,
  context: Context,
): Promise<SqlResult> {
  const statement = <T>(name: string, effect: () => T) =>
    world.trip(`${name}:${server.id}`, () => {
      if (!session.alive || !server.running || server.hung) throw new Error('the session was ended')
      world.databases.flow()
      const value = effect()
      world.databases.flow()
      return value
    })
  const acted = () => world.acted({ node: server.id, action, term: context.term })
  if (action.do !== 'promote') {
    return statement(action.do, () => {
      const result = effects(server, action, context)
      acted()
      return result
    })
  }
  const before = await statement('view', () => promotable(server, action, context))
  if (before !== null) return { outcome: 'done', timeline: before, message: 'out of recovery already' }
  await statement('setList', () => {
    server.synchronousNames = action.synchronousStandbyNames
  })
  await statement('promote', () => {
    if (promotable(server, action, context) !== null) return
    acted()
    promoteLater(world, server)
  })
  let waitedMs = 0
  const isPromoted = () => {
    waitedMs += promotionLookMs
    if (!session.alive) throw new Error('the session was ended')
    if (server.inRecovery && waitedMs > context.timeoutMs)
      throw new Error('promotion was asked for and the node is in recovery')
    return !server.inRecovery
  }
  if (server.inRecovery) await world.time.until(isPromoted, promotionLookMs)
  return { outcome: 'done', timeline: server.timeline, message: 'promoted' }
}

/** Asked for once, it comes about whatever happens to the session. */
function promoteLater(world: EngineWorld, server: Server): void {
  void world.time.sleep(world.promotionMs).then(() => {
    if (server.running && server.inRecovery) world.databases.promote(server)
  })
}

function promotable(
  server: Server,
  action: SqlAction & { do: 'promote' },
  { deployment, term }: Context,
): number | null {
  if (!server.inRecovery) {
    if (server.timeline > action.expectedTimeline) return server.timeline
    throw new Refusal(`the node is out of recovery on timeline ${server.timeline}`)
  }
  if (!`${server.conninfo} `.startsWith(`${frozenPrefix({ deployment, term })} `))
    throw new Refusal(`the node is not frozen for term ${term}`)
  if (server.restoreCommand !== '') throw new Refusal('the node still restores from the archive')
  if (server.timeline !== action.expectedTimeline)
    throw new Refusal(`the node is on timeline ${server.timeline}`)
  if (server.receiver !== null) throw new Refusal('the node has a WAL receiver')
  return null
}

function isFrozenFor(server: Server, { deployment, term }: Context): boolean {
  const mark = following(server.conninfo).mark
  return (
    following(server.conninfo).frozen &&
    server.restoreCommand === '' &&
    mark?.deployment === deployment &&
    mark.term === term
  )
}

function effects(server: Server, action: Exclude<SqlAction, { do: 'promote' }>, context: Context): SqlResult {
  if (action.do === 'endSessions') throw new Refusal('not a managed instance')
  if (action.do === 'list') {
    if (server.inRecovery) throw new Refusal('the node is in recovery')
    server.synchronousNames = action.synchronousStandbyNames
    return { outcome: 'done', message: 'listed' }
  }
  if (!server.inRecovery) throw new Refusal('the node is out of recovery')
  const mark = following(server.conninfo).mark
  if (mark && action.do !== 'measure') {
    if (mark.deployment !== context.deployment) throw new Refusal(`the mark of ${mark.deployment} is on it`)
    if (mark.term > context.term) throw new Refusal(`the node carries the newer term ${mark.term}`)
  }
  switch (action.do) {
    case 'freeze':
      return freeze(server, context)
    case 'measure':
      if (!isFrozenFor(server, context)) throw new Refusal('the node is not frozen for this term')
      return { outcome: 'done', measurement: measurement(server), message: 'measured' }
    case 'unfreeze':
      if (following(server.conninfo).frozen) {
        server.conninfo = action.primaryConninfo
        server.restoreCommand = action.restoreCommand
      }
      return { outcome: 'done', message: 'lifted' }
    case 'follow':
      return follow(server, action, context)
    case 'reconnect':
      if (following(server.conninfo).frozen) throw new Refusal('the node is frozen')
      server.receiver = null
      return { outcome: 'done', message: 'the WAL receiver connects anew' }
  }
}

function freeze(server: Server, { deployment, term }: Context): SqlResult {
  const { conninfo, restoreCommand } = server
  server.conninfo = frozenConninfo(conninfo, { deployment, term })
  server.restoreCommand = ''
  server.receiver = null
  const measured = { ...measurement(server), primaryConninfo: conninfo, restoreCommand }
  return { outcome: 'done', measurement: measured, message: 'frozen' }
}

const measurement = (server: Server) => ({
  timeline: server.timeline,
  positionBytes: server.positionBytes,
  replayable: !server.replayPaused,
  primaryConninfo: server.conninfo,
  restoreCommand: server.restoreCommand,
})

function follow(server: Server, action: SqlAction & { do: 'follow' }, context: Context): SqlResult {
  const { address, port } = action.upstream
  const current = following(server.conninfo)
  const there = current.host === address && current.port === String(port)
  if (!there && !isFrozenFor(server, context)) throw new Refusal('neither frozen for this term nor there')
  const next = replaceUpstream(server.conninfo, [
    ['host', address],
    ['port', String(port)],
    ['user', 'replicator'],
    ['application_name', action.applicationName],
    ['fallback_application_name', freezeName(context.deployment, context.term)],
  ])
  server.conninfo = formatConninfo(next)
  server.stuck = false
  server.restoreCommand = action.restoreCommand
  return { outcome: 'done', message: `follows ${address}` }
}
