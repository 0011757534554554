/** The engine of a cluster, with the passwords and authorities that its configuration calls for. */
import { electsNatively } from '../core/engine.ts'
import type { ClusterConfig } from '../core/types.ts'
import type { Clock, Engine } from '../ports.ts'
import { createMysqlEngine } from './mysql/index.ts'
import { passwordsBy, type TokenPlace } from './passwords.ts'
import { createPostgresEngine } from './postgres/index.ts'
import { withReaders } from './readers.ts'
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
  const speaking = ({ managed }: ClusterConfig) =>
    (managed?.family ?? 'postgres') === 'postgres' ? postgres : mysql
  return {
    of: (cluster) => (electsNatively(cluster) ? watchOnly(speaking(cluster)) : speaking(cluster)),
  }
}

/** Who elects by itself is looked at; whatever is to be done goes through the provider's API. */
function watchOnly(engine: Engine): Engine {
  const message = 'Aurora elects by itself: nothing is done to it by SQL'
  return { ...withReaders(engine), act: async () => ({ outcome: 'refused', message }) }
}
