/** Stops a standby's reception so that its position can be measured and can not move; and undoes that. */
import type { Measurement, SqlResult } from '../../ports.ts'
import {
  formatConninfo,
  frozenConninfo,
  isFrozen,
  parseConninfo,
  parseMark,
  replaceUpstream,
  withoutSecrets,
} from './conninfo.ts'
import { type NodeView, type Operator, Refusal } from './operator.ts'

/** Two measurements this far apart must agree. */
const measureAgainMs = 5

export async function freeze(operator: Operator): Promise<SqlResult> {
  const before = await operator.view()
  if (!before.inRecovery) throw new Refusal('the node is not in recovery: nothing to freeze')
  refuseForeignMark(operator, before)
  // The timeline is read before the freeze: afterwards there is no receiver to tell it.
  if (!isFrozenNow(operator, before)) {
    await operator.alterSystem({
      primary_conninfo: frozenConninfo(before.conninfo, operator.mark),
      // A frozen node goes on replaying from the archive otherwise.
      restore_command: '',
    })
  }
  const after = await settledView(operator)
  const measurement = {
    ...toMeasurement(after, before),
    timeline: Math.max(before.timeline, after.timeline),
  }
  return { outcome: 'done', measurement, message: `frozen for term ${operator.mark.term}` }
}

export async function measure(operator: Operator): Promise<SqlResult> {
  const before = await operator.view()
  if (!before.inRecovery) throw new Refusal('the node is not in recovery')
  if (!isFrozenNow(operator, before))
    throw new Refusal(`the node is not frozen for term ${operator.mark.term}`)
  const after = await settledView(operator)
  return { outcome: 'done', measurement: toMeasurement(after, after), message: 'measured' }
}

export async function unfreeze(
  operator: Operator,
  old: { primaryConninfo: string; restoreCommand: string },
): Promise<SqlResult> {
  const view = await operator.view()
  // A late un-freeze must not land on the node that was promoted meanwhile: it would follow when it is restarted.
  if (!view.inRecovery) throw new Refusal('the node is out of recovery')
  refuseForeignMark(operator, view)
  if (!isFrozen(view.conninfo)) return { outcome: 'done', message: 'the node is not frozen' }
  const next = new Map(parseConninfo(old.primaryConninfo))
  // What was kept on the server, such as a password that the plan must not hold.
  for (const [key, value] of replaceUpstream(view.conninfo, [])) if (!next.has(key)) next.set(key, value)
  await operator.alterSystem({
    primary_conninfo: formatConninfo(next),
    restore_command: old.restoreCommand,
  })
  return { outcome: 'done', message: 'the freeze is lifted' }
}

/** In force, by this term, with no archive to replay from. */
export function isFrozenNow(operator: Operator, view: NodeView): boolean {
  const mark = parseMark(view.conninfo)
  return (
    isFrozen(view.conninfo) &&
    view.restoreCommand === '' &&
    mark?.deployment === operator.mark.deployment &&
    mark.term === operator.mark.term
  )
}

/** The mark of a newer term means that this act is late; another deployment's, that the node is not ours. */
export function refuseForeignMark(operator: Operator, view: NodeView): void {
  const mark = parseMark(view.conninfo)
  if (!mark) return
  if (mark.deployment !== operator.mark.deployment) {
    throw new Refusal(`the node carries the mark of deployment ${mark.deployment}`)
  }
  if (mark.term > operator.mark.term)
    throw new Refusal(`the node carries the mark of the newer term ${mark.term}`)
}

/**
 * Waits until no receiver is left and two measurements agree. After a restart recovery reads what is on disk first,
 * and the received position is unknown until that is exhausted: until then the replayed one still grows.
 */
async function settledView(operator: Operator): Promise<NodeView> {
  let last: NodeView | undefined
  let settled: NodeView | undefined
  await operator.until(async () => {
    const view = await operator.view()
    if (!isFrozenNow(operator, view)) throw new Refusal('the freeze was replaced meanwhile')
    if (view.receiver || view.receivedBytes === null) last = undefined
    else if (last?.positionBytes === view.positionBytes) settled = view
    else last = view
    if (!settled) await operator.clock.sleep(view.receiver ? 1 : measureAgainMs)
    return settled !== undefined
  }, 'reception does not stop, or the position still moves')
  if (!settled) throw new Error('unreachable')
  return settled
}

function toMeasurement(view: NodeView, before: NodeView): Measurement {
  return {
    timeline: view.timeline,
    positionBytes: view.positionBytes ?? 0,
    replayable: (!view.paused && view.applyDelayMs === 0) || view.replayedBytes === view.positionBytes,
    primaryConninfo: withoutSecrets(before.conninfo),
    restoreCommand: before.restoreCommand,
  }
}
