/** Items of the table that a person edited: read as unknown, never acted upon, never overwritten, and no trouble for others. */
import '../steps/model/quiet.ts'
import * as fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { assess } from '../../functions/assess.ts'
import { command } from '../../functions/command.ts'
import { parseConfig } from '../../functions/config.ts'
import { confirm } from '../../functions/confirm.ts'
import { workflowSteps } from '../../functions/core/limits.ts'
import type { ClusterState, Report } from '../../functions/core/types.ts'
import { runStep } from '../../functions/entry.ts'
import { fence } from '../../functions/fence.ts'
import type { Ports, Read } from '../../functions/ports.ts'
import { promote } from '../../functions/promote.ts'
import { repoint } from '../../functions/repoint.ts'
import { settle } from '../../functions/settle.ts'
import { event, report, state } from '../aws/samples.ts'
import { example, orders } from '../config-samples.ts'
import { adopted, kill } from '../steps/support.ts'
import { ItemTable, itemOf, oddAttributes } from './itemTable.ts'
import { fuzz, hostile, isPolluted, mutated } from './support.ts'

const odd = fc.oneof(hostile, fc.constantFrom(...oddAttributes))

const fleet = parseConfig({
  ...example,
  clusters: {
    orders: { ...orders, nodes: nodesOf('10.0.1') },
    payments: {
      ...orders,
      endpoint: { ...orders.endpoint, name: 'payments.example.org' },
      nodes: nodesOf('10.0.2'),
    },
  },
})
function nodesOf(network: string) {
  return ['a', 'b', 'c'].map((id, index) => ({
    id,
    address: `${network}.${index + 1}`,
    instanceId: `i-0000000${network.at(-1)}${index}`,
    availabilityZone: `eu-central-1${id}`,
  }))
}

/** States and reports of a true failover, in all its phases. */
let states: readonly ClusterState[]
let reports: readonly Report[]
beforeAll(async () => {
  const { world, machine } = await adopted()
  await kill(world, machine, 'a')
  states = world.table.written.map(({ state: written }) => written)
  reports = [...(world.table.reports.get('orders')?.values() ?? [])]
})

const observers = fleet.observers.map(({ id }) => id)
const tickMs = Date.parse('2026-01-01T00:00:00Z')

/** Each item of a cluster as its code writes it, by what it is. */
function itemsOf(cluster: string) {
  const issue = { cluster, key: 'breaker', severity: 'critical', message: 'm', todo: 't', sinceMs: 5 }
  const approval = {
    ...{ cluster, term: 2, target: 'b', acceptLoss: true, unfenced: ['a'] },
    ...{ by: 'anna', reason: 'agreed', untilMs: tickMs },
  }
  return {
    state: {
      pk: `cluster#${cluster}`,
      sk: 'state',
      ...state(7, { cluster, lastEvent: event({ version: 7 }) }),
    },
    report: { pk: `report#${cluster}`, sk: 'a', ...report({ cluster }) },
    approval: { pk: `approval#${cluster}`, sk: '000000000002', ...approval },
    issue: { pk: `cluster#${cluster}`, sk: 'issue#breaker', ...issue },
    event: { pk: `cluster#${cluster}`, sk: 'event#000000000001.000000000006', ...event({ version: 6 }) },
  }
}
const fleetItem = {
  ...{ pk: 'fleet', sk: 'fleet', version: 3, clockMs: tickMs - 60_000, jumpMs: null },
  ...{ seen: { orders: { version: 7, beat: 0 } }, breaker: { open: false, reason: '' } },
}

const kinds = ['state', 'report', 'approval', 'issue', 'event', 'fleet'] as const
interface Edited {
  readonly what: (typeof kinds)[number]
  readonly value: unknown
  readonly mistakes: readonly string[]
}

/** An item as a person left it: its key is what it was. */
const edited = (what: Edited['what']) =>
  fc.nat().chain((n) => {
    const { pk, sk, ...small } = what === 'fleet' ? fleetItem : itemsOf('orders')[what]
    const valid =
      what === 'state'
        ? states[n % states.length]
        : what === 'report'
          ? { ...reports[n % reports.length], observer: 'a' }
          : small
    return mutated(valid, { odd }).map(
      ({ value, mistakes }): Edited => ({ what, value: { ...(value as object), pk, sk }, mistakes }),
    )
  })
const anyItem = fc.constantFrom(...kinds).chain(edited)

const table = new ItemTable()
const healthy = ['orders', 'payments']
  .flatMap((cluster) => [
    ...Object.values(itemsOf(cluster)),
    ...observers.map((observer) => ({
      pk: `report#${cluster}`,
      sk: observer,
      ...report({ cluster, observer }),
    })),
  ])
  .concat(fleetItem as never)
  .map(itemOf)

/** Both clusters healthy, but for that item. */
function fill({ value }: Edited): void {
  table.clear()
  for (const item of healthy) table.put(item)
  table.put(itemOf(value))
}

/** Ports around the table; `acts` has the name of whatever else was asked to do something. */
function portsOn() {
  const acts: string[] = []
  const act = (name: string) => (): never => {
    acts.push(name)
    throw new Error(`${name}: not expected`)
  }
  const silent = () => undefined
  let ids = 0
  const ports = {
    clock: { monotonicMs: () => 0, wallMs: () => tickMs, sleep: async () => undefined },
    logger: { info: silent, warn: silent, error: silent },
    store: table.store,
    newId: () => `id-${++ids}`,
    remainingMs: () => 60_000,
    functions: { look: act('look'), operate: act('operate') },
    fence: { observe: act('observe'), stop: act('stop'), start: act('start') },
    host: { run: act('run') },
    endpoint: { read: act('read'), swap: act('swap'), inSync: act('inSync') },
    workflow: {
      start: async (name: string) => {
        acts.push(name)
        return 'started'
      },
    },
    notifier: { notify: async () => undefined, page: async () => undefined },
  } as unknown as Ports
  return { ports, acts }
}

function expectRead<T>(read: Read<T>): void {
  if (read.kind === 'unreadable') {
    expect(read.problems.length).toBeGreaterThan(0)
    for (const problem of read.problems) expect(problem).toMatch(/^[^\n]{3,}$/)
  }
  // What was found goes into execution inputs, logs and answers.
  if (read.kind === 'found') JSON.stringify(read.value)
}

test('every read gives the item, or says what is wrong with it', async () => {
  await fuzz(anyItem, 40, async (item) => {
    fill(item)
    const { store } = table
    expectRead(await store.readState('orders'))
    const reports = await store.readReports('orders')
    expect([...reports.keys()].sort()).toEqual(['a', ...observers.filter((id) => id !== 'a')].sort())
    for (const read of reports.values()) expectRead(read)
    expectRead(await store.readApproval('orders', 2))
    expectRead(await store.readFleet())
    for (const issue of await store.readIssues('orders'))
      expect(issue).toMatchObject({ cluster: 'orders', key: 'breaker' })
    for (const each of await store.readEvents('orders', 10)) JSON.stringify(each)
  })
  expect(isPolluted()).toBe(false)
})

/** What assess says of a cluster that nobody touched. */
const calm = 'A36 wait'

test('H23 assess goes on with all other clusters, and starts nothing for a state that it can not read', async () => {
  const trigger = fc.constantFrom(
    { kind: 'tick', eventMs: tickMs } as const,
    { kind: 'hint', woken: ['orders', 'payments'], reported: [] } as const,
  )
  await fuzz(fc.tuple(anyItem, trigger), 30, async ([edit, why]) => {
    fill(edit)
    const { ports, acts } = portsOn()
    const before = await table.store.readState('orders')
    const item = table.items.get('cluster#orders\nstate')
    const fleetBefore = await table.store.readFleet()
    const fleetStored = table.items.get('fleet\nfleet')
    const results = await assess({ ports, fleet }, why)
    expect(Object.values(results).filter((each) => each.startsWith('failed'))).toEqual([])
    expect(results.payments).toBe(calm)
    if (before.kind !== 'found') {
      expect(acts.filter((name) => name.startsWith('orders'))).toEqual([])
      expect(table.writes).toContainEqual({
        operation: 'UpdateItem',
        pk: 'cluster#orders',
        sk: 'issue#unreadable:state',
      })
    }
    // assess writes no state, and over nothing that it could not read.
    expect(table.items.get('cluster#orders\nstate')).toBe(item)
    if (fleetBefore.kind === 'unreadable') {
      expect(table.items.get('fleet\nfleet')).toBe(fleetStored)
      const pk = 'cluster#payments'
      expect(table.writes).toContainEqual({ operation: 'UpdateItem', pk, sk: 'issue#unreadable:fleet' })
    }
  })
})

const bodies = { confirm, fence, promote, repoint, settle }
const commands = [
  { command: 'acknowledge', cluster: 'orders', reason: 'r', by: 'anna' },
  { command: 'halt', cluster: 'orders', reason: 'r', by: 'anna' },
  { command: 'pause', cluster: 'orders', owner: 'anna', reason: 'r', minutes: 5 },
  { command: 'resume', cluster: 'orders', by: 'anna' },
  { command: 'failover', cluster: 'orders', reason: 'r', by: 'anna' },
  { command: 'switchover', cluster: 'orders', reason: 'r', by: 'anna' },
]

test('H23 no step and no command acts on a cluster whose state can not be read', async () => {
  let unreadable = 0
  await fuzz(edited('state'), 30, async (edit) => {
    fill(edit)
    if ((await table.store.readState('orders')).kind === 'found') return
    unreadable++
    const { ports, acts } = portsOn()
    for (const step of workflowSteps) {
      const input = {
        cluster: 'orders',
        kind: 'failover',
        reason: 'r',
        ...(step === 'confirm' ? {} : { term: 1 }),
      }
      const result = await runStep({ input, execution: 'e' }, step, bodies[step], { ports, fleet })
      expect(result.reasons.join()).toContain('the state of orders can not be read')
    }
    for (const each of commands)
      expect(await command({ ports, fleet }, each)).toMatchObject({
        outcome: 'refused',
        reasons: [expect.stringContaining('the state of orders can not be read')],
      })
    expect(acts).toEqual([])
    expect(table.writes).toEqual([])
  })
  expect(unreadable).toBeGreaterThan(5)
})

test('status and explain answer, whatever the items hold', async () => {
  await fuzz(anyItem, 20, async (edit) => {
    fill(edit)
    const { ports } = portsOn()
    for (const asked of [{ command: 'status' }, { command: 'explain', cluster: 'orders', limit: 5 }]) {
      const answer = await command({ ports, fleet }, asked)
      expect(answer.outcome).toBe('done')
      JSON.stringify(answer)
    }
    expect(table.writes).toEqual([])
  })
})

test('a clock of the fleet that is no time is refused before anything rests on it', async () => {
  const value = { ...fleetItem, clockMs: 1e300 }
  fill({ what: 'fleet', value, mistakes: [] })
  const { ports } = portsOn()
  const reasons = [expect.stringContaining('correct it, or delete the item')]
  const approval = {
    term: 2,
    target: 'b',
    acceptLoss: true,
    unfenced: [],
    reason: 'r',
    by: 'anna',
    minutes: 5,
  }
  for (const asked of [
    { command: 'pause', cluster: 'orders', owner: 'anna', reason: 'r', minutes: 5 },
    { command: 'approve', cluster: 'orders', ...approval },
  ])
    expect(await command({ ports, fleet }, asked)).toEqual({ outcome: 'refused', reasons })
  expect(table.writes).toEqual([])
})
