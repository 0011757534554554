/** doctor: tries what a failover needs, and says what is missing before it is needed. It changes nothing. */
import { failureOf } from '../aws/errors.ts'
import type { CommandResult } from '../command.ts'
import { mayClaim } from '../core/claim.ts'
import { type DoctorFacts, examine, type Trouble } from '../core/doctor.ts'
import { whyNotOurs } from '../core/endpoint.ts'
import { isManaged } from '../core/engine.ts'
import type { ClusterConfig, ClusterState } from '../core/types.ts'
import { movesNoName } from '../managed/nativeRepoint.ts'
import type { EndpointRecords } from '../ports.ts'
import { type CommandWorld, clusterOf, freshLooks, observersOf } from './world.ts'

/** Refused with everything that is missing, or will be with the next loss; each reason begins with what was tried. */
export async function doctor(world: CommandWorld, asked: { cluster: string }): Promise<CommandResult> {
  const cluster = clusterOf(world, asked.cluster)
  const { store, endpoint } = world.ports
  const [looks, state, fleet, fence, records] = await Promise.all([
    freshLooks(world, cluster.id),
    tried(store.readState(cluster.id)),
    tried(store.readFleet()),
    isManaged(cluster) ? null : fenceTrouble(world, cluster),
    movesNoName(cluster) ? null : tried(endpoint.read(cluster)),
  ])
  const found = state.kind === 'found' ? state.value : null
  const clockMs = fleet.kind === 'found' ? fleet.value.clockMs : null
  const facts: DoctorFacts = {
    cluster,
    observers: observersOf(world),
    looks,
    state,
    refusal: found && (await refusalOf(world, cluster, found, clockMs)),
    breakerOpen: fleet.kind === 'found' && fleet.value.breaker.open,
    fence,
    endpoint: isTrouble(records) ? records : null,
    nameRefusal: found && records && !isTrouble(records) ? whyNotOurs(cluster, found, records) : null,
  }
  const findings = examine(facts)
  if (findings.length > 0)
    return { outcome: 'refused', reasons: findings.map(({ check, message }) => `${check}: ${message}`) }
  return {
    outcome: 'done',
    message: `a failover of ${cluster.id} could be carried out now: all observers look, nodes let them in, fence, name and table answer, and a standby could take over`,
  }
}

/** A service that answers no is told apart from one that does not answer: rights and ways have different remedies. */
async function tried<T>(read: Promise<T>): Promise<T | Exclude<Trouble, null>> {
  try {
    return await read
  } catch (error) {
    const { kind, message } = failureOf(error, { idempotent: true })
    return { kind: kind === 'rejected' ? 'denied' : 'away', message }
  }
}

const isTrouble = (read: EndpointRecords | Trouble): read is Exclude<Trouble, null> =>
  read !== null && 'kind' in read

async function fenceTrouble(world: CommandWorld, cluster: ClusterConfig): Promise<Trouble> {
  for (const region of new Set(cluster.nodes.map((node) => node.region))) {
    const ids = cluster.nodes.filter((node) => node.region === region).map((node) => node.instanceId)
    const views = await tried(world.ports.fence.observe(region, ids))
    if ('kind' in views) return { ...views, message: `${region}: ${views.message}` }
  }
  return null
}

async function refusalOf(
  world: CommandWorld,
  cluster: ClusterConfig,
  state: ClusterState,
  clockMs: number | null,
): Promise<string | null> {
  const approval = await tried(world.ports.store.readApproval(cluster.id, state.term + 1))
  const answer = mayClaim({
    cluster,
    state,
    input: {
      cluster: cluster.id,
      kind: 'failover',
      reason: 'asked by doctor',
      automatic: { version: state.version, beat: state.beat, row: 'A35', facts: {} },
    },
    execution: 'doctor',
    clockMs,
    approved: approval.kind === 'found' && clockMs !== null && clockMs < approval.value.untilMs,
  })
  return answer.may === 'refuse' ? `${answer.row}: ${answer.reason}` : null
}
