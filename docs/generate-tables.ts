/**
 * Renders every decision table into `decision-tables.md`, between the two markers. `node docs/generate-tables.ts`
 * rewrites the file; a test fails when it is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { assessElectionRows, assessRows } from '../functions/core/assess.ts'
import { claimRows } from '../functions/core/claim.ts'
import { judgeRows } from '../functions/core/confirm.ts'
import { conditions } from '../functions/core/issues.ts'
import { managedConfirmRows } from '../functions/core/managedConfirm.ts'
import { managedFenceRows } from '../functions/core/managedFence.ts'
import { managedPromoteRows } from '../functions/core/managedPromote.ts'
import { managedRankRows } from '../functions/core/managedRank.ts'
import { managedSettleRows } from '../functions/core/managedSettleRows.ts'
import { globalRows, nativeRows } from '../functions/core/native.ts'
import { rankRows } from '../functions/core/rank.ts'
import { resumeRows } from '../functions/core/resume.ts'
import { settleRows } from '../functions/core/settle.ts'

export const tablesFile = new URL('./decision-tables.md', import.meta.url)

const begin = '<!-- generated tables -->'
const end = '<!-- /generated tables -->'

interface DescribedRow {
  readonly id: string
  readonly when: string
  readonly does: string
}

/** `functions/core/endpoint.ts` decides in code, not by a list of rows: described here, ids are compared by the test. */
export const endpointRows: readonly DescribedRow[] = [
  {
    id: 'D1',
    when: 'the name has a record that can not be compared: other type, several values, weighted',
    does: 'refuse',
  },
  { id: 'D2', when: 'the TXT record is not one of Understudy, without a take-over', does: 'refuse' },
  {
    id: 'D3',
    when: 'the TXT record is of another deployment or cluster, without a take-over',
    does: 'refuse',
  },
  { id: 'D4', when: 'the TXT record carries a newer term', does: 'superseded: stop' },
  {
    id: 'D5',
    when: 'there is no TXT record, the state says that none was written, and this is no adopt',
    does: 'refuse',
  },
  { id: 'D6', when: 'the CNAME points to no node of the cluster, without a take-over', does: 'refuse' },
  { id: 'D7', when: 'this term, and target and TTL of the CNAME are right', does: 'done' },
  { id: 'D8', when: 'this term, and the CNAME differs', does: 'swap' },
  { id: 'D9', when: 'an older term, or none', does: 'swap' },
]

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

/** With padded cells, as the repository's formatter wants them. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map(cell))
  const widths = head.map((_, column) => Math.max(3, ...all.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[], fill = ' ') =>
    `| ${cells.map((text, column) => text.padEnd(widths[column] ?? 0, fill)).join(' | ')} |`
  const [first = [], ...rest] = all
  const rule = head.map(() => '')
  return [line(first), line(rule, '-'), ...rest.map((row) => line(row))].join('\n')
}

function section(title: string, source: string, text: string): string {
  return `## ${title}\n\nSource: [${source}](../${source})\n\n${text}`
}

export function renderTables(): string {
  const withReason = ['row', 'when', 'does', 'says']
  const plain = ['row', 'when', 'does']
  const listed = (rows: typeof assessRows) =>
    table(
      withReason,
      rows.map(({ id, when, does, reason }) => [id, when, does, `\`${reason}\``]),
    )
  const described = (rows: readonly DescribedRow[]) =>
    table(
      plain,
      rows.map(({ id, when, does }) => [id, when, does]),
    )
  return [
    section('A: assess, what is done about a cluster', 'functions/core/decisions.ts', listed(assessRows)),
    section(
      'E: assess, of engines that elect by themselves: looked at before A',
      'functions/core/decisions.ts',
      listed(assessElectionRows),
    ),
    section('L: claim, who may begin', 'functions/core/claim.ts', listed(claimRows)),
    section('C: confirm, is the primary dead', 'functions/core/confirm.ts', listed(judgeRows)),
    section('U: resume, what is done with what is recorded', 'functions/core/resume.ts', listed(resumeRows)),
    section('R: promote, which node, and what that loses', 'functions/core/rank.ts', listed(rankRows)),
    section('D: repoint, what to do about the name', 'functions/core/endpoint.ts', described(endpointRows)),
    section('T: settle, what is left to do', 'functions/core/settle.ts', listed(settleRows)),
    section(
      'V: rds, what RDS says of the primary before the judge is asked',
      'functions/core/managedConfirm.ts',
      listed(managedConfirmRows),
    ),
    section(
      'X: rds, the network fence of one node',
      'functions/core/managedFence.ts',
      listed(managedFenceRows),
    ),
    section(
      'P: rds, which replica is promoted, and what that loses',
      'functions/core/managedRank.ts',
      listed(managedRankRows),
    ),
    section('M: rds, is the promotion done', 'functions/core/managedPromote.ts', listed(managedPromoteRows)),
    section('B: rds, what is left to do', 'functions/core/managedSettleRows.ts', listed(managedSettleRows)),
    section(
      'N: aurora, what to do next (confirm, fence, promote, resume)',
      'functions/core/native.ts',
      listed(nativeRows),
    ),
    section('G: aurora-global, the same', 'functions/core/native.ts', listed(globalRows)),
    section(
      'Issues',
      'functions/core/issues.ts',
      table(
        ['key', 'severity', 'says', 'to do'],
        conditions.map(({ key, severity, message, todo }) => [key, severity, `\`${message}\``, todo]),
      ),
    ),
  ].join('\n\n')
}

/** The file with its generated part made anew. Throws when a marker is missing. */
export function withTables(text: string): string {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`decision-tables.md needs the markers ${begin} and ${end}`)
  return `${text.slice(0, from)}${begin}\n\n${renderTables()}\n\n${text.slice(to)}`
}

if (import.meta.main) writeFileSync(tablesFile, withTables(readFileSync(tablesFile, 'utf8')))
