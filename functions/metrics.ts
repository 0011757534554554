/**
 * Metrics of the fleet, named once for those who emit them (as EMF in their logs: no call, no permission) and for
 * alarms and dashboard. Never one per cluster: at a hundred clusters those cost more than everything else together.
 */
export const metricsNamespace = 'Understudy'

/** The dimensions of every metric, exactly: an alarm on fewer or more would never have data. */
export const metricsDimensions = (deployment: string) => ({ service: 'understudy', deployment })

/** Emitted by assess: two writers when they are seen, the counts at every minute tick, zeros included. */
export const fleetMetrics = {
  /** Two nodes of a cluster were seen writable at once: the loudest alarm (S11). */
  twoWriters: 'TwoWriters',
  clustersNotSteady: 'ClustersNotSteady',
  /** Clusters that wait for `acknowledge` or `adopt`. */
  clustersHalted: 'ClustersHalted',
  /** Clusters between `confirming` and `repointing`. */
  failoversUnderWay: 'FailoversUnderWay',
} as const
