/** DNS: the local server answers or is silent and goes on, whatever arrives; look makes nothing of what is no answer. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, isIPv4 } from 'node:net'
import { decode, encode, type Packet, streamEncode } from 'dns-packet'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseConfig } from '../../functions/config.ts'
import { look } from '../../functions/look.ts'
import type { Engine } from '../../functions/ports.ts'
import { resolveName } from '../../functions/resolve.ts'
import { lookSchema } from '../../functions/schemas.ts'
import { type LocalDns, startDns } from '../../local/dns.ts'
import { Zone } from '../../local/zone.ts'
import { example } from '../config-samples.ts'
import { fuzz } from './support.ts'

let dns: LocalDns
let udp: UdpSocket

beforeAll(async () => {
  const zone = new Zone('Z1', 'example.test')
  const record = (name: string, type: string, values: string[]) =>
    [
      `${name} ${type}`,
      { name: `${name}.example.test.`, type, ttl: 5, values, setIdentifier: null, weight: null },
    ] as const
  zone.publish(
    new Map([
      record('db', 'CNAME', ['pg1.nodes.test.']),
      record('loop', 'CNAME', ['loop.example.test.']),
      record('txt', 'TXT', [`"${'x'.repeat(255)}" "\\"q\\" \\052"`]),
      record('long', 'TXT', [`"${'y'.repeat(300)}"`]),
      record('none', 'TXT', ['not quoted']),
      record('odd', 'CAA', ['0 issue "ca.example.net"']),
      record('broken', 'A', ['not an address']),
      record('unknown', 'TYPE65000', ['\\# 1 00']),
    ]),
  )
  dns = await startDns([zone], { 'pg1.nodes.test': '127.0.0.11' })
  udp = createSocket('udp4')
  await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  udp.close()
  await dns.close()
})

const query = (name: string, type: string, more: Partial<Packet> = {}): Buffer =>
  encode({
    type: 'query',
    id: 7,
    flags: 0x100,
    questions: [{ name, type: type as 'A', class: 'IN' }],
    ...more,
  })

const names = ['db', 'loop', 'txt', 'long', 'none', 'odd', 'broken', 'unknown', 'absent'].map(
  (each) => `${each}.example.test`,
)
const types = ['A', 'AAAA', 'CNAME', 'TXT', 'SOA', 'NS', 'ANY', 'CAA', 'NULL', 'OPT', 'AXFR', 'SRV']
const edns = {
  additionals: [
    {
      type: 'OPT',
      name: '.',
      udpPayloadSize: 4096,
      flags: 0,
      options: [{ code: 8, ip: '10.0.0.0', sourcePrefixLength: 8 }],
    },
  ],
} as unknown as Partial<Packet>
const valid = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(...names, 'pg1.nodes.test', '', 'a'.repeat(63)),
      fc.constantFrom(...types),
      fc.constantFrom({}, edns),
    )
    .map(([name, type, more]) => query(name, type, more)),
  // A response, an update, several questions, none.
  fc.constantFrom(
    encode({ type: 'response', id: 7, questions: [{ name: 'db.example.test', type: 'A' }] }),
    encode({ type: 'query', id: 7, flags: 0x2800, questions: [] }),
    encode({ type: 'query', id: 7, questions: names.map((name) => ({ name, type: 'A' as const })) }),
  ),
)

/** Bytes turned over, taken out, put in, cut off. */
const damage = fc.tuple(
  fc.constantFrom('flip', 'drop', 'insert', 'cut', 'set'),
  fc.nat(),
  fc.integer({ min: 0, max: 255 }),
)
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never

function withDamage(bytes: Buffer, [how, where, byte]: Damage): Buffer {
  const at = where % (bytes.length + 1)
  const before = Buffer.from(bytes.subarray(0, at))
  const after = Buffer.from(bytes.subarray(at))
  if (how === 'cut') return before
  if (how === 'drop') return Buffer.concat([before, after.subarray(1)])
  if (how === 'insert') return Buffer.concat([before, Buffer.from([byte]), after])
  if (after.length > 0) after[0] = how === 'flip' ? (after[0] as number) ^ (1 << (byte % 8)) : byte
  return Buffer.concat([before, after])
}

const damaged = fc
  .tuple(valid, fc.array(damage, { maxLength: 4 }))
  .map(([bytes, damages]) => damages.reduce(withDamage, Buffer.from(bytes)))
const packet = fc.oneof(
  { weight: 5, arbitrary: damaged },
  fc.uint8Array({ maxLength: 600 }).map((each) => Buffer.from(each)),
)

let probes = 1_000
/** Answers to a packet: all that comes before the answer to a question asked after it. */
async function ask(bytes: Buffer): Promise<Packet[]> {
  const id = ++probes
  const answers: Packet[] = []
  const all = new Promise<Packet[]>((resolve, reject) => {
    const listen = (message: Buffer) => {
      const answer = decode(message)
      if (answer.id !== id) return void answers.push(answer)
      udp.off('message', listen)
      if (answer.answers?.length === 1) resolve(answers)
      else reject(new Error('the server does not answer as it did'))
    }
    udp.on('message', listen)
  })
  udp.send(bytes, dns.port, '127.0.0.1')
  udp.send(encode({ ...decode(query('pg1.nodes.test', 'A')), id }), dns.port, '127.0.0.1')
  return all
}

/** What nobody catches would end the process: here it fails the property, so that the packet is known. */
async function uncaught(body: () => Promise<unknown>): Promise<unknown[]> {
  const found: unknown[] = []
  const usual = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', (error) => void found.push(error))
  try {
    await body()
  } finally {
    process.removeAllListeners('uncaughtException')
    for (const listener of usual) process.on('uncaughtException', listener)
  }
  return found
}

test('by UDP', async () => {
  await fuzz(packet, 250, async (bytes) => {
    let answers: Packet[] = []
    const errors = await uncaught(async () => {
      answers = await ask(bytes)
    })
    expect(errors).toEqual([])
    expect(answers.length).toBeLessThan(2)
    for (const answer of answers) expect(answer.type).toBe('response')
    // Who answers answers talks with another server for ever.
    if (bytes.length > 2 && (bytes[2] as number) & 0x80) expect(answers).toEqual([])
  })
})

test('by TCP, in pieces, with lengths that are wrong', async () => {
  const stream = fc.record({
    packets: fc.array(packet, { minLength: 1, maxLength: 3 }),
    lengths: fc.array(fc.constantFrom(0, 0, 0, 1, -1, 500), { minLength: 3, maxLength: 3 }),
    cut: fc.integer({ min: 1, max: 40 }),
  })
  await fuzz(stream, 40, async ({ packets, lengths, cut }) => {
    const errors = await uncaught(async () => {
      const socket = connect(dns.port, '127.0.0.1')
      await once(socket, 'connect')
      const whole = Buffer.concat(
        packets.map((bytes, index) => {
          const head = Buffer.alloc(2)
          head.writeUInt16BE(Math.max(0, bytes.length + (lengths[index] ?? 0)))
          return Buffer.concat([head, bytes])
        }),
      )
      socket.write(whole.subarray(0, cut))
      socket.end(whole.subarray(cut))
      socket.resume()
      await once(socket, 'close')
    })
    expect(errors).toEqual([])
    await ask(query('db.example.test', 'A'))
  })
  expect(streamEncode(decode(query('db.example.test', 'A'))).length).toBeGreaterThan(2)
})

test('look tells of a name what a resolver can make of the answer, and of all else nothing', async () => {
  const { fleet, observer } = lookingWorld()
  const [cluster] = fleet.clusters
  let script: { answers: Packet['answers']; damages: readonly Damage[] } = { answers: [], damages: [] }
  const hostile = createSocket('udp4')
  hostile.on('message', (bytes, from) => {
    const { id = 0, questions = [] } = decode(bytes)
    const whole = encode({ type: 'response', id, flags: 0x580, questions, answers: script.answers ?? [] })
    const answer = script.damages.reduce(withDamage, whole)
    // An answer to another question is not heard at all.
    if (answer.length > 2) answer.writeUInt16BE(id, 0)
    hostile.send(answer, from.port, from.address)
  })
  await new Promise<void>((resolve) => hostile.bind(0, '127.0.0.1', resolve))
  const name = cluster?.endpoint.name ?? ''
  const record = fc.constantFrom(
    { name, type: 'CNAME', ttl: 5, data: 'elsewhere.example' } as const,
    { name, type: 'CNAME', ttl: 5, data: name } as const,
    { name: 'elsewhere.example', type: 'A', ttl: 5, data: '10.0.1.11' } as const,
    { name, type: 'A', ttl: 2 ** 31 - 1, data: '0.0.0.0' } as const,
    { name, type: 'AAAA', ttl: 5, data: '::1' } as const,
    { name, type: 'TXT', ttl: 5, data: 'x'.repeat(200) } as const,
  )
  const scripts = fc.record({
    answers: fc.array(record, { maxLength: 4 }),
    damages: fc.array(damage, { maxLength: 2 }),
  })
  try {
    await fuzz(scripts, 15, async (each) => {
      script = { answers: [...each.answers], damages: each.damages }
      const resolver = `127.0.0.1:${hostile.address().port}`
      const seen = await look(
        {
          fleet,
          observer,
          clock: { monotonicMs: () => 0, wallMs: () => 0, sleep: async () => undefined },
          engine: () =>
            ({ probe: async () => ({ kind: 'refused', message: 'nobody' }) }) as unknown as Engine,
          resolve: (asked) => resolveName(asked, { resolver, timeoutMs: 200 }),
          canary: async () => true,
        },
        { cluster: 'orders', lookId: 'look-1', writeProbeOn: null, endpoint: true },
      )
      expect(lookSchema.safeParse(seen).error).toBeUndefined()
      const { addresses = [], class: found, message } = seen.endpoint ?? {}
      for (const address of addresses) expect(isIPv4(address)).toBe(true)
      expect(found).toBe(addresses.length === 0 ? 'unknown' : 'refused')
      expect(message).not.toBe('')
    })
  } finally {
    hostile.close()
  }
})

function lookingWorld() {
  const fleet = parseConfig(example)
  return { fleet, observer: fleet.observers[0]?.id ?? '' }
}
