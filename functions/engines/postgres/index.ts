/** The engine port for PostgreSQL servers that we elect for ourselves. See `docs/` for the protocol. */
import type { Clock, Engine } from '../../ports.ts'
import { act } from './act.ts'
import type { PasswordOf } from './link.ts'
import { openSession, probeOnce } from './probe.ts'

export type { PasswordOf } from './link.ts'

export interface PostgresEngineOptions {
  /** Password of a role, undefined: none. Asked at each connection that needs one; caching is the caller's. */
  readonly password: PasswordOf
  readonly clock: Clock
}

export function createPostgresEngine({ password, clock }: PostgresEngineOptions): Engine {
  return {
    probe: (cluster, node, options) => probeOnce({ cluster, node, password, clock }, options),
    openSession: (cluster, node, onEnd) => openSession({ cluster, node, password, clock }, onEnd),
    act: (cluster, node, action, context) => act({ ...context, cluster, node, password, clock }, action),
  }
}
