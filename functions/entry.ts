/**
 * What every function has in common: middy around it, logs and metrics by Powertools, warm-up calls answered without
 * work, everything under way ended before the handler returns (S4). Entries stay as thin as what they do.
 */
import { Logger } from '@aws-lambda-powertools/logger'
import { injectLambdaContext } from '@aws-lambda-powertools/logger/middleware'
import { Metrics } from '@aws-lambda-powertools/metrics'
import middy from '@middy/core'
import type { Context } from 'aws-lambda'
import { type Clients, createClients } from './aws/clients.ts'
import { systemClock } from './clock.ts'
import { type FleetDocument, loadConfig } from './config.ts'
import { isManaged } from './core/engine.ts'
import type { FunctionName, WorkflowStep } from './core/limits.ts'
import type { ClusterConfig, ObserverId, Step } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { metricsDimensions, metricsNamespace } from './metrics.ts'
import { type OperationOptions, refused, stepResult } from './operation.ts'
import type { Logger as PortLogger, Ports } from './ports.ts'
import { createPorts } from './runtime.ts'
import {
  approvalSchema,
  fleetSchema,
  lookRequestSchema,
  lookSchema,
  operateRequestSchema,
  readWorkflowInput,
  reportSchema,
  sqlResultSchema,
  stateSchema,
  stepPayloadSchema,
  workflowInputSchema,
} from './schemas.ts'
import { warmSchemas } from './warmSchemas.ts'

const powertools = new Logger({ serviceName: 'understudy' })

/** The port's narrower face of the Powertools logger. */
export const logger: PortLogger = {
  info: (message, details = {}) => powertools.info(message, details),
  warn: (message, details = {}) => powertools.warn(message, details),
  error: (message, details = {}) => powertools.error(message, details),
}
const { service, deployment } = metricsDimensions(process.env.UNDERSTUDY_DEPLOYMENT ?? 'understudy')
export const metrics = new Metrics({
  namespace: metricsNamespace,
  serviceName: service,
  defaultDimensions: { deployment },
})

/** What is made once per sandbox and kept between invocations. */
let clients: Clients | undefined

export interface Surroundings {
  readonly lambda: Context
  readonly fleet: FleetDocument
  readonly clients: Clients
}

/**
 * Wraps a function body. `{"warmup": true}` runs `warm` instead of it, which reads what the body would read and changes
 * nothing: a failover meets neither a cold start nor a connection that has yet to be made.
 * Requests still under way when the body ends, however it ends, are aborted.
 */
export function entry<I, O>(
  name: FunctionName,
  body: (event: I, surroundings: Surroundings) => Promise<O>,
  warm: (surroundings: Surroundings) => Promise<unknown> = async () => undefined,
) {
  return middy<I, O | { warm: true }, Error, Context>()
    .use(injectLambdaContext(powertools, { resetKeys: true }))
    .handler(async (event, lambda) => {
      const fleet = loadConfig()
      clients ??= createClients()
      powertools.appendKeys({ function: name })
      try {
        if (!isWarmup(event)) return await body(event, { lambda, fleet, clients })
        warmSchemas(schemasOfAFailover)
        await warm({ lambda, fleet, clients })
        return { warm: true as const }
      } finally {
        clients.inFlight.abort()
        if (metrics.hasStoredMetrics()) metrics.publishStoredMetrics()
      }
    })
}

const schemasOfAFailover = [
  ...[stateSchema, reportSchema, fleetSchema, approvalSchema, lookSchema],
  ...[lookRequestSchema, operateRequestSchema, sqlResultSchema, stepPayloadSchema, workflowInputSchema],
]

const isWarmup = (event: unknown): boolean =>
  typeof event === 'object' && event !== null && (event as { warmup?: unknown }).warmup === true

/** What a function touches of the world, read once per warm-up. */
export type Warmth = 'reports' | 'look' | 'fence' | 'endpoint'

/** Reads what a step will read, of one cluster, whose answers do not matter. Never throws: the step itself will say. */
export async function warmPorts(ports: Ports, fleet: FleetDocument, what: readonly Warmth[]): Promise<void> {
  const [cluster] = fleet.clusters
  const [node] = cluster?.nodes ?? []
  if (cluster === undefined || node === undefined) return
  const reads: Record<Warmth, () => Promise<unknown>> = {
    reports: () => ports.store.readReports(cluster.id),
    look: () =>
      ports.functions.look({
        cluster: cluster.id,
        lookId: ports.newId(),
        writeProbeOn: null,
        endpoint: false,
      }),
    // What the provider runs is none of EC2's instances: every step asks for its databases instead.
    fence: async () => isManaged(cluster) || ports.fence.observe(node.region, [node.instanceId]),
    endpoint: () => ports.endpoint.read(cluster),
  }
  await Promise.allSettled([
    warmWrites(ports, cluster.id),
    ports.store.readFleet(),
    ports.store.readApproval(cluster.id, 0),
    isManaged(cluster) ? ports.rds.instances(node.region) : null,
    ...what.map((each) => reads[each]()),
  ])
}

/** The path of a conditional write, by one that is refused: an event that the history has already. */
async function warmWrites(ports: Ports, cluster: string): Promise<void> {
  const state = await ports.store.readState(cluster)
  if (state.kind === 'found') await ports.store.appendEvent(cluster, state.value.lastEvent)
}

/** What a step knows of where and for whom it runs. */
export interface StepContext {
  readonly ports: Ports
  readonly fleet: FleetDocument
  readonly cluster: ClusterConfig
  readonly observers: readonly ObserverId[]
  readonly deployment: string
  /** The execution that runs the step: the holder of its claim. */
  readonly execution: string
  operationOptions(step: Step): OperationOptions
}

export function stepContext(args: {
  ports: Ports
  fleet: FleetDocument
  cluster: ClusterConfig
  execution: string
  by: string
}): StepContext {
  const { ports, fleet, cluster, execution, by } = args
  return {
    ports,
    fleet,
    cluster,
    execution,
    observers: fleet.observers.map((observer) => observer.id),
    deployment: fleet.deployment,
    operationOptions: (step) => ({ cluster, ports, step, by, holder: execution }),
  }
}

/** Validates what the state machine hands over, and runs a step. Bad input is refused with everything that is wrong. */
export async function runStep(
  payload: unknown,
  step: WorkflowStep,
  body: (context: StepContext, input: WorkflowInput) => Promise<StepResult>,
  world: { ports: Ports; fleet: FleetDocument },
): Promise<StepResult> {
  const { input: raw, execution } = stepPayloadSchema.parse(payload)
  const read = readWorkflowInput(raw)
  const blank = { cluster: '', kind: 'failover', reason: '' } as const
  if (!read.ok) return refused(blank, [read.message])
  const { error: _caught, ...input } = read.value
  return runReadStep({ input, execution }, step, body, world)
}

/** As `runStep`, of an input that is known to be one. */
export async function runReadStep(
  { input, execution }: { input: WorkflowInput; execution: string },
  step: WorkflowStep,
  body: (context: StepContext, input: WorkflowInput) => Promise<StepResult>,
  world: { ports: Ports; fleet: FleetDocument },
): Promise<StepResult> {
  const cluster = world.fleet.clusters.find((each) => each.id === input.cluster)
  if (cluster === undefined) {
    const known = world.fleet.clusters.map((each) => each.id).join(', ')
    return refused(input, [
      `cluster ${input.cluster} is not configured; the configured ones are ${known}. Nothing was done.`,
    ])
  }
  const by = input.by ?? (input.automatic ? 'assess' : 'operator')
  const context = stepContext({ ...world, cluster, execution, by })
  const result = await stepResult(input, step, () => body(context, input))
  logger.info(`${step}: ${result.outcome}`, {
    cluster: cluster.id,
    term: result.term,
    next: result.next,
    reasons: result.reasons,
  })
  return result
}

const warmthOf: Readonly<Record<WorkflowStep, readonly Warmth[]>> = {
  confirm: ['reports', 'look', 'endpoint'],
  fence: ['fence', 'look'],
  promote: ['fence', 'look'],
  repoint: ['endpoint', 'look'],
  settle: ['endpoint', 'fence', 'look'],
}

export function stepEntry(
  step: WorkflowStep,
  body: (context: StepContext, input: WorkflowInput) => Promise<StepResult>,
) {
  return entry<unknown, StepResult>(
    step,
    (event, surroundings) =>
      runStep(event, step, body, { ports: portsOf(surroundings), fleet: surroundings.fleet }),
    (surroundings) => {
      readWorkflowInput({ cluster: 'warm-up', kind: 'settle', reason: 'warm-up' })
      return warmPorts(portsOf(surroundings), surroundings.fleet, warmthOf[step])
    },
  )
}

/** The ports of this invocation. */
export function portsOf({ clients, fleet, lambda }: Surroundings): Ports {
  return createPorts({
    clients,
    fleet,
    clock: systemClock,
    logger,
    remainingMs: () => lambda.getRemainingTimeInMillis(),
  })
}
