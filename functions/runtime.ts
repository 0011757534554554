/** Builds the ports of a running function from its environment. The only place that knows the variables' names. */
import { randomUUID } from 'node:crypto'
import type { Clients } from './aws/clients.ts'
import { createEndpoint } from './aws/endpoint.ts'
import { createFence } from './aws/fence.ts'
import { createFunctions } from './aws/functions.ts'
import { createHost } from './aws/host.ts'
import { createNotifier } from './aws/notifier.ts'
import { rdsLate } from './aws/rdsLate.ts'
import { createDynamoStore } from './aws/store.ts'
import { createWorkflow } from './aws/workflow.ts'
import type { FleetDocument } from './config.ts'
import type { Clock, Logger, Ports } from './ports.ts'

/** A variable that the stack sets; its absence is a mistake of the deployment, said by name. */
export function required(name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '') throw new Error(`the environment variable ${name} is missing`)
  return value
}

/** Each port is made when it is first used, so that a function needs no more of the environment than it uses. */
export function createPorts(options: {
  clients: Clients
  fleet: FleetDocument
  clock: Clock
  logger: Logger
  remainingMs: () => number
}): Ports {
  const { clients, fleet, clock, logger } = options
  const makers = {
    store: () => createDynamoStore({ client: clients.dynamo, table: required('UNDERSTUDY_TABLE') }),
    functions: () =>
      createFunctions({
        client: clients.lambda,
        lookFunctions: JSON.parse(required('UNDERSTUDY_LOOK_FUNCTIONS')) as Record<string, string>,
        // A look is over when its probes are; a cold start may come on top. Who is later does not count.
        lookDeadlineMs:
          3 * Math.max(...fleet.clusters.map((cluster) => cluster.observe.probeTimeoutMs)) + 3_000,
        operateFunction: process.env.UNDERSTUDY_OPERATE_FUNCTION ?? null,
        logger,
      }),
    fence: () => createFence({ client: clients.ec2 }),
    host: () => createHost({ client: clients.ssm, clock }),
    rds: () =>
      rdsLate({
        client: clients.rds,
        actingClient: clients.rdsActs,
        cloudwatch: clients.cloudwatch,
        clock,
        logger,
      }),
    endpoint: () => createEndpoint({ client: clients.route53 }),
    workflow: () =>
      createWorkflow({ client: clients.sfn, stateMachineArn: required('UNDERSTUDY_STATE_MACHINE_ARN') }),
    notifier: () =>
      createNotifier({
        sns: clients.sns,
        eventBridge: clients.eventBridge,
        topicArn: required('UNDERSTUDY_TOPIC_ARN'),
        busName: required('UNDERSTUDY_BUS_NAME'),
        deployment: fleet.deployment,
      }),
  }
  const ports = { clock, logger, newId: randomUUID, remainingMs: options.remainingMs }
  for (const name of Object.keys(makers) as (keyof typeof makers)[]) {
    let made: unknown
    Object.defineProperty(ports, name, {
      enumerable: true,
      get: () => {
        made ??= makers[name]()
        return made
      },
    })
  }
  return ports as unknown as Ports
}
