/** The real CLI as a child process, against a server that speaks Lambda's Invoke. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Reply, type Seen, serve } from '../aws/servers.ts'

const bin = fileURLToPath(new URL('../../cli/bin.js', import.meta.url))

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly nodeOptions?: readonly string[]
  /** Gets what sends Ctrl-C to the CLI and whatever it started, as a terminal does. */
  readonly onStart?: (ctrlC: () => void) => void
}

/** Nothing of this machine's AWS configuration may leak in. */
export function run(
  args: readonly string[],
  environment: Record<string, string> = {},
  options: RunOptions = {},
): Promise<Ran> {
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
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...(options.nodeOptions ?? []), bin, ...args], {
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('utf8').on('data', (text) => {
        said[name] += text
      })
    child.on('close', (code) => resolve({ code: code ?? -1, ...said }))
    options.onStart?.(() => child.pid !== undefined && process.kill(-child.pid, 'SIGINT'))
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
    run: (args: readonly string[], environment: Record<string, string> = {}, options: RunOptions = {}) =>
      run(args, { AWS_ENDPOINT_URL: endpoint, ...environment }, options),
  }
}

const isReply = (reply: unknown): reply is Reply =>
  reply === 'drop' || (typeof reply === 'object' && reply !== null && 'body' in reply)

export function awsError(status: number, name: string, message: string): Reply {
  return { status, body: JSON.stringify({ message }), headers: { 'x-amzn-errortype': name } }
}
