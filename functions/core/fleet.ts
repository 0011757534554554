/** The scheduler's clock and what the minute tick remembers of each cluster (S3, S6; section 6, resume). */
import { clockJumpMs, fleetFailoversMost } from './limits.ts'
import type { ClusterState, Fleet } from './types.ts'

export function firstFleet(eventMs: number): Fleet {
  return { version: 1, clockMs: eventMs, jumpMs: null, seen: {}, breaker: { open: false, reason: '' } }
}

/**
 * The fleet after a tick. The clock only goes forwards; a jump above `clockJumpMs` is accepted when the next tick
 * agrees with it, so that one event with a wrong time ends no pause (H20).
 */
export function nextFleet(fleet: Fleet, eventMs: number, states: readonly ClusterState[]): Fleet {
  const agreed = fleet.jumpMs !== null && eventMs >= fleet.jumpMs && eventMs - fleet.jumpMs <= clockJumpMs
  const jumps = eventMs - fleet.clockMs > clockJumpMs
  const accepted = !jumps || agreed
  const underWay = states.filter((state) => isFailingOver(state.phase)).length
  const open = underWay > fleetFailoversMost
  return {
    version: fleet.version + 1,
    clockMs: accepted ? Math.max(fleet.clockMs, eventMs) : fleet.clockMs,
    jumpMs: accepted ? null : eventMs,
    seen: Object.fromEntries(
      states.map((state) => [state.cluster, { version: state.version, beat: state.beat }]),
    ),
    breaker: {
      open,
      reason: open ? `${underWay} clusters are failing over at once, more than ${fleetFailoversMost}` : '',
    },
  }
}

export function isFailingOver(phase: ClusterState['phase']): boolean {
  return phase === 'fencing' || phase === 'promoting' || phase === 'repointing'
}
