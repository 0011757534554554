/** Configurations of clusters that the provider runs. */
import type { ClusterConfig, ConnectionConfig, ManagedConfig } from '../../functions/core/types.ts'
import { cluster, node } from '../core/build.ts'

export function managedCluster(
  connection: Partial<ConnectionConfig> = {},
  managed: Partial<ManagedConfig> = {},
): ClusterConfig {
  const plain = cluster()
  return {
    ...plain,
    engine: 'rds',
    nodes: [
      node('a', 'a', { address: '127.0.0.1', dnsName: 'orders.abc.eu-central-1.rds.amazonaws.com' }),
      node('b', 'b', { address: 'orders-b.abc.eu-west-1.rds.amazonaws.com', region: 'eu-west-1' }),
    ],
    connection: { ...plain.connection, tls: 'disable', password: { from: 'none' }, ...connection },
    managed: {
      family: 'postgres',
      providerGraceMs: 0,
      backupGraceMs: 0,
      clusterId: null,
      globalClusterId: null,
      globalEndpoint: false,
      ...managed,
    },
  }
}
