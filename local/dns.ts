/**
 * An authoritative DNS server on UDP and TCP (`dig`, `dig +tcp`, every resolver) for hosted zones and for the fixed
 * addresses of hosts. Names of neither are REFUSED.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import {
  type Answer,
  decode,
  encode,
  type Packet,
  type Question,
  streamDecode,
  streamEncode,
} from 'dns-packet'
import { absolute, type RecordSet, type Zone } from './zone.ts'

export interface LocalDns {
  /** `address:port`, for resolvers. */
  readonly address: string
  readonly port: number
  /** Hosts may be added and moved while it runs: name to IPv4 address. */
  readonly hosts: Map<string, string>
  close(): Promise<void>
}

type Code = 'NOERROR' | 'NXDOMAIN' | 'REFUSED' | 'FORMERR'
const codes: Record<Code, number> = { NOERROR: 0, FORMERR: 1, NXDOMAIN: 3, REFUSED: 5 }
const authoritative = 1 << 10
const truncated = 1 << 9

export async function startDns(
  zones: readonly Zone[],
  hosts: Readonly<Record<string, string>>,
  port = 0,
  address = '127.0.0.1',
): Promise<LocalDns> {
  const known = new Map(Object.entries(hosts).map(([name, address]) => [absolute(name), address]))
  const reply = (message: Packet) => answer(message, zones, known)
  const sockets = new Set<Socket>()
  const tcp = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    serveTcp(socket, reply)
  })
  const { udp, port: bound } = await bindBoth(tcp, address, port)
  udp.on('message', (bytes, from) => {
    const response = safely(() => {
      const message = decode(bytes)
      return isQuery(message) ? sized(message, reply(message)) : null
    })
    if (response) udp.send(response, from.port, from.address)
  })
  return {
    address: `${address}:${bound}`,
    port: bound,
    hosts: known,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => udp.close(() => resolve()))
      await new Promise<void>((resolve) => tcp.close(() => resolve()))
    },
  }
}

/** The same port for both; one that is free for the first may be taken for the second, then another is tried. */
async function bindBoth(
  tcp: Server,
  address: string,
  port: number,
  tries = 20,
): Promise<{ udp: UdpSocket; port: number }> {
  await new Promise<void>((resolve, reject) => {
    tcp.once('error', reject)
    tcp.listen(port, address, resolve)
  })
  const bound = (tcp.address() as AddressInfo).port
  const udp = createSocket('udp4')
  try {
    await new Promise<void>((resolve, reject) => {
      udp.once('error', reject)
      udp.bind(bound, address, resolve)
    })
    return { udp, port: bound }
  } catch (error) {
    udp.close()
    await new Promise<void>((resolve) => tcp.close(() => resolve()))
    if (port !== 0 || tries <= 1) throw error
    return bindBoth(tcp, address, port, tries - 1)
  }
}

function serveTcp(socket: Socket, reply: (message: Packet) => Packet): void {
  let buffered = Buffer.alloc(0)
  socket.on('data', (bytes) => {
    buffered = Buffer.concat([buffered, bytes])
    while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
      const length = 2 + buffered.readUInt16BE(0)
      const response = safely(() => {
        const message = streamDecode(buffered.subarray(0, length))
        return isQuery(message) ? streamEncode(reply(message)) : null
      })
      buffered = buffered.subarray(length)
      if (response) socket.write(response)
    }
  })
}

/** An answer that exceeds what the client takes over UDP is cut short and marked, so that it asks again over TCP. */
function sized(message: Packet, response: Packet): Buffer {
  const bytes = encode(response)
  const opt = message.additionals?.find(({ type }) => type === 'OPT') as
    | { udpPayloadSize?: number }
    | undefined
  if (bytes.length <= Math.max(512, opt?.udpPayloadSize ?? 512)) return bytes
  return encode({ ...response, flags: (response.flags ?? 0) | truncated, answers: [], authorities: [] })
}

function answer(message: Packet, zones: readonly Zone[], hosts: ReadonlyMap<string, string>): Packet {
  const question = message.questions?.[0]
  const found = question
    ? lookUp(question, zones, hosts)
    : { code: 'FORMERR' as const, answers: [], authorities: [] }
  // EDNS: whoever sends an OPT record expects one back.
  const opt = (message.additionals ?? []).filter(({ type }) => type === 'OPT')
  const recursionDesired = (message.flags ?? 0) & 0x0100
  const authority = found.code === 'NOERROR' || found.code === 'NXDOMAIN' ? authoritative : 0
  return {
    type: 'response',
    id: message.id ?? 0,
    flags: recursionDesired | authority | codes[found.code],
    questions: message.questions ?? [],
    answers: found.answers,
    authorities: found.authorities,
    additionals: opt.map((record) => ({ ...record, name: '.', udpPayloadSize: 1232 }) as Answer),
  }
}

interface Found {
  readonly code: Code
  readonly answers: Answer[]
  readonly authorities: Answer[]
}

function lookUp({ name, type }: Question, zones: readonly Zone[], hosts: ReadonlyMap<string, string>): Found {
  const answers: Answer[] = []
  let current = absolute(name)
  let code: Code = 'NOERROR'
  // A chain of CNAMEs is followed as far as we are the authority; its length is bounded against loops.
  for (let hop = 0; hop < 8; hop += 1) {
    const records = recordsAt(current, zones, hosts)
    if (records === null) {
      if (hop === 0) return { code: 'REFUSED', answers, authorities: [] }
      break
    }
    const cname = type === 'CNAME' ? undefined : records.find((record) => record.type === 'CNAME')
    const shown = hop === 0 ? name : undotted(current)
    if (!cname) {
      answers.push(
        ...records.filter((record) => record.type === type).flatMap((record) => render(shown, record)),
      )
      if (records.length === 0) code = 'NXDOMAIN'
      break
    }
    answers.push(...render(shown, cname))
    current = absolute(cname.values[0] ?? '')
  }
  const negative = answers.at(-1) === undefined || code === 'NXDOMAIN'
  const zone = zones.find((candidate) => candidate.contains(current))
  return { code, answers, authorities: negative && zone ? [soa(zone)] : [] }
}

/** Null: not ours to answer. */
function recordsAt(
  name: string,
  zones: readonly Zone[],
  hosts: ReadonlyMap<string, string>,
): RecordSet[] | null {
  const record = (type: string, ttl: number, values: string[]): RecordSet => ({
    name,
    type,
    ttl,
    values,
    setIdentifier: null,
    weight: null,
  })
  const address = hosts.get(name)
  if (address !== undefined) return [record('A', 1, [address])]
  const zone = zones.find((candidate) => candidate.contains(name))
  if (!zone) return null
  const records = zone.answers(name)
  if (name !== zone.name) return records
  return [...records, record('SOA', 60, ['']), record('NS', 60, [`ns.${zone.name}`])]
}

function render(name: string, record: RecordSet): Answer[] {
  const base = { name, ttl: record.ttl, class: 'IN' as const }
  return record.values.map((value): Answer => {
    switch (record.type) {
      case 'TXT':
        return { ...base, type: 'TXT', data: txtStrings(value) }
      case 'SOA':
        return { ...soa({ name: record.name }), name }
      case 'CNAME':
      case 'NS':
        return { ...base, type: record.type, data: undotted(value) }
      default:
        return { ...base, type: record.type as 'A', data: value }
    }
  })
}

function soa(zone: { name: string }): Answer {
  const name = undotted(zone.name)
  const data = {
    mname: `ns.${name}`,
    rname: `hostmaster.${name}`,
    serial: 1,
    refresh: 60,
    retry: 60,
    expire: 60,
    minimum: 1,
  }
  return { name, type: 'SOA', ttl: 1, class: 'IN', data }
}

/** `"one" "two"` with backslash escapes, as the API has it, to its strings. */
function txtStrings(value: string): string[] {
  const quoted = [...value.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) => text)
  return quoted.map((text) => {
    const plain = text.replaceAll(/\\(\d{3}|.)/g, (_all, escaped: string) =>
      escaped.length === 3 ? String.fromCharCode(Number.parseInt(escaped, 8)) : escaped,
    )
    // Its length has one byte: written all the same, it would spoil the rest of the answer.
    if (Buffer.byteLength(plain) > 255) throw new Error('a string of a TXT record has at most 255 bytes')
    return plain
  })
}

function undotted(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name
}

/**
 * Who answers answers talks with another server for ever. Bytes of a name that are no UTF-8 can not be repeated: their
 * replacement is longer, and so may be more than a label holds.
 */
const isQuery = ({ type, questions = [] }: Packet) =>
  type === 'query' && !questions.some(({ name }) => name.includes('\ufffd'))

/** What can not be read, or names something that can not be written, gets no answer; the server goes on. */
function safely<T>(answer: () => T | null): T | null {
  try {
    return answer()
  } catch {
    return null
  }
}
