/** Physical names and ARNs that parts of the stack must know of each other without a reference between them. */
import { Aws } from 'aws-cdk-lib/core'
import type { FleetDocument } from '../functions/config.ts'
import type { FunctionName } from '../functions/core/limits.ts'

/** `understudy-confirm`, or `understudy-look-a` for a function that each observer has. */
export function functionName(config: FleetDocument, name: FunctionName, observer?: string): string {
  return [config.deployment, name, ...(observer === undefined ? [] : [observer])].join('-')
}

export function machineName(config: FleetDocument): string {
  return `${config.deployment}-failover`
}

/**
 * ARN of the state machine, from its name: functions start it and it calls functions, so that a reference would be a
 * cycle.
 */
export function machineArn(config: FleetDocument): string {
  return `arn:${Aws.PARTITION}:states:${config.region}:${Aws.ACCOUNT_ID}:stateMachine:${machineName(config)}`
}

/** ARN of a function from its name, without a version. */
export function functionArn(config: FleetDocument, name: string): string {
  return `arn:${Aws.PARTITION}:lambda:${config.region}:${Aws.ACCOUNT_ID}:function:${name}`
}
