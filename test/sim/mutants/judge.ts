/** Whether a mutant is caught, and that what catches it is clean without it. */
import { fork } from 'node:child_process'
import { type CaughtByStory, type CaughtByTest, isByStory, type Mutant } from './mutant.ts'
import { runTest } from './testRun.ts'
import type { Order, Told } from './worker.ts'

export interface Judgement {
  readonly verdict: 'caught' | 'survived'
  /** By what, or what was tried, in words. */
  readonly by: string
}

/** One seed takes a fraction of a second; a mutant may make a run go round for ever. */
const seedLimitMs = 60_000
const testLimitMs = 240_000

type Ran = Extract<Told, { kind: 'ran' }>

interface Worked {
  readonly ran: readonly Ran[]
  /** Why there is no more of it; null: it came to its end. */
  readonly broken: string | null
}

/** Runs what is ordered in a process of its own, which is ended when one seed takes too long. */
function inProcess(order: Order): Promise<Worked> {
  const child = fork(new URL('./worker.ts', import.meta.url), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  const ran: Ran[] = []
  return new Promise((resolve) => {
    let broken: string | null = 'the process ended by itself'
    let errors = ''
    let late: NodeJS.Timeout | undefined
    const watch = () => {
      clearTimeout(late)
      late = setTimeout(() => {
        broken = `a seed did not end within ${seedLimitMs / 1_000} s`
        child.kill('SIGKILL')
      }, seedLimitMs)
    }
    watch()
    child.stderr?.on('data', (chunk) => {
      errors = (errors + chunk).slice(-2_000)
    })
    child.on('message', (told: Told) => {
      watch()
      if (told.kind === 'ran') ran.push(told)
      else broken = told.kind === 'over' ? null : told.message
    })
    child.on('exit', () => {
      clearTimeout(late)
      resolve({ ran, broken: broken === null ? null : [broken, errors.trim()].filter(Boolean).join(': ') })
    })
    child.send(order)
  })
}

const unique = <T>(values: readonly T[], key: (value: T) => string): T[] => [
  ...new Map(values.map((value) => [key(value), value])).values(),
]

const clean = (definition: unknown, runs: Order['runs']): Order => ({
  ...{ mutant: null, definition, runs },
  untilCaught: false,
})

/** What is wrong with the product as it stands, in words: violations of the recorded seeds, tests that fail. */
export async function cleanProblems(mutants: readonly Mutant[], definition: unknown): Promise<string[]> {
  const caughtBy = mutants.map((each) => each.caughtBy)
  const runs = unique(caughtBy.filter(isByStory), ({ story, seed }) => `${story} ${seed}`)
  const files = unique(
    caughtBy.flatMap((each) => (isByStory(each) ? [] : [each.test])),
    (file) => file,
  )
  const problems = runs.length > 0 ? problemsOf(await inProcess(clean(definition, runs))) : []
  for (const file of files) {
    const { failed, broken } = await runTest(file, null, testLimitMs)
    problems.push(...failed.map((name) => `${file}: ${name}`), ...(broken ? [`${file}: ${broken}`] : []))
  }
  return problems
}

function problemsOf({ ran, broken }: Worked): string[] {
  return [
    ...ran.flatMap(({ story, seed, violations, crashed }) => [
      ...violations.map(({ property, message }) => `story ${story}, seed ${seed}: ${property}: ${message}`),
      ...(crashed === null ? [] : [`story ${story}, seed ${seed}: ${crashed}`]),
    ]),
    ...(broken === null ? [] : [broken]),
  ]
}

/** `definition`: the state machine as synthesised; `moreSeeds`: how many of its story are tried behind the recorded one. */
export function judgeMutant(mutant: Mutant, definition: unknown, moreSeeds: number): Promise<Judgement> {
  const { caughtBy } = mutant
  return isByStory(caughtBy) ? byStory(mutant, caughtBy, definition, moreSeeds) : byTest(mutant, caughtBy)
}

async function byStory(
  { id }: Mutant,
  { story, seed, property }: CaughtByStory,
  definition: unknown,
  moreSeeds: number,
): Promise<Judgement> {
  const search = (seeds: readonly number[]) =>
    inProcess({
      mutant: id,
      definition,
      runs: seeds.map((each) => ({ story, seed: each })),
      untilCaught: true,
    })
  const first = await search([seed])
  const found = catching(first)
  if (found) {
    const others = found.violations[0]?.property === property ? '' : ` (recorded is: ${property})`
    return {
      verdict: 'caught',
      by: `story ${story}, seed ${seed}: ${found.violations[0]?.property}${others}`,
    }
  }
  const more = await search(Array.from({ length: moreSeeds }, (_, index) => index + 1))
  const now = catching(more)
  const tried = `story ${story}, seed ${seed} and ${more.ran.length} more`
  if (now === undefined) return { verdict: 'survived', by: [tried, ...asides([first, more])].join('; ') }
  const problems = problemsOf(await inProcess(clean(definition, [{ story, seed: now.seed }])))
  if (problems.length > 0)
    return { verdict: 'survived', by: `seed ${now.seed} of ${story} is not clean without it: ${problems[0]}` }
  return {
    verdict: 'caught',
    by: `story ${story}, seed ${now.seed}: ${now.violations[0]?.property}; the recorded seed ${seed} shows nothing any more, so record this one`,
  }
}

const catching = ({ ran }: Worked) => ran.find(({ violations }) => violations.length > 0)

/** A run that hangs or throws says nothing about the property that the guard keeps. */
function asides(worked: readonly Worked[]): string[] {
  const crashes = worked.flatMap(({ ran }) => ran.flatMap(({ crashed }) => crashed ?? []))
  const broken = worked.flatMap((each) => each.broken ?? [])
  return [
    ...(crashes.length > 0
      ? [`${crashes.length} runs ended with an error, which catches nothing: ${crashes[0]?.split('\n')[0]}`]
      : []),
    ...broken.map((each) => `not counted: ${each}`),
  ]
}

async function byTest(mutant: Mutant, { test, name }: CaughtByTest): Promise<Judgement> {
  const { failed, broken } = await runTest(test, mutant.id, testLimitMs)
  const found = failed.find((each) => each.includes(name))
  if (found !== undefined) return { verdict: 'caught', by: `${test}: ${found}` }
  const instead = failed.length > 0 ? `; others failed: ${failed.slice(0, 3).join(', ')}` : ''
  return { verdict: 'survived', by: `${test}: ${broken ?? `"${name}" passes`}${instead}` }
}
