/** A table on an embedded DynamoDB, and clients of the real SDK for it. */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { CreateTableCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { documentClient, timeouts } from '../../functions/aws/clients.ts'
import { createDynamoStore } from '../../functions/aws/store.ts'
import { credentials } from './servers.ts'

/** It has no types of its own. */
const dynalite = createRequire(import.meta.url)('dynalite') as (options: { createTableMs: number }) => Server

export const table = 'understudy'

export function clientFor(endpoint: string, requestTimeoutMs = 10_000): DynamoDBClient {
  return new DynamoDBClient({
    endpoint,
    region: 'eu-central-1',
    credentials,
    maxAttempts: 3,
    requestHandler: timeouts(requestTimeoutMs),
  })
}

export function storeFor(endpoint: string, requestTimeoutMs?: number) {
  return createDynamoStore({ client: documentClient(clientFor(endpoint, requestTimeoutMs)), table })
}

export async function startTable(): Promise<{ endpoint: string; stop: () => Promise<void> }> {
  const server = dynalite({ createTableMs: 0 })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const client = clientFor(endpoint)
  await client.send(
    new CreateTableCommand({
      TableName: table,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'S' },
      ],
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
    }),
  )
  const stop = async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  return { endpoint, stop }
}
