import type { FleetDocument } from '../config.ts'
import type { ClusterConfig, Look } from '../core/types.ts'
import { Operation, Superseded } from '../operation.ts'
import type { Ports } from '../ports.ts'

export interface CommandWorld {
  readonly ports: Ports
  readonly fleet: FleetDocument
}

export function clusterOf(world: CommandWorld, id: string): ClusterConfig {
  const cluster = world.fleet.clusters.find((each) => each.id === id)
  if (cluster === undefined) throw new Error(`cluster ${id} is not configured`)
  return cluster
}

export const observersOf = (world: CommandWorld): string[] => world.fleet.observers.map((each) => each.id)

/** A command's right to write the state; its holder is the person. */
export function operationOf(world: CommandWorld, cluster: string, by: string): Promise<Operation> {
  return Operation.begin({
    cluster: clusterOf(world, cluster),
    ports: world.ports,
    step: 'command',
    by,
    holder: `command by ${by}`,
  })
}

export function freshLooks(world: CommandWorld, cluster: string): Promise<readonly Look[]> {
  return world.ports.functions.look({
    cluster,
    lookId: world.ports.newId(),
    writeProbeOn: null,
    endpoint: false,
  })
}

/** The scheduler's clock, by which pauses and approvals end (S3); a host's only while no tick was ever seen. */
export async function clockMs(world: CommandWorld): Promise<number> {
  const fleet = await world.ports.store.readFleet()
  return fleet.kind === 'found' ? fleet.value.clockMs : world.ports.clock.wallMs()
}

/** What loses the race against a running step reads and decides anew, at most so many times in all. */
export async function onFreshReads<T>(most: number, body: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await body()
    } catch (error) {
      if (!(error instanceof Superseded) || tries >= most) throw error
    }
  }
}
