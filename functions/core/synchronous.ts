/**
 * Who acknowledges commits: PostgreSQL's `synchronous_standby_names`, read, judged and written.
 *
 * A list is a fact only when it is provable (S9); then it carries two conclusions: which standbys must be frozen so
 * that a writer can acknowledge nothing any more (S2), and how many must be measured so that the furthest of them has
 * every acknowledged commit (S8). Both are the same number, N-k+1: any k of N meet any N-k+1 of N.
 */
import { parseSynchronousNames } from './synchronousGrammar.ts'
import type {
  ClusterConfig,
  Downstream,
  Evidence,
  LossPolicy,
  NodeConfig,
  NodeId,
  ProbeRow,
  SynchronousSet,
} from './types.ts'

export { parseSynchronousNames, type SynchronousNames } from './synchronousGrammar.ts'

/** A name that nobody carries: commits wait, nothing is acknowledged falsely. */
export const nobody = 'understudy_nobody'

/**
 * The list of `primary` as its row shows it. `provable`, or `asynchronous` with every reason why not, or `unknown`
 * when the row is not that of a primary. Application names of standbys are node ids, compared as PostgreSQL does:
 * without regard to case (`SyncRepGetStandbyPriority` in syncrep.c uses `pg_strcasecmp`).
 */
export function readSynchronousSet(cluster: ClusterConfig, primary: NodeId, row: ProbeRow): SynchronousSet {
  const names = row.synchronous.names
  const set = { names, method: null, k: 0, listed: [], primary } as const
  if (row.inRecovery) {
    return { ...set, status: 'unknown', reasons: [`${primary} is in recovery: its list is not in force`] }
  }
  if (cluster.policy.synchronous === 'none') {
    return { ...set, status: 'asynchronous', reasons: ['the policy says that the cluster is asynchronous'] }
  }
  const parsed = parseSynchronousNames(names)
  if (parsed.kind === 'none') {
    return { ...set, status: 'asynchronous', reasons: ['synchronous_standby_names is empty'] }
  }
  if (parsed.kind === 'unparseable') {
    return { ...set, status: 'asynchronous', reasons: [`synchronous_standby_names: ${parsed.reason}`] }
  }
  const { listed, reasons: nameReasons } = readNames(cluster, primary, parsed.names)
  const reasons = [
    ...nameReasons,
    ...(parsed.k > parsed.names.length
      ? [`it wants ${parsed.k} acknowledgements of ${parsed.names.length} standbys: every commit waits`]
      : []),
    ...senderReasons(cluster, listed, row.downstream),
    ...settingReasons(row),
  ]
  const status = reasons.length === 0 ? 'provable' : 'asynchronous'
  return { status, names, method: parsed.method, k: parsed.k, listed, primary, reasons }
}

function readNames(cluster: ClusterConfig, primary: NodeId, names: readonly string[]) {
  const listed: NodeId[] = []
  const reasons: string[] = []
  for (const name of names) {
    const nodes = cluster.nodes.filter((node) => sameName(node.id, name))
    const [node] = nodes
    if (name === '*') reasons.push('the list holds *: anybody may acknowledge')
    else if (!node || nodes.length > 1)
      reasons.push(`${JSON.stringify(name)} is not exactly one configured node`)
    else if (node.id === primary) reasons.push(`the primary ${primary} lists itself`)
    else if (listed.includes(node.id)) reasons.push(`${node.id} is listed twice`)
    else listed.push(node.id)
  }
  return { listed, reasons }
}

/** A clone that carries a listed name acknowledges for a frozen standby; so do pg_receivewal and subscribers. */
function senderReasons(
  cluster: ClusterConfig,
  listed: readonly NodeId[],
  downstream: readonly Downstream[],
): string[] {
  return listed.flatMap((id) => {
    const node = cluster.nodes.find((candidate) => candidate.id === id)
    const senders = downstream.filter((sender) => sameName(sender.applicationName, id))
    if (!node || senders.length === 0) return []
    if (senders.length > 1) return [`${senders.length} connections carry the name ${id}`]
    return senders
      .filter((sender) => !comesFrom(node, sender.clientAddress))
      .map((sender) => `a connection from ${sender.clientAddress ?? 'a local socket'} carries the name ${id}`)
  })
}

function settingReasons({ synchronous }: ProbeRow): string[] {
  const reasons: string[] = []
  if (synchronous.filesAgree === false) reasons.push('the files hold another list than the server runs')
  if (synchronous.filesAgree === null) reasons.push('whether the files agree could not be read')
  if (synchronous.commit !== 'on' && synchronous.commit !== 'remote_apply') {
    reasons.push(`synchronous_commit is ${synchronous.commit}`)
  }
  if (synchronous.overrides.length > 0) {
    reasons.push(`synchronous_commit is overridden for ${synchronous.overrides.join(', ')}`)
  }
  return reasons
}

function sameName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

function comesFrom(node: NodeConfig, address: string | null): boolean {
  if (address === null) return false
  return node.sourceAddresses.map(plainAddress).includes(plainAddress(address))
}

/** `inet` prints a mask when it is cast to text, and IPv4 clients of a dual-stack socket appear mapped. */
function plainAddress(address: string): string {
  return address
    .toLowerCase()
    .replace(/\/(32|128)$/, '')
    .replace(/^::ffff:(?=\d+\.)/, '')
}

/** How many of the listed standbys meet every possible acknowledgement: N-k+1, and never none. */
export function quorumNeeded(set: Pick<SynchronousSet, 'listed' | 'k'>): number {
  return Math.max(1, set.listed.length - set.k + 1)
}

/**
 * The quorum fence (S2): enough of the writer's own listed standbys are frozen for this term. Null when the list is
 * not provable, is another writer's, or too few listed standbys are counted.
 */
export function quorumEvidence(args: {
  set: SynchronousSet
  writer: NodeId
  term: number
  counted: readonly NodeId[]
}): Extract<Evidence, { kind: 'quorum' }> | null {
  const { set, writer, term } = args
  if (set.status !== 'provable' || set.primary !== writer) return null
  const counted = set.listed.filter((id) => id !== writer && args.counted.includes(id))
  if (counted.length < quorumNeeded(set)) return null
  return { kind: 'quorum', node: writer, term, listed: set.listed, k: set.k, counted }
}

/** `ANY k ("b", "c")`; of no names a list that nobody can satisfy, so that commits wait. */
export function formatSynchronousNames(k: number, names: readonly NodeId[]): string {
  if (names.length === 0) return `ANY 1 ("${nobody}")`
  return `ANY ${Math.max(1, k)} (${names.map((name) => `"${name.replaceAll('"', '""')}"`).join(', ')})`
}

export interface TargetList {
  /** The text to set on the target before its promotion. */
  readonly names: string
  readonly listed: readonly NodeId[]
  /** Measured beyond the fork or on another timeline: only a fresh copy helps. */
  readonly diverged: readonly NodeId[]
  readonly k: number
  readonly reason: string
}

/**
 * The target's own list, set before its promotion (S9). Only a standby measured at or before the fork, on the
 * target's timeline, may acknowledge: another one would confirm commits that it does not have.
 */
export function listForTarget(args: {
  cluster: ClusterConfig
  target: NodeId
  targetPositionBytes: number
  measurements: Readonly<Record<NodeId, { positionBytes: number; timeline: number }>>
  loss: LossPolicy
}): TargetList {
  const { cluster, target, targetPositionBytes, measurements, loss } = args
  const timeline = measurements[target]?.timeline
  const listed: NodeId[] = []
  const diverged: NodeId[] = []
  for (const { id } of cluster.nodes) {
    const measured = measurements[id]
    if (id === target || !measured || timeline === undefined) continue
    const follows = measured.timeline === timeline && measured.positionBytes <= targetPositionBytes
    ;(follows ? listed : diverged).push(id)
  }
  if (cluster.policy.synchronous === 'none') {
    return {
      names: '',
      listed: [],
      diverged,
      k: 0,
      reason: 'the policy says that the cluster is asynchronous',
    }
  }
  const wanted = Math.max(1, cluster.policy.synchronousCount)
  if (listed.length >= wanted) {
    const reason = `${listed.join(', ')} can follow; ${wanted} of them must acknowledge`
    return { names: formatSynchronousNames(wanted, listed), listed, diverged, k: wanted, reason }
  }
  const few = `only ${listed.length} of the ${wanted} standbys that must acknowledge can follow`
  if (loss.mode === 'never') {
    const names = formatSynchronousNames(wanted, listed)
    return { names, listed, diverged, k: wanted, reason: `${few}; with loss never, commits wait` }
  }
  const k = listed.length
  const names = k === 0 ? '' : formatSynchronousNames(k, listed)
  return { names, listed, diverged, k, reason: `${few}; with loss ${loss.mode}, ${k} must acknowledge` }
}
