/** The positive facts of S2, each read now; and the power fence that makes one of them. */
import { isAlive } from '../core/classify.ts'
import { beyondReachOf, possibleWriters } from '../core/state.ts'
import { quorumEvidence } from '../core/synchronous.ts'
import type { Evidence, NodeConfig, NodeId } from '../core/types.ts'
import type { Operation } from '../operation.ts'
import { lookRound, planOf } from '../step.ts'

/** The quorum fence against each possible writer, by that writer's own list (S2). */
export function quorumFor(operation: Operation, frozen: readonly NodeId[]): Evidence[] {
  const { state, cluster } = operation
  if (cluster.policy.fence !== 'quorum') return []
  return possibleWriters(state).flatMap((writer) => {
    const set = state.nodes[writer]?.possibleWriter?.synchronous
    if (set === undefined) return []
    const counted = [...new Set([...frozen, ...beyondReachOf(state, writer)])].filter((id) => id !== writer)
    const evidence = quorumEvidence({ set, writer, term: state.term, counted })
    return evidence === null ? [] : [evidence]
  })
}

/** Asks for the power fence of these nodes, recorded before; the reason where it can not be asked for. */
export async function requestStops(
  operation: Operation,
  nodes: readonly NodeId[],
): Promise<Map<NodeId, string>> {
  const problems = new Map<NodeId, string>()
  const stoppable: { node: NodeConfig; instanceId: string }[] = []
  for (const id of nodes) {
    const node = operation.cluster.nodes.find((each) => each.id === id)
    const instanceId = operation.state.nodes[id]?.instanceId ?? null
    if (node === undefined || instanceId === null) {
      problems.set(
        id,
        `${id}: no instance was recorded while it was healthy, so it can not be fenced: approve term ${operation.state.term} without its fence`,
      )
    } else stoppable.push({ node, instanceId })
  }
  if (stoppable.length === 0) return problems
  const plan = planOf(operation.state)
  const fenceRequested = [...new Set([...plan.fenceRequested, ...stoppable.map(({ node }) => node.id)])]
  await operation.act(
    { plan: { ...plan, fenceRequested } },
    {
      kind: 'fence requested',
      message: `power fence: ${stoppable.map(({ node, instanceId }) => `${node.id} (${instanceId})`).join(', ')}`,
    },
    () =>
      Promise.all(
        stoppable.map(async ({ node, instanceId }) => {
          const answer = await operation.ports.fence.stop(node.region, instanceId)
          if (answer !== 'requested')
            problems.set(node.id, `${node.id}: the stop of ${instanceId} was answered ${answer}`)
        }),
      ),
  )
  await operation.beat()
  return problems
}

/** The fact, read now: the instance that was recorded while the node was healthy is stopped (S2, H02). */
export async function stoppedEvidence(operation: Operation, nodes: readonly NodeId[]): Promise<Evidence[]> {
  const wanted = nodes.flatMap((id) => {
    const node = operation.cluster.nodes.find((each) => each.id === id)
    const instanceId = operation.state.nodes[id]?.instanceId ?? null
    return node === undefined || instanceId === null ? [] : [{ node, instanceId }]
  })
  const evidence: Evidence[] = []
  for (const region of new Set(wanted.map(({ node }) => node.region))) {
    const here = wanted.filter(({ node }) => node.region === region)
    const views = await operation.ports.fence.observe(
      region,
      here.map(({ instanceId }) => instanceId),
    )
    for (const { node, instanceId } of here) {
      const view = views.find((each) => each.instanceId === instanceId)
      if (view?.state === 'stopped')
        evidence.push({ kind: 'instanceStopped', node: node.id, instanceId, term: operation.state.term })
    }
  }
  return evidence
}

/** An instance that is stopped while its node still answers is the wrong instance: the fact is void (H02). */
export async function notAnswering(
  operation: Operation,
  stopped: readonly Evidence[],
  problems: Map<NodeId, string>,
): Promise<Evidence[]> {
  if (stopped.length === 0) return []
  const looks = await lookRound(operation, { writeProbe: false })
  return stopped.filter((each) => {
    const answers = looks.some((look) => isAlive(look.nodes[each.node]?.class ?? 'unknown'))
    if (answers)
      problems.set(
        each.node,
        `${each.node} answers although its recorded instance is stopped: the mapping is wrong, run adopt`,
      )
    return !answers
  })
}

/**
 * Evidence of a switchover: the old primary itself, seen in recovery and frozen for this term. With `freeze` it is frozen
 * first, which a server out of recovery refuses.
 */
export async function frozenPrimary(
  operation: Operation,
  node: NodeId,
  action: 'freeze' | 'measure' = 'measure',
): Promise<{ evidence: Evidence; positionBytes: number; timeline: number } | { problem: string }> {
  const result = await operation.sql(node, { do: action })
  if (result.outcome !== 'done' || result.measurement === undefined)
    return { problem: `${node}: ${result.message}` }
  return {
    evidence: { kind: 'frozenInRecovery', node, term: operation.state.term },
    positionBytes: result.measurement.positionBytes,
    timeline: result.measurement.timeline,
  }
}
