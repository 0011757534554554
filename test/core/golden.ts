/** Compares generated text with a file beside the tests; UPDATE_GOLDEN=1 rewrites the file. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'

export function readText(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8')
}

export function expectGolden(name: string, text: string): void {
  const url = new URL(name, import.meta.url)
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(url, text)
  expect(text).toBe(existsSync(url) ? readFileSync(url, 'utf8') : '')
}
