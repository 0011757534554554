/**
 * Who does a phase for engines that the provider runs: RDS, which we fence and promote through its API, or an engine
 * that elects its writer by itself (`native.ts`), which is followed. null: PostgreSQL of our own, done by the step.
 *
 * Each is called by its step once the operation has begun, its phase was checked and its beat written; `confirm` after
 * the claim, for every kind of operation. Each goes on exactly like the step that it stands for: it writes the next phase,
 * and returns the next step.
 */
import { electsNatively, isManaged } from '../core/engine.ts'
import type { ClusterConfig } from '../core/types.ts'
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import type { Operation } from '../operation.ts'
import { confirmManaged } from './confirm.ts'
import { fenceManaged } from './fence.ts'
import {
  confirmNative,
  fenceNative,
  movesNoName,
  promoteNative,
  repointNative,
  settleNative,
} from './native.ts'
import { promoteManaged } from './promote.ts'
import { settleManaged } from './settle.ts'

export type ManagedPhase = (
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
) => Promise<StepResult>

export interface ManagedPhases {
  readonly confirm: ManagedPhase
  readonly fence: ManagedPhase
  readonly promote: ManagedPhase
  readonly settle: ManagedPhase
  /** null: the step moves our own name. */
  readonly repoint: ManagedPhase | null
}

const rds: ManagedPhases = {
  confirm: confirmManaged,
  fence: fenceManaged,
  promote: promoteManaged,
  settle: settleManaged,
  repoint: null,
}

const native: ManagedPhases = {
  confirm: confirmNative,
  fence: fenceNative,
  promote: promoteNative,
  settle: settleNative,
  repoint: null,
}

export function managedPhases(cluster: ClusterConfig): ManagedPhases | null {
  if (!isManaged(cluster)) return null
  if (!electsNatively(cluster)) return rds
  return movesNoName(cluster) ? { ...native, repoint: repointNative } : native
}
