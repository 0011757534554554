/**
 * What people do once nothing is in the way any more, by what the product tells them: the todo of its issues and the
 * runbook. They start what stands still, acknowledge or adopt what is halted, and accept a loss only where they are asked.
 */
import type { ClusterState, NodeId } from '../../functions/core/types.ts'
import type { Deployment } from './world/deployment.ts'
import type { Sim } from './world/sim.ts'

/** Virtual time within which the cluster has to be well again. */
export const boundMs = 75 * 60_000
const minuteMs = 60_000

/** True when the cluster is well within the bound. */
export async function mend(sim: Sim): Promise<boolean> {
  sim.heal()
  const endMs = sim.time.nowMs + boundMs
  let waited = 0
  while (sim.time.nowMs < endMs) {
    startServers(sim)
    const well = await sim.until(() => isWell(sim), minuteMs, 500)
    // It must stay so: a minute's tick may find something left.
    if (well && (await isStillWell(sim))) return true
    waited++
    await help(sim, waited)
  }
  return isWell(sim)
}

async function isStillWell(sim: Sim): Promise<boolean> {
  await sim.sleep(5_000)
  return isWell(sim)
}

/** Steady, redundant, and rightly named, with one writable node. */
export function isWell(sim: Sim): boolean {
  const owner = responsible(sim)
  const state = stateOf(owner)
  if (state?.phase !== 'steady' || owner.running.length > 0) return false
  const { databases, names, config } = sim.world
  databases.flow()
  const target = config.nodes.find(({ id }) => id === state.primary)?.dnsName
  const servers = sim.nodes.map((id) => sim.server(id))
  return (
    names.answered?.target === target &&
    servers.every(
      (each) => each.running && !each.starting && each.inRecovery === (each.id !== state.primary),
    ) &&
    servers.every((each) => each.id === state.primary || each.receiver !== null) &&
    sim.server(state.primary).waiting.length === 0
  )
}

const stateOf = ({ world }: Deployment): ClusterState | undefined => world.table.states.get(world.config.id)

/** Whose token the name carries; of two deployments only one is in charge. */
function responsible(sim: Sim): Deployment {
  const owner = sim.world.names.read().token?.deployment
  return sim.deployments.find(({ name }) => name === owner) ?? sim.deployment
}

/** Servers that stand still are started as their files say, but for those that Understudy keeps down. */
function startServers(sim: Sim): void {
  const state = stateOf(responsible(sim))
  for (const id of sim.nodes) {
    const status = state?.nodes[id]
    const kept = status?.fenced || status?.role === 'rebuilding' || status?.role === 'quarantined'
    // What an operation fences is its own until it has ended.
    const busy = isBusy(state)
    const fenced = busy && (id === state?.plan?.from || state?.plan?.fenceRequested.includes(id))
    if (kept || fenced) continue
    if (sim.instance(id).state !== 'stopped') sim.restart(id, 300)
    else if (!busy && status?.possibleWriter === null) sim.startInstance(id)
  }
}

async function help(sim: Sim, waited: number): Promise<void> {
  const owner = responsible(sim)
  const state = stateOf(owner)
  const by = 'anna'
  if (state === undefined) return void (await sim.command({ command: 'adopt', by }, owner))
  if (state.pause !== null) await sim.command({ command: 'resume', by }, owner)
  if (state.phase === 'halted') return acknowledge(sim, owner)
  const target = asksFor(state)
  if (target !== null) {
    const { term } = state
    const approval = { term, target, acceptLoss: true, unfenced: [], minutes: 60, reason: 'looked', by }
    return void (await sim.command({ command: 'approve', ...approval }, owner))
  }
  // Of two deployments one is told to keep its hands off: that whose name it is not.
  for (const other of sim.deployments)
    if (other !== owner && isBusy(stateOf(other)))
      await sim.command({ command: 'halt', reason: 'the cluster is not yours', by }, other)
  if (isSuperseded(owner)) {
    if (isBusy(state)) await sim.command({ command: 'halt', reason: 'the world is newer', by }, owner)
    return adopt(sim, owner)
  }
  if (waited >= 12 && waited % 4 === 0) await rescue(sim, owner, state)
}

async function acknowledge(sim: Sim, owner: Deployment): Promise<void> {
  const answer = await sim.command({ command: 'acknowledge', reason: 'looked', by: 'anna' }, owner)
  if (answer?.outcome !== 'done') await adopt(sim, owner)
}

/** Adopts what is true; where nobody or more than one accepts writes, that is put right first, for the next minute. */
async function adopt(sim: Sim, owner: Deployment): Promise<void> {
  const takeOver = sim.deployments.length > 1
  const answer = await sim.command({ command: 'adopt', takeOver, by: 'anna' }, owner)
  if (answer?.outcome !== 'refused') return
  const writable = sim.nodes.filter((id) => sim.server(id).running && !sim.server(id).inRecovery)
  if (writable.length === 0) makePrimary(sim, owner)
  if (writable.length > 1) {
    const [keep] = writable.toSorted((a, b) => sim.server(b).timeline - sim.server(a).timeline)
    for (const id of writable) if (id !== keep) sim.stopInstance(id)
  }
}

/** The runbook's "decide which node is to be the primary": the recorded one while its data are whole, else the furthest. */
function makePrimary(sim: Sim, owner: Deployment): void {
  const primary = stateOf(owner)?.primary ?? 'a'
  const server = sim.server(primary)
  const isWhole = !server.half && (!server.inRecovery || server.stopped !== null)
  if (isWhole && !sim.world.hostUp(primary)) sim.startInstance(primary)
  else if (isWhole) startAsPrimary(sim, primary)
  else promoteFurthest(sim)
}

function startAsPrimary(sim: Sim, node: NodeId): void {
  sim.note(`somebody starts ${node} as the primary`)
  const server = sim.server(node)
  if (server.running) server.end('told')
  if (server.stopped !== null) server.conninfo = server.stopped.conninfo
  server.stopped = null
  server.inRecovery = false
  sim.restart(node)
}

function promoteFurthest(sim: Sim): void {
  const standbys = sim.nodes.filter((id) => sim.server(id).running && !sim.server(id).half)
  const further = (a: NodeId, b: NodeId) =>
    sim.server(b).timeline - sim.server(a).timeline || sim.server(b).log.length - sim.server(a).log.length
  const [furthest] = standbys.toSorted(further)
  if (furthest !== undefined) sim.promoteByHand(furthest)
  else for (const id of sim.nodes) if (sim.instance(id).state === 'stopped') sim.startInstance(id)
}

const isBusy = (state: ClusterState | undefined) =>
  state !== undefined && !['steady', 'settling', 'halted'].includes(state.phase)

/** The candidate that a loss has to be accepted for; null: nobody is asked. */
function asksFor({ plan, lastEvent }: ClusterState): NodeId | null {
  if (plan === null || plan.target !== null || lastEvent.row !== 'R12') return null
  return /^(\w+) is the furthest/.exec(lastEvent.message)?.[1] ?? null
}

/** A switchover has its primary in recovery, too: while one is under way that says nothing. */
function isSuperseded({ world }: Deployment): boolean {
  const keys = [...world.table.issues.values()].map(({ key }) => key)
  const busy = isBusy(world.table.states.get(world.config.id))
  return keys.includes('superseded') || (!busy && keys.includes('primary-in-recovery'))
}

/** It will not end by itself: it is halted, and from there on as the runbook says. */
async function rescue(sim: Sim, owner: Deployment, state: ClusterState): Promise<void> {
  if (state.phase === 'steady') return adopt(sim, owner)
  await sim.command({ command: 'halt', reason: 'it will not end', by: 'anna' }, owner)
}
