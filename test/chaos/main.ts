/**
 * `npm run chaos`: real servers, observers and clients in network namespaces of their own, real faults, and a checker
 * of what the clients were told. The last line is one JSON object. See docs/chaos.md.
 */
import { Command, InvalidArgumentError, Option } from 'commander'
import { type Isolation, isolationKinds } from './isolation.ts'
import { type FaultKind, faultKinds } from './plan.ts'
import { runChaos } from './run.ts'

/** Of the process: something did not hold; namespaces can not be made here. */
const exitCodes = { failed: 1, impossible: 3 } as const

const whole = (least: number) => (text: string) => {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < least || text.trim() === '')
    throw new InvalidArgumentError(`It must be a whole number from ${least} on.`)
  return value
}

const someFaults = (text: string): FaultKind[] => {
  const names = text.split(',').map((name) => name.trim())
  const unknown = names.filter((name) => !faultKinds.includes(name as FaultKind))
  if (unknown.length > 0)
    throw new InvalidArgumentError(`Unknown: ${unknown.join(', ')}. There are ${faultKinds.join(', ')}.`)
  return [...new Set(names)] as FaultKind[]
}

interface Options {
  readonly rounds: number
  readonly seed: number
  readonly only?: number
  readonly faults: FaultKind[]
  readonly namespaces?: Isolation['kind']
  readonly keep: boolean
  readonly json: boolean
}

const options = new Command('chaos')
  .description('Real faults on real servers, and a checker of what clients were told.')
  .option('--rounds <n>', 'how many rounds', whole(1), 10)
  .option('--seed <s>', 'what is drawn: the same seed gives the same faults', whole(0), 1)
  .option('--only <round>', 'this round of the seed alone', whole(1))
  .option('--faults <kinds>', `some of ${faultKinds.join(',')}`, someFaults, [...faultKinds])
  .addOption(
    new Option('--namespaces <kind>', "user namespaces, or root's own; default: what works").choices(
      isolationKinds,
    ),
  )
  .option('--keep', "keep the servers' logs even if nothing is wrong", false)
  .option('--json', 'only the JSON object', false)
  .allowExcessArguments(false)
  .parse()
  .opts<Options>()

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort())
const say = options.json ? () => undefined : (text: string) => console.log(text)
const { namespaces, ...rest } = options
const outcome = await runChaos({
  ...rest,
  ...(namespaces ? { namespaces: [namespaces] } : {}),
  say,
  signal: stop.signal,
})
if (outcome.kind === 'impossible') {
  console.error(`chaos: ${outcome.reason}`)
  process.exitCode = exitCodes.impossible
} else {
  console.log(JSON.stringify(outcome.summary))
  if (!outcome.held) process.exitCode = exitCodes.failed
}
