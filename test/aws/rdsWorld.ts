/** The adapter of RDS against the local control plane, by unmodified clients whose time-outs suit a test. */
import { RDSClient } from '@aws-sdk/client-rds'
import { timeouts } from '../../functions/aws/clients.ts'
import { createRds } from '../../functions/aws/rds.ts'
import type { Clock, Rds } from '../../functions/ports.ts'
import type { RdsOptions } from '../../local/rds/index.ts'
import { type RdsFixture, type Ready, startRds } from '../local/rdsFixture.ts'
import { credentials } from './servers.ts'

/** Its time passes only when a test says so. */
export class TestClock implements Clock {
  nowMs = 0
  monotonicMs = () => this.nowMs
  wallMs = () => Date.now()
  sleep = async (ms: number) => {
    this.nowMs += ms
  }
}

export interface RdsWorld extends RdsFixture {
  readonly clock: TestClock
  /** A new invocation: nothing is shared with an earlier one. */
  adapter(options?: { tries?: number; requestMs?: number; actMs?: number }): Rds
  /** Operations that arrived since it was last emptied. */
  readonly calls: string[]
}

export async function startRdsWorld(
  nodes: readonly string[],
  describe: (ready: Ready) => Omit<RdsOptions, 'postgres' | 'regions' | 'securityGroups'>,
): Promise<RdsWorld> {
  const fixture = await startRds(nodes, describe)
  const clock = new TestClock()
  const calls: string[] = []
  fixture.front.onCall(({ operation }) => {
    calls.push(operation)
    return undefined
  })
  const clients: RDSClient[] = []
  const make = (maxAttempts: number, requestMs: number) => (region: string) => {
    const client = new RDSClient({
      endpoint: fixture.front.url,
      region,
      credentials,
      maxAttempts,
      // Connecting has no time-out of its own: the machine may be busy.
      requestHandler: { ...timeouts(requestMs), connectionTimeout: requestMs },
    })
    clients.push(client)
    return client
  }
  return {
    ...fixture,
    clock,
    calls,
    adapter: ({ tries = 1, requestMs = 60_000, actMs = 2_000 } = {}) =>
      createRds({
        client: make(tries, requestMs),
        actingClient: make(1, actMs),
        cloudwatch: () => {
          throw new Error('not here')
        },
        clock,
      }),
    async close() {
      for (const client of clients) client.destroy()
      await fixture.close()
    },
  }
}
