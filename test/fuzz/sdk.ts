/** Answers to the unmodified SDK, given in this process: bytes as a service sends them, thousands of times a minute. */
import { Readable } from 'node:stream'
import * as fc from 'fast-check'
import { expect } from 'vitest'
import { stepResult } from '../../functions/operation.ts'
import { credentials } from '../aws/servers.ts'

export interface SdkRequest {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

export interface SdkReply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/** What a client is made with; one attempt, so that each answer is judged as it comes. */
export function answeredBy(answer: (request: SdkRequest) => SdkReply) {
  return {
    region: 'eu-central-1',
    credentials,
    maxAttempts: 1,
    requestHandler: {
      handle: async (sent: unknown) => {
        const { body, ...request } = sent as Omit<SdkRequest, 'text'> & { body?: Uint8Array | string }
        const text = typeof body === 'string' ? body : new TextDecoder().decode(body)
        const reply = answer({ ...request, text })
        const response = {
          statusCode: reply.status ?? 200,
          headers: { ...reply.headers },
          body: Readable.from([Buffer.from(reply.body)]),
        }
        return { response }
      },
    },
  }
}

interface Element {
  readonly name: string
  readonly start: number
  readonly innerStart: number
  readonly innerEnd: number
  readonly end: number
}

/** All elements of a document without attributes, in the order of their beginnings. */
export function elementsOf(xml: string): Element[] {
  return [...xml.matchAll(/<(\w+)>/g)].flatMap((open) => {
    const name = open[1] ?? ''
    const innerStart = open.index + open[0].length
    const innerEnd = xml.indexOf(`</${name}>`, innerStart)
    return innerEnd < 0
      ? []
      : [{ name, start: open.index, innerStart, innerEnd, end: innerEnd + name.length + 3 }]
  })
}

const damages = ['drop', 'empty', 'rename', 'text', 'double', 'nest', 'swap', 'add', 'cut'] as const
const oddTexts = [
  '',
  ' ',
  'available',
  'active',
  'true',
  'false',
  '-1',
  '1e400',
  'x'.repeat(3_000),
  '&amp;x',
  '\u202e',
  'null',
]

interface Damage {
  readonly how: (typeof damages)[number]
  readonly where: number
  readonly other: number
  readonly text: string
}

/**
 * A document with one to three damages: elements gone, emptied, doubled, exchanged, texts under another name, or the end
 * cut off. (Members of lists keep their names: the SDK leaves out what it does not know, and nobody can tell.)
 */
export function damagedXml(xml: string): fc.Arbitrary<string> {
  const damage = fc.record({
    how: fc.constantFrom(...damages),
    where: fc.nat(),
    other: fc.nat(),
    text: fc.constantFrom(...oddTexts),
  })
  return fc.array(damage, { minLength: 1, maxLength: 3 }).map((all) => all.reduce(withDamage, xml))
}

function withDamage(document: string, { how, where, other, text }: Damage): string {
  const elements = elementsOf(document)
  const element = elements[where % Math.max(1, elements.length)]
  if (element === undefined) return document
  const { name, start, innerStart, innerEnd, end } = element
  const inner = document.slice(innerStart, innerEnd)
  const isText = !inner.includes('<')
  const put = (instead: string) => document.slice(0, start) + instead + document.slice(end)
  switch (how) {
    case 'drop':
      return put('')
    case 'empty':
      return put(`<${name}/>`)
    case 'rename':
      return isText ? put(`<${name}X>${inner}</${name}X>`) : document
    case 'text':
      return put(`<${name}>${text}</${name}>`)
    case 'double':
      return put(document.slice(start, end).repeat(2))
    case 'nest':
      return isText ? put(`<${name}><${name}Y>${inner}</${name}Y></${name}>`) : document
    case 'add':
      return isText ? document : put(`<${name}><Unknown>${text}</Unknown>${inner}</${name}>`)
    case 'swap': {
      const second = elements[other % elements.length] as Element
      if (second.start < end) return document
      const between = document.slice(innerEnd, second.innerStart)
      const exchanged = document.slice(second.innerStart, second.innerEnd) + between + inner
      return document.slice(0, innerStart) + exchanged + document.slice(second.innerEnd)
    }
    case 'cut':
      return document.slice(0, start)
  }
}

/** What is thrown for an answer that can not be read makes a step wait, as an outage does: it is no reason to halt. */
export async function expectOutage(error: unknown): Promise<undefined> {
  const input = { cluster: 'orders', kind: 'failover', reason: 'fuzz' } as const
  const result = await stepResult(input, 'fence', () => Promise.reject(error))
  expect(result).toMatchObject({ outcome: 'waiting', reasons: [expect.stringContaining('does not answer')] })
  return undefined
}
