/** Keys of the table, and records as items: top-level attributes that a person and a stream filter can read. */
import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { z } from 'zod'
import type { Event } from '../core/types.ts'
import { problemsOf } from '../schemas.ts'

export interface Key {
  readonly pk: string
  readonly sk: string
  readonly [attribute: string]: string
}

export interface Item {
  readonly pk: string
  readonly sk: string
  readonly [attribute: string]: unknown
}

/** Twelve digits: text order of sort keys is number order. */
const digits = (n: number) => String(n).padStart(12, '0')

export const fleetKey: Key = { pk: 'fleet', sk: 'fleet' }
export const stateKey = (cluster: string): Key => ({ pk: `cluster#${cluster}`, sk: 'state' })
export const reportKey = (cluster: string, observer: string): Key => ({
  pk: `report#${cluster}`,
  sk: observer,
})
export const approvalKey = (cluster: string, term: number): Key => ({
  pk: `approval#${cluster}`,
  sk: digits(term),
})
export const issueKey = (cluster: string, key: string): Key => ({
  pk: `cluster#${cluster}`,
  sk: `issue#${key}`,
})
/** Without an event: the common start of all. By term and version, never by a clock: effect follows cause (H22). */
export const eventKey = (cluster: string, event?: Pick<Event, 'term' | 'version'>, beside?: string): Key => ({
  pk: `cluster#${cluster}`,
  sk:
    event === undefined
      ? 'event#'
      : `event#${digits(event.term)}.${digits(event.version)}${beside === undefined ? '' : `.${beside}`}`,
})

/** A record as item. Throws on what could not be read back: an unreadable state stops its cluster. */
export function toItem<T>(
  key: Key,
  schema: z.ZodType<T>,
  value: T,
  extra: Readonly<Record<string, unknown>> = {},
): Item {
  const item = { ...(plain(value) as Record<string, unknown>), ...extra, pk: key.pk, sk: key.sk }
  const parsed = schema.safeParse(item)
  if (!parsed.success)
    throw new Error(
      `will not write ${key.pk} / ${key.sk}, it could not be read back: ${problemsOf(parsed.error).join('; ')}`,
    )
  return item
}

/**
 * As DynamoDB will give it back: `undefined` left out, and numbers that it does not have (not-a-number, infinities)
 * as text, since free facts may hold them and must not stop a failover; where a number is required, `toItem` throws.
 */
function plain(value: unknown): unknown {
  if (typeof value === 'number')
    return Number.isFinite(value) ? (Object.is(value, -0) ? 0 : value) : String(value)
  if (Array.isArray(value)) return value.map((entry) => (entry === undefined ? null : plain(entry)))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .map(([field, entry]) => [field, plain(entry)]),
  )
}

/** The item inside a refused condition: the document client translates answers, not errors. */
export function itemOf(attributes: Readonly<Record<string, AttributeValue>>): Item {
  return plainOf({ M: attributes }) as Item
}

function plainOf(attribute: AttributeValue): unknown {
  if (attribute.M !== undefined)
    return Object.fromEntries(Object.entries(attribute.M).map(([field, value]) => [field, plainOf(value)]))
  if (attribute.L !== undefined) return attribute.L.map(plainOf)
  if (attribute.N !== undefined) return Number(attribute.N)
  if (attribute.NULL !== undefined) return null
  return attribute.S ?? attribute.BOOL ?? attribute.SS ?? attribute.NS ?? attribute.B
}
