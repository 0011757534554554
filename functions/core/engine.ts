/** What kind of engine a cluster has: who runs it, and who elects. */
import type { ClusterConfig, ManagedConfig } from './types.ts'

/** Run by the provider: acts go through its API, and hosts can not be reached. */
export function isManaged(
  cluster: ClusterConfig,
): cluster is ClusterConfig & { readonly managed: ManagedConfig } {
  return cluster.engine !== 'postgres' && cluster.managed !== null
}

/** Elects its writer by itself: it is followed, verified and its name moved; it is never fenced by us. */
export function electsNatively(cluster: ClusterConfig): boolean {
  return cluster.engine === 'aurora' || cluster.engine === 'aurora-global'
}
