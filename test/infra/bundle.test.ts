/** The bundle, from small entries: what the real ones hold is theirs to test. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { type FleetDocument, parseConfig } from '../../functions/config.ts'
import { functionTimeoutSeconds } from '../../functions/core/limits.ts'
import { bundleFunctions, functionEntries } from '../../infra/bundle.ts'
import example from '../../understudy.config.ts'

const directory = mkdtempSync(join(tmpdir(), 'understudy-bundle-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const config = parseConfig(example)
const source = (path: string) => JSON.stringify(new URL(`../../${path}`, import.meta.url).pathname)
/** Uses the configuration, and a package in CommonJS that requires modules of Node. */
const entry = (name: string) => `
import pg from ${source('node_modules/pg/lib/index.js')}
import { loadConfig } from ${source('functions/config.ts')}
export const handler = () => ({ name: '${name}', deployment: loadConfig().deployment, client: typeof pg.Client })
`
const entries = Object.fromEntries(
  ['look', 'confirm'].map((name) => {
    const path = join(directory, `${name}.ts`)
    writeFileSync(path, entry(name))
    return [name, path]
  }),
)
const bundle = (outdir: string, document: FleetDocument = config) =>
  bundleFunctions({ config: document, outdir: join(directory, outdir), entries })
const contents = (path: string) =>
  Object.fromEntries(readdirSync(path).map((file) => [file, readFileSync(join(path, file), 'utf8')]))

/** A process of its own: a test runner gives modules a `require` that Lambda does not. */
const node = (script: string) =>
  execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', cwd: tmpdir() })

describe('the bundle', () => {
  test('has an entry per function, shared chunks, and the configuration beside them', async () => {
    const path = await bundle('one')
    const files = readdirSync(path)
    expect(files).toEqual(expect.arrayContaining(['look.mjs', 'confirm.mjs', 'understudy.config.json']))
    expect(files.filter((file) => file.startsWith('chunk-')).length).toBeGreaterThan(0)
    expect(JSON.parse(readFileSync(join(path, 'understudy.config.json'), 'utf8'))).toEqual(config)
  })

  test('runs by itself, away from node_modules', async () => {
    const path = await bundle('two')
    expect(
      JSON.parse(
        node(`
      const { handler } = await import(${JSON.stringify(pathToFileURL(join(path, 'look.mjs')).href)})
      console.log(JSON.stringify(handler()))`),
      ),
    ).toEqual({ name: 'look', deployment: 'understudy', client: 'function' })
  })

  test('is the same, byte for byte, wherever it is written: versions change only with the code', async () => {
    expect(contents(await bundle('three'))).toEqual(contents(await bundle('four')))
  })

  test('leaves nothing of an older bundle behind', async () => {
    const path = await bundle('five')
    writeFileSync(join(path, 'old.mjs'), '')
    await bundle('five', { ...config, deployment: 'other' })
    expect(readdirSync(path)).not.toContain('old.mjs')
    expect(JSON.parse(readFileSync(join(path, 'understudy.config.json'), 'utf8')).deployment).toBe('other')
  })

  test('of the real functions has a handler in each', async () => {
    const path = await bundleFunctions({ config, outdir: join(directory, 'real') })
    const names = Object.keys(functionTimeoutSeconds)
    expect(Object.keys(functionEntries)).toEqual(names)
    const kinds = node(`
      const modules = await Promise.all(${JSON.stringify(names)}.map((name) => import(${JSON.stringify(`${pathToFileURL(path)}/`)} + name + '.mjs')))
      console.log(JSON.stringify(modules.map(({ handler }) => typeof handler)))`)
    expect(JSON.parse(kinds)).toEqual(names.map(() => 'function'))
  })
})
