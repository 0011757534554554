/** What the engines on the local RDS share: servers that only its control plane knows, and faults through it. */
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterState, NodeId } from '../functions/core/types.ts'
import type { DatabaseOptions, Databases } from './databases.ts'
import { PostgresCluster, type PostgresServer } from './postgres/index.ts'
import { RdsControlPlane, type RdsOptions } from './rds/index.ts'
import { query } from './rds/servers.ts'
import { monotonicMs } from './writer.ts'

type Described = Omit<RdsOptions, 'postgres' | 'log' | 'delaysMs'>

/** The first server is the primary, the others stream from it. */
export async function startPlane(
  servers: readonly { readonly id: string; readonly server: string }[],
  port: number,
  { log, delaysMs }: DatabaseOptions,
  describe: (server: (id: string) => PostgresServer) => Described,
): Promise<{ postgres: PostgresCluster; plane: RdsControlPlane }> {
  const postgres = await PostgresCluster.create({
    nodes: servers.map(({ id, server }) => ({ id, address: server, port })),
    synchronous: 'none',
  })
  try {
    const described = describe((id) => required(postgres.servers.get(id)))
    const given = { ...(log ? { log } : {}), ...(delaysMs ? { delaysMs } : {}) }
    const plane = await RdsControlPlane.create({ postgres, ...given, ...described })
    return { postgres, plane }
  } catch (error) {
    await postgres.close()
    throw error
  }
}

interface Places {
  readonly hosts: Readonly<Record<string, string>>
  /** Servers that stream from the primary when nothing is wrong. */
  readonly followers: number
  addressOf(node: NodeId): string
  /** The instance that a node is; of a cluster, the one that writes. */
  instanceOf(node: NodeId): string
}

/** Each fault is that of one instance. */
export function databasesOf(postgres: PostgresCluster, plane: RdsControlPlane, places: Places): Databases {
  const { hosts, followers, addressOf, instanceOf } = places
  /** Whoever has the identifier now: after a rebuild that may be another server. */
  const server = async (node: NodeId): Promise<PostgresServer> =>
    required((await plane.view(instanceOf(node))).server ?? undefined)
  return {
    postgres,
    aws: { machines: [], hosts, rds: plane },
    followers,
    isReady: (state: ClusterState) => Object.values(state.nodes).every((node) => node.instanceId !== null),
    addressOf,
    query: async (node, text, values = [], database = 'postgres') =>
      await query(await server(node), text, values, database),
    async inflict(fault, node) {
      if (fault === 'restart') return await rebootByHand(plane, instanceOf(node))
      if (fault === 'kill') await plane.crash(instanceOf(node))
      else await plane.freeze(instanceOf(node))
      return undefined
    },
    thaw: (node) => plane.thaw(instanceOf(node)),
    async close() {
      await plane.close()
      await postgres.close()
    },
  }
}

/** What a person does in the console. RDS lets the sessions be for a while: resolves when it has ended them. */
async function rebootByHand(plane: RdsControlPlane, identifier: string): Promise<number> {
  const { region } = (await plane.view(identifier)).instance
  const before = plane.events.length
  const form = new URLSearchParams({ DBInstanceIdentifier: identifier })
  await plane.handle('RebootDBInstance', form, { region, staleMs: 0 })
  while (!plane.events.slice(before).some(({ id }) => id === 'RDS-EVENT-0004')) await delay(2)
  return monotonicMs()
}

export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing there')
  return value
}
