/** A template with one of each resource that the local services serve, and the function behind it. */
import { lambdaFunction, table } from './fixture.ts'

/** What each invocation does, its event says: `do`. */
export const handlers = `
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { readFileSync } from 'node:fs'
const client = new DynamoDBClient({})
const put = (sk, note) => client.send(new PutItemCommand({
  TableName: process.env.UNDERSTUDY_TABLE, Item: { pk: { S: 'seen' }, sk: { S: sk }, text: { S: note } },
}))
let calls = 0
export const handler = async (event, context) => {
  calls += 1
  console.log('called', event.do)
  switch (event.do) {
    case 'env': return process.env
    case 'context': return { ...context, remaining: context.getRemainingTimeInMillis() }
    case 'config': return JSON.parse(readFileSync(process.env.LAMBDA_TASK_ROOT + '/understudy.config.json', 'utf8'))
    case 'calls': return calls
    case 'throw': { const error = new Error('broken on purpose'); error.name = event.name ?? 'Error'; throw error }
    case 'spin': for (;;) {}
    case 'hang': await new Promise(() => setInterval(() => {}, 1000)); break
    case 'exit': process.exit(3)
    case 'late': setTimeout(() => { throw new Error('late') }, 1); await new Promise(() => {}); break
    case 'flaky': if (calls % 3 !== 0) throw new Error('flaky'); return { calls }
    case 'put': await put(event.sk, 'put'); return {}
    case 'step': return { ...event.input, execution: event.execution, steps: (event.input.steps ?? 0) + 1,
      outcome: (event.input.steps ?? 0) < 2 ? 'waiting' : 'done', waitSeconds: 1 }
    case 'nothing': return undefined
  }
  if (event.Records) for (const { dynamodb } of event.Records) {
    await put('stream-' + dynamodb.Keys.sk.S, JSON.stringify(dynamodb.NewImage))
  }
  if (event['detail-type']) await put('event-' + event['detail-type'], JSON.stringify(event))
  if (event.constant) await put('constant', JSON.stringify(event))
  return event
}
`
const functionArn = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] })
const task = (payload: object, more: object = {}) => ({
  Type: 'Task',
  Resource: 'arn:aws:states:::lambda:invoke',
  OutputPath: '$.Payload',
  Parameters: { FunctionName: 'VERSION', Payload: payload },
  ...more,
})

/** One state of each kind, chosen by `kind` of the input. */
const definition = {
  StartAt: 'Admit',
  States: {
    Admit: {
      Type: 'Choice',
      Choices: [
        {
          And: [
            { Variable: '$.kind', IsPresent: true },
            { Variable: '$.kind', StringEquals: 'flaky' },
          ],
          Next: 'Flaky',
        },
        {
          And: [
            { Variable: '$.kind', IsPresent: true },
            { Variable: '$.kind', StringEquals: 'throw' },
          ],
          Next: 'Throw',
        },
        {
          And: [
            { Variable: '$.kind', IsPresent: true },
            { Variable: '$.kind', StringEquals: 'slow' },
          ],
          Next: 'Slow',
        },
        {
          And: [
            { Variable: '$.kind', IsPresent: true },
            { Variable: '$.kind', StringEquals: 'hold' },
          ],
          Next: 'Hold',
        },
        {
          And: [
            { Variable: '$.kind', IsPresent: true },
            { Variable: '$.kind', StringEquals: 'hang' },
          ],
          Next: 'Hang',
        },
      ],
      Default: 'Step',
    },
    Step: task({ do: 'step', 'input.$': '$', 'execution.$': '$$.Execution.Id' }, { Next: 'Route' }),
    Route: {
      Type: 'Choice',
      Choices: [{ Variable: '$.outcome', StringEquals: 'waiting', Next: 'Pause' }],
      Default: 'Done',
    },
    Pause: { Type: 'Wait', SecondsPath: '$.waitSeconds', Next: 'Step' },
    Flaky: task(
      { do: 'flaky' },
      { Retry: [{ ErrorEquals: ['States.ALL'], IntervalSeconds: 1, MaxAttempts: 5 }], Next: 'Done' },
    ),
    Throw: task(
      { do: 'throw', name: 'Understudy.Special' },
      {
        Catch: [{ ErrorEquals: ['Understudy.Special'], ResultPath: '$.error', Next: 'Halted' }],
        Next: 'Done',
      },
    ),
    Slow: task(
      { do: 'hang' },
      {
        TimeoutSeconds: 1,
        Catch: [{ ErrorEquals: ['States.Timeout'], ResultPath: '$.error', Next: 'Done' }],
        Next: 'Done',
      },
    ),
    Hang: task({ do: 'hang' }, { Next: 'Done' }),
    Hold: { Type: 'Wait', Seconds: 600, Next: 'Done' },
    Halted: { Type: 'Fail', Error: 'Understudy.Halted', CausePath: '$.error.Cause' },
    Done: { Type: 'Succeed' },
  },
}
const definitionParts = JSON.stringify(definition)
  .split('VERSION')
  .flatMap((text, index) => (index === 0 ? [text] : [{ Ref: 'StepVersion' }, text]))

export const resources = {
  Table: table,
  Bus: { Type: 'AWS::Events::EventBus', Properties: { Name: 'understudy' } },
  Topic: { Type: 'AWS::SNS::Topic', Properties: { TopicName: 'understudy' } },
  Step: lambdaFunction('understudy-step', 'main.handler', {
    Environment: {
      Variables: { UNDERSTUDY_TABLE: { Ref: 'Table' }, UNDERSTUDY_TOPIC_ARN: { Ref: 'Topic' } },
    },
  }),
  StepVersion: { Type: 'AWS::Lambda::Version', Properties: { FunctionName: { Ref: 'Step' } } },
  Short: lambdaFunction('understudy-short', 'main.handler', { Timeout: 1 }),
  Missing: lambdaFunction('understudy-missing', 'absent.handler'),
  Narrow: lambdaFunction('understudy-narrow', 'main.handler', {
    Timeout: 1,
    ReservedConcurrentExecutions: 1,
  }),
  Machine: {
    Type: 'AWS::StepFunctions::StateMachine',
    Properties: {
      StateMachineName: 'understudy-failover',
      DefinitionString: { 'Fn::Join': ['', definitionParts] },
    },
  },
  Mapping: {
    Type: 'AWS::Lambda::EventSourceMapping',
    Properties: {
      FunctionName: { Ref: 'StepVersion' },
      EventSourceArn: { 'Fn::GetAtt': ['Table', 'StreamArn'] },
      BatchSize: 10,
      FilterCriteria: {
        Filters: [{ Pattern: JSON.stringify({ dynamodb: { NewImage: { changed: { BOOL: [true] } } } }) }],
      },
    },
  },
  Tick: {
    Type: 'AWS::Events::Rule',
    Properties: { ScheduleExpression: 'rate(1 minute)', Targets: [{ Id: 'a', Arn: functionArn('Step') }] },
  },
  Power: {
    Type: 'AWS::Events::Rule',
    Properties: {
      EventPattern: { source: ['aws.ec2'], detail: { state: ['stopped'] } },
      Targets: [{ Id: 'a', Arn: functionArn('Step') }],
    },
  },
  Own: {
    Type: 'AWS::Events::Rule',
    Properties: {
      EventBusName: { Ref: 'Bus' },
      EventPattern: { source: [{ prefix: 'understudy' }], 'detail-type': ['paged'] },
      Targets: [
        {
          Id: 'a',
          Arn: functionArn('Step'),
          InputTransformer: {
            InputPathsMap: { c: '$.detail.cluster', n: '$.detail.term' },
            InputTemplate: '{"constant": true, "cluster": "<c>", "term": <n>}',
          },
        },
      ],
    },
  },
}
