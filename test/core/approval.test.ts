import { expect, test } from 'vitest'
import { approvalView } from '../../functions/core/approval.ts'
import type { Approval, ClusterState } from '../../functions/core/types.ts'
import { nodesWith } from './assessCases.ts'
import { approval, clockMs, plan, state } from './build.ts'

const steady = { action: 'wait', row: 'A20', reason: '' } as const
const cooldown = { action: 'page', row: 'A27', reason: '' } as const
const paged = (row: string, facts = {}) => ({ ...state().lastEvent, kind: 'paged', row, facts })
const promoting = (row: string): Partial<ClusterState> => ({
  ...{ phase: 'promoting', term: 2, plan: plan() },
  lastEvent: paged(row, { candidate: 'b' }),
})
const view = (
  changes: Partial<ClusterState>,
  given: Approval | null = null,
  decision: typeof steady | typeof cooldown = steady,
  now: number | null = clockMs,
) => approvalView({ state: state(changes), decision, given, clockMs: now })

test('S10 H25 the term that an approval has to name: the operation under way, else the next one', () => {
  expect(view({ term: 4 })).toEqual({ term: 5, needed: null, given: null, inForce: false })
  expect(view({ term: 4 }, null, cooldown)).toMatchObject({
    term: 5,
    needed: expect.stringMatching(/cooldown/),
  })
  expect(view(promoting('R12'))).toMatchObject({ term: 2, needed: 'the loss of promoting b' })
  expect(view({ ...promoting('R11'), phase: 'halted' })).toMatchObject({ term: 3, needed: null })
})

test('H25 what is needed is needed until the approval in force is one for it', () => {
  const needs = 'the loss of promoting b'
  expect(view(promoting('R11'), approval())).toMatchObject({ needed: null, inForce: true })
  expect(view(promoting('R11'), approval({ target: 'c' }))).toMatchObject({ needed: needs, inForce: true })
  expect(view(promoting('R11'), approval({ acceptLoss: false }))).toMatchObject({ needed: needs })
  expect(view(promoting('R3'))).toMatchObject({ needed: null })
  expect(view({ ...promoting('R12'), plan: plan({ target: 'b' }) })).toMatchObject({ needed: null })
})

test('S3 H20 it ends by the clock of the scheduler; without one, none is in force', () => {
  const given = approval({ untilMs: clockMs })
  expect(view(promoting('R12'), given)).toMatchObject({ needed: expect.anything(), given, inForce: false })
  expect(view(promoting('R12'), approval(), steady, null)).toMatchObject({ inForce: false })
})

test('S2 a fence that can not be asked for is waited for', () => {
  const fencing = { phase: 'fencing', term: 2, plan: plan() } as const
  expect(view(fencing)).toMatchObject({ needed: 'the missing fence of a' })
  expect(view(fencing, approval({ unfenced: ['a'] }))).toMatchObject({ needed: null })
  expect(view(fencing, approval({ unfenced: ['b'] }))).toMatchObject({ needed: 'the missing fence of a' })
  const nodes = nodesWith('a', 'primary', { instanceId: 'i-a' })
  expect(view({ ...fencing, nodes })).toMatchObject({ needed: null })
  const evidence = [{ kind: 'instanceStopped', node: 'a', instanceId: 'i-a', term: 2 }] as const
  expect(view({ ...fencing, plan: plan({ evidence }) })).toMatchObject({ needed: null })
})
