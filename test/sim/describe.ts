/** A history in words. */
import type { Entry, History } from './history.ts'

/** One line for each thing that happened, but for those that are the same as the line before. */
export function describe({ entries, seed, story, config, healedAtMs }: History): string[] {
  const { policy, nodes } = config
  const lines = [
    `seed ${seed}, story ${story}: ${nodes.length} nodes, fence ${policy.fence}, loss ${policy.loss.mode}, synchronous ${policy.synchronous} (${policy.synchronousCount}), isolated ${policy.isolated}`,
  ]
  for (const entry of entries) {
    const words = wordsOf(entry)
    if (words !== null) lines.push(`${String(entry.atMs).padStart(8)}  ${words}`)
  }
  if (healedAtMs !== null) lines.push(`healed at ${healedAtMs} ms`)
  return lines
}

/** null: too common to be told. */
function wordsOf(entry: Entry): string | null {
  switch (entry.kind) {
    case 'state': {
      const { term, version, phase, lastEvent } = entry.state
      if (lastEvent.version !== version) return null
      const row = lastEvent.row === null ? '' : ` ${lastEvent.row}`
      return `${entry.deployment} ${term}.${version} ${phase}: ${lastEvent.kind}${row}: ${lastEvent.message} (${entry.by})`
    }
    case 'act': {
      const what = 'action' in entry ? entry.action.do : 'act' in entry ? entry.act : entry.command
      return `act on ${entry.node}: ${entry.what} ${what}, by ${entry.by}${entry.stalled ? ', late' : ''}`
    }
    case 'promoted':
      return `${entry.node} is promoted to timeline ${entry.timeline}, reign ${entry.reign}${entry.missing.length > 0 ? `; it lacks ${entry.missing.length} acknowledged commits` : ''}`
    case 'writer':
      return `${entry.node} ${entry.accepts ? 'accepts' : 'accepts no'} writes, reign ${entry.reign}`
    case 'server':
      return `server of ${entry.node}: ${entry.change}`
    case 'name':
      return `the name leads to ${entry.target}, term ${entry.term} of ${entry.owner} (${entry.by})`
    case 'sight':
      return `${entry.from} would see ${entry.node}: ${entry.answer}`
    case 'stream':
      return `the stream of ${entry.from} from ${entry.node} ${entry.progresses ? 'progresses' : 'stands'}`
    case 'told':
      return `${entry.observer} says that ${entry.node} ${entry.says ? 'said good-bye' : 'is back'}`
    case 'approval':
      return `approved: ${JSON.stringify(entry.approval)}`
    case 'promise':
      return `promised: ${JSON.stringify(entry)}`
    case 'restored':
      return `the table of ${entry.deployment} is put back to term ${entry.state.term}, version ${entry.state.version}`
    case 'trouble':
      return `* ${entry.message}`
    case 'acknowledged':
    case 'committed':
    case 'cutShort':
    case 'clock':
    case 'looks':
      return null
  }
}
