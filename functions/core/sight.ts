/** What the reports say of each node, over all observers: the one reading of reports that assess rests on. */
import { isAlive, isDown, isInTransit, isOutOfRecovery, majority } from './classify.ts'
import { electsNatively } from './engine.ts'
import { saysStreaming } from './streams.ts'
import type {
  Approval,
  ClusterConfig,
  ClusterState,
  Issue,
  NodeClass,
  NodeConfig,
  NodeId,
  ObserverId,
  ProbeRow,
  Read,
  Report,
  ReportedNode,
} from './types.ts'

export interface AssessInput {
  readonly deployment: string
  readonly cluster: ClusterConfig
  readonly observers: readonly ObserverId[]
  readonly state: Read<ClusterState>
  readonly reports: ReadonlyMap<ObserverId, Read<Report>>
  readonly issues: readonly Issue[]
  readonly approval: Approval | null
  /** Null when woken by the stream. */
  readonly tick: {
    readonly clockMs: number
    readonly seen: { readonly version: number; readonly beat: number } | null
  } | null
  readonly fleet: {
    readonly clockMs: number
    readonly breakerOpen: boolean
    readonly failoversUnderWay: number
    readonly dyingDomains: readonly string[]
  }
}

/** One node, as the reports that count show it. */
export interface NodeSight {
  readonly config: NodeConfig
  readonly by: ReadonlyMap<ObserverId, ReportedNode>
  readonly alive: number
  readonly down: number
  /** Rows of the last tick, where the node answered. */
  readonly rows: ReadonlyMap<ObserverId, ProbeRow>
  /** The youngest row that any observer has. */
  readonly lastRow: ProbeRow | null
  readonly delayed: boolean
}

export interface Sight {
  readonly quorum: number
  /** Reports that count: found, of a configured observer, canary not failed. */
  readonly readable: readonly ObserverId[]
  readonly unreadable: readonly ObserverId[]
  readonly canaryFailed: readonly ObserverId[]
  readonly canaries: number
  readonly nodes: ReadonlyMap<NodeId, NodeSight>
  /** `a:71 b:40`: which reports this is made of. */
  readonly sequences: string
}

export function readSight(input: AssessInput): Sight {
  const { cluster, observers } = input
  const found = observers.flatMap((id) => {
    const read = input.reports.get(id)
    return read?.kind === 'found' && read.value.cluster === cluster.id ? [[id, read.value] as const] : []
  })
  const counted = found.filter(([, report]) => report.canary !== false)
  return {
    quorum: majority(observers.length),
    readable: counted.map(([id]) => id),
    unreadable: observers.filter((id) => input.reports.get(id)?.kind === 'unreadable'),
    canaryFailed: found.filter(([, report]) => report.canary === false).map(([id]) => id),
    canaries: counted.filter(([, report]) => report.canary === true).length,
    nodes: new Map(cluster.nodes.map((node) => [node.id, nodeSight(node, counted)])),
    sequences: counted.map(([id, report]) => `${id}:${report.sequence}`).join(' '),
  }
}

function nodeSight(config: NodeConfig, reports: readonly (readonly [ObserverId, Report])[]): NodeSight {
  const by = new Map<ObserverId, ReportedNode>()
  for (const [id, report] of reports) {
    const node = report.nodes[config.id]
    if (node) by.set(id, node)
  }
  const seen = [...by.values()]
  const rows = new Map<ObserverId, ProbeRow>()
  for (const [id, node] of by) {
    if (node.observation.outcome.kind === 'answered') rows.set(id, node.observation.outcome.row)
  }
  const good = seen.flatMap((node) => node.lastGood ?? []).toSorted((a, b) => a.ageMs - b.ageMs)
  const lastRow = good[0]?.row ?? [...rows.values()][0] ?? null
  return {
    config,
    by,
    alive: seen.filter((node) => isAlive(node.class)).length,
    down: seen.filter((node) => isDown(node.class)).length,
    rows,
    lastRow,
    delayed: (lastRow?.applyDelayMs ?? 0) > 0,
  }
}

export function classesOf(sight: NodeSight | undefined): readonly NodeClass[] {
  return [...(sight?.by.values() ?? [])].map((node) => node.class)
}

export function countOf(sight: NodeSight | undefined, test: (c: NodeClass) => boolean): number {
  return classesOf(sight).filter(test).length
}

export function isUsable(c: NodeClass): boolean {
  return isAlive(c) && !isInTransit(c)
}

/**
 * Standbys that say that they stream from the primary on the recorded timeline. Readers of Aurora have no receiver and no
 * timeline of their own: a standby that answers in recovery is fed by the storage.
 */
export function streamingStandbys(
  cluster: ClusterConfig,
  state: ClusterState,
  sight: Sight,
): readonly NodeId[] {
  const native = electsNatively(cluster)
  return [...sight.nodes].flatMap(([id, node]) => {
    if (native) {
      const isReader = state.nodes[id]?.role === 'standby' && countOf(node, (c) => c === 'recovery') > 0
      return isReader && id !== state.primary ? [id] : []
    }
    const streams = [...node.rows.values()].some(
      (row) => saysStreaming(cluster, state.primary, id, row) && row.upstream?.timeline === state.timeline,
    )
    return streams ? [id] : []
  })
}

/**
 * Nodes seen out of recovery. A report in which the recorded primary is still a standby is older than the last
 * promotion, so what it says of others is history, not a second writer.
 */
export function seenOutOfRecovery(state: ClusterState, sight: Sight): readonly NodeId[] {
  const primary = sight.nodes.get(state.primary)
  const isHistory = (observer: ObserverId) => primary?.by.get(observer)?.class === 'recovery'
  return [...sight.nodes].flatMap(([id, node]) => {
    const seen = [...node.by].some(
      ([observer, reported]) =>
        isOutOfRecovery(reported.class) && (id === state.primary || !isHistory(observer)),
    )
    return seen ? [id] : []
  })
}
