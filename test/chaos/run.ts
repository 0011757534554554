/** A run from outside: makes the world, listens to it, ends it, and sums up. */
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findIsolation, type Isolation, searchPath } from './isolation.ts'
import { type FaultKind, faultKinds } from './plan.ts'
import { problemsOf, roundHeader, roundLine, type Summary, summarise, summaryTable } from './report.ts'
import { isHeld, type RoundResult } from './result.ts'
import type { WorldMessage, WorldSetup } from './world.ts'

export interface ChaosOptions {
  readonly rounds: number
  readonly seed: number
  /** This round of the seed alone. */
  readonly only?: number
  readonly faults?: readonly FaultKind[]
  readonly keep?: boolean
  /** Times which everything may last longer than its bound: a test is not about how fast the machine is. Default 1. */
  readonly patience?: number
  /** Which namespaces may be used; default: whichever work here. */
  readonly namespaces?: readonly Isolation['kind'][]
  readonly say?: (text: string) => void
  /** Ends the run; what was done by then is summed up. */
  readonly signal?: AbortSignal
}

export type ChaosOutcome =
  | { readonly kind: 'impossible'; readonly reason: string }
  | {
      readonly kind: 'done'
      /** Nothing was wrong, and all rounds were carried out. */
      readonly held: boolean
      readonly summary: Summary
      readonly results: readonly RoundResult[]
    }

export async function runChaos(options: ChaosOptions): Promise<ChaosOutcome> {
  const { seed, only, faults = faultKinds, keep = false, patience = 1, say = () => undefined } = options
  const isolation = await findIsolation(options.namespaces)
  if (typeof isolation === 'string') return { kind: 'impossible', reason: isolation }
  const folder = mkdtempSync(join(tmpdir(), 'understudy-chaos-'))
  chmodSync(folder, 0o755)
  const rounds = only === undefined ? Array.from({ length: options.rounds }, (_, at) => at + 1) : [only]
  const setup: WorldSetup = { isolation, folder, seed, rounds, faults, keep, patience }
  writeFileSync(
    join(folder, 'run.json'),
    `${JSON.stringify({ seed, rounds, faults, isolation: isolation.kind }, null, 2)}\n`,
  )
  const where = isolation.kind === 'user' ? 'a user namespace' : 'namespaces of root'
  say(`Seed ${seed}; history in ${folder}; in ${where}. Starting three servers …`)
  const results: RoundResult[] = []
  let problem: string | null = null
  while (problem === null && results.length < rounds.length) {
    const rest = rounds.slice(results.length)
    problem = await world({ ...setup, rounds: rest }, options.signal, (message) => {
      if (message.kind === 'note') return say(message.text)
      if (results.length === 0) say(roundHeader())
      results.push(message.result)
      say(roundLine(message.result))
      for (const each of problemsOf(message.result)) say(`      ${each}`)
    })
    if (rest.length === rounds.length - results.length) problem ??= 'a world ended without a round'
  }
  const summary = summarise(seed, results, folder)
  const held = problem === null && results.every(isHeld)
  if (results.length > 0) say(summaryTable(summary))
  if (problem !== null) say(`The run ended early: ${problem}`)
  if (!held) say(`See ${folder}; again: npm run chaos -- --seed ${seed} --only <round>${faultsFlag(faults)}`)
  writeFileSync(join(folder, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`)
  return { kind: 'done', held, summary, results }
}

function faultsFlag(faults: readonly FaultKind[]): string {
  return faults.length === faultKinds.length ? '' : ` --faults ${faults.join(',')}`
}

/** Null, or why it ended before its last round. When this resolves nothing of it is left. */
function world(
  setup: WorldSetup,
  signal: AbortSignal | undefined,
  onMessage: (message: WorldMessage) => void,
): Promise<string | null> {
  const script = fileURLToPath(new URL('./world.ts', import.meta.url))
  const [program = '', ...args] = [...setup.isolation.enter, process.execPath, script, JSON.stringify(setup)]
  const child = spawn(program, args, {
    env: { ...process.env, PATH: searchPath },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // A Ctrl-C at the terminal is for this process, which ends the other.
    detached: true,
  })
  let complaint = ''
  child.stderr?.on('data', (bytes: Buffer) => {
    complaint = (complaint + bytes).slice(-4_000)
  })
  child.on('message', (message) => onMessage(message as WorldMessage))
  // The first process of the namespaces dies with this one, and with it all others.
  const end = () => child.kill('SIGKILL')
  signal?.addEventListener('abort', end)
  if (signal?.aborted) end()
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code) => {
      signal?.removeEventListener('abort', end)
      if (signal?.aborted) resolve('it was stopped')
      else resolve(code === 0 ? null : `exit status ${code}. ${complaint.trim()}`)
    })
  })
}
