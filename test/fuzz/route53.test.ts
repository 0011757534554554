/** Records of the name as people and other tools leave them: Understudy's own, or somebody's; never nobody's by mistake. */
import { Route53Client } from '@aws-sdk/client-route-53'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createEndpoint, parseToken, renderToken } from '../../functions/aws/endpoint.ts'
import { parseConfig } from '../../functions/config.ts'
import type { ClusterConfig } from '../../functions/core/types.ts'
import { escapeXml } from '../../local/front.ts'
import { example } from '../config-samples.ts'
import { answeredBy, damagedXml, expectOutage, type SdkRequest } from './sdk.ts'
import { fuzz } from './support.ts'

const cluster = parseConfig(example).clusters[0] as ClusterConfig
const { name } = cluster.endpoint
const beside = `_understudy.${name}`

/** Route 53, which answers the listing of each name with what is set here, and keeps the changes that were asked for. */
const sent: SdkRequest[] = []
let answerFor: (asked: string) => string = () => ''
const endpoint = createEndpoint({
  client: new Route53Client(
    answeredBy((request) => {
      if (request.method === 'GET') return { body: answerFor(request.query.name ?? '') }
      sent.push(request)
      return {
        body: '<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>',
      }
    }),
  ),
})

interface RecordSet {
  readonly name: string
  readonly type: string
  readonly ttl: string | null
  readonly values: readonly string[]
  readonly more: string
}

const own = renderToken({ deployment: 'understudy', cluster: 'orders', term: 7 })
const tokens = fc.oneof(
  { weight: 3, arbitrary: fc.constant(own) },
  fc.constantFrom(
    ...[
      '""',
      own.slice(0, -1),
      `${own} "more"`,
      own.toUpperCase(),
      own.replace('7', '07'),
      own.replace('7', '-7'),
    ],
    ...[own.replace('7', '9007199254740993'), own.replace('7', '7.5'), own.replace('=', '\\075'), `${own}\n`],
    ...[
      '"understudy" " deployment=understudy cluster=orders term=7"',
      'v=spf1 -all',
      '"v=spf1 -all"',
      own.slice(1, -1),
    ],
    ...[own.replace('orders', '__proto__'), own.replace('understudy d', 'understudy\u00a0d'), '"\\"" '],
  ),
)
const targets = fc.constantFrom(
  'pg1.nodes.test',
  'PG1.nodes.test.',
  'elsewhere.example.',
  '',
  'a\\052b.example.',
  '10.0.0.1',
)
const routing = fc.constantFrom(
  ...[
    '',
    '',
    '',
    '',
    '<SetIdentifier>s</SetIdentifier><Weight>10</Weight>',
    '<HealthCheckId>h</HealthCheckId>',
  ],
  ...[
    '<SetIdentifier>s</SetIdentifier><Failover>PRIMARY</Failover>',
    '<Weight>10</Weight>',
    '<Unknown>x</Unknown>',
  ],
  '<AliasTarget><HostedZoneId>Z2</HostedZoneId><DNSName>x.example.</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>',
)
const spelled = (plain: string) =>
  fc.constantFrom(
    `${plain}.`,
    `${plain}.`,
    plain,
    `${plain.toUpperCase()}.`,
    `${plain.replace('_', '\\137').replace('.', '\\056')}.`,
  )
const recordSet = (at: string, values: fc.Arbitrary<string>, type: string) =>
  fc.record({
    name: fc.oneof(
      { weight: 5, arbitrary: spelled(at) },
      fc.constantFrom(`x.${at}.`, `${at}x.`, 'zz.example.'),
    ),
    type: fc.constantFrom(type, type, type, 'A', 'TXT', 'CNAME', 'NS'),
    ttl: fc.constantFrom('5', '60', '0', '2147483647', null, 'soon', '-1'),
    values: fc.array(values, { minLength: 0, maxLength: 2 }).map((all) => (all.length > 0 ? all : [])),
    more: routing,
  })

const xmlOf = (records: readonly RecordSet[], page = '<IsTruncated>false</IsTruncated>') =>
  `<ListResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ResourceRecordSets>${records
    .map(
      (each) =>
        `<ResourceRecordSet><Name>${escapeXml(each.name)}</Name><Type>${each.type}</Type>${each.more}${each.ttl === null ? '' : `<TTL>${each.ttl}</TTL>`}<ResourceRecords>${each.values
          .map((value) => `<ResourceRecord><Value>${escapeXml(value)}</Value></ResourceRecord>`)
          .join('')}</ResourceRecords></ResourceRecordSet>`,
    )
    .join('')}</ResourceRecordSets>${page}<MaxItems>100</MaxItems></ListResourceRecordSetsResponse>`

/** Is the record at this name, however it is spelled? */
const isAt = ({ name: spelling }: RecordSet, plain: string) =>
  spelling.toLowerCase().replace('\\137', '_').replace('\\056', '.').replace(/\.$/, '') === plain
const isSimple = ({ more, ttl, values }: RecordSet, others: number) =>
  others === 1 &&
  (more === '' || more.startsWith('<Unknown>') || more.startsWith('<Weight>')) &&
  /^-?\d+$/.test(ttl ?? '') &&
  values.length === 1

test('H16 the token is ours or foreign, the name is a plain CNAME or foreign, and nothing foreign is ever changed', async () => {
  const records = fc.record({
    txt: fc.array(recordSet(beside, tokens, 'TXT'), { maxLength: 2 }),
    names: fc.array(recordSet(name, targets, 'CNAME'), { maxLength: 2 }),
  })
  await fuzz(records, 80, async ({ txt, names }) => {
    answerFor = (asked) => xmlOf(asked.startsWith('_') ? txt : names)
    const read = await endpoint.read(cluster)
    const tokensThere = txt.filter((each) => isAt(each, beside) && ['TXT', 'CNAME'].includes(each.type))
    const namesThere = names.filter((each) => isAt(each, name))
    // What is there is either known or foreign.
    expect(read.token === null && read.foreignToken === null).toBe(tokensThere.length === 0)
    expect(read.cname === null && read.foreignRecord === null).toBe(namesThere.length === 0)
    if (read.token) {
      const only = tokensThere[0] as RecordSet
      expect(isSimple(only, tokensThere.length)).toBe(true)
      expect(only).toMatchObject({ type: 'TXT', values: [read.token.raw] })
      expect(parseToken(read.token.raw)).toMatchObject({ term: read.token.term })
      expect(Number.isSafeInteger(read.token.term)).toBe(true)
    }
    if (read.cname) {
      const only = namesThere[0] as RecordSet
      expect(isSimple(only, namesThere.length)).toBe(true)
      expect(only).toMatchObject({ type: 'CNAME', values: [read.cname.target] })
    }
    sent.length = 0
    const next = { token: { deployment: 'understudy', cluster: 'orders', term: 8 }, target: 'pg2.nodes.test' }
    const outcome = await endpoint.swap(cluster, read, next)
    if (read.foreignToken !== null || read.foreignRecord !== null) {
      expect(outcome.outcome).toBe('refused')
      expect(sent).toEqual([])
      return
    }
    expect(outcome).toEqual({ outcome: 'done', changeId: 'C1' })
    const { text } = sent[0] as SdkRequest
    expect(text).not.toContain('UPSERT')
    expect(text.match(/<Action>DELETE<\/Action>/g)?.length ?? 0).toBe(
      Number(read.token !== null) + Number(read.cname !== null),
    )
    if (read.token) expect(text).toContain(`<TTL>${read.token.ttlSeconds}</TTL>`)
  })
})

const whole = xmlOf([
  { name: `${beside}.`, type: 'TXT', ttl: '5', values: [own], more: '' },
  { name: `${name}.`, type: 'CNAME', ttl: '5', values: ['pg1.nodes.test'], more: '' },
])

test('a damaged answer is read as what it still says, or not at all', async () => {
  await fuzz(damagedXml(whole), 50, async (damaged) => {
    answerFor = () => damaged
    const read = await endpoint.read(cluster).catch(expectOutage)
    if (read === undefined) return
    for (const there of [read.token?.raw, read.cname?.target])
      if (there) expect(damaged).toContain(escapeXml(there))
    // An empty one is 0 to the SDK: no DELETE with it compares, and the records are read again.
    if (read.token?.ttlSeconds) expect(damaged).toContain(`<TTL>${read.token.ttlSeconds}</TTL>`)
    if (read.token === null && read.foreignToken === null)
      expect(damaged.includes(`<ResourceRecordSet><Name>${beside}.</Name><Type>TXT</Type>`)).toBe(false)
  })
})

test('pages that never end are given up', async () => {
  const more = `<IsTruncated>true</IsTruncated><NextRecordName>${beside}.</NextRecordName><NextRecordType>TXT</NextRecordType>`
  answerFor = () => xmlOf([], more)
  await expect(endpoint.read(cluster)).rejects.toThrow('the same page')
})

test('answers about a change are in sync only when they say so', async () => {
  const change =
    '<GetChangeResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></GetChangeResponse>'
  await fuzz(damagedXml(change), 30, async (damaged) => {
    answerFor = () => damaged
    const answer = await endpoint.inSync('C1')
    expect(answer === 'yes').toBe(damaged.includes('<Status>INSYNC</Status>'))
  })
})
