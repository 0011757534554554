/** The synchronous list is changed, by hand or by settle, and the primary is lost directly afterwards. */
import { abortAll, hide, once, plain, strict, threeObservers, told, untilQuiet, untilState } from './tools.ts'

export const story = told({
  name: 'lists',
  aims: ['S2', 'S8', 'S9', 'H04', 'F62'],
  plan: (random) => ({
    change: random.pick(['emptied', 'local', 'shortened', 'shortened'] as const),
    fence: random.pick(['quorum', 'power'] as const),
    quietMs: random.between(60_000, 150_000),
    behindMs: random.between(2_000, 8_000),
    stopMs: random.between(10_000, 90_000),
    ends: random.pick(['crash', 'hidden'] as const),
  }),
  setup: ({ change, fence }) => ({
    ...plain,
    observers: threeObservers,
    policy: {
      ...strict,
      fence: change === 'shortened' ? 'quorum' : fence,
      synchronous: change === 'shortened' ? 'managed' : 'fixed',
    },
  }),
  run: async (sim, { change, quietMs, behindMs, stopMs, ends }) => {
    sim.world.instances.stopMs = stopMs
    const vanish = () => {
      hide(sim, 'a')
      sim.part('a', 'b')
    }
    if (change === 'shortened') {
      // settle makes it longer again; it dies between the list and the record, and so does the way to a and c.
      once(
        sim,
        (call) => call.name === 'list:a' && call.by.name.startsWith('operate'),
        () => 'crashAfter',
        {
          // Behind the effect: it is applied, and nobody hears of it.
          meanwhile: () =>
            void sim.time.after(0, () => {
              vanish()
              hide(sim, 'c')
              abortAll(sim)
            }),
        },
      )
      sim.change('a', 'only b in its list', (server) => {
        server.synchronousNames = 'ANY 1 ("b")'
      })
      await sim.sleep(quietMs + 90_000)
    } else {
      sim.change('a', change === 'local' ? 'synchronous_commit is local' : 'its list is empty', (server) => {
        if (change === 'local') server.synchronousCommit = 'local'
        else server.synchronousNames = ''
      })
      await sim.sleep(quietMs)
      await untilState(sim, ({ phase }) => phase === 'steady')
      if (ends === 'hidden') {
        vanish()
        sim.part('a', 'c')
      } else {
        for (const id of ['b', 'c'])
          sim.change(id, 'stream stuck', (server) => Object.assign(server, { stuck: true }))
        await sim.sleep(behindMs)
        sim.crash('a')
      }
      await sim.sleep(120_000)
    }
    sim.mend()
    await untilQuiet(sim)
  },
})
