/**
 * The embedded default: a real three-node PostgreSQL cluster, the synthesised stack with its own handlers and its own
 * state machine, and AWS's APIs on loopback, adopted and steady. What the demo and the end-to-end tests run on. What
 * differs from engine to engine is in a file for each, such as `embeddedPostgres.ts`.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { itemOf } from '../functions/aws/items.ts'
import { type FleetDocument, type FleetInput, parseConfig } from '../functions/config.ts'
import type { ClusterConfig, ClusterState } from '../functions/core/types.ts'
import { stateSchema } from '../functions/schemas.ts'
import { createApp } from '../infra/app.ts'
import { bundleFunctions } from '../infra/bundle.ts'
import {
  type ConfigPlaces,
  clusterId,
  type DatabaseOptions,
  type Databases,
  type EngineChoice,
  endpointName,
  type Fault,
  type Flavour,
  region,
  zone,
} from './databases.ts'
import { auroraFlavour } from './embeddedAurora.ts'
import { globalFlavour } from './embeddedGlobal.ts'
import { postgresAt, postgresFlavour, type Site } from './embeddedPostgres.ts'
import { rdsFlavour } from './embeddedRds.ts'
import { localRoles, type PostgresCluster, pickPort } from './postgres/index.ts'
import type { Message } from './sns.ts'
import { type LocalAws, type LocalAwsOptions, type Overrides, type Places, startLocalAws } from './stack.ts'
import { monotonicMs } from './writer.ts'

export { clusterId, endpointName } from './databases.ts'

const flavours: Readonly<Record<EngineChoice, Flavour>> = {
  postgres: postgresFlavour,
  rds: rdsFlavour,
  aurora: auroraFlavour,
  'aurora-global': globalFlavour,
}

/** What can be inflicted on an engine here. */
export const faultsOf = (engine: EngineChoice): readonly Fault[] => flavours[engine].faults

/** After this many calls a function runs as fast as one that has been warm for hours. */
const manyCalls = 25

export interface EmbeddedOptions extends DatabaseOptions {
  readonly engine?: EngineChoice
  /** Of `postgres`: where everything is, if not all on loopback. */
  readonly site?: EmbeddedSite
  readonly enter?: LocalAwsOptions['enter']
  readonly stopSeconds?: number
  /** How often each function is called before the first fault; by default so often that figures do not depend on it. */
  readonly warmCalls?: number
  readonly onMessage?: (message: Message) => void
  /** Gives the start up: what was started by then is ended, and `start` rejects. */
  readonly signal?: AbortSignal
  readonly overrides?: Overrides
}

/** Where the servers are, where AWS's APIs and the DNS server listen, and which functions run elsewhere. */
export type EmbeddedSite = Site & Pick<LocalAwsOptions, 'address' | 'enter'>

/** One state as it was written, with the monotonic time at which it was. */
export interface Seen {
  readonly atMs: number
  readonly state: ClusterState
}

export class Embedded {
  readonly databases: Databases
  readonly aws: LocalAws
  /** As the functions read it. */
  readonly config: ClusterConfig
  readonly port: number
  readonly resolver: string
  /** Every version of the state, oldest first. */
  readonly history: Seen[] = []
  readonly #directory: string
  readonly #listeners = new Set<(state: ClusterState) => void>()

  private constructor(
    databases: Databases,
    aws: LocalAws,
    { clusters: [config] }: FleetDocument,
    places: { port: number; directory: string },
  ) {
    if (config === undefined) throw new Error('no cluster is configured')
    this.databases = databases
    this.aws = aws
    this.config = config
    this.port = places.port
    this.resolver = aws.dns.address
    this.#directory = places.directory
  }

  /** The servers that there were at the start. */
  get postgres(): PostgresCluster {
    return this.databases.postgres
  }

  /** Resolves when the cluster is adopted and steady. Whatever was started is ended when this fails. */
  static async start(options: EmbeddedOptions = {}): Promise<Embedded> {
    const directory = mkdtempSync(join(tmpdir(), 'understudy-embedded-'))
    const { site, enter = site?.enter } = options
    const flavour = site ? postgresAt(site) : flavours[options.engine ?? 'postgres']
    let databases: Databases | undefined
    let embedded: Embedded | undefined
    try {
      const port = await pickPort(flavour.addresses)
      const [starting, synthesis] = await Promise.allSettled([
        flavour.start(port, options),
        synthesise(directory, flavour),
      ])
      if (starting.status === 'fulfilled') databases = starting.value
      const { postgres, aws: served } = settledValue(starting)
      const configure = ({ resolver }: Places) =>
        parseConfig(localConfig(flavour, { port, resolver, postgres }, options))
      options.signal?.throwIfAborted()
      const aws = await startLocalAws({
        assembly: settledValue(synthesis),
        config: configure,
        ...served,
        zone,
        ...(site?.address === undefined ? {} : { address: site.address }),
        ...(enter ? { enter } : {}),
        ...(options.onMessage ? { onMessage: options.onMessage } : {}),
        ...(options.log ? { log: options.log } : {}),
        overrides: {
          ...options.overrides,
          stopSeconds: options.stopSeconds ?? 20,
          startSeconds: 1,
          schedules: false,
        },
      })
      embedded = new Embedded(settledValue(starting), aws, configure({ resolver: aws.dns.address }), {
        port,
        directory,
      })
      embedded.#watch()
      options.signal?.throwIfAborted()
      await Promise.all(embedded.#environments().map(([name, count]) => aws.lambda.prewarm(name, count)))
      if (options.overrides?.schedules !== false) aws.events.startSchedules()
      await embedded.#adopt()
      await embedded.#warm(options.warmCalls ?? manyCalls, options.signal)
      return embedded
    } catch (error) {
      await embedded?.aws.close()
      await databases?.close()
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
  async #warm(calls: number, signal: AbortSignal | undefined): Promise<void> {
    for (let call = 0; call < calls; call++) {
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
    await this.until((state) => state.phase === 'steady' && this.databases.isReady(state))
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
    await this.databases.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function settledValue<T>(settled: PromiseSettledResult<T>): T {
  if (settled.status === 'rejected') throw settled.reason
  return settled.value
}

/** The CDK app of the repository with the observers of the local configuration: the template that a deploy would use. */
async function synthesise(directory: string, flavour: Flavour): Promise<string> {
  const places = { port: 5432, resolver: '127.0.0.1:53', postgres: null }
  const config = parseConfig(localConfig(flavour, places, {}))
  const bundleDirectory = await bundleFunctions({ config, outdir: join(directory, 'functions') })
  const app = await createApp(config, { outdir: join(directory, 'cdk.out'), bundleDirectory })
  return app.synth().directory
}

function localConfig(flavour: Flavour, places: ConfigPlaces, options: DatabaseOptions): FleetInput {
  return {
    deployment: 'understudy',
    region,
    observers: ['a', 'b', 'c'].map((id) => ({ id, availabilityZone: `${region}${id}` })),
    clusters: [
      {
        id: clusterId,
        endpoint: {
          name: endpointName,
          ...(options.managed?.globalEndpoint ? {} : { zoneId: zone.id }),
          ttlSeconds: 1,
          resolver: places.resolver,
        },
        // Loopback answers within a millisecond; half a second of silence is long here. Urgent probes are hardly more
        // frequent: all of this shares a few processors with the failover itself.
        observe: { intervalMs: 500, urgentIntervalMs: 400, probeTimeoutMs: 300, ...options.observe },
        connection: {
          database: 'postgres',
          observerUser: localRoles.observer,
          operatorUser: localRoles.operator,
          replicationUser: localRoles.replication,
          tls: 'disable',
        },
        ...flavour.cluster(places, options),
      },
    ],
  }
}
