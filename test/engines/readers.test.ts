/** Nodes with an address of their readers: which of two answers is the node's. */
import { describe, expect, test } from 'vitest'
import type { ProbeOutcome } from '../../functions/core/types.ts'
import { passwordsBy } from '../../functions/engines/passwords.ts'
import { withReaders } from '../../functions/engines/readers.ts'
import type { Engine, ProbeSession, SessionEnded } from '../../functions/ports.ts'
import * as build from '../core/build.ts'

const reader = 'a.cluster-ro-c1.eu-central-1.rds.amazonaws.com'
const cluster = build.cluster({
  nodes: [build.node('a', '1', { address: 'a.cluster', readerAddress: reader }), build.node('b', '2')],
})
const [node, plain] = cluster.nodes as [(typeof cluster.nodes)[number], (typeof cluster.nodes)[number]]
const answered = (inRecovery: boolean): ProbeOutcome => ({
  kind: 'answered',
  row: build.primaryRow({ inRecovery }),
})
const [writable, inRecovery] = [answered(false), answered(true)]
const refused: ProbeOutcome = { kind: 'refused', message: 'nobody listens' }
const starting: ProbeOutcome = { kind: 'sqlError', sqlState: '57P03', message: 'starting up' }
const options = { timeoutMs: 100, writeProbe: true }

/** By address; what was asked of it is noted. */
function engineOf(outcomes: Readonly<Record<string, ProbeOutcome>>) {
  const asked: string[] = []
  const ends = new Map<string, (ended: SessionEnded) => void>()
  const closed: string[] = []
  const tell = (address: string, { writeProbe }: { writeProbe: boolean }) => {
    asked.push(`${address} ${writeProbe}`)
    return outcomes[address] ?? refused
  }
  const engine: Engine = {
    probe: async (_cluster, { address }, probe) => tell(address, probe),
    openSession: (_cluster, { address }, onEnd): ProbeSession => {
      ends.set(address, onEnd)
      return { probe: async (probe) => tell(address, probe), close: () => void closed.push(address) }
    },
    act: async () => ({ outcome: 'refused', message: '' }),
  }
  return { engine: withReaders(engine), asked, ends, closed }
}

const cases: readonly (readonly [string, ProbeOutcome, ProbeOutcome, ProbeOutcome])[] = [
  ['a secondary lives by its readers', refused, inRecovery, inRecovery],
  ['a writer is not hidden by its readers', writable, inRecovery, writable],
  ['a server that is on its way up is said to be', starting, inRecovery, starting],
  ['nobody answers', refused, { kind: 'timeout', stage: 'connect', afterMs: 100 }, refused],
]

describe('S7 a node that has readers', () => {
  test.each(cases)('%s', async (_what, writer, readers, expected) => {
    const { engine, asked } = engineOf({ 'a.cluster': writer, [reader]: readers })
    expect(await engine.probe(cluster, node, options)).toEqual(expected)
    const session = engine.openSession(cluster, node, () => undefined)
    expect(await session.probe(options)).toEqual(expected)
    // A commit through the readers' endpoint says nothing of the one that clients use.
    expect(asked).toEqual(['a.cluster true', `${reader} false`, 'a.cluster true', `${reader} false`])
  })

  test('the end of a session with a reader is no news; both are closed', () => {
    const heard: SessionEnded[] = []
    const { engine, ends, closed } = engineOf({})
    const session = engine.openSession(cluster, node, (ended) => heard.push(ended))
    ends.get(reader)?.({ how: 'untold', code: null })
    expect(heard).toEqual([])
    ends.get('a.cluster')?.({ how: 'untold', code: null })
    expect(heard).toHaveLength(1)
    session.close()
    expect(closed).toEqual(['a.cluster', reader])
  })
})

test('a node without readers is asked at its one address', async () => {
  const { engine, asked } = engineOf({ [plain.address]: writable })
  expect(await engine.probe(cluster, plain, options)).toEqual(writable)
  await engine.openSession(cluster, plain, () => undefined).probe(options)
  expect(asked).toEqual([`${plain.address} true`, `${plain.address} true`])
})

test('a token for the readers is signed for their name, in the Region of their cluster', async () => {
  const signed: unknown[] = []
  const passwords = passwordsBy({
    password: async () => '',
    token: async (place) => String(signed.push(place)),
  })
  const config = {
    ...cluster,
    nodes: [build.node('b', '2'), build.node('a', '1', { readerAddress: reader, region: 'eu-west-1' })],
    connection: { ...cluster.connection, password: { from: 'iam' as const } },
  }
  await passwords(config, 'observer', { address: reader, port: 5432 })
  expect(signed).toMatchObject([{ region: 'eu-west-1', hostname: reader }])
})
