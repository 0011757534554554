/** Starts executions of the state machine. The name guards nothing, the claim does (H13). */
import { ExecutionAlreadyExists, type SFNClient, StartExecutionCommand } from '@aws-sdk/client-sfn'
import type { Workflow } from '../ports.ts'
import { failureOf } from './errors.ts'

/** Throws when Step Functions refuses the request itself: no such machine, no permission, input too large. */
export function createWorkflow(options: { client: SFNClient; stateMachineArn: string }): Workflow {
  return {
    async start(name, input) {
      try {
        await options.client.send(
          new StartExecutionCommand({
            stateMachineArn: options.stateMachineArn,
            name,
            input: JSON.stringify(sorted(input)),
          }),
        )
        return 'started'
      } catch (error) {
        if (error instanceof ExecutionAlreadyExists) return 'exists'
        if (failureOf(error, { idempotent: true }).kind === 'rejected') throw error
        return 'unknown'
      }
    },
  }
}

/** A repeated start is idempotent only when the input is the same to the byte, so keys get one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entry]) => [key, sorted(entry)]),
  )
}
