import { expect, test } from 'vitest'
import { type SettleNodeFacts, settleNodeBy } from '../../functions/core/settle.ts'

/** The old primary after its rejoin: copied, started, in recovery, pointed at b. */
const rejoined: SettleNodeFacts = {
  ...{ node: 'a', primary: 'b', term: 2, role: 'rebuilding', policy: 'automatic', rejoins: true },
  ...{ writer: true, fenced: true, rejoin: 'copying', followed: false, recorded: true, instance: 'running' },
  ...{ sees: 'recovery', answers: true, out: false, timeline: 2, ownTimeline: 2, errant: false, feeds: [] },
  ...{ streaming: false, frozen: false, frozenForTerm: false, connects: true, named: false, unlisted: false },
}
const row = (facts: Partial<SettleNodeFacts>) => settleNodeBy({ ...rejoined, ...facts }).id

test('S11 H08 a rejoining node is a standby once it streams on our timeline, not when it merely answers in recovery', () => {
  expect(row({ writer: false, streaming: true })).toBe('T7')
  expect(row({ streaming: true })).toBe('T2')
  for (const role of ['rebuilding', 'diverged', 'quarantined'] as const)
    for (const connects of [true, false]) expect(row({ writer: false, role, connects })).toBe('T6')
})
