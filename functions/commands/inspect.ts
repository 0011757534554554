/** status and explain: what is true now, and why what happened happened. They change nothing. */
import type { CommandResult } from '../command.ts'
import { approvalTerm, approvalView } from '../core/approval.ts'
import { assess } from '../core/assess.ts'
import { isRefusal } from '../core/events.ts'
import type { Approval, ClusterConfig, ClusterState, Event } from '../core/types.ts'
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
  const clockMs = fleet.kind === 'found' ? fleet.value.clockMs : null
  const present = state.kind === 'found' ? state.value : null
  const approvals = present === null ? null : await approvalsOf(world, present)
  const assessment = assess({
    deployment: world.fleet.deployment,
    cluster,
    observers: observersOf(world),
    state,
    reports,
    issues,
    approval: approvals?.next ?? null,
    tick: null,
    fleet: {
      clockMs: clockMs ?? 0,
      breakerOpen: fleet.kind === 'found' && fleet.value.breaker.open,
      failoversUnderWay: 0,
      dyingDomains: [],
    },
  })
  return {
    cluster: cluster.id,
    endpoint: cluster.endpoint.name,
    state: present,
    problems: state.kind === 'unreadable' ? state.problems : [],
    reports: Object.fromEntries(
      [...reports].map(([observer, read]) => [observer, read.kind === 'found' ? read.value : null]),
    ),
    decision: assessment.decision,
    clockMs,
    approval:
      present === null
        ? null
        : approvalView({
            state: present,
            decision: assessment.decision,
            given: approvals?.given ?? null,
            clockMs,
          }),
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

/** The approval that counts now, and the one that an operation which began now would have. */
async function approvalsOf({ ports }: CommandWorld, state: ClusterState) {
  const read = async (term: number): Promise<Approval | null> => {
    const approval = await ports.store.readApproval(state.cluster, term)
    return approval.kind === 'found' ? approval.value : null
  }
  const [given, next] = await Promise.all([read(approvalTerm(state)), read(state.term + 1)])
  return { given, next }
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
  const isCopy = (event: Event) =>
    !isRefusal(event) &&
    current.some((newest) => newest.term === event.term && newest.version === event.version)
  const events = [...current, ...history.filter((event) => !isCopy(event))].toSorted(
    (a, b) => b.term - a.term || b.version - a.version || Number(isRefusal(b)) - Number(isRefusal(a)),
  )
  const now = (await statusOf(world, clusterOf(world, asked.cluster))).decision
  return {
    outcome: 'done',
    message: `${events.length} events of ${asked.cluster}, newest first`,
    events: events.slice(0, asked.limit),
    now,
  }
}
