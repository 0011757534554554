/** The CLI: whatever is typed and whatever is answered, one of the documented exit codes, and nothing asked by mistake. */
import '../steps/model/quiet.ts'
import * as fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { cliCommands } from '../../cli/commands.ts'
import { main } from '../../cli/main.ts'
import type { CommandAnswer } from '../../functions/aws/commandClient.ts'
import { commandSchema } from '../../functions/schemas.ts'
import { adopted } from '../steps/support.ts'
import { anything, fuzz, mutated } from './support.ts'

const control = vi.hoisted(() => ({
  asked: [] as Record<string, unknown>[],
  answer: (_request: Record<string, unknown>): unknown => undefined,
}))
vi.mock('../../functions/aws/commandClient.ts', () => ({
  createCommandClient: () => ({
    ask: async (request: Record<string, unknown>): Promise<CommandAnswer> => {
      control.asked.push(request)
      return { kind: 'answered', result: control.answer(request) }
    },
    close: () => undefined,
  }),
}))

const said = { stdout: '', stderr: '' }
const environment = { ...process.env }
let answers: Record<string, unknown>[]

beforeAll(async () => {
  const { world, machine } = await adopted()
  const ask = async (event: Record<string, unknown>) =>
    JSON.parse(JSON.stringify(await world.time.run(machine.command(event)))) as Record<string, unknown>
  answers = [
    await ask({ command: 'status' }),
    await ask({ command: 'explain', cluster: 'orders', limit: 20 }),
    { outcome: 'refused', reasons: ['orders is paused'] },
  ]
})
beforeEach(() => {
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      said[name] += String(text)
      return true
    })
})
afterAll(() => {
  vi.restoreAllMocks()
  process.env = environment
})

async function run(argv: readonly string[]): Promise<number> {
  said.stdout = ''
  said.stderr = ''
  control.asked.length = 0
  try {
    return await main(argv)
  } finally {
    process.stdout.removeAllListeners('error')
    process.env = { ...environment }
  }
}

const flags = cliCommands.flatMap(({ options }) =>
  options.map(({ flags: each }) => each.split(' ')[0] as string),
)
const word = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...cliCommands.map(({ name }) => name)) },
  { weight: 4, arbitrary: fc.constantFrom(...flags) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('--deployment', '--region', '--profile', '--local', '--json', '--by', '--'),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom('orders', 'b', '7', '30', '-1', '1e3', '0x10', ' ', '', 'anna', 'planned'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '--mintues',
      '-x',
      '--reason=',
      '--to=',
      '--unfenced',
      '--no-wait=1',
      '-',
      '--__proto__',
      '--constructor',
      '--by=\u001b[31m',
    ),
  },
  { weight: 1, arbitrary: fc.string() },
)

test('what is typed is asked as it is meant, or not at all', async () => {
  control.answer = () => ({ outcome: 'refused', reasons: ['no'] })
  const command = fc.constantFrom(...cliCommands)
  const typed = fc.oneof(
    fc.array(word, { maxLength: 9 }),
    // A good line with a word put in, or taken out.
    fc.tuple(command, fc.nat(), fc.option(word)).map(([{ example }, where, put]) => {
      const words = (example.match(/"[^"]*"|\S+/g) ?? []).slice(1).map((each) => each.replaceAll('"', ''))
      return words.toSpliced(where % (words.length + 1), put === null ? 1 : 0, ...(put === null ? [] : [put]))
    }),
  )
  await fuzz(typed, 120, async (argv) => {
    const code = await run(argv)
    expect([0, 1, 2], said.stderr).toContain(code)
    if (code === 1) {
      expect(control.asked).toHaveLength(1)
      expect(commandSchema.safeParse(control.asked[0]).error).toBeUndefined()
    } else expect(control.asked).toEqual([])
    if (code === 2) expect(said.stderr.trim()).not.toBe('')
    if (code === 0) expect(said.stdout).toContain('Usage:')
    expect(said.stderr).not.toMatch(/\n\s+at .*:\d+:\d+/)
  })
})

/** What a terminal would obey, but for ends of lines. Nothing is coloured here: stdout is no terminal. */
const obeyed = (text: string) => /\p{Cc}/u.exec(text.replaceAll('\n', ''))?.[0]

test('whatever is answered, one exit code, no stack trace, and no word to the terminal', async () => {
  const hostileText = fc.constantFrom(
    '\u001b[2J',
    '\u001b]0;x\u0007',
    'a\rb',
    '\u0007',
    '\u009b31m',
    '\u202e',
    'x'.repeat(9_000),
    null,
    -1,
    {},
    [],
  )
  const answer = fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .nat()
        .chain((n) => mutated(answers[n % answers.length], { odd: hostileText }).map(({ value }) => value)),
    },
    { weight: 1, arbitrary: anything },
  )
  const lines: fc.Arbitrary<readonly string[]> = fc.constantFrom(
    ['status', 'orders'],
    ['status'],
    ['explain', 'orders', '--facts'],
    ['explain', 'orders', '--json'],
  )
  await fuzz(fc.tuple(answer, lines), 80, async ([result, argv]) => {
    control.answer = () => result
    const code = await run(argv)
    expect([0, 1, 3]).toContain(code)
    expect(said.stderr).not.toMatch(/\n\s+at .*:\d+:\d+/)
    // JSON is for machines, and shows these by itself but for those above 126.
    if (!argv.includes('--json')) expect(obeyed(said.stdout), JSON.stringify(said.stdout)).toBeUndefined()
    expect(obeyed(said.stderr), JSON.stringify(said.stderr)).toBeUndefined()
  })
})
