import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { endpointRows, tablesFile, withTables } from '../../docs/generate-tables.ts'

test('decision-tables.md is what the code decides by; UPDATE_GOLDEN=1 rewrites it', () => {
  const text = readFileSync(tablesFile, 'utf8')
  const fresh = withTables(text)
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(tablesFile, fresh)
  else expect(text).toBe(fresh)
})

test.each([['endpoint.ts', 'D', endpointRows]] as const)(
  'every row of %s is described',
  (file, letter, described) => {
    const source = readFileSync(new URL(`../../functions/core/${file}`, import.meta.url), 'utf8')
    const ids = [...source.matchAll(new RegExp(`'(${letter}\\d+)'`, 'g'))].map((match) => match[1])
    expect(described.map(({ id }) => id).toSorted()).toEqual([...new Set(ids)].toSorted())
  },
)
