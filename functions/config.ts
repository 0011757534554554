/**
 * The configuration: what a person writes in `understudy.config.ts`, checked as a whole and filled in with defaults.
 *
 * Everything wrong is said at once, each problem with its path, what is wrong and what to do; values of the
 * configuration are named only where they can not be secret.
 */
import { readFileSync } from 'node:fs'
import { isIPv4, isIPv6 } from 'node:net'
import { z } from 'zod'
import { completeFleet } from './config-defaults.ts'
import { ConfigError, shapeProblems } from './config-problems.ts'
import { rdsIdentifier } from './config-rule.ts'
import { ruleProblems } from './config-rules.ts'
import { type ClusterConfig, engineNames, type FleetConfig } from './core/types.ts'

export { ConfigError } from './config-problems.ts'
export { configWarnings } from './config-warnings.ts'

// Ids are keys of plain objects, which have one of this name already.
const noKeyOfObjects = (id: string) => id !== 'constructor'
const taken = 'is a word that JavaScript keeps for itself. Take another'
const id = z
  .string()
  .regex(/^[a-z0-9-]{1,40}$/, 'must be 1 to 40 of a-z, 0-9 and -')
  .refine(noKeyOfObjects, taken)
const filled = z.string().trim().min(1)
const ipv6OrName =
  /^(?:[0-9a-fA-F:]*:[0-9a-fA-F:.]*|[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*)$/
const address = z
  .string()
  .max(253)
  .regex(ipv6OrName, 'must be an IP address or a DNS name, without port or final dot')
const dnsName = z
  .string()
  .max(253)
  .regex(
    /^(?=.*[A-Za-z])(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
    'is not a DNS name',
  )
/** `host:port` or `[ipv6]:port`. */
const place = (isHost: (host: string) => boolean, problem: string) =>
  z.string().refine((text) => {
    const [, ipv6, host = '', port] =
      /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$/.exec(text) ?? []
    const fits = ipv6 === undefined ? isHost(host) : isIPv6(ipv6)
    return fits && Number(port) >= 1 && Number(port) <= 65_535
  }, problem)
const hostAndPort = place((host) => host !== '', 'must be host:port')
// Node's resolver throws on a name, and ends the whole process on port 0.
const resolver = place(isIPv4, 'must be the IP address and port of a DNS server, such as 10.0.0.2:53')
const region = z.string().regex(/^[a-z]{2}(?:-[a-z]+)+-[0-9]$/, 'is not the name of an AWS Region')
const zone = z.string().regex(/^[a-z]{2}(?:-[a-z0-9]+)+$/, 'is not the name of an Availability Zone')
const milliseconds = (from: number, to: number) => z.int().min(from).max(to)
// Written into shell scripts that run as root on the hosts; `{node}` stands for the node's id.
const absolute = z
  .string()
  .regex(/^\/(?:[A-Za-z0-9._/@+-]|\{node\})*$/, 'must be an absolute path of letters, digits and . _ / @ + -')

const securityGroup = z.string().regex(/^sg-[0-9a-z]+$/, 'must be the id of a security group')

const vpc = z.strictObject({
  vpcId: z.string().regex(/^vpc-[0-9a-z]+$/, 'must be the id of a VPC'),
  subnetIds: z.array(z.string().regex(/^subnet-[0-9a-z]+$/, 'must be the id of a subnet')).min(1),
  securityGroupIds: z.array(securityGroup).min(1),
})

const observer = z.strictObject({
  id: z
    .string()
    .regex(/^[a-z0-9-]{1,20}$/, 'must be 1 to 20 of a-z, 0-9 and -')
    .refine(noKeyOfObjects, taken)
    .describe('Name the vantage point, such as its zone: a, b, c'),
  availabilityZone: zone
    .nullable()
    .default(null)
    .describe('Zone of its subnets, so that doubt about shared zones can be said'),
  vpc: vpc.nullable().default(null).describe('{ vpcId, subnetIds, securityGroupIds }; null: outside any VPC'),
  canary: hostAndPort
    .nullable()
    .default(null)
    .describe('Something in its own zone that answers TCP, as host:port; null: none'),
})

const node = z.strictObject({
  id: id.describe('Name the node; standbys stream under this name'),
  address: address.describe('IP address of the server, or a name that nobody moves'),
  readerAddress: address
    .nullable()
    .default(null)
    .describe('aurora-global: reader endpoint of the cluster, which answers while another Region writes'),
  port: z.int().min(1).max(65_535).optional().describe('TCP port of the server; default: 5432, MySQL 3306'),
  dnsName: dnsName
    .optional()
    .describe('What the endpoint points to when this node is primary; it resolves to the address'),
  instanceId: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]{0,62}$/, 'must be the id of an instance')
    .describe(
      'EC2 instance id (the power fence stops it); rds and aurora: DB instance identifier; aurora-global: DB cluster identifier',
    ),
  region: region.optional().describe('Region of the instance; default: the region of the deployment'),
  availabilityZone: zone.describe(
    'Zone of the instance, such as eu-central-1a: it tells shared failures apart',
  ),
  promotable: z.boolean().default(true).describe('false: never a target'),
  preference: z.int().default(0).describe('Breaks ties between equal positions; higher wins'),
  sourceAddresses: z
    .array(address)
    .min(1)
    .optional()
    .describe("Addresses that this node's receiver connects from; default: its address"),
  closedGroupId: securityGroup
    .nullable()
    .default(null)
    .describe("rds: security group that admits nobody but Understudy's own functions: the network fence"),
  groupIds: z
    .array(securityGroup)
    .min(1)
    .nullable()
    .default(null)
    .describe('rds: security groups of a rebuilt instance; default: those of the new primary'),
})

const loss = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('never') }),
  z.strictObject({
    mode: z.literal('bounded'),
    seconds: z
      .number()
      .positive('must be more than 0')
      .max(86_400)
      .describe('The most seconds of commits that a failover may lose'),
  }),
  z.strictObject({ mode: z.literal('availability') }),
])

const policy = z.strictObject({
  fence: z
    .enum(['power', 'quorum', 'network', 'native'])
    .optional()
    .describe(
      'power: wait for the stopped instance; quorum: a frozen majority of the synchronous list is enough; network (rds) and native (aurora) are the only ones of their engines',
    ),
  cancelledWaits: z
    .enum(['accepted', 'refused'])
    .default('refused')
    .describe('accepted: commits whose wait a driver cancelled may be lost'),
  loss: loss
    .default({ mode: 'never' })
    .describe("{ mode: 'never' }, { mode: 'bounded', seconds } or { mode: 'availability' }"),
  synchronous: z
    .enum(['managed', 'fixed', 'none'])
    .optional()
    .describe(
      "Who changes synchronous_standby_names: only Understudy (postgres' default), nobody, or anyone; 'none' for what AWS runs",
    ),
  synchronousCount: z.int().min(1).default(1).describe('How many standbys must acknowledge a commit'),
  isolated: z
    .enum(['page', 'failover'])
    .default('page')
    .describe('What to do with a primary that only a minority reaches'),
  crossRegion: z
    .enum(['allowed', 'forbidden'])
    .default('allowed')
    .describe("Whether a node in another Region than the primary's may be promoted"),
  rejoin: z
    .enum(['automatic', 'never'])
    .default('automatic')
    .describe('Whether an old primary is rebuilt as a standby'),
  rebuild: z
    .enum(['automatic', 'approve', 'never'])
    .default('approve')
    .describe('rds: whether lost replicas are made anew, which creates and deletes instances'),
  holdMs: milliseconds(0, 60_000).default(250).describe('How long a death must last before it is acted upon'),
  restartGraceMs: milliseconds(0, 600_000)
    .default(20_000)
    .describe('How long a server that said it stops may take to come back'),
  silentLooks: z.int().min(1).max(100).default(3).describe('Silent looks in a row that make a death'),
  cooldownMs: milliseconds(0, 604_800_000)
    .default(3_600_000)
    .describe('No second automatic failover within this long'),
})

const observe = z.strictObject({
  intervalMs: milliseconds(50, 30_000).default(2000).describe('Milliseconds between two probes of a node'),
  urgentIntervalMs: milliseconds(10, 30_000)
    .default(500)
    .describe('The same while there is any sign of trouble'),
  probeTimeoutMs: milliseconds(10, 5000).default(1000).describe('How long one probe may take'),
  heartbeatMs: milliseconds(100, 55_000)
    .default(27_000)
    .describe('An unchanged report is written this often'),
})

const password = z.discriminatedUnion('from', [
  z.strictObject({ from: z.literal('none') }),
  z.strictObject({ from: z.literal('iam') }),
  z.strictObject({
    from: z.literal('secret'),
    secretId: filled.describe('Name or ARN of a secret in Secrets Manager, never the password itself'),
  }),
])

const role = filled.max(63)
const connection = z.strictObject({
  database: filled.max(64).optional().describe('Database that probes connect to; default by family'),
  observerUser: role.default('understudy_observer').describe('Role of the probes, a member of pg_monitor'),
  operatorUser: role.default('understudy_operator').describe('Role of the acts, used for nothing else'),
  replicationUser: role.default('understudy_replication').describe('Role that standbys stream with'),
  password: password
    .default({ from: 'none' })
    .describe("{ from: 'none' }, { from: 'secret', secretId } or, for what AWS runs, { from: 'iam' }"),
  tls: z
    .enum(['disable', 'require', 'verify-full'])
    .default('require')
    .describe('How connections are encrypted'),
})

const host = z.strictObject({
  dataDirectory: absolute.describe(
    "Data directory of the server on its host; {node} stands for the node's id",
  ),
  binDirectory: absolute.describe(
    'Directory of pg_ctl and pg_basebackup on the host, such as /usr/lib/postgresql/18/bin',
  ),
  osUser: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'is not the name of a user')
    .nullable()
    .default('postgres')
    .describe("User that runs the server; null: the agent's own"),
  startCommand: filled
    .default('systemctl start postgresql')
    .describe('Shell command, run as the agent (root), that starts the server and waits for it'),
  stopCommand: filled
    .default('systemctl stop postgresql')
    .describe('Shell command, run as the agent (root), that stops the server fast and waits for it'),
})

export const managed = z.strictObject({
  family: z.enum(['postgres', 'mysql', 'mariadb']).default('postgres').describe('What the servers speak'),
  providerGraceMs: milliseconds(0, 3_600_000)
    .default(180_000)
    .describe('How long what AWS does by itself (Multi-AZ failover, reboot, upgrade) is followed'),
  backupGraceMs: milliseconds(0, 3_600_000)
    .default(300_000)
    .describe('How long a replica that is being backed up is waited for'),
  globalClusterId: z
    .string()
    .regex(rdsIdentifier, 'is not the identifier of a global cluster')
    .nullable()
    .default(null)
    .describe('aurora-global: the identifier of the global cluster'),
  clusterId: z
    .string()
    .regex(rdsIdentifier, 'is not the identifier of a DB cluster')
    .nullable()
    .default(null)
    .describe(
      'aurora: identifier of the DB cluster; no other one may then be failed over, nor wakes anybody',
    ),
  globalEndpoint: z
    .boolean()
    .default(false)
    .describe(
      'aurora-global: Aurora moves the global writer endpoint, which clients use; Understudy moves no name',
    ),
})

const cluster = z.strictObject({
  id: id.describe('Name the cluster, such as orders'),
  engine: z
    .enum(engineNames)
    .default('postgres')
    .describe('postgres: servers of your own on EC2; rds, aurora and aurora-global: run by AWS'),
  nodes: z
    .array(node)
    .min(2, 'needs two nodes at least, a primary and a standby')
    .describe('List all servers of the cluster, the primary included'),
  endpoint: z.strictObject({
    name: dnsName.describe('The DNS name that clients write to, without a final dot'),
    zoneId: z
      .string()
      .regex(/^Z[A-Z0-9]{3,31}$/, 'must be the id of a Route 53 hosted zone')
      .nullable()
      .default(null)
      .describe('Such as Z0123456789ABCDEFGHIJ, without /hostedzone/; none with managed.globalEndpoint'),
    ttlSeconds: z
      .int()
      .min(0)
      .max(60, 'must be at most 60: clients would stay with the old primary for longer')
      .default(5)
      .describe('Seconds that resolvers may keep the answer'),
    resolver: resolver
      .nullable()
      .default(null)
      .describe('DNS server that answers for the zone, as address:port; null: that of the VPC'),
  }),
  policy: policy.prefault({}),
  observe: observe.prefault({}),
  connection: connection.prefault({}),
  host: host
    .nullable()
    .default(null)
    .describe("Where the server lives on its host; null with policy.rejoin 'never', and for what AWS runs"),
  managed: managed
    .nullable()
    .default(null)
    .describe('Only for rds, aurora and aurora-global: what the provider runs'),
})

const fleet = z.strictObject({
  deployment: z
    .string()
    .regex(/^[a-z0-9-]{3,32}$/, 'must be 3 to 32 of a-z, 0-9 and -')
    .default('understudy')
    .describe('Name of the deployment: prefix of all its resources'),
  region: region.describe('Region of the deployment: not that of the primaries, if you can choose'),
  account: z
    .string()
    .regex(/^[0-9]{12}$/, 'must be 12 digits, as text')
    .nullable()
    .default(null)
    .describe('Account id; null: that of the credentials at the deploy'),
  observers: z
    .array(observer)
    .min(3, 'needs three observers at least, so that a majority exists when one is lost'),
  operator: z
    .strictObject({
      vpc: vpc
        .nullable()
        .optional()
        .describe('VPC of the function that acts on databases; default: all subnets of the observers'),
    })
    .prefault({}),
  notifications: z
    .strictObject({
      emails: z.array(z.email('is not an e-mail address')).default([]).describe('Who is told'),
    })
    .prefault({}),
  alarms: z
    .strictObject({ enabled: z.boolean().default(true), dashboard: z.boolean().default(true) })
    .prefault({}),
  logs: z
    .strictObject({
      retentionDays: z
        .literal([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400])
        .default(30)
        .describe('Days that CloudWatch keeps logs'),
    })
    .prefault({}),
  clusters: z
    .array(cluster)
    .min(1, 'needs one cluster at least')
    .describe('The clusters to protect, as a list or by id'),
})

/** The shape with the defaults that depend on nothing else: what rules and `completeFleet` read. */
export type FleetDraft = z.output<typeof fleet>
export type ClusterDraft = FleetDraft['clusters'][number]
type ClusterInput = z.input<typeof cluster>

/** What `understudy.config.ts` holds: clusters as a list, or by their ids. */
export type FleetInput = Omit<z.input<typeof fleet>, 'clusters'> & {
  clusters: readonly ClusterInput[] | Readonly<Record<string, Omit<ClusterInput, 'id'>>>
}

/** Where functions that talk to databases live; ids only, since the stacks own no network. */
export interface VpcPlacement {
  readonly vpcId: string
  readonly subnetIds: readonly string[]
  readonly securityGroupIds: readonly string[]
}

export interface ObserverConfig {
  readonly id: string
  readonly canary: string | null
  readonly availabilityZone: string | null
  readonly vpc: VpcPlacement | null
}

/** The core's configuration and the settings of the deployment, every default filled in. Plain JSON. */
export interface FleetDocument extends FleetConfig {
  readonly region: string
  readonly account: string | null
  readonly observers: readonly ObserverConfig[]
  readonly clusters: readonly ClusterConfig[]
  readonly operator: { readonly vpc: VpcPlacement | null }
  readonly notifications: { readonly emails: readonly string[] }
  readonly alarms: { readonly enabled: boolean; readonly dashboard: boolean }
  readonly logs: { readonly retentionDays: number }
}

/** Types the configuration for the editor; `parseConfig` checks it. */
export function defineConfig(config: FleetInput): FleetInput {
  return config
}

/**
 * Checks everything and fills in the defaults. Parsing its own result gives the same again.
 * Throws one `ConfigError` that lists all problems.
 */
export function parseConfig(input: unknown): FleetDocument {
  const { value, clusterKeys } = clustersAsList(input)
  const checked = fleet
    .superRefine(
      (draft, context) => {
        for (const problem of ruleProblems(draft, spoiledPaths(context.issues)))
          context.addIssue({ code: 'custom', path: [...problem.path], message: problem.message })
      },
      { when: () => true },
    )
    .safeParse(value)
  if (!checked.success) throw new ConfigError(shapeProblems(fleet, checked.error, clusterKeys))
  return completeFleet(checked.data)
}

/** Where the shape is wrong. Unknown keys and lists that are too short leave the rest readable. */
function spoiledPaths(issues: readonly z.core.$ZodRawIssue[]): PropertyKey[][] {
  return issues
    .filter(
      ({ code, origin }) => code !== 'unrecognized_keys' && !(code === 'too_small' && origin === 'array'),
    )
    .map((issue) => issue.path ?? [])
}

/** `{ orders: {…} }` becomes `[{ id: 'orders', … }]`; the keys are kept for the paths of problems. */
function clustersAsList(input: unknown): { value: unknown; clusterKeys: readonly string[] | null } {
  if (!isObject(input) || !isObject(input.clusters)) return { value: input, clusterKeys: null }
  const entries = Object.entries(input.clusters)
  const clusters = entries.map(([key, value]) => (isObject(value) ? { id: key, ...value } : value))
  return { value: { ...input, clusters }, clusterKeys: entries.map(([key]) => key) }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

let loaded: FleetDocument | undefined

/** The configuration that was bundled with the running functions (`understudy.config.json` beside them), read once. */
export function loadConfig(): FleetDocument {
  loaded ??= parseConfig(
    JSON.parse(readFileSync(new URL('./understudy.config.json', import.meta.url), 'utf8')),
  )
  return loaded
}
