/** What is left once an election was followed: rows `S…` do not exist for it; each node is judged by what it is now. */
import type { NativeSight } from './nativeFacts.ts'
import type { ClusterState, NodeClass, NodeId } from './types.ts'

export type NativeTask =
  | { readonly do: 'identify'; readonly node: NodeId; readonly resourceId: string }
  | { readonly do: 'joined'; readonly node: NodeId; readonly reason: string }

export interface NativeSettleFacts {
  readonly state: ClusterState
  /** The last two readings of the provider, which agree; null: they do not, or there are not two. */
  readonly sight: NativeSight | null
  /** What a majority of the observers sees. */
  readonly classes: Readonly<Record<NodeId, NodeClass>>
}

/** Work of this pass, and what is left that only Aurora can do. */
export function nativeWork({ state, sight, classes }: NativeSettleFacts): {
  tasks: NativeTask[]
  left: string[]
} {
  const tasks: NativeTask[] = []
  const left: string[] = []
  if (sight === null) return { tasks, left: ['the writer by AWS was not read twice'] }
  if (sight.writer !== state.primary)
    left.push(`the writer by AWS is ${sight.writer ?? sight.stranger ?? 'nobody'}, not ${state.primary}`)
  for (const [id, status] of Object.entries(state.nodes)) {
    const seen = sight.nodes[id]
    const sees = classes[id] ?? 'unknown'
    const isHealthy = seen?.available === true && ['writable', 'recovery'].includes(sees)
    if (isHealthy && seen.resourceId !== null && seen.resourceId !== status.instanceId)
      tasks.push({ do: 'identify', node: id, resourceId: seen.resourceId })
    if (id === state.primary || (status.role === 'standby' && status.possibleWriter === null)) continue
    // A reader by AWS, by its own answer, and fed by the writer: the storage takes no write from it (S2).
    const isReader =
      sight.writer === state.primary && sight.underWay === null && seen?.connected === true && seen.available
    if (isReader && sees === 'recovery')
      tasks.push({ do: 'joined', node: id, reason: `${id} is a healthy reader of ${state.primary}` })
    else left.push(`${id}: ${waitsFor(seen, sees)}`)
  }
  return { tasks, left }
}

function waitsFor(seen: NativeSight['nodes'][string] | undefined, sees: NodeClass): string {
  if (sees === 'writable' || sees === 'writes blocked')
    return 'it accepts writes although it is not the writer: stop its clients; Aurora makes it a reader'
  if (seen === undefined) return 'AWS does not list it'
  if (!seen.connected) return 'Aurora has not yet brought it back as a secondary'
  return seen.available
    ? `it is ${sees} to a majority of the observers`
    : 'AWS does not call it available, or its Region does not answer'
}
