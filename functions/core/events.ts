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
