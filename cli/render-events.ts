/** `explain` for a person, and each event while an operation is followed: a log, newest last. */
import type { Event } from '../functions/core/types.ts'
import type { Explanation } from './answers.ts'
import { renderDecision } from './render-status.ts'
import { clean, hanging, instant, paint, wrap } from './text.ts'

export function renderExplanation(
  explanation: Explanation,
  options: { width: number; facts: boolean },
): string[] {
  const events = explanation.events.toReversed()
  return [
    ...(events.length === 0 ? ['nothing has happened yet'] : []),
    ...events.flatMap((event) => renderEvent(event, options)),
    ...renderDecision('now: ', explanation.now, options.width),
  ]
}

/** Two lines or more: when, term, kind, row and who; then what it says. */
export function renderEvent(event: Event, options: { width: number; facts: boolean }): string[] {
  const { width } = options
  const when = instant(event.atMs)
  const row = event.row ? ` ${event.row}` : ''
  const head = `${when}  term ${event.term}  ${clean(event.kind)}${row}`
  const by = `by ${clean(event.by)}`
  const fits = head.length + 2 + by.length <= width
  const styled = `${paint('dim', when)}  term ${event.term}  ${paint(kindStyle(event.kind), clean(event.kind))}${row}`
  return [
    ...(fits ? [`${styled}  ${paint('dim', by)}`] : [styled, ...hanging('    ', by, width)]),
    ...hanging('    ', event.message, width),
    ...(options.facts ? facts(event, width) : []),
  ]
}

function kindStyle(kind: string) {
  if (kind === 'halted' || kind === 'paged') return 'red'
  return kind === 'steady' || kind === 'repointed' ? 'green' : 'bold'
}

function facts(event: Event, width: number): string[] {
  return Object.entries(event.facts).flatMap(([name, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return wrap(`${name} = ${text}`, width - 6, '  ').map((line) => paint('dim', `      ${line}`))
  })
}
