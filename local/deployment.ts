/** The resources of the assembly that the local services run, typed. */
import type { Assembly } from './assembly.ts'
import { parseFunctionName } from './names.ts'
import type { Resolved, Resources } from './template.ts'

export interface LambdaFunction {
  readonly name: string
  readonly arn: string
  /** Directory of the code asset; null: the code is not a directory of the assembly, and cannot run here. */
  readonly taskRoot: string | null
  readonly handler: string
  readonly timeoutSeconds: number
  readonly memoryMb: number
  readonly environment: Readonly<Record<string, string>>
  readonly reservedConcurrency: number | null
  /** Versions and aliases to the version that they run. */
  readonly qualifiers: ReadonlyMap<string, string>
  readonly asyncRetries: number
}

export interface StateMachineResource {
  readonly name: string
  readonly arn: string
  readonly definition: unknown
}

export interface Rule {
  readonly name: string
  readonly arn: string
  readonly bus: string
  readonly enabled: boolean
  readonly pattern: unknown
  readonly schedule: string | null
  readonly targets: readonly RuleTarget[]
}

export interface RuleTarget {
  readonly arn: string
  readonly input?: string
  readonly inputPath?: string
  readonly transformer?: { InputPathsMap?: Record<string, string>; InputTemplate: string }
}

export interface EventSourceMapping {
  readonly functionName: string
  readonly tableArn: string
  readonly enabled: boolean
  readonly batchSize: number
  readonly windowMs: number
  /** -1: without end, which is AWS's default for streams. */
  readonly retriesMost: number
  /** A failed batch is halved before it is tried again. */
  readonly bisects: boolean
  /** Older records are given up; null: never. */
  readonly maxAgeMs: number | null
  readonly reportsItemFailures: boolean
  readonly filters: readonly unknown[]
}

export interface Deployment {
  readonly functions: readonly LambdaFunction[]
  readonly stateMachines: readonly StateMachineResource[]
  /** Properties as of CreateTable, with the stream's view type. */
  readonly tables: readonly { name: string; arn: string; properties: Record<string, unknown> }[]
  readonly rules: readonly Rule[]
  readonly buses: readonly string[]
  readonly eventSourceMappings: readonly EventSourceMapping[]
  readonly topics: readonly string[]
}

export function readDeployment(assembly: Assembly, resources: Resources): Deployment {
  const ofType = (...types: string[]) => resources.ofType(...types)
  return {
    functions: ofType('AWS::Lambda::Function').map((resource) => readFunction(resource, assembly, resources)),
    stateMachines: ofType('AWS::StepFunctions::StateMachine').map(readStateMachine),
    tables: ofType('AWS::DynamoDB::Table', 'AWS::DynamoDB::GlobalTable').map(({ ref, arn, properties }) => ({
      name: ref,
      arn,
      properties,
    })),
    rules: ofType('AWS::Events::Rule').map(readRule),
    buses: ['default', ...ofType('AWS::Events::EventBus').map(({ ref }) => ref)],
    eventSourceMappings: ofType('AWS::Lambda::EventSourceMapping').map(readMapping),
    topics: ofType('AWS::SNS::Topic').map(({ arn }) => arn),
  }
}

function readFunction(resource: Resolved, assembly: Assembly, resources: Resources): LambdaFunction {
  const { properties, ref, arn } = resource
  const code = properties.Code as { S3Key?: string } | undefined
  const variables = (properties.Environment as { Variables?: Record<string, unknown> })?.Variables ?? {}
  const logging = (properties.LoggingConfig ?? {}) as Record<string, string>
  const ours = (item: Resolved) => parseFunctionName(String(item.properties.FunctionName)).name === ref
  const retries = resources.ofType('AWS::Lambda::EventInvokeConfig').find(ours)
    ?.properties.MaximumRetryAttempts
  const qualifiers = new Map<string, string>()
  for (const item of resources.ofType('AWS::Lambda::Version', 'AWS::Lambda::Alias').filter(ours)) {
    const qualifier = item.arn.split(':').at(-1) ?? ''
    qualifiers.set(qualifier, String(item.properties.FunctionVersion ?? qualifier))
  }
  return {
    name: ref,
    arn,
    taskRoot: code?.S3Key === undefined ? null : (assembly.assets.get(code.S3Key) ?? null),
    handler: String(properties.Handler),
    timeoutSeconds: Number(properties.Timeout ?? 3),
    memoryMb: Number(properties.MemorySize ?? 128),
    environment: {
      ...Object.fromEntries(Object.entries(variables).map(([key, value]) => [key, String(value)])),
      AWS_LAMBDA_FUNCTION_NAME: ref,
      AWS_LAMBDA_FUNCTION_VERSION: qualifiers.has('1') ? '1' : '$LATEST',
      AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(properties.MemorySize ?? 128),
      AWS_LAMBDA_LOG_FORMAT: logging.LogFormat === 'JSON' ? 'JSON' : 'Text',
      ...(logging.ApplicationLogLevel ? { AWS_LAMBDA_LOG_LEVEL: logging.ApplicationLogLevel } : {}),
    },
    reservedConcurrency:
      properties.ReservedConcurrentExecutions === undefined
        ? null
        : Number(properties.ReservedConcurrentExecutions),
    qualifiers,
    asyncRetries: retries === undefined ? 2 : Number(retries),
  }
}

function readStateMachine({ properties, arn }: Resolved): StateMachineResource {
  const text = properties.DefinitionString ?? JSON.stringify(properties.Definition)
  return { name: arn.split(':').at(-1) ?? '', arn, definition: JSON.parse(String(text)) }
}

function readRule({ properties, ref, arn }: Resolved): Rule {
  // One bus stands for those of all Regions: what a rule would forward to it is there already.
  const targets = ((properties.Targets ?? []) as Record<string, unknown>[]).filter(
    ({ Arn }) => !String(Arn).includes(':event-bus/'),
  )
  return {
    name: ref,
    arn,
    bus:
      String(properties.EventBusName ?? 'default')
        .split('/')
        .at(-1) ?? 'default',
    enabled: properties.State !== 'DISABLED',
    pattern: properties.EventPattern ?? null,
    schedule: properties.ScheduleExpression === undefined ? null : String(properties.ScheduleExpression),
    targets: targets.map((target) => ({
      arn: String(target.Arn),
      ...(target.Input === undefined ? {} : { input: String(target.Input) }),
      ...(target.InputPath === undefined ? {} : { inputPath: String(target.InputPath) }),
      ...(target.InputTransformer === undefined
        ? {}
        : { transformer: target.InputTransformer as NonNullable<RuleTarget['transformer']> }),
    })),
  }
}

function readMapping({ properties }: Resolved): EventSourceMapping {
  const filters = (properties.FilterCriteria as { Filters?: { Pattern: string }[] })?.Filters ?? []
  const age = Number(properties.MaximumRecordAgeInSeconds ?? -1)
  const responseTypes = (properties.FunctionResponseTypes ?? []) as string[]
  return {
    functionName: String(properties.FunctionName),
    tableArn: String(properties.EventSourceArn).replace(/\/stream\/.*$/, ''),
    enabled: properties.Enabled !== false,
    batchSize: Number(properties.BatchSize ?? 100),
    windowMs: Number(properties.MaximumBatchingWindowInSeconds ?? 0) * 1000,
    retriesMost: Number(properties.MaximumRetryAttempts ?? -1),
    bisects: properties.BisectBatchOnFunctionError === true,
    maxAgeMs: age > 0 ? age * 1000 : null,
    reportsItemFailures: responseTypes.includes('ReportBatchItemFailures'),
    filters: filters.map(({ Pattern }) => JSON.parse(Pattern)),
  }
}
