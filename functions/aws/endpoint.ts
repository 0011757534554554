/**
 * The name that clients write to, in Route 53: a TXT record beside it is the token, the CNAME is cargo. One change
 * batch is all or nothing, and its DELETE must repeat what is there exactly, which makes a compare-and-swap of it.
 */
import {
  type Change,
  ChangeResourceRecordSetsCommand,
  GetChangeCommand,
  ListResourceRecordSetsCommand,
  type ResourceRecordSet,
  type Route53Client,
} from '@aws-sdk/client-route-53'
import type { ClusterConfig } from '../core/types.ts'
import type { Endpoint, EndpointRecords, EndpointToken } from '../ports.ts'
import { BadAnswer, failureOf } from './errors.ts'

/** A CNAME allows no other type at its own name (RFC 1034), so the token has a name of its own. */
export function tokenName(name: string): string {
  return `_understudy.${name.replace(/\.$/, '')}`
}

/** As one character string of at most 255 bytes, quoted as Route 53 wants it. */
export function renderToken(token: EndpointToken): string {
  const words = /^[A-Za-z0-9_-]+$/
  if (!words.test(token.deployment) || !words.test(token.cluster) || !Number.isSafeInteger(token.term))
    throw new Error(`not a token of an endpoint: ${JSON.stringify(token)}`)
  const value = `understudy deployment=${token.deployment} cluster=${token.cluster} term=${token.term}`
  if (value.length > 255) throw new Error(`the token of an endpoint exceeds 255 characters: ${value}`)
  return `"${value}"`
}

export function parseToken(raw: string): EndpointToken | null {
  const found = /^"understudy deployment=([A-Za-z0-9_-]+) cluster=([A-Za-z0-9_-]+) term=(\d{1,15})"$/.exec(
    raw,
  )
  if (!found) return null
  return { deployment: found[1] ?? '', cluster: found[2] ?? '', term: Number(found[3]) }
}

/** Who moves no name has no zone, and does not come here. */
function zoneOf({ id, endpoint: { zoneId, name } }: ClusterConfig): string {
  if (zoneId === null) throw new Error(`${id}: ${name} is in no zone of ours`)
  return zoneId
}

export function createEndpoint(options: { client: Route53Client }): Endpoint {
  const { client } = options

  /** All records at one name. The list is ordered by name and goes on to the end of the zone: stop at another name. */
  async function recordsAt(zoneId: string, name: string): Promise<ResourceRecordSet[]> {
    const found: ResourceRecordSet[] = []
    const asked = new Set<string>()
    let start: Record<string, unknown> = { StartRecordName: name }
    for (;;) {
      const page = await client.send(
        new ListResourceRecordSetsCommand({ HostedZoneId: zoneId, MaxItems: 100, ...start }),
      )
      const records = page.ResourceRecordSets
      // What is left out is not absent: a record that is there would be created once more.
      if (records === undefined || records.some(({ Name }) => Name === undefined))
        throw new BadAnswer(`Route 53 answered without the records of ${name}`)
      found.push(...records.filter((record) => sameName(record.Name, name)))
      if (!page.IsTruncated || !sameName(page.NextRecordName, name)) return found
      start = {
        StartRecordName: page.NextRecordName,
        StartRecordType: page.NextRecordType,
        ...(page.NextRecordIdentifier ? { StartRecordIdentifier: page.NextRecordIdentifier } : {}),
      }
      const next = JSON.stringify(start)
      if (asked.has(next)) throw new BadAnswer(`Route 53 answers the same page of ${name} again and again`)
      asked.add(next)
    }
  }

  return {
    async read(cluster) {
      const { name } = cluster.endpoint
      const zoneId = zoneOf(cluster)
      const [tokens, records] = await Promise.all([
        recordsAt(zoneId, tokenName(name)),
        recordsAt(zoneId, name),
      ])
      return { ...tokenOf(tokens), ...cnameOf(records) }
    },

    async swap(cluster, read, next) {
      if (read.foreignRecord !== null || read.foreignToken !== null)
        return { outcome: 'refused', message: foreignMessage(cluster.endpoint.name, read) }
      const { name, ttlSeconds } = cluster.endpoint
      const zoneId = zoneOf(cluster)
      const changes = swapChanges({ name, ttlSeconds }, read, next)
      try {
        const answer = await client.send(
          new ChangeResourceRecordSetsCommand({
            HostedZoneId: zoneId,
            ChangeBatch: {
              Comment: `understudy: ${next.token.cluster} term ${next.token.term}`,
              Changes: changes,
            },
          }),
        )
        return { outcome: 'done', changeId: (answer.ChangeInfo?.Id ?? '').replace(/^\/change\//, '') }
      } catch (error) {
        return swapFailure(error)
      }
    },

    async inSync(changeId) {
      try {
        const answer = await client.send(new GetChangeCommand({ Id: changeId }))
        return answer.ChangeInfo?.Status === 'INSYNC' ? 'yes' : 'no'
      } catch {
        // NoSuchChange too: a change in flight is forgotten when the control plane fails over (accelerated recovery).
        return 'unknown'
      }
    },
  }
}

/** In this order: what was read goes, what is wanted comes. What is absent is not deleted: CREATE alone compares. */
function swapChanges(
  endpoint: { name: string; ttlSeconds: number },
  read: EndpointRecords,
  next: { readonly token: EndpointToken; readonly target: string },
): Change[] {
  const record = (Name: string, Type: 'TXT' | 'CNAME', TTL: number, Value: string) => ({
    Name,
    Type,
    TTL,
    ResourceRecords: [{ Value }],
  })
  const { name, ttlSeconds } = endpoint
  const txt = tokenName(name)
  const changes: Change[] = []
  if (read.token)
    changes.push({
      Action: 'DELETE',
      ResourceRecordSet: record(txt, 'TXT', read.token.ttlSeconds, read.token.raw),
    })
  changes.push({
    Action: 'CREATE',
    ResourceRecordSet: record(txt, 'TXT', ttlSeconds, renderToken(next.token)),
  })
  if (read.cname)
    changes.push({
      Action: 'DELETE',
      ResourceRecordSet: record(name, 'CNAME', read.cname.ttlSeconds, read.cname.target),
    })
  changes.push({ Action: 'CREATE', ResourceRecordSet: record(name, 'CNAME', ttlSeconds, next.target) })
  return changes
}

/** Texts of InvalidChangeBatch that mean: a record is not as it was read. */
const comparisons = [
  /but it already exists/i,
  /but it was not found/i,
  /values provided do not match the current values/i,
  /conflicts with other records/i,
]

/**
 * A protected record set makes the whole batch fail with InvalidChangeBatch as well, with the protection's comment as
 * text, which could say anything: it is looked for first.
 *
 * Throttling and PriorRequestNotComplete certainly had no effect, and yet are `unknown` (`errors.ts`).
 */
function swapFailure(error: unknown): { outcome: 'conflict' | 'refused' | 'unknown'; message: string } {
  const failure = failureOf(error)
  const listed = listedMessages(error)
  if (failure.code !== 'InvalidChangeBatch' && listed.length === 0)
    return { outcome: failure.kind === 'rejected' ? 'refused' : 'unknown', message: failure.message }
  const message = [failure.message, ...listed].join(' ')
  // After a repeated request the comparison may have failed against our own change: `conflict` says to read again.
  if (/protect/i.test(message)) return { outcome: 'refused', message }
  return { outcome: comparisons.some((text) => text.test(message)) ? 'conflict' : 'refused', message }
}

/**
 * Route 53 answers in the usual form, all problems in one text. The form that its reference documents,
 * `<InvalidChangeBatch><Messages>`, was in use until 2024 and leaves the SDK without a code, but with the list.
 */
function listedMessages(error: unknown): string[] {
  const { messages, Messages } = error as { messages?: unknown; Messages?: { Message?: unknown } }
  return [messages, Messages?.Message].flat().filter((one) => typeof one === 'string')
}

function tokenOf(records: readonly ResourceRecordSet[]): Pick<EndpointRecords, 'token' | 'foreignToken'> {
  const [record, ...more] = records.filter((at) => at.Type === 'TXT' || at.Type === 'CNAME')
  if (record === undefined) return { token: null, foreignToken: null }
  const raw = plainValue(record, 'TXT')
  const token = raw === null || more.length > 0 ? null : parseToken(raw)
  if (raw === null || token === null) return { token: null, foreignToken: describe([record, ...more]) }
  return { token: { ...token, raw, ttlSeconds: record.TTL ?? 0 }, foreignToken: null }
}

function cnameOf(records: readonly ResourceRecordSet[]): Pick<EndpointRecords, 'cname' | 'foreignRecord'> {
  const [record, ...more] = records
  if (record === undefined) return { cname: null, foreignRecord: null }
  const target = plainValue(record, 'CNAME')
  if (target === null || more.length > 0) return { cname: null, foreignRecord: describe(records) }
  return { cname: { target, ttlSeconds: record.TTL ?? 0 }, foreignRecord: null }
}

/** The one value of a simple record of this type; null for an alias, several values, or a routing policy. */
function plainValue(record: ResourceRecordSet, type: 'TXT' | 'CNAME'): string | null {
  const values = record.ResourceRecords ?? []
  const simple =
    record.Type === type &&
    record.SetIdentifier === undefined &&
    record.AliasTarget === undefined &&
    record.HealthCheckId === undefined &&
    Number.isFinite(record.TTL) &&
    values.length === 1
  return simple ? (values[0]?.Value ?? null) : null
}

function describe(records: readonly ResourceRecordSet[]): string {
  return records
    .map((record) => {
      const values = record.AliasTarget
        ? `alias of ${record.AliasTarget.DNSName}`
        : (record.ResourceRecords ?? []).map((value) => value.Value).join(', ')
      return `${record.Type}${record.SetIdentifier ? ` (set ${record.SetIdentifier})` : ''} ${values}`
    })
    .join('; ')
}

function foreignMessage(name: string, read: EndpointRecords): string {
  return read.foreignRecord !== null
    ? `${name} has a record that cannot be compared and swapped: ${read.foreignRecord}. Replace it by a simple CNAME.`
    : `${tokenName(name)} has a record that is not Understudy's: ${read.foreignToken}. Delete it, then adopt.`
}

/** Route 53 gives names in lower case, with a final dot, and other characters than `a-z 0-9 - _` as octal `\052`. */
function sameName(read: string | undefined, asked: string): boolean {
  const plain = (name: string) =>
    name
      .replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
      .replace(/\.$/, '')
      .toLowerCase()
  return read !== undefined && plain(read) === plain(asked)
}
