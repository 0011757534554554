/**
 * The seams of the product: what steps need of the world, and nothing of how it is done. Adapters implement them
 * (`engines/` for databases, `aws/` for AWS); tests implement them in memory; one contract suite covers each.
 *
 * Every call ends within the time-out it is given or its adapter's own, and says one of: done, refused (it certainly
 * had no effect), unknown (it may have had one). An exception from a port is a bug or an outage, and counts as unknown.
 */
import type { ProviderInstance } from './core/managedView.ts'
import type {
  Approval,
  ClusterConfig,
  ClusterState,
  Event,
  Fleet,
  Issue,
  Look,
  NodeConfig,
  NodeId,
  ObserverId,
  ProbeOutcome,
  Read,
  Report,
} from './core/types.ts'

export interface Clock {
  /** Milliseconds that never go back; the only clock for silence, freshness and deadlines. */
  monotonicMs(): number
  /** Display, names and pruning only. */
  wallMs(): number
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export type { Read } from './core/types.ts'

/**
 * `lost`: somebody else wrote first, nothing was written. `unknown`: no answer after all tries; read again before
 * doing anything.
 */
export type WriteOutcome = 'written' | 'lost' | 'unknown'

/** What a write needs of the state before it. */
export type PreviousState = Pick<ClusterState, 'version' | 'wake' | 'lastEvent'>

export interface Store {
  /** Strongly consistent. */
  readState(cluster: string): Promise<Read<ClusterState>>
  /**
   * Writes `next`, whose version is one above that of `previous`, on condition that the stored version is that of
   * `previous` (null: that the item does not exist). Stores the previous state's `lastEvent` in the history first. A
   * refused condition whose item is the very one that was to be written counts as written.
   */
  writeState(next: ClusterState, previous: PreviousState | null): Promise<WriteOutcome>
  readReports(cluster: string): Promise<ReadonlyMap<ObserverId, Read<Report>>>
  /** Conditional on `stored.token <= report.token`: `lost` means overtaken by a newer invocation. */
  writeReport(report: Report): Promise<WriteOutcome>
  readApproval(cluster: string, term: number): Promise<Read<Approval>>
  writeApproval(approval: Approval): Promise<WriteOutcome>
  readIssues(cluster: string): Promise<readonly Issue[]>
  openIssue(issue: Issue): Promise<void>
  closeIssue(cluster: string, key: string): Promise<void>
  /**
   * Puts the event if its key is absent; history is never updated. Resolves to false when it was there. An event of an
   * execution that made no version stands `beside` the one of the version that it saw, under a key with its name.
   */
  appendEvent(cluster: string, event: Event, beside?: string): Promise<boolean>
  /** Newest first. */
  readEvents(cluster: string, limit: number): Promise<readonly Event[]>
  readFleet(): Promise<Read<Fleet>>
  writeFleet(next: Fleet, expectedVersion: number): Promise<WriteOutcome>
}

// ---------------------------------------------------------------------------------------------------------------
// Engine

/** A persistent connection of an observer's loop. */
export interface ProbeSession {
  /** One query; hard time-out that destroys the socket. Never throws. Opens the connection when there is none. */
  probe(options: { timeoutMs: number; writeProbe: boolean }): Promise<ProbeOutcome>
  close(): void
}

export type SessionEnded = { readonly how: 'told' | 'untold'; readonly code: string | null }

export interface Engine {
  /** Over a new connection (`look`). Never throws. */
  probe(
    cluster: ClusterConfig,
    node: Pick<NodeConfig, 'address' | 'port'>,
    options: { timeoutMs: number; writeProbe: boolean },
  ): Promise<ProbeOutcome>
  /** `onEnd` is called once per connection that was open and ended without our doing. */
  openSession(cluster: ClusterConfig, node: NodeConfig, onEnd: (ended: SessionEnded) => void): ProbeSession
  /**
   * Carries out one SQL action by the session discipline of S4: connect, `guard` (reads the claim; throws when it is
   * not ours any more), then act, on one direct session of the operator role; on the first act of a term on a node,
   * every other session of that role there is ended first and waited for.
   */
  act(
    cluster: ClusterConfig,
    node: NodeConfig,
    action: SqlAction,
    context: { deployment: string; term: number; timeoutMs: number; guard: () => Promise<void> },
  ): Promise<SqlResult>
}

/** One SQL action on one node. */
export type SqlAction =
  /** Stops reception for this term and measures. Refused when the node is not in recovery. Idempotent. */
  | { readonly do: 'freeze' }
  /** Measures a node that is frozen for this term, twice, and answers only when both agree. Changes nothing. */
  | { readonly do: 'measure' }
  /** Undoes a freeze by this deployment of a term up to this one; refused when it is frozen by a newer or foreign one. */
  | { readonly do: 'unfreeze'; readonly primaryConninfo: string; readonly restoreCommand: string }
  /**
   * Sets the node's own `synchronous_standby_names`, then promotes it if it is in recovery, frozen for this term, on
   * `expectedTimeline`, without receiver; polls until it is out of recovery. Done at once when it already is, on a
   * newer timeline than expected.
   */
  | { readonly do: 'promote'; readonly expectedTimeline: number; readonly synchronousStandbyNames: string }
  /** Points a standby that is frozen for this term (or already follows there) at an upstream, and lifts the freeze. */
  | {
      readonly do: 'follow'
      readonly upstream: { readonly address: string; readonly port: number }
      readonly applicationName: string
      readonly restoreCommand: string
    }
  /** Sets `synchronous_standby_names` on a node that is out of recovery. */
  | { readonly do: 'list'; readonly synchronousStandbyNames: string }
  /**
   * rds: ends every session of others and measures the end of the log. Without `keepOutMs`, which is for behind the
   * closed group: waits until nobody is left. With it, while clients can still come back: ends whoever is there for so
   * long, and answers when those that it met first are gone; others may have come in since.
   */
  | { readonly do: 'endSessions'; readonly keepOutMs?: number }
  /** Makes the WAL receiver reconnect, so that an idle stream shows whether its primary lives (S7). */
  | { readonly do: 'reconnect' }

export interface Measurement {
  readonly timeline: number
  readonly positionBytes: number
  readonly replayable: boolean
  readonly primaryConninfo: string
  readonly restoreCommand: string
}

export type SqlResult =
  | {
      readonly outcome: 'done'
      readonly measurement?: Measurement
      /** Timeline after a promotion. */
      readonly timeline?: number
      readonly message: string
    }
  | { readonly outcome: 'refused'; readonly message: string }
  | { readonly outcome: 'unknown'; readonly message: string }

// ---------------------------------------------------------------------------------------------------------------
// Fence, host, endpoint

export type InstanceState =
  | 'pending'
  | 'running'
  | 'shutting-down'
  | 'terminated'
  | 'stopping'
  | 'stopped'
  | 'absent'

export interface InstanceView {
  readonly instanceId: string
  readonly state: InstanceState
  readonly privateAddress: string | null
}

/** The power fence. Stop is forced and skips the shutdown of the operating system. */
export interface Fence {
  observe(region: string, instanceIds: readonly string[]): Promise<readonly InstanceView[]>
  stop(region: string, instanceId: string): Promise<'requested' | 'refused' | 'unknown'>
  start(region: string, instanceId: string): Promise<'requested' | 'refused' | 'unknown'>
}

/** A DB instance as `DescribeDBInstances` gives it. Unknown statuses are kept as they are: new ones come. */
export interface DbInstanceView extends ProviderInstance {
  readonly engine: string
  readonly engineVersion: string
  readonly availabilityZone: string | null
  readonly clusterIdentifier: string | null
}

export interface DbClusterView {
  readonly identifier: string
  readonly resourceId: string
  readonly arn: string
  readonly region: string
  readonly status: string
  readonly engine: string
  readonly endpoint: string | null
  readonly readerEndpoint: string | null
  readonly members: readonly { readonly identifier: string; readonly isWriter: boolean }[]
  readonly globalWriteForwarding: string | null
}

export interface GlobalClusterView {
  readonly identifier: string
  readonly status: string
  readonly endpoint: string | null
  readonly members: readonly {
    readonly clusterArn: string
    readonly region: string
    readonly clusterIdentifier: string
    readonly isWriter: boolean
    readonly synchronizationStatus: string | null
  }[]
  /** Free text of `FailoverState`; null: none is under way. The SDK's enumeration lacks values that AWS sends. */
  readonly failover: {
    readonly status: string
    readonly from: string | null
    readonly to: string | null
    readonly dataLossAllowed: boolean
  } | null
}

/** A restart, a failover or a fence result that the provider told of, newest first. By the provider's own clock. */
export interface DbEvent {
  readonly source: string
  readonly atText: string
  readonly message: string
  readonly categories: readonly string[]
}

export type RdsAct =
  | { readonly do: 'setGroups'; readonly instance: string; readonly groupIds: readonly string[] }
  | { readonly do: 'reboot'; readonly instance: string }
  | { readonly do: 'promote'; readonly instance: string; readonly backupRetentionDays: number }
  | { readonly do: 'stop'; readonly instance: string }
  | { readonly do: 'rename'; readonly instance: string; readonly to: string }
  | {
      readonly do: 'createReplica'
      readonly instance: string
      readonly source: { readonly identifier: string; readonly region: string }
      /**
       * Present identifier of the instance that it replaces, in the same Region: it gets the settings of that one, as far
       * as RDS takes them. null, or gone: those of its source that are legal in the Region.
       */
      readonly like: string | null
      readonly groupIds: readonly string[] | null
      readonly availabilityZone: string | null
      readonly instanceClass: string | null
      /** Tags `understudy:cluster` and `understudy:term`: who made it, and when. */
      readonly tags: Readonly<Record<string, string>>
    }
  /** In force after a reboot. */
  | { readonly do: 'setParameterGroup'; readonly instance: string; readonly name: string }
  /** Without a final snapshot: only ever a replica that has been replaced. */
  | { readonly do: 'deleteReplica'; readonly instance: string }
  | { readonly do: 'failoverCluster'; readonly cluster: string; readonly target: string | null }
  | { readonly do: 'switchoverGlobal'; readonly global: string; readonly targetArn: string }
  | { readonly do: 'failoverGlobal'; readonly global: string; readonly targetArn: string }

/**
 * `refused`: it certainly had no effect; `later`: the reason passes (a backup, another change under way, throttling).
 * `unknown`: it may have happened.
 */
export type RdsOutcome =
  | { readonly outcome: 'requested' }
  | { readonly outcome: 'refused'; readonly code: string; readonly later: boolean; readonly message: string }
  | { readonly outcome: 'unknown'; readonly message: string }

/** RDS's control plane. Reads throw when a Region does not answer; acts never throw. */
export interface Rds {
  /** All instances of a Region, paged and unfiltered; reads of one invocation that begin within a second share one answer unless `fresh`. */
  instances(region: string, options?: { fresh?: boolean }): Promise<readonly DbInstanceView[]>
  clusters(region: string): Promise<readonly DbClusterView[]>
  /** Described in `region`, any member's Region will do. */
  global(region: string, identifier: string): Promise<GlobalClusterView | null>
  /** Events of one instance or cluster of the last hour, newest first. Best effort: an absent one says nothing. */
  events(
    region: string,
    source: { type: 'db-instance' | 'db-cluster'; identifier: string },
  ): Promise<readonly DbEvent[]>
  act(region: string, act: RdsAct): Promise<RdsOutcome>
  /** Names of the metrics that alarms watch, by DB instance identifier; null: CloudWatch gave no answer. Never throws. */
  alarms(region: string): Promise<ReadonlyMap<string, readonly string[]> | null>
  /**
   * Last sample of how far it is behind, and its age; null: none in the last ten minutes, which means unknown, not zero.
   * Of a DB instance `ReplicaLag`; with `fromRegion` (that of the writer) of a secondary cluster `AuroraGlobalDBRPOLag`.
   */
  lag(
    region: string,
    identifier: string,
    fromRegion?: string,
  ): Promise<{ readonly lagMs: number; readonly ageMs: number } | null>
}

/** A command on the host of a node, carried out where the server's files are. Every command compares on the host. */
export interface Host {
  run(
    node: NodeConfig,
    script: string,
    options: { deliveryTimeoutSeconds: number; timeoutMs: number },
  ): Promise<
    | { readonly outcome: 'done'; readonly stdout: string }
    | { readonly outcome: 'refused'; readonly message: string }
    | { readonly outcome: 'unknown'; readonly message: string }
  >
}

/** The token of the name: a TXT record at `_understudy.<name>`. */
export interface EndpointToken {
  readonly deployment: string
  readonly cluster: string
  readonly term: number
}

/** Both records as read; `raw` and `ttlSeconds` are what a DELETE must repeat exactly. */
export interface EndpointRecords {
  readonly token: (EndpointToken & { readonly raw: string; readonly ttlSeconds: number }) | null
  /** A TXT record that is there and is not ours to read. */
  readonly foreignToken: string | null
  readonly cname: { readonly target: string; readonly ttlSeconds: number } | null
  /** A record at the name that we can not compare and swap: other type, several values, weighted. */
  readonly foreignRecord: string | null
}

export interface Endpoint {
  read(cluster: ClusterConfig): Promise<EndpointRecords>
  /**
   * One batch: DELETE(what was read) CREATE(next); fails as a whole if either changed since. Never UPSERT.
   * `conflict`: a comparison failed, read again. `refused`: with the provider's reason. `unknown`: may have happened.
   */
  swap(
    cluster: ClusterConfig,
    read: EndpointRecords,
    next: { readonly token: EndpointToken; readonly target: string },
  ): Promise<
    | { readonly outcome: 'done'; readonly changeId: string }
    | { readonly outcome: 'conflict' | 'refused' | 'unknown'; readonly message: string }
  >
  /** Has the change reached all authoritative servers? A change that is not known any more counts as 'unknown'. */
  inSync(changeId: string): Promise<'yes' | 'no' | 'unknown'>
}

// ---------------------------------------------------------------------------------------------------------------
// The other functions, the workflow, people

export interface LookRequest {
  readonly cluster: string
  readonly lookId: string
  /** The recorded primary or target, which alone gets a write probe; null: none. */
  readonly writeProbeOn: NodeId | null
  /** Resolve the endpoint, connect to what it names and probe it. */
  readonly endpoint: boolean
}

export interface OperateRequest {
  readonly cluster: string
  readonly node: NodeId
  readonly term: number
  readonly claimId: string
  readonly action: SqlAction
}

export interface Functions {
  /** Asks every observer for a look, in parallel; who does not answer in time is missing from the result. */
  look(request: LookRequest): Promise<readonly Look[]>
  operate(request: OperateRequest): Promise<SqlResult>
}

/** The input of the workflow: from assess, the CLI, or a person in the console. See `core/workflow.ts`. */
export interface Workflow {
  /** `exists`: an execution of this name was started before (its input may differ). */
  start(name: string, input: unknown): Promise<'started' | 'exists' | 'unknown'>
}

export interface Notifier {
  /** To people (SNS) and to the bus (EventBridge). Throws when it could not be handed over. */
  notify(cluster: string, event: Event): Promise<void>
  page(cluster: string, issue: Issue): Promise<void>
}

export interface Logger {
  info(message: string, details?: Record<string, unknown>): void
  warn(message: string, details?: Record<string, unknown>): void
  error(message: string, details?: Record<string, unknown>): void
}

/** Everything that a step may use. */
export interface Ports {
  readonly clock: Clock
  readonly store: Store
  readonly functions: Functions
  readonly fence: Fence
  readonly host: Host
  readonly rds: Rds
  readonly endpoint: Endpoint
  readonly workflow: Workflow
  readonly notifier: Notifier
  readonly logger: Logger
  /** Unique id of a claim or look. */
  newId(): string
  /** Milliseconds that this invocation may still use. */
  remainingMs(): number
}
