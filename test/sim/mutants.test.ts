/** The list of mutants fits the product as it stands, leaves no rule and no hazard out, and bites. */
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { describe, expect, test } from 'vitest'
import { judgeMutant } from './mutants/judge.ts'
import { mutants } from './mutants/list.ts'
import { sourceOf } from './mutants/loader.ts'
import { filesOf, isByStory, type Mutant, mutated } from './mutants/mutant.ts'
import { stories } from './stories/index.ts'
import { definition } from './world/definition.ts'

const numbered = (letter: string, most: number, digits: number) =>
  Array.from({ length: most }, (_, index) => `${letter}${String(index + 1).padStart(digits, '0')}`)

describe('the list', () => {
  test.each(mutants.map((mutant) => [mutant.id, mutant] as const))(
    '%s fits the text that stands there',
    (_, mutant) => {
      for (const file of filesOf(mutant)) {
        const source = sourceOf(file)
        const text = mutated(mutant, file, source)
        expect(text).not.toBe(source)
        expect(() => stripTypeScriptTypes(text)).not.toThrow()
      }
    },
  )

  test('has each id once, and what catches each is there', () => {
    const ids = mutants.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const known = stories.map(({ name }) => name)
    for (const { id, caughtBy } of mutants) {
      if (isByStory(caughtBy)) expect(known, id).toContain(caughtBy.story)
      // Names that a table fills in are whole only when the test runs.
      else expect(sourceOf(caughtBy.test).replaceAll('%s', ''), id).toContain(caughtBy.name.slice(0, 24))
    }
  })

  test.each([
    ['rules S1 to S14', numbered('S', 14, 1)],
    ['hazards H01 to H30', numbered('H', 30, 2)],
  ])('covers the %s', (_, wanted) => {
    const answered = new Set(mutants.flatMap(({ answers }) => answers))
    expect(wanted.filter((each) => !answered.has(each))).toEqual([])
  })

  test('a text that is not there exactly once is an error that names the mutant and the file', () => {
    const [mutant] = mutants as readonly [Mutant]
    const [edit] = mutant.edits
    expect(() => mutated(mutant, edit.file, 'something else')).toThrow(
      new RegExp(`mutant ${mutant.id}: the text to find occurs 0 times in ${edit.file}`),
    )
    expect(() => mutated(mutant, edit.file, edit.find + edit.find)).toThrow(/occurs 2 times/)
  })

  test('documentation has a row for each', () => {
    const page = readFileSync(new URL('../../docs/mutants.md', import.meta.url), 'utf8')
    expect(mutants.filter(({ id }) => !page.includes(`\`${id}\``)).map(({ id }) => id)).toEqual([])
  })
})

/** A handful, over rules and stories; all of them run in `npm run sim:mutants`. */
const sample = [
  'target-is-no-possible-writer',
  'act-without-a-look-at-the-claim',
  'claim-id-of-the-execution',
  'write-stop-not-recorded-before',
  'confirm-believes-the-reports',
  'enough-standbys-need-not-be-measured',
  'no-hold',
  'a-pause-is-not-heeded',
]

test('a handful of mutants is caught by the recorded seeds', async () => {
  const machine = await definition()
  const judge = async (id: string) => {
    const mutant = mutants.find((each) => each.id === id)
    return [id, mutant && (await judgeMutant(mutant, machine, 0))]
  }
  const half = sample.length / 2
  const [some, others] = await Promise.all(
    [sample.slice(0, half), sample.slice(half)].map(async (ids) => {
      const judged = []
      for (const id of ids) judged.push(await judge(id))
      return judged
    }),
  )
  const caught = expect.objectContaining({ verdict: 'caught' })
  expect([...(some ?? []), ...(others ?? [])]).toEqual(sample.map((id) => [id, caught]))
}, 240_000)
