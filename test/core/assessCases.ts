import { type AssessInput, assess } from '../../functions/core/assess.ts'
import type { Event, NodeRole, NodeStatus, SynchronousSet } from '../../functions/core/types.ts'
import { clockMs, type Nodes, observers, primaryRow, provable, report, standbyRow, state } from './build.ts'

export const all = (nodes: Nodes, changes: Parameters<typeof report>[2] = {}) =>
  observers.map((id) => report(id, nodes, changes))
export const decided = (input: AssessInput) => {
  const { decision } = assess(input)
  return `${decision.row} ${decision.action}${decision.action === 'start' ? ` ${decision.kind}` : ''}`
}
export const keys = (input: AssessInput) => assess(input).issues.map((issue) => issue.key)
export const tick = { clockMs, seen: null }
export const event = (changes: Partial<Event>): Event => ({ ...state().lastEvent, ...changes })
export const nodesWith = (id: string, role: NodeRole, changes: Partial<NodeStatus> = {}) => {
  const nodes = state().nodes
  return { ...nodes, [id]: { ...(nodes[id] as NodeStatus), role, ...changes } }
}
export const setOfB: SynchronousSet = { ...provable, primary: 'b', names: 'ANY 1 (c)', listed: ['c'] }
/** After a failover from a to b, term 2, timeline 2. */
export const afterFailover = {
  term: 2,
  timeline: 2,
  primary: 'b',
  synchronous: setOfB,
  nodes: {
    a: { ...(state().nodes.a as NodeStatus), role: 'quarantined' as const },
    b: {
      ...(state().nodes.b as NodeStatus),
      role: 'primary' as const,
      possibleWriter: { term: 2, timeline: 2, synchronous: setOfB },
    },
    c: state().nodes.c as NodeStatus,
  },
}
export const newPrimary = primaryRow({
  timeline: 2,
  downstream: [],
  synchronous: { ...primaryRow().synchronous, names: 'ANY 1 (c)' },
})
export const follower = standbyRow(undefined, { timeline: 2 }, 'b')
export const followerOfB = {
  ...follower,
  upstream: follower.upstream && { ...follower.upstream, timeline: 2 },
}
