/**
 * The embedded default: a real three-node PostgreSQL cluster, the synthesised stack with its own handlers and its own
 * state machine, and AWS's APIs on loopback, adopted and steady. What the demo and the end-to-end tests run on.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { itemOf } from '../functions/aws/items.ts'
import { type FleetInput, parseConfig } from '../functions/config.ts'
import type { ClusterState } from '../functions/core/types.ts'
import { stateSchema } from '../functions/schemas.ts'
import { createApp } from '../infra/app.ts'
import { bundleFunctions } from '../infra/bundle.ts'
import type { Machine } from './machine.ts'
import { localRoles, PostgresCluster, pickPort } from './postgres/index.ts'
import type { Message } from './sns.ts'
import { type LocalAws, type Overrides, startLocalAws } from './stack.ts'
import { monotonicMs } from './writer.ts'

export const clusterId = 'orders'
export const endpointName = 'orders.db.internal'
const zone = { id: 'Z0LOCAL', name: 'db.internal' }
const nodes = [
  { id: 'a', address: '127.0.0.11', instanceId: 'i-0000000000000000a', availabilityZone: 'eu-central-1a' },
  { id: 'b', address: '127.0.0.12', instanceId: 'i-0000000000000000b', availabilityZone: 'eu-central-1b' },
  { id: 'c', address: '127.0.0.13', instanceId: 'i-0000000000000000c', availabilityZone: 'eu-central-1c' },
] as const

/** After this many calls a function runs as fast as one that has been warm for hours. */
const warmRounds = 25

export interface EmbeddedOptions {
  readonly fence?: 'quorum' | 'power'
  readonly stopSeconds?: number
  readonly onMessage?: (message: Message) => void
  readonly log?: (line: string) => void
  /** Gives the start up: what was started by then is ended, and `start` rejects. */
  readonly signal?: AbortSignal
  readonly policy?: Partial<NonNullable<PolicyInput>>
  readonly overrides?: Overrides
}
type PolicyInput = Extract<FleetInput['clusters'], readonly unknown[]>[number]['policy']

/** One state as it was written, with the monotonic time at which it was. */
export interface Seen {
  readonly atMs: number
  readonly state: ClusterState
}

export class Embedded {
  readonly postgres: PostgresCluster
  readonly aws: LocalAws
  readonly port: number
  readonly resolver: string
  /** Every version of the state, oldest first. */
  readonly history: Seen[] = []
  readonly #directory: string
  readonly #listeners = new Set<(state: ClusterState) => void>()

  private constructor(
    postgres: PostgresCluster,
    aws: LocalAws,
    port: number,
    resolver: string,
    directory: string,
  ) {
    this.postgres = postgres
    this.aws = aws
    this.port = port
    this.resolver = resolver
    this.#directory = directory
  }

  /** Resolves when the cluster is adopted and steady. Whatever was started is ended when this fails. */
  static async start(options: EmbeddedOptions = {}): Promise<Embedded> {
    const directory = mkdtempSync(join(tmpdir(), 'understudy-embedded-'))
    let postgres: PostgresCluster | undefined
    let embedded: Embedded | undefined
    try {
      const port = await pickPort()
      const [servers, assembly] = await Promise.all([
        PostgresCluster.create({
          nodes: nodes.map(({ id, address }) => ({ id, address, port })),
          synchronous: 'any',
        }),
        synthesise(directory),
      ])
      postgres = servers
      options.signal?.throwIfAborted()
      let resolver = ''
      const aws = await startLocalAws({
        assembly,
        config: (places: { resolver: string }) => {
          resolver = places.resolver
          return parseConfig(localConfig(servers, port, resolver, options))
        },
        machines: nodes.map((node) => machineOf(servers, node)),
        hosts: Object.fromEntries(nodes.map((node) => [dnsNameOf(node.id), node.address])),
        zone,
        ...(options.onMessage ? { onMessage: options.onMessage } : {}),
        ...(options.log ? { log: options.log } : {}),
        overrides: {
          ...options.overrides,
          stopSeconds: options.stopSeconds ?? 20,
          startSeconds: 1,
          schedules: false,
        },
      })
      embedded = new Embedded(servers, aws, port, resolver, directory)
      embedded.#watch()
      options.signal?.throwIfAborted()
      await Promise.all(embedded.#environments().map(([name, count]) => aws.lambda.prewarm(name, count)))
      if (options.overrides?.schedules !== false) aws.events.startSchedules()
      await embedded.#adopt()
      await embedded.#warm(options.signal)
      return embedded
    } catch (error) {
      await embedded?.aws.close()
      await postgres?.close()
      rmSync(directory, { recursive: true, force: true })
      throw error
    }
  }

  #watch(): void {
    this.aws.dynamodb.onChange((change) => {
      const read = change.newImage ? stateSchema.safeParse(itemOf(change.newImage as never)) : undefined
      if (!read?.success) return
      this.history.push({ atMs: monotonicMs(), state: read.data })
      for (const listener of this.#listeners) listener(read.data)
    })
  }

  /** Resolves at the very write that makes `test` true. */
  onState(test: (state: ClusterState) => boolean): Promise<ClusterState> {
    return new Promise((resolve) => {
      const listener = (state: ClusterState) => {
        if (!test(state)) return
        this.#listeners.delete(listener)
        resolve(state)
      }
      this.#listeners.add(listener)
    })
  }

  /** One minute tick of assess, now. */
  async tick(): Promise<void> {
    const event = { source: 'aws.events', 'detail-type': 'Scheduled Event', time: new Date().toISOString() }
    await this.aws.lambda.invoke('understudy-assess', event)
  }

  /** As many environments of each function as a failover uses at once, observers apart. */
  #environments(): [name: string, count: number][] {
    const atOnce: Record<string, number> = { operate: 3, assess: 3, record: 2 }
    const names = this.aws.deployment.functions.map((fn) => fn.name).filter((name) => !/-observe-/.test(name))
    return names.map((name) => [name, atOnce[name.replace(/^understudy-/, '')] ?? 1])
  }

  /** On AWS a rule keeps the functions warm by this call; here they are warmed before the first fault. */
  async #warm(signal: AbortSignal | undefined): Promise<void> {
    for (let round = 0; round < warmRounds; round++) {
      signal?.throwIfAborted()
      for (const [name, count] of this.#environments()) {
        await Promise.all(Array.from({ length: count }, () => this.aws.lambda.invoke(name, { warmup: true })))
      }
    }
  }

  async #adopt(): Promise<void> {
    const deadlineMs = monotonicMs() + 60_000
    for (;;) {
      const answer = await this.command({ command: 'adopt', cluster: clusterId, by: 'embedded' })
      if (answer.outcome === 'done') break
      if (monotonicMs() > deadlineMs)
        throw new Error(`the cluster could not be adopted: ${JSON.stringify(answer)}`)
      await delay(200)
    }
    await this.until((state) => state.phase === 'steady' && state.synchronous.status === 'provable')
  }

  /** Calls the command function as the CLI does. */
  async command(request: Record<string, unknown>): Promise<{ outcome: string; [key: string]: unknown }> {
    const { payload, functionError } = await this.aws.lambda.invoke(
      'understudy-command',
      JSON.stringify(request),
    )
    if (functionError) throw new Error(`command failed: ${payload}`)
    return JSON.parse(payload)
  }

  get state(): ClusterState | undefined {
    return this.history.at(-1)?.state
  }

  /** Resolves with the first state from now on (the present one included) for which `test` holds. */
  async until(test: (state: ClusterState) => boolean, deadlineMs = 120_000): Promise<ClusterState> {
    const endMs = monotonicMs() + deadlineMs
    for (;;) {
      const state = this.state
      if (state && test(state)) return state
      if (monotonicMs() > endMs) {
        throw new Error(
          `not reached within ${deadlineMs} ms; the state is ${JSON.stringify({ phase: state?.phase, term: state?.term, event: state?.lastEvent })}`,
        )
      }
      await delay(5)
    }
  }

  async close(): Promise<void> {
    await this.aws.close()
    await this.postgres.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

const dnsNameOf = (id: string) => `${id}.nodes.${zone.name}`

/** The CDK app of the repository with the observers of the local configuration: the template that a deploy would use. */
async function synthesise(directory: string): Promise<string> {
  const config = parseConfig(localConfig(null, 5432, '127.0.0.1:53', {}))
  const bundleDirectory = await bundleFunctions({ config, outdir: join(directory, 'functions') })
  const app = await createApp(config, { outdir: join(directory, 'cdk.out'), bundleDirectory })
  return app.synth().directory
}

function machineOf(postgres: PostgresCluster, node: (typeof nodes)[number]): Machine {
  const server = postgres.servers.get(node.id)
  if (server === undefined) throw new Error(`no server ${node.id}`)
  return {
    instanceId: node.instanceId,
    privateAddress: node.address,
    availabilityZone: node.availabilityZone,
    powerOff: () => server.kill(),
    // A host whose server does not start at boot, as the product requires: Understudy starts it, as a standby (S11).
    powerOn: async () => undefined,
    cwd: postgres.directory,
    shellEnvironment: { PATH: `${postgres.binDirectory}:${process.env.PATH ?? ''}` },
  }
}

function localConfig(
  postgres: PostgresCluster | null,
  port: number,
  resolver: string,
  options: EmbeddedOptions,
): FleetInput {
  return {
    deployment: 'understudy',
    region: 'eu-central-1',
    observers: ['a', 'b', 'c'].map((id) => ({ id, availabilityZone: `eu-central-1${id}` })),
    clusters: [
      {
        id: clusterId,
        engine: 'postgres',
        nodes: nodes.map((node) => ({
          ...node,
          port,
          dnsName: dnsNameOf(node.id),
          sourceAddresses: ['127.0.0.1'],
        })),
        endpoint: { name: endpointName, zoneId: zone.id, ttlSeconds: 1, resolver },
        policy: {
          fence: options.fence ?? 'quorum',
          cancelledWaits: 'accepted',
          loss: { mode: 'never' },
          synchronous: 'managed',
          silentLooks: 2,
          // A restart takes some 40 ms on loopback; a quarter of a second, the default, is for real networks.
          holdMs: 100,
          ...options.policy,
        },
        // Loopback answers within a millisecond; half a second of silence is long here. Urgent probes are no more frequent:
        // all of this shares a few processors with the failover itself.
        observe: { intervalMs: 500, urgentIntervalMs: 500, probeTimeoutMs: 300 },
        connection: {
          database: 'postgres',
          observerUser: localRoles.observer,
          operatorUser: localRoles.operator,
          replicationUser: localRoles.replication,
          tls: 'disable',
        },
        host: postgres?.hostConfig() ?? { dataDirectory: '/nowhere/{node}', binDirectory: '/nowhere' },
      },
    ],
  }
}
