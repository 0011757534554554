/** People have the last word: pauses, halts, cooldowns and approvals, with clocks that are wrong (S14, S3, H20). */
import { plain, strict, told, untilPhase, untilQuiet, untilState } from './tools.ts'

const cases = ['pause', 'halt', 'cooldown', 'halt under way'] as const
const ms = 3_600_000

export const story = told({
  name: 'people',
  aims: ['S3', 'S14', 'H20', 'H25', 'F68', 'F80'],
  plan: (random) => ({
    asked: random.pick(cases),
    minutes: random.between(10, 60),
    /** Clocks of the functions' hosts, beyond the true time. */
    skewMs: random.pick([0, 2 * ms, 2 * ms, -ms]),
    jumps: random.chance(0.3),
    haltAfterMs: random.between(100, 6_000),
    promoting: random.chance(0.7),
    promotionMs: random.between(1_000, 15_000),
    fence: random.pick(['quorum', 'power'] as const),
  }),
  setup: ({ asked, fence }) => ({
    ...plain,
    policy: {
      ...strict,
      fence,
      cooldownMs: asked === 'cooldown' ? 3_600_000 : 0,
    },
  }),
  run: async (sim, { asked, minutes, skewMs, jumps, haltAfterMs, promoting, promotionMs }) => {
    sim.world.instances.stopMs = 10_000
    sim.world.promotionMs = promotionMs
    // A tick of the scheduler, by whose clock all of this is told.
    await sim.sleep(70_000)
    if (asked === 'pause') await sim.command({ command: 'pause', owner: 'anna', reason: 'work', minutes })
    if (skewMs !== 0) sim.note(`the clocks of functions are off by ${skewMs} ms`)
    sim.world.wallSkewMs = () => skewMs
    if (jumps) {
      sim.deployment.schedulerSkewMs = 2 * ms
      sim.note('one event of the scheduler carries a wrong time')
      await sim.sleep(60_000)
      sim.deployment.schedulerSkewMs = 0
    }
    sim.crash('a')
    if (asked === 'pause') return void (await sim.sleep(150_000))
    if (asked === 'halt under way') {
      if (promoting) await untilState(sim, ({ plan }) => plan?.target != null, 120_000)
      else await untilPhase(sim, 'confirming', 60_000)
      await sim.sleep(haltAfterMs)
      await sim.command({ command: 'halt', reason: 'I do not trust it', by: 'anna' })
      await sim.sleep(180_000)
      return
    }
    await untilPhase(sim, 'settling', 240_000)
    if (asked === 'halt') await sim.command({ command: 'halt', reason: 'I do not trust it', by: 'anna' })
    else await untilState(sim, ({ phase }) => phase === 'steady', 400_000)
    sim.crash(sim.state.primary)
    await sim.sleep(200_000)
    await untilQuiet(sim)
  },
})
