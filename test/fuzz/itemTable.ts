/**
 * A table of items as DynamoDB has them, behind the unmodified SDK: requests are answered in this process, so that
 * whatever a person could have written into the table is read as in production, thousands of times a minute.
 */
import { Readable } from 'node:stream'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { documentClient } from '../../functions/aws/clients.ts'
import { createDynamoStore } from '../../functions/aws/store.ts'
import type { Store } from '../../functions/ports.ts'
import { credentials } from '../aws/servers.ts'

/** An attribute value in DynamoDB's own JSON: `{"S": "text"}`. */
export type Attribute = Readonly<Record<string, unknown>>
export type AttributeItem = Readonly<Record<string, Attribute>>

export interface Write {
  readonly operation: string
  readonly pk: string
  readonly sk: string
}

interface Request {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}
interface Input {
  readonly Key?: AttributeItem
  readonly Item?: AttributeItem
  readonly ConditionExpression?: string
  readonly ExpressionAttributeNames?: Readonly<Record<string, string>>
  readonly ExpressionAttributeValues?: AttributeItem
}

export class ItemTable {
  readonly items = new Map<string, AttributeItem>()
  readonly writes: Write[] = []
  readonly store: Store

  constructor() {
    const client = new DynamoDBClient({
      region: 'eu-central-1',
      credentials,
      maxAttempts: 1,
      requestHandler: {
        handle: async (request: unknown) => ({ response: this.#answer(request as Request) }),
      },
    })
    this.store = createDynamoStore({ client: documentClient(client), table: 'understudy' })
  }

  clear(): void {
    this.items.clear()
    this.writes.length = 0
  }

  /** As a person writes it: over whatever is there. */
  put(item: AttributeItem): void {
    this.items.set(keyOf(item), item)
  }

  #answer({ headers, body }: Request) {
    const operation = headers['x-amz-target']?.split('.').pop() ?? ''
    const [statusCode, output] = this.#carryOut(
      operation,
      JSON.parse(new TextDecoder().decode(body)) as Input,
    )
    return {
      statusCode,
      headers: { 'content-type': 'application/x-amz-json-1.0' },
      body: Readable.from([Buffer.from(JSON.stringify(output))]),
    }
  }

  #carryOut(operation: string, input: Input): [number, unknown] {
    if (operation === 'GetItem') {
      const Item = this.items.get(keyOf(input.Key ?? {}))
      return [200, Item === undefined ? {} : { Item }]
    }
    if (operation === 'Query') return [200, { Items: this.#query(input.ExpressionAttributeValues ?? {}) }]
    const item = input.Item ?? input.Key ?? {}
    this.writes.push({ operation, pk: String(item.pk?.S), sk: String(item.sk?.S) })
    const stored = this.items.get(keyOf(item))
    if (!holds(input, stored)) {
      const __type = 'com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException'
      return [400, { __type, message: 'The conditional request failed', Item: stored }]
    }
    if (operation === 'PutItem') this.put(item)
    else if (operation === 'DeleteItem') this.items.delete(keyOf(item))
    return [200, {}]
  }

  #query(values: AttributeItem): AttributeItem[] {
    const pk = String(values[':pk']?.S)
    const prefix = String(values[':prefix']?.S ?? '')
    return [...this.items.values()].filter(
      (item) => item.pk?.S === pk && String(item.sk?.S).startsWith(prefix),
    )
  }
}

const keyOf = (item: AttributeItem) => `${String(item.pk?.S)}\n${String(item.sk?.S)}`

/** The conditions of our writes: absent, a version, or a token that is not above ours. */
function holds({ ConditionExpression, ExpressionAttributeValues }: Input, stored: AttributeItem | undefined) {
  if (ConditionExpression === undefined) return true
  if (stored === undefined) return ConditionExpression.includes('attribute_not_exists')
  const expected = ExpressionAttributeValues?.[':expected']
  if (expected !== undefined) return JSON.stringify(stored.version) === JSON.stringify(expected)
  const token = ExpressionAttributeValues?.[':token']?.N
  return token !== undefined && stored.token?.N !== undefined && Number(stored.token.N) <= Number(token)
}

/** A value as an attribute; a text `attribute:{…}` stands for what is in it, which JavaScript may not have. */
export function attributeOf(value: unknown): Attribute {
  if (typeof value === 'string') {
    const [, raw] = /^attribute:(\{[^:]*:[^:]*\})$/.exec(value) ?? []
    return raw === undefined ? { S: value } : JSON.parse(raw)
  }
  if (typeof value === 'number') return Number.isFinite(value) ? { N: String(value) } : { S: String(value) }
  if (typeof value === 'boolean') return { BOOL: value }
  if (Array.isArray(value)) return { L: value.map(attributeOf) }
  if (typeof value !== 'object' || value === null) return { NULL: true }
  // The SDK itself can not read an item with an attribute of this name inside a refused condition.
  const entries = Object.entries(value).filter(([key]) => key !== '__proto__')
  return { M: Object.fromEntries(entries.map(([key, inner]) => [key, attributeOf(inner)])) }
}
export const itemOf = (value: unknown): AttributeItem => attributeOf(value).M as AttributeItem

/** What a table can hold and a program does not expect: numbers of 38 digits, sets, bytes. */
export const oddAttributes: readonly string[] = [
  ...['9007199254740993', '99999999999999999999999999999999999999', '12345678901234567890.5', '1E+125'].map(
    (N): Attribute => ({ N }),
  ),
  ...[
    { N: '-1E-130' },
    { SS: ['a', 'b'] },
    { NS: ['1', '9007199254740993.5'] },
    { BS: ['AAAA'] },
    { B: 'AAAA' },
  ],
].map((attribute) => `attribute:${JSON.stringify(attribute)}`)
