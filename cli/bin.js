#!/usr/bin/env node
/**
 * Starts the CLI. Its source is TypeScript that Node runs as it is (22.18 and newer strip types); an older Node hands
 * over to the one that the repository brings along, so that `npx understudy` needs no particular Node installed.
 */
import { spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import module, { createRequire } from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'

const handedOver = 'UNDERSTUDY_HANDED_OVER'

function ownNode() {
  try {
    const name = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node'
    return realpathSync(createRequire(import.meta.url).resolve(`node/${name}`))
  } catch {
    return undefined
  }
}

function handOver(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, [handedOver]: '1' },
  })
  // A terminal sends Ctrl-C to both, and the child decides what it means: passed on as well, it would get it twice.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => fail(`${node} could not be started: ${error.message}`))
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0))
  })
}

function fail(message) {
  process.stderr.write(`understudy: ${message}\n`)
  process.exit(2)
}

if (process.features.typescript) {
  // Half of the time of a short command is compiling the SDK: kept from run to run, in Node's own place.
  module.enableCompileCache?.()
  const { main } = await import('./main.ts')
  process.exitCode = await main(process.argv.slice(2))
} else {
  const node = ownNode()
  // The Node that should run it does not strip types either: asking it again would never end.
  if (process.env[handedOver])
    fail('type stripping is switched off: remove --no-experimental-strip-types from NODE_OPTIONS')
  else if (node === undefined)
    fail(
      `Node 22.18 or newer is needed, this is ${process.version}: run \`npm ci\` in the repository, it brings one`,
    )
  else handOver(node)
}
