/** The state machine as the CDK app synthesises it: the very definition that a deploy would upload. */
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseConfig } from '../../../functions/config.ts'
import example from '../../../understudy.config.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** As `synthesisedDefinition`, kept for as long as nothing that it is made of changes. */
export async function definition(): Promise<unknown> {
  const sources = readdirSync(join(root, 'infra')).map((file) => join('infra', file))
  const hash = createHash('sha256')
  for (const file of [...sources, 'functions/core/limits.ts', 'local/template.ts'].sort())
    if (file.endsWith('.ts')) hash.update(`${file}\n`).update(readFileSync(join(root, file)))
  const folder = join(root, 'node_modules', '.cache', 'understudy-sim')
  const kept = join(folder, `${hash.digest('hex').slice(0, 32)}.json`)
  try {
    return JSON.parse(readFileSync(kept, 'utf8'))
  } catch {
    const made = await synthesisedDefinition()
    mkdirSync(folder, { recursive: true })
    writeFileSync(kept, JSON.stringify(made))
    return made
  }
}

/** Takes some seconds. What is not looked at here, such as the code of the functions, stands empty. */
export async function synthesisedDefinition(): Promise<unknown> {
  // Slow to load, and only who starts the workers needs it.
  const [{ createApp }, { readAssembly }, { resolveAssembly }, { readDeployment }] = await Promise.all([
    import('../../../infra/app.ts'),
    import('../../../local/assembly.ts'),
    import('../../../local/template.ts'),
    import('../../../local/deployment.ts'),
  ])
  const directory = mkdtempSync(join(tmpdir(), 'understudy-sim-'))
  try {
    const bundleDirectory = join(directory, 'functions')
    mkdirSync(bundleDirectory)
    writeFileSync(join(bundleDirectory, 'look.mjs'), 'export const handler = 0\n')
    const app = await createApp(parseConfig(example), { outdir: join(directory, 'out'), bundleDirectory })
    const assembly = readAssembly(app.synth().directory)
    const identity = { region: 'eu-central-1', accountId: '123456789012' }
    const [machine] = readDeployment(assembly, resolveAssembly(assembly, identity)).stateMachines
    if (machine === undefined) throw new Error('the stack has no state machine')
    return machine.definition
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
