/**
 * The inside of a run, as the root of namespaces of its own (see `isolation.ts`): everything that it starts or mounts
 * ends with it. Started by `run.ts`, which waits for it and ends it.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, createWriteStream, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { endpointName } from '../../local/embedded.ts'
import type { Isolation } from './isolation.ts'
import { Network } from './network.ts'
import { clientMembers, type FaultKind, observerMembers, planRound, stopSecondsOf } from './plan.ts'
import { isHeld, type RoundResult } from './result.ts'
import { type Line, prepare, runRound, type Surroundings } from './round.ts'
import { nodeIds, Servers } from './servers.ts'
import { Workload } from './workload.ts'

export interface WorldSetup {
  readonly isolation: Isolation
  readonly folder: string
  readonly seed: number
  /** Carried out in this order, up to the first after which the cluster is not whole. */
  readonly rounds: readonly number[]
  readonly faults: readonly FaultKind[]
  readonly keep: boolean
  readonly patience: number
}

/** What `run.ts` is told. */
export type WorldMessage =
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'round'; readonly result: RoundResult }

const connections = 3
const scratch = '/run/understudy'

process.on('disconnect', () => process.exit(1))
const setup: WorldSetup = JSON.parse(process.argv[2] ?? '')
execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'none', '/run'])
mkdirSync(scratch)
// Scripts and servers leave their temporary files there, too.
process.env.TMPDIR = scratch
const network = await Network.build([...nodeIds, ...observerMembers, ...clientMembers])
if (!network.hasNetem)
  tell({ kind: 'note', text: 'this kernel has no netem: a delay is a slow line (1 Mbit/s), which fills up' })
const log = createWriteStream(join(setup.folder, 'functions.log'), { flags: 'a' })

const lines: Line[] = []
const world = await startWorld()
for (const round of setup.rounds) {
  lines.length = 0
  const planned = planRound(setup.seed, round, setup.faults)
  const stopSeconds = stopSecondsOf(setup.seed, round)
  lines.push({ kind: 'plan', seed: setup.seed, round, planned, stopSeconds })
  let result: RoundResult
  try {
    result = await runRound(world, { round, planned, stopSeconds })
  } catch (error) {
    await keepHistory(round, true)
    keepLogs(round)
    throw error
  }
  const held = isHeld(result)
  await keepHistory(round, !held)
  if (!held) keepLogs(round)
  tell({ kind: 'round', result })
  // What does not recover is of no use for the rounds that follow: they get a world of their own.
  if (result.wholeMs === null) break
}
if (setup.keep) keepLogs('end')
process.exit(0)

function tell(message: WorldMessage): void {
  process.send?.(message)
}

async function startWorld(): Promise<Surroundings> {
  const logLine = (line: string) => void log.write(`${new Date().toISOString()} ${line}\n`)
  const servers = await Servers.start(scratch, network, setup.isolation, logLine)
  const { embedded } = servers
  await prepare(embedded)
  const workload = new Workload(
    clientMembers.map((client) => ({
      enter: network.enter(client),
      setup: { client, name: endpointName, resolver: embedded.resolver, port: embedded.port, connections },
    })),
  )
  const record = (line: Line) => void lines.push(line)
  return { servers, network, workload, ledger: new Map(), record, patience: setup.patience }
}

/** One line each, as it was; compressed when nothing was wrong. */
async function keepHistory(round: number, plain: boolean): Promise<void> {
  const text = lines.map((line) => `${JSON.stringify(line)}\n`)
  const path = join(setup.folder, `round-${String(round).padStart(4, '0')}.jsonl`)
  if (plain) writeFileSync(path, text.join(''))
  else await pipeline(Readable.from(text), createGzip(), createWriteStream(`${path}.gz`))
}

function keepLogs(name: number | string): void {
  const from = join(scratch, 'postgres', 'log')
  const to = join(setup.folder, `servers-${name}`)
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to)
  for (const file of readdirSync(from)) copyFileSync(join(from, file), join(to, file))
}
