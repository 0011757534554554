/**
 * The engine port for MySQL and MariaDB servers that the provider runs: they are looked at. Acts go through the
 * provider; of those in SQL none is for them, so all are refused before anything is sent.
 */
import type { Engine } from '../../ports.ts'
import type { PostgresEngineOptions } from '../postgres/index.ts'
import { openSession, probeOnce } from './probe.ts'

export function createMysqlEngine(options: PostgresEngineOptions): Engine {
  return {
    probe: (cluster, node, probe) => probeOnce({ ...options, cluster, node }, probe),
    openSession: (cluster, node, onEnd) => openSession({ ...options, cluster, node }, onEnd),
    act: async (cluster, _node, action) => ({
      outcome: 'refused',
      message: `${action.do} is not possible on ${cluster.managed?.family ?? 'mysql'}: its log has no position that a replica could be compared with`,
    }),
  }
}
