/** From what the driver and the socket throw to a `ProbeOutcome`, in one place. */
import { DatabaseError } from 'pg'
import type { ProbeOutcome } from '../../core/types.ts'

export type Stage = 'connect' | 'startup' | 'query'

/** The hard time-out of a link: its socket is destroyed, nothing is known about what the server did. */
export class TimedOut extends Error {
  override name = 'TimedOut'
  readonly stage: Stage
  readonly afterMs: number
  constructor(stage: Stage, afterMs: number) {
    super(`no answer within ${Math.round(afterMs)} ms (${stage})`)
    this.stage = stage
    this.afterMs = afterMs
  }
}

/** Codes by which a server tells that it ends a session: shutdown or crash of a backend, and "starting up". */
export const toldCodes: ReadonlySet<string> = new Set(['57P01', '57P02', '57P03'])

const unreachableCodes = new Set([
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_NODATA',
])

/**
 * `received`: bytes came from the server over this connection. A reset before any byte looks like a port where nobody
 * listens (a proxy, a backlog that is torn down); one after them is the end of a server that was there.
 */
export function toOutcome(error: unknown, received: boolean): Exclude<ProbeOutcome, { kind: 'answered' }> {
  if (error instanceof TimedOut) return { kind: 'timeout', stage: error.stage, afterMs: error.afterMs }
  if (error instanceof DatabaseError) {
    return { kind: 'sqlError', sqlState: error.code ?? 'XX000', message: error.message }
  }
  const message = error instanceof Error ? error.message : String(error)
  const code = codeOf(error)
  if (code === 'ECONNREFUSED') return { kind: 'refused', message }
  if (code === 'ETIMEDOUT') return { kind: 'timeout', stage: 'connect', afterMs: 0 }
  if (unreachableCodes.has(code)) return { kind: 'unreachable', message }
  // These come from the driver after the server spoke: it refused TLS, or asked for a password that we do not have.
  if (isTlsRefusal(message, code)) return { kind: 'sqlError', sqlState: '28000', message: `TLS: ${message}` }
  if (/SASL|SCRAM|password/i.test(message)) return { kind: 'sqlError', sqlState: '28P01', message }
  if (code === 'ECONNRESET' || code === 'EPIPE' || /terminated/.test(message)) {
    return { kind: 'reset', message: received ? `${message}, after the server had answered` : message }
  }
  return { kind: 'protocol', message }
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return ''
  // Several addresses of one name fail as one AggregateError without a code of its own.
  const first = (error as { errors?: unknown[] }).errors?.[0]
  const code = (error as { code?: unknown }).code ?? (first as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : ''
}

function isTlsRefusal(message: string, code: string): boolean {
  return (
    /SSL connection/.test(message) ||
    /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|HOSTNAME_MISMATCH)/.test(
      code,
    )
  )
}
