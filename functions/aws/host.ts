/** Commands on the hosts of nodes, by SSM Run Command: no agent of ours runs there. */
import {
  GetCommandInvocationCommand,
  type GetCommandInvocationCommandOutput,
  SendCommandCommand,
  type SSMClient,
} from '@aws-sdk/client-ssm'
import type { Clock, Host } from '../ports.ts'
import { failureOf } from './errors.ts'

/** SendCommand refuses a shorter delivery time-out. */
const deliveryTimeoutLeastSeconds = 30

/** A script that compared and declined exits so, and says `refused` with its reason. */
export const refusedExitCode = 65

type Result = Awaited<ReturnType<Host['run']>>

/**
 * The clients must be made with one attempt: SendCommand has no idempotency token, a repetition runs twice. What
 * still runs when `timeoutMs` has passed is `unknown`; the agent ends it by `executionTimeout` soon after.
 */
export function createHost(options: { client: (region: string) => SSMClient; clock: Clock }): Host {
  const { client, clock } = options
  return {
    async run(node, script, { deliveryTimeoutSeconds, timeoutMs }) {
      const ssm = client(node.region)
      const deadline = clock.monotonicMs() + timeoutMs
      let commandId: string
      try {
        const sent = await ssm.send(
          new SendCommandCommand({
            InstanceIds: [node.instanceId],
            DocumentName: 'AWS-RunShellScript',
            TimeoutSeconds: Math.max(deliveryTimeoutLeastSeconds, deliveryTimeoutSeconds),
            Parameters: { commands: [script], executionTimeout: [String(Math.ceil(timeoutMs / 1_000))] },
          }),
        )
        commandId = sent.Command?.CommandId ?? ''
      } catch (error) {
        const failure = failureOf(error)
        return { outcome: failure.kind === 'rejected' ? 'refused' : 'unknown', message: failure.message }
      }
      return poll(ssm, clock, { CommandId: commandId, InstanceId: node.instanceId }, deadline)
    },
  }
}

async function poll(
  ssm: SSMClient,
  clock: Clock,
  which: { CommandId: string; InstanceId: string },
  deadline: number,
): Promise<Result> {
  let waitMs = 100
  let last = 'no answer yet'
  while (clock.monotonicMs() + waitMs < deadline) {
    await clock.sleep(waitMs)
    waitMs = Math.min(waitMs * 2, 2_000)
    try {
      const invocation = await ssm.send(new GetCommandInvocationCommand(which))
      const result = resultOf(invocation)
      if (result !== null) return result
      last = invocation.StatusDetails ?? invocation.Status ?? 'no status'
    } catch (error) {
      // InvocationDoesNotExist is usual right after sending; any other failure of asking says nothing either.
      last = failureOf(error).message
    }
  }
  return { outcome: 'unknown', message: `command ${which.CommandId} on ${which.InstanceId}: ${last}` }
}

/** Null while it is under way. Status details: "Understanding command statuses" of the Systems Manager guide. */
function resultOf(invocation: GetCommandInvocationCommandOutput): Result | null {
  const stdout = invocation.StandardOutputContent ?? ''
  const stderr = invocation.StandardErrorContent ?? ''
  const details = (invocation.StatusDetails || invocation.Status || '').replaceAll(' ', '')
  const message = `${details}: ${[stderr.trim(), stdout.trim()].filter(Boolean).join(' | ').slice(-1_000)}`
  switch (details) {
    case 'Success':
      return { outcome: 'done', stdout }
    case 'Failed':
      // Any other exit may have come half-way.
      return {
        outcome:
          invocation.ResponseCode === refusedExitCode && /\brefused\b/i.test(`${stdout}\n${stderr}`)
            ? 'refused'
            : 'unknown',
        message,
      }
    // Never delivered, so without effect.
    case 'DeliveryTimedOut':
    case 'Undeliverable':
    case 'InvalidPlatform':
    case 'AccessDenied':
      return { outcome: 'refused', message }
    case 'TimedOut':
    case 'ExecutionTimedOut':
    case 'Cancelled':
    case 'Canceled':
    case 'Terminated':
    case 'Incomplete':
      return { outcome: 'unknown', message }
    default:
      return null
  }
}
