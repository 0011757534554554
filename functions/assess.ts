/**
 * assess: looks at reports and state, writes issues, starts the workflow. It may be wrong: confirm judges anew. Woken
 * by the table's stream (a hint: only its keys are used, everything is read again consistently), by the minute tick,
 * and by events of EC2 and RDS.
 */
import { createHash } from 'node:crypto'
import { MetricUnit } from '@aws-lambda-powertools/metrics'
import type { DynamoDBStreamEvent } from 'aws-lambda'
import { clustersOf } from './aws/stream.ts'
import type { FleetDocument } from './config.ts'
import { type Assessment, assess as assessCluster } from './core/assess.ts'
import { firstFleet, isFailingOver, nextFleet } from './core/fleet.ts'
import type { ClusterConfig, ClusterState, Fleet, Issue, NodeConfig } from './core/types.ts'
import { executionName, type WorkflowInput } from './core/workflow.ts'
import { entry, logger, metrics, portsOf } from './entry.ts'
import { fleetMetrics } from './metrics.ts'
import type { Ports, Read } from './ports.ts'

/**
 * Why assess runs: a minute tick with the scheduler's time, or hints. A cluster that is `woken` (by its own state, or
 * by an event of the provider) is looked at as thoroughly as by a tick; of reports only what changed counts.
 */
export type Trigger =
  | { readonly kind: 'tick'; readonly eventMs: number }
  | { readonly kind: 'hint'; readonly woken: readonly string[]; readonly reported: readonly string[] }

interface World {
  readonly ports: Ports
  readonly fleet: FleetDocument
}

/** Assesses each cluster on its own: what goes wrong with one does not stop the others (H23). */
export async function assess(world: World, trigger: Trigger): Promise<Record<string, string>> {
  const wanted =
    trigger.kind === 'tick'
      ? world.fleet.clusters
      : world.fleet.clusters.filter(({ id }) => trigger.woken.includes(id) || trigger.reported.includes(id))
  const results: Record<string, string> = {}
  await Promise.all(
    wanted.map(async (cluster) => {
      try {
        results[cluster.id] = await assessOne(world, cluster, trigger)
      } catch (error) {
        world.ports.logger.error('a cluster could not be assessed', {
          cluster: cluster.id,
          error: String(error),
        })
        results[cluster.id] = `failed: ${String(error)}`
      }
    }),
  )
  if (trigger.kind === 'tick') await writeTick(world, trigger.eventMs)
  return results
}

async function assessOne(world: World, cluster: ClusterConfig, trigger: Trigger): Promise<string> {
  const seen = await readAndAssess(world, cluster, trigger)
  if (seen === null) return 'under way'
  const { state, reports, issues, assessment } = seen
  const { decision } = assessment
  if (decision.action === 'start' && state) await start(world.ports, state, reports, assessment)
  await updateIssues(world.ports, cluster.id, issues, assessment)
  logger.info(`${decision.row}: ${decision.reason}`, { cluster: cluster.id, action: decision.action })
  return `${decision.row} ${decision.action}`
}

/** All that is read, and the one pure call; without effect. null: an operation is under way and this is only a hint. */
async function readAndAssess(world: World, cluster: ClusterConfig, trigger: Trigger) {
  const { store } = world.ports
  const read = await store.readState(cluster.id)
  const state = read.kind === 'found' ? read.value : null
  // A report changes nothing about an operation under way: its steps look for themselves.
  const underWay = state?.phase === 'confirming' || (state !== null && isFailingOver(state.phase))
  if (underWay && trigger.kind === 'hint' && !trigger.woken.includes(cluster.id)) return null
  const [{ fleet, problems }, reports, issues, approval] = await Promise.all([
    readFleet(world.ports),
    store.readReports(cluster.id),
    store.readIssues(cluster.id),
    state ? store.readApproval(cluster.id, state.term + 1) : null,
  ])
  const input = {
    deployment: world.fleet.deployment,
    cluster,
    observers: world.fleet.observers.map((each) => each.id),
    state: read,
    reports,
    issues,
    approval: approval?.kind === 'found' ? approval.value : null,
    tick: tickOf(trigger, cluster.id, fleet),
  }
  const calm = {
    clockMs: fleet?.clockMs ?? 0,
    breakerOpen: fleet?.breaker.open ?? false,
    failoversUnderWay: 0,
    dyingDomains: [],
  }
  let assessment = assessCluster({ ...input, fleet: calm })
  const { decision } = assessment
  if (decision.action === 'start' && decision.kind === 'failover' && world.fleet.clusters.length > 1) {
    assessment = assessCluster({ ...input, fleet: { ...calm, ...(await othersInTrouble(world, cluster)) } })
  }
  return { state, reports, issues, assessment: withFleetIssue(assessment, cluster.id, problems) }
}

/** Said of every cluster: without the scheduler's clock nothing ends that a time ends, and nothing is resumed. */
function withFleetIssue(assessment: Assessment, cluster: string, problems: readonly string[]): Assessment {
  if (problems.length === 0) return assessment
  const issue = {
    cluster,
    key: 'unreadable:fleet',
    severity: 'critical' as const,
    message: `the item of the fleet can not be read: ${problems.join('; ')}; no pause and no approval ends, and what stopped half-way is not resumed`,
    todo: 'Correct the item fleet / fleet, or delete it: it is written anew.',
  }
  return { ...assessment, issues: [...assessment.issues, issue] }
}

/** A beat is compared between two minute ticks only: what wakes a cluster in between says nothing of beats. */
function tickOf(trigger: Trigger, cluster: string, fleet: Fleet | null) {
  const clockMs = fleet?.clockMs ?? 0
  if (trigger.kind === 'tick') return { clockMs, seen: fleet?.seen[cluster] ?? null }
  return trigger.woken.includes(cluster) ? { clockMs, seen: null } : null
}

/** S6: how many clusters are failing over, and where primaries die, read only when it matters. */
async function othersInTrouble(
  world: World,
  cluster: ClusterConfig,
): Promise<{ failoversUnderWay: number; dyingDomains: string[] }> {
  const domains = new Set<string>()
  let failoversUnderWay = 0
  await Promise.all(
    world.fleet.clusters.map(async (other) => {
      const read = await world.ports.store.readState(other.id)
      if (read.kind !== 'found') return
      const { phase, primary, plan } = read.value
      if (other.id !== cluster.id && isFailingOver(phase)) failoversUnderWay++
      // Who is past confirming died earlier, or waits for a person: only who dies now says something about now.
      const dying = other.id === cluster.id || phase === 'confirming'
      const zone = other.nodes.find((node) => node.id === (plan?.from ?? primary))?.availabilityZone
      if (dying && plan?.kind !== 'switchover' && zone) domains.add(zone)
    }),
  )
  return { failoversUnderWay, dyingDomains: [...domains] }
}

/** The same look gives the same name and input; new facts a new one. The name guards nothing, the claim does. */
async function start(
  ports: Ports,
  state: ClusterState,
  reports: Awaited<ReturnType<Ports['store']['readReports']>>,
  { decision, facts }: Assessment,
): Promise<void> {
  if (decision.action !== 'start') return
  const { kind, row, reason } = decision
  const used = [...reports].map(([observer, read]) => [
    observer,
    read.kind === 'found' ? `${read.value.token}.${read.value.sequence}` : read.kind,
  ])
  const hash = createHash('sha256')
    .update(JSON.stringify([state.version, kind, row, used.sort()]))
    .digest('hex')
    .slice(0, 12)
  const automatic = { version: state.version, beat: state.beat, row, facts: facts as Record<string, unknown> }
  const input: WorkflowInput = { cluster: state.cluster, kind, reason, automatic }
  const name = executionName(state.cluster, state.term, kind, hash)
  const outcome = await ports.workflow.start(name, input)
  ports.logger.info(`execution ${name}: ${outcome}`, { cluster: state.cluster, row })
}

/** Issues open and close by themselves; a new one that is critical is told to people at once. */
async function updateIssues(
  ports: Ports,
  cluster: string,
  open: readonly Issue[],
  { issues }: Assessment,
): Promise<void> {
  const nowMs = ports.clock.wallMs()
  if (issues.some((issue) => issue.key === 'two-writers'))
    metrics.addMetric(fleetMetrics.twoWriters, MetricUnit.Count, 1)
  await Promise.all([
    ...issues.map(async (issue) => {
      const known = open.find((each) => each.key === issue.key)
      if (known && known.message === issue.message && known.severity === issue.severity) return
      const opened: Issue = { ...issue, sinceMs: known?.sinceMs ?? nowMs }
      await ports.store.openIssue(opened)
      if (!known && issue.severity === 'critical') await ports.notifier.page(cluster, opened)
    }),
    ...open
      .filter((each) => !issues.some((issue) => issue.key === each.key))
      .map((each) => ports.store.closeIssue(cluster, each.key)),
  ])
}

async function readFleet(ports: Ports): Promise<{ fleet: Fleet | null; problems: readonly string[] }> {
  const read = await ports.store.readFleet()
  return {
    fleet: read.kind === 'found' ? read.value : null,
    problems: read.kind === 'unreadable' ? read.problems : [],
  }
}

async function writeTick({ ports, fleet }: World, eventMs: number): Promise<void> {
  const { fleet: before } = await readFleet(ports)
  const reads = await Promise.all(fleet.clusters.map((cluster) => ports.store.readState(cluster.id)))
  const states = reads
    .filter((read): read is Extract<Read<ClusterState>, { kind: 'found' }> => read.kind === 'found')
    .map((read) => read.value)
  const next = before === null ? firstFleet(eventMs) : nextFleet(before, eventMs, states)
  const seen = before === null ? nextFleet(next, eventMs, states).seen : next.seen
  await ports.store.writeFleet({ ...next, seen }, before?.version ?? 0)
  const count = (phase: (each: ClusterState) => boolean) => states.filter(phase).length
  metrics.addMetric(
    fleetMetrics.clustersNotSteady,
    MetricUnit.Count,
    count((state) => state.phase !== 'steady'),
  )
  metrics.addMetric(
    fleetMetrics.clustersHalted,
    MetricUnit.Count,
    count((state) => state.phase === 'halted'),
  )
  metrics.addMetric(
    fleetMetrics.failoversUnderWay,
    MetricUnit.Count,
    count((state) => isFailingOver(state.phase)),
  )
}

/** What woke us, from the event as AWS delivers it. An event of another kind throws: its rule is a mistake. */
export function triggerOf(event: unknown, fleet: FleetDocument): Trigger {
  const { Records, source, time, detail } = (event ?? {}) as {
    Records?: DynamoDBStreamEvent['Records']
    source?: string
    time?: string
    detail?: Record<string, unknown>
  }
  if (Array.isArray(Records)) return { kind: 'hint', ...clustersOf({ Records }) }
  if (source === 'aws.ec2')
    return wakes(
      fleet,
      ({ instanceId }, { engine }) => engine === 'postgres' && instanceId === detail?.['instance-id'],
    )
  if (source === 'aws.rds') return wakes(fleet, (node, cluster) => concerns(node, cluster, detail ?? {}))
  const eventMs = Date.parse(time ?? '')
  if (Number.isNaN(eventMs))
    throw new Error('neither records of the table, nor an event of EC2 or RDS, nor a tick with its time')
  return { kind: 'tick', eventMs }
}

function wakes(
  fleet: FleetDocument,
  concerned: (node: NodeConfig, cluster: ClusterConfig) => boolean,
): Extract<Trigger, { kind: 'hint' }> {
  const owners = fleet.clusters.filter((cluster) => cluster.nodes.some((node) => concerned(node, cluster)))
  return { kind: 'hint', woken: owners.map((each) => each.id), reported: [] }
}

/**
 * An event of RDS: of the node's own identifier, of what was renamed out of its way (`<id>-t<term>`), or of a cluster of
 * Aurora: the configured one, or without that one that names the instance in its text.
 */
function concerns(
  { instanceId }: NodeConfig,
  { engine, managed }: ClusterConfig,
  detail: Record<string, unknown>,
): boolean {
  if (engine === 'postgres') return false
  const id = instanceId.toLowerCase()
  const source = String(detail.SourceIdentifier ?? '').toLowerCase()
  const renamed = source.startsWith(`${id}-t`) && /^[0-9]+$/.test(source.slice(id.length + 2))
  const words = String(detail.Message ?? '').split(/[^A-Za-z0-9-]+/)
  const isOfCluster = managed?.clusterId
    ? source === managed.clusterId.toLowerCase()
    : words.includes(instanceId)
  const told = engine === 'aurora' && detail.SourceType === 'CLUSTER' && isOfCluster
  return source === id || (engine === 'rds' && renamed) || told
}

export const handler = entry(
  'assess',
  async (event: unknown, surroundings) => {
    const { fleet } = surroundings
    const assessed = await assess({ ports: portsOf(surroundings), fleet }, triggerOf(event, fleet))
    return { assessed, batchItemFailures: [] as { itemIdentifier: string }[] }
  },
  async (surroundings) => {
    const world = { ports: portsOf(surroundings), fleet: surroundings.fleet }
    const [cluster] = world.fleet.clusters
    // Reads, judges and throws the judgement away; the client that starts the workflow is made on the way.
    if (cluster && world.ports.workflow) {
      await readAndAssess(world, cluster, { kind: 'hint', woken: [cluster.id], reported: [] })
    }
  },
)
