/** The functions in the VPC, invoked synchronously: `look` of every observer in parallel, and `operate`. */
import { InvokeCommand, type LambdaClient } from '@aws-sdk/client-lambda'
import type { z } from 'zod'
import { functionTimeoutSeconds } from '../core/limits.ts'
import type { Look, ObserverId } from '../core/types.ts'
import type { Functions, Logger, LookRequest } from '../ports.ts'
import { lookSchema, problemsOf, sqlResultSchema } from '../schemas.ts'
import { failureOf } from './errors.ts'

/** Above the callee's own time-out, so that an answer that was given is also heard. */
const marginMs = 2_000

type Answer<T> =
  | { readonly kind: 'answered'; readonly value: T }
  | { readonly kind: 'failed'; readonly effect: 'none' | 'unknown'; readonly message: string }

export function createFunctions(options: {
  /** With one attempt: a repeated look is asked for by the step, a repeated act by nobody. */
  client: LambdaClient
  /** Function name or version ARN by observer. */
  lookFunctions: Readonly<Record<ObserverId, string>>
  operateFunction: string | null
  /** Who has not answered by then is missing from the result. Default: longer than a look can take. */
  lookDeadlineMs?: number
  logger?: Logger
}): Functions {
  const { client, lookFunctions, operateFunction, logger } = options
  const lookDeadlineMs = options.lookDeadlineMs ?? functionTimeoutSeconds.look * 1_000 + marginMs

  async function invoke<T>(
    name: string,
    request: unknown,
    deadlineMs: number,
    schema: z.ZodType<T>,
  ): Promise<Answer<T>> {
    try {
      const answer = await client.send(
        new InvokeCommand({
          FunctionName: name,
          InvocationType: 'RequestResponse',
          Payload: new TextEncoder().encode(JSON.stringify(request)),
        }),
        { abortSignal: AbortSignal.timeout(deadlineMs) },
      )
      const text = new TextDecoder().decode(answer.Payload)
      if (answer.FunctionError !== undefined)
        return {
          kind: 'failed',
          effect: 'unknown',
          message: `${answer.FunctionError}: ${text.slice(0, 500)}`,
        }
      const parsed = schema.safeParse(JSON.parse(text))
      if (parsed.success) return { kind: 'answered', value: parsed.data }
      return {
        kind: 'failed',
        effect: 'unknown',
        message: `answer not understood: ${problemsOf(parsed.error).join('; ')}`,
      }
    } catch (error) {
      const failure = failureOf(error)
      return {
        kind: 'failed',
        effect: failure.kind === 'rejected' ? 'none' : 'unknown',
        message: failure.message,
      }
    }
  }

  async function lookFrom(observer: ObserverId, name: string, request: LookRequest): Promise<Look[]> {
    const answer = await invoke(name, request, lookDeadlineMs, lookSchema)
    const problem =
      answer.kind === 'failed'
        ? answer.message
        : // An answer to another question, such as an earlier one, proves nothing about now.
          (['lookId', 'cluster'] as const).find((field) => answer.value[field] !== request[field])
    const foreign = answer.kind === 'answered' && answer.value.observer !== observer ? 'observer' : undefined
    if (answer.kind === 'answered' && problem === undefined && foreign === undefined) return [answer.value]
    logger?.warn('a look is missing', { observer, cluster: request.cluster, problem: problem ?? foreign })
    return []
  }

  return {
    async look(request) {
      const looks = Object.entries(lookFunctions).map(([observer, name]) => lookFrom(observer, name, request))
      return (await Promise.all(looks)).flat()
    },

    async operate(request) {
      if (operateFunction === null) throw new Error('this function has no operate function to call')
      const deadlineMs = functionTimeoutSeconds.operate * 1_000 + marginMs
      const answer = await invoke(operateFunction, request, deadlineMs, sqlResultSchema)
      if (answer.kind === 'answered') return answer.value
      return { outcome: answer.effect === 'none' ? 'refused' : 'unknown', message: answer.message }
    },
  }
}
