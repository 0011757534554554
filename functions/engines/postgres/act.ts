/** Carries out one SQL action on one node by the session discipline of S4. */
import type { ClusterConfig } from '../../core/types.ts'
import type { SqlAction, SqlResult } from '../../ports.ts'
import { endSessions } from './endSessions.ts'
import { toOutcome } from './errors.ts'
import { follow, reconnect } from './follow.ts'
import { freeze, measure, unfreeze } from './freeze.ts'
import { Operator, type OperatorOptions, Refusal } from './operator.ts'
import { list, promote } from './promote.ts'

/**
 * Never throws. `refused` is the answer of a comparison, on the node or of the claim, and certainly had no effect;
 * everything else that is not done is `unknown`, also when the node could not be reached: the caller looks again.
 */
export async function act(options: OperatorOptions, action: SqlAction): Promise<SqlResult> {
  let operator: Operator | undefined
  try {
    operator = await Operator.open(options)
    return await carryOut(operator, action, options.cluster)
  } catch (error) {
    if (error instanceof Refusal) return { outcome: 'refused', message: error.message }
    return { outcome: 'unknown', message: describe(error, operator !== undefined) }
  } finally {
    operator?.close()
  }
}

async function carryOut(operator: Operator, action: SqlAction, cluster: ClusterConfig): Promise<SqlResult> {
  switch (action.do) {
    case 'freeze':
      return await freeze(operator)
    case 'measure':
      return await measure(operator)
    case 'unfreeze':
      return await unfreeze(operator, action)
    case 'promote':
      return await promote(operator, action)
    case 'follow':
      return await follow(operator, action, cluster.connection.replicationUser)
    case 'list':
      return await list(operator, action.synchronousStandbyNames)
    case 'reconnect':
      return await reconnect(operator)
    case 'endSessions':
      return await endSessions(operator, cluster, action.keepOutMs)
  }
}

/** The server quotes the setting that it refuses, which may be a conninfo with a password. */
function describe(error: unknown, connected: boolean): string {
  const outcome = toOutcome(error, connected)
  const where = connected ? '' : 'no session: '
  if (outcome.kind === 'sqlError') return `${where}${outcome.sqlState} ${maskSecrets(outcome.message)}`
  if (outcome.kind === 'timeout') return `${where}no answer in time (${outcome.stage})`
  return `${where}${maskSecrets(outcome.message)}`
}

function maskSecrets(message: string): string {
  return /password\s*=/i.test(message) ? '(the message held a secret)' : message
}
