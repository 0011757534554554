/** rds: the table of settle, for each node that is not the primary, and for each instance that was replaced. */
import { firstMatch, listRows, type Row } from './table.ts'
import type { NodeClass, NodeId, NodeStatus, ReplacedInstance } from './types.ts'

export type NodeFacts = {
  readonly node: NodeId
  readonly primary: NodeId
  readonly role: NodeStatus['role']
  readonly term: number
  readonly identifier: string
  readonly region: string
  readonly answers: boolean
  readonly newer: boolean
  readonly writer: boolean
  readonly fenced: boolean
  readonly closed: boolean
  readonly resourceId: string | null
  readonly recordedIdentifier: string | null
  readonly recordedStatus: string | null
  readonly follows: boolean
  readonly healthy: boolean
  readonly sees: NodeClass
  readonly heldBy: string | null
  readonly heldStatus: string | null
  readonly isSuccessor: boolean
  readonly parameterGroup: string | null
  readonly wantedGroup: string | null
  readonly pendingReboot: boolean
  readonly rebuild: 'automatic' | 'approve' | 'never'
  readonly approved: boolean
  readonly renamedTo: string
  readonly primaryStatus: string | null
  readonly primaryBackups: number
}

export type NodeDoes =
  | 'left'
  | 'missing'
  | 'unapproved'
  | 'nothing'
  | 'halt'
  | 'fence'
  | 'configure'
  | 'restart'
  | 'joined'
  | 'rename'
  | 'create'

const nodeRows: readonly Row<NodeFacts, NodeDoes>[] = [
  {
    id: 'B1',
    when: 'a possible writer is out of recovery on a newer timeline than ours',
    test: (f) => f.writer && f.newer,
    does: 'halt',
    reason: '{node} is out of recovery on a newer timeline than ours: our state may be older than the world',
  },
  {
    id: 'B2',
    when: 'RDS does not answer in the Region of the node',
    test: (f) => !f.answers,
    does: 'left',
    reason: '{node}: RDS does not answer in {region}',
  },
  {
    id: 'B3',
    when: 'a node replicates from the primary, by RDS and by its own word, whatever it was before',
    test: (f) => f.follows && f.healthy && (f.role !== 'standby' || f.writer),
    does: 'joined',
    reason: '{node} ({resourceId}) replicates from {primary} and streams on the current timeline',
  },
  {
    id: 'B4',
    when: 'a possible writer is not fenced, or its group is not the closed one alone any more',
    test: (f) => f.writer && f.recordedStatus !== null && !(f.fenced && f.closed),
    does: 'fence',
    reason: '{node}: {resourceId} was a writer, and is not behind its fence: it is closed and rebooted',
  },
  {
    id: 'B5',
    when: 'a standby replicates from the primary, by RDS and by its own word',
    test: (f) => f.role === 'standby' && f.follows && f.healthy,
    does: 'nothing',
    reason: '{node} replicates from {primary}',
  },
  {
    id: 'B6',
    when: 'a standby replicates from the primary by the word of RDS, and does not show it',
    test: (f) => f.role === 'standby' && f.follows,
    does: 'left',
    reason: '{node}: a replica that is {sees}',
  },
  {
    id: 'B7',
    when: 'a standby whose recorded instance replicates from somebody else, or is gone',
    test: (f) => f.role === 'standby' && !f.isSuccessor,
    does: 'missing',
    reason:
      '{node} ({resourceId}, {recordedStatus}) does not replicate from {primary}: look at it, then adopt',
  },
  {
    id: 'B8',
    when: 'a new replica in another Region than its source has the default parameter group, and what it replaces another one',
    test: (f) => f.isSuccessor && f.heldStatus === 'available' && f.wantedGroup !== null,
    does: 'configure',
    reason: '{node}: {heldBy} gets the parameter group {wantedGroup} (now {parameterGroup})',
  },
  {
    id: 'B9',
    when: 'a new replica has a parameter group that waits for a reboot',
    test: (f) => f.isSuccessor && f.heldStatus === 'available' && f.pendingReboot,
    does: 'restart',
    reason: '{node}: {heldBy} is rebooted, so that its parameter group {parameterGroup} is in force',
  },
  {
    id: 'B10',
    when: 'a new replica of the primary has the name, is available, and streams on the current timeline',
    test: (f) => f.isSuccessor && f.heldStatus === 'available' && f.healthy,
    does: 'joined',
    reason: '{node} is {heldBy}, a replica of {primary}, and streams on the current timeline',
  },
  {
    id: 'B11',
    when: 'a new replica of the primary has the name, and failed',
    test: (f) =>
      f.isSuccessor && /^(failed|incompatible|insufficient|restore-error)/.test(f.heldStatus ?? ''),
    does: 'missing',
    reason:
      '{node}: the new replica {heldBy} is {heldStatus}: look at its events and delete it, then it is made again',
  },
  {
    id: 'B12',
    when: 'a new replica of the primary has the name, and is not ready',
    test: (f) => f.isSuccessor,
    does: 'left',
    reason: '{node}: the new replica is {heldStatus} and {sees}',
  },
  {
    id: 'B13',
    when: 'the policy is to rebuild nothing',
    test: (f) => f.rebuild === 'never',
    does: 'missing',
    reason:
      '{node} does not follow {primary}, and the policy rebuild is never: make a replica of {primary} named {identifier} by hand',
  },
  {
    id: 'B14',
    when: 'the policy wants an approval of the term, and there is none',
    test: (f) => f.rebuild === 'approve' && !f.approved && f.role !== 'rebuilding',
    does: 'unapproved',
    reason:
      '{node} does not follow {primary}: approve term {term} to have it made anew as a replica; its present instance is renamed first',
  },
  {
    id: 'B15',
    when: 'the new primary is not known to RDS under its resource id, or keeps no backups: no replica can be made',
    test: (f) => f.primaryStatus === null || f.primaryBackups === 0,
    does: 'missing',
    reason:
      '{node}: {primary} can have no replica (status {primaryStatus}, {primaryBackups} days of backups): turn its backups on',
  },
  {
    id: 'B16',
    when: 'the instance that has the name can be renamed',
    test: (f) => f.recordedIdentifier === f.identifier && f.recordedStatus === 'available',
    does: 'rename',
    reason: '{node}: {resourceId} is renamed to {renamedTo}, so that a new replica gets its name',
  },
  {
    id: 'B17',
    when: 'the instance that has the name can not be renamed now',
    test: (f) => f.recordedIdentifier === f.identifier,
    does: 'left',
    reason: '{node}: {resourceId} is {recordedStatus} and can not be renamed yet',
  },
  {
    id: 'B18',
    when: 'an instance that we do not know has the name',
    test: (f) => f.heldBy !== null,
    does: 'missing',
    reason:
      '{node}: {identifier} is {heldBy} ({heldStatus}), which is neither ours nor a replica of {primary}: rename it, then a replica is made',
  },
  {
    id: 'B19',
    when: 'the primary can have no new replica at the moment',
    test: (f) => !['available', 'backing-up', 'storage-optimization'].includes(f.primaryStatus ?? ''),
    does: 'left',
    reason: '{node}: a replica is made when {primary} is available (it is {primaryStatus})',
  },
  {
    id: 'B20',
    when: 'nothing has the name',
    test: () => true,
    does: 'create',
    reason: '{node}: a replica of {primary} is made, named {identifier}',
  },
]

export type ReplacedFacts = {
  readonly node: NodeId
  readonly resourceId: string
  readonly was: ReplacedInstance['was']
  readonly inService: boolean
  readonly region: string
  readonly answers: boolean
  readonly name: string | null
  readonly status: string | null
  readonly succeeded: boolean
  readonly closed: boolean
  readonly hasGroup: boolean
  readonly replicas: readonly string[]
  readonly renamed: boolean
  readonly protected: boolean
  readonly rebuild: 'automatic' | 'approve' | 'never'
  readonly writer: boolean
}

export type ReplacedDoes = 'left' | 'missing' | 'nothing' | 'delete' | 'stop' | 'close' | 'forget'

const replacedRows: readonly Row<ReplacedFacts, ReplacedDoes>[] = [
  {
    id: 'B21',
    when: 'an instance that was replaced is in service again',
    test: (f) => f.inService,
    does: 'forget',
    reason: '{resourceId} is {node} again: it is not kept in mind as replaced any more',
  },
  {
    id: 'B22',
    when: 'a replaced instance, and RDS does not answer in its Region',
    test: (f) => !f.answers,
    does: 'left',
    reason: '{resourceId} (formerly {node}): RDS does not answer in {region}',
  },
  {
    id: 'B23',
    when: 'a replaced instance that is gone, and is nobody who may still be a writer',
    test: (f) => f.status === null && !f.writer,
    does: 'forget',
    reason: '{resourceId} (formerly {node}) is gone',
  },
  {
    id: 'B24',
    when: 'a replaced instance that is gone',
    test: (f) => f.status === null,
    does: 'nothing',
    reason: '{resourceId} (formerly {node}) is gone',
  },
  {
    id: 'B25',
    when: 'a replaced replica whose successor replicates, and somebody has protected it from deletion',
    test: (f) => f.was === 'replica' && f.succeeded && f.protected,
    does: 'missing',
    reason:
      '{name} ({resourceId}), a replica of the old primary, has been replaced, and is protected from deletion',
  },
  {
    id: 'B26',
    when: 'a replaced replica whose successor replicates',
    test: (f) =>
      f.was === 'replica' && f.succeeded && ['available', 'stopped', 'failed'].includes(f.status ?? ''),
    does: 'delete',
    reason: '{name} ({resourceId}), a replica of the old primary, has been replaced: it is deleted',
  },
  {
    id: 'B27',
    when: 'a replaced replica that is being deleted, or not ready for it',
    test: (f) => f.was === 'replica' && f.succeeded,
    does: 'left',
    reason: '{name} ({resourceId}) is {status}',
  },
  {
    id: 'B28',
    when: 'a replaced replica without a successor yet',
    test: (f) => f.was === 'replica',
    does: 'nothing',
    reason: '{name} ({resourceId}) stays until its successor replicates',
  },
  {
    id: 'B29',
    when: 'a former primary that is still recorded as a possible writer: its fence comes first',
    test: (f) => f.writer && !f.closed,
    does: 'nothing',
    reason: '{name} ({resourceId}) is fenced first',
  },
  {
    id: 'B30',
    when: 'a former primary is stopped, or on its way',
    test: (f) => f.status === 'stopped' || f.status === 'stopping',
    does: 'nothing',
    reason: '{name} ({resourceId}) is {status}',
  },
  {
    id: 'B31',
    when: 'a former primary is not behind the closed group alone any more',
    test: (f) => !f.closed && f.hasGroup && f.status === 'available',
    does: 'close',
    reason:
      '{name} ({resourceId}), a former primary, was opened again: the closed group is set as its only one',
  },
  {
    id: 'B32',
    when: 'replicas still hang on a former primary, which RDS therefore does not stop',
    test: (f) => f.replicas.length > 0,
    does: 'nothing',
    reason: '{name} ({resourceId}) has replicas left: {replicas}',
  },
  {
    id: 'B33',
    when: 'a former primary still has the name that its successor needs: a stopped instance can not be renamed',
    test: (f) => !f.renamed && f.rebuild !== 'never',
    does: 'nothing',
    reason: '{name} ({resourceId}) is renamed before it is stopped',
  },
  {
    id: 'B34',
    when: 'a former primary runs without need, also after RDS started it because seven days had passed',
    test: (f) => f.status === 'available',
    does: 'stop',
    reason: '{name} ({resourceId}), a former primary without replicas, is stopped',
  },
  {
    id: 'B35',
    when: 'a former primary is on its way up or down',
    test: () => true,
    does: 'left',
    reason: '{name} ({resourceId}) is {status}: it is stopped when it is available',
  },
]

export type IdentifyFacts = {
  readonly node: NodeId
  readonly resourceId: string
  readonly recorded: string | null
}

/** For each healthy node beside its own row: what a fence will be aimed at (S2). */
export const identifyRow: Row<IdentifyFacts, 'identify'> = {
  id: 'B36',
  when: 'a healthy node runs on an instance that is not recorded',
  test: () => true,
  does: 'identify',
  reason: '{node} is healthy and runs on {resourceId} (recorded: {recorded})',
}

export const nodeBy = (facts: NodeFacts) => firstMatch(nodeRows, facts)
export const replacedBy = (facts: ReplacedFacts) => firstMatch(replacedRows, facts)

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const managedSettleRows = [
  ...listRows(nodeRows),
  ...listRows(replacedRows),
  ...listRows([identifyRow]),
]
