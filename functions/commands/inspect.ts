/** status and explain: what is true now, and why what happened happened. They change nothing. */
import type { CommandResult } from '../command.ts'
import { assess } from '../core/assess.ts'
import type { ClusterConfig } from '../core/types.ts'
import { type CommandWorld, clusterOf, observersOf } from './world.ts'

export async function status(world: CommandWorld, cluster: string | undefined): Promise<CommandResult> {
  const wanted = cluster === undefined ? world.fleet.clusters : [clusterOf(world, cluster)]
  const clusters = await Promise.all(wanted.map((each) => statusOf(world, each)))
  return { outcome: 'done', message: `${clusters.length} clusters`, clusters }
}

async function statusOf(world: CommandWorld, cluster: ClusterConfig) {
  const { store } = world.ports
  const [state, reports, issues, fleet] = await Promise.all([
    store.readState(cluster.id),
    store.readReports(cluster.id),
    store.readIssues(cluster.id),
    store.readFleet(),
  ])
  const clockMs = fleet.kind === 'found' ? fleet.value.clockMs : 0
  const assessment = assess({
    deployment: world.fleet.deployment,
    cluster,
    observers: observersOf(world),
    state,
    reports,
    issues,
    approval: null,
    tick: null,
    fleet: {
      clockMs,
      breakerOpen: fleet.kind === 'found' && fleet.value.breaker.open,
      failoversUnderWay: 0,
      dyingDomains: [],
    },
  })
  return {
    cluster: cluster.id,
    endpoint: cluster.endpoint.name,
    state: state.kind === 'found' ? state.value : null,
    problems: state.kind === 'unreadable' ? state.problems : [],
    reports: Object.fromEntries(
      [...reports].map(([observer, read]) => [observer, read.kind === 'found' ? read.value : null]),
    ),
    decision: assessment.decision,
    availability: assessment.availability,
    issues,
    nodes: cluster.nodes.map(({ id, address, port, availabilityZone }) => ({
      id,
      address,
      port,
      availabilityZone,
    })),
  }
}

export async function explain(
  world: CommandWorld,
  asked: { cluster: string; limit: number },
): Promise<CommandResult> {
  const { store } = world.ports
  const [state, history] = await Promise.all([
    store.readState(asked.cluster),
    store.readEvents(asked.cluster, asked.limit),
  ])
  const current = state.kind === 'found' ? [state.value.lastEvent] : []
  // The newest event may not have been copied into the history yet: it is inside the state.
  const events = [...current, ...history].filter(
    (event, index, all) =>
      all.findIndex((other) => other.term === event.term && other.version === event.version) === index,
  )
  const now = (await statusOf(world, clusterOf(world, asked.cluster))).decision
  return {
    outcome: 'done',
    message: `${events.length} events of ${asked.cluster}, newest first`,
    events: events.slice(0, asked.limit),
    now,
  }
}
