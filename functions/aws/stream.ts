/** Records of the table's stream. A record is a hint: assess takes only its key, record the event inside the image. */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { DynamoDBStreamEvent } from 'aws-lambda'
import type { ClusterState } from '../core/types.ts'
import { stateSchema } from '../schemas.ts'
import { type Item, itemOf, stateKey } from './items.ts'

export interface StateImages {
  readonly sequenceNumber: string
  readonly before: ClusterState | null
  /** null: not a state, or one that can not be read (an issue of its own, raised by assess). */
  readonly after: ClusterState | null
}

export function imagesOf(event: DynamoDBStreamEvent): StateImages[] {
  return event.Records.map((record) => ({
    sequenceNumber: record?.dynamodb?.SequenceNumber ?? '',
    before: stateOf(record?.dynamodb?.OldImage),
    after: stateOf(record?.dynamodb?.NewImage),
  }))
}

/** Clusters named by the records' keys: those whose state asks for a look (`woken`), and those with a new report. */
export function clustersOf(event: DynamoDBStreamEvent): { woken: string[]; reported: string[] } {
  const keys = event.Records.map((record) => String(record?.dynamodb?.Keys?.pk?.S ?? ''))
  const named = (prefix: string) => [
    ...new Set(keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length))),
  ]
  return { woken: named('cluster#'), reported: named('report#') }
}

/** As the store reads it: under another key than its own, a state is a copy that a person made (H23). */
function stateOf(image: unknown): ClusterState | null {
  if (image === undefined || image === null) return null
  let item: Item
  try {
    item = itemOf(image as Record<string, AttributeValue>)
  } catch {
    return null // no image of an item
  }
  const read = stateSchema.safeParse(item)
  if (!read.success) return null
  const { pk, sk } = stateKey(read.data.cluster)
  return item.pk === pk && item.sk === sk ? read.data : null
}
