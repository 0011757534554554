/** Promotes the target, and sets synchronous lists. */
import type { SqlResult } from '../../ports.ts'
import { frozenPrefix } from './conninfo.ts'
import { refuseForeignMark } from './freeze.ts'
import { type Operator, Refusal } from './operator.ts'
import { primaryTimeline, standbyTimeline } from './query.ts'

/**
 * One statement that compares all it must: `pg_promote` compares nothing, and a statement that stalled on its way may
 * find another world. It returns no row where anything differs. `false`: not its own poll, whose steps are 100 ms.
 */
const promoteStatement = `select pg_promote(false) as asked
  where pg_is_in_recovery()
    and (current_setting('primary_conninfo') = $1 or starts_with(current_setting('primary_conninfo'), $1 || ' '))
    and current_setting('restore_command') = ''
    and not exists (select from pg_stat_wal_receiver)
    and ${standbyTimeline} = $2::int`

export async function promote(
  operator: Operator,
  action: { expectedTimeline: number; synchronousStandbyNames: string },
): Promise<SqlResult> {
  const timeline = await promotedTimeline(operator)
  if (timeline !== null) return alreadyOut(timeline, action.expectedTimeline)
  const view = await operator.view()
  refuseForeignMark(operator, view)
  await refuseUnlessPromotable(operator, action.expectedTimeline)
  // Before the promotion: the first commit after it must already wait for the right standbys (S9).
  await setList(operator, action.synchronousStandbyNames)
  const asked = await operator.change(promoteStatement, [
    frozenPrefix(operator.mark),
    action.expectedTimeline,
  ])
  if (asked.length === 0) {
    await refuseUnlessPromotable(operator, action.expectedTimeline)
    throw new Refusal('the node changed while it was to be promoted')
  }
  let promoted: number | null = null
  await operator.until(async () => {
    promoted = await promotedTimeline(operator)
    return promoted !== null
  }, 'promotion was asked for and the node is still in recovery')
  return { outcome: 'done', timeline: promoted ?? 0, message: `promoted, timeline ${promoted}` }
}

export async function list(operator: Operator, names: string): Promise<SqlResult> {
  if ((await promotedTimeline(operator)) === null) throw new Refusal('the node is in recovery')
  await operator.alterSystem({ synchronous_standby_names: names })
  return { outcome: 'done', message: `synchronous_standby_names is '${names}'` }
}

/**
 * Whether commits wait at all is a flag in shared memory that only the checkpointer sets, when it reloads
 * (SyncRepUpdateSyncStandbysDefined). A standby whose list was empty would acknowledge its first commits without
 * waiting, if it were promoted while the checkpointer is busy syncing: so it has to be seen idle, twice.
 */
async function setList(operator: Operator, names: string): Promise<void> {
  const before = await operator.read<{ names: string }>(
    `select current_setting('synchronous_standby_names') as names`,
  )
  await operator.alterSystem({ synchronous_standby_names: names })
  if (before[0]?.names !== '' || names === '') return
  let idle = 0
  await operator.until(async () => {
    const rows = await operator.read<{ event: string | null }>(
      `select wait_event as event from pg_stat_activity where backend_type = 'checkpointer'`,
    )
    idle = /^Checkpointer?(Main|WriteDelay)$/.test(rows[0]?.event ?? '') ? idle + 1 : 0
    if (idle === 1) await operator.clock.sleep(3)
    return idle >= 2
  }, 'the checkpointer is busy and has not read the new synchronous list')
}

function alreadyOut(timeline: number, expected: number): SqlResult {
  if (timeline > expected) {
    return { outcome: 'done', timeline, message: `is out of recovery already, timeline ${timeline}` }
  }
  throw new Refusal(`the node is out of recovery on timeline ${timeline}, not newer than ${expected}`)
}

/** Null: in recovery. */
async function promotedTimeline(operator: Operator): Promise<number | null> {
  const rows = await operator.read<{ timeline: number | null }>(
    `select case when pg_is_in_recovery() then null else ${primaryTimeline} end as timeline`,
  )
  return rows[0]?.timeline ?? null
}

/** The promoting statement's comparisons one by one, for a reason that a person understands. */
async function refuseUnlessPromotable(operator: Operator, expectedTimeline: number): Promise<void> {
  const view = await operator.view()
  const prefix = frozenPrefix(operator.mark)
  if (view.conninfo !== prefix && !view.conninfo.startsWith(`${prefix} `)) {
    throw new Refusal(`the node is not frozen for term ${operator.mark.term}`)
  }
  if (view.restoreCommand !== '') throw new Refusal('the node still restores from the archive')
  if (view.timeline !== expectedTimeline) {
    throw new Refusal(`the node is on timeline ${view.timeline}, expected ${expectedTimeline}`)
  }
  const streaming = await operator.read('select from pg_stat_wal_receiver')
  if (streaming.length > 0) throw new Refusal('the node has a WAL receiver')
}
