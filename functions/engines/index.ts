/** The engine of a cluster, with the passwords and authorities that its configuration calls for. */
import type { ClusterConfig } from '../core/types.ts'
import type { Clock, Engine } from '../ports.ts'
import { createMysqlEngine } from './mysql/index.ts'
import { passwordsBy, type TokenPlace } from './passwords.ts'
import { createPostgresEngine } from './postgres/index.ts'
import type { Authorities } from './tls.ts'

export interface EnginesOptions {
  readonly clock: Clock
  /** Reads a secret; asked only where the configuration names one. */
  readonly password: (secretId: string) => Promise<string>
  /** Signs a token; asked only where the configuration says `iam`. */
  readonly token?: (place: TokenPlace) => Promise<string>
  /** Asked only for servers that the provider runs, where their certificates are verified. */
  readonly authorities?: Authorities
}

/** One engine per kind of server: what is spoken decides, not who runs it. */
export function createEngines(options: EnginesOptions): { of(cluster: ClusterConfig): Engine } {
  const { clock, authorities } = options
  const common = {
    clock,
    password: passwordsBy(options),
    ...(authorities === undefined ? {} : { authorities }),
  }
  const postgres = createPostgresEngine(common)
  const mysql = createMysqlEngine(common)
  return { of: (cluster) => ((cluster.managed?.family ?? 'postgres') === 'postgres' ? postgres : mysql) }
}
