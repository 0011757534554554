/** The real CLI as a child process, against a server that speaks Lambda's Invoke. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Reply, type Seen, serve } from '../aws/servers.ts'

const bin = fileURLToPath(new URL('../../cli/bin.js', import.meta.url))

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Nothing of this machine's AWS configuration may leak in. */
export function run(
  args: readonly string[],
  environment: Record<string, string> = {},
  nodeOptions: readonly string[] = [],
): Promise<Ran> {
  return new Promise((resolve) => {
    const env = {
      PATH: process.env.PATH ?? '',
      COLUMNS: '80',
      HOME: '/nonexistent',
      AWS_REGION: 'eu-central-1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      ...environment,
    }
    const child = execFile(process.execPath, [...nodeOptions, bin, ...args], { env }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

export type Request = { readonly command: string } & Readonly<Record<string, unknown>>

/** Answers commands; `asked` has the name of the function and the request of each call. */
export async function controlPlane(answer: (request: Request) => unknown) {
  const asked: { functionName: string; request: Request }[] = []
  const { endpoint } = await serve((seen: Seen): Reply => {
    const functionName = /\/functions\/([^/]+)\/invocations$/.exec(seen.path)?.[1] ?? seen.path
    const request = JSON.parse(seen.body) as Request
    asked.push({ functionName, request })
    const reply = answer(request)
    return isReply(reply) ? reply : { body: JSON.stringify(reply) }
  })
  return {
    asked,
    run: (args: readonly string[], environment: Record<string, string> = {}) =>
      run(args, { AWS_ENDPOINT_URL: endpoint, ...environment }),
  }
}

const isReply = (reply: unknown): reply is Reply =>
  reply === 'drop' || (typeof reply === 'object' && reply !== null && 'body' in reply)

export function awsError(status: number, name: string, message: string): Reply {
  return { status, body: JSON.stringify({ message }), headers: { 'x-amzn-errortype': name } }
}
