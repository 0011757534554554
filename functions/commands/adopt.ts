/** adopt: the first start, and the way back after a halt: the state is made from what a quorum sees now (section 6). */

import type { CommandResult } from '../command.ts'
import { isAlive, majority } from '../core/classify.ts'
import { decideEndpoint, endpointFacts } from '../core/endpoint.ts'
import { isManaged } from '../core/engine.ts'
import { agreement } from '../core/looks.ts'
import { streamsFrom } from '../core/settle.ts'
import { adoptedState, keptStatuses } from '../core/state.ts'
import { readSynchronousSet } from '../core/synchronous.ts'
import type { ClusterConfig, ClusterState, Look, NodeId, ProbeRow, SynchronousSet } from '../core/types.ts'
import { executionName } from '../core/workflow.ts'
import { closedNodes, type Identified, identifyManaged } from '../managed/identify.ts'
import { movesNoName } from '../managed/nativeRepoint.ts'
import { StoreUnavailable, Superseded } from '../operation.ts'
import type { EndpointRecords } from '../ports.ts'
import { type CommandWorld, clusterOf, freshLooks, observersOf } from './world.ts'

type Asked = {
  readonly cluster: string
  readonly takeOver?: boolean | undefined
  readonly by?: string | undefined
}

/** Refuses, changing nothing, unless a quorum sees exactly one writable node and the name is ours to have. */
export async function adopt(world: CommandWorld, asked: Asked): Promise<CommandResult> {
  const cluster = clusterOf(world, asked.cluster)
  const { store, endpoint } = world.ports
  const [read, looks, records] = await Promise.all([
    store.readState(cluster.id),
    freshLooks(world, cluster.id),
    movesNoName(cluster) ? noRecords : endpoint.read(cluster),
  ])
  if (read.kind === 'unreadable') {
    return {
      outcome: 'refused',
      reasons: [
        `the stored state can not be read; mend or remove the item first: ${read.problems.join('; ')}`,
      ],
    }
  }
  const previous = read.kind === 'found' ? read.value : null
  const busy =
    previous !== null && ['confirming', 'fencing', 'promoting', 'repointing'].includes(previous.phase)
  if (busy)
    return {
      outcome: 'refused',
      reasons: [
        `operation of term ${previous.term} is ${previous.phase}, run by ${previous.claim?.holder ?? 'nobody'}; if it will not end, \`understudy halt ${cluster.id}\` comes first`,
      ],
    }
  const closed = cluster.engine === 'rds' ? await closedNodes({ ports: world.ports, cluster }) : []
  const found = onlyWriter(world, cluster, { looks, closed })
  if ('problems' in found) return { outcome: 'refused', reasons: found.problems }
  const term = Math.max(records.token?.term ?? 0, previous?.term ?? 0) + 1
  const token = {
    deployment: world.fleet.deployment,
    cluster: cluster.id,
    term,
    endpointTerm: previous?.endpointTerm ?? null,
  }
  const takeOver = asked.takeOver ?? false
  const decision = decideEndpoint(endpointFacts(cluster, token, records, found.primary, { takeOver }))
  if (decision.do === 'refuse' || decision.do === 'superseded')
    return { outcome: 'refused', reasons: [`${decision.row}: ${decision.reason}`] }
  const by = asked.by ?? 'operator'
  const identified = await identify(world, cluster, { previous, looks, found })
  const state = adoptedState({
    cluster,
    deployment: world.fleet.deployment,
    term,
    primary: found.primary,
    timeline: found.row.timeline,
    systemIdentifier: found.row.systemIdentifier,
    synchronous: unproven(readSynchronousSet(cluster, found.primary, found.row)),
    instanceIds: identified.ids,
    streaming: identified.streaming,
    id: world.ports.newId(),
    happening: {
      kind: 'adopted',
      message: `${found.primary} is the primary, on timeline ${found.row.timeline}`,
      by,
      atMs: world.ports.clock.wallMs(),
    },
    previous,
  })
  const outcome = await store.writeState(state, previous)
  if (outcome === 'unknown') throw new StoreUnavailable('the table did not say whether the state was written')
  if (outcome === 'lost') throw new Superseded('the state was written meanwhile')
  const answer = await pointName(world, cluster, state, records)
  // The first pass makes sure of the list, the instances and the name; the minute tick goes on where it ends.
  const name = executionName(cluster.id, term, 'settle', `adopted-${world.ports.newId().slice(0, 8)}`)
  await world.ports.workflow.start(name, { cluster: cluster.id, kind: 'settle', reason: 'adopted', by })
  return answer
}

/** S9: what was acknowledged before this look may be on nobody of the list; settle finds out. */
function unproven(set: SynchronousSet): SynchronousSet {
  if (set.status !== 'provable') return set
  return { ...set, status: 'unknown', reasons: ['it is not seen to hold yet what was acknowledged before'] }
}

/** Where Aurora moves the name, nothing of it is ours to read or to change. */
const noRecords: EndpointRecords = { token: null, foreignToken: null, cname: null, foreignRecord: null }

async function pointName(
  world: CommandWorld,
  cluster: ClusterConfig,
  state: ClusterState,
  records: EndpointRecords,
): Promise<CommandResult> {
  const target = cluster.nodes.find((node) => node.id === state.primary)?.dnsName ?? ''
  const token = { deployment: state.deployment, cluster: state.cluster, term: state.term }
  const kept = keptStatuses(state)
  const adopted = { term: state.term, primary: state.primary, synchronous: state.synchronous, kept }
  if (movesNoName(cluster)) {
    const message = `${cluster.id} is adopted in term ${state.term}: ${state.primary} is the primary, and Aurora moves ${cluster.endpoint.name}`
    return { outcome: 'done', message, ...adopted }
  }
  const swap = await world.ports.endpoint.swap(cluster, records, { token, target })
  const others =
    kept.length === 0 ? '' : `; not taken for standbys until they are seen to stream: ${kept.join(', ')}`
  if (swap.outcome === 'done') {
    return {
      outcome: 'done',
      message: `${cluster.id} is adopted in term ${state.term}: ${state.primary} is the primary, ${cluster.endpoint.name} points to it${others}`,
      ...adopted,
    }
  }
  // The state stands; settle asserts the name with the adopted term from now on.
  return {
    outcome: 'done',
    message: `${cluster.id} is adopted in term ${state.term}, but its name is not moved yet (${swap.message}); it is tried again each minute${others}`,
    ...adopted,
  }
}

/**
 * Exactly one writable node for a quorum, and no other node out of recovery for anybody; behind its closed group one is
 * out of everybody's reach.
 */
function onlyWriter(
  world: CommandWorld,
  cluster: ClusterConfig,
  { looks, closed }: { looks: readonly Look[]; closed: readonly NodeId[] },
): { primary: NodeId; row: ProbeRow } | { problems: string[] } {
  const observers = observersOf(world)
  if (looks.length < majority(observers.length)) {
    return {
      problems: [
        `${looks.length} of ${observers.length} observers answered, ${majority(observers.length)} are needed`,
      ],
    }
  }
  const seen = cluster.nodes.map((node) => ({ id: node.id, ...agreement(looks, observers, node.id) }))
  const writers = seen.filter((each) => each.class === 'writable' && !closed.includes(each.id))
  const problems: string[] = []
  for (const node of cluster.nodes.filter((each) => !closed.includes(each.id))) {
    const out = looks.filter((look) => {
      const outcome = look.nodes[node.id]?.outcome
      return outcome?.kind === 'answered' && !outcome.row.inRecovery
    })
    if (out.length > 0 && !writers.some((each) => each.id === node.id))
      problems.push(
        `${node.id} is out of recovery for ${out.map((look) => look.observer).join(', ')} but not writable for a majority`,
      )
  }
  if (writers.length !== 1)
    problems.push(
      `${writers.length} nodes are writable to a majority of the observers, exactly one is needed: ${describe(looks, cluster)}${closed.length > 0 ? `; behind its closed group: ${closed.join(', ')}` : ''}`,
    )
  const [writer] = writers
  if (problems.length > 0 || !writer?.row) return { problems }
  const foreign = seen.filter(
    (each) => each.row !== null && each.row.systemIdentifier !== writer.row?.systemIdentifier,
  )
  if (foreign.length > 0)
    return {
      problems: foreign.map(
        (each) =>
          `${each.id} belongs to another database cluster (system identifier ${each.row?.systemIdentifier}, ${writer.id} has ${writer.row?.systemIdentifier})`,
      ),
    }
  return { primary: writer.id, row: writer.row }
}

function describe(looks: readonly Look[], cluster: ClusterConfig): string {
  return cluster.nodes
    .map(
      (node) =>
        `${node.id} is ${looks.map((look) => look.nodes[node.id]?.class ?? 'unknown').join('/')}${looks.some((look) => isAlive(look.nodes[node.id]?.class ?? 'unknown')) ? '' : " (check its address and the observers' network)"}`,
    )
    .join(', ')
}

/** Which instance each node is, and which nodes are seen to follow the primary. */
async function identify(
  world: CommandWorld,
  cluster: ClusterConfig,
  seen: {
    previous: ClusterState | null
    looks: readonly Look[]
    found: { primary: NodeId; row: ProbeRow }
  },
): Promise<Identified> {
  const { previous, looks, found } = seen
  const { primary, row } = found
  const observers = observersOf(world)
  const { timeline } = row
  if (isManaged(cluster))
    return identifyManaged({ ports: world.ports, cluster, observers, previous, looks, primary, timeline })
  return {
    ids: await instancesOf(world, cluster, { previous, looks }),
    streaming: cluster.nodes.flatMap(({ id }) => {
      const { row } = agreement(looks, observers, id)
      return streamsFrom(cluster, primary, timeline, row) ? [id] : []
    }),
  }
}

/**
 * Instance ids are recorded only while their instance runs at the node's address (S2, H02). One that was recorded so
 * before, and that the configuration still names, is kept for a node that is down: otherwise a writer that is fenced
 * could never be shown to be. A stopped instance of a node that answers is another one's.
 */
async function instancesOf(
  world: CommandWorld,
  cluster: ClusterConfig,
  { previous, looks }: { previous: ClusterState | null; looks: readonly Look[] },
): Promise<Record<NodeId, string | null>> {
  const ids: Record<NodeId, string | null> = {}
  for (const region of new Set(cluster.nodes.map((node) => node.region))) {
    const here = cluster.nodes.filter((node) => node.region === region)
    const views = await world.ports.fence
      .observe(
        region,
        here.map((node) => node.instanceId),
      )
      .catch(() => [])
    for (const node of here) {
      const view = views.find((each) => each.instanceId === node.instanceId)
      const isThere = view?.privateAddress === null || view?.privateAddress === node.address
      const runs = view?.state === 'running' && isThere
      const known = previous?.nodes[node.id]?.instanceId === node.instanceId
      const answers = looks.some((look) => isAlive(look.nodes[node.id]?.class ?? 'unknown'))
      // Without an answer of EC2 nothing speaks against what was recorded.
      const mayBe = view === undefined || (isThere && view.state !== 'terminated' && view.state !== 'absent')
      ids[node.id] = runs || (known && mayBe && !answers) ? node.instanceId : null
    }
  }
  return ids
}
