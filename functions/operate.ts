/** operate: carries out one SQL action on one node for a step: connect, then read the claim, then act (S4). */

import { createDynamoStore } from './aws/store.ts'
import type { FleetDocument } from './config.ts'
import type { ClusterConfig } from './core/types.ts'
import { engines } from './database.ts'
import { entry, type Surroundings } from './entry.ts'
import { clusterOf } from './look.ts'
import { Superseded } from './operation.ts'
import type { Engine, OperateRequest, SqlResult, Store } from './ports.ts'
import { required } from './runtime.ts'
import { operateRequestSchema } from './schemas.ts'

/** Below this function's own time-out, so that a hard end never meets a statement under way. */
const actMs = 12_000

export interface OperateWorld {
  readonly fleet: FleetDocument
  readonly store: Pick<Store, 'readState'>
  readonly engine: (cluster: ClusterConfig) => Engine
}

/** Refuses, without any effect, when the claim is not the caller's any more by the time the session is open. */
export async function operate(world: OperateWorld, request: OperateRequest): Promise<SqlResult> {
  const cluster = clusterOf(world.fleet, request.cluster)
  const node = cluster.nodes.find((each) => each.id === request.node)
  if (node === undefined) return { outcome: 'refused', message: `node ${request.node} is not configured` }
  let superseded: string | undefined
  const guard = async () => {
    superseded = await notMine(world, request)
    if (superseded !== undefined) throw new Superseded(superseded)
  }
  const result = await world.engine(cluster).act(cluster, node, request.action, {
    deployment: world.fleet.deployment,
    term: request.term,
    timeoutMs: actMs,
    guard,
  })
  return superseded === undefined ? result : { outcome: 'refused', message: superseded }
}

async function notMine(world: OperateWorld, request: OperateRequest): Promise<string | undefined> {
  const read = await world.store.readState(request.cluster)
  if (read.kind !== 'found') return `the state of ${request.cluster} is ${read.kind}`
  const { claim, term } = read.value
  if (term !== request.term || claim?.id !== request.claimId) {
    return `the claim is held by ${claim?.holder ?? 'nobody'} in term ${term}`
  }
  return undefined
}

const worldOf = ({ fleet, clients }: Surroundings): OperateWorld => ({
  fleet,
  store: createDynamoStore({ client: clients.dynamo, table: required('UNDERSTUDY_TABLE') }),
  engine: engines.of,
})

export const handler = entry<unknown, SqlResult>(
  'operate',
  (event, surroundings) => operate(worldOf(surroundings), operateRequestSchema.parse(event)),
  async (surroundings) => {
    // A probe, as the observers make it: a session of the operator role would end those of a running operation.
    const [cluster] = surroundings.fleet.clusters
    if (cluster === undefined) return
    const { store, engine } = worldOf(surroundings)
    const options = { timeoutMs: cluster.observe.probeTimeoutMs, writeProbe: false }
    await Promise.allSettled([
      store.readState(cluster.id),
      ...cluster.nodes.map((node) => engine(cluster).probe(cluster, node, options)),
    ])
  },
)
