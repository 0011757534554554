/**
 * Could a failover be carried out now, and if not, what is missing: a quorum that sees, the right to act, the fence, the
 * name, or somebody to promote? They are told apart, since each has another remedy. Pure: the command gathers the facts.
 */
import { isAlive, majority } from './classify.ts'
import { forbiddenTarget } from './domains.ts'
import { electsNatively } from './engine.ts'
import { isInService } from './judgeFacts.ts'
import { agreement, counted } from './looks.ts'
import type { ClusterConfig, ClusterState, Look, ObserverId, Read } from './types.ts'

/** A part that was tried and failed: it answered no, or nobody knows. */
export type Trouble = { readonly kind: 'denied' | 'away'; readonly message: string } | null

export interface DoctorFacts {
  readonly cluster: ClusterConfig
  readonly observers: readonly ObserverId[]
  readonly looks: readonly Look[]
  readonly state: Read<ClusterState> | Exclude<Trouble, null>
  /** Why an automatic failover would be refused at its claim, with the row; null: it would not, or there is no state. */
  readonly refusal: string | null
  readonly breakerOpen: boolean
  /** The service that the fence asks. */
  readonly fence: Trouble
  readonly endpoint: Trouble
  /** Why the name is not ours to move, with the row; null: it is. */
  readonly nameRefusal: string | null
}

export type Check = 'quorum' | 'permission' | 'record' | 'network' | 'login' | 'fence' | 'name' | 'candidate'

/** What is in the way, with what to do; [] when a failover could be carried out. */
export interface Finding {
  readonly check: Check
  readonly message: string
}

export function examine(facts: DoctorFacts): Finding[] {
  return [
    ...quorumFindings(facts),
    ...permissionFindings(facts),
    ...nodeFindings(facts),
    ...meansFindings(facts),
  ]
}

function quorumFindings({ observers, looks }: DoctorFacts): Finding[] {
  const counts = counted(looks, observers).map((look) => look.observer)
  const needed = majority(observers.length)
  const missing = observers.filter((id) => !counts.includes(id))
  if (missing.length === 0) return []
  const failed = missing.filter((id) => looks.some((look) => look.observer === id))
  const why = failed.length === 0 ? '' : `; the canary of ${failed.join(', ')} does not answer`
  const effect =
    counts.length < needed
      ? `${needed} are needed, so nothing can be confirmed`
      : 'one more that is lost takes the quorum with it'
  return [
    {
      check: 'quorum',
      message: `${counts.length} of ${observers.length} observers look (missing: ${missing.join(', ')}${why}): ${effect}. Look at the logs and the network of their look functions.`,
    },
  ]
}

function permissionFindings({ cluster, state, refusal, breakerOpen }: DoctorFacts): Finding[] {
  const found: Finding[] = []
  if (state.kind === 'denied' || state.kind === 'away')
    found.push({
      check: state.kind === 'denied' ? 'permission' : 'record',
      message: `the table ${said(state)}: nothing can be claimed.`,
    })
  if (state.kind === 'absent')
    found.push({
      check: 'record',
      message: `${cluster.id} is not adopted: run \`understudy adopt ${cluster.id}\`.`,
    })
  if (state.kind === 'unreadable')
    found.push({ check: 'record', message: `the state can not be read: ${state.problems.join('; ')}.` })
  if (refusal !== null)
    found.push({ check: 'permission', message: `an automatic failover would be refused: ${refusal}.` })
  if (breakerOpen)
    found.push({ check: 'permission', message: 'the breaker of the fleet is open: no automatic failover.' })
  return found
}

const said = ({ kind, message }: Exclude<Trouble, null>) =>
  kind === 'denied' ? `refuses us (${message})` : `does not answer (${message})`

function nodeFindings({ cluster, observers, looks, state }: DoctorFacts): Finding[] {
  return cluster.nodes.flatMap(({ id }) => {
    // A node that is out of service by our own doing looks dead for a reason.
    if (state.kind === 'found' && !isInService(state.value, id)) return []
    const seen = counted(looks, observers).map((look) => ({ by: look.observer, node: look.nodes[id] }))
    const denied = seen.filter(({ node }) => node?.class === 'denied')
    const lost = seen.filter(({ node }) => !isAlive(node?.class ?? 'unknown'))
    const found: Finding[] = []
    if (denied.length > 0) {
      const outcome = denied[0]?.node?.outcome
      const why = outcome?.kind === 'sqlError' ? ` (${outcome.sqlState}: ${outcome.message})` : ''
      found.push({
        check: 'login',
        message: `${id} lives, but does not let ${names(denied)} in${why}, so nothing more is known of it. Look at the role of the observers, its password and pg_hba.conf.`,
      })
    }
    if (lost.length > 0)
      found.push({
        check: 'network',
        message: `${id} is ${[...new Set(lost.map(({ node }) => node?.class ?? 'unknown'))].join(', ')} for ${names(lost)}. Look at the server, its address, routes and security groups.`,
      })
    return found
  })
}

const names = (seen: readonly { readonly by: string }[]) => seen.map(({ by }) => by).join(', ')

function meansFindings(facts: DoctorFacts): Finding[] {
  const { cluster, state, fence, endpoint, nameRefusal } = facts
  const found: Finding[] = []
  if (fence !== null) found.push({ check: 'fence', message: `what fences ${said(fence)}.` })
  if (endpoint !== null) found.push({ check: 'name', message: `Route 53 ${said(endpoint)}.` })
  if (nameRefusal !== null)
    found.push({ check: 'name', message: `${cluster.endpoint.name} is not ours to move: ${nameRefusal}.` })
  if (state.kind !== 'found') return found
  const { primary, nodes } = state.value
  if (!electsNatively(cluster) && nodes[primary]?.instanceId === null)
    found.push({
      check: 'fence',
      message: `no instance of ${primary} was recorded while it was healthy, so it can not be fenced. Compare its instanceId and address, then run adopt.`,
    })
  if (candidates(facts, state.value).length === 0)
    found.push({
      check: 'candidate',
      message: `nobody could take over from ${primary}: no other node is a standby that answers and may be promoted.`,
    })
  return found
}

function candidates({ cluster, observers, looks }: DoctorFacts, { primary, nodes }: ClusterState): string[] {
  return cluster.nodes.flatMap((node) => {
    const isStandby = node.id !== primary && nodes[node.id]?.role === 'standby'
    const answers = agreement(looks, observers, node.id).class === 'recovery'
    return isStandby && answers && forbiddenTarget(cluster, primary, node) === null ? [node.id] : []
  })
}
