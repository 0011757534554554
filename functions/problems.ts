/** Turns what zod says of a rejected value into words that a person reads: one line per problem, path first. */
import { z } from 'zod'

type Problem = z.core.$ZodIssue

const words: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  null: 'null',
  undefined: 'nothing',
  NaN: 'not-a-number',
}

/** A choice among fixed words whose problem names what was given (zod's own message does not). */
export function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, {
    error: (issue) =>
      issue.input === undefined
        ? `missing (expected one of ${values.join(', ')})`
        : `expected one of ${values.join(', ')}, got ${shown(issue.input)}`,
  })
}

/** `nodes.b.port: expected a number, got text`; several for one value, in the order of the schema. */
export function problemsOf(error: z.ZodError): string[] {
  return [...new Set(error.issues.flatMap((issue) => worded(issue, [])))]
}

/** A key as part of a path: whatever somebody wrote there, a problem stays one line that can be read. */
export function shownKey(key: PropertyKey): string {
  const text = String(key)
  return /^[\w#.@+-]{1,60}$/.test(text) ? text : JSON.stringify(text.slice(0, 60))
}

function worded(issue: Problem, under: readonly PropertyKey[]): string[] {
  const path = [...under, ...issue.path]
  const at = (keys: readonly PropertyKey[]) => keys.map(shownKey).join('.')
  const say = (text: string) => [path.length === 0 ? text : `${at(path)}: ${text}`]
  switch (issue.code) {
    case 'invalid_type':
      return say(typeProblem(issue.expected, issue.message))
    case 'unrecognized_keys':
      return issue.keys.map((key) => `${at([...path, key])}: unknown, remove it`)
    case 'invalid_union':
      return unionProblem(issue, path, say)
    case 'invalid_value':
      // Choices carry their own words (`oneOf`); what remains are literals.
      return say(
        issue.message.startsWith('Invalid') ? `expected ${issue.values.join(' or ')}` : issue.message,
      )
    case 'too_small':
    case 'too_big':
      return say(sizeProblem(issue, issue.message))
    default:
      return say(issue.message.charAt(0).toLowerCase() + issue.message.slice(1))
  }
}

function typeProblem(expected: string, message: string): string {
  const got = /received (\w+)$/.exec(message)?.[1]
  if (got === undefined && !message.startsWith('Invalid input')) return message
  const wanted = words[expected] ?? expected
  if (got === 'undefined') return `missing (expected ${wanted})`
  // A fraction where a whole number is wanted is "a number" to zod too.
  return expected === 'int' && got === 'number'
    ? 'expected a whole number, got a fraction or one too large'
    : `expected ${wanted}, got ${words[got ?? ''] ?? got}`
}

function sizeProblem(issue: Problem & { code: 'too_small' | 'too_big' }, message: string): string {
  // What a schema says in words of its own is said as it is.
  if (!/^Too (?:small|big)/.test(message)) return message
  if (issue.code === 'too_big') {
    if (issue.origin === 'string') return `longer than ${issue.maximum} characters`
    if (issue.origin === 'array') return `more than ${issue.maximum} entries`
    return `must be at most ${issue.maximum}`
  }
  if (issue.origin === 'string')
    return issue.minimum === 1 ? 'is empty' : `shorter than ${issue.minimum} characters`
  if (issue.origin === 'array') return `fewer than ${issue.minimum} entries`
  return `must be at least ${issue.minimum}`
}

function unionProblem(
  issue: Problem & { code: 'invalid_union' },
  path: readonly PropertyKey[],
  say: (text: string) => string[],
): string[] {
  if (issue.errors.length === 0)
    return say(issue.message.replace('Invalid discriminator value. Expected', 'expected one of'))
  // "This or null": the branch that is not null is the one that the writer meant.
  const branches = issue.errors.map((branch) => branch.flatMap((inner) => worded(inner, path)))
  const meant = branches.filter((branch) => !branch.some((problem) => problem.includes('expected null')))
  return meant.sort((a, b) => a.length - b.length)[0] ?? branches[0] ?? say('not understood')
}

function shown(value: unknown): string {
  return typeof value === 'string'
    ? JSON.stringify(value.slice(0, 60))
    : (words[typeof value] ?? typeof value)
}
