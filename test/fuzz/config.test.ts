/** understudy.config.ts: a document on which everybody can work, or one error that says everything. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ConfigError, configWarnings, type FleetDocument, parseConfig } from '../../functions/config.ts'
import { example, managedExamples } from '../config-samples.ts'
import { anything, at, fuzz, isContainer, isPolluted, mutated, type Path, pathsOf, put } from './support.ts'

const examples = [example, ...Object.values(managedExamples)].map((each) => structuredClone(each) as unknown)

/** The document, or null after the one error; anything else that is thrown fails. */
function parsed(input: unknown): FleetDocument | null {
  try {
    return parseConfig(input)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    expect(error.problems.length).toBeGreaterThan(0)
    for (const problem of error.problems) {
      expect(problem).toMatch(/^\S[^\n]*: \S/)
      expect(problem.length, problem).toBeLessThan(2_000)
    }
    expect(new Set(error.problems).size).toBe(error.problems.length)
    return null
  }
}

function expectUsable(document: FleetDocument): void {
  const text = JSON.stringify(document)
  // It is bundled with the functions as JSON, and read there by the same parser to the same bytes.
  expect(JSON.stringify(parseConfig(JSON.parse(text)))).toBe(text)
  for (const path of pathsOf(document)) {
    expect(at(document, path), path.join('.')).not.toBeUndefined()
  }
  configWarnings(document)
}

test('anything at all is refused by one error with a line for each problem', async () => {
  await fuzz(anything, 150, (input) => expect(parsed(input)).toBeNull())
  expect(isPolluted()).toBe(false)
})

test('a configuration with mistakes is refused by one error, or gives a document that is whole', async () => {
  const input = fc.constantFrom(...examples).chain((each) => mutated(each))
  await fuzz(input, 200, ({ value }) => {
    const document = parsed(value)
    if (document !== null) expectUsable(document)
  })
  expect(isPolluted()).toBe(false)
})

/** Where one value stands, as problems show it: `clusters.orders.nodes[0].port`. */
const shown = (path: Path) =>
  path
    .map((key) => (/^\d+$/.test(String(key)) ? `[${String(key)}]` : `.${String(key)}`))
    .join('')
    .slice(1)

/** Settings of their own, and objects whose fields are known whatever else is wrong. */
function placesOf(config: unknown) {
  const paths = pathsOf(config)
  return {
    // What `mode` makes of a loss can only be judged when it can be read itself.
    settings: paths.filter((path) => !isContainer(at(config, path)) && path.at(-1) !== 'seconds'),
    objects: paths.filter((path) => {
      const value = at(config, path)
      const chosenByAField = ['loss', 'password'].includes(String(path.at(-1)))
      return isContainer(value) && !Array.isArray(value) && shown(path) !== 'clusters' && !chosenByAField
    }),
  }
}

test('F90 independent mistakes are all said, one line each, by their paths', async () => {
  const input = fc.constantFrom(...examples).chain((config) => {
    const { settings, objects } = placesOf(config)
    return fc.record({
      config: fc.constant(config),
      mistyped: fc.subarray(settings, { minLength: 1, maxLength: 6 }),
      unknown: fc.subarray(objects, { maxLength: 3 }),
    })
  })
  await fuzz(input, 80, ({ config, mistyped, unknown }) => {
    const value = structuredClone(config)
    for (const path of unknown) put(value, [...path, 'zzz'], 1)
    for (const path of mistyped) put(value, path, { no: 1 })
    const expected = [...mistyped.map(shown), ...unknown.map((path) => `${shown(path)}.zzz`)]
    let problems: readonly string[] = []
    try {
      parseConfig(value)
    } catch (error) {
      problems = (error as ConfigError).problems
    }
    expect(problems.map((problem) => problem.slice(0, problem.indexOf(': '))).sort()).toEqual(expected.sort())
  })
})

test('no text makes a pattern of the configuration search without end', async () => {
  const text = fc
    .record({
      start: fc.constantFrom('', 'a', 'sg-', '/', 'i-', 'eu-'),
      part: fc.constantFrom('a', '-', 'a-', '.', 'a.', ':', '0:', '_', '/', '{node}', '0', 'a-a', '1.', '@'),
      times: fc.constantFrom(10, 60, 5_000),
      end: fc.constantFrom('', '!', '\n', '-', ':', '.'),
    })
    .map(({ start, part, times, end }) => `${start}${part.repeat(times)}${end}`)
  const input = fc.constantFrom(...examples).chain((config) => {
    const texts = pathsOf(config).filter((path) => typeof at(config, path) === 'string')
    return fc.tuple(fc.constant(config), fc.constantFrom(...texts), text)
  })
  await fuzz(input, 150, ([config, path, long]) => {
    const value = structuredClone(config)
    put(value, path, long)
    parsed(value)
  })
})
