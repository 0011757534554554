/** Every scenario and every hazard that the docs list is in the name of a test, so that what they say stays tried. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')

/** Strings of a test file, where the names of tests and the rows of their tables are; comments carry no name. */
function stringsOf(text: string): string {
  const bare = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
  const strings = bare.match(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g) ?? []
  return strings.join('\n').replaceAll("\\'", "'")
}

const names = readdirSync(join(root, 'test'), { recursive: true })
  .map(String)
  .filter((name) => name !== join('docs', 'coverage.test.ts'))
  .map((name) => {
    const read = () => readFileSync(join(root, 'test', name), 'utf8')
    if (name.endsWith('.test.ts')) return stringsOf(read())
    // Scenarios as text: their titles are names of tests.
    return name.endsWith('.txt') ? (read().match(/^# .*$/gm) ?? []).join('\n') : ''
  })
  .join('\n')
const named = new Set(names.match(/\b[FH]\d\db?\b/g) ?? [])

const page = (name: string) => readFileSync(join(root, 'docs', name), 'utf8')
/** First column of the list. */
const listed = (name: string) => [...page(name).matchAll(/^\| ([FH]\d\db?) +\|/gm)].map(([, id = '']) => id)

test.each([
  ['scenarios.md', 56],
  ['hazards.md', 31],
])('each id of %s is in the name of at least one test', (list, least) => {
  const ids = listed(list)
  expect(ids.length).toBeGreaterThanOrEqual(least)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids.filter((id) => !named.has(id))).toEqual([])
})

test('no hazard is left out of the list: H01 to H30, and H03b', () => {
  const all = Array.from({ length: 30 }, (_, index) => `H${String(index + 1).padStart(2, '0')}`)
  expect([...all, 'H03b'].filter((id) => !listed('hazards.md').includes(id))).toEqual([])
})

test('each hazard has parts, and each part names a test that there is', () => {
  const rows = [...page('hazards.md').matchAll(/^\| (H\d\db?)\.\d +\|[^|]+\| `(.+?)` +\|$/gm)]
  const parts = rows.map(([, hazard = '', words = '']) => ({ hazard, words }))
  expect(parts.length).toBeGreaterThanOrEqual(61)
  expect(listed('hazards.md').filter((id) => !parts.some(({ hazard }) => hazard === id))).toEqual([])
  expect(parts.filter(({ words }) => !names.includes(words))).toEqual([])
})
