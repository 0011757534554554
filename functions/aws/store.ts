/**
 * The records in one DynamoDB table. Single-item conditional writes and consistent reads only: no transactions and no
 * TTL attribute, which a multi-Region strongly consistent table does not have; DynamoDB's conditions have no clock.
 */
import { isDeepStrictEqual } from 'node:util'
import { ConditionalCheckFailedException } from '@aws-sdk/client-dynamodb'
import {
  DeleteCommand,
  type DynamoDBDocumentClient,
  GetCommand,
  PutCommand,
  QueryCommand,
  UpdateCommand,
} from '@aws-sdk/lib-dynamodb'
import type { z } from 'zod'
import { tokenLeadMost } from '../core/limits.ts'
import type { Event, Fleet, Issue, Report } from '../core/types.ts'
import type { Read, Store, WriteOutcome } from '../ports.ts'
import {
  approvalSchema,
  eventSchema,
  fleetSchema,
  issueSchema,
  problemsOf,
  reportSchema,
  stateSchema,
} from '../schemas.ts'
import { attemptsOf, failureOf } from './errors.ts'
import {
  approvalKey,
  eventKey,
  fleetKey,
  type Item,
  issueKey,
  itemOf,
  type Key,
  reportKey,
  stateKey,
  toItem,
} from './items.ts'

/** A write's condition, built from named attributes only: `token`, `by`, `key` and others are reserved words. */
interface Condition {
  readonly expression: string
  readonly names: Record<string, string>
  readonly values?: Record<string, unknown>
}

const absent: Condition = { expression: 'attribute_not_exists(#pk)', names: { '#pk': 'pk' } }

function versionIs(expected: number): Condition {
  if (expected === 0) return absent
  return {
    expression: '#version = :expected',
    names: { '#version': 'version' },
    values: { ':expected': expected },
  }
}

/** What a conditional put came to; `overtaken` when the stored item is not the one that was to be written. */
type PutOutcome =
  | { readonly kind: 'written'; readonly attempts: number }
  | { readonly kind: 'overtaken'; readonly stored: Item | undefined; readonly attempts: number }
  | { readonly kind: 'unknown' }

export function createDynamoStore(options: { client: DynamoDBDocumentClient; table: string }): Store {
  const { client, table } = options

  async function get(key: Key): Promise<Item | undefined> {
    const answer = await client.send(new GetCommand({ TableName: table, Key: key, ConsistentRead: true }))
    return answer.Item as Item | undefined
  }

  async function read<T>(key: Key, schema: z.ZodType<T>, is: Partial<T>): Promise<Read<T>> {
    return readItem(await get(key), schema, is)
  }

  async function query(pk: string, prefix: string, newestFirst = false, limit = Infinity): Promise<Item[]> {
    const items: Item[] = []
    let from: Item | undefined
    do {
      const answer = await client.send(
        new QueryCommand({
          TableName: table,
          ConsistentRead: true,
          ScanIndexForward: !newestFirst,
          KeyConditionExpression: prefix === '' ? '#pk = :pk' : '#pk = :pk AND begins_with(#sk, :prefix)',
          ExpressionAttributeNames: prefix === '' ? { '#pk': 'pk' } : { '#pk': 'pk', '#sk': 'sk' },
          ExpressionAttributeValues: prefix === '' ? { ':pk': pk } : { ':pk': pk, ':prefix': prefix },
          ...(limit === Infinity ? {} : { Limit: limit - items.length }),
          ...(from === undefined ? {} : { ExclusiveStartKey: from }),
        }),
      )
      items.push(...((answer.Items ?? []) as Item[]))
      from = answer.LastEvaluatedKey as Item | undefined
    } while (from !== undefined && items.length < limit)
    return items
  }

  /**
   * A refused condition is judged by the item that refused it: a put whose answer was lost is repeated by the SDK and
   * then meets its own item (H06). An answer that is a refusal for another reason is a bug or a missing table: thrown.
   */
  async function put(item: Item, condition: Condition): Promise<PutOutcome> {
    try {
      const answer = await client.send(
        new PutCommand({
          TableName: table,
          Item: item,
          ConditionExpression: condition.expression,
          ExpressionAttributeNames: condition.names,
          ...(condition.values === undefined ? {} : { ExpressionAttributeValues: condition.values }),
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      )
      return { kind: 'written', attempts: answer.$metadata.attempts ?? 1 }
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) return unansweredOrThrow(error)
      return judgeRefusal(item, error)
    }
  }

  async function judgeRefusal(item: Item, error: ConditionalCheckFailedException): Promise<PutOutcome> {
    const attempts = attemptsOf(error)
    let stored = error.Item === undefined ? undefined : itemOf(error.Item)
    if (stored === undefined) {
      // Emulators and older endpoints do not return the item.
      try {
        stored = await get({ pk: item.pk, sk: item.sk })
      } catch {
        return { kind: 'unknown' }
      }
    }
    // `wakeNow` tells assess to wake; it is no part of the record.
    const same = stored !== undefined && isDeepStrictEqual({ ...stored, wakeNow: 0 }, { ...item, wakeNow: 0 })
    if (same) return { kind: 'written', attempts }
    return { kind: 'overtaken', stored, attempts }
  }

  async function writeVersioned(item: Item, expectedVersion: number): Promise<WriteOutcome> {
    if (item.version !== expectedVersion + 1)
      throw new Error(`a record of version ${String(item.version)} cannot follow version ${expectedVersion}`)
    const outcome = await put(item, versionIs(expectedVersion))
    if (outcome.kind !== 'overtaken') return outcome.kind
    // Versions rise by one. With a repeated request and a version beyond ours, ours may be among those passed.
    const stored = outcome.stored?.version
    const maybePassed = outcome.attempts > 1 && !(typeof stored === 'number' && stored <= expectedVersion + 1)
    return maybePassed ? 'unknown' : 'lost'
  }

  async function keepEvent(
    cluster: string,
    event: Event,
    beside?: string,
  ): Promise<'stored' | 'there' | 'unknown'> {
    const outcome = await put(toItem(eventKey(cluster, event, beside), eventSchema, event), absent)
    if (outcome.kind === 'unknown') return 'unknown'
    if (outcome.kind === 'overtaken') return 'there'
    return 'stored'
  }

  return {
    async readState(cluster) {
      return read(stateKey(cluster), stateSchema, { cluster })
    },

    async writeState(next, previous) {
      const item = toItem(stateKey(next.cluster), stateSchema, next, {
        wakeNow: next.wake > (previous?.wake ?? 0),
      })
      // A beat leaves `lastEvent` as it is: whoever wrote it stored the event before.
      const unstored = previous !== null && previous.lastEvent.version === previous.version
      if (unstored && (await keepEvent(next.cluster, previous.lastEvent)) === 'unknown') return 'unknown'
      return writeVersioned(item, previous?.version ?? 0)
    },

    async readReports(cluster) {
      const { pk } = reportKey(cluster, '')
      const items = await query(pk, '')
      return new Map<string, Read<Report>>(
        items.map((item) => [item.sk, readItem(item, reportSchema, { cluster, observer: item.sk })]),
      )
    },

    async writeReport(report) {
      const item = toItem(reportKey(report.cluster, report.observer), reportSchema, report)
      const outcome = await put(item, {
        expression: 'attribute_not_exists(#token) OR #token <= :token OR #token > :wrong',
        names: { '#token': 'token' },
        values: { ':token': report.token, ':wrong': report.token + tokenLeadMost },
      })
      return outcome.kind === 'overtaken' ? 'lost' : outcome.kind
    },

    readApproval(cluster, term) {
      return read(approvalKey(cluster, term), approvalSchema, { cluster, term })
    },

    async writeApproval(approval) {
      // Unconditional: the newest word of an operator holds; a step reads it once, when it needs it.
      const item = toItem(approvalKey(approval.cluster, approval.term), approvalSchema, approval)
      try {
        await client.send(new PutCommand({ TableName: table, Item: item }))
        return 'written'
      } catch (error) {
        return unansweredOrThrow(error).kind
      }
    },

    async readIssues(cluster) {
      const { pk, sk: prefix } = issueKey(cluster, '')
      const items = await query(pk, prefix)
      return items.map((item) => readableIssue(cluster, item, item.sk.slice(prefix.length)))
    },

    async openIssue(issue) {
      const { pk, sk, sinceMs, ...rest } = toItem(issueKey(issue.cluster, issue.key), issueSchema, issue)
      const fields = Object.keys(rest)
      await client.send(
        new UpdateCommand({
          TableName: table,
          Key: { pk, sk },
          // An issue that is open already keeps the time since when it is.
          UpdateExpression: `SET #sinceMs = if_not_exists(#sinceMs, :sinceMs), ${fields.map((f) => `#${f} = :${f}`).join(', ')}`,
          ExpressionAttributeNames: Object.fromEntries([...fields, 'sinceMs'].map((f) => [`#${f}`, f])),
          ExpressionAttributeValues: Object.fromEntries([
            ...Object.entries(rest).map(([f, value]) => [`:${f}`, value]),
            [':sinceMs', sinceMs],
          ]),
        }),
      )
    },

    async closeIssue(cluster, key) {
      await client.send(new DeleteCommand({ TableName: table, Key: issueKey(cluster, key) }))
    },

    async appendEvent(cluster, event, beside) {
      const outcome = await keepEvent(cluster, event, beside)
      if (outcome === 'unknown')
        throw new Error(`event ${event.term}.${event.version} of ${cluster}: no answer`)
      return outcome === 'stored'
    },

    async readEvents(cluster, limit) {
      const items = await query(eventKey(cluster).pk, eventKey(cluster).sk, true, limit)
      return items.map(readableEvent)
    },

    readFleet() {
      return read(fleetKey, fleetSchema, {})
    },

    async writeFleet(next: Fleet, expectedVersion) {
      return writeVersioned(toItem(fleetKey, fleetSchema, next), expectedVersion)
    },
  }
}

function unansweredOrThrow(error: unknown): { readonly kind: 'unknown' } {
  const failure = failureOf(error, { idempotent: true })
  if (failure.kind === 'rejected') throw error
  return { kind: 'unknown' }
}

/** An item must parse, and be of the cluster and observer that its key names: a person may have copied it (H23). */
function readItem<T>(item: Item | undefined, schema: z.ZodType<T>, is: Partial<T>): Read<T> {
  if (item === undefined) return { kind: 'absent' }
  const parsed = schema.safeParse(item)
  if (!parsed.success) return { kind: 'unreadable', problems: problemsOf(parsed.error) }
  const problems = Object.entries(is)
    .filter(([field, value]) => parsed.data[field as keyof T] !== value)
    .map(
      ([field, value]) =>
        `${field}: expected ${String(value)} as in its key, got ${String(parsed.data[field as keyof T])}`,
    )
  return problems.length > 0 ? { kind: 'unreadable', problems } : { kind: 'found', value: parsed.data }
}

/** An issue that cannot be read stands for itself, under its key, so that whoever finds it void closes it. */
function readableIssue(cluster: string, item: Item, key: string): Issue {
  const issue = readItem(item, issueSchema, { cluster, key })
  if (issue.kind === 'found') return issue.value
  const problems = issue.kind === 'unreadable' ? issue.problems : []
  return {
    cluster,
    key,
    severity: 'warning',
    message: `The record of the issue ${key} cannot be read: ${problems.join('; ')}`,
    todo: `Delete the item ${item.pk} / ${item.sk}; it is written again if it still holds.`,
    sinceMs: 0,
  }
}

function readableEvent(item: Item): Event {
  const event = readItem(item, eventSchema, {})
  if (event.kind === 'found') return event.value
  const [term, version] = item.sk.replace('event#', '').split('.').map(Number)
  return {
    term: Number.isFinite(term) ? (term ?? 0) : 0,
    version: Number.isFinite(version) ? (version ?? 0) : 0,
    kind: 'unreadable',
    row: null,
    message: `This event cannot be read: ${event.kind === 'unreadable' ? event.problems.join('; ') : ''}`,
    by: 'unknown',
    facts: {},
    atMs: 0,
  }
}
