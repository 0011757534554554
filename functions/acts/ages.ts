/** Ages that permit a promotion: told by one monotonic clock, never by a host's (S3). */
import type { NodeId, Report } from '../core/types.ts'
import type { StepContext } from '../entry.ts'

/**
 * S10: how long ago, at most, each node had all that the primary had. A report that is newer than the one read first
 * was written after our clock was read, so its age plus our own elapsed time is an upper bound on one clock (S3).
 */
export async function caughtUpAges(context: StepContext): Promise<Record<NodeId, number | null>> {
  const { ports, cluster } = context
  const startedMs = ports.clock.monotonicMs()
  const first = await ports.store.readReports(cluster.id)
  const ages: Record<NodeId, number | null> = {}
  const deadlineMs = startedMs + 3 * cluster.observe.intervalMs
  for (;;) {
    const now = await ports.store.readReports(cluster.id)
    for (const [observer, read] of now) {
      const before = first.get(observer)
      if (read.kind !== 'found' || before?.kind !== 'found' || !isNewer(read.value, before.value)) continue
      for (const [id, node] of Object.entries(read.value.nodes)) {
        if (node.caughtUpAgeMs === null) continue
        const age = node.caughtUpAgeMs + (ports.clock.monotonicMs() - startedMs)
        ages[id] = Math.min(ages[id] ?? Number.POSITIVE_INFINITY, age)
      }
    }
    if (Object.keys(ages).length > 0 || ports.clock.monotonicMs() > deadlineMs) return ages
    await ports.clock.sleep(cluster.observe.urgentIntervalMs / 2)
  }
}

const isNewer = (now: Report, before: Report) =>
  now.token > before.token || (now.token === before.token && now.sequence > before.sequence)
