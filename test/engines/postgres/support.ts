import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterConfig, FreezeMark, NodeConfig, ProbeRow } from '../../../functions/core/types.ts'
import { createPostgresEngine } from '../../../functions/engines/postgres/index.ts'
import type { Clock, SqlAction, SqlResult } from '../../../functions/ports.ts'
import { localRoles, PostgresCluster, pickPort } from '../../../local/postgres/index.ts'

export const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep: async (ms) => void (await sleep(ms)),
}

export const engine = createPostgresEngine({ password: async () => undefined, clock })

export const deployment = 'test_one'

export interface Fixture {
  readonly servers: PostgresCluster
  readonly config: ClusterConfig
  node(id: string): NodeConfig
  probe(id: string, writeProbe?: boolean): Promise<ProbeRow>
  act(id: string, term: number, action: SqlAction, guard?: () => Promise<void>): Promise<SqlResult>
  conninfo(upstream: string, applicationName: string): string
}

export async function createFixture(ids = ['a', 'b', 'c']): Promise<Fixture> {
  const port = await pickPort()
  const servers = await PostgresCluster.create({
    nodes: ids.map((id, index) => ({ id, address: `127.0.0.1${index + 1}`, port })),
    synchronous: 'any',
  })
  const config = clusterConfig([...servers.servers.values()])
  const node = (id: string) => {
    const found = config.nodes.find((each) => each.id === id)
    if (!found) throw new Error(`no node ${id}`)
    return found
  }
  return {
    servers,
    config,
    node,
    probe: async (id, writeProbe = false) => {
      const outcome = await engine.probe(config, node(id), { timeoutMs: 5000, writeProbe })
      if (outcome.kind !== 'answered') throw new Error(JSON.stringify(outcome))
      return outcome.row
    },
    act: async (id, term, action, guard = async () => {}) =>
      await engine.act(config, node(id), action, { deployment, term, timeoutMs: 10_000, guard }),
    conninfo: (upstream, applicationName) => {
      const { address, port } = node(upstream)
      return `host=${address} port=${port} user=${localRoles.replication} application_name=${applicationName} connect_timeout=2`
    },
  }
}

function clusterConfig(specs: readonly { id: string; address: string; port: number }[]): ClusterConfig {
  return {
    id: 'orders',
    engine: 'postgres',
    nodes: specs.map(({ id, address, port }, index) => ({
      id,
      address,
      port,
      dnsName: `${id}.orders.test`,
      instanceId: `i-${id}`,
      region: 'eu-central-1',
      availabilityZone: `eu-central-1${'abc'[index]}`,
      promotable: true,
      preference: 0,
      readerAddress: null,
      closedGroupId: null,
      groupIds: null,
      sourceAddresses: ['127.0.0.1'],
    })),
    endpoint: { name: 'orders.test', zoneId: 'Z1', ttlSeconds: 1, resolver: null },
    policy: {
      fence: 'power',
      cancelledWaits: 'refused',
      loss: { mode: 'never' },
      synchronous: 'managed',
      synchronousCount: 1,
      isolated: 'page',
      rejoin: 'automatic',
      crossRegion: 'allowed',
      rebuild: 'approve',
      holdMs: 250,
      restartGraceMs: 20_000,
      silentLooks: 2,
      cooldownMs: 0,
    },
    observe: { intervalMs: 1000, urgentIntervalMs: 100, probeTimeoutMs: 500, heartbeatMs: 10_000 },
    connection: {
      database: 'app',
      observerUser: localRoles.observer,
      operatorUser: localRoles.operator,
      replicationUser: localRoles.replication,
      password: { from: 'none' },
      tls: 'disable',
    },
    managed: null,
    host: null,
  }
}

export function markOf(term: number): FreezeMark {
  return { deployment, term }
}

/** Waits for a condition; the deadline is generous, since other work shares the machine. */
export async function eventually<T>(
  what: string,
  read: () => Promise<T | undefined | false | null>,
  deadlineMs = 20_000,
): Promise<T> {
  const until = performance.now() + deadlineMs
  let last: unknown
  for (;;) {
    try {
      const found = await read()
      if (found) return found
      last = found
    } catch (error) {
      last = error
    }
    if (performance.now() > until) throw new Error(`${what}: not within ${deadlineMs} ms (${String(last)})`)
    await sleep(10)
  }
}

/**
 * Kills the primary once the standbys have all the same, so that any of them can follow any other: one that received a
 * few bytes more would be diverged (which is a test of its own).
 */
export async function killWhenEqual(
  fixture: Fixture,
  primary: string,
  standbys: readonly string[],
): Promise<void> {
  await eventually('equal standbys', async () => {
    const rows = await Promise.all([primary, ...standbys].map((id) => fixture.probe(id)))
    return rows.every((row) => row.positionBytes === rows[0]?.positionBytes)
  })
  await fixture.servers.servers.get(primary)?.kill()
}

export function done(result: SqlResult): Extract<SqlResult, { outcome: 'done' }> {
  if (result.outcome !== 'done') throw new Error(`${result.outcome}: ${result.message}`)
  return result
}
