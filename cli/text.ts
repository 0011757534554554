/** Words on a terminal: width, wrapping, colours, tables. Pure but for what the terminal itself says. */
import { stripVTControlCharacters, styleText } from 'node:util'
import Table from 'cli-table3'

/** Columns to write in: the terminal's, else `COLUMNS`, else 80. */
export function terminalWidth(): number {
  const wanted = process.stdout.columns ?? Number(process.env.COLUMNS)
  return Number.isFinite(wanted) && wanted > 0 ? Math.min(Math.max(wanted, 40), 120) : 80
}

/** Text from elsewhere on one line: a server's message or a person's reason must not steer the terminal. */
export function clean(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
}

/** The same with all texts inside cleaned, so that none is forgotten where it is shown. */
export function cleaned<T>(value: T): T {
  if (typeof value === 'string') return clean(value) as T
  if (Array.isArray(value)) return value.map(cleaned) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [clean(key), cleaned(inner)])) as T
}

/** Lines of at most `width` columns, each after the first indented; words that are longer are broken. */
export function wrap(text: string, width: number, indent = ''): string[] {
  const lines: string[] = []
  let line = ''
  const room = () => Math.max(1, width - (lines.length === 0 ? 0 : indent.length))
  const push = () => {
    lines.push(lines.length === 0 ? line : indent + line)
    line = ''
  }
  for (let word of clean(text).split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room()) push()
    while (word.length > room()) {
      line = word.slice(0, room())
      word = word.slice(room())
      push()
    }
    line = line === '' ? word : `${line} ${word}`
  }
  push()
  return lines
}

/** `label` in front of wrapped text that hangs under itself. */
export function hanging(label: string, text: string, width: number, style?: Style): string[] {
  const indent = ' '.repeat(label.length)
  const [first = '', ...rest] = wrap(`${'x'.repeat(label.length)}${text === '' ? '-' : text}`, width, indent)
  return [`${style ? paint(style, label) : label}${first.slice(label.length)}`, ...rest]
}

export type Style = Parameters<typeof styleText>[0]

/** Coloured on a terminal only; `NO_COLOR` is honoured by `styleText` itself. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/** A table without lines; the widest columns give way until it fits, their cells are wrapped. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  options: { width: number; indent: string; style?: (text: string, column: number, row: number) => string },
): string[] {
  const gap = 2
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(1, ...all.map((row) => (row[column] ?? '').length)))
  const room = options.width - options.indent.length - gap * (head.length - 1)
  while (widths.reduce((sum, each) => sum + each, 0) > Math.max(room, widths.length)) {
    const widest = widths.indexOf(Math.max(...widths))
    widths[widest] = (widths[widest] ?? 1) - 1
  }
  const drawn = new Table({
    chars: noLines,
    colWidths: widths.map((each, column) => each + (column < widths.length - 1 ? gap : 0)),
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
  })
  for (const [index, row] of all.entries()) {
    drawn.push(
      row.map((cell, column) =>
        wrap(cell, widths[column] ?? 1)
          .map((line) =>
            index === 0 ? paint('dim', line) : (options.style?.(line, column, index - 1) ?? line),
          )
          .join('\n'),
      ),
    )
  }
  return drawn
    .toString()
    .split('\n')
    .map((line) => `${options.indent}${line}`.trimEnd())
}

const noLines = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((name) => [name, '']),
) as Record<string, string>

/** `2025-11-20 10:18:03Z`: UTC, so that people in two places speak of the same moment. */
export function instant(atMs: number): string {
  const time = new Date(atMs)
  // Of the years that a date can have; a time may have been written by hand.
  return Number.isNaN(time.getTime()) ? 'unknown' : `${time.toISOString().slice(0, 19).replace('T', ' ')}Z`
}

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = count
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
