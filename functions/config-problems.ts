/** Says what is wrong with a configuration: path, problem, what to do; never a value that could be secret. */
import { z } from 'zod'
import { problemsOf, shownKey } from './problems.ts'

/** All problems of a configuration in one error. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** One line each: `clusters.orders.nodes[0].port: expected a number, got text. TCP port of the server.` */
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`
    super(`The configuration has ${count}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`)
    this.problems = problems
  }
}

/** `clusterKeys`: ids of the clusters when they were given by id, to show paths as the person wrote them. */
export function shapeProblems(
  schema: z.ZodType,
  error: z.ZodError,
  clusterKeys: readonly string[] | null,
): string[] {
  // A text has a length too, so zod counts it when it should have been a list.
  const mistyped = new Set(
    error.issues.filter((issue) => issue.code === 'invalid_type').map((issue) => JSON.stringify(issue.path)),
  )
  const issues = error.issues.filter(
    (issue) => issue.code === 'invalid_type' || !mistyped.has(JSON.stringify(issue.path)),
  )
  return [...new Set(issues.flatMap((issue) => worded(schema, issue, clusterKeys)))]
}

function worded(schema: z.ZodType, issue: z.core.$ZodIssue, clusterKeys: readonly string[] | null): string[] {
  const at = (path: readonly PropertyKey[]) => shownPath(path, clusterKeys)
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map(
      (key) => `${at([...issue.path, key])}: unknown. ${hint(key, keysAt(schema, issue.path))}`,
    )
  // A rule's own words say what to do already.
  if (issue.code === 'custom') return [`${at(issue.path)}: ${issue.message}`]
  const todo = descriptionAt(schema, issue.path)
  const [text = 'not understood'] = problemsOf(new z.ZodError([{ ...issue, path: [] }]))
  return [`${at(issue.path)}: ${text}.${todo === undefined ? '' : ` ${todo}.`}`]
}

/** `clusters.orders.nodes[0].port`. */
function shownPath(path: readonly PropertyKey[], clusterKeys: readonly string[] | null): string {
  if (path.length === 0) return 'configuration'
  return path.reduce<string>((text, part, index) => {
    const key =
      index === 1 && path[0] === 'clusters' && typeof part === 'number' ? clusterKeys?.[part] : undefined
    if (key !== undefined) return `${text}.${shownKey(key)}`
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? shownKey(part) : `${text}.${shownKey(part)}`
  }, '')
}

function hint(written: string, known: readonly string[]): string {
  const key = written.slice(0, 60)
  const [nearest] = known
    .map((name) => ({ name, distance: editDistance(key.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(name.length / 3)))
    .sort((a, b) => a.distance - b.distance)
  return nearest === undefined
    ? `Remove it; known here: ${known.join(', ')}.`
    : `Did you mean ${nearest.name}?`
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, left] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, right] of [...b].entries())
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (left === right ? 0 : 1)))
    row = next
  }
  return row[b.length] ?? 0
}

// ---------------------------------------------------------------------------------------------------------------
// The schema at a path

/** The schemas that a value at this path is checked by, outermost first; several where a union branches. */
function schemasAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType[] {
  const inner = innerSchemas(schema)
  if (inner.length > 0) {
    const here = path.length === 0 ? [schema] : []
    return [...here, ...inner.flatMap((one) => schemasAt(one, path))]
  }
  const [key, ...rest] = path
  if (key === undefined) return [schema]
  if (schema instanceof z.ZodArray) return schemasAt(schema.element, rest)
  const child = schema instanceof z.ZodObject ? schema.shape[String(key)] : undefined
  return child === undefined ? [] : schemasAt(child, rest)
}

function innerSchemas(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return [schema.def.innerType]
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return [schema.def.innerType]
  if (schema instanceof z.ZodUnion) return schema.options
  return []
}

function descriptionAt(schema: z.ZodType, path: readonly PropertyKey[]): string | undefined {
  return schemasAt(schema, path)
    .map((found) => z.globalRegistry.get(found)?.description)
    .find((description) => description !== undefined)
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const keys = schemasAt(schema, path).flatMap((found) =>
    found instanceof z.ZodObject ? Object.keys(found.shape) : [],
  )
  return [...new Set(keys)]
}
