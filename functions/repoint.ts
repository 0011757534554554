/**
 * repoint: moves the name by compare-and-swap on the term in its TXT record, and is done when the change is in sync,
 * the name resolves to the new primary, and a commit was seen to return. It may run without the table (S13).
 */
import { moveName } from './acts/name.ts'
import { followLeft } from './acts/settling.ts'
import { isDown, majority } from './core/classify.ts'
import { isManaged } from './core/engine.ts'
import { pollWithinStepMs } from './core/limits.ts'
import { agreement, anyRow } from './core/looks.ts'
import type { ClusterConfig, EndpointLook, Look, NodeConfig } from './core/types.ts'
import type { StepResult, WorkflowInput } from './core/workflow.ts'
import { type StepContext, stepEntry } from './entry.ts'
import { managedPhases } from './managed/dispatch.ts'
import { done, Operation, refused, StoreUnavailable, waiting } from './operation.ts'
import { assertPhase, lookRound, nodeOf, planOf } from './step.ts'

const pollMs = 50

/** A name that can not be verified after this many returns does not hold back redundancy: settle goes on with it. */
const patience = 20

export async function repoint(context: StepContext, input: WorkflowInput): Promise<StepResult> {
  let operation: Operation
  try {
    operation = await Operation.begin(context.operationOptions('repoint'))
  } catch (error) {
    if (error instanceof StoreUnavailable) return withoutTable(context, input, error)
    throw error
  }
  assertPhase(operation, input, 'repointing')
  const managed = managedPhases(context.cluster)
  if (managed?.repoint) {
    await operation.beat()
    return managed.repoint(context, operation, input)
  }
  const [records] = await Promise.all([context.ports.endpoint.read(context.cluster), operation.beat()])
  const target = nodeOf(context, operation.state.primary)
  const moved = await moveName(context, operation.state, target, records)
  if (moved.outcome === 'superseded') return refused(input, [moved.message])
  if (moved.outcome !== 'done') return blocked(operation, input, moved)
  const inSync = moved.changeId === null || (await synced(context, moved.changeId))
  const found = await verify(context, operation, target)
  if (!inSync) found.name.push('the change is not in sync yet')
  // S9: writes are back when a commit was seen to return, not before; a name that can not be verified waits less.
  if (found.commit !== null) return withoutCommit(context, operation, input, found)
  if (found.name.length > 0 && (input.waits ?? 0) < patience)
    return waiting(input, 'repoint', found.name.join('; '))
  return finish(context, operation, input, moved, found.name)
}

/** No commit returns: bring the followers that it waits for, or find that the target itself has died. */
async function withoutCommit(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
  found: Verification,
): Promise<StepResult> {
  const reason = found.commit ?? ''
  if (found.down && (input.waits ?? 0) >= context.cluster.policy.silentLooks) {
    // The beat stands still from here on: assess resumes in a new term, which may choose another target.
    return done(input, 'end', [`${reason}; assess resumes in a new term`])
  }
  await followLeft(context, operation, found.looks)
  const waits = input.waits ?? 0
  // Once: where settle takes turns with it, only every second count comes by here.
  if (waits === patience || waits === patience + 1)
    await operation.write({}, { kind: 'paged', message: reason })
  // Followers alone did not help, or there are none (H27): fenced and fallen nodes are brought back, then it is asked again.
  const isHelpless = waits >= context.cluster.policy.silentLooks && !mayAnybodyFollow(operation, found.looks)
  return waiting(input, waits < patience && !isHelpless ? 'repoint' : 'settle', reason)
}

function mayAnybodyFollow({ cluster, state }: Operation, looks: readonly Look[]): boolean {
  return cluster.nodes.some(({ id }) => id !== state.primary && anyRow(looks, id)?.inRecovery === true)
}

async function finish(
  context: StepContext,
  operation: Operation,
  input: WorkflowInput,
  { row, message, facts }: Awaited<ReturnType<typeof moveName>>,
  found: readonly string[],
): Promise<StepResult> {
  const { state } = operation
  const plan = planOf(state)
  const lastFailover =
    plan.kind === 'switchover' ? state.lastFailover : { term: state.term, atMs: await clockMs(context) }
  await operation.write(
    { phase: 'settling', endpointTerm: state.term, lastFailover },
    {
      kind: 'repointed',
      row,
      message:
        found.length > 0
          ? `${message}; not verified: ${found.join('; ')}`
          : `${message}; a commit through ${state.primary} returned`,
      facts: {
        endpoint: context.cluster.endpoint.name,
        target: state.primary,
        problems: found,
        decided: facts,
      },
    },
  )
  return done(input, 'settle')
}

/** The cooldown is compared with the scheduler's clock, so it is taken from there; a host's clock only without one. */
async function clockMs(context: StepContext): Promise<number> {
  const fleet = await context.ports.store.readFleet()
  return fleet.kind === 'found' ? fleet.value.clockMs : context.ports.clock.wallMs()
}

async function blocked(
  operation: Operation,
  input: WorkflowInput,
  { row, message, facts }: Awaited<ReturnType<typeof moveName>>,
): Promise<StepResult> {
  if (operation.state.lastEvent.message !== message) {
    await operation.write({}, { kind: 'paged', row, message, facts: { decided: facts } })
  }
  return waiting(input, 'repoint', message)
}

async function synced(context: StepContext, changeId: string): Promise<boolean> {
  const { clock, endpoint } = context.ports
  const deadlineMs = clock.monotonicMs() + pollWithinStepMs
  for (;;) {
    const answer = await endpoint.inSync(changeId)
    if (answer !== 'no') return answer === 'yes'
    if (clock.monotonicMs() > deadlineMs) return false
    await clock.sleep(pollMs)
  }
}

interface Verification {
  readonly looks: readonly Look[]
  /** Why no commit is known to return; null: one was seen. */
  readonly commit: string | null
  /** A majority finds the target down. */
  readonly down: boolean
  /** What is missing of: resolved, connected, role checked. */
  readonly name: string[]
}

async function verify(context: StepContext, operation: Operation, target: NodeConfig): Promise<Verification> {
  const looks = await lookRound(operation, { writeProbe: true, endpoint: true, on: target.id })
  const needed = majority(context.observers.length)
  const seen = agreement(looks, context.observers, target.id)
  const committed = seen.class === 'writable' && seen.row?.writeProbe === 'ok'
  const through = looks.filter(
    (look) => look.endpoint?.class === 'writable' && leadsTo(context.cluster, look.endpoint, target),
  )
  const said = looks.map((look) => `${look.observer}: ${look.endpoint?.message ?? 'not asked'}`)
  return {
    looks,
    commit: committed ? null : `no commit through ${target.id} was seen to return (it is ${seen.class})`,
    down: looks.filter((look) => isDown(look.nodes[target.id]?.class ?? 'unknown')).length >= needed,
    name:
      through.length >= needed
        ? []
        : [`${context.cluster.endpoint.name} does not lead to ${target.id} (${said.join('; ')})`],
  }
}

/**
 * By its address; or, where the provider gives it a name, by that name: what is behind it changes, and the way on which
 * we probe it need not be that of the clients.
 */
function leadsTo(cluster: ClusterConfig, { addresses, cname }: EndpointLook, target: NodeConfig): boolean {
  if (addresses.includes(target.address)) return true
  const name = cname?.toLowerCase().replace(/\.$/, '')
  return isManaged(cluster) && (name === target.dnsName || name === target.address)
}

/** S13: the target is promoted and the table is away: the name still moves, by its own comparison alone. */
async function withoutTable(
  context: StepContext,
  input: WorkflowInput,
  error: StoreUnavailable,
): Promise<StepResult> {
  if (input.promoted === undefined || input.term === undefined) throw error
  // No name of ours: Aurora moves it, and nothing is left to do without the table.
  if (managedPhases(context.cluster)?.repoint) throw error
  const token = {
    deployment: context.deployment,
    cluster: input.cluster,
    term: input.term,
    endpointTerm: input.term,
  }
  const moved = await moveName(context, token, nodeOf(context, input.promoted.node))
  if (moved.outcome === 'superseded') return refused(input, [moved.message])
  return waiting(input, 'repoint', `${moved.message}; the table does not answer: ${error.message}`)
}

export const handler = stepEntry('repoint', repoint)
