/**
 * A short run as `npm run chaos` makes it: real servers in namespaces, a dead primary and a drawn round, and nothing
 * left of it afterwards.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { findIsolation } from './isolation.ts'
import { isHeld } from './result.ts'
import { runChaos } from './run.ts'

const isolation = await findIsolation()
const why = typeof isolation === 'string' ? ` (skipped: ${isolation})` : ''
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Processes that name a folder, a process of their own each: the argument of the world has it. */
function processesOf(folder: string): string[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8', maxBuffer: 1 << 26 }).split(
    '\n',
  )
  return lines.filter((line) => line.includes(folder))
}

describe.skipIf(why !== '')(`chaos${why}`, () => {
  test('S1 S8 F26 a dead primary and a drawn round: nothing lost, one writer, writable after healing', async () => {
    const outcome = await runChaos({ rounds: 2, seed: 4, faults: ['kill', 'link'], patience: 4 })
    if (outcome.kind !== 'done') throw new Error(outcome.reason)
    const { summary, results } = outcome
    folders.push(summary.folder)
    expect(summary).toMatchObject({ rounds: 2, lost: 0, unexpected: 0, twoWriters: 0, disorder: 0 })
    expect(summary).toMatchObject({ notWritable: 0, notWhole: 0 })
    expect(summary.acknowledged).toBeGreaterThan(0)
    // One of the rounds kills the primary: another node must have taken over, and the clients have noticed.
    expect(summary.failovers).toBeGreaterThan(0)
    expect(summary.outagesMs.length).toBeGreaterThan(0)
    expect(results.map(isHeld)).toEqual([true, true])
    expect(outcome.held).toBe(true)
    expect(readdirSync(summary.folder)).toEqual(
      expect.arrayContaining(['round-0001.jsonl.gz', 'round-0002.jsonl.gz', 'run.json', 'summary.json']),
    )
    expect(JSON.parse(readFileSync(join(summary.folder, 'run.json'), 'utf8'))).toMatchObject({ seed: 4 })
    expect(processesOf(summary.folder)).toEqual([])
  }, 900_000)

  test('a run that is stopped while its servers run ends everything that it started', async () => {
    const stop = new AbortController()
    let folder = ''
    const say = (text: string) => {
      folder ||= /history in (\S+);/.exec(text)?.[1] ?? ''
    }
    const running = runChaos({ rounds: 1, seed: 1, signal: stop.signal, say })
    // Functions speak when the servers and all that is around them have been started.
    const log = () => join(folder, 'functions.log')
    await expect
      .poll(() => folder !== '' && existsSync(log()) && statSync(log()).size > 0, { timeout: 200_000 })
      .toBe(true)
    expect(processesOf(folder)).not.toEqual([])
    stop.abort()
    const outcome = await running
    folders.push(folder)
    expect(outcome).toMatchObject({ kind: 'done', held: false, results: [], summary: { rounds: 0, folder } })
    expect(processesOf(folder)).toEqual([])
  }, 250_000)
})

describe('the command line', () => {
  const main = join(import.meta.dirname, 'main.ts')
  const complaint = (...args: string[]): string => {
    try {
      execFileSync(process.execPath, [main, ...args], { encoding: 'utf8', stdio: 'pipe' })
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: string }
      expect(status).toBe(1)
      return stderr.trim()
    }
    throw new Error('it was accepted')
  }

  test.each([
    [['--rounds', '0'], /--rounds.*whole number from 1 on/],
    [['--rounds', 'many'], /--rounds.*whole number from 1 on/],
    [['--seed', '-1'], /--seed.*whole number from 0 on/],
    [['--faults', 'kill,fire'], /Unknown: fire\. There are kill, freeze, link/],
    [['--round', '1'], /unknown option '--round'/],
    [['more'], /too many arguments/],
  ])('%j is refused in one line', (args, message) => {
    const text = complaint(...args)
    expect(text).toMatch(message)
    expect(text.split('\n').filter((line) => line.startsWith('error:'))).toHaveLength(1)
  })
})
