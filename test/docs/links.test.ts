/** Links between pages resolve, alarms have their section, and every id that a test names is explained. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')

const pages = [
  ...readdirSync(root).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(root, 'docs'), { recursive: true })
    .map((name) => join('docs', String(name)))
    .filter((name) => name.endsWith('.md')),
]

/** As GitHub makes anchors of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ +(.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replaceAll(' ', '-'),
  )
}

test.each(pages)('links of %s resolve', (page) => {
  const text = read(page).replace(/^```[\s\S]*?^```/gm, '')
  const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
    if (/^[a-z]+:/.test(target)) return []
    const [path = '', anchor] = target.split('#')
    const file = path === '' ? join(root, page) : resolve(root, dirname(page), path)
    if (!existsSync(file)) return [target]
    const lost = anchor !== undefined && !anchorsOf(readFileSync(file, 'utf8')).includes(anchor)
    return lost ? [target] : []
  })
  expect(broken).toEqual([])
})

test('the runbook has a section for every alarm', () => {
  const names = [...read('infra/alarms.ts').matchAll(/name: ['`]([a-z-]+)(\$\{id\})?['`]/g)].flatMap(
    ([, name = '', perObserver]) => (perObserver ? ['a', 'b', 'c'].map((id) => `${name}${id}`) : [name]),
  )
  expect(names.length).toBeGreaterThan(10)
  const anchors = anchorsOf(read('docs/runbook.md'))
  expect(names.filter((name) => !anchors.includes(name))).toEqual([])
})

test.each([
  ['hazards', /\bH\d\d\b/g],
  ['scenarios', /\bF\d\d\b/g],
] as const)('every id of %s.md that a test names is explained there', (page, pattern) => {
  const tests = readdirSync(join(root, 'test'), { recursive: true })
    .map((name) => join('test', String(name)))
    .filter((name) => /\.(ts|txt)$/.test(name) && statSync(join(root, name)).isFile())
  const named = new Set(tests.flatMap((name) => read(name).match(pattern) ?? []))
  const explained = new Set(read(`docs/${page}.md`).match(pattern) ?? [])
  expect([...named].filter((id) => !explained.has(id)).toSorted()).toEqual([])
})
