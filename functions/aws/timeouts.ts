/** Hard time-outs of one request, apart from `clients.ts`: the CLI needs them without every service's client. */

/**
 * Without `throwOnRequestTimeout` the SDK only logs when `requestTimeout` passes, and waits on without end; and
 * `connectionTimeout` does not help against a peer that accepts and is silent. `requestTimeout` ends with the headers of
 * the answer; a body that stalls is ended by `socketTimeout`.
 */
export function timeouts(requestTimeoutMs: number) {
  return {
    connectionTimeout: 1_000,
    requestTimeout: requestTimeoutMs,
    throwOnRequestTimeout: true,
    socketTimeout: requestTimeoutMs,
  }
}
