/**
 * The vocabulary of the product as types: one word for one thing, the same in code, table, CLI, docs and logs.
 *
 * Conventions: a position in the write-ahead log is a number of bytes (`…Bytes`; exact below 2^53, which is 8 PiB
 * of log); a duration is milliseconds on a monotonic clock (`…Ms`); a wall-clock instant is `…AtMs` and only ever
 * displayed, pruned by or compared with the scheduler's clock, never used for a claim, a freshness or a silence.
 */

export type NodeId = string
export type ObserverId = string

/** What a node is, seen through one probe. `classify` in `classify.ts` is the only maker. */
export const nodeClasses = [
  'writable', // out of recovery, and a commit went through the whole commit path (or was not asked for)
  'writes blocked', // out of recovery, answers, but the write probe's commit did not return in time
  'recovery', // a standby: answers, in recovery
  'starting', // SQLSTATE 57P03, or in crash recovery: the server answered
  'stopping', // told that it shuts down (57P01 on a new connection, 57P03 "shutting down")
  'busy', // too many connections: the server answered
  'denied', // authentication, TLS or authorisation refused: the server answered
  'refused', // ECONNREFUSED, or reset before any byte: nobody listens
  'silent', // a time-out at any stage
  'unreachable', // no route, no such host
  'broken', // answers with something that is not the protocol, or with an internal error: neither alive nor refused
  'unknown', // not looked at, or the look does not count (late tick, canary failed, unreadable report)
] as const
export type NodeClass = (typeof nodeClasses)[number]

/** How the open session of an observer's loop to a node ended (S12). */
export interface SessionEnd {
  /** told: 57P01, 57P02 or 57P03 came first, as error or as notice; untold: end or reset without a byte. */
  readonly how: 'told' | 'untold'
  readonly code: string | null
  /** Ticks of this observer since it ended, while the node has not answered. Saturates at 10,000. */
  readonly ticks: number
  /** Monotonic age of the end when the report was written. */
  readonly ageMs: number
}

/** What one probe brought back before any judgement: made by an engine, judged by `classify`. */
export type ProbeOutcome =
  | { readonly kind: 'answered'; readonly row: ProbeRow }
  | { readonly kind: 'sqlError'; readonly sqlState: string; readonly message: string }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'reset'; readonly message: string }
  | { readonly kind: 'timeout'; readonly stage: 'connect' | 'startup' | 'query'; readonly afterMs: number }
  | { readonly kind: 'unreachable'; readonly message: string }
  | { readonly kind: 'protocol'; readonly message: string }
  | { readonly kind: 'notProbed'; readonly message: string }

/** The one query of a probe: everything that decisions need of a node, read in one statement. */
export interface ProbeRow {
  readonly inRecovery: boolean
  /** Primary: timeline of the current WAL file; standby: the receiver's `received_tli` or, without one, the control file's. */
  readonly timeline: number
  readonly systemIdentifier: string
  /** Primary: flushed position; standby: the greater of received and replayed (the received one falls back after a restart). */
  readonly positionBytes: number
  readonly receivedBytes: number | null
  readonly replayedBytes: number | null
  readonly replayPaused: boolean
  /** `recovery_min_apply_delay`. */
  readonly applyDelayMs: number
  readonly upstream: Upstream | null
  /** From `primary_conninfo` in force, without its password: '' when it has none. */
  readonly primaryConninfo: string
  readonly restoreCommand: string
  /** Deployment and term of our freeze, parsed from `primary_conninfo`; null when not frozen by anyone. */
  readonly frozenBy: FreezeMark | null
  readonly downstream: readonly Downstream[]
  readonly synchronous: SynchronousSetting
  /** `default_transaction_read_only`. */
  readonly readOnlyDefault: boolean
  readonly writeProbe: 'ok' | 'blocked' | 'skipped'
  /** `pg_postmaster_start_time()` as text: changes with each start. */
  readonly startedAt: string
  /** Settings that cost time in a failover, by their names; see `checkSettings`. */
  readonly settings: Readonly<Record<string, string>>
}

export interface FreezeMark {
  readonly deployment: string
  readonly term: number
}

/** A standby's WAL receiver. */
export interface Upstream {
  readonly pid: number
  readonly status: string
  readonly timeline: number
  readonly host: string
  readonly port: number
  readonly latestEndBytes: number | null
  /** Age of the last message by the server's own clock: display only. */
  readonly lastMessageAgeMs: number | null
}

/** A primary's WAL sender. */
export interface Downstream {
  readonly applicationName: string
  readonly clientAddress: string | null
  readonly state: string
  readonly syncState: string
  readonly flushedBytes: number | null
}

export interface SynchronousSetting {
  /** `synchronous_standby_names` in force. */
  readonly names: string
  /** `synchronous_commit` in force for this session. */
  readonly commit: string
  /** What the files hold (`pg_file_settings`) is what the server runs; null: could not be read. */
  readonly filesAgree: boolean | null
  /** Roles or databases that override `synchronous_commit` (`pg_db_role_setting`): 'role app', 'database orders'. */
  readonly overrides: readonly string[]
}

/** One node as one observer saw it in one probe. */
export interface Observation {
  readonly class: NodeClass
  readonly outcome: ProbeOutcome
  readonly tookMs: number
}

/** One fresh probe of all nodes by one observer, on request (`look`), answering only to its `lookId`. */
export interface Look {
  readonly lookId: string
  readonly cluster: string
  readonly observer: ObserverId
  readonly nodes: Readonly<Record<NodeId, Observation>>
  /** Something known to answer in the observer's own zone answered; null: none configured. */
  readonly canary: boolean | null
  /** Present when the endpoint was asked for. */
  readonly endpoint?: EndpointLook
}

/** What the name resolves to for clients, and what is found there. */
export interface EndpointLook {
  readonly name: string
  readonly addresses: readonly string[]
  readonly cname: string | null
  readonly class: NodeClass
  readonly message: string
}

/** What an observer's loop last saw; a hint, never proof. */
export interface Report {
  readonly cluster: string
  readonly observer: ObserverId
  /** Minute number of the scheduler's event that started the invocation: orders writers, nothing else. */
  readonly token: number
  readonly holder: string
  readonly sequence: number
  /** True when a class, role, timeline, session end or set differs from the report before: assess is woken. */
  readonly changed: boolean
  readonly canary: boolean | null
  readonly nodes: Readonly<Record<NodeId, ReportedNode>>
}

export interface ReportedNode {
  readonly class: NodeClass
  /** Consecutive ticks in this class that count (late ticks do not). */
  readonly ticks: number
  readonly observation: Observation
  readonly sessionEnd: SessionEnd | null
  /** Age, when the report was written, of the last tick at which this node had all that the primary had (S10); null: never seen. */
  readonly caughtUpAgeMs: number | null
  /** The last answered row of this node, and its age when the report was written. */
  readonly lastGood: { readonly row: ProbeRow; readonly ageMs: number } | null
}

// ---------------------------------------------------------------------------------------------------------------
// Configuration, as the core sees it (parsed and validated in `config.ts`)

export interface NodeConfig {
  readonly id: NodeId
  /** IP address or a name that nobody moves; never the endpoint. */
  readonly address: string
  /** aurora-global: the reader endpoint of the cluster; that of a secondary cluster is its only one that answers. */
  readonly readerAddress: string | null
  readonly port: number
  /** What the endpoint's CNAME points to when this node is primary; resolves to `address`. */
  readonly dnsName: string
  /**
   * What the provider calls it: EC2 instance id (postgres), DB instance identifier (rds, aurora), DB cluster identifier
   * (aurora-global, where a node is the cluster of one Region).
   */
  readonly instanceId: string
  readonly region: string
  readonly availabilityZone: string
  /** May this node ever be a target? */
  readonly promotable: boolean
  /** Breaks ties between equal positions only; higher wins. */
  readonly preference: number
  /** Addresses from which this node's own WAL receiver connects; default: its address. */
  readonly sourceAddresses: readonly string[]
  /** rds: the security group that admits nobody but Understudy's own functions; the network fence. null: none. */
  readonly closedGroupId: string | null
  /** rds: the security groups of a rebuilt instance; null: those of the new primary, which must be in the same Region. */
  readonly groupIds: readonly string[] | null
}

export const engineNames = ['postgres', 'rds', 'aurora', 'aurora-global'] as const
export type EngineName = (typeof engineNames)[number]

/** What only engines have that the provider runs: RDS and Aurora. */
export interface ManagedConfig {
  readonly family: 'postgres' | 'mysql' | 'mariadb'
  /** How long what the provider does by itself (Multi-AZ failover, reboot, upgrade) is followed before it is judged. */
  readonly providerGraceMs: number
  /** How long a replica that is being backed up is waited for before the next candidate is taken. */
  readonly backupGraceMs: number
  /** aurora-global: the id of the global cluster. */
  readonly globalClusterId: string | null
  /** aurora: identifier of the cluster, for permissions and event rules; null: any cluster of its Regions. */
  readonly clusterId: string | null
  /** aurora-global: clients use the global writer endpoint, which Aurora moves; no name of ours is moved. */
  readonly globalEndpoint: boolean
}

export type LossPolicy =
  | { readonly mode: 'never' }
  | { readonly mode: 'bounded'; readonly seconds: number }
  | { readonly mode: 'availability' }

export interface Policy {
  /** `network` (rds) and `native` (aurora, aurora-global) are the only ones of their engines. */
  readonly fence: 'power' | 'quorum' | 'network' | 'native'
  /** The owner's declaration that a commit whose wait a driver cancelled may be lost (S2). */
  readonly cancelledWaits: 'accepted' | 'refused'
  readonly loss: LossPolicy
  /** Who may change `synchronous_standby_names` (S9). */
  readonly synchronous: 'managed' | 'fixed' | 'none'
  /** How many standbys a managed list wants in `ANY k (…)`. */
  readonly synchronousCount: number
  /** A primary that answers a minority of observers (S6). */
  readonly isolated: 'page' | 'failover'
  /** Whether a node in another Region than the primary's may be a target. */
  readonly crossRegion: 'allowed' | 'forbidden'
  readonly rejoin: 'automatic' | 'never'
  /** rds: whether lost replicas are made anew, which creates and deletes instances. */
  readonly rebuild: 'automatic' | 'approve' | 'never'
  /** Death by refusal must last this long (S12); 0 is allowed. */
  readonly holdMs: number
  /** A told end gets this long to come back, counted in looks (S12). */
  readonly restartGraceMs: number
  /** Consecutive silent looks that make death. */
  readonly silentLooks: number
  /** No second automatic failover within this long (S14). */
  readonly cooldownMs: number
}

export interface ObserveConfig {
  readonly intervalMs: number
  /** Interval while there is any sign of trouble or the cluster is not steady. */
  readonly urgentIntervalMs: number
  readonly probeTimeoutMs: number
  readonly heartbeatMs: number
}

export interface ClusterConfig {
  readonly id: string
  readonly engine: EngineName
  readonly nodes: readonly NodeConfig[]
  readonly endpoint: EndpointConfig
  readonly policy: Policy
  readonly observe: ObserveConfig
  readonly connection: ConnectionConfig
  readonly host: HostConfig | null
  /** Not null exactly for engines that the provider runs. */
  readonly managed: ManagedConfig | null
}

export interface EndpointConfig {
  /** The DNS name that clients write to, without a final dot. */
  readonly name: string
  /** null exactly with `managed.globalEndpoint`: there is no record of ours. */
  readonly zoneId: string | null
  readonly ttlSeconds: number
  /** DNS server `address:port` that answers for the zone; null: the resolver of the VPC. */
  readonly resolver: string | null
}

export interface ConnectionConfig {
  readonly database: string
  /** Role of the probes: `pg_monitor`. */
  readonly observerUser: string
  /** Role of the acts (freeze, promote, follow), used for nothing else (S4). */
  readonly operatorUser: string
  /** Role that standbys stream with. */
  readonly replicationUser: string
  /** `iam`: a token that is signed for each connection (managed engines). */
  readonly password:
    | { readonly from: 'none' }
    | { readonly from: 'iam' }
    | { readonly from: 'secret'; readonly secretId: string }
  readonly tls: 'disable' | 'require' | 'verify-full'
}

/**
 * How commands reach the host of a node (SSM Run Command on EC2), and where its server lives. In every text `{node}`
 * stands for the node's id; `hostOf` fills it in.
 */
export interface HostConfig {
  readonly dataDirectory: string
  readonly binDirectory: string
  /** Operating-system user that runs the server; null: the user that the agent runs as. */
  readonly osUser: string | null
  /** Shell commands that start and stop the server, `{dataDirectory}` and `{binDirectory}` filled in. */
  readonly startCommand: string
  readonly stopCommand: string
}

/** The whole fleet of one deployment. */
export interface FleetConfig {
  readonly deployment: string
  readonly observers: readonly { readonly id: ObserverId; readonly canary: string | null }[]
  readonly clusters: readonly ClusterConfig[]
}

// ---------------------------------------------------------------------------------------------------------------
// State

export const phases = [
  'steady',
  'confirming',
  'fencing',
  'promoting',
  'repointing',
  'settling',
  'halted',
] as const
export type Phase = (typeof phases)[number]

export const steps = ['confirm', 'fence', 'promote', 'repoint', 'settle', 'command'] as const
export type Step = (typeof steps)[number]

export type OperationKind = 'failover' | 'switchover' | 'resume' | 'settle'

/** The right of one invocation to act; `id` is new for each invocation. */
export interface Claim {
  readonly term: number
  readonly step: Step
  readonly attempt: number
  readonly id: string
  /** Open only around an act, not while a step polls. */
  readonly open: boolean
  /** The Step Functions execution, or the command, that holds it: what a refused person is told. */
  readonly holder: string
}

/** What was read in the same session before a node was frozen: enough to undo it. */
export interface FrozenNode {
  readonly primaryConninfo: string
  readonly restoreCommand: string
  /** Timeline read before the freeze; null until applied and read back. */
  readonly timeline: number | null
  /** Two measurements that agreed; null until then. */
  readonly positionBytes: number | null
  /** Everything received can be replayed: not paused, no apply delay, or replayed = received. */
  readonly replayable: boolean | null
}

/** The positive fact that shows a node can not accept writes (S2). A closed list. */
export type Evidence =
  | {
      readonly kind: 'instanceStopped'
      readonly node: NodeId
      readonly instanceId: string
      readonly term: number
    }
  | { readonly kind: 'frozenInRecovery'; readonly node: NodeId; readonly term: number }
  | {
      readonly kind: 'quorum'
      readonly node: NodeId
      readonly term: number
      /** The writer's own list: of `listed`, any `k` acknowledge; `counted` of them are frozen. */
      readonly listed: readonly NodeId[]
      readonly k: number
      readonly counted: readonly NodeId[]
    }
  | {
      /** The closed group alone and `active`, then a reboot seen after it, of the resource seen while healthy. */
      readonly kind: 'closedAndRebooted'
      readonly node: NodeId
      readonly term: number
      readonly resourceId: string
      readonly groupId: string
    }
  | {
      /** The provider's own election: it says that `writer` is the writer, and has finished. */
      readonly kind: 'elected'
      readonly node: NodeId
      readonly term: number
      readonly writer: NodeId
    }
  | {
      readonly kind: 'approved'
      readonly node: NodeId
      readonly term: number
      readonly by: string
      readonly reason: string
    }

/** How far the network fence of a node came (rds). Recorded before each act. */
export interface NetworkFence {
  readonly resourceId: string
  readonly groupId: string
  /** The groups that it had before: what undoing a write-stop opens again. */
  readonly groupsBefore: readonly string[]
  /** The closed group was seen alone and `active`. */
  readonly closed: boolean
  /** What tells a reboot that came after from one that came before, read when it was seen closed. */
  readonly startedAtBefore: string | null
  readonly restartBefore: string | null
  readonly reboot: 'none' | 'requested' | 'seen'
  /**
   * Wait states of the step when the present part of the drain began: the one before the group is closed, and again the
   * one behind it; null: neither has begun. Recorded before any session is ended.
   */
  readonly drainSince: number | null
  /** The primary's end of log when its sessions were ended before its group was closed: what a candidate should have first. */
  readonly firstEndBytes: number | null
  /** The primary's end of log, read when its sessions had ended behind the closed group; null: it did not answer. */
  readonly drainToBytes: number | null
  readonly drained: boolean
  /** How much of the log up to there the furthest candidate lacked when the drain was over; null: it is not, or nothing. */
  readonly missingBytes: number | null
}

export interface Plan {
  readonly kind: OperationKind
  readonly reason: string
  readonly by: string
  readonly automatic: boolean
  /** Requested target of a switchover or of a manual failover. */
  readonly to: NodeId | null
  /** Phase to go back to when the operation stands down. */
  readonly returnTo: 'steady' | 'settling'
  /** The row and the facts that started it, for the record. */
  readonly facts: Readonly<Record<string, unknown>>
  /** The recorded primary when the operation began: the old primary. */
  readonly from: NodeId
  readonly fromTimeline: number
  /** Looks that confirm asked for so far, and how many of them each class got by a quorum. */
  readonly looks: LookCounts
  /** Recorded before it is applied: nodes whose reception is stopped for this term. */
  readonly frozen: Readonly<Record<NodeId, FrozenNode>>
  /** Recorded before it is applied: a switchover stopped the writes of this node. */
  readonly writeStop: { readonly node: NodeId; readonly checkpointBytes: number | null } | null
  /** rds: network fences of this operation; {} for other engines. */
  readonly network: Readonly<Record<NodeId, NetworkFence>>
  readonly evidence: readonly Evidence[]
  /** Nodes whose power fence was requested in this term. */
  readonly fenceRequested: readonly NodeId[]
  /** The one node that may be promoted in this term: written once (S1). */
  readonly target: NodeId | null
  readonly targetPositionBytes: number | null
  /** What the decision accepts to lose, computed before. */
  readonly loss: LossEstimate | null
  readonly promotedTimeline: number | null
}

export interface LookCounts {
  readonly asked: number
  readonly dead: number
  readonly silent: number
  readonly restart: number
}

export interface LossEstimate {
  readonly provable: 'none' | 'bounded' | 'unknown'
  readonly boundMs: number | null
  readonly reason: string
}

export const nodeRoles = [
  'primary',
  'standby',
  'frozen', // its reception is stopped for this term
  'target', // recorded as plan.target, not yet seen writable
  'quarantined', // was primary or target, not shown harmless and not ours to use
  'rebuilding', // a rejoin was begun in `term`
  'diverged', // measured beyond the target: only a fresh copy helps
] as const
export type NodeRole = (typeof nodeRoles)[number]

export interface PossibleWriter {
  /** Term in which it was made one. */
  readonly term: number
  readonly timeline: number
  /** Its own synchronous list, as last recorded: what a quorum fence against it is computed from (S2). */
  readonly synchronous: SynchronousSet
}

export interface NodeStatus {
  readonly role: NodeRole
  /** Term in which it got this role. */
  readonly term: number
  /** Was primary or target in `term` and has not been shown harmless since (S1). */
  readonly possibleWriter: PossibleWriter | null
  /**
   * Recorded while the node was healthy (S2): EC2 instance id, its instance running at its address; managed engines: the
   * resource id (`DbiResourceId`, `DbClusterResourceId`), which no other instance of the same identifier ever has.
   */
  readonly instanceId: string | null
  /** Its power fence holds: the instance is to stay stopped until a rejoin starts it. */
  readonly fenced: boolean
  /** How far the rejoin of this term came. */
  readonly rejoin: 'none' | 'starting' | 'copying' | 'streaming'
}

/** The recorded truth about who acknowledges commits (S9). */
export interface SynchronousSet {
  readonly status: 'provable' | 'asynchronous' | 'unknown'
  /** The text of `synchronous_standby_names` it was read from, on `primary`. */
  readonly names: string
  readonly method: 'ANY' | 'FIRST' | null
  readonly k: number
  readonly listed: readonly NodeId[]
  readonly primary: NodeId
  /** Why it is not provable; empty otherwise. */
  readonly reasons: readonly string[]
}

/** The event that a state write carries inside, so that a decision and its explanation cannot part. */
export interface Event {
  readonly term: number
  /** The version of the state that this event made. */
  readonly version: number
  readonly kind: string
  /** Row of the decision table that made it, such as `A12` or `C7`; null for a command. */
  readonly row: string | null
  readonly message: string
  readonly by: string
  readonly facts: Readonly<Record<string, unknown>>
  /** Display only. */
  readonly atMs: number
}

export interface Pause {
  readonly owner: string
  readonly reason: string
  /** By the scheduler's clock (`fleet`), never by a host's. */
  readonly untilMs: number
}

/** rds: an instance that another one takes the place of, kept in mind whatever it is called. */
export interface ReplacedInstance {
  readonly node: NodeId
  readonly resourceId: string
  readonly region: string
  /** Term in which it was replaced. */
  readonly term: number
  /** A former primary is stopped behind its closed group and never deleted; a replica goes once its successor replicates. */
  readonly was: 'primary' | 'replica'
}

/** A condition that only settle sees: kept here, so that assess makes an issue of it for as long as it stands. */
export type Finding = Pick<Issue, 'key' | 'severity' | 'message' | 'todo'>

export interface ClusterState {
  readonly cluster: string
  readonly deployment: string
  readonly version: number
  readonly term: number
  readonly phase: Phase
  readonly claim: Claim | null
  readonly beat: number
  readonly plan: Plan | null
  readonly primary: NodeId
  readonly timeline: number
  readonly systemIdentifier: string
  readonly nodes: Readonly<Record<NodeId, NodeStatus>>
  readonly synchronous: SynchronousSet
  /** The last failover that completed: start of the cooldown. */
  readonly lastFailover: { readonly term: number; readonly atMs: number } | null
  readonly pause: Pause | null
  readonly halted: { readonly reason: string; readonly step: string } | null
  /** Who wrote the endpoint's TXT record at which term: what an absent TXT is judged by. */
  readonly endpointTerm: number | null
  readonly lastEvent: Event
  /** Rises when assess should look at once. */
  readonly wake: number
  /** rds; [] for other engines. */
  readonly replaced: readonly ReplacedInstance[]
  /** Managed engines; [] for others. */
  readonly findings: readonly Finding[]
}

/** Bound to term, target and loss; worse facts void it. */
export interface Approval {
  readonly cluster: string
  readonly term: number
  readonly target: NodeId | null
  readonly acceptLoss: boolean
  /** Possible writers whose missing fence is accepted. */
  readonly unfenced: readonly NodeId[]
  readonly by: string
  readonly reason: string
  readonly untilMs: number
}

export interface Issue {
  readonly cluster: string
  readonly key: string
  readonly severity: 'info' | 'warning' | 'critical'
  readonly message: string
  readonly todo: string
  readonly sinceMs: number
}

/** The scheduler's clock and what the last minute tick saw; `fleet` item. */
export interface Fleet {
  readonly version: number
  /** Time of the scheduler's event, only forwards. */
  readonly clockMs: number
  /** A jump seen once, waiting for a second tick that agrees. */
  readonly jumpMs: number | null
  readonly seen: Readonly<Record<string, { readonly version: number; readonly beat: number }>>
  readonly breaker: { readonly open: boolean; readonly reason: string }
}

export interface Availability {
  readonly writes: boolean
  readonly reads: boolean
  readonly staleReads: boolean
  readonly reasons: readonly string[]
}

/** What one read of an item gives. `unreadable` counts as unknown and is an issue, never an exception. */
export type Read<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unreadable'; readonly problems: readonly string[] }
