/** Probes over one connection that is opened when there is none: the same for every driver. */
import type { ProbeOutcome, ProbeRow } from '../core/types.ts'
import type { Clock, ProbeSession, SessionEnded } from '../ports.ts'
import { TimedOut } from './postgres/errors.ts'
import { deadline } from './postgres/link.ts'

export interface ProbeOptions {
  readonly timeoutMs: number
  readonly writeProbe: boolean
}

/** What a session needs of a driver's connection. */
interface SessionLink {
  readonly open: boolean
  /** The code by which the server told that it ends this session; null: it did not, or has not ended. */
  readonly told: string | null
  onEnd: ((ended: SessionEnded) => void) | undefined
  destroy(): void
}

export interface SessionDriver<L extends SessionLink> {
  readonly clock: Clock
  connect(timeoutMs: number): Promise<L>
  probe(link: L, options: ProbeOptions, left: () => number): Promise<ProbeRow>
  /** `received`: the server had sent something. */
  toOutcome(error: unknown, received: boolean): ProbeOutcome
}

/** `onEnd` hears of ends that are not our doing. A probe never throws. */
export function sessionOver<L extends SessionLink>(
  driver: SessionDriver<L>,
  onEnd: (ended: SessionEnded) => void,
): ProbeSession {
  let link: L | undefined
  let closed = false
  return {
    async probe(options) {
      const left = deadline(driver.clock, options.timeoutMs)
      try {
        if (!link?.open) {
          link = undefined // what it was told says nothing of the next one
          link = await driver.connect(left())
          link.onEnd = onEnd
          if (closed) link.destroy() // closed while the connection was being made
        }
        return { kind: 'answered', row: await driver.probe(link, options, left) }
      } catch (error) {
        // Told with the time since the probe began, not since its last stage did.
        if (error instanceof TimedOut)
          return { kind: 'timeout', stage: error.stage, afterMs: options.timeoutMs - left() }
        const received = link !== undefined || (error as { received?: boolean }).received === true
        const outcome = driver.toOutcome(error, received)
        // A server that told its end and hung up in the midst of a query was there: not a mere reset.
        if (outcome.kind === 'reset' && link?.told)
          return { kind: 'sqlError', sqlState: link.told, message: 'the server ended the session' }
        return outcome
      }
    },
    close() {
      closed = true
      link?.destroy()
    },
  }
}

/** One probe over a new connection. */
export async function probeOnceOver<L extends SessionLink>(
  driver: SessionDriver<L>,
  options: ProbeOptions,
): Promise<ProbeOutcome> {
  const session = sessionOver(driver, () => {})
  try {
    return await session.probe(options)
  } finally {
    session.close()
  }
}
