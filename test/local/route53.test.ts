import { Resolver } from 'node:dns/promises'
import { connect, type Socket } from 'node:net'
import {
  type Change,
  ChangeResourceRecordSetsCommand,
  GetChangeCommand,
  GetHostedZoneCommand,
  ListResourceRecordSetsCommand,
  type ResourceRecordSet,
  Route53Client,
  type RRType,
} from '@aws-sdk/client-route-53'
import { streamDecode, streamEncode } from 'dns-packet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type LocalDns, startDns } from '../../local/dns.ts'
import { type Front, startFront } from '../../local/front.ts'
import { Route53Service } from '../../local/route53.ts'
import { Zone } from '../../local/zone.ts'
import { clientConfig, eventually } from './fixture.ts'

let front: Front
let dns: LocalDns
let service: Route53Service
let client: Route53Client
let resolver: Resolver

const propagationMs = 60

beforeEach(async () => {
  const zone = new Zone('Z1', 'example.test')
  service = new Route53Service({ zones: [zone], propagationMs })
  front = await startFront({
    json: {},
    query: {},
    path: { '2013-04-01': (request) => service.handle(request) },
  })
  dns = await startDns([zone], { 'pg1.nodes.test': '127.0.0.11', 'pg2.nodes.test': '127.0.0.12' })
  client = new Route53Client(clientConfig(front.url))
  resolver = new Resolver({ timeout: 1000, tries: 2 })
  resolver.setServers([dns.address])
})
afterEach(async () => {
  client.destroy()
  service.close()
  await front.close()
  await dns.close()
})

const set = (Name: string, Type: RRType, value: string, TTL = 5): ResourceRecordSet => ({
  Name,
  Type,
  TTL,
  ResourceRecords: [{ Value: value }],
})
const change = (...Changes: [Change['Action'], ResourceRecordSet][]) =>
  client.send(
    new ChangeResourceRecordSetsCommand({
      HostedZoneId: 'Z1',
      ChangeBatch: { Changes: Changes.map(([Action, ResourceRecordSet]) => ({ Action, ResourceRecordSet })) },
    }),
  )
const inSync = async (id: string | undefined) =>
  eventually(
    async () => (await client.send(new GetChangeCommand({ Id: id }))).ChangeInfo?.Status === 'INSYNC',
  )
const list = (more: object = {}) =>
  client.send(new ListResourceRecordSetsCommand({ HostedZoneId: 'Z1', ...more }))
const token = (term: number) =>
  set('_understudy.db.example.test', 'TXT', `"understudy deployment=main cluster=orders term=${term}"`)
const cname = (node: string, ttl = 5) => set('db.example.test', 'CNAME', `${node}.nodes.test`, ttl)

describe('a batch is a comparison and a swap (design section 7)', () => {
  beforeEach(async () => {
    await inSync((await change(['CREATE', token(1)], ['CREATE', cname('pg1')])).ChangeInfo?.Id)
  })

  test('DELETE as read and CREATE in one batch moves the name', async () => {
    await change(
      ['DELETE', token(1)],
      ['CREATE', token(2)],
      ['DELETE', cname('pg1')],
      ['CREATE', cname('pg2')],
    )
    const { ResourceRecordSets } = await list()
    expect(ResourceRecordSets).toEqual([
      { ...cname('pg2'), Name: 'db.example.test.' },
      { ...token(2), Name: '_understudy.db.example.test.' },
    ])
  })

  test.each([
    ['another TTL', cname('pg1', 6), 'do not match the current values'],
    ['another value', cname('pg2'), 'do not match the current values'],
    ['another type', set('db.example.test', 'A', '127.0.0.1'), 'not found'],
    ['an absent name', set('no.example.test', 'CNAME', 'pg1.nodes.test'), 'not found'],
  ])('DELETE of %s refuses the whole batch', async (_what, wrong, reason) => {
    const before = await list()
    const attempt = change(
      ['DELETE', token(1)],
      ['CREATE', token(2)],
      ['DELETE', wrong],
      ['CREATE', cname('pg3')],
    )
    await expect(attempt).rejects.toMatchObject({
      name: 'InvalidChangeBatch',
      message: expect.stringContaining(reason),
    })
    expect((await list()).ResourceRecordSets).toEqual(before.ResourceRecordSets)
    expect(await resolver.resolveCname('db.example.test')).toEqual(['pg1.nodes.test'])
  })

  test('CREATE of what exists is refused, also with the same values', async () => {
    await expect(change(['CREATE', cname('pg1')])).rejects.toThrow('it already exists')
  })

  test('of twenty racing swaps one wins', async () => {
    const swaps = Array.from({ length: 20 }, (_, index) =>
      change(['DELETE', token(1)], ['CREATE', token(index + 2)]),
    )
    const won = (await Promise.allSettled(swaps)).filter(({ status }) => status === 'fulfilled')
    expect(won).toHaveLength(1)
  })

  test('a CNAME allows no other type beside it, nor at the apex', async () => {
    await expect(change(['CREATE', set('db.example.test', 'TXT', '"x"')])).rejects.toThrow('conflicts')
    const beside = set('_understudy.db.example.test', 'CNAME', 'pg1.nodes.test')
    await expect(change(['CREATE', beside])).rejects.toThrow('conflicts')
    await expect(change(['CREATE', set('example.test', 'CNAME', 'x.test')])).rejects.toThrow('apex')
  })

  test('a name outside the zone, an unknown zone and change are refused', async () => {
    await expect(change(['CREATE', set('db.other.test', 'A', '127.0.0.1')])).rejects.toThrow(
      'not permitted in zone',
    )
    const elsewhere = new ListResourceRecordSetsCommand({ HostedZoneId: 'Z2' })
    await expect(client.send(elsewhere)).rejects.toHaveProperty('name', 'NoSuchHostedZone')
    await expect(client.send(new GetChangeCommand({ Id: 'C0' }))).rejects.toHaveProperty(
      'name',
      'NoSuchChange',
    )
  })
})

test('a list starts where it is told, in Route 53’s order, and says where it goes on', async () => {
  await change(
    ['CREATE', set('b.example.test', 'A', '127.0.0.1')],
    ['CREATE', set('b.example.test', 'TXT', '"x"')],
    ['CREATE', set('a.example.test', 'A', '127.0.0.1')],
    ['CREATE', set('z.a.example.test', 'A', '127.0.0.1')],
    ['CREATE', set('*.c.example.test', 'A', '127.0.0.1')],
  )
  const names = async (more: object) => {
    const { ResourceRecordSets, IsTruncated, NextRecordName, NextRecordType } = await list(more)
    const found = ResourceRecordSets?.map(({ Name, Type }) => `${Name} ${Type}`)
    return [found, IsTruncated, NextRecordName, NextRecordType]
  }
  expect(await names({})).toEqual([
    [
      'a.example.test. A',
      'z.a.example.test. A',
      'b.example.test. A',
      'b.example.test. TXT',
      '\\052.c.example.test. A',
    ],
    false,
    undefined,
    undefined,
  ])
  expect(await names({ StartRecordName: 'b.example.test', MaxItems: 1 })).toEqual([
    ['b.example.test. A'],
    true,
    'b.example.test.',
    'TXT',
  ])
  const [found] = await names({ StartRecordName: 'b.example.test.', StartRecordType: 'TXT' })
  expect(found).toEqual(['b.example.test. TXT', '\\052.c.example.test. A'])
})

test('the zone says its name', async () => {
  expect((await client.send(new GetHostedZoneCommand({ Id: 'Z1' }))).HostedZone?.Name).toBe('example.test.')
})

describe('the name server', () => {
  test('answers with a change only once it is in sync', async () => {
    const first = await change(['CREATE', cname('pg1')])
    expect(first.ChangeInfo?.Status).toBe('PENDING')
    await expect(resolver.resolve4('db.example.test')).rejects.toHaveProperty('code', 'ENOTFOUND')
    await inSync(first.ChangeInfo?.Id)
    expect(await resolver.resolve4('db.example.test')).toEqual(['127.0.0.11'])
    const second = await change(['DELETE', cname('pg1')], ['CREATE', cname('pg2')])
    expect(await resolver.resolveCname('db.example.test')).toEqual(['pg1.nodes.test'])
    await inSync(second.ChangeInfo?.Id)
    expect(await resolver.resolve4('DB.Example.Test', { ttl: true })).toMatchObject([
      { address: '127.0.0.12' },
    ])
  })

  test('TXT strings, no data, no such name, not ours', async () => {
    const text = set('t.example.test', 'TXT', '"a \\"quoted\\" <one>" "two"')
    await inSync((await change(['CREATE', text], ['CREATE', cname('pg9')])).ChangeInfo?.Id)
    expect(await resolver.resolveTxt('t.example.test')).toEqual([['a "quoted" <one>', 'two']])
    expect(
      (await list({ StartRecordName: 't.example.test' })).ResourceRecordSets?.[0]?.ResourceRecords,
    ).toEqual(text.ResourceRecords)
    await expect(resolver.resolve4('t.example.test')).rejects.toHaveProperty('code', 'ENODATA')
    await expect(resolver.resolve4('no.example.test')).rejects.toHaveProperty('code', 'ENOTFOUND')
    await expect(resolver.resolve4('db.other.test')).rejects.toHaveProperty('code', 'EREFUSED')
    expect((await resolver.resolveSoa('example.test')).nsname).toBe('ns.example.test')
    dns.hosts.set('pg9.nodes.test.', '127.0.0.19')
    expect(await resolver.resolve4('db.example.test')).toEqual(['127.0.0.19'])
  })

  test('over TCP, with EDNS, and with the AA bit: what dig and resolvers ask for', async () => {
    await inSync((await change(['CREATE', cname('pg1')])).ChangeInfo?.Id)
    const opt = { type: 'OPT', name: '.', udpPayloadSize: 4096, flags: 0, options: [] } as const
    const question = { type: 'A', name: 'db.example.test' } as const
    const query = streamEncode({ type: 'query', id: 7, questions: [question], additionals: [opt as never] })
    const socket = connect(dns.port, '127.0.0.1')
    socket.write(Buffer.concat([query, query.subarray(0, 5)]))
    const first = streamDecode(await nextChunk(socket))
    expect(first).toMatchObject({
      id: 7,
      flag_aa: true,
      rcode: 'NOERROR',
      answers: [
        { type: 'CNAME', name: 'db.example.test', data: 'pg1.nodes.test', ttl: 5 },
        { type: 'A', name: 'pg1.nodes.test', data: '127.0.0.11' },
      ],
      additionals: [{ type: 'OPT' }],
    })
    socket.write(query.subarray(5))
    expect(streamDecode(await nextChunk(socket)).answers).toHaveLength(2)
    socket.destroy()
  })

  test('an answer that does not fit is marked, and comes whole over TCP', async () => {
    const long = set(
      'long.example.test',
      'TXT',
      Array(4)
        .fill(`"${'x'.repeat(200)}"`)
        .join(' '),
    )
    await inSync((await change(['CREATE', long])).ChangeInfo?.Id)
    expect((await resolver.resolveTxt('long.example.test'))[0]).toHaveLength(4)
  })
})

const nextChunk = (socket: Socket) => new Promise<Buffer>((resolve) => socket.once('data', resolve))
