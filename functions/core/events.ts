import type { Event } from './types.ts'

/** A start by hand that was refused: it made no version, so it stands beside the event of the one that it saw. */
export function isRefusal({ kind }: Pick<Event, 'kind'>): boolean {
  return kind === 'refused'
}

/** Which happenings a person is told of. The history has all of them. */
const quiet = new Set([
  'claimed',
  'waiting',
  'evidence',
  'lifting',
  'discarding',
  'identified',
  'following',
  'frozen',
  'synchronous set',
])

export function isNotable(kind: string): boolean {
  return !quiet.has(kind)
}
