/** The name in Route 53, against a server that speaks its XML: exact batches, and every way that one can fail. */
import { Route53Client } from '@aws-sdk/client-route-53'
import { describe, expect, test } from 'vitest'
import { timeouts } from '../../functions/aws/clients.ts'
import { createEndpoint, parseToken, renderToken, tokenName } from '../../functions/aws/endpoint.ts'
import type { ClusterConfig } from '../../functions/core/types.ts'
import type { EndpointRecords } from '../../functions/ports.ts'
import { credentials, type Reply, type Seen, serve } from './servers.ts'

const cluster = {
  id: 'orders',
  endpoint: { name: 'orders.db.example', zoneId: 'Z1', ttlSeconds: 5, resolver: null },
} as ClusterConfig

const raw = '"understudy deployment=prod cluster=orders term=7"'
const asRead: EndpointRecords = {
  token: { deployment: 'prod', cluster: 'orders', term: 7, raw, ttlSeconds: 30 },
  foreignToken: null,
  cname: { target: 'DB-A.example.', ttlSeconds: 60 },
  foreignRecord: null,
}
const nothing: EndpointRecords = { token: null, foreignToken: null, cname: null, foreignRecord: null }
const next = { token: { deployment: 'prod', cluster: 'orders', term: 8 }, target: 'db-b.example' }

async function zone(answer: (seen: Seen, all: readonly Seen[]) => Reply | Promise<Reply>, maxAttempts = 3) {
  const service = await serve(answer)
  const client = new Route53Client({
    endpoint: service.endpoint,
    region: 'us-east-1',
    credentials,
    maxAttempts,
    requestHandler: timeouts(1_000),
  })
  return { endpoint: createEndpoint({ client }), seen: service.seen }
}

const changed = {
  body: '<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C9</Id><Status>PENDING</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>',
}
const failure = (code: string, message = '', status = 400) => ({
  status,
  body: `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`,
})

/** The changes of a batch as `DELETE TXT name ttl value`, in their order. */
function changesOf(body: string): string[] {
  const part = (xml: string, tag: string) =>
    new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(xml)?.[1]?.replaceAll('&quot;', '"')
  return [...body.matchAll(/<Change>.*?<\/Change>/gs)].map(([xml]) =>
    ['Action', 'Type', 'Name', 'TTL', 'Value'].map((tag) => part(xml, tag)).join(' '),
  )
}

describe('swap', () => {
  test('H16 one batch: each record deleted as it was read and created as wanted, the token at its own name, no UPSERT', async () => {
    const { endpoint, seen } = await zone(() => changed)
    expect(await endpoint.swap(cluster, asRead, next)).toEqual({ outcome: 'done', changeId: 'C9' })
    expect(seen.map((one) => `${one.method} ${one.path}`)).toEqual(['POST /2013-04-01/hostedzone/Z1/rrset'])
    expect(changesOf(seen[0]?.body ?? '')).toEqual([
      `DELETE TXT _understudy.orders.db.example 30 ${raw}`,
      'CREATE TXT _understudy.orders.db.example 5 "understudy deployment=prod cluster=orders term=8"',
      'DELETE CNAME orders.db.example 60 DB-A.example.',
      'CREATE CNAME orders.db.example 5 db-b.example',
    ])
    expect(seen[0]?.body).not.toContain('UPSERT')
  })

  test('H16 H17 what is absent is not deleted: CREATE alone compares', async () => {
    const { endpoint, seen } = await zone(() => changed)
    await endpoint.swap(cluster, nothing, next)
    expect(changesOf(seen[0]?.body ?? '').map((change) => change.split(' ').slice(0, 2))).toEqual([
      ['CREATE', 'TXT'],
      ['CREATE', 'CNAME'],
    ])
  })

  test('H16 a record that cannot be compared is not touched', async () => {
    const { endpoint, seen } = await zone(() => changed)
    const weighted = await endpoint.swap(
      cluster,
      { ...asRead, cname: null, foreignRecord: 'CNAME (set blue) x' },
      next,
    )
    expect(weighted).toMatchObject({ outcome: 'refused', message: expect.stringContaining('set blue') })
    const foreign = await endpoint.swap(
      cluster,
      { ...asRead, token: null, foreignToken: 'TXT "v=spf1"' },
      next,
    )
    expect(foreign).toMatchObject({
      outcome: 'refused',
      message: expect.stringContaining('Delete it, then adopt'),
    })
    expect(seen).toHaveLength(0)
  })

  test.each([
    [
      'H16 the values differ from what was read',
      "[Tried to delete resource record set [name='orders.db.example.', type='CNAME'] but the values provided do not match the current values]",
      'conflict',
    ],
    [
      'H16 the record is gone',
      "[Tried to delete resource record set [name='x', type='TXT'] but it was not found]",
      'conflict',
    ],
    [
      'H17 another deployment created it first',
      "[Tried to create resource record set [name='x', type='TXT'] but it already exists]",
      'conflict',
    ],
    [
      'another type is at the name now',
      '[RRSet of type CNAME with DNS name x is not permitted as it conflicts with other records with the same DNS name in zone y.]',
      'conflict',
    ],
    [
      'a protection forbids it, whatever its comment says',
      'The record set x CNAME is protected: but it already exists, ask anna',
      'refused',
    ],
    ['the batch is wrong in itself', '[Invalid Resource Record: FATAL problem: DomainLabelEmpty]', 'refused'],
  ])('%s', async (_, message, outcome) => {
    const { endpoint } = await zone(() => failure('InvalidChangeBatch', message))
    const answer = await endpoint.swap(cluster, asRead, next)
    expect(answer).toMatchObject({ outcome, message: expect.stringContaining(message) })
  })

  test.each([
    ['NoSuchHostedZone', 404, 'refused'],
    ['AccessDenied', 403, 'refused'],
    ['Throttling', 400, 'unknown'],
    ['PriorRequestNotComplete', 400, 'unknown'],
    ['ServiceUnavailable', 503, 'unknown'],
  ])('%s is %s -> %s', async (code, status, outcome) => {
    const { endpoint } = await zone(() => failure(code, 'no', status), 1)
    expect(await endpoint.swap(cluster, asRead, next)).toMatchObject({ outcome })
  })

  test('S5 no answer at all is unknown; so is a refusal after one', async () => {
    const silent = await zone(() => 'silence', 1)
    expect(await silent.endpoint.swap(cluster, asRead, next)).toMatchObject({ outcome: 'unknown' })
    const mixed = await zone((_, all) => (all.length === 1 ? 'drop' : failure('AccessDenied', 'no', 403)))
    expect(await mixed.endpoint.swap(cluster, asRead, next)).toMatchObject({ outcome: 'unknown' })
    expect(mixed.seen).toHaveLength(2)
  })

  test('H16.3 the effect came, its answer did not, the repetition fails against it: read again', async () => {
    const exists = "[Tried to create resource record set [name='x', type='TXT'] but it already exists]"
    const { endpoint, seen } = await zone((_, all) =>
      all.length === 1 ? 'drop' : failure('InvalidChangeBatch', exists),
    )
    expect(await endpoint.swap(cluster, asRead, next)).toMatchObject({ outcome: 'conflict' })
    expect(seen).toHaveLength(2)
  })

  test('H16 the form of the error that the reference documents is read as well', async () => {
    const form = (message: string) => ({
      status: 400,
      body: `<InvalidChangeBatch><Messages><Message>${message}</Message></Messages></InvalidChangeBatch>`,
    })
    const swap = async (message: string) =>
      (await zone(() => form(message))).endpoint.swap(cluster, asRead, next)
    expect(await swap('Tried to delete x but it was not found')).toMatchObject({ outcome: 'conflict' })
    expect(await swap('Invalid Resource Record')).toMatchObject({ outcome: 'refused' })
  })

  test('several problems come in one text', async () => {
    const both =
      "[Tried to delete resource record set [name='x', type='CNAME'] but the values provided do not match the current values, Tried to create resource record set [name='x', type='CNAME'] but it already exists]"
    const { endpoint } = await zone(() => failure('InvalidChangeBatch', both))
    expect(await endpoint.swap(cluster, asRead, next)).toMatchObject({ outcome: 'conflict' })
  })
})

describe('read', () => {
  const record = (name: string, type: string, inner: string) =>
    `<ResourceRecordSet><Name>${name}</Name><Type>${type}</Type>${inner}</ResourceRecordSet>`
  const values = (ttl: number, ...all: string[]) =>
    `<TTL>${ttl}</TTL><ResourceRecords>${all.map((value) => `<ResourceRecord><Value>${value}</Value></ResourceRecord>`).join('')}</ResourceRecords>`
  const list = (records: string, more = '<IsTruncated>false</IsTruncated>') => ({
    body: `<ListResourceRecordSetsResponse><ResourceRecordSets>${records}</ResourceRecordSets>${more}<MaxItems>100</MaxItems></ListResourceRecordSetsResponse>`,
  })
  const quoted = raw.replaceAll('"', '&quot;')
  const other = record('z.example.', 'A', values(1, '10.0.0.1'))
  const at = (tokens: string, records: string) =>
    zone((seen) => list((seen.path.includes('_understudy') ? tokens : records) + other))
  const txt = record('_understudy.orders.db.example.', 'TXT', values(30, quoted))

  test('H16 both records, by name, as a DELETE must repeat them; other names are not ours', async () => {
    const { endpoint, seen } = await at(
      txt,
      record('orders.db.example.', 'CNAME', values(60, 'DB-A.example.')),
    )
    expect(await endpoint.read(cluster)).toEqual(asRead)
    expect(seen.map((one) => one.path).sort()).toEqual([
      '/2013-04-01/hostedzone/Z1/rrset?maxitems=100&name=_understudy.orders.db.example',
      '/2013-04-01/hostedzone/Z1/rrset?maxitems=100&name=orders.db.example',
    ])
  })

  test('absent records are absent', async () => {
    const { endpoint } = await at('', '')
    expect(await endpoint.read(cluster)).toEqual(nothing)
  })

  test('names are compared without case, final dot and octal escapes', async () => {
    const escaped = record('\\137understudy.Orders.db.example.', 'TXT', values(30, quoted))
    const { endpoint } = await at(escaped, '')
    expect((await endpoint.read(cluster)).token).toMatchObject({ term: 7 })
  })

  test.each([
    [
      'H16 weighted',
      'CNAME',
      `<SetIdentifier>blue</SetIdentifier><Weight>1</Weight>${values(60, 'db-a.example')}`,
    ],
    ['an address', 'A', values(60, '10.0.0.1')],
    [
      'an alias',
      'A',
      '<AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>lb.example.</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>',
    ],
    ['several values', 'CNAME', values(60, 'db-a.example', 'db-b.example')],
  ])('%s at the name cannot be compared and swapped', async (_, type, inner) => {
    const { endpoint } = await at(txt, record('orders.db.example.', type, inner))
    const read = await endpoint.read(cluster)
    expect(read.cname).toBeNull()
    expect(read.foreignRecord).toContain(type)
  })

  test.each([
    ['a TXT record of somebody else', 'TXT', values(30, '&quot;v=spf1 -all&quot;')],
    ['a token and another value', 'TXT', values(30, quoted, '&quot;more&quot;')],
    ['a CNAME', 'CNAME', values(30, 'elsewhere.example')],
  ])('H17 %s at the token is foreign', async (_, type, inner) => {
    const { endpoint } = await at(record('_understudy.orders.db.example.', type, inner), '')
    const read = await endpoint.read(cluster)
    expect(read.token).toBeNull()
    expect(read.foreignToken).toContain(type)
  })

  test('goes on to the next page while it is at the name', async () => {
    const second = `<SetIdentifier>b</SetIdentifier><Weight>1</Weight>${values(60, 'db-b.example')}`
    const { endpoint, seen } = await zone(({ path }) => {
      if (path.includes('_understudy')) return list('')
      if (path.includes('identifier=b')) return list(record('orders.db.example.', 'CNAME', second))
      const more =
        '<IsTruncated>true</IsTruncated><NextRecordName>orders.db.example.</NextRecordName><NextRecordType>CNAME</NextRecordType><NextRecordIdentifier>b</NextRecordIdentifier>'
      return list(record('orders.db.example.', 'CNAME', values(60, 'db-a.example')), more)
    })
    expect((await endpoint.read(cluster)).foreignRecord).toContain('set b')
    expect(seen).toHaveLength(3)
  })

  test('an outage of reading is thrown: it is not an absent record', async () => {
    const { endpoint } = await zone(() => failure('ServiceUnavailable', '', 503), 1)
    await expect(endpoint.read(cluster)).rejects.toThrow()
  })
})

test('H16 inSync: yes, no, and unknown for a change that is not known any more', async () => {
  const info = (status: string) => ({
    body: `<GetChangeResponse><ChangeInfo><Id>/change/C9</Id><Status>${status}</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo></GetChangeResponse>`,
  })
  const replies: Reply[] = [info('PENDING'), info('INSYNC'), failure('NoSuchChange', '', 404)]
  const { endpoint, seen } = await zone((_, all) => replies[all.length - 1] ?? 'drop', 1)
  expect([await endpoint.inSync('C9'), await endpoint.inSync('C9'), await endpoint.inSync('C9')]).toEqual([
    'no',
    'yes',
    'unknown',
  ])
  expect(await endpoint.inSync('C9')).toBe('unknown')
  expect(seen[0]?.path).toBe('/2013-04-01/change/C9')
})

test('a token is read as it was written, fits one string, and is nothing else', () => {
  const token = { deployment: 'a'.repeat(64), cluster: 'b'.repeat(40), term: 9_007_199_254 }
  expect(parseToken(renderToken(token))).toEqual(token)
  expect(renderToken(token).length).toBeLessThanOrEqual(257)
  expect(parseToken('"understudy deployment=x cluster=y term=-1"')).toBeNull()
  expect(parseToken(`${renderToken(token)} "more"`)).toBeNull()
  expect(() => renderToken({ ...token, deployment: 'a b' })).toThrow()
  expect(() => renderToken({ ...token, deployment: 'a'.repeat(255) })).toThrow(/255/)
  expect(tokenName('orders.db.example.')).toBe('_understudy.orders.db.example')
})
