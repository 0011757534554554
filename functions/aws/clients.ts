/**
 * The one place that builds AWS clients, so that every call has the same three things: a Region, hard time-outs and
 * bounded retries. Endpoints come from the SDK's own `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` only.
 */
import type { CloudWatchClient } from '@aws-sdk/client-cloudwatch'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { EC2Client } from '@aws-sdk/client-ec2'
import { EventBridgeClient } from '@aws-sdk/client-eventbridge'
import { LambdaClient } from '@aws-sdk/client-lambda'
import type { RDSClient } from '@aws-sdk/client-rds'
import { Route53Client } from '@aws-sdk/client-route-53'
import { SFNClient } from '@aws-sdk/client-sfn'
import { SNSClient } from '@aws-sdk/client-sns'
import { SSMClient } from '@aws-sdk/client-ssm'
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb'
import { timeouts } from './timeouts.ts'

export { timeouts }

/** Tries × time-out of one request, plus back-off, stay below the 20 s within which a beat must be bumped. */
const requestMs = 3_000
const attempts = 3

/** RDS's control plane takes seconds for what it changes; a time-out leaves the effect unknown. */
const rdsActMs = 10_000

interface Sender {
  send(...args: never[]): unknown
}

/** Requests under way, so that a handler can end them all: none may go on in a frozen sandbox (H06). */
export class InFlight {
  #controller = new AbortController()

  /** A signal that ends with the handler, or before it with the caller's own. */
  signal(own?: AbortSignal): AbortSignal {
    return own === undefined ? this.#controller.signal : AbortSignal.any([own, this.#controller.signal])
  }

  /** Aborts everything under way. Requests made later are not touched: the next invocation starts clean. */
  abort(): void {
    this.#controller.abort(new Error('the handler has ended'))
    this.#controller = new AbortController()
  }

  /** Makes every command of a client, retries included, end with the handler. */
  track<C extends Sender>(client: C): C {
    // A type that fits all clients' overloads does not exist; behaviour is that of `send(command, options)`.
    const target = client as unknown as {
      send(command: unknown, options?: { abortSignal?: AbortSignal }): Promise<unknown>
    }
    const send = target.send.bind(client)
    target.send = (command, options) =>
      send(command, { ...options, abortSignal: this.signal(options?.abortSignal) })
    return client
  }
}

export interface Clients {
  readonly dynamo: DynamoDBDocumentClient
  /** One client per Region of a fleet's nodes, made on first use. */
  ec2(region: string): EC2Client
  /** One attempt: a command sent twice runs twice. */
  ssm(region: string): SSMClient
  /**
   * For reads. Backs off for as long as RDS throttles (adaptive, with jitter): its rates are low and not published.
   * This client and the next two are loaded on first use: without clusters that AWS runs nobody pays for them.
   */
  rds(region: string): Promise<RDSClient>
  /** For acts. One attempt: the answer to a second would say nothing of the first. */
  rdsActs(region: string): Promise<RDSClient>
  cloudwatch(region: string): Promise<CloudWatchClient>
  readonly route53: Route53Client
  /** One attempt, and no time-out of its own: each call gives its deadline as an abort signal. */
  readonly lambda: LambdaClient
  readonly sfn: SFNClient
  readonly sns: SNSClient
  readonly eventBridge: EventBridgeClient
  readonly inFlight: InFlight
}

export function createClients(options: { region?: string } = {}): Clients {
  const inFlight = new InFlight()
  const base = {
    ...(options.region === undefined ? {} : { region: options.region }),
    maxAttempts: attempts,
    requestHandler: timeouts(requestMs),
  }
  const once = <T>(make: () => T) => {
    let made: T | undefined
    return () => {
      made ??= make()
      return made
    }
  }
  const perRegion = <T>(make: (region: string) => T) => {
    const made = new Map<string, T>()
    return (region: string) => {
      const client = made.get(region) ?? make(region)
      made.set(region, client)
      return client
    }
  }
  const dynamo = once(() => inFlight.track(documentClient(new DynamoDBClient(base))))
  // Route 53's control plane is in us-east-1 only.
  const route53 = once(() => inFlight.track(new Route53Client({ ...base, region: 'us-east-1' })))
  const lambda = once(() =>
    inFlight.track(
      new LambdaClient({ ...base, maxAttempts: 1, requestHandler: { connectionTimeout: 1_000 } }),
    ),
  )
  const sfn = once(() => inFlight.track(new SFNClient(base)))
  const sns = once(() => inFlight.track(new SNSClient(base)))
  const eventBridge = once(() => inFlight.track(new EventBridgeClient(base)))
  return {
    get dynamo() {
      return dynamo()
    },
    ec2: perRegion((region) => inFlight.track(new EC2Client({ ...base, region }))),
    ssm: perRegion((region) => inFlight.track(new SSMClient({ ...base, region, maxAttempts: 1 }))),
    rds: perRegion(async (region) => {
      const { RDSClient } = await import('@aws-sdk/client-rds')
      return inFlight.track(new RDSClient({ ...base, region, retryMode: 'adaptive' }))
    }),
    rdsActs: perRegion(async (region) => {
      const { RDSClient } = await import('@aws-sdk/client-rds')
      const requestHandler = timeouts(rdsActMs)
      return inFlight.track(new RDSClient({ ...base, region, maxAttempts: 1, requestHandler }))
    }),
    cloudwatch: perRegion(async (region) => {
      const { CloudWatchClient } = await import('@aws-sdk/client-cloudwatch')
      return inFlight.track(new CloudWatchClient({ ...base, region, retryMode: 'adaptive' }))
    }),
    get route53() {
      return route53()
    },
    get lambda() {
      return lambda()
    },
    get sfn() {
      return sfn()
    },
    get sns() {
      return sns()
    },
    get eventBridge() {
      return eventBridge()
    },
    inFlight,
  }
}

/**
 * Records as attributes: `undefined` left out; big integers are never used (a position is exact below 2^53). A number
 * that a person wrote and no record can hold must reach the schemas, which refuse it: by default the SDK throws on it,
 * and on every other item of the same answer (H23).
 */
export function documentClient(client: DynamoDBClient): DynamoDBDocumentClient {
  return DynamoDBDocumentClient.from(client, {
    marshallOptions: { removeUndefinedValues: true },
    unmarshallOptions: { wrapNumbers: Number },
  })
}
