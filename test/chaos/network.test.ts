/** Faults of the network are what they are called; tried in a world of their own. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { findIsolation, searchPath } from './isolation.ts'

const isolation = await findIsolation()
const why = typeof isolation === 'string' ? ` (skipped: ${isolation})` : ''

test.skipIf(why !== '')(
  `links, one-way drops and delays${why}`,
  async () => {
    if (typeof isolation === 'string') return
    const [program = '', ...args] = [...isolation.enter, process.execPath]
    const script = join(import.meta.dirname, 'networkTrial.ts')
    const { stdout } = await promisify(execFile)(program, [...args, script], {
      env: { ...process.env, PATH: searchPath },
    })
    expect(JSON.parse(stdout)).toEqual({
      healthy: { hears: true, isAnswered: true },
      // What goes there is heard, and the answer gets lost; the other way round nothing is heard.
      answersDropped: { hears: true, isAnswered: false },
      questionsDropped: { hears: false, isAnswered: false },
      everythingFromDropped: { hears: true, isAnswered: false },
      everythingToDropped: { hears: false, isAnswered: false },
      // Whoever is left of it learns nothing of a pulled cable, not even an error.
      linkDown: { hears: false, isAnswered: false },
      others: { hears: true, isAnswered: true },
      healed: { hears: true, isAnswered: true },
      delayed: { hears: true, isAnswered: true, isSlowed: true },
      undelayed: { hears: true, isAnswered: true, isSlowed: false },
    })
  },
  60_000,
)
