/**
 * What one simulated run leaves behind: plain data, in order of virtual time, that the checkers judge and a person can
 * read. Two kinds of things stand in it: what the product wrote and did (states, acts, names), and what was true
 * meanwhile, whether anybody saw it or not (`server`, `writer`, `sight`, `stream`, `acknowledged`, `promoted`).
 */
import type {
  Approval,
  ClusterConfig,
  ClusterState,
  Event,
  Evidence,
  NodeId,
  ObserverId,
} from '../../functions/core/types.ts'
import type { RdsAct, SqlAction } from '../../functions/ports.ts'

/** One claim, as a read of the state showed it. */
export interface SeenClaim {
  readonly id: string | null
  readonly term: number
}

/** Who did what to whom; the state is the one that was stored when it took effect, not the one that its actor read. */
interface Doing {
  readonly deployment: string
  /** Name of the invocation. */
  readonly by: string
  /** The claim that its actor's last consistent read showed; null: it read none. */
  readonly seen: SeenClaim | null
  /** That claim is one which this very invocation (or the step that asked it) stored. */
  readonly mine: boolean
  /** The request was held up on its way and took effect late. */
  readonly stalled: boolean
  readonly stored: ClusterState | undefined
}

export type ActEntry = Doing & { readonly kind: 'act' } & (
    | { readonly what: 'sql'; readonly node: NodeId; readonly action: SqlAction; readonly term: number }
    | {
        readonly what: 'power'
        readonly node: NodeId | null
        readonly act: 'stop' | 'start'
        readonly instanceId: string
      }
    | { readonly what: 'host'; readonly node: NodeId; readonly command: string; readonly term: number }
    /** `node`: what the provider is told, an identifier or the name of a group. */
    | { readonly what: 'rds'; readonly node: string; readonly action: RdsAct }
  )

/** What a probe from there would be answered now. `refused`: the host is there, the server is not. */
export type Answer = 'answers' | 'refused' | 'silent'

type Happened =
  /** A client was told that it is committed, at the configured level. `reign` rises with every promotion of any server. */
  | {
      readonly kind: 'acknowledged'
      readonly client: string
      readonly commit: number
      readonly node: NodeId
      readonly reign: number
    }
  /** In a server's log, and nobody was told yet. May be left out: no checker needs each of them. */
  | { readonly kind: 'committed'; readonly commit: number; readonly node: NodeId; readonly reign: number }
  /** The client cancelled its wait and saw success (S2), or asked for less than the configured level: not promised. */
  | { readonly kind: 'cutShort'; readonly commit: number }
  /**
   * A server begins or ceases to run out of recovery, as far as its own process and host go: a frozen process and one
   * whose commits nobody acknowledges accept as well.
   */
  | {
      readonly kind: 'writer'
      readonly node: NodeId
      readonly accepts: boolean
      readonly reign: number
      readonly timeline: number
    }
  /**
   * A server left recovery onto a new timeline. `term`: the term for which Understudy told it; null: somebody else did.
   * `missing`: commits that were acknowledged so far, by anybody, and are not in its log.
   */
  | {
      readonly kind: 'promoted'
      readonly deployment: string | null
      readonly node: NodeId
      readonly term: number | null
      readonly reign: number
      readonly timeline: number
      readonly missing: readonly number[]
    }
  /** A server's process: `told`: it says good-bye to its sessions; `untold`: it is just gone. */
  | {
      readonly kind: 'server'
      readonly node: NodeId
      readonly change: 'started' | 'told' | 'untold' | 'hung' | 'unhung'
    }
  /** An observer's stored report begins or ceases to say that this node told it about its end (S12); transitions only. */
  | {
      readonly kind: 'told'
      readonly deployment: string
      readonly observer: ObserverId
      readonly node: NodeId
      readonly says: boolean
    }
  /** A round of looks came back to who asked for it. `arrived`: whose look did, and counts (its canary did not fail). */
  | {
      readonly kind: 'looks'
      readonly deployment: string
      readonly by: string
      readonly arrived: readonly ObserverId[]
    }
  /**
   * What a story expects, since it alone knows its faults: by `untilMs` the name leads to a server that accepts writes and
   * is of the newest reign; or, with `ends`, this server does not accept writes any more.
   */
  | {
      readonly kind: 'promise'
      readonly what: string
      readonly untilMs: number
      readonly ends?: NodeId
    }
  /** Each version of a deployment's state, in order. `by`: the invocation that wrote it. */
  | { readonly kind: 'state'; readonly deployment: string; readonly state: ClusterState; readonly by: string }
  /** A person put the table back to an older state: versions and terms begin there again (H09). */
  | { readonly kind: 'restored'; readonly deployment: string; readonly state: ClusterState }
  /** The scheduler's clock, after each write of the fleet item (S3). */
  | { readonly kind: 'clock'; readonly deployment: string; readonly clockMs: number }
  | { readonly kind: 'approval'; readonly deployment: string; readonly approval: Approval }
  /** The two records of the name after each change. `owner`, `term`: what the TXT says; `target`: the CNAME's node. */
  | {
      readonly kind: 'name'
      /** Deployment that changed it; null: somebody by hand. */
      readonly deployment: string | null
      readonly by: string
      readonly owner: string | null
      readonly term: number | null
      readonly target: NodeId | null
    }
  /** What is true of a way, whether anybody looks or not; transitions only, first ones at the beginning. */
  | { readonly kind: 'sight'; readonly from: ObserverId; readonly node: NodeId; readonly answer: Answer }
  /** `progresses`: what the upstream commits now reaches the standby. */
  | { readonly kind: 'stream'; readonly from: NodeId; readonly node: NodeId; readonly progresses: boolean }
  /** A trouble that was made, in words: for people who read a history, never for a checker. */
  | { readonly kind: 'trouble'; readonly message: string }

export type Entry = { readonly atMs: number } & (Happened | ActEntry)
export type EntryOf<K extends Entry['kind']> = Extract<Entry, { kind: K }>

/** One server when everything was over. */
export interface EndedServer {
  readonly id: NodeId
  readonly running: boolean
  readonly inRecovery: boolean
  /** A commit of a client returned. */
  readonly writable: boolean
  readonly timeline: number
  /** The node that it streams from; null: none. */
  readonly streamsFrom: NodeId | null
}

/** What there was when the run was over, for the requirement that the cluster is well again. */
export interface Ended {
  /** By deployment. */
  readonly states: Readonly<Record<string, ClusterState | undefined>>
  readonly name: {
    readonly owner: string | null
    readonly term: number | null
    readonly target: NodeId | null
  }
  readonly servers: readonly EndedServer[]
  /** Acknowledged commits, ever, that are not in the log of the name's target. */
  readonly missing: readonly number[]
  /** By deployment: the history as it was recorded, `<term>.<version>`. */
  readonly events: Readonly<Record<string, readonly string[]>>
}

export interface History {
  readonly seed: number
  readonly story: string
  readonly config: ClusterConfig
  readonly observers: readonly ObserverId[]
  readonly deployments: readonly string[]
  readonly entries: readonly Entry[]
  /** Virtual time at the end, and when everything was healed (null: never). */
  readonly endedAtMs: number
  readonly healedAtMs: number | null
  readonly ended: Ended
}

export interface Violation {
  /** Short name of the property: `one writer`. */
  readonly property: string
  readonly atMs: number
  /** For a person: what was promised, and what happened instead. */
  readonly message: string
}

/** One property, judged by the history alone. [] when it holds. */
export type Checker = (history: History) => Violation[]

export type { ClusterState, Event, Evidence, ObserverId }
