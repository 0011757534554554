/** AWS errors, translated once, at the edge, into what a step can do about them. */

/**
 * `throttled`: refused for its rate, certainly without effect. Adapters give it on as `unknown`: the way on is the same
 * (look, and try again without end), and `refused` would make a step give up. `rejected`: an answer that says no,
 * certainly without effect. `unknown`: no answer, or an answer that does not tell; it may have happened (S5).
 */
export type Failure = {
  readonly kind: 'throttled' | 'rejected' | 'unknown'
  readonly code: string
  readonly message: string
}

const throttles = new Set([
  'BandwidthLimitExceeded',
  'LimitExceededException',
  'PriorRequestNotComplete',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'ThrottledException',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
])

/** Codes of status 400 that say nothing about the effect: the request may have been carried out. */
const vague = new Set([
  'RequestTimeout',
  'RequestTimeoutException',
  'RequestExpired',
  'TransactionInProgressException',
])

interface ServiceError {
  readonly name?: string
  readonly message?: string
  readonly Code?: string
  readonly $metadata?: { readonly httpStatusCode?: number; readonly attempts?: number }
}

/**
 * What became of a request. An answer of the last try says nothing of an earlier one that was sent and not answered,
 * so after more than one try only `unknown` is honest for an act; pass `idempotent` where a repetition answers the
 * same as the first would have.
 */
export function failureOf(error: unknown, options: { idempotent: boolean } = { idempotent: false }): Failure {
  const { name, message, Code, $metadata } = (error ?? {}) as ServiceError
  const code = Code ?? name ?? 'Error'
  const status = $metadata?.httpStatusCode
  const repeated = ($metadata?.attempts ?? 1) > 1 && !options.idempotent
  const text = `${code}: ${message ?? String(error)}`
  const answered = status !== undefined && status >= 400 && status < 500 && !vague.has(code)
  if (throttles.has(code) || status === 429)
    return { kind: repeated ? 'unknown' : 'throttled', code, message: text }
  if (!answered) return { kind: 'unknown', code, message: text }
  return { kind: repeated ? 'unknown' : 'rejected', code, message: text }
}

export function attemptsOf(error: unknown): number {
  return (error as ServiceError | undefined)?.$metadata?.attempts ?? 1
}

/**
 * An answer that lacks what every answer of its kind has. Its code makes it an outage of the service for who waits: an
 * emulator or a proxy that is half there is no reason to halt, and what it leaves out is not absent.
 */
export class BadAnswer extends Error {
  override name = 'BadAnswer'
  readonly code = 'EBADMSG'
}
