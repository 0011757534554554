import type { ClusterConfig, HostConfig, NodeId } from './types.ts'

/** The host configuration of one node, `{node}` filled in; null when no host access is configured. */
export function hostOf(cluster: ClusterConfig, node: NodeId): HostConfig | null {
  const { host } = cluster
  if (host === null) return null
  const fill = (text: string) => text.replaceAll('{node}', node)
  return {
    dataDirectory: fill(host.dataDirectory),
    binDirectory: fill(host.binDirectory),
    osUser: host.osUser,
    startCommand: fill(host.startCommand),
    stopCommand: fill(host.stopCommand),
  }
}
