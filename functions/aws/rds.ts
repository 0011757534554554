/** RDS and Aurora through their control plane. */
import type { CloudWatchClient } from '@aws-sdk/client-cloudwatch'
import type { Clock, Logger, Rds } from '../ports.ts'
import { readAlarms } from './alarms.ts'
import { readLag } from './lag.ts'
import { carryOut } from './rdsActs.ts'
import { type RdsClientOf, RdsReads } from './rdsReads.ts'

export interface RdsOptions {
  /** May try again. */
  readonly client: RdsClientOf
  /** One attempt each. */
  readonly actingClient: RdsClientOf
  readonly cloudwatch: (region: string) => Promise<CloudWatchClient> | CloudWatchClient
  readonly clock: Clock
  readonly logger?: Pick<Logger, 'warn'>
}

/** Made once per invocation: what its callers share of reads is no older. */
export function createRds({ client, actingClient, cloudwatch, clock, logger }: RdsOptions): Rds {
  const reads = new RdsReads({ client, clock })
  return {
    instances: async (region, options) => (await reads.instances(region, options)).map(({ view }) => view),
    clusters: (region) => reads.clusters(region),
    global: (region, identifier) => reads.global(region, identifier),
    events: (region, source) => reads.events(region, source),
    act: (region, act) => carryOut({ client: actingClient, reads }, region, act),
    alarms: async (region) => {
      try {
        return await readAlarms(await cloudwatch(region))
      } catch (error) {
        logger?.warn('the alarms were not read', { region, error: String(error) })
        return null
      }
    },
    // A sample only ever adds to what is known: a failover does not wait for CloudWatch, and goes on without it.
    lag: async (region, identifier, fromRegion) => {
      try {
        return await readLag(await cloudwatch(region), clock, { identifier, fromRegion })
      } catch (error) {
        logger?.warn('the lag was not read', { region, identifier, error: String(error) })
        return null
      }
    },
  }
}
