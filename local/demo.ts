/** `npm run demo`: the main job on a real cluster, shown as it happens. `--help` says what can be chosen. */
import { createWriteStream, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { styleText } from 'node:util'
import { Command, InvalidArgumentError, Option } from 'commander'
import { isNotable } from '../functions/core/events.ts'
import { type EngineChoice, engineChoices } from './databases.ts'
import { type DrillResult, drill, type Fault, faults } from './drill.ts'
import { clusterId, Embedded, endpointName, faultsOf } from './embedded.ts'
import { monotonicMs } from './writer.ts'

interface Options {
  readonly engine: EngineChoice
  readonly fault: Fault
  readonly fence?: 'quorum' | 'power'
  readonly stopSeconds: number
  readonly json?: true
  readonly keep?: true
  readonly log?: string
}

const seconds = (text: string): number => {
  const value = Number(text)
  if (!(value >= 0 && value <= 600))
    throw new InvalidArgumentError('must be a number of seconds from 0 to 600')
  return value
}

const program = new Command('demo')
  .description(
    'Takes the primary of a real PostgreSQL cluster away while a client writes, and shows what follows.',
  )
  .addOption(
    new Option(
      '--engine <engine>',
      'postgres: servers on instances of your own; rds: a primary of RDS and two read replicas; aurora: a writer and two readers; aurora-global: a cluster in each of two Regions',
    )
      .choices(engineChoices)
      .default('postgres'),
  )
  .addOption(
    new Option(
      '--fault <fault>',
      'kill: SIGKILL, of aurora-global the whole Region; freeze: SIGSTOP, thawed later; restart: no failover may follow; switchover: by hand',
    )
      .choices(faults)
      .default('kill'),
  )
  .addOption(
    new Option(
      '--fence <fence>',
      'engine postgres; quorum: freeze the synchronous standbys; power: wait for the stopped instance (default: quorum)',
    ).choices(['quorum', 'power']),
  )
  .option('--stop-seconds <seconds>', 'engine postgres: how long the stop of an instance takes', seconds, 20)
  .option('--json', 'print the result as one JSON object on the last line')
  .option('--keep', 'leave everything running afterwards, to look at with `npx understudy --local …`')
  .option('--log <file>', "write the functions' and the services' log to a file")
  .parse()
const options = program.opts<Options>()
if (options.engine !== 'postgres' && options.fence !== undefined)
  program.error(`error: engine ${options.engine} has one fence, its own: leave '--fence' out`)
if (!faultsOf(options.engine).includes(options.fault))
  program.error(
    `error: engine ${options.engine} has no fault '${options.fault}' here: use ${faultsOf(options.engine).join(', ')}`,
  )

const keptFile = join(tmpdir(), 'understudy-local.json')
const width = Math.min(process.stdout.columns ?? 80, 100)
let starting: Promise<Embedded> | undefined
const givenUp = new AbortController()
let closing: Promise<void> | undefined

function close(): Promise<void> {
  closing ??= (async () => {
    if (options.keep) rmSync(keptFile, { force: true })
    givenUp.abort()
    // What is still starting ends itself when it fails, and can be ended once it is there.
    const running = await starting?.catch(() => undefined)
    await running?.close()
  })()
  return closing
}

function say(text: string): void {
  if (!options.json) console.log(text)
}

/** A sentence, wrapped. */
const tell = (text: string) => say(wrapped(text, width).join('\n'))

function wrapped(text: string, room: number): string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last.length > 0 && last.length + 1 + word.length > room) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines
}

/** `  0.012 s  confirming  A33  message`, wrapped under itself. */
function line(atMs: number, name: string, row: string | null, message: string): void {
  const head = `${(atMs / 1000).toFixed(3).padStart(8)} s  ${name.padEnd(19)} ${(row ?? '').padEnd(4)}`
  const lines = wrapped(message, Math.max(20, width - head.length - 1))
  say(
    lines
      .map((text, index) =>
        index === 0 ? `${styleText('bold', head)} ${text}` : `${' '.repeat(head.length + 1)}${text}`,
      )
      .join('\n'),
  )
}

/** Shows each new event of the state as it was written, with the time since the fault. */
function follow(shown: Embedded, faultMs: number): () => void {
  let next = shown.history.length
  let version = -1
  const show = () => {
    for (; next < shown.history.length; next++) {
      const seen = shown.history[next]
      if (!seen || seen.state.lastEvent.version === version) continue
      const { kind, row, message, version: now } = seen.state.lastEvent
      version = now
      if (isNotable(kind) || kind === 'claimed') line(seen.atMs - faultMs, kind, row, message)
    }
  }
  const timer = setInterval(show, 20)
  return () => {
    clearInterval(timer)
    show()
  }
}

function summary(result: DrillResult): void {
  const ms = (value: number | null) => (value === null ? '–' : `${value.toFixed(0)} ms`)
  const rows: [string, string][] = [
    ['detect', ms(result.detectMs)],
    ['confirm', ms(result.confirmMs)],
    ['fence', ms(result.fenceMs)],
    ['promote', ms(result.promoteMs)],
    ['repoint', ms(result.repointMs)],
    ['write outage as the client saw it', ms(result.outageMs)],
    ['acknowledged writes', String(result.acknowledged)],
    ['acknowledged writes lost', lossText(result)],
    ['writes by a second writer', String(result.twoWriters)],
    [
      'redundant again after',
      result.redundantMs === null ? '–' : `${(result.redundantMs / 1000).toFixed(1)} s`,
    ],
    [
      'topology',
      Object.entries(result.nodes)
        .map(([id, role]) => `${id} ${role}`)
        .join(', '),
    ],
    ['term', String(result.term)],
  ]
  say('')
  for (const [name, value] of rows) say(`  ${name.padEnd(36)} ${value}`)
}

/** What the bound is, and whether it held: with replicas that are not synchronous some loss may be. */
function lossText(result: DrillResult): string {
  const { lost, lostMs, lossBoundMs } = result
  if (lossBoundMs === 0) return String(lost)
  const span = lost === 0 ? '' : `, the last ${(lostMs / 1000).toFixed(2)} s`
  if (lossBoundMs === null) return `${lost}${span}; no bound`
  return `${lost}${span}; bound ${lossBoundMs / 1000} s, ${holdsBound(result) ? 'held' : 'NOT held'}`
}

function holdsBound({ lost, lostMs, lossBoundMs }: DrillResult): boolean {
  return lost === 0 || lossBoundMs === null || (lossBoundMs > 0 && lostMs <= lossBoundMs)
}

/** What makes a run a failure: the promises of the product, not its speed. */
function broken(result: DrillResult): string[] {
  const problems: string[] = []
  if (!holdsBound(result))
    problems.push(`${result.lost} acknowledged writes were lost, more than the policy allows`)
  if (result.twoWriters > 0) problems.push(`${result.twoWriters} writes were acknowledged by a second writer`)
  if (result.fault === 'restart' && result.failedOver) problems.push('a restart caused a failover')
  if (result.fault !== 'restart' && !result.failedOver) problems.push('no failover happened')
  const { streaming, followers } = result
  if (streaming < followers)
    problems.push(`${streaming} of ${followers} other servers stream from the primary at the end`)
  return problems
}

async function main(): Promise<void> {
  const startedMs = monotonicMs()
  tell(`Starting ${servers[options.engine]}, AWS's APIs on loopback, and the synthesised stack …`)
  const log = options.log === undefined ? undefined : createWriteStream(options.log)
  starting = Embedded.start({
    engine: options.engine,
    ...(options.fence === undefined ? {} : { fence: options.fence }),
    stopSeconds: options.stopSeconds,
    signal: givenUp.signal,
    ...(log ? { log: (text: string) => void log.write(`${new Date().toISOString()} ${text}\n`) } : {}),
  })
  const running = await starting
  const primary = running.state?.primary ?? '?'
  const seconds = ((monotonicMs() - startedMs) / 1000).toFixed(1)
  tell(`Steady after ${seconds} s: ${primary} is the primary; a client writes through ${endpointName}.\n`)
  let stop = () => {}
  const result = await drill(running, {
    fault: options.fault,
    onStart: (atMs, node) => {
      line(0, options.fault, null, faultText(options.fault, node))
      stop = follow(running, atMs)
    },
  })
  stop()
  summary(result)
  const problems = broken(result)
  for (const problem of problems) say(styleText('red', `\n  FAILED: ${problem}`))
  if (options.keep) await keep(running)
  await close()
  if (options.json) console.log(JSON.stringify(result))
  process.exitCode = problems.length > 0 ? 1 : 0
}

const servers: Readonly<Record<EngineChoice, string>> = {
  postgres: 'three PostgreSQL servers',
  rds: 'a primary of RDS with two read replicas',
  aurora: 'an Aurora cluster of three instances',
  'aurora-global': 'an Aurora global database of two Regions with two instances each',
}

function faultText(fault: Fault, node: string): string {
  if (fault === 'switchover') return `another node is to take over from ${node}, ordered by hand`
  if (options.engine !== 'postgres' && fault === 'restart')
    return `${node} is rebooted by hand (RebootDBInstance)`
  if (options.engine === 'aurora-global')
    return `${node}'s Region is lost: its servers are killed (SIGKILL), its API is silent; back once writes are`
  if (fault === 'kill') return `every process of ${node}'s server is killed (SIGKILL)`
  if (fault === 'freeze')
    return `every process of ${node}'s server is stopped (SIGSTOP); thawed seconds later`
  return `${node}'s server is restarted (fast)`
}

async function keep(running: Embedded): Promise<void> {
  writeFileSync(
    keptFile,
    JSON.stringify({ deployment: 'understudy', environment: running.aws.environment() }),
  )
  say(
    `\nStill running. In another terminal:\n  npx understudy --local status\n  npx understudy --local explain ${clusterId}\n  npx understudy --local switchover ${clusterId} --reason "a try"\n  dig @${running.resolver.replace(':', ' -p ')} ${endpointName}\nCtrl-C ends it.`,
  )
  await new Promise(() => undefined)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (closing === undefined) say('\nEnding everything that was started …')
    close().finally(() => process.exit(130))
  })
}

try {
  await main()
} catch (error) {
  if (closing === undefined) console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  await close()
}
process.exit()
