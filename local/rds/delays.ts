/**
 * How long the things that RDS does take in reality, in one table. Everything is multiplied by the control plane's
 * `timeScale`. AWS publishes few numbers; where it is silent the comment says what the number rests on.
 */
export const realDelaysMs = {
  // PromoteReadReplica: "several minutes or longer to complete, depending on the size of the read replica"
  // (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.Promote.html). The stages are a model.
  /** The status stays `available` after the call: aws-samples' DR Orchestrator sleeps 60 s for that reason. */
  promotionUnnoticed: 45_000,
  /** `modifying`, before replication stops. */
  promotionStopsReplication: 30_000,
  /** `modifying`, writable already, before the restart. */
  promotionBeforeRestart: 10_000,
  /** `rebooting`, the server down. */
  promotionRestart: 25_000,
  /** `available` again, and the source still named. */
  promotionSourceLingers: 20_000,
  /** `modifying` again, the source no longer named. */
  promotionFinishes: 15_000,
  /** `backing-up` at the end: a promoted instance that keeps backups takes its first one. */
  firstBackup: 60_000,

  // RebootDBInstance: "a momentary outage"; its length depends on crash recovery
  // (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_RebootInstance.html). Commonly half a minute.
  rebootBeforeStop: 4_000,
  rebootDown: 15_000,
  /** The server answers, the status is still `rebooting`. */
  rebootSettles: 10_000,

  // Multi-AZ: "typically 60-120 seconds" (Concepts.MultiAZSingleStandby).
  multiAzFailover: 70_000,
  /** A second forced failover within this time is abandoned (event 0034); the length is not published. */
  multiAzRecently: 120_000,

  /** ModifyDBInstance of security groups: "asynchronously applied as soon as possible" (API reference). */
  securityGroups: 15_000,
  /** Any other modification that is applied at once. */
  modify: 40_000,
  convertToMultiAz: 300_000,
  /** `renaming`, still under the old identifier. A reboot follows (API reference, NewDBInstanceIdentifier). */
  rename: 60_000,

  stop: 90_000,
  start: 180_000,
  /** https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_StopInstance.html */
  automaticRestart: 7 * 24 * 3_600_000,

  // A replica is a snapshot of its source that is restored: minutes to hours with the size.
  createReplica: 420_000,
  createBackup: 90_000,
  delete: 120_000,

  /** How often the control plane looks at the health of what it fails over by itself, and at replication. */
  healthCheck: 10_000,
  /** Of samples in CloudWatch. */
  metricPeriod: 60_000,
  /** From EventBridge's best effort delivery: seconds. */
  eventDelivery: 2_000,

  // Aurora: "service is typically restored in less than 60 seconds, and often less than 30"
  // (https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Concepts.AuroraHighAvailability.html).
  auroraFailover: 12_000,
  /** From the new writer to the cluster endpoint that names it; it may come after `available`. */
  auroraEndpoint: 6_000,
  /** Until the old writer is a reader again. */
  auroraRejoin: 30_000,

  // Aurora Global: "in the order of minutes"; a switchover on recent engines typically under 30 s
  // (https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-disaster-recovery.html).
  globalPending: 5_000,
  globalSwitchover: 20_000,
  globalFailover: 60_000,
  /** How long Aurora tries to block writes on a primary that it can not reach (event 0391). */
  globalFenceTimeout: 30_000,
  globalEndpoint: 20_000,
  /** A new volume for the old primary: "a few minutes to several hours". */
  globalResync: 300_000,
} as const satisfies Record<string, number>

export type DelayName = keyof typeof realDelaysMs
export type DelaysMs = Readonly<Record<DelayName, number>>

export function scaleDelays(timeScale: number, overrides: Partial<DelaysMs> = {}): DelaysMs {
  const entries = Object.entries({ ...realDelaysMs, ...overrides }).map(([name, ms]) => [
    name,
    ms * timeScale,
  ])
  return Object.fromEntries(entries) as DelaysMs
}
