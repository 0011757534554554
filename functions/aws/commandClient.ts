/**
 * The command function, as people call it from their own machine: with whatever credentials, Region and network they
 * have. So every failure is translated here into what happened, what to do, and whether something may have been done.
 */
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda'
import { functionTimeoutSeconds } from '../core/limits.ts'
import { failureOf } from './errors.ts'
import { timeouts } from './timeouts.ts'

/** Above the function's own time-out, so that an answer that was given is also heard. */
const deadlineMs = functionTimeoutSeconds.command * 1_000 + 5_000

export type CommandAnswer =
  | { readonly kind: 'answered'; readonly result: unknown }
  | {
      readonly kind: 'failed'
      readonly message: string
      readonly hint: string
      /** `unknown`: the command may have been carried out (S5). */
      readonly effect: 'none' | 'unknown'
    }

export interface CommandClient {
  /** Never throws. `reads`: the request changes nothing, so it may be sent again when an answer is missing. */
  ask(request: Readonly<Record<string, unknown>>, options: { reads: boolean }): Promise<CommandAnswer>
  close(): void
}

export function createCommandClient(options: { deployment: string; region?: string }): CommandClient {
  const functionName = `${options.deployment}-command`
  const make = (maxAttempts: number) =>
    new LambdaClient({
      ...(options.region === undefined ? {} : { region: options.region }),
      maxAttempts,
      // A laptop far away needs longer for a handshake than a function next door.
      requestHandler: { ...timeouts(deadlineMs), connectionTimeout: 5_000 },
    })
  // An act that is sent twice may be done twice.
  const clients = { reading: make(3), acting: make(1) }
  return {
    async ask(request, { reads }) {
      const client = reads ? clients.reading : clients.acting
      try {
        const answer = await client.send(
          new InvokeCommand({
            FunctionName: functionName,
            InvocationType: 'RequestResponse',
            Payload: new TextEncoder().encode(JSON.stringify(request)),
          }),
          { abortSignal: AbortSignal.timeout(deadlineMs) },
        )
        const text = new TextDecoder().decode(answer.Payload)
        if (answer.FunctionError !== undefined) return functionFailed(functionName, text)
        return { kind: 'answered', result: JSON.parse(text) }
      } catch (error) {
        const region = await client.config.region().catch(() => undefined)
        return notAnswered(error, functionName, region)
      }
    },
    close() {
      clients.reading.destroy()
      clients.acting.destroy()
    },
  }
}

/** The function ran, and threw or was ended: `{errorType, errorMessage}` in its payload. */
function functionFailed(functionName: string, payload: string): CommandAnswer {
  let said = payload
  try {
    const { errorType, errorMessage } = JSON.parse(payload) as Record<string, unknown>
    said = [errorType, errorMessage].filter((part) => typeof part === 'string').join(': ') || payload
  } catch {
    // Shown as it came.
  }
  return {
    kind: 'failed',
    message: `the function ${functionName} failed: ${said.slice(0, 500)}`,
    hint: `its log group /aws/lambda/${functionName} says more`,
    effect: 'unknown',
  }
}

interface Failing {
  readonly codes: readonly string[]
  readonly message: (place: Place) => string
  readonly hint: (place: Place) => string
}

interface Place {
  readonly functionName: string
  readonly region: string
  readonly said: string
}

/** What people meet, by the codes of Lambda's `Invoke`, of the SDK's credential providers and of Node's sockets. */
const known: readonly Failing[] = [
  {
    codes: ['ResourceNotFoundException'],
    message: ({ functionName, region }) => `there is no function ${functionName} in Region ${region}`,
    hint: () =>
      'is it deployed in this Region and account? Choose another with --region or --profile, another deployment with --deployment',
  },
  {
    codes: ['CredentialsProviderError', 'TokenProviderError'],
    message: ({ said }) => `no AWS credentials: ${said}`,
    hint: () => 'log in (`aws sso login`), or choose a profile with --profile; a local demo needs --local',
  },
  {
    codes: ['ExpiredToken', 'ExpiredTokenException', 'RequestExpired'],
    message: () => 'the AWS credentials have expired',
    hint: () => 'log in again (`aws sso login`), or choose another profile with --profile',
  },
  {
    codes: ['AccessDenied', 'AccessDeniedException'],
    message: ({ functionName, region, said }) =>
      `the credentials may not call ${functionName} in Region ${region}: ${said}`,
    hint: ({ functionName }) => `allow lambda:InvokeFunction on the function ${functionName}`,
  },
  {
    codes: [
      'UnrecognizedClientException',
      'InvalidClientTokenId',
      'InvalidSignatureException',
      'SignatureDoesNotMatch',
    ],
    message: ({ said }) => `AWS does not accept the credentials: ${said}`,
    hint: () => 'are they complete, of this account and partition, and is the clock of this machine right?',
  },
  {
    codes: ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'],
    message: ({ region, said }) => `Lambda in Region ${region} can not be reached: ${said}`,
    hint: () =>
      'check the network, --region and AWS_ENDPOINT_URL; with --local: does `npm run demo -- --keep` still run?',
  },
  {
    codes: ['TooManyRequestsException', 'ThrottlingException'],
    message: ({ said }) => `Lambda has no room for the call now: ${said}`,
    hint: () => 'try again; if it stays so, the concurrency limit of the account is too low',
  },
]

function notAnswered(error: unknown, functionName: string, region: string | undefined): CommandAnswer {
  const { code, message, kind } = failureOf(error, { idempotent: true })
  const socket = (error as { code?: unknown } | null)?.code
  const codes = [code, typeof socket === 'string' ? socket : '']
  const said = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message
  if (/^Region is missing/.test(said)) {
    return {
      kind: 'failed',
      message: 'no AWS Region is chosen',
      hint: 'give --region, or set AWS_REGION',
      effect: 'none',
    }
  }
  const place = { functionName, region: region ?? '(none)', said }
  const found = known.find((each) => each.codes.some((one) => codes.includes(one)))
  if (found) return { kind: 'failed', message: found.message(place), hint: found.hint(place), effect: 'none' }
  return {
    kind: 'failed',
    message: `no answer from ${functionName} in Region ${place.region}: ${message}`,
    hint: 'check the credentials (--profile), the Region (--region) and the name of the deployment (--deployment)',
    effect: kind === 'unknown' ? 'unknown' : 'none',
  }
}
