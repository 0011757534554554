/** The simulation, in short: the first seeds; and that a seed is a history. The whole of it: `npm run sim`. */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { expect, describe as suite, test } from 'vitest'
import { describe } from './describe.ts'
import type { Outcome } from './run.ts'
import { runSeed } from './run.ts'
import { stories } from './stories/index.ts'

const seeds = Number(process.env.SIM_SEEDS ?? 40)
const first = Number(process.env.SIM_FROM ?? 1)

const told = ({ history, violations }: Outcome) =>
  [...describe(history), ...violations.map((each) => JSON.stringify(each))].join('\n')
const hashOf = ({ history, violations }: Outcome) =>
  createHash('sha256')
    .update(JSON.stringify([history, violations]))
    .digest('hex')

suite('every seed', () => {
  test(`S1 S2 S3 S4 S5 S8 S9 S11 ${seeds} seeds break no rule, and end well`, async () => {
    let failovers = 0
    for (let seed = first; seed < first + seeds; seed++) {
      const outcome = await runSeed(seed)
      failovers += outcome.failovers
      expect(outcome.violations, `npm run sim -- --seed ${seed}\n${told(outcome)}`).toEqual([])
    }
    // Safe by never acting would be no achievement.
    expect(failovers).toBeGreaterThan(seeds)
  }, 120_000)

  test.each(stories.map(({ name }) => name))(
    'the story %s is told twice the same, to the byte',
    async (name) => {
      const [once, again] = [await runSeed(7, { story: name }), await runSeed(7, { story: name })]
      expect(hashOf(again)).toBe(hashOf(once))
    },
  )

  test('another process tells the same', async () => {
    const code = `
      import { createHash } from 'node:crypto'
      const { runSeed } = await import(${JSON.stringify(new URL('./run.ts', import.meta.url).href)})
      const { history, violations } = await runSeed(11, { story: 'random' })
      console.log(createHash('sha256').update(JSON.stringify([history, violations])).digest('hex'))`
    const hash = execFileSync(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      encoding: 'utf8',
    })
    expect(hash.trim()).toBe(hashOf(await runSeed(11, { story: 'random' })))
  })

  test('seeds differ', async () => {
    const [one, other] = [await runSeed(1, { story: 'random' }), await runSeed(2, { story: 'random' })]
    expect(hashOf(one)).not.toBe(hashOf(other))
  })
})

suite('the command', () => {
  const run = (...options: string[]) => {
    const command = fileURLToPath(new URL('./main.ts', import.meta.url))
    try {
      return {
        code: 0,
        text: execFileSync(process.execPath, [command, ...options], { encoding: 'utf8', stdio: 'pipe' }),
      }
    } catch (error) {
      const { status, stdout, stderr } = error as { status: number; stdout: string; stderr: string }
      return { code: status, text: stdout + stderr }
    }
  }

  test('ends with a summary', () => {
    const { code, text } = run('--seeds', '3', '--story', 'succession', '--jobs', '1', '--json')
    expect([code, JSON.parse(text)]).toEqual([
      0,
      expect.objectContaining({ seeds: 3, violations: 0, failovers: expect.any(Number) }),
    ])
  })

  test('tells one seed in words', () => {
    const { text } = run('--seed', '1', '--story', 'succession')
    expect(text).toMatch(/^seed 1, story succession: 3 nodes/)
    expect(text).toMatch(/accepts writes on timeline 2/)
  })

  test.each([
    [['--seeds', 'x'], /--seeds <number>.*must be a whole number/],
    [['--story', 'none'], /--story <name>.*Allowed choices are/],
    [['--blah'], /unknown option '--blah'/],
  ])('%s is one clear error', (options, message) => {
    const { code, text } = run(...options)
    expect([code, text.trim().split('\n').length]).toEqual([1, 1])
    expect(text).toMatch(message)
  })
})
