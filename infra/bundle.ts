/**
 * Bundles the functions: one directory that all of them share, SDK included, with the validated configuration beside
 * the code. The same input gives the same bytes, so that the asset, and with it every published version, changes only
 * when something did.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { FleetDocument } from '../functions/config.ts'
import { functionTimeoutSeconds } from '../functions/core/limits.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Entry points by function name: `functions/<name>.ts` for every function. */
export const functionEntries: Readonly<Record<string, string>> = Object.fromEntries(
  Object.keys(functionTimeoutSeconds).map((name) => [name, join(root, 'functions', `${name}.ts`)]),
)

// Packages in CommonJS call `require` for modules of Node, which a module does not have. The alias keeps clear of names
// in the bundled code.
const banner =
  "import{createRequire as understudyRequire}from'node:module';const require=understudyRequire(import.meta.url);"

/**
 * Writes `<name>.mjs` for each entry, shared chunks and `understudy.config.json` into `outdir`, which is emptied first.
 * Resolves to `outdir`.
 */
export async function bundleFunctions({
  config,
  outdir,
  entries = functionEntries,
}: {
  config: FleetDocument
  outdir: string
  entries?: Readonly<Record<string, string>>
}): Promise<string> {
  rmSync(outdir, { recursive: true, force: true })
  mkdirSync(outdir, { recursive: true })
  await build({
    absWorkingDir: root,
    entryPoints: Object.entries(entries).map(([out, input]) => ({ in: input, out })),
    outdir,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // The ESM side of the SDK's packages is the one that can be shaken.
    mainFields: ['module', 'main'],
    splitting: true,
    minify: true,
    sourcemap: false,
    charset: 'utf8',
    legalComments: 'none',
    outExtension: { '.js': '.mjs' },
    banner: { js: banner },
    logLevel: 'warning',
  })
  writeFileSync(join(outdir, 'understudy.config.json'), `${JSON.stringify(config, null, 2)}\n`)
  return outdir
}
