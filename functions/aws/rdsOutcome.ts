/** Errors of RDS's acts, as outcomes. */
import type { RdsOutcome } from '../ports.ts'
import { failureOf } from './errors.ts'

/**
 * One spelling of an error's name, of which there are three: `InvalidDBInstanceState` on the wire,
 * `InvalidDBInstanceStateFault` in the SDK, `Rds.InvalidDbInstanceStateException` in Step Functions.
 */
export function rdsCode(code: string): string {
  return code
    .replace(/^Rds\./, '')
    .replace(/(?:Fault|Exception)$/, '')
    .replaceAll(/Db(?=[A-Z])/g, 'DB')
}

/**
 * Refusals whose reason passes: another change or a backup is under way, or there is no room now. `InvalidDB…State`
 * stands for lasting reasons, too ("is not a read replica"): who tries again looks before, and has a deadline.
 */
const passing = new Set([
  'DBInstanceNotReady',
  'InsufficientDBClusterCapacity',
  'InsufficientDBInstanceCapacity',
  'InsufficientStorageClusterCapacity',
  'InvalidDBClusterState',
  'InvalidDBInstanceState',
  'InvalidGlobalClusterState',
  'InvalidResourceState',
])

export function outcomeOf(error: unknown): RdsOutcome {
  const failure = failureOf(error)
  const code = rdsCode(failure.code)
  switch (failure.kind) {
    case 'throttled':
      return { outcome: 'refused', code, later: true, message: failure.message }
    case 'rejected':
      return { outcome: 'refused', code, later: passing.has(code), message: failure.message }
    case 'unknown':
      return { outcome: 'unknown', message: failure.message }
  }
}
