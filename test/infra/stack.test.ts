import { describe, expect, test } from 'vitest'
import { type FunctionName, functionTimeoutSeconds, workflowSteps } from '../../functions/core/limits.ts'
import { workflowDefinition } from '../../infra/workflow.ts'
import { flat, functionsOf, kindOf, list, ofType, statementsOf, synthesize } from './template.ts'

const template = await synthesize()
const functions = functionsOf(template)
const names = Object.keys(functions)
const ofKind = (...kinds: FunctionName[]) => names.filter((name) => kinds.includes(kindOf(name)))
interface Environment {
  readonly Variables: Readonly<Record<string, unknown>>
}
const environment = (name: string) =>
  (functions[name]?.properties.Environment as Environment | undefined)?.Variables ?? {}

describe('the table', () => {
  const [[, table] = ['', undefined]] = ofType(template, 'AWS::DynamoDB::Table')

  test('is plain: on demand, with a stream and recovery, no TTL, no index', () => {
    expect(table?.Properties).toEqual({
      TableName: 'understudy',
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [
        { AttributeName: 'pk', KeyType: 'HASH' },
        { AttributeName: 'sk', KeyType: 'RANGE' },
      ],
      AttributeDefinitions: [
        { AttributeName: 'pk', AttributeType: 'S' },
        { AttributeName: 'sk', AttributeType: 'S' },
      ],
      StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' },
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      DeletionProtectionEnabled: true,
    })
  })

  test('outlives the stack: it holds the terms', () => {
    expect([table?.DeletionPolicy, table?.UpdateReplacePolicy]).toEqual(['Retain', 'Retain'])
  })
})

describe('functions', () => {
  test('are the eleven, observe and look once per observer', () => {
    expect(names.toSorted()).toEqual(
      [
        ...['a', 'b', 'c'].flatMap((id) => [`understudy-observe-${id}`, `understudy-look-${id}`]),
        ...['assess', 'operate', 'record', 'command', ...workflowSteps].map((name) => `understudy-${name}`),
      ].toSorted(),
    )
  })

  test.each(names)('%s runs Node 24 on arm64 from the shared bundle, for its own time', (name) => {
    expect(functions[name]?.properties).toMatchObject({
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Handler: `${kindOf(name)}.handler`,
      Timeout: functionTimeoutSeconds[kindOf(name)],
      TracingConfig: { Mode: 'Active' },
    })
    // New accounts have 10 concurrent executions and would refuse the deploy (H29).
    expect(functions[name]?.properties).not.toHaveProperty('ReservedConcurrentExecutions')
    expect(functions[name]?.properties.Code).toEqual(functions['understudy-confirm']?.properties.Code)
  })

  test('the same bundle is the same asset', async () => {
    const again = functionsOf(await synthesize())
    expect(again['understudy-confirm']?.properties.Code).toEqual(
      functions['understudy-confirm']?.properties.Code,
    )
  })

  test('every log group is there from the start, and expires', () => {
    const groups = ofType(template, 'AWS::Logs::LogGroup').map(([, { Properties }]) => Properties)
    expect(groups.map(({ RetentionInDays }) => RetentionInDays)).toEqual(groups.map(() => 30))
    for (const name of names)
      expect(groups.map((group) => group.LogGroupName)).toContain(`/aws/lambda/${name}`)
  })

  test('H11 a loop and an assessment are never tried again later', () => {
    const configs = ofType(template, 'AWS::Lambda::EventInvokeConfig').map(([, { Properties }]) => Properties)
    const ids = ofKind('observe', 'assess').map((name) => functions[name]?.id)
    expect(configs.map(({ FunctionName }) => flat(FunctionName).slice(1, -1)).toSorted()).toEqual(
      ids.toSorted(),
    )
    for (const config of configs)
      expect(config).toMatchObject({ MaximumRetryAttempts: 0, MaximumEventAgeInSeconds: 60 })
  })

  test('only what talks to databases is in a VPC', () => {
    for (const name of names)
      expect(Boolean(functions[name]?.properties.VpcConfig), name).toBe(
        ['observe', 'look', 'operate'].includes(kindOf(name)),
      )
    expect(functions['understudy-look-b']?.properties.VpcConfig).toEqual({
      SubnetIds: ['subnet-0bbbbbbbbbbbbbbbb'],
      SecurityGroupIds: ['sg-0a1b2c3d4e5f60718'],
    })
  })

  test('an observer without a VPC has no VpcConfig', async () => {
    const outside = functionsOf(
      await synthesize({
        observers: ['a', 'b', 'c'].map((id) => ({ id })),
        alarms: { enabled: false, dashboard: false },
      }),
    )
    for (const name of ofKind('observe', 'look', 'operate')) {
      expect(outside[name]?.properties).not.toHaveProperty('VpcConfig')
      expect(outside[name]?.statements.map(({ Sid }) => Sid)).not.toContain('AttachToVpc')
    }
  })

  test('each is told what it needs and no more', () => {
    const keys = (name: string) =>
      Object.keys(environment(name))
        .filter(
          (key) => !['UNDERSTUDY_DEPLOYMENT', 'UNDERSTUDY_TABLE', 'POWERTOOLS_SERVICE_NAME'].includes(key),
        )
        .map((key) => key.replace('UNDERSTUDY_', ''))
        .toSorted()
    const people = ['BUS_NAME', 'TOPIC_ARN']
    const others = ['LOOK_FUNCTIONS', 'OPERATE_FUNCTION']
    for (const name of ofKind('observe', 'look')) expect(keys(name), name).toEqual(['OBSERVER'])
    expect(keys('understudy-operate')).toEqual([])
    expect(keys('understudy-record')).toEqual(people)
    expect(keys('understudy-assess')).toEqual([...people, 'STATE_MACHINE_ARN'].toSorted())
    for (const step of workflowSteps) expect(keys(`understudy-${step}`)).toEqual(others)
    expect(keys('understudy-command')).toEqual([...others, 'STATE_MACHINE_ARN'])
  })

  test('H29 callers name exact versions, which outlive the deploy that replaces them', () => {
    const versions = Object.fromEntries(ofType(template, 'AWS::Lambda::Version'))
    for (const [id, version] of Object.entries(versions))
      expect([id, version.DeletionPolicy, version.UpdateReplacePolicy]).toEqual([id, 'Retain', 'Retain'])
    const versionOf = (reference: string) =>
      flat(versions[reference.slice(1, -1)]?.Properties.FunctionName).slice(1, -1)
    const looks = JSON.parse(flat(environment('understudy-confirm').UNDERSTUDY_LOOK_FUNCTIONS)) as Record<
      string,
      string
    >
    for (const id of ['a', 'b', 'c'])
      expect(versionOf(looks[id] ?? '')).toBe(functions[`understudy-look-${id}`]?.id)
    expect(versionOf(flat(environment('understudy-fence').UNDERSTUDY_OPERATE_FUNCTION))).toBe(
      functions['understudy-operate']?.id,
    )
  })
})

describe('the workflow', () => {
  const [[, machine] = ['', undefined]] = ofType(template, 'AWS::StepFunctions::StateMachine')
  const definition = JSON.parse(flat(machine?.Properties.DefinitionString)) as ReturnType<
    typeof workflowDefinition
  >

  test('is the definition that its tests run, with versions for functions', () => {
    const arnOf = (name: string) => {
      const version = ofType(template, 'AWS::Lambda::Version').find(
        ([, { Properties }]) => flat(Properties.FunctionName) === `<${functions[`understudy-${name}`]?.id}>`,
      )
      return [name, `<${version?.[0]}>`]
    }
    const arns = Object.fromEntries([...workflowSteps, 'command'].map(arnOf))
    expect(definition).toEqual(workflowDefinition(arns))
  })

  test('H06 H29 gives every task longer than its function has', () => {
    const tasks = Object.entries(definition.States).filter(([, { Type }]) => Type === 'Task')
    expect(tasks).toHaveLength(workflowSteps.length + 1)
    for (const [state, task] of tasks) {
      const name = state === 'Halt' ? 'command' : state.toLowerCase()
      expect(task.TimeoutSeconds, state).toBeGreaterThan(
        Number(functions[`understudy-${name}`]?.properties.Timeout),
      )
    }
  })

  test('has its name, logs everything, is traced, and may call the versions only', () => {
    expect(machine?.Properties).toMatchObject({
      StateMachineName: 'understudy-failover',
      StateMachineType: 'STANDARD',
      TracingConfiguration: { Enabled: true },
      LoggingConfiguration: { Level: 'ALL', IncludeExecutionData: true },
    })
    const role = flat(machine?.Properties.RoleArn).slice(1, -'.Arn>'.length)
    const call = statementsOf(template, role).find(({ Sid }) => Sid === 'CallSteps')
    expect(list(call?.Resource)).toHaveLength(workflowSteps.length + 1)
    for (const resource of list(call?.Resource)) expect(flat(resource)).toMatch(/^<\w+CurrentVersion\w+>$/)
  })
})

test('the stack owns no database, record, network or custom resource', () => {
  const types = [...new Set(Object.values(template.Resources).map(({ Type }) => Type))]
  expect(types.toSorted()).toEqual([
    'AWS::CloudWatch::Alarm',
    'AWS::CloudWatch::Dashboard',
    'AWS::DynamoDB::Table',
    'AWS::Events::EventBus',
    'AWS::Events::Rule',
    'AWS::IAM::Role',
    'AWS::Lambda::EventInvokeConfig',
    'AWS::Lambda::EventSourceMapping',
    'AWS::Lambda::Function',
    'AWS::Lambda::Permission',
    'AWS::Lambda::Version',
    'AWS::Logs::LogGroup',
    'AWS::SNS::Subscription',
    'AWS::SNS::Topic',
    'AWS::SNS::TopicPolicy',
    'AWS::StepFunctions::StateMachine',
  ])
})

test('outputs name what an operator needs', () => {
  expect(Object.keys(template.Outputs).toSorted()).toEqual([
    'CommandFunctionName',
    'StateMachineArn',
    'TableName',
    'TopicArn',
  ])
})
