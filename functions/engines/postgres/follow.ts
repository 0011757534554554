/** Points standbys at an upstream, and makes their receivers reconnect. */
import { freezeName } from '../../core/limits.ts'
import type { SqlResult } from '../../ports.ts'
import { formatConninfo, isFrozen, parseConninfo, replaceUpstream } from './conninfo.ts'
import { isFrozenNow, refuseForeignMark } from './freeze.ts'
import { type Operator, Refusal } from './operator.ts'

/**
 * A primary whose host has vanished sends no reset: without these a receiver would wait for the kernel's defaults,
 * two hours and more. An option that the server's own conninfo carries wins.
 */
const liveness = {
  connect_timeout: '2',
  keepalives_idle: '5',
  keepalives_interval: '2',
  keepalives_count: '3',
}

export async function follow(
  operator: Operator,
  action: {
    upstream: { address: string; port: number }
    applicationName: string
    restoreCommand: string
  },
  replicationUser: string,
): Promise<SqlResult> {
  const view = await operator.view()
  if (!view.inRecovery) throw new Refusal('the node is out of recovery')
  refuseForeignMark(operator, view)
  const { address, port } = action.upstream
  const current = parseConninfo(view.conninfo)
  const followsThere = current.get('host') === address && current.get('port') === String(port)
  if (!followsThere && !isFrozenNow(operator, view)) {
    throw new Refusal(
      `the node is neither frozen for term ${operator.mark.term} nor follows ${address}:${port}`,
    )
  }
  const next = replaceUpstream(view.conninfo, [
    ['host', address],
    ['port', String(port)],
    ['user', replicationUser],
    ['application_name', action.applicationName],
    // The term stays with the node: what comes late, from an older one, is refused by it.
    ['fallback_application_name', freezeName(operator.mark.deployment, operator.mark.term)],
  ])
  for (const [key, value] of Object.entries(liveness)) if (!next.has(key)) next.set(key, value)
  const conninfo = formatConninfo(next)
  if (conninfo === view.conninfo && action.restoreCommand === view.restoreCommand) {
    return { outcome: 'done', message: `follows ${address}:${port} already` }
  }
  await operator.alterSystem({ primary_conninfo: conninfo, restore_command: action.restoreCommand })
  return { outcome: 'done', message: `follows ${address}:${port} as ${action.applicationName}` }
}

/**
 * Makes the receiver connect anew: one that streams again shows that its primary lives (S7). By a change of the
 * conninfo that changes nothing else, since a receiver is an auxiliary process: `pg_terminate_backend` answers "is not
 * a PostgreSQL backend process" (tried on 18.4). The startup process restarts it when the text differs.
 */
export async function reconnect(operator: Operator): Promise<SqlResult> {
  const view = await operator.view()
  if (!view.inRecovery) throw new Refusal('the node is out of recovery')
  refuseForeignMark(operator, view)
  if (isFrozen(view.conninfo)) throw new Refusal('the node is frozen')
  const next = parseConninfo(view.conninfo)
  if (!next.has('host')) throw new Refusal('the node has no upstream')
  next.set('connect_timeout', next.get('connect_timeout') === '2' ? '3' : '2')
  await operator.alterSystem({ primary_conninfo: formatConninfo(next) })
  return { outcome: 'done', message: 'the WAL receiver connects anew' }
}
