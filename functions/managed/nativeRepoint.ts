/** aurora-global with the global writer endpoint: Aurora moves the name, and it is waited for. No name of ours exists. */
import { isDown, isOutOfRecovery, majority } from '../core/classify.ts'
import { agreement } from '../core/looks.ts'
import { nativeProgress } from '../core/nativeProgress.ts'
import type { ClusterConfig, Look, NodeConfig } from '../core/types.ts'
import type { StepContext } from '../entry.ts'
import { done, type Operation, waiting } from '../operation.ts'
import { lookRound, nodeOf, planOf } from '../step.ts'
import { endpointEvents } from './nativeSight.ts'
import type { NativeStep } from './nativeWatch.ts'

/** An endpoint that can not be verified after this many returns holds nothing back: settle goes on. */
const patience = 20

export function movesNoName(cluster: ClusterConfig): boolean {
  return cluster.engine === 'aurora-global' && cluster.managed?.globalEndpoint === true
}

export const repointNative: NativeStep = async (context, operation, input) => {
  const target = nodeOf(operation, operation.state.primary)
  const looks = await lookRound(operation, { writeProbe: true, endpoint: true, on: target.id })
  const needed = majority(context.observers.length)
  const seen = agreement(looks, context.observers, target.id)
  const waits = input.waits ?? 0
  if (seen.class !== 'writable' || seen.row?.writeProbe !== 'ok') {
    const reason = `no commit through ${target.id} was seen to return (it is ${seen.class})`
    const down = looks.filter((look) => isDown(look.nodes[target.id]?.class ?? 'unknown')).length >= needed
    // The beat stands still from here on: assess resumes in a new term, which may follow another election.
    if (down && waits >= context.cluster.policy.silentLooks)
      return done(input, 'end', [`${reason}; assess resumes in a new term`])
    if (waits === patience) await operation.write({}, { kind: 'paged', message: reason })
    return waiting(input, 'repoint', reason)
  }
  const problem = await endpointProblem(context, operation, { target, looks, needed })
  if (problem !== null && waits < patience) return waiting(input, 'repoint', problem)
  return finish(context, operation, input, problem)
}

async function endpointProblem(
  context: StepContext,
  operation: Operation,
  { target, looks, needed }: { target: NodeConfig; looks: readonly Look[]; needed: number },
): Promise<string | null> {
  const { name } = context.cluster.endpoint
  const writable = looks.filter((look) => look.endpoint?.class === 'writable')
  const said = looks.map((look) => `${look.observer}: ${look.endpoint?.message ?? 'not asked'}`)
  if (writable.length < needed) return `${name} does not lead to a writer yet (${said.join('; ')})`
  // An old primary that Aurora could not block is writable, too: while one is, it must lead to the new one.
  const through = writable.filter(({ endpoint }) => {
    const found = [endpoint?.cname ?? '', ...(endpoint?.addresses ?? [])]
    return found.includes(target.address) || found.includes(target.dnsName)
  })
  const others = operation.cluster.nodes.filter(
    ({ id }) => id !== target.id && looks.some((look) => isOutOfRecovery(look.nodes[id]?.class ?? 'unknown')),
  )
  if (through.length >= needed || others.length === 0) return null
  if (await movedByEvent(context, operation, target)) return null
  return `${name} leads to a writer, and Aurora has not said yet that it is ${target.id} (${said.join('; ')})`
}

/** Only what is newer than our own call says something: the endpoint may have moved there and back within the hour. */
async function movedByEvent(
  context: StepContext,
  operation: Operation,
  target: NodeConfig,
): Promise<boolean> {
  const { asked, eventsBefore } = nativeProgress(planOf(operation.state))
  if (asked === 'no') return false
  const events = await endpointEvents(context.ports, context.cluster, target.id)
  return events.some(({ message, atText }) => !eventsBefore.includes(`${atText} ${message}`))
}

async function finish(
  context: StepContext,
  operation: Operation,
  input: Parameters<NativeStep>[2],
  problem: string | null,
) {
  const { state } = operation
  const fleet = await context.ports.store.readFleet()
  const atMs = fleet.kind === 'found' ? fleet.value.clockMs : context.ports.clock.wallMs()
  const planned = planOf(state).kind === 'switchover'
  const { name } = context.cluster.endpoint
  await operation.write(
    {
      phase: 'settling',
      endpointTerm: state.term,
      lastFailover: planned ? state.lastFailover : { term: state.term, atMs },
    },
    {
      kind: 'repointed',
      message:
        problem === null
          ? `Aurora moved ${name} to ${state.primary}; a commit through it returned`
          : `a commit through ${state.primary} returned; not verified: ${problem}`,
      facts: { endpoint: name, target: state.primary, problems: problem === null ? [] : [problem] },
    },
  )
  return done(input, 'settle')
}
