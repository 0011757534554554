/** `status` for a person: what is possible now comes first, then why, then what it rests on. */
import type { Decision } from '../functions/core/decisions.ts'
import { formatLsn } from '../functions/core/positions.ts'
import type { ClusterState, Issue, ProbeRow } from '../functions/core/types.ts'
import type { ClusterStatus } from './answers.ts'
import { bytes, clean, hanging, instant, paint, type Style, table, wrap } from './text.ts'

export function renderStatus(clusters: readonly ClusterStatus[], width: number): string[] {
  if (clusters.length === 0) return wrap('No cluster is configured: add one to understudy.config.', width)
  return clusters.flatMap((each, index) => [...(index === 0 ? [] : ['']), ...renderCluster(each, width)])
}

function renderCluster(status: ClusterStatus, width: number): string[] {
  const { state } = status
  return [
    ...title(status, width),
    ...possible(status, width),
    ...renderDecision('  now: ', status.decision, width),
    ...(state?.halted
      ? hanging('  halted: ', `in step ${state.halted.step}: ${state.halted.reason}`, width, 'red')
      : []),
    ...status.problems.flatMap((problem) => hanging('  unreadable: ', problem, width, 'red')),
    ...(state ? operation(state, width) : []),
    '',
    ...nodes(status, width),
    '',
    ...(state ? recorded(state, status, width) : []),
    ...issues(status.issues, width),
  ]
}

const phaseStyle = (phase: string): Style =>
  phase === 'steady' ? 'green' : phase === 'halted' ? 'red' : 'yellow'

function title({ cluster, endpoint, state }: ClusterStatus, width: number): string[] {
  const phase = state ? state.phase : 'no state'
  const term = state ? `, term ${state.term}` : ''
  const plain = `${cluster}  ${phase}${term}`
  const right = clean(endpoint)
  const painted = `${paint('bold', cluster)}  ${paint(phaseStyle(phase), phase)}${term}`
  const gap = width - plain.length - right.length
  return gap >= 2 ? [`${painted}${' '.repeat(gap)}${right}`] : [painted, ...wrap(`  ${right}`, width)]
}

function possible({ availability }: ClusterStatus, width: number): string[] {
  const say = (what: string, yes: boolean, good: boolean) =>
    `${what} ${paint(yes === good ? 'green' : 'red', yes ? 'yes' : 'no')}`
  const { writes, reads, staleReads, reasons } = availability
  const line = [
    say('writes:', writes, true),
    say('reads:', reads, true),
    say('stale reads:', staleReads, false),
  ]
  return [`  ${line.join('   ')}`, ...hanging('    ', reasons.join('; '), width)]
}

const verbs = { wait: 'nothing is done', page: 'people are called' } as const

/** `now: A20, nothing is done: …`: why nothing happens, or what happens. */
export function renderDecision(label: string, decision: Decision, width: number): string[] {
  const verb = decision.action === 'start' ? `starts ${decision.kind}` : verbs[decision.action]
  const style = decision.action === 'wait' ? 'bold' : decision.action === 'page' ? 'red' : 'yellow'
  return hanging(label, `${decision.row}, ${verb}: ${decision.reason}`, width, style)
}

function operation({ plan, claim }: ClusterState, width: number): string[] {
  if (plan === null) return []
  const frozen = Object.keys(plan.frozen)
  const facts = [
    `${plan.kind} by ${plan.by}, away from ${plan.from}${plan.to ? ` to ${plan.to}` : ''}: ${plan.reason}`,
    ...(frozen.length > 0 ? [`frozen: ${frozen.join(', ')}`] : []),
    ...(plan.evidence.length > 0
      ? [`evidence: ${plan.evidence.map((each) => `${each.kind} of ${each.node}`).join(', ')}`]
      : []),
    ...(plan.target ? [`target: ${plan.target}`] : []),
    ...(plan.loss ? [`loss: ${plan.loss.reason}`] : []),
    ...(claim ? [`step ${claim.step}, held by ${claim.holder}`] : []),
  ]
  return hanging('  operation: ', facts.join('; '), width, 'yellow')
}

// ---------------------------------------------------------------------------------------------------------------
// Nodes

function nodes(status: ClusterStatus, width: number): string[] {
  const rows = status.nodes.map(({ id, availabilityZone }) => {
    const row = youngestRow(status, id)
    return [
      id,
      status.state?.nodes[id]?.role ?? 'unknown',
      seenAs(status, id),
      position(status, id, row),
      row ? String(row.timeline) : '-',
      availabilityZone,
      marks(status, id),
    ]
  })
  const head = ['node', 'role', 'seen as', 'position', 'tl', 'zone', 'marks']
  const bad = /silent|refused|unreachable|broken|denied|blocked|quarantined|diverged/
  return table(head, rows, {
    width,
    indent: '  ',
    style: (text, column, row) => {
      if (column === 0 && rows[row]?.[1] === 'primary') return paint('bold', text)
      return (column === 1 || column === 2) && bad.test(text) ? paint('red', text) : text
    },
  })
}

/** `writable` when all observers agree; `silent: a, b  writable: c` when they do not. */
function seenAs({ reports }: ClusterStatus, id: string): string {
  const by = new Map<string, string[]>()
  for (const [observer, report] of Object.entries(reports)) {
    const seen = report?.nodes[id]?.class ?? 'no report'
    by.set(seen, [...(by.get(seen) ?? []), observer])
  }
  const classes = [...by]
  const [only] = classes
  if (only === undefined) return 'no report'
  if (classes.length === 1) return only[0]
  return classes.map(([seen, observers]) => `${seen}: ${observers.join(',')}`).join('; ')
}

function youngestRow({ reports }: ClusterStatus, id: string): ProbeRow | null {
  const good = Object.values(reports).flatMap((report) => report?.nodes[id]?.lastGood ?? [])
  return good.toSorted((a, b) => a.ageMs - b.ageMs)[0]?.row ?? null
}

/** The primary's position; of others how far they are behind it, as the observer says that sees the widest gap. */
function position(status: ClusterStatus, id: string, row: ProbeRow | null): string {
  const primary = status.state?.primary
  if (row === null) return 'unknown'
  const gaps = Object.values(status.reports).flatMap((report) => {
    const [mine, theirs] = [id, primary ?? ''].map((node) => report?.nodes[node]?.observation.outcome)
    if (mine?.kind !== 'answered' || theirs?.kind !== 'answered') return []
    return [theirs.row.positionBytes - mine.row.positionBytes]
  })
  if (id === primary || gaps.length === 0) return formatLsn(row.positionBytes)
  const behind = Math.max(...gaps)
  return behind <= 0 ? 'same' : `-${bytes(behind)}`
}

function marks({ state, reports }: ClusterStatus, id: string): string {
  const node = state?.nodes[id]
  const frozen = Object.values(reports).flatMap((report) => {
    const outcome = report?.nodes[id]?.observation.outcome
    return outcome?.kind === 'answered' && outcome.row.frozenBy ? [outcome.row.frozenBy] : []
  })[0]
  return [
    // The primary is one by its nature; it matters of the others, which must not write.
    ...(node?.possibleWriter && state?.primary !== id
      ? [`possible writer of term ${node.possibleWriter.term}`]
      : []),
    ...(node?.fenced ? ['fenced'] : []),
    ...(frozen ? [`frozen for term ${frozen.term}`] : []),
    ...(node && node.rejoin !== 'none' ? [`rejoin: ${node.rejoin}`] : []),
  ].join(', ')
}

// ---------------------------------------------------------------------------------------------------------------
// What is recorded, and what people should know

function recorded(state: ClusterState, status: ClusterStatus, width: number): string[] {
  const { synchronous, lastFailover } = state
  const { method, k, listed, primary, names, reasons } = synchronous
  const list = method ? `${method} ${k} of ${listed.join(', ')}` : names === '' ? 'nobody listed' : names
  const why = reasons.length > 0 ? `: ${reasons.join('; ')}` : ''
  const paused = pauseText(state, status.clockMs)
  return [
    ...hanging('  synchronous:   ', `${synchronous.status}, ${list} on ${primary}${why}`, width),
    ...(status.clockMs === undefined ? [] : hanging('  clock:         ', clockText(status.clockMs), width)),
    ...hanging('  pause:         ', paused.text, width, paused.holds ? 'yellow' : 'reset'),
    ...approval(status, width),
    ...hanging(
      '  last failover: ',
      lastFailover ? `term ${lastFailover.term}, ${instant(lastFailover.atMs)}` : 'none',
      width,
    ),
  ]
}

const clockText = (clockMs: number | null) =>
  clockMs === null ? 'no minute tick was seen yet' : `${instant(clockMs)}, the last minute tick`

/** By the scheduler's clock, as the pause itself ends (S3); without one, a pause holds. */
function pauseText({ pause }: ClusterState, clockMs: number | null | undefined) {
  if (pause === null) return { text: 'none', holds: false }
  const until = instant(pause.untilMs)
  if (typeof clockMs !== 'number')
    return { text: `by ${pause.owner} until ${until}: ${pause.reason}`, holds: true }
  if (clockMs >= pause.untilMs) return { text: `none; that of ${pause.owner} ended ${until}`, holds: false }
  const left = plural(Math.ceil((pause.untilMs - clockMs) / 60_000), 'minute')
  return { text: `by ${pause.owner} until ${until}, ${left} more: ${pause.reason}`, holds: true }
}

/** What waits for a person's word, and whose word counts. */
function approval({ cluster, approval: view }: ClusterStatus, width: number): string[] {
  if (!view) return []
  const { term, needed, given, inForce } = view
  const facts: string[] = []
  if (given !== null) {
    const accepted = [
      ...(given.acceptLoss ? [`the loss of promoting ${given.target ?? 'nobody'}`] : []),
      ...(given.unfenced.length > 0 ? [`the missing fence of ${given.unfenced.join(', ')}`] : []),
    ]
    const what = accepted.length === 0 ? '' : ` accepts ${accepted.join(' and ')}`
    const until = `${inForce ? 'until' : 'ended'} ${instant(given.untilMs)}`
    facts.push(`term ${term}: ${given.by}${what}, ${until} (${given.reason})`)
  }
  if (needed !== null)
    facts.push(`needed for term ${term}: ${needed} (\`understudy approve ${cluster} --term ${term} …\`)`)
  const label = '  approval:      '
  return hanging(label, facts.join('; ') || 'none', width, facts.length > 0 ? 'yellow' : 'reset')
}

const plural = (count: number, word: string) => `${count} ${word}${count === 1 ? '' : 's'}`

const severityStyle = { info: 'bold', warning: 'yellow', critical: 'red' } as const
const rank = { critical: 0, warning: 1, info: 2 } as const

function issues(open: readonly Issue[], width: number): string[] {
  if (open.length === 0) return ['  issues:        none']
  return [
    '',
    `  ${paint('bold', `${open.length} open ${open.length === 1 ? 'issue' : 'issues'}`)}`,
    ...open
      .toSorted((a, b) => rank[a.severity] - rank[b.severity] || a.key.localeCompare(b.key))
      .flatMap((issue) => [
        ...hanging(`  ${issue.severity} `, issue.message, width, severityStyle[issue.severity]),
        ...hanging('    to do: ', issue.todo, width),
        ...wrap(`    since ${instant(issue.sinceMs)}`, width).map((line) => paint('dim', `    ${line}`)),
      ]),
  ]
}
