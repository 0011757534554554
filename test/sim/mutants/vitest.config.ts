/** The tests' own configuration, with one mutant in the text of the modules: `UNDERSTUDY_MUTANT=<id>`, or none. */
import { relative } from 'node:path'
import { defineConfig, mergeConfig } from 'vitest/config'
import base from '../../../vitest.config.ts'
import { mutants } from './list.ts'
import { rootPath } from './loader.ts'
import { filesOf, mutated } from './mutant.ts'

const wanted = process.env.UNDERSTUDY_MUTANT
const mutant = mutants.find(({ id }) => id === wanted)
if (wanted !== undefined && mutant === undefined) throw new Error(`there is no mutant ${wanted}`)

export default mergeConfig(
  base,
  defineConfig({
    root: rootPath,
    test: { fsModuleCache: false },
    plugins: [
      {
        name: 'mutant',
        enforce: 'pre',
        transform(source: string, id: string) {
          const file = relative(rootPath, id.replace(/\?.*$/, ''))
          return mutant && filesOf(mutant).includes(file) ? mutated(mutant, file, source) : undefined
        },
      },
    ],
  }),
)
