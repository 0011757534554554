/** What the workflow hands to a step, and what people ask of the command function: refused without a trace, or handled. */
import '../steps/model/quiet.ts'
import * as fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { command } from '../../functions/command.ts'
import { type WorkflowStep, workflowSteps } from '../../functions/core/limits.ts'
import { commandSchema, readWorkflowInput } from '../../functions/schemas.ts'
import { breaches } from '../steps/checker.ts'
import type { Machine } from '../steps/machine.ts'
import { Invocation } from '../steps/model/invocation.ts'
import { adopted, kill } from '../steps/support.ts'
import type { World } from '../steps/world.ts'
import { anything, fuzz, isPolluted, mutated } from './support.ts'

/** Inputs of steps as a true failover had them, and as people write them. */
let inputs: { readonly step: WorkflowStep; readonly input: unknown }[]
let world: World
let machine: Machine
/** Calls of ports since it was last emptied. */
const calls: string[] = []

beforeAll(async () => {
  const example = await adopted()
  await kill(example.world, example.machine, 'a')
  const [execution] = example.machine.executions.slice(-1)
  inputs = [
    ...(execution?.results ?? []).map(({ step, ...input }) => ({ step, input })),
    ...workflowSteps.map((step) => ({
      step,
      input: { cluster: 'orders', kind: 'switchover', reason: 'maintenance', by: 'anna', to: 'b', term: 1 },
    })),
  ]
  ;({ world, machine } = await adopted())
  world.startExecution = async () => 'started'
  world.fault = ({ name }) => void calls.push(name)
})

const before = () => {
  calls.length = 0
  const { written, approvals } = world.table
  return [written.length, approvals.size, world.acts.length, world.names.history.length]
}

/** Nothing was asked of anybody, and nothing is other than it was. */
function expectUntouched(then: readonly number[]): void {
  expect(calls).toEqual([])
  expect(before()).toEqual(then)
}

test('input of a step that is not understood is refused with every reason, and nothing is touched', async () => {
  const input = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.nat().chain((n) => {
        const { step, input: valid } = inputs[n % inputs.length] as (typeof inputs)[number]
        return mutated(valid).map(({ value, mistakes }) => ({ step, value, mistakes }))
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        step: fc.constantFrom(...workflowSteps),
        value: anything,
        mistakes: fc.constant([]),
      }),
    },
  )
  let refused = 0
  await fuzz(input, 150, async ({ step, value }) => {
    const then = before()
    const read = readWorkflowInput(value)
    const result = await world.time.run(machine.invoke({ name: 'by hand' }, step, value))
    expect(['done', 'waiting', 'refused']).toContain(result.outcome)
    if (read.ok) return
    refused++
    expect(result).toMatchObject({ outcome: 'refused', next: 'end', reasons: [read.message] })
    expect(read.message).toMatch(/Nothing was done\. Start again/)
    expectUntouched(then)
  })
  expect(refused).toBeGreaterThan(30)
  expect(isPolluted()).toBe(false)
  expect(breaches(world)).toEqual([])
})

const commands: readonly Record<string, unknown>[] = [
  { command: 'adopt', cluster: 'orders', by: 'anna', takeOver: true },
  { command: 'acknowledge', cluster: 'orders', reason: 'restored', by: 'anna' },
  { command: 'halt', cluster: 'orders', reason: 'it will not end', by: 'anna' },
  {
    command: 'halt',
    cluster: 'orders',
    error: { Error: 'States.Runtime' },
    execution: 'orders-2-failover-x',
  },
  { command: 'pause', cluster: 'orders', owner: 'anna', reason: 'kernel', minutes: 30 },
  { command: 'resume', cluster: 'orders', by: 'anna' },
  { command: 'failover', cluster: 'orders', reason: 'dying', by: 'anna', to: 'b' },
  { command: 'switchover', cluster: 'orders', reason: 'planned', by: 'anna', to: 'b' },
  {
    command: 'approve',
    cluster: 'orders',
    term: 2,
    target: 'b',
    acceptLoss: true,
    unfenced: ['a'],
    reason: 'x',
    by: 'anna',
    minutes: 5,
  },
  { command: 'status', cluster: 'orders' },
  { command: 'explain', cluster: 'orders', limit: 20 },
]

test('a command that is not understood is refused with every reason, and nothing is touched', async () => {
  const event = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .constantFrom(...commands)
        .chain((valid) => mutated(valid))
        .map(({ value }) => value),
    },
    { weight: 1, arbitrary: anything },
  )
  let refused = 0
  await fuzz(event, 150, async (value) => {
    const then = before()
    const ports = world.ports(new Invocation('command'))
    const result = await world.time.run(command({ ports, fleet: world.fleet }, value))
    expect(['done', 'refused']).toContain(result.outcome)
    if (commandSchema.safeParse(value).success || result.outcome === 'done') return
    refused++
    expect(result.reasons.length).toBeGreaterThan(0)
    for (const reason of result.reasons) expect(reason).toMatch(/^[^\n]+$/)
    expectUntouched(then)
  })
  expect(refused).toBeGreaterThan(30)
  expect(isPolluted()).toBe(false)
  expect(breaches(world)).toEqual([])
})
