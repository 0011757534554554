/** What events and members of Aurora mean. Events are best effort: none of them is ever the only ground of an act. */
import type { NodeConfig, NodeId } from './types.ts'

interface Told {
  readonly message: string
}

/** The newest word on a failover inside a cluster is that it started (0072, 0073), and not that it ended (0071, 0069). */
export function startedFailover(newestFirst: readonly Told[]): string | null {
  const word = newestFirst.find(({ message }) => /\bfailover\b/i.test(message) && !/global/i.test(message))
  return word !== undefined && /^started\b/i.test(word.message) ? word.message : null
}

/** The node whose cluster it is, by Region and identifier. */
export function nodeOfGlobal(
  nodes: readonly NodeConfig[],
  member: { readonly region: string; readonly clusterIdentifier: string },
): NodeId | null {
  const found = nodes.find(
    (node) => node.region === member.region && node.instanceId === member.clusterIdentifier,
  )
  return found?.id ?? null
}

/** What the storage said of the fence, by its newest event that is newer than what was known before the call. */
export function fenceResult(
  newestFirst: readonly (Told & { readonly atText: string })[],
  before: readonly string[],
): 'held' | 'timed out' | null {
  const news = newestFirst.find(({ atText, message }) => !before.includes(`${atText} ${message}`))
  if (news === undefined) return null
  if (/timed out/i.test(news.message)) return 'timed out'
  return /succeeded/i.test(news.message) ? 'held' : null
}
