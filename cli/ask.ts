/** One request to the command function, with its failure in words; the SDK is loaded only when it is needed. */
import type { CommandClient } from '../functions/aws/commandClient.ts'
import { type Answer, readAnswer } from './answers.ts'

export type Asked =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | {
      readonly kind: 'failed'
      readonly message: string
      readonly hint: string
      readonly effect: 'none' | 'unknown'
    }

const reading = ['status', 'explain', 'doctor']

export const isReading = (request: Readonly<Record<string, unknown>>) =>
  reading.includes(String(request.command))

export async function ask(client: CommandClient, request: Readonly<Record<string, unknown>>): Promise<Asked> {
  const got = await client.ask(request, { reads: isReading(request) })
  if (got.kind === 'failed') return got
  const answer = readAnswer(got.result)
  if (answer) return { kind: 'answered', answer }
  return {
    kind: 'failed',
    message: `the answer is not one of Understudy's: ${JSON.stringify(got.result)?.slice(0, 200)}`,
    hint: 'is --deployment right, and is the deployed version that of this CLI?',
    effect: 'unknown',
  }
}
