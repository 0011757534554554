/** Positions in the write-ahead log: PostgreSQL's `pg_lsn` text and bytes. */

const segment = 2 ** 32

/** `16/B374D848` → bytes. Throws on anything else: a position that can not be read must never look like a low one. */
export function parseLsn(text: string): number {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  if (!match?.[1] || !match[2]) throw new Error(`not a position in the log: ${JSON.stringify(text)}`)
  const bytes = Number.parseInt(match[1], 16) * segment + Number.parseInt(match[2], 16)
  if (!Number.isSafeInteger(bytes)) throw new Error(`position beyond 8 PiB of log: ${text}`)
  return bytes
}

/** Bytes → `16/B374D848`. Throws on a number that is not a position. */
export function formatLsn(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes < 0) throw new Error(`not a position in the log: ${bytes}`)
  const hex = (n: number) => n.toString(16).toUpperCase()
  return `${hex(Math.floor(bytes / segment))}/${hex(bytes % segment)}`
}
