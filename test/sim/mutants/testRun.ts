/** Runs one test file, with a mutant in the product or without, in a process of its own. */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { rootPath } from './loader.ts'

/** Names of the tests that failed, in order; `broken`: the file did not come to its tests, or did not end. */
export interface TestRun {
  readonly failed: readonly string[]
  readonly passed: number
  readonly broken: string | null
}

interface Report {
  readonly numPassedTests: number
  readonly testResults: readonly {
    readonly message: string
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
  }[]
}

const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')

/** `name`: only tests whose name holds it; null: the whole file, whose tests may build on each other. */
export async function runTest(file: string, mutant: string | null, limitMs: number): Promise<TestRun> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-mutant-'))
  try {
    const output = join(folder, 'report.json')
    const { UNDERSTUDY_MUTANT: _, ...env } = process.env
    const child = spawn(
      process.execPath,
      [
        vitest,
        'run',
        '--config',
        'test/sim/mutants/vitest.config.ts',
        '--reporter=json',
        `--outputFile=${output}`,
        file,
      ],
      { cwd: rootPath, env: mutant === null ? env : { ...env, UNDERSTUDY_MUTANT: mutant }, stdio: 'ignore' },
    )
    const ended = new Promise<boolean>((resolve) => child.on('exit', () => resolve(true)))
    let late: NodeJS.Timeout | undefined
    const isOver = await Promise.race([
      ended,
      new Promise<boolean>((resolve) => {
        late = setTimeout(() => resolve(false), limitMs)
      }),
    ])
    clearTimeout(late)
    if (!isOver) {
      child.kill()
      await ended
      return { failed: [], passed: 0, broken: `it did not end within ${limitMs / 1_000} s` }
    }
    return readReport(JSON.parse(await readFile(output, 'utf8')) as Report)
  } catch (error) {
    return { failed: [], passed: 0, broken: error instanceof Error ? error.message : String(error) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function readReport({ numPassedTests, testResults }: Report): TestRun {
  const tests = testResults.flatMap((each) => each.assertionResults)
  const failed = tests.filter((each) => each.status === 'failed').map((each) => each.fullName)
  const message = testResults.map((each) => each.message).find((each) => each !== '') ?? null
  return {
    failed,
    passed: numPassedTests,
    broken: tests.length === 0 ? (message ?? 'it has no tests') : null,
  }
}
