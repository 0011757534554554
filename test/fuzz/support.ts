/**
 * What all fuzzed surfaces share: how often and from which seed (`FUZZ_RUNS` multiplies, `FUZZ_SEED` changes), hostile
 * values, and valid inputs with one to three mistakes in them, which get further than noise does.
 */
import * as fc from 'fast-check'

const setting = (name: string, fallback: number): number => {
  const value = Number(process.env[name] ?? fallback)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name} must be a whole number above 0`)
  return value
}
const runs = setting('FUZZ_RUNS', 1)
const seed = setting('FUZZ_SEED', 20_240_229)

/** Holds `predicate` against `times` inputs. A failure prints its seed, its path and the smallest input that fails. */
export async function fuzz<T>(
  input: fc.Arbitrary<T>,
  times: number,
  predicate: (value: T) => unknown,
): Promise<void> {
  const property = fc.asyncProperty(input, async (value) => {
    await predicate(value)
  })
  await fc.assert(property, { seed, numRuns: times * runs })
}

/** Nested deeper than anything of ours, and no deeper than `JSON` goes. */
const deep = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)

/** What people and broken programs put where something else belongs. Fresh each time: nothing is shared. */
const oddities: readonly (() => unknown)[] = [
  ...[null, '', ' ', 'NaN', '1e400', '-0', 'null', 'true', '__proto__', 'constructor', '\u0000'],
  ...['\ud800', '\u202e', 'x'.repeat(5_000), '$(reboot)', "'; select pg_promote(); --", '../../etc/passwd'],
  ...[-0, 0, 1, -1, 0.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e300, Number.POSITIVE_INFINITY, true, false],
].map((value) => () => value)
const structures: readonly (() => unknown)[] = [
  () => [],
  () => ({}),
  () => [null],
  () => deep(200),
  () => JSON.parse('{"__proto__":{"polluted":true}}'),
  () => JSON.parse('{"constructor":{"prototype":{"polluted":true}}}'),
  () => Array.from({ length: 500 }, (_, index) => index),
]

/** One value that does not belong. */
export const hostile: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...oddities, ...structures).map((make) => make()) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  { weight: 1, arbitrary: fc.double() },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
)

/** Any value at all, dates, maps and lone surrogates included. */
export const anything = fc.oneof(
  hostile,
  fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSet: true }),
)

export type Path = readonly PropertyKey[]
type Container = Record<PropertyKey, unknown>

export const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null

/** Paths of everything inside, in order. */
export function pathsOf(value: unknown, path: Path = []): Path[] {
  if (!isContainer(value)) return []
  return Object.keys(value).flatMap((key) => [[...path, key], ...pathsOf(value[key], [...path, key])])
}

export const at = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((inner, key) => (isContainer(inner) ? inner[key] : undefined), value)

export function put(value: unknown, path: Path, wanted: unknown): void {
  ;(at(value, path.slice(0, -1)) as Container)[path.at(-1) as PropertyKey] = wanted
}

export type Mistake = 'drop' | 'retype' | 'enlarge' | 'rename' | 'swap' | 'add'

export interface Mutated {
  readonly value: unknown
  /** What was done to it, for the message of a failure. */
  readonly mistakes: readonly string[]
}

interface Choice {
  readonly kind: Mistake
  readonly where: number
  readonly other: number
  readonly odd: unknown
}

/** A valid value with one to three mistakes. */
export function mutated(
  valid: unknown,
  options: { most?: number; odd?: fc.Arbitrary<unknown>; kinds?: readonly Mistake[] } = {},
): fc.Arbitrary<Mutated> {
  const kinds = options.kinds ?? ['drop', 'retype', 'retype', 'retype', 'enlarge', 'rename', 'swap', 'add']
  const choice = fc.record({
    kind: fc.constantFrom(...kinds),
    where: fc.nat(),
    other: fc.nat(),
    odd: options.odd ?? hostile,
  })
  return fc.array(choice, { minLength: 1, maxLength: options.most ?? 3 }).map((choices) => {
    // Plain, and without parts that stand in two places.
    const value: unknown = JSON.parse(JSON.stringify(valid))
    return { value, mistakes: choices.map((each) => mutate(value, each)) }
  })
}

function mutate(value: unknown, { kind, where, other, odd }: Choice): string {
  const paths = pathsOf(value)
  const path = paths[where % Math.max(1, paths.length)]
  if (path === undefined) return 'nothing'
  const key = path.at(-1) as PropertyKey
  const parent = at(value, path.slice(0, -1)) as Container
  const said = `${kind} ${path.map(String).join('.')}`
  switch (kind) {
    case 'drop':
      if (Array.isArray(parent)) parent.splice(Number(key), 1)
      else delete parent[key]
      return said
    case 'retype':
      parent[key] = structuredClone(odd)
      return `${said} ${JSON.stringify(odd)?.slice(0, 60)}`
    case 'enlarge':
      parent[key] = enlarged(parent[key])
      return said
    case 'rename': {
      if (Array.isArray(parent)) return 'nothing'
      const inner = parent[key]
      delete parent[key]
      parent[`${String(key)}_`] = inner
      return said
    }
    case 'swap': {
      const second = paths[other % paths.length] as Path
      const holder = at(value, second.slice(0, -1)) as Container
      const secondKey = second.at(-1) as PropertyKey
      // Nothing is put into itself.
      const nested = [path, second].some((one) =>
        [path, second].every((each) => one.every((k, i) => each[i] === k)),
      )
      if (nested) return 'nothing'
      const kept = parent[key]
      parent[key] = holder[secondKey]
      holder[secondKey] = kept
      return `${said} with ${second.map(String).join('.')}`
    }
    case 'add': {
      const holder = isContainer(parent[key]) ? (parent[key] as Container) : parent
      if (Array.isArray(holder)) holder.push(structuredClone(odd))
      else holder.unknownField = structuredClone(odd)
      return said
    }
  }
}

function enlarged(value: unknown): unknown {
  if (typeof value === 'string') return value.repeat(200)
  if (typeof value === 'number') return value * 2 ** 60 + 1
  if (Array.isArray(value)) return Array.from({ length: 50 }, () => structuredClone(value)).flat()
  if (isContainer(value))
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, inner]) => [
        [key, inner],
        [`${key}2`, structuredClone(inner)],
      ]),
    )
  return value
}

/** Nothing that was read may have reached `Object.prototype`. */
export const isPolluted = (): boolean => 'polluted' in {}
