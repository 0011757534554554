/**
 * Applies a mutant while the modules of this thread load: its text goes in before Node strips the types, nothing is
 * written to disk. Everything that is to be mutated has to be imported afterwards, dynamically.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { filesOf, type Mutant, mutated } from './mutant.ts'

const root = new URL('../../../', import.meta.url)

/** The source of a file of the repository, as it stands. */
export function sourceOf(file: string): string {
  return readFileSync(new URL(file, root), 'utf8')
}

/** Throws at once when a text to find is not there exactly once. `loaded` tells which of its files were imported. */
export function applyMutant(mutant: Mutant): { loaded: ReadonlySet<string> } {
  const texts = new Map(
    filesOf(mutant).map((file) => [
      new URL(file, root).href,
      { file, text: mutated(mutant, file, sourceOf(file)) },
    ]),
  )
  const loaded = new Set<string>()
  registerHooks({
    load(url, context, nextLoad) {
      const mine = texts.get(url)
      const answer = nextLoad(url, context)
      if (mine === undefined) return answer
      loaded.add(mine.file)
      return { ...answer, source: mine.text }
    },
  })
  return { loaded }
}

export const rootPath = fileURLToPath(root)
