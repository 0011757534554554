/** Attempts of one step overlap: one stalls in a call, its caller is told that it failed, and another one begins. */
import { abortAll, heldMs, isOf, once, plain, strict, told, untilPhase, untilQuiet } from './tools.ts'

const steps = ['confirm', 'fence', 'promote', 'repoint', 'settle'] as const
const calls = ['readState', 'writeState', 'operate', 'look', 'describe', 'stop', 'swap', 'readName'] as const

export const story = told({
  name: 'zombies',
  aims: ['S1', 'S3', 'S4', 'H01', 'H06', 'H12'],
  plan: (random) => ({
    fence: random.pick(['quorum', 'power'] as const),
    step: random.pick(steps),
    call: random.pick(calls),
    nth: random.below(4),
    stallMs: random.pick([2_000, 8_000, 20_000, 45_000, 65_000]),
    /** Who begins another attempt: Lambda tells the workflow of a failure, or a person starts it. */
    other: random.pick(['unheard', 'unheard', 'again', 'abort', 'order', 'order'] as const),
    ordered: random.chance(0.3),
    stopMs: random.pick([3_000, 25_000, 60_000]),
  }),
  setup: ({ fence }) => ({ ...plain, policy: { ...strict, fence } }),
  run: async (sim, { step, call, nth, stallMs, other, ordered, stopMs }) => {
    const { deployment } = sim
    sim.world.instances.stopMs = stopMs
    if (other === 'unheard') deployment.lambda.troubles.unheard = 0.5
    const stalled = once(
      sim,
      (each) => isOf(step)(each) && each.name === call,
      (each) => heldMs(sim, each, stallMs),
      { nth },
    )
    if (ordered) void sim.command({ command: 'failover', reason: 'by hand', by: 'anna' })
    else sim.crash('a')
    await sim.until(stalled.happened, 120_000, 20)
    if (other === 'again') {
      const last = deployment.executions.at(-1)
      if (last) deployment.start(`${last.name}-again`, last.input)
    } else if (other === 'abort') abortAll(sim)
    // A failover by hand takes over what is confirming.
    else if (other === 'order') void sim.command({ command: 'failover', reason: 'by hand', by: 'anna' })
    await sim.sleep(stallMs)
    await untilPhase(sim, 'settling', 240_000)
    await untilQuiet(sim)
  },
})
