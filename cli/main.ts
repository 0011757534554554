/** `understudy`: asks the command function of a deployment, shows the answer, ends with a documented exit code. */
import { setTimeout as delay } from 'node:timers/promises'
import { Command, CommanderError, Option } from 'commander'
import type { CommandClient } from '../functions/aws/commandClient.ts'
import { type Answer, clustersOf, explanationOf, startedOf } from './answers.ts'
import { type Asked, ask, isReading } from './ask.ts'
import { type CliCommand, cliCommands } from './commands.ts'
import { follow } from './follow.ts'
import { findPlace, type GlobalOptions, whoAsks } from './place.ts'
import { readRequest } from './problems.ts'
import { renderEvent, renderExplanation } from './render-events.ts'
import { renderStatus } from './render-status.ts'
import { clean, cleaned, terminalWidth, wrap } from './text.ts'

const exit = { done: 0, refused: 1, usage: 2, unreachable: 3, unfinished: 4 } as const
type Options = GlobalOptions & Readonly<Record<string, unknown>>

const exitCodes = `
Exit codes:
  0  done
  1  refused, or stood down: the reasons are on stderr, nothing was changed
  2  not understood: everything wrong is on stderr, nothing was asked
  3  the control plane could not be reached, or failed
  4  started, but not finished: still under way after --wait-minutes,
     interrupted, superseded, or halted`

/** Resolves to the exit code. Without `DEBUG` nobody sees a stack trace. */
export async function main(argv: readonly string[]): Promise<number> {
  // Who reads through `head` has seen enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  let code: number = exit.done
  const program = build(async (command, typed) => {
    code = await run(command, typed.args, typed.optsWithGlobals())
  })
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) {
      const asked = ['commander.helpDisplayed', 'commander.version'].includes(error.code)
      return asked ? exit.done : exit.usage
    }
    if (process.env.DEBUG) throw error
    complain(`unexpected: ${error instanceof Error ? error.message : String(error)}`)
    complain('  set DEBUG=1 to see where; with --json the answer is shown as it came')
    return exit.unreachable
  }
}

function build(action: (command: CliCommand, typed: Command) => Promise<void>): Command {
  const program = new Command('understudy')
    .description('Failover of databases on AWS: what is true, why, and what people may ask for.')
    .addOption(new Option('--deployment <name>', 'name of the deployment').env('UNDERSTUDY_DEPLOYMENT'))
    .option('--region <region>', 'its AWS Region; default: that of the environment or profile')
    .option('--profile <name>', 'AWS profile to use')
    .option('--local', 'the demo that `npm run demo -- --keep` left running on this machine')
    .option('--json', "print the command's result as one line of JSON")
    .option('--by <name>', 'who asks, for the history; default: user@host')
    .configureHelp({
      showGlobalOptions: true,
      subcommandTerm: (sub) => `${sub.name()} ${sub.usage().replace('[options]', '')}`.trim(),
    })
    .addHelpText('after', exitCodes)
    .exitOverride()
  for (const command of cliCommands) {
    const sub = program
      .command(command.name)
      .summary(command.summary)
      .description(`${command.summary[0]?.toUpperCase()}${command.summary.slice(1)}.`)
      // Checked together with everything else, so that one message lists it all.
      .argument('[cluster]', command.cluster === 'required' ? 'the cluster (required)' : 'default: all')
      .usage(command.cluster === 'required' ? '<cluster> [options]' : '[cluster] [options]')
      .allowUnknownOption()
      .allowExcessArguments()
      .addHelpText('after', `\nExample:\n  ${command.example}\n${exitCodes}`)
      .action((...args) => action(command, args.at(-1) as Command))
    for (const { flags, text } of command.options) sub.option(flags, text)
  }
  return program
}

async function run(command: CliCommand, args: readonly string[], options: Options): Promise<number> {
  const problems: string[] = []
  const request = readRequest(command, { args, options }, options.by ?? whoAsks(), problems)
  const place = findPlace(options, problems)
  if (request === undefined || problems.length > 0) {
    complain(`understudy ${command.name}: nothing was asked, because`)
    for (const problem of problems) complain(`  ${problem}`)
    complain(`for example: ${command.example}`)
    return exit.usage
  }
  for (const [name, value] of Object.entries(place.environment)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
  const { createCommandClient } = await import('../functions/aws/commandClient.ts')
  const client = createCommandClient(place)
  try {
    return await carryOut(client, command, request, options)
  } finally {
    client.close()
  }
}

async function carryOut(
  client: CommandClient,
  command: CliCommand,
  request: Record<string, unknown>,
  options: Options,
): Promise<number> {
  const asked = await ask(client, request)
  if (asked.kind === 'failed') return couldNot(asked, request)
  const { answer } = asked
  if (options.json) say(JSON.stringify(answer))
  if (answer.outcome === 'refused') {
    for (const reason of answer.reasons) complain(reason)
    return exit.refused
  }
  if (!options.json) for (const line of render(command, cleaned(answer), options)) say(line)
  const starts = command.name === 'failover' || command.name === 'switchover'
  return starts && options.wait !== false ? followOn(client, request, answer, options) : exit.done
}

function render(command: CliCommand, answer: Answer & { outcome: 'done' }, options: Options): string[] {
  const width = terminalWidth()
  if (command.name === 'status') return renderStatus(clustersOf(answer), width)
  if (command.name === 'explain')
    return renderExplanation(explanationOf(answer), { width, facts: options.facts === true })
  return wrap(answer.message, width)
}

/** With `--json` the one line is all that stdout gets; how it ended is the exit code, and stderr says why. */
async function followOn(
  client: CommandClient,
  request: Record<string, unknown>,
  answer: Answer,
  options: Options,
): Promise<number> {
  const interruption = new AbortController()
  const interrupt = () => interruption.abort()
  process.on('SIGINT', interrupt)
  const width = terminalWidth()
  const end = await follow({
    cluster: String(request.cluster),
    started: startedOf(answer),
    waitMinutes: Number(options.waitMinutes ?? 10),
    interrupted: interruption.signal,
    ask: (next) => ask(client, next),
    show: (event) => {
      if (!options.json) for (const line of renderEvent(cleaned(event), { width, facts: false })) say(line)
    },
    note: (text) => complain(text),
    sleep: (ms) => delay(ms, undefined, { signal: interruption.signal }).catch(() => undefined),
    monotonicMs: () => performance.now(),
  })
  process.off('SIGINT', interrupt)
  if (end.end === 'done') {
    if (!options.json) say(`done: ${end.message}`)
    return exit.done
  }
  if (end.end === 'refused') {
    for (const reason of end.reasons) complain(reason)
    return exit.refused
  }
  complain(end.reason)
  return exit.unfinished
}

function couldNot(failed: Asked & { kind: 'failed' }, request: Record<string, unknown>): number {
  complain(failed.message)
  complain(`  ${failed.hint}`)
  if (failed.effect === 'unknown' && !isReading(request))
    complain(
      `  it may have been carried out all the same: look at \`understudy status ${request.cluster}\` first`,
    )
  return exit.unreachable
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Wrapped for people; piped elsewhere it stays one line per reason. */
function complain(text: string): void {
  const indent = /^ */.exec(text)?.[0] ?? ''
  const lines = process.stderr.isTTY
    ? wrap(text.trim(), terminalWidth() - indent.length, '  ')
    : [clean(text.trim().replace(/\s*\n\s*/g, ' '))]
  process.stderr.write(`${lines.map((line) => indent + line).join('\n')}\n`)
}
