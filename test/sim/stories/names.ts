/** The name: the table is away when it has to move, an old operation comes late, somebody edits it by hand (S13). */
import { heldMs, isOf, once, plain, promise, strict, told, untilPhase, untilQuiet } from './tools.ts'

const isTable = (name: string) =>
  /^(read(State|Reports|Approval|Fleet|Issues)|write|append|open|close)/.test(name)

export const story = told({
  name: 'names',
  aims: ['S13', 'H09', 'H16', 'H17', 'H28'],
  plan: (random) => ({
    trouble: random.pick(['table', 'late', 'ttl'] as const),
    call: random.pick(['readName', 'swap'] as const),
    stallMs: random.between(15_000, 60_000),
    awayMs: random.between(120_000, 900_000),
    syncMs: random.pick([200, 5_000]),
  }),
  setup: () => ({ ...plain, policy: { ...strict, fence: 'quorum' } }),
  run: async (sim, { trouble, call, stallMs, awayMs, syncMs }) => {
    sim.world.names.syncMs = syncMs
    if (trouble === 'ttl' && sim.world.names.cname) sim.world.names.cname.ttlSeconds = 77
    if (trouble === 'late')
      once(
        sim,
        (each) => isOf('repoint')(each) && each.name === call,
        (each) => heldMs(sim, each, stallMs),
      )
    sim.crash('a')
    if (!(await untilPhase(sim, 'repointing', 180_000))) return
    if (trouble === 'table') {
      sim.note('the table is away')
      const away = sim.addRule(({ name }) => (isTable(name) ? 'refuse' : undefined))
      promise(sim, 'the table is away, and the name moves without it', 60_000)
      await sim.sleep(awayMs)
      away.end()
    }
    if (trouble === 'late') {
      await sim.sleep(1_000)
      await sim.command({ command: 'halt', reason: 'I do not trust it', by: 'anna' })
      await sim.command({ command: 'adopt', by: 'anna' })
      await sim.sleep(stallMs + 10_000)
    }
    await untilQuiet(sim)
  },
})
