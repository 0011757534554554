/**
 * The workflow in Amazon States Language (JSONPath), written out: what a person sees in the console is what stands
 * here. It is thin on purpose; decisions live in the core, and a step tells only its outcome and which step is next.
 *
 * A step on the fast path is followed by Choice states alone: Wait knows whole seconds only, and one would cost more
 * than the rest of a failover (H29).
 */
import * as iam from 'aws-cdk-lib/aws-iam'
import * as sfn from 'aws-cdk-lib/aws-stepfunctions'
import { Aws, Duration, Stack } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'
import {
  functionTimeoutSeconds,
  taskMarginSeconds,
  type WorkflowStep,
  workflowSteps,
  zombieWaitSeconds,
} from '../functions/core/limits.ts'
import { addLogGroup, type Functions } from './functions.ts'
import { machineName } from './names.ts'

/** States of the steps: `confirm` is `Confirm`. */
export const stateOf: Readonly<Record<WorkflowStep, string>> = {
  confirm: 'Confirm',
  fence: 'Fence',
  promote: 'Promote',
  repoint: 'Repoint',
  settle: 'Settle',
}

/**
 * Errors of Lambda itself and of the way to it, after which the function may or may not have run (S5): worth many tries.
 * The names: Step Functions developer guide, "Handle transient Lambda service exceptions", and Lambda's own.
 */
const transientErrors = [
  'Lambda.TooManyRequestsException',
  'Lambda.ServiceException',
  'Lambda.AWSLambdaException',
  'Lambda.SdkClientException',
  'Lambda.Unknown',
  'Lambda.ClientExecutionTimeoutException',
  'Sandbox.Timedout',
  'States.Timeout',
]

const retryTransient = {
  ErrorEquals: transientErrors,
  IntervalSeconds: 1,
  MaxAttempts: 8,
  BackoffRate: 1.5,
  MaxDelaySeconds: 10,
}

/** An error that a handler threw: a bug or an outage behind it. States.ALL leaves out States.Runtime by itself. */
const retryOther = { ErrorEquals: ['States.ALL'], IntervalSeconds: 1, MaxAttempts: 2, BackoffRate: 1.5 }

/** Nothing is left to do but to tell; so it is tried for long. */
const retryHalt = {
  ErrorEquals: ['States.ALL'],
  IntervalSeconds: 1,
  MaxAttempts: 20,
  BackoffRate: 1.5,
  MaxDelaySeconds: 30,
}

/** ARNs of the versions that the workflow calls. */
export type WorkflowArns = Readonly<Record<WorkflowStep | 'command', string>>

export interface WorkflowDefinition {
  readonly Comment: string
  readonly StartAt: string
  readonly TimeoutSeconds: number
  readonly States: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

/** The definition; `partition` is part of the ARN of the service integration. */
export function workflowDefinition(functions: WorkflowArns, partition = 'aws'): WorkflowDefinition {
  const invoke = {
    Type: 'Task',
    Resource: `arn:${partition}:states:::lambda:invoke`,
    OutputPath: '$.Payload',
  }
  const step = (name: WorkflowStep) => ({
    ...invoke,
    Parameters: {
      FunctionName: functions[name],
      Payload: { 'input.$': '$', 'execution.$': '$$.Execution.Id' },
    },
    // Above the function's own: no retry overlaps its predecessor (H06).
    TimeoutSeconds: functionTimeoutSeconds[name] + taskMarginSeconds,
    Retry: [retryTransient, retryOther],
    Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'Fault' }],
    Next: 'Route',
  })
  return {
    Comment: 'Understudy: confirm, fence, promote, repoint, settle',
    StartAt: 'Admit',
    // Long above any wait for an approval; an execution that stood still is resumed by assess long before.
    TimeoutSeconds: 7 * 24 * 3600,
    States: {
      Admit: {
        Type: 'Choice',
        // Input that lacks a kind goes to confirm as well, which says everything that is wrong with it.
        Choices: [whenText('$.kind', 'resume', 'ResumeWait'), whenText('$.kind', 'settle', 'Settle')],
        Default: 'Confirm',
      },
      // Who raises the term over an open claim first waits out every function that may still act for it (S4).
      ResumeWait: { Type: 'Wait', Seconds: zombieWaitSeconds, Next: 'Confirm' },
      ...Object.fromEntries(workflowSteps.map((name) => [stateOf[name], step(name)])),
      Route: {
        Type: 'Choice',
        Choices: [
          // What assess started and a step declined is no failure: the facts had changed, or it was a false alarm.
          {
            And: [
              { Variable: '$.outcome', IsPresent: true },
              { Variable: '$.outcome', StringEquals: 'refused' },
              { Variable: '$.automatic', IsPresent: true },
            ],
            Next: 'Done',
          },
          whenText('$.outcome', 'refused', 'Refused'),
          {
            And: [
              { Variable: '$.outcome', IsPresent: true },
              { Variable: '$.outcome', StringEquals: 'waiting' },
              { Variable: '$.waitSeconds', IsPresent: true },
              { Variable: '$.waitSeconds', IsNumeric: true },
            ],
            Next: 'Pause',
          },
        ],
        Default: 'Dispatch',
      },
      Pause: { Type: 'Wait', SecondsPath: '$.waitSeconds', Next: 'Dispatch' },
      Dispatch: {
        Type: 'Choice',
        Choices: [
          ...workflowSteps.map((name) => whenText('$.next', name, stateOf[name])),
          whenText('$.next', 'end', 'Done'),
        ],
        Default: 'Lost',
      },
      // A Choice has no Catch: without this state an answer that names no step would end outside `halted`.
      Lost: {
        Type: 'Pass',
        Result: { Error: 'Understudy.Lost', Cause: 'A step answered without a next step.' },
        ResultPath: '$.error',
        Next: 'Fault',
      },
      // Data without a cluster halts nothing, and a missing path is an error that no Catch sees (States.Runtime).
      Fault: {
        Type: 'Choice',
        Choices: [{ Variable: '$.cluster', IsPresent: true, Next: 'Halt' }],
        Default: 'Halted',
      },
      Done: { Type: 'Succeed' },
      Refused: { Type: 'Fail', Error: 'Understudy.Refused', Cause: 'A step refused; its output says why.' },
      Halt: {
        ...invoke,
        Parameters: {
          FunctionName: functions.command,
          Payload: {
            command: 'halt',
            'cluster.$': '$.cluster',
            'error.$': '$.error',
            'execution.$': '$$.Execution.Id',
          },
        },
        TimeoutSeconds: functionTimeoutSeconds.command + taskMarginSeconds,
        Retry: [retryHalt],
        Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.haltError', Next: 'Halted' }],
        Next: 'Halted',
      },
      Halted: {
        Type: 'Fail',
        Error: 'Understudy.Halted',
        Cause:
          'A step failed for good. The cluster is halted until `understudy acknowledge` or `understudy adopt`.',
      },
    },
  }
}

/** A comparison with a missing path would end the execution, so each asks for the path first. */
function whenText(path: string, value: string, next: string) {
  return {
    And: [
      { Variable: path, IsPresent: true },
      { Variable: path, StringEquals: value },
    ],
    Next: next,
  }
}

/** The state machine, its role and its log. */
export function addWorkflow(scope: Construct, config: FleetDocument, functions: Functions): sfn.StateMachine {
  const names = [...workflowSteps, 'command'] as const
  const arns = Object.fromEntries(
    names.map((name) => [name, functions[name].version.functionArn]),
  ) as WorkflowArns
  const role = new iam.Role(scope, 'WorkflowRole', {
    description: `Role of ${machineName(config)}`,
    assumedBy: new iam.ServicePrincipal('states.amazonaws.com'),
    inlinePolicies: {
      understudy: new iam.PolicyDocument({
        statements: workflowStatements(Object.values(arns)).map((each) => new iam.PolicyStatement(each)),
      }),
    },
  })
  return new sfn.StateMachine(scope, 'Workflow', {
    stateMachineName: machineName(config),
    stateMachineType: sfn.StateMachineType.STANDARD,
    definitionBody: sfn.DefinitionBody.fromString(
      Stack.of(scope).toJsonString(workflowDefinition(arns, Aws.PARTITION)),
    ),
    timeout: Duration.days(7),
    role: role.withoutPolicyUpdates(),
    tracingEnabled: true,
    logs: {
      // Below this prefix a log group needs no entry in the account's one resource policy, whose size is limited.
      destination: addLogGroup(
        scope,
        'WorkflowLogs',
        `/aws/vendedlogs/states/${machineName(config)}`,
        config,
      ),
      level: sfn.LogLevel.ALL,
      includeExecutionData: true,
    },
  })
}

function workflowStatements(versions: readonly string[]): iam.PolicyStatementProps[] {
  return [
    // Exact versions: an execution keeps the definition that it started with, and with it the code.
    { sid: 'CallSteps', actions: ['lambda:InvokeFunction'], resources: [...versions] },
    // Delivery of logs has no resource to restrict it to (Step Functions developer guide, "Logging in CloudWatch Logs").
    {
      sid: 'DeliverLogs',
      actions: [
        'logs:CreateLogDelivery',
        'logs:DeleteLogDelivery',
        'logs:DescribeLogGroups',
        'logs:DescribeResourcePolicies',
        'logs:GetLogDelivery',
        'logs:ListLogDeliveries',
        'logs:PutResourcePolicy',
        'logs:UpdateLogDelivery',
      ],
      resources: ['*'],
    },
    {
      sid: 'Trace',
      actions: [
        'xray:PutTraceSegments',
        'xray:PutTelemetryRecords',
        'xray:GetSamplingRules',
        'xray:GetSamplingTargets',
      ],
      resources: ['*'],
    },
  ]
}
