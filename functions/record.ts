/**
 * record: copies each state's `lastEvent` into the history and tells people. Stream records come at least once and in
 * any order: the history is keyed by term and version, and a happening is told once per stream record that brought it.
 */
import type { DynamoDBBatchResponse, DynamoDBStreamEvent } from 'aws-lambda'
import { imagesOf, type StateImages } from './aws/stream.ts'
import { isNotable } from './core/events.ts'
import { entry, portsOf } from './entry.ts'
import type { Ports } from './ports.ts'

/** Resolves to the records to be delivered again: those whose event could not be stored or told. */
export async function record(
  ports: Pick<Ports, 'store' | 'notifier' | 'logger'>,
  images: readonly StateImages[],
): Promise<string[]> {
  const failed: string[] = []
  for (const { sequenceNumber, before, after } of images) {
    if (after === null) continue
    try {
      if (!isNew(before, after)) continue
      await ports.store.appendEvent(after.cluster, after.lastEvent)
      if (isNotable(after.lastEvent.kind)) await ports.notifier.notify(after.cluster, after.lastEvent)
    } catch (error) {
      ports.logger.error('an event was not recorded', { cluster: after.cluster, error: String(error) })
      failed.push(sequenceNumber)
    }
  }
  return failed
}

/** A beat writes the state without a new event. */
function isNew(before: StateImages['before'], after: NonNullable<StateImages['after']>): boolean {
  return (
    before?.lastEvent.version !== after.lastEvent.version || before.lastEvent.term !== after.lastEvent.term
  )
}

export const handler = entry<DynamoDBStreamEvent, DynamoDBBatchResponse>(
  'record',
  async (event, surroundings) => {
    const failed = await record(portsOf(surroundings), imagesOf(event))
    return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) }
  },
)
