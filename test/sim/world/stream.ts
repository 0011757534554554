/**
 * The stream of the table: in order for one partition, in any order between two, at least once. A batch that failed is
 * delivered again from the record that failed, for as often as the mapping says.
 */
import type { StateImages } from '../../../functions/aws/stream.ts'
import type { ItemChange } from '../../steps/model/store.ts'
import type { VirtualTime } from '../../steps/model/time.ts'
import type { Random } from '../random.ts'

export interface StreamRecord {
  readonly sequenceNumber: string
  readonly change: Extract<ItemChange, { kind: 'state' | 'report' }>
}

export interface StreamTroubles {
  /** How often a batch is delivered a second time although it was handled. */
  duplicated: number
  /** Longest time that a shard keeps its records back, milliseconds. */
  delayMs: number
}

export interface Mapping {
  readonly wants: (change: StreamRecord['change']) => boolean
  readonly batchSize: number
  readonly windowMs: number
  readonly retries: number
  /** Resolves to the sequence numbers of the records that failed; rejects when all did. */
  readonly deliver: (records: readonly StreamRecord[]) => Promise<readonly string[]>
}

export class Stream {
  troubles: StreamTroubles = { duplicated: 0, delayMs: 0 }
  private readonly time: VirtualTime
  private readonly random: Random
  private readonly mappings: readonly Mapping[]
  private readonly shards = new Map<string, Shard>()
  private sequence = 0

  constructor(time: VirtualTime, random: Random, mappings: readonly Mapping[]) {
    this.time = time
    this.random = random
    this.mappings = mappings
  }

  /** Records of each partition key have a shard of their own: nothing is promised between them. */
  push(change: ItemChange): void {
    if (change.kind !== 'state' && change.kind !== 'report') return
    const record = { sequenceNumber: String(++this.sequence).padStart(12, '0'), change }
    for (const [index, mapping] of this.mappings.entries()) {
      if (!mapping.wants(change)) continue
      const key = `${index} ${change.kind} ${change.cluster}`
      const shard = this.shards.get(key) ?? { waiting: [], busy: false, mapping }
      this.shards.set(key, shard)
      shard.waiting.push(record)
      if (!shard.busy) this.begin(shard)
    }
  }

  private begin(shard: Shard): void {
    shard.busy = true
    const heldMs = this.random.below(this.troubles.delayMs + 1)
    this.time.after(
      shard.mapping.windowMs + 20 + this.random.below(400) + heldMs,
      () => void this.work(shard),
    )
  }

  private async work(shard: Shard): Promise<void> {
    const { mapping } = shard
    let batch = shard.waiting.splice(0, mapping.batchSize)
    for (let tries = 0; batch.length > 0 && tries <= mapping.retries; tries++) {
      const failed = await mapping.deliver(batch).catch(() => batch.map((each) => each.sequenceNumber))
      const first = batch.findIndex((each) => failed.includes(each.sequenceNumber))
      if (first >= 0) batch = batch.slice(first)
      else if (!this.random.chance(this.troubles.duplicated)) break
      await this.time.sleep(100 * 2 ** Math.min(tries, 6))
    }
    if (shard.waiting.length > 0) this.begin(shard)
    else shard.busy = false
  }
}

interface Shard {
  readonly waiting: StreamRecord[]
  busy: boolean
  readonly mapping: Mapping
}

/** What `record` gets of records of states. */
export const imagesOf = (records: readonly StreamRecord[]): StateImages[] =>
  records.flatMap(({ sequenceNumber, change }) =>
    change.kind === 'state' ? [{ sequenceNumber, before: change.before, after: change.after }] : [],
  )
