/** A probe over a new connection (`look`) and over a persistent one (the observer's loop). */
import { electsNatively } from '../../core/engine.ts'
import type { ClusterConfig, NodeConfig, ProbeOutcome, ProbeRow } from '../../core/types.ts'
import type { Clock, ProbeSession, SessionEnded } from '../../ports.ts'
import { type ProbeOptions, probeOnceOver, type SessionDriver, sessionOver } from '../session.ts'
import type { Authorities } from '../tls.ts'
import { TimedOut, toOutcome } from './errors.ts'
import { Link, type PasswordOf } from './link.ts'
import { auroraProbeQuery, type ProbeAnswer, probeQuery, toRow } from './query.ts'

export interface ProbeContext {
  readonly cluster: ClusterConfig
  readonly node: Pick<NodeConfig, 'address' | 'port'>
  readonly password: PasswordOf
  readonly authorities?: Authorities | undefined
  readonly clock: Clock
}

/** `application_name` of every probe. */
export const probeName = 'understudy probe'

/** The whole commit path including the synchronous wait, without a table, as a plain role. */
const writeQuery = `select pg_logical_emit_message(true, 'understudy', '')`

/** Where the log takes no messages: rows of the catalogue, which are gone with the commit, and need no more than TEMP. */
const tableQuery = 'create temporary table understudy_probe (n int) on commit drop'

/** object_not_in_prerequisite_state and feature_not_supported: Aurora without logical replication. */
const noMessages = new Set(['55000', '0A000'])

/** One probe over a new connection. Never throws. */
export const probeOnce = (context: ProbeContext, options: ProbeOptions): Promise<ProbeOutcome> =>
  probeOnceOver(driverOf(context), options)

export const openSession = (context: ProbeContext, onEnd: (ended: SessionEnded) => void): ProbeSession =>
  sessionOver(driverOf(context), onEnd)

const driverOf = (context: ProbeContext): SessionDriver<Link> => ({
  clock: context.clock,
  connect: (timeoutMs) => connect(context, timeoutMs),
  probe: (link, options, left) => probeOver(link, context.cluster, options, left),
  toOutcome,
})

async function connect(context: ProbeContext, timeoutMs: number): Promise<Link> {
  return await Link.open({
    ...context,
    user: context.cluster.connection.observerUser,
    applicationName: probeName,
    timeoutMs,
  })
}

async function probeOver(
  link: Link,
  cluster: ClusterConfig,
  options: ProbeOptions,
  left: () => number,
): Promise<ProbeRow> {
  // Named: a session of the loop plans it once, which is half of what a probe costs (3.5 ms and 1.6 ms here).
  const query = electsNatively(cluster) ? auroraProbeQuery : probeQuery
  const rows = await link.query<{ probe: ProbeAnswer }>(query, [], left(), 'understudy_probe')
  const answer = rows[0]?.probe
  if (!answer) throw new Error('the probe query returned no row')
  if (!options.writeProbe || answer.inRecovery) return toRow(answer, 'skipped')
  return toRow(answer, await probeWrite(link, answer, options, left))
}

/**
 * Blocked: the commit did not return in its time, was refused, or an earlier one of ours still waits. The socket is
 * destroyed then and nothing cancelled; the backend ends by itself when its wait does.
 */
async function probeWrite(
  link: Link,
  answer: ProbeAnswer,
  options: ProbeOptions,
  left: () => number,
): Promise<'ok' | 'blocked'> {
  if (answer.writeProbeWaits) return 'blocked'
  try {
    const bounded = () => Math.min(left(), Math.max(200, options.timeoutMs / 2))
    try {
      await link.query(writeQuery, [], bounded())
    } catch (error) {
      const outcome = toOutcome(error, true)
      if (outcome.kind !== 'sqlError' || !noMessages.has(outcome.sqlState)) throw error
      await link.query(tableQuery, [], bounded())
    }
    return 'ok'
  } catch (error) {
    if (error instanceof TimedOut) return 'blocked'
    // The end of the server in the midst of the write says more than that the write failed.
    const outcome = toOutcome(error, true)
    if (outcome.kind === 'sqlError' && !outcome.sqlState.startsWith('57P')) return 'blocked'
    throw error
  }
}
