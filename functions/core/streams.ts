/** What the standbys' WAL receivers say about their primary: proof of life by progress, never by status (S7, H14). */
import type { ClusterConfig, NodeId, ProbeRow } from './types.ts'

/**
 * Does this standby's receiver say that it streams from the primary? A cascading standby does not: its stream may
 * move while the primary is dead. An upstream that is no configured node counts as the primary's (a proxy, a name).
 */
export function saysStreaming(
  cluster: ClusterConfig,
  primary: NodeId,
  standby: NodeId,
  row: ProbeRow,
): boolean {
  const upstream = row.upstream
  if (standby === primary || !row.inRecovery || upstream?.status !== 'streaming') return false
  const at = (node: { address: string; dnsName: string; port: number }) =>
    (node.address === upstream.host || node.dnsName === upstream.host) && node.port === upstream.port
  const feeder = cluster.nodes.filter(at)
  return feeder.length === 0 || feeder.some((node) => node.id === primary)
}

/** One standby's stream in one round of looks, over all observers that saw it. */
export interface StreamSight {
  readonly streaming: boolean
  readonly pids: readonly number[]
  readonly latestEndBytes: number
  readonly receivedBytes: number
}

export function streamSight(
  cluster: ClusterConfig,
  primary: NodeId,
  standby: NodeId,
  rows: readonly ProbeRow[],
): StreamSight {
  const streaming = rows.filter((row) => saysStreaming(cluster, primary, standby, row))
  const most = (values: readonly (number | null | undefined)[]) =>
    values.reduce<number>((high, value) => Math.max(high, value ?? -1), -1)
  return {
    streaming: streaming.length > 0,
    pids: streaming.map((row) => row.upstream?.pid ?? 0),
    latestEndBytes: most(streaming.map((row) => row.upstream?.latestEndBytes)),
    receivedBytes: most(streaming.map((row) => row.receivedBytes)),
  }
}

/** More was received between an earlier and a later round: the primary sent it. */
export function progressed(earlier: StreamSight, later: StreamSight): boolean {
  const grew = (a: number, b: number) => a >= 0 && b > a
  return (
    later.streaming &&
    (grew(earlier.latestEndBytes, later.latestEndBytes) || grew(earlier.receivedBytes, later.receivedBytes))
  )
}

/** A receiver that was not there before streams: the primary has just answered a new connection. */
export function reconnected(earlier: StreamSight, later: StreamSight): boolean {
  return later.pids.some((pid) => !earlier.pids.includes(pid))
}
