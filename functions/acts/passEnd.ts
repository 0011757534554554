/** The end of a pass of settle: the name is asserted, and what is left is recorded. */
import type { StepResult, WorkflowInput } from '../core/workflow.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, refused } from '../operation.ts'
import { nodeOf } from '../step.ts'
import { moveName } from './name.ts'

/** Drift of the name is mended only with the current term; a problem in words otherwise (design, section 7). */
export async function assertName(context: StepContext, operation: Operation): Promise<string | undefined> {
  const { state } = operation
  const moved = await moveName(context, state, nodeOf(context, state.primary)).catch(
    (error) => `the name could not be read: ${error instanceof Error ? error.message : String(error)}`,
  )
  if (typeof moved === 'string') return moved
  const { row, message, facts, changed } = moved
  if (moved.outcome !== 'done') return message
  if (changed) await operation.write({}, { kind: 'repointed', row, message, facts: { decided: facts } })
  return undefined
}

export async function endPass(
  operation: Operation,
  input: WorkflowInput,
  left: readonly string[],
): Promise<StepResult> {
  const { state } = operation
  // Which reports led here: assess does not start the same pass again for them.
  const facts = { sequences: input.automatic?.facts.sequences ?? null }
  if (state.phase === 'halted') return refused(input, left)
  if (left.length === 0) {
    if (state.phase === 'settling') {
      await operation.write(
        { phase: 'steady', plan: null },
        { kind: 'steady', message: 'redundant again: nothing is left to do', facts },
        { release: true },
      )
    } else await operation.release()
    return done(input, 'end')
  }
  const message = `left: ${left.join('; ')}`
  if (state.phase === 'steady') {
    await operation.write({ phase: 'settling' }, { kind: 'settling', message, facts }, { release: true })
  } else if (state.lastEvent.message === message) await operation.release()
  else await operation.write({}, { kind: 'settling', message, facts }, { release: true })
  return done(input, 'end', left)
}
