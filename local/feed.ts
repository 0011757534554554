/**
 * Event source mappings: table changes, filtered and in batches, to functions. In order per item collection
 * (partition key): while a batch of a key is being worked on, later records of that key wait. On AWS a shard holds
 * many keys, so that a slow batch may hold up others; order across keys is not to be relied on either way.
 */
import type { EventSourceMapping } from './deployment.ts'
import type { AttributeMap, Change } from './dynamodb.ts'
import { compilePattern, type Matcher } from './patterns.ts'

export interface FeedOptions {
  readonly region: string
  /** Stream view type and ARN of each table, by name. */
  readonly tables: readonly { name: string; arn: string; properties: Record<string, unknown> }[]
  readonly mappings: readonly EventSourceMapping[]
  readonly invoke: (
    functionName: string,
    payload: unknown,
  ) => Promise<{ payload: string; functionError?: string }>
  readonly log: (line: string) => void
  /** First wait before a failed batch is tried again; doubles up to a minute. */
  readonly retryMs?: number
}

interface StreamRecord {
  readonly eventID: string
  readonly eventName: 'INSERT' | 'MODIFY' | 'REMOVE'
  readonly dynamodb: {
    readonly ApproximateCreationDateTime: number
    readonly SequenceNumber: string
    readonly Keys: AttributeMap
  }
}

export class Feed {
  readonly #lanes: { readonly table: string; readonly mapping: Mapping }[]
  readonly #views: ReadonlyMap<string, { arn: string; view: string }>
  readonly #region: string

  constructor(options: FeedOptions) {
    this.#region = options.region
    this.#views = new Map(
      options.tables.map(({ name, arn, properties }) => {
        const stream = properties.StreamSpecification as { StreamViewType?: string } | undefined
        return [name, { arn: `${arn}/stream/local`, view: stream?.StreamViewType ?? 'NEW_AND_OLD_IMAGES' }]
      }),
    )
    this.#lanes = options.mappings
      .filter(({ enabled }) => enabled)
      .map((mapping) => ({
        table: options.tables.find(({ arn }) => arn === mapping.tableArn)?.name ?? '',
        mapping: new Mapping(mapping, options),
      }))
  }

  push(change: Change): void {
    const stream = this.#views.get(change.table)
    if (!stream) return
    const record = streamRecord(change, stream, this.#region)
    const partition = JSON.stringify(Object.values(change.keys)[0])
    for (const { table, mapping } of this.#lanes) {
      if (table === change.table) mapping.push(partition, record)
    }
  }

  close(): void {
    for (const { mapping } of this.#lanes) mapping.close()
  }
}

class Mapping {
  readonly #mapping: EventSourceMapping
  readonly #options: FeedOptions
  readonly #filters: readonly Matcher[]
  readonly #waiting = new Map<string, StreamRecord[]>()
  readonly #busy = new Set<string>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #closed = false

  constructor(mapping: EventSourceMapping, options: FeedOptions) {
    this.#mapping = mapping
    this.#options = options
    this.#filters = mapping.filters.map(compilePattern)
  }

  push(partition: string, record: StreamRecord): void {
    if (this.#filters.length > 0 && !this.#filters.some((matches) => matches(record))) return
    const waiting = this.#waiting.get(partition)
    if (waiting) waiting.push(record)
    else this.#waiting.set(partition, [record])
    if (!this.#busy.has(partition)) void this.#drain(partition)
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
  }

  async #drain(partition: string): Promise<void> {
    this.#busy.add(partition)
    if (this.#mapping.windowMs > 0) await this.#sleep(this.#mapping.windowMs)
    for (;;) {
      const waiting = this.#waiting.get(partition) ?? []
      if (waiting.length === 0 || this.#closed) break
      await this.#deliver(waiting.splice(0, this.#mapping.batchSize))
    }
    this.#waiting.delete(partition)
    this.#busy.delete(partition)
  }

  async #deliver(records: StreamRecord[]): Promise<void> {
    let batch = records
    for (let attempt = 0; !this.#closed; attempt += 1) {
      const failed = await this.#attempt(batch)
      if (failed.length === 0) return
      const { retriesMost, functionName, bisects } = this.#mapping
      if ((retriesMost >= 0 && attempt >= retriesMost) || this.#tooOld(failed)) {
        this.#options.log(`${functionName}: ${failed.length} stream records given up`)
        return
      }
      await this.#sleep(Math.min((this.#options.retryMs ?? 1000) * 2 ** attempt, 60_000))
      if (bisects && failed.length > 1 && failed.length === batch.length) {
        // One record that can not be handled must not take the others with it.
        const middle = Math.ceil(failed.length / 2)
        await this.#deliver(failed.slice(0, middle))
        return this.#deliver(failed.slice(middle))
      }
      batch = failed
    }
  }

  #tooOld(batch: StreamRecord[]): boolean {
    const { maxAgeMs } = this.#mapping
    const newest = batch.at(-1)?.dynamodb.ApproximateCreationDateTime ?? 0
    return maxAgeMs !== null && Date.now() - newest * 1000 > maxAgeMs
  }

  /** Returns the records that are still to be delivered. */
  async #attempt(batch: StreamRecord[]): Promise<StreamRecord[]> {
    try {
      const { payload, functionError } = await this.#options.invoke(this.#mapping.functionName, {
        Records: batch,
      })
      if (functionError) throw new Error(payload)
      return this.#mapping.reportsItemFailures ? unfinished(batch, payload) : []
    } catch (error) {
      if (!this.#closed) {
        this.#options.log(`${this.#mapping.functionName}: stream batch failed: ${(error as Error).message}`)
      }
      return batch
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        resolve()
      }, ms)
      this.#timers.add(timer)
    })
  }
}

/** With ReportBatchItemFailures everything from the first failed record on is delivered again. */
function unfinished(batch: StreamRecord[], payload: string): StreamRecord[] {
  const reply = JSON.parse(payload) as { batchItemFailures?: { itemIdentifier: string }[] } | null
  const failed = new Set(reply?.batchItemFailures?.map(({ itemIdentifier }) => itemIdentifier))
  const first = batch.findIndex(({ dynamodb }) => failed.has(dynamodb.SequenceNumber))
  return first < 0 ? [] : batch.slice(first)
}

function streamRecord(change: Change, stream: { arn: string; view: string }, region: string): StreamRecord {
  const { oldImage, newImage } = change
  const wantsNew = stream.view === 'NEW_IMAGE' || stream.view === 'NEW_AND_OLD_IMAGES'
  const wantsOld = stream.view === 'OLD_IMAGE' || stream.view === 'NEW_AND_OLD_IMAGES'
  const record = {
    eventID: change.sequence.toString(16).padStart(32, '0'),
    eventName: oldImage === null ? 'INSERT' : newImage === null ? 'REMOVE' : 'MODIFY',
    eventVersion: '1.1',
    eventSource: 'aws:dynamodb',
    awsRegion: region,
    dynamodb: {
      ApproximateCreationDateTime: Math.floor(change.atMs / 1000),
      Keys: change.keys,
      ...(wantsNew && newImage ? { NewImage: newImage } : {}),
      ...(wantsOld && oldImage ? { OldImage: oldImage } : {}),
      SequenceNumber: String(change.sequence).padStart(21, '0'),
      StreamViewType: stream.view,
    },
    eventSourceARN: stream.arn,
  } as const
  return record
}
