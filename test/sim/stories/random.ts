/** Anything, at any moment: troubles drawn one after the other, some mended in between, most left for the end. */
import type { Random } from '../random.ts'
import type { Sim } from '../world/sim.ts'
import type { Story } from './index.ts'

interface Parameters {
  readonly rounds: number
  /** All that happens is drawn from it. */
  readonly random: Random
}

type Trouble = (sim: Sim, random: Random) => unknown

/** A node: more often than others the recorded primary. */
const victim = (sim: Sim, random: Random) => (random.chance(0.5) ? sim.state.primary : random.pick(sim.nodes))
const anybody = (sim: Sim) => [...sim.observers, ...sim.nodes, 'operator', 'clients']

const troubles: readonly (readonly [weight: number, Trouble])[] = [
  [8, (sim, random) => sim.crash(victim(sim, random), random.chance(0.8) ? 'untold' : 'told')],
  [3, (sim, random) => sim.restart(random.pick(sim.nodes), random.below(5_000))],
  [2, (sim, random) => sim.freeze(victim(sim, random))],
  [2, (sim, random) => sim.thaw(victim(sim, random))],
  [1, (sim, random) => sim.stopInstance(victim(sim, random))],
  [2, (sim, random) => sim.startInstance(random.pick(sim.nodes))],
  [3, (sim, random) => sim.cut(random.pick(anybody(sim)), victim(sim, random))],
  [2, (sim, random) => sim.cut(victim(sim, random), random.pick(anybody(sim)))],
  [3, (sim, random) => isolate(sim, random)],
  [4, (sim) => sim.mend()],
  [1, (sim, random) => sim.change(victim(sim, random), 'disk full', (server) => (server.diskFull = true))],
  [1, (sim, random) => sim.change(random.pick(sim.nodes), 'stream stuck', (server) => (server.stuck = true))],
  [1, (sim, random) => lag(sim, random)],
  [1, (sim, random) => paused(sim, random)],
  [1, (sim, random) => sim.change(random.pick(sim.nodes), 'stream well', (server) => (server.stuck = false))],
  [3, (sim, random) => storm(sim, random)],
  [2, (sim, random) => lambdas(sim, random)],
  [2, (sim) => sim.turn({ table: 0, names: 0, instances: 0, hosts: 0, sessions: 0, deaths: 0, stalls: 0 })],
  [
    1,
    (sim, random) =>
      Object.assign(sim.deployment.stream.troubles, { duplicated: 0.3, delayMs: random.below(9_000) }),
  ],
  [2, (sim) => sim.command({ command: 'pause', owner: 'anna', reason: 'work', minutes: 2 })],
  [1, (sim) => sim.command({ command: 'resume', by: 'anna' })],
  [3, (sim) => sim.command({ command: 'switchover', reason: 'work', by: 'anna' })],
  [2, (sim) => sim.command({ command: 'failover', reason: 'by hand', by: 'anna' })],
  [1, (sim) => sim.command({ command: 'halt', reason: 'I do not trust it', by: 'anna' })],
  [1, (sim) => sim.command({ command: 'acknowledge', reason: 'looked', by: 'anna' })],
  [1, (sim, random) => abort(sim, random)],
  [1, (sim, random) => again(sim, random)],
  [1, (sim, random) => observerDown(sim, random)],
  [1, (sim, random) => canaryDown(sim, random)],
  [1, (sim, random) => route53(sim, random)],
  [1, (sim, random) => ec2(sim, random)],
  [0.5, (sim, random) => says(sim, random)],
  [1, (sim, random) => skewed(sim, random)],
]

function isolate(sim: Sim, random: Random): void {
  const node = victim(sim, random)
  const others = anybody(sim).filter((each) => each !== node)
  for (const each of random.some(others, random.between(1, others.length))) {
    if (random.chance(0.7)) sim.cut(each, node)
    if (random.chance(0.7)) sim.cut(node, each)
  }
}

function lag(sim: Sim, random: Random): void {
  const entries = random.between(1, 20)
  sim.change(random.pick(sim.nodes), `${entries} entries behind`, (server) => (server.lag = entries))
}

function paused(sim: Sim, random: Random): void {
  sim.change(random.pick(sim.nodes), 'replay paused', (server) => (server.replayPaused = true))
}

function storm(sim: Sim, random: Random): void {
  const rate = random.pick([0.02, 0.05, 0.2])
  const service = random.pick([
    'table',
    'names',
    'instances',
    'hosts',
    'sessions',
    'deaths',
    'stalls',
  ] as const)
  sim.turn({ [service]: service === 'deaths' || service === 'stalls' ? rate / 4 : rate })
}

function lambdas(sim: Sim, random: Random): void {
  const kind = random.pick(['throttled', 'lost', 'delayed', 'duplicated', 'unheard', 'zombie'] as const)
  sim.note(`invocations are ${kind}`)
  sim.deployment.lambda.troubles[kind] = random.pick([0, 0.05, 0.3])
  sim.deployment.eventsLost = random.pick([0, 0, 0.3])
}

function abort(sim: Sim, random: Random): void {
  const { running } = sim.deployment
  if (running.length === 0) return
  const execution = random.pick(running)
  sim.note(`somebody stops the execution ${execution.name}`)
  execution.run.abort()
}

function again(sim: Sim, random: Random): void {
  const { executions } = sim.deployment
  if (executions.length === 0) return
  const { name, input } = random.pick(executions.slice(-3))
  sim.note(`somebody starts the execution ${name} again`)
  sim.deployment.start(`${name}-again-${executions.length}`, input)
}

function observerDown(sim: Sim, random: Random): void {
  const observer = random.pick(sim.observers)
  sim.note(`observer ${observer} runs no more`)
  sim.world.observersDown.clear()
  sim.world.observersDown.add(observer)
}

function skewed(sim: Sim, random: Random): void {
  const skews = [-7_200_000, -60_000, 60_000, 7_200_000]
  if (random.chance(0.5)) {
    sim.deployment.schedulerSkewMs = random.pick(skews)
    sim.note(`the scheduler's clock is off by ${sim.deployment.schedulerSkewMs} ms`)
    return
  }
  const off = new Map([...'abcdefgh'].map((letter) => [letter, random.pick(skews)]))
  sim.world.wallSkewMs = ({ name }) => off.get(name.at(-1) ?? '') ?? random.pick(skews)
  sim.note('the clocks of functions are off')
}

function canaryDown(sim: Sim, random: Random): void {
  const observer = random.pick(sim.observers)
  sim.note(`the canary of ${observer} does not answer`)
  sim.world.canaries.set(observer, false)
}

function route53(sim: Sim, random: Random): void {
  const { names } = sim.world
  names.syncMs = random.pick([200, 15_000, 60_000])
  names.refusal = random.chance(0.3) ? 'InvalidChangeBatch' : null
  sim.note(`Route 53: in sync after ${names.syncMs} ms, ${names.refusal ?? 'refuses nothing'}`)
}

function ec2(sim: Sim, random: Random): void {
  const { instances } = sim.world
  instances.stopMs = random.pick([500, 25_000, 200_000])
  instances.refusing.clear()
  if (random.chance(0.4)) instances.refusing.add(sim.instance(sim.state.primary).id)
  sim.note(`EC2: a stop takes ${instances.stopMs} ms, refused: ${[...instances.refusing]}`)
}

function says(sim: Sim, random: Random): void {
  const sqlState = random.pick(['53300', '28P01', '57P03', 'XX000', null])
  const set = (server: { says: string | null }) => {
    server.says = sqlState
  }
  sim.change(victim(sim, random), `answers with ${sqlState}`, set)
}

const whole = troubles.reduce((sum, [weight]) => sum + weight, 0)

function draw(random: Random): Trouble {
  let left = random.next() * whole
  for (const [weight, trouble] of troubles) {
    left -= weight
    if (left < 0) return trouble
  }
  throw new Error('no trouble is left')
}

export const story: Story<Parameters> = {
  name: 'random',
  weight: 0.9,
  aims: ['F38', 'F45', 'S1', 'S4', 'S5'],
  plan: (random) => ({ rounds: random.between(2, 5), random }),
  run: async (sim, { rounds, random }) => {
    for (let round = 0; round < rounds; round++) {
      for (let left = random.between(1, 4); left > 0; left--) {
        void draw(random)(sim, random)
        await sim.sleep(random.pick([20, 300, 1_500, 6_000, 20_000]))
      }
      await sim.until(() => sim.state.phase === 'steady', random.pick([20_000, 90_000, 200_000]), 1_000)
    }
  },
}
