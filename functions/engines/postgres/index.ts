/** The engine port for PostgreSQL servers that we elect for ourselves. See `docs/` for the protocol. */
import type { Clock, Engine } from '../../ports.ts'
import type { Authorities } from '../tls.ts'
import { act } from './act.ts'
import type { PasswordOf } from './link.ts'
import { openSession, probeOnce } from './probe.ts'

export type { PasswordOf } from './link.ts'

export interface PostgresEngineOptions {
  /** Password of a role, undefined: none. Asked at each connection that needs one; caching is the caller's. */
  readonly password: PasswordOf
  /** Certificates that sign those of servers that the provider runs; without: what Node trusts. */
  readonly authorities?: Authorities
  readonly clock: Clock
}

export function createPostgresEngine(options: PostgresEngineOptions): Engine {
  return {
    probe: (cluster, node, probe) => probeOnce({ ...options, cluster, node }, probe),
    openSession: (cluster, node, onEnd) => openSession({ ...options, cluster, node }, onEnd),
    act: (cluster, node, action, context) => act({ ...options, ...context, cluster, node }, action),
  }
}
