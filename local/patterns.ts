/**
 * Event patterns as EventBridge rules and Lambda's event filters share them: a pattern is an object that mirrors the
 * event; each leaf is a list of alternatives. Understood: exact values, `exists`, `prefix`, `suffix`,
 * `equals-ignore-case`, `anything-but` (exact values) and `$or`. Anything else throws when the stack starts, so that
 * a rule that would silently never match here cannot pass for tested.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
 */
type Json = unknown
type Leaf = (value: Json) => boolean

/** Compiled form of a pattern. */
export type Matcher = (event: Json) => boolean

export function compilePattern(pattern: Json): Matcher {
  if (!isObject(pattern)) throw new Error(`an event pattern must be an object: ${JSON.stringify(pattern)}`)
  const parts = Object.entries(pattern).map(([key, inner]): Matcher => {
    if (key === '$or') {
      const alternatives = (inner as Json[]).map(compilePattern)
      return (event) => alternatives.some((matches) => matches(event))
    }
    const matches = Array.isArray(inner) ? compileLeaf(inner) : eachElement(compilePattern(inner))
    return (event) => matches(isObject(event) ? event[key] : undefined)
  })
  return (event) => parts.every((matches) => matches(event))
}

/** An array in the event matches when one of its elements does. */
function eachElement(matches: Matcher): Matcher {
  return (value) => (Array.isArray(value) ? value.some(matches) : matches(value))
}

function compileLeaf(alternatives: Json[]): Matcher {
  const leaves = alternatives.map(compileAlternative)
  return (value) => {
    const values = Array.isArray(value) ? value : [value]
    return leaves.some((leaf) => values.some(leaf))
  }
}

function compileAlternative(alternative: Json): Leaf {
  if (!isObject(alternative)) return (value) => value === alternative
  const [operator, operand] = Object.entries(alternative)[0] ?? ['', undefined]
  switch (operator) {
    case 'exists':
      // Only leaves exist: an object at this place does not count, as on AWS.
      return (value) => (value !== undefined && !isObject(value)) === operand
    case 'prefix':
      return (value) => typeof value === 'string' && value.startsWith(String(operand))
    case 'suffix':
      return (value) => typeof value === 'string' && value.endsWith(String(operand))
    case 'equals-ignore-case':
      return (value) => typeof value === 'string' && value.toLowerCase() === String(operand).toLowerCase()
    case 'anything-but': {
      const forbidden = Array.isArray(operand) ? operand : [operand]
      if (forbidden.some(isObject)) break
      return (value) => value !== undefined && !forbidden.includes(value)
    }
  }
  throw new Error(`event pattern operator is not understood locally: ${JSON.stringify(alternative)}`)
}

function isObject(value: Json): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
