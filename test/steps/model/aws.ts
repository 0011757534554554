/** Instances whose states take their time, and two DNS records that compare before they change. */
import type { EndpointRecords, EndpointToken, InstanceState, InstanceView } from '../../../functions/ports.ts'
import type { Server } from './postgres.ts'
import type { VirtualTime } from './time.ts'

export class Instance {
  readonly id: string
  readonly address: string
  /** What runs on it; another server's address for a mapping that is wrong (H02). */
  readonly server: Server | null
  state: InstanceState = 'running'

  constructor(id: string, address: string, server: Server | null) {
    this.id = id
    this.address = address
    this.server = server
  }
}

export class Instances {
  readonly all = new Map<string, Instance>()
  private readonly byAddress = new Map<string, Instance[]>()
  /** Ids that EC2 refuses to stop or start. */
  readonly refusing = new Set<string>()
  /** Called after each change of a state. */
  changed: (instance: Instance) => void = () => undefined
  stopMs = 25_000
  startMs = 15_000
  /** The unit starts at boot, as a careless host would (H08). */
  autostart = false
  private readonly time: VirtualTime

  constructor(time: VirtualTime) {
    this.time = time
  }

  add(instance: Instance): void {
    this.all.set(instance.id, instance)
    this.byAddress.set(instance.address, [...(this.byAddress.get(instance.address) ?? []), instance])
  }

  /** Is a machine up that answers at this address? */
  isUp(address: string): boolean {
    for (const { state } of this.byAddress.get(address) ?? [])
      if (state === 'running' || state === 'stopping') return true
    return false
  }

  view(id: string): InstanceView {
    const instance = this.all.get(id)
    return { instanceId: id, state: instance?.state ?? 'absent', privateAddress: instance?.address ?? null }
  }

  /** The server writes until the very end. */
  stop(id: string): 'requested' | 'refused' {
    const instance = this.all.get(id)
    if (instance === undefined || this.refusing.has(id)) return 'refused'
    if (instance.state !== 'running' && instance.state !== 'pending') return 'requested'
    this.turn(instance, 'stopping')
    this.time.after(this.stopMs, () => {
      if (instance.state !== 'stopping') return
      instance.state = 'stopped'
      instance.server?.end('untold')
      this.changed(instance)
    })
    return 'requested'
  }

  start(id: string): 'requested' | 'refused' {
    const instance = this.all.get(id)
    if (instance === undefined || instance.state === 'stopping' || this.refusing.has(id)) return 'refused'
    if (instance.state !== 'stopped') return 'requested'
    this.turn(instance, 'pending')
    this.time.after(this.startMs, () => {
      if (instance.state !== 'pending') return
      this.turn(instance, 'running')
      const server = instance.server
      if (this.autostart && server) server.start(server.inRecovery ? 'standby' : 'primary')
    })
    return 'requested'
  }

  private turn(instance: Instance, state: InstanceState): void {
    instance.state = state
    this.changed(instance)
  }
}

interface Cname {
  target: string
  ttlSeconds: number
}

export class Names {
  token: { raw: string; ttlSeconds: number } | null = null
  cname: Cname | null = null
  foreignRecord: string | null = null
  /** What resolvers answer: the change before it is in sync. */
  answered: Cname | null = null
  syncMs = 200
  /** Why Route 53 refuses every change; null: it does not. */
  refusal: string | null = null
  /** Whose change is being made: of which deployment, and which invocation; null: somebody by hand. */
  actor: { readonly deployment: string; readonly by: string } | null = null
  /** Called after each change of the records. */
  changed: () => void = () => undefined
  readonly history: (EndpointToken & { target: string; atMs: number })[] = []
  private readonly time: VirtualTime
  private readonly changes = new Map<string, number>()

  constructor(time: VirtualTime) {
    this.time = time
  }

  read(): EndpointRecords {
    const token = this.token && readToken(this.token.raw)
    return {
      token: token && this.token ? { ...token, ...this.token } : null,
      foreignToken: this.token && !token ? this.token.raw : null,
      cname: this.cname && { ...this.cname },
      foreignRecord: this.foreignRecord,
    }
  }

  swap(read: EndpointRecords, next: { token: EndpointToken; target: string }, ttlSeconds: number) {
    if (this.refusal !== null) return { outcome: 'refused' as const, message: this.refusal }
    const now = this.read()
    const same =
      JSON.stringify([now.token?.raw, now.token?.ttlSeconds, now.foreignToken, now.cname]) ===
      JSON.stringify([read.token?.raw, read.token?.ttlSeconds, read.foreignToken, read.cname])
    if (!same) return { outcome: 'conflict' as const, message: 'a record changed' }
    const { deployment, cluster, term } = next.token
    this.token = { raw: `understudy ${deployment} ${cluster} ${term}`, ttlSeconds: 60 }
    const cname = { target: next.target, ttlSeconds }
    this.cname = cname
    // Changes come to the servers of the zone in the order in which they were made.
    this.time.after(this.syncMs, () => {
      if (this.cname === cname) this.answered = cname
    })
    const changeId = `change-${this.changes.size + 1}`
    this.changes.set(changeId, this.time.nowMs + this.syncMs)
    this.history.push({ ...next.token, target: next.target, atMs: this.time.nowMs })
    this.changed()
    return { outcome: 'done' as const, changeId }
  }

  inSync(changeId: string): 'yes' | 'no' | 'unknown' {
    const atMs = this.changes.get(changeId)
    if (atMs === undefined) return 'unknown'
    return this.time.nowMs >= atMs ? 'yes' : 'no'
  }
}

function readToken(raw: string): EndpointToken | null {
  const match = /^understudy (\S+) (\S+) (\d+)$/.exec(raw)
  return match ? { deployment: match[1] ?? '', cluster: match[2] ?? '', term: Number(match[3]) } : null
}
