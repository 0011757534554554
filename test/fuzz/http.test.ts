/** The local AWS services over HTTP: whatever is asked, an answer as AWS gives it, and the process lives. */
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Ec2Service } from '../../local/ec2.ts'
import { type Front, startFront } from '../../local/front.ts'
import { Route53Service } from '../../local/route53.ts'
import { SsmService } from '../../local/ssm.ts'
import { Zone } from '../../local/zone.ts'
import { countingMachine } from '../local/fixture.ts'
import { fuzz, mutated } from './support.ts'

const log = () => undefined
const machine = countingMachine('i-0000000000000001')
const zone = new Zone('Z1', 'example.test')
let front: Front
let ec2: Ec2Service

beforeAll(async () => {
  ec2 = new Ec2Service({ machines: [machine], log })
  const ssm = new SsmService({ machines: [machine], state: (id) => ec2.state(id), log })
  const route53 = new Route53Service({ zones: [zone], propagationMs: 0 })
  front = await startFront({
    json: { AmazonSSM: (operation, input) => ssm.handle(operation, input) },
    query: { '2016-11-15': (operation, form) => ec2.handle(operation, form) },
    path: { '2013-04-01': (asked) => route53.handle(asked) },
  })
})
afterAll(async () => {
  await front.close()
  await ec2.close()
})

interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const change = (value: string) =>
  `<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes><Change><Action>UPSERT</Action><ResourceRecordSet><Name>t.example.test</Name><Type>TXT</Type><TTL>5</TTL><ResourceRecords><ResourceRecord><Value>${value}</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`
const describe: Asked = {
  method: 'POST',
  path: '/',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: 'Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-0000000000000001',
}
const valid: readonly Asked[] = [
  describe,
  {
    method: 'POST',
    path: '/',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AmazonSSM.GetCommandInvocation',
    },
    body: JSON.stringify({ CommandId: 'c', InstanceId: 'i-0000000000000001' }),
  },
  {
    method: 'GET',
    path: '/2013-04-01/hostedzone/Z1/rrset?name=t.example.test&maxitems=100',
    headers: {},
    body: '',
  },
  { method: 'POST', path: '/2013-04-01/hostedzone/Z1/rrset/', headers: {}, body: change('"x"') },
  { method: 'GET', path: '/2013-04-01/change/C1', headers: {}, body: '' },
]

const ask = ({ method, path, headers, body }: Asked) =>
  new Promise<{ status: number; body: string }>((resolve, reject) => {
    const { hostname, port } = new URL(front.url)
    const length = { 'content-length': Buffer.byteLength(body) }
    const options = { hostname, port, method, path, headers: { ...headers, ...length }, agent: false }
    const sent = request(options, async (answer) => {
      const parts: Buffer[] = []
      for await (const part of answer) parts.push(part as Buffer)
      resolve({
        status: answer.statusCode ?? 0,
        body: Buffer.concat(parts).toString(),
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })

/** A few characters put in, taken out or doubled. */
const garbled = (text: string) =>
  fc
    .array(
      fc.tuple(
        fc.nat(),
        fc.nat(20),
        fc.constantFrom('', '%', '%zz', '<', '&', '"', '}', '/', '\u00e9', '=', ' ', '__proto__'),
      ),
      { maxLength: 3 },
    )
    .map((edits) =>
      edits.reduce((left, [where, length, put]) => {
        const at = where % (left.length + 1)
        return left.slice(0, at) + put + left.slice(at + length)
      }, text),
    )
/** What an HTTP client lets through. */
const sendable = (text: string) => text.replaceAll(/[^\x21-\x7e]/g, '_')

const asked = fc.constantFrom(...valid).chain((one) =>
  fc.record({
    method: fc.constantFrom(one.method, one.method, 'GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS'),
    path: fc.oneof(
      { weight: 3, arbitrary: fc.constant(one.path) },
      garbled(one.path).map((path) => `/${sendable(path)}`),
      fc.constantFrom(
        '//',
        '/%',
        '*',
        '/?',
        '/2013-04-01',
        '/2013-04-01/hostedzone/%ff/rrset',
        '/__proto__/x',
        '/constructor',
      ),
    ),
    headers: mutated(one.headers, {
      most: 1,
      odd: fc.constantFrom(
        'AmazonSSM',
        '.',
        'a.b.c',
        '__proto__.x',
        'constructor.call',
        'Nobody.Nothing',
        'AmazonSSM.toString',
      ),
    }).map(({ value }) =>
      Object.fromEntries(
        Object.entries(value as object).map(([name, text]) => [name, sendable(String(text))]),
      ),
    ),
    body: fc.oneof(
      garbled(one.body),
      fc.constantFrom(
        '',
        'null',
        '[]',
        '7',
        '"x"',
        '{',
        '<a',
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '\u0000',
      ),
    ),
  }),
)

test('a request that is not understood gets an error in the form of its service, and the next one is served', async () => {
  await fuzz(asked, 100, async (one) => {
    const answer = await ask(one)
    expect(answer.body).not.toMatch(/\n\s+at .*:\d+:\d+/)
    expect(answer.status, answer.body).toBeLessThan(500)
    if (answer.status >= 400 && one.method !== 'HEAD') {
      const isJson = answer.body.startsWith('{')
      const code = isJson
        ? JSON.parse(answer.body).__type
        : /<Code>([A-Za-z.]+)<\/Code>/.exec(answer.body)?.[1]
      expect(code, answer.body).toMatch(/^[A-Z][A-Za-z.]+$/)
    }
    expect((await ask(describe)).body).toContain('<instanceId>i-0000000000000001</instanceId>')
    expect(machine.calls).toEqual([])
  })
})

test('bytes that are no HTTP end their own connection and nothing else', async () => {
  const start = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nAction='
  const bytes = fc.oneof(
    garbled(start),
    fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each)),
  )
  await fuzz(bytes, 20, async (sent) => {
    const { hostname, port } = new URL(front.url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.end(sent)
    socket.resume()
    socket.setTimeout(200, () => socket.destroy())
    await once(socket, 'close')
    expect((await ask(describe)).status).toBe(200)
  })
})
