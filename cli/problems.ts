/** Everything wrong with what was typed, in one list, before anything is asked of the control plane. */
import { commandSchema, problemsOf } from '../functions/schemas.ts'
import { type CliCommand, number } from './commands.ts'

export interface Typed {
  /** Operands and whatever no option takes. */
  readonly args: readonly string[]
  readonly options: Readonly<Record<string, unknown>>
}

/** The request, or undefined when `problems` got something. */
export function readRequest(
  command: CliCommand,
  typed: Typed,
  by: string,
  problems: string[],
): Record<string, unknown> | undefined {
  const before = problems.length
  const unknown = typed.args.filter((arg) => arg.startsWith('-'))
  const [cluster, ...excess] = typed.args.filter((arg) => !arg.startsWith('-'))
  problems.push(
    ...unknown.map((arg) => `${arg}: unknown option, \`understudy ${command.name} --help\` lists them`),
  )
  // What follows an unknown option may be its value.
  if (unknown.length === 0)
    problems.push(...excess.map((arg) => `${arg}: not expected; put words that belong together in quotes`))
  const swallowed = Object.entries(typed.options).filter(
    ([, value]) => typeof value === 'string' && /^--[a-z]/.test(value),
  )
  problems.push(...swallowed.map(([name]) => `${flag(name)}: needs a value`))
  problems.push(...waitProblems(typed.options))
  const request = withoutUndefined({
    command: command.name,
    cluster,
    ...command.request(typed.options, by),
  })
  const read = commandSchema.safeParse(request)
  const named = read.success ? [] : problemsOf(read.error).map((problem) => labelled(problem))
  problems.push(
    ...named.filter((problem) => !swallowed.some(([name]) => problem.startsWith(`${flag(name)}:`))),
  )
  return problems.length === before ? request : undefined
}

function waitProblems({ waitMinutes }: Typed['options']): string[] {
  if (waitMinutes === undefined) return []
  const value = number(waitMinutes)
  const fits = typeof value === 'number' && value > 0 && value <= 24 * 60
  return fits ? [] : ['--wait-minutes: must be a number above 0, at most 1440']
}

function withoutUndefined(record: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))
}

const flag = (name: string) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** `minutes: missing (…)` as the person typed it: `--minutes: missing (…)`. */
function labelled(problem: string): string {
  const colon = problem.indexOf(':')
  const [name = ''] = problem.slice(0, colon).split('.')
  const rest = problem.slice(colon + 1).trim()
  if (name !== 'cluster') return `${flag(name)}: ${rest}`
  return rest.startsWith('missing')
    ? '<cluster>: missing; `understudy status` lists the clusters'
    : `<cluster>: ${rest}`
}
