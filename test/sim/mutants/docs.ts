/** `node test/sim/mutants/docs.ts` writes the table of docs/mutants.md anew from the list. */
import { readFileSync, writeFileSync } from 'node:fs'
import { mutants } from './list.ts'
import { isByStory, type Mutant } from './mutant.ts'

const begin = '<!-- the table is written by test/sim/mutants/docs.ts -->'

function row({ id, removes, answers, caughtBy }: Mutant): string {
  const by = isByStory(caughtBy)
    ? `story \`${caughtBy.story}\`, seed ${caughtBy.seed}: ${caughtBy.property}`
    : `${caughtBy.test}: ${caughtBy.why}`
  return `| \`${id}\` | ${removes} | ${answers.join(', ')} | ${by} |`.replaceAll(/(?<!\|) \|(?=\|)/g, ' \\|')
}

/** The page with its table as the list has it. */
export function pageOf(text: string): string {
  const [before] = text.split(begin)
  const table = [
    '| mutant | what is removed | answers | caught by |',
    '| --- | --- | --- | --- |',
    ...mutants.map(row),
  ]
  return `${before}${begin}\n\n${table.join('\n')}\n`
}

if (process.argv[1] === import.meta.filename) {
  const page = new URL('../../../docs/mutants.md', import.meta.url)
  writeFileSync(page, pageOf(readFileSync(page, 'utf8')))
}
