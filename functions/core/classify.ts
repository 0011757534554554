/** From what one probe brought back to what the node is. Every other decision rests on these few lines. */
import type { NodeClass, Observation, ProbeOutcome } from './types.ts'

/** Judges one probe. The only maker of a `NodeClass` from a probe. */
export function classify(outcome: ProbeOutcome): NodeClass {
  switch (outcome.kind) {
    case 'answered':
      if (outcome.row.inRecovery) return 'recovery'
      return outcome.row.writeProbe === 'blocked' ? 'writes blocked' : 'writable'
    case 'sqlError':
      return classifySqlState(outcome.sqlState, outcome.message)
    case 'refused':
    case 'reset':
      return 'refused'
    case 'timeout':
      return 'silent'
    case 'unreachable':
      return 'unreachable'
    case 'protocol':
      return 'broken'
    case 'notProbed':
      return 'unknown'
  }
}

/**
 * An error answer, by SQLSTATE (PostgreSQL manual, appendix A). Most of them prove life (S7); an internal error, an
 * I/O error or a full disk does not: such a server can go on answering for ever and never serve again (F11, F23).
 */
function classifySqlState(sqlState: string, message: string): NodeClass {
  if (sqlState === '57P03') return /shutting down/i.test(message) ? 'stopping' : 'starting'
  if (sqlState === '57P01' || sqlState === '57P02') return 'stopping'
  if (sqlState === '53100') return 'broken'
  if (sqlState.startsWith('53')) return 'busy'
  if (/^(57|58|XX)/.test(sqlState)) return 'broken'
  // No SQLSTATE at all is not an answer of a PostgreSQL server.
  return /^[0-9A-Z]{5}$/.test(sqlState) ? 'denied' : 'broken'
}

/** The server answered, whatever it said: it is not dead (S7). */
export function isAlive(c: NodeClass): boolean {
  switch (c) {
    case 'writable':
    case 'writes blocked':
    case 'recovery':
    case 'starting':
    case 'stopping':
    case 'busy':
    case 'denied':
      return true
    case 'refused':
    case 'silent':
    case 'unreachable':
    case 'broken':
    case 'unknown':
      return false
  }
}

/** Looks dead to the observer that saw it. Not the reverse of alive: `unknown` is neither (S6). */
export function isDown(c: NodeClass): boolean {
  return c === 'refused' || c === 'silent' || c === 'unreachable' || c === 'broken'
}

/** Out of recovery: it may accept a write. */
export function isOutOfRecovery(c: NodeClass): boolean {
  return c === 'writable' || c === 'writes blocked'
}

/** Up, but on its way up or down: a failover would come too early. */
export function isInTransit(c: NodeClass): boolean {
  return c === 'starting' || c === 'stopping'
}

export function observation(outcome: ProbeOutcome, tookMs: number): Observation {
  return { class: classify(outcome), outcome, tookMs }
}

/** Quorum among the configured observers, never among those that answer (S6, H24). Of none it can not be reached. */
export function majority(observerCount: number): number {
  return Math.floor(observerCount / 2) + 1
}
