/**
 * Reads of RDS. The rates of its API are not published and low, so all instances of a Region are read by one paged,
 * unfiltered request, whose answer callers of one invocation share.
 */
import {
  type DBInstance,
  DescribeGlobalClustersCommand,
  paginateDescribeDBClusters,
  paginateDescribeDBInstances,
  paginateDescribeEvents,
  type RDSClient,
} from '@aws-sdk/client-rds'
import type { Clock, DbClusterView, DbInstanceView, Rds } from '../ports.ts'
import { failureOf } from './errors.ts'
import { rdsCode } from './rdsOutcome.ts'
import { clusterView, eventViews, globalView, instanceView, need } from './rdsViews.ts'

export type RdsClientOf = (region: string) => Promise<RDSClient> | RDSClient

const pageSize = 100

/** Reads that begin within this time share one answer. */
const shareMs = 1_000

/** Of all pages and tries of one read: below the 20 s within which a beat must be bumped. */
const readMs = 15_000

export interface SeenInstance {
  readonly view: DbInstanceView
  /** As RDS answered it. */
  readonly raw: DBInstance
}

export class RdsReads {
  readonly #client: RdsClientOf
  readonly #instances: Shared<SeenInstance[]>
  readonly #clusters: Shared<DbClusterView[]>

  constructor(options: { client: RdsClientOf; clock: Clock }) {
    this.#client = options.client
    this.#instances = new Shared(options.clock)
    this.#clusters = new Shared(options.clock)
  }

  instances(region: string, { fresh = false }: { fresh?: boolean } = {}): Promise<SeenInstance[]> {
    return this.#instances.read(region, fresh, async () => {
      const found: SeenInstance[] = []
      for await (const page of paginateDescribeDBInstances(await this.#paging(region), {}, bounded())) {
        for (const raw of need(page.DBInstances, 'DBInstances', region))
          found.push({ view: instanceView(region, raw), raw })
      }
      return found
    })
  }

  clusters(region: string): Promise<DbClusterView[]> {
    return this.#clusters.read(region, false, async () => {
      const found: DbClusterView[] = []
      for await (const page of paginateDescribeDBClusters(await this.#paging(region), {}, bounded()))
        found.push(...need(page.DBClusters, 'DBClusters', region).map((raw) => clusterView(region, raw)))
      return found
    })
  }

  async global(region: string, identifier: string): ReturnType<Rds['global']> {
    const client = await this.#client(region)
    try {
      const answer = await client.send(
        new DescribeGlobalClustersCommand({ GlobalClusterIdentifier: identifier }),
        bounded(),
      )
      // A name is not case-sensitive; what else an emulator answers is not what was asked for.
      const found = need(answer.GlobalClusters, 'GlobalClusters', region).find(
        ({ GlobalClusterIdentifier: name }) => name?.toLowerCase() === identifier.toLowerCase(),
      )
      return found ? globalView(found) : null
    } catch (error) {
      if (rdsCode(failureOf(error).code) === 'GlobalClusterNotFound') return null
      throw error
    }
  }

  async events(region: string, source: Parameters<Rds['events']>[1]): ReturnType<Rds['events']> {
    const found = []
    const input = { SourceType: source.type, SourceIdentifier: source.identifier, Duration: 60 }
    for await (const page of paginateDescribeEvents(await this.#paging(region), input, bounded()))
      found.push(...(page.Events ?? []))
    return eventViews(source.identifier, found)
  }

  /** What was read before an act says nothing of the time after it. */
  forget(region: string): void {
    this.#instances.forget(region)
    this.#clusters.forget(region)
  }

  async #paging(region: string) {
    // An emulator that repeats its marker would be read for ever.
    return { client: await this.#client(region), pageSize, stopOnSameToken: true }
  }
}

/** All pages of one read, with all their tries. */
const bounded = () => ({ abortSignal: AbortSignal.timeout(readMs) })

/** One answer per Region for all who ask within a second. A failure is shared with those who wait for it, and not kept. */
class Shared<T> {
  readonly #clock: Clock
  readonly #kept = new Map<string, { readonly atMs: number; readonly answer: Promise<T> }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  read(region: string, fresh: boolean, fetch: () => Promise<T>): Promise<T> {
    const kept = this.#kept.get(region)
    const atMs = this.#clock.monotonicMs()
    if (!fresh && kept !== undefined && atMs - kept.atMs < shareMs) return kept.answer
    const answer = fetch()
    this.#kept.set(region, { atMs, answer })
    answer.catch(() => {
      if (this.#kept.get(region)?.answer === answer) this.#kept.delete(region)
    })
    return answer
  }

  forget(region: string): void {
    this.#kept.delete(region)
  }
}
