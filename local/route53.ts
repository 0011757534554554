/**
 * Route 53's API for one or more hosted zones. A batch of changes is carried out as a whole or not at all; CREATE
 * fails if the set exists, DELETE unless it repeats values and TTL exactly; a CNAME allows nothing else at its name.
 */
import { randomUUID } from 'node:crypto'
import { XMLParser } from 'fast-xml-parser'
import { z } from 'zod'
import { AwsError, escapeXml, type HttpReply, type HttpRequest } from './front.ts'
import { absolute, compare, type RecordSet, recordKey, sortKey, type Zone } from './zone.ts'

export interface Route53Options {
  readonly zones: readonly Zone[]
  /** From a change until it is INSYNC and the servers answer with it. */
  readonly propagationMs?: number
}

/** Names are absolute and in lower case: see `absolute`. */
export interface ZoneChange {
  /** CREATE, DELETE or UPSERT; anything else is refused. */
  readonly action: string
  readonly record: RecordSet
}

const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  // Blanks at the ends of a TXT value are part of it.
  trimValues: false,
  isArray: (name) => name === 'Change' || name === 'ResourceRecord',
})

export class Route53Service {
  readonly #zones: ReadonlyMap<string, Zone>
  readonly #propagationMs: number
  readonly #changes = new Map<string, { submittedAt: string; inSync: boolean }>()
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(options: Route53Options) {
    this.#zones = new Map(options.zones.map((zone) => [zone.id, zone]))
    this.#propagationMs = options.propagationMs ?? 5
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
  }

  handle(request: HttpRequest): HttpReply {
    const [, , kind, id = '', rest] = understood(() => request.path.split('/').map(decodeURIComponent))
    const body = () => {
      if (kind === 'change') return this.#getChange(id)
      if (kind === 'hostedzone' && rest === undefined) return this.#getZone(this.#zone(id))
      if (kind === 'hostedzone' && rest === 'rrset') {
        if (request.method === 'POST')
          return this.#change(
            this.#zone(id),
            understood(() => readChanges(request.body)),
          )
        return list(this.#zone(id), request.query)
      }
      throw new AwsError('InvalidAction', `${request.method} ${request.path} is not served locally`, 404)
    }
    return { status: 200, headers: { 'content-type': 'text/xml' }, body: `<?xml version="1.0"?>\n${body()}` }
  }

  /** Carries out changes as the API does; also for setting a zone up. Returns the change's id. */
  apply(zone: Zone, changes: readonly ZoneChange[]): string {
    const next = zone.snapshot()
    const problems = changes.flatMap((change) => carryOut(zone, next, change))
    if (problems.length > 0) throw new AwsError('InvalidChangeBatch', `[${problems.join(', ')}]`)
    zone.store(next)
    const id = `C${randomUUID().replaceAll('-', '').slice(0, 20).toUpperCase()}`
    const change = { submittedAt: new Date().toISOString(), inSync: false }
    this.#changes.set(id, change)
    const finish = () => {
      zone.publish(next)
      change.inSync = true
    }
    if (this.#propagationMs <= 0) finish()
    else {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        finish()
      }, this.#propagationMs)
      this.#timers.add(timer)
    }
    return id
  }

  #zone(id: string): Zone {
    const zone = this.#zones.get(id)
    if (!zone) throw new AwsError('NoSuchHostedZone', `No hosted zone found with ID: ${id}`, 404)
    return zone
  }

  #change(zone: Zone, changes: readonly ZoneChange[]): string {
    const id = this.apply(zone, changes)
    return `<ChangeResourceRecordSetsResponse>${this.#changeInfo(id)}</ChangeResourceRecordSetsResponse>`
  }

  #getChange(id: string): string {
    return `<GetChangeResponse>${this.#changeInfo(id)}</GetChangeResponse>`
  }

  #changeInfo(id: string): string {
    const change = this.#changes.get(id)
    if (!change) throw new AwsError('NoSuchChange', `Could not find resource with ID: ${id}`, 404)
    const status = change.inSync ? 'INSYNC' : 'PENDING'
    return `<ChangeInfo><Id>/change/${id}</Id><Status>${status}</Status><SubmittedAt>${change.submittedAt}</SubmittedAt></ChangeInfo>`
  }

  #getZone(zone: Zone): string {
    const config = '<Config><PrivateZone>false</PrivateZone></Config>'
    return `<GetHostedZoneResponse><HostedZone><Id>/hostedzone/${zone.id}</Id><Name>${zone.name}</Name><CallerReference>local</CallerReference>${config}<ResourceRecordSetCount>${zone.list().length}</ResourceRecordSetCount></HostedZone></GetHostedZoneResponse>`
  }
}

/** Changes `next`; returns what Route 53 would say against the change. */
function carryOut(zone: Zone, next: Map<string, RecordSet>, { action, record }: ZoneChange): string[] {
  const { name, type } = record
  const key = recordKey(record)
  const what = `resource record set [name='${name}', type='${type}']`
  const existing = next.get(key)
  if (!zone.contains(name)) return [`RRSet with DNS name ${name} is not permitted in zone ${zone.name}`]
  if (action === 'DELETE') {
    if (!existing) return [`Tried to delete ${what} but it was not found`]
    if (!sameRecord(existing, record)) {
      return [`Tried to delete ${what} but the values provided do not match the current values`]
    }
    next.delete(key)
    return []
  }
  if (action !== 'CREATE' && action !== 'UPSERT')
    throw new AwsError('InvalidInput', `Invalid action ${action}`)
  if (action === 'CREATE' && existing) return [`Tried to create ${what} but it already exists`]
  if (type === 'CNAME' && name === zone.name) {
    return [`RRSet of type CNAME with DNS name ${name} is not permitted at apex in zone ${zone.name}`]
  }
  const others = [...next.values()].filter((other) => other.name === name && other.type !== type)
  if (others.length > 0 && (type === 'CNAME' || others.some((other) => other.type === 'CNAME'))) {
    return [
      `RRSet of type ${type} with DNS name ${name} is not permitted as it conflicts with other records with the same DNS name in zone ${zone.name}`,
    ]
  }
  if (type === 'CNAME' && record.values.length !== 1) {
    return [`A CNAME record set must have exactly one record, name='${name}'`]
  }
  next.set(key, record)
  return []
}

function sameRecord(left: RecordSet, right: RecordSet): boolean {
  const values = (record: RecordSet) =>
    JSON.stringify([...record.values].map((value) => normal(record.type, value)).sort())
  return left.ttl === right.ttl && left.weight === right.weight && values(left) === values(right)
}

/** Host names compare without regard to case and final dot. */
function normal(type: string, value: string): string {
  return type === 'CNAME' || type === 'NS' ? absolute(value) : value
}

const batch = z.object({
  ChangeResourceRecordSetsRequest: z.object({
    ChangeBatch: z.object({
      Changes: z.object({
        Change: z.array(
          z.object({
            Action: z.string(),
            ResourceRecordSet: z.object({
              Name: z.string(),
              Type: z.string(),
              TTL: z.string().regex(/^\d{1,10}$/),
              SetIdentifier: z.string().optional(),
              Weight: z.string().optional(),
              ResourceRecords: z.object({ ResourceRecord: z.array(z.object({ Value: z.string() })) }),
            }),
          }),
        ),
      }),
    }),
  }),
})

function readChanges(body: string): ZoneChange[] {
  const { ChangeBatch } = batch.parse(parser.parse(body)).ChangeResourceRecordSetsRequest
  return ChangeBatch.Changes.Change.map(({ Action, ResourceRecordSet: set }) => ({
    action: Action,
    record: {
      name: absolute(set.Name),
      type: set.Type,
      ttl: Number(set.TTL),
      values: set.ResourceRecords.ResourceRecord.map(({ Value }) => Value),
      setIdentifier: set.SetIdentifier ?? null,
      weight: set.Weight ?? null,
    },
  }))
}

/** What can not be read is the caller's mistake, and no failure of the service. */
function understood<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new AwsError('InvalidInput', `not understood: ${(error as Error).message}`)
  }
}

function list(zone: Zone, query: URLSearchParams): string {
  const most = Math.min(Number(query.get('maxitems') ?? 300), 300)
  const name = query.get('name')
  const start = name === null ? '' : sortKey({ name: absolute(name), type: query.get('type') ?? '' })
  const found = zone.list().filter((record) => compare(sortKey(record), start.trimEnd()) >= 0)
  const next = found[most]
  const more = next
    ? `<NextRecordName>${encodeName(next.name)}</NextRecordName><NextRecordType>${next.type}</NextRecordType>`
    : ''
  const sets = found.slice(0, most).map(recordXml).join('')
  return `<ListResourceRecordSetsResponse><ResourceRecordSets>${sets}</ResourceRecordSets><IsTruncated>${next !== undefined}</IsTruncated>${more}<MaxItems>${most}</MaxItems></ListResourceRecordSetsResponse>`
}

function recordXml(record: RecordSet): string {
  const values = record.values.map(
    (value) => `<ResourceRecord><Value>${escapeXml(value)}</Value></ResourceRecord>`,
  )
  const routing =
    record.setIdentifier === null
      ? ''
      : `<SetIdentifier>${escapeXml(record.setIdentifier)}</SetIdentifier><Weight>${record.weight ?? 0}</Weight>`
  return `<ResourceRecordSet><Name>${encodeName(record.name)}</Name><Type>${record.type}</Type>${routing}<TTL>${record.ttl}</TTL><ResourceRecords>${values.join('')}</ResourceRecords></ResourceRecordSet>`
}

/** Route 53 gives everything but letters, digits, `-`, `_` and dots back as octal escapes. */
function encodeName(name: string): string {
  return name.replaceAll(/[^a-z0-9._-]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`)
}
