/**
 * `npm run sim:mutants`: every guard removed, one at a time, must be missed by somebody. First the product as it stands
 * runs all recorded seeds and tests, and has to be clean; then each mutant runs its own seed, and more of its story
 * where that one shows nothing any more. Exit code 1 when a mutant survives.
 */
import { Command, InvalidArgumentError } from 'commander'
import { definition } from '../world/definition.ts'
import { cleanProblems, judgeMutant } from './judge.ts'
import { mutants } from './list.ts'
import type { Mutant } from './mutant.ts'

interface Options {
  readonly only?: string
  readonly seeds: number
  readonly json: boolean
}

/** Two at a time: one for each core of a small machine. */
const atOnce = 2

function count(value: string): number {
  const number = Number(value)
  if (!/^\d+$/.test(value) || number > 1_000_000)
    throw new InvalidArgumentError('It has to be a whole number from 0 to 1000000.')
  return number
}

function known(value: string): string {
  if (mutants.some(({ id }) => id === value)) return value
  throw new InvalidArgumentError('There is no such mutant; docs/mutants.md lists them.')
}

const program = new Command('sim:mutants')
  .description('Removes one guard of the product at a time and tells which seed, or which test, notices.')
  .option('--only <id>', 'this mutant alone', known)
  .option(
    '--seeds <n>',
    'how many more seeds of its story are tried when the recorded one shows nothing',
    count,
    200,
  )
  .option('--json', 'nothing but the summary', false)
  .allowExcessArguments(false)
  .parse()

const { only, seeds, json } = program.opts<Options>()
const wanted = mutants.filter(({ id }) => only === undefined || id === only)
const say = (line: string) => {
  if (!json) console.log(line)
}

async function run(): Promise<boolean> {
  const machine = await definition()
  const problems = await cleanProblems(wanted, machine)
  for (const problem of problems) console.error(`without any mutant: ${problem}`)
  if (problems.length > 0) {
    console.error('The product itself is not clean, so nothing can be said of its mutants: mend that first.')
    summary(wanted)
    return false
  }
  const survived: Mutant[] = []
  const left = [...wanted]
  const work = async () => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const { verdict, by } = await judgeMutant(mutant, machine, seeds)
      if (verdict === 'caught') say(`caught   ${mutant.id}: ${by}`)
      else {
        survived.push(mutant)
        say(`SURVIVED ${mutant.id}: ${by}; it removes: ${mutant.removes}`)
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  summary(survived)
  return survived.length === 0
}

/** The last line; of those that survive their names as well. */
function summary(survived: readonly Mutant[]): void {
  const survivors = survived.map(({ id }) => id).toSorted()
  const caught = wanted.length - survivors.length
  console.log(JSON.stringify({ mutants: wanted.length, caught, survived: survivors.length, survivors }))
}

if (!(await run())) process.exitCode = 1
