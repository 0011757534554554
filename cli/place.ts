/** Where the control plane is: from the options, the environment, or the file of a local demo. */
import { readFileSync } from 'node:fs'
import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'

export interface GlobalOptions {
  readonly deployment?: string
  readonly region?: string
  readonly profile?: string
  readonly local?: true
  readonly json?: true
  readonly by?: string
}

export interface Place {
  readonly deployment: string
  readonly region?: string
  /** Variables to set; `undefined` removes one. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

const localFile = () => join(tmpdir(), 'understudy-local.json')
const staticCredentials = {
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_SESSION_TOKEN: undefined,
}

/** Everything that is wrong with the global options is added to `problems`. */
export function findPlace(options: GlobalOptions, problems: string[]): Place {
  if (options.local) {
    for (const name of ['region', 'profile'] as const)
      if (options[name] !== undefined) problems.push(`--${name}: has no meaning with --local, remove one`)
  }
  const local = options.local ? readLocal(problems) : undefined
  const deployment =
    options.deployment ?? local?.deployment ?? process.env.UNDERSTUDY_DEPLOYMENT ?? 'understudy'
  if (!/^[a-z0-9-]{3,32}$/.test(deployment))
    problems.push(`--deployment: must be 3 to 32 of a-z, 0-9 and -, got ${JSON.stringify(deployment)}`)
  if (local) return { deployment, environment: { AWS_PROFILE: undefined, ...local.environment } }
  if (options.region !== undefined && !/^[a-z]{2}(?:-[a-z]+)+-[0-9]$/.test(options.region))
    problems.push(`--region: ${JSON.stringify(options.region)} is not the name of an AWS Region`)
  return {
    deployment,
    ...(options.region === undefined ? {} : { region: options.region }),
    // A profile that is asked for wins over credentials that happen to be in the environment; the SDK would warn.
    environment: options.profile === undefined ? {} : { ...staticCredentials, AWS_PROFILE: options.profile },
  }
}

function readLocal(
  problems: string[],
): { deployment: string; environment: Record<string, string> } | undefined {
  const file = localFile()
  const start = 'start one with `npm run demo -- --keep`'
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    problems.push(`--local: no local demo is running (${file} is not there): ${start}`)
    return undefined
  }
  try {
    const { deployment, environment } = JSON.parse(text)
    const isText = (value: unknown) => typeof value === 'string'
    if (isText(deployment) && Object.values(environment).every(isText)) return { deployment, environment }
  } catch {
    // Said below.
  }
  problems.push(`--local: ${file} is not what a demo writes: remove it and ${start}`)
  return undefined
}

/** Who asks, for the history: `anna@laptop`. */
export function whoAsks(): string {
  const { env } = process
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    // A user id without an entry, as in containers.
    return `${env.USER ?? env.LOGNAME ?? 'somebody'}@${hostname()}`
  }
}
