/** Rules for the engines that AWS runs, and for what only they have. */
import type { ClusterDraft, FleetDraft } from './config.ts'
import { familyOf, fencesOf } from './config-defaults.ts'
import { type Rule, type RuleProblem, rdsIdentifier, wrong } from './config-rule.ts'

const ec2Instance = /^i-[0-9a-f]{8,17}$/
/** A name that was freed becomes `<name>-t<term>`, which has to be a name of RDS as well. */
const longestName = 52

const isManaged = ({ engine }: Pick<ClusterDraft, 'engine'>) => engine !== 'postgres'

/** `problem` of each node that has one, at `nodes[i].<key>`. */
function ofNodes(
  nodes: ClusterDraft['nodes'],
  key: string,
  problem: (node: ClusterDraft['nodes'][number], index: number) => string | undefined,
): RuleProblem[] {
  return nodes.flatMap((node, index) => {
    const message = problem(node, index)
    return message === undefined ? [] : [wrong(['nodes', index, key], message)]
  })
}

function identifierProblem(engine: ClusterDraft['engine'], instanceId: string): string | undefined {
  if (engine === 'postgres')
    return ec2Instance.test(instanceId)
      ? undefined
      : 'must be the id of an EC2 instance, such as i-0123456789abcdef0: the power fence stops it.'
  const kind = engine === 'aurora-global' ? 'DB cluster' : 'DB instance'
  if (ec2Instance.test(instanceId))
    return `is the id of an EC2 instance, and ${engine} needs the identifier of a ${kind}.`
  if (!rdsIdentifier.test(instanceId))
    return `must be the identifier of a ${kind} as RDS shows it: lower case, a letter first, single hyphens inside.`
  if (engine === 'rds' && instanceId.length > longestName)
    return `is longer than ${longestName} characters: an old primary is renamed to <identifier>-t<term>, and RDS allows 63. Rename the instance.`
  return undefined
}

const isNameOfRds = (name: string) => /\.rds\.amazonaws\.com(?:\.cn)?$/i.test(name)

/** Names of AWS that lead to whichever member has a role at the moment. */
function movingName(engine: ClusterDraft['engine'], address: string): string | undefined {
  if (!isNameOfRds(address)) return undefined
  if (engine === 'aurora-global')
    return /\.(?:cluster-(?:ro|custom)-|global-)/i.test(address)
      ? 'must be the endpoint of the cluster of its Region (….cluster-….rds.amazonaws.com): this name is moved between clusters or readers (H30).'
      : undefined
  return /\.(?:cluster|global)-/i.test(address)
    ? 'is an endpoint of a cluster, which AWS moves (H30). Give the endpoint of the instance itself.'
    : undefined
}

export const managedRules: readonly Rule<ClusterDraft>[] = [
  {
    reads: ['engine', 'nodes.*.instanceId'],
    check: ({ engine, nodes }) =>
      ofNodes(nodes, 'instanceId', ({ instanceId }) => identifierProblem(engine, instanceId)),
  },
  {
    // H30: a probe of a moving name would see another member each time.
    reads: ['engine', 'nodes.*.address'],
    check: ({ engine, nodes }) =>
      isManaged({ engine }) ? ofNodes(nodes, 'address', ({ address }) => movingName(engine, address)) : [],
  },
  {
    // The endpoint of a cluster leads nowhere until that cluster writes: by it alone every secondary would look dead.
    reads: ['engine', 'nodes.*.readerAddress'],
    check: ({ engine, nodes }) =>
      ofNodes(nodes, 'readerAddress', ({ readerAddress }) => {
        if (engine !== 'aurora-global')
          return readerAddress === null
            ? undefined
            : 'is for aurora-global only: elsewhere a node has one address. Remove it.'
        if (readerAddress === null)
          return 'is needed: the endpoint of a secondary cluster does not answer. Give the reader endpoint of the cluster (….cluster-ro-….rds.amazonaws.com).'
        return isNameOfRds(readerAddress) && !/\.cluster-ro-/i.test(readerAddress)
          ? 'must be the reader endpoint of the cluster (….cluster-ro-….rds.amazonaws.com).'
          : undefined
      }),
  },
  {
    reads: ['endpoint.name', 'managed'],
    check: ({ endpoint, managed }) =>
      isNameOfRds(endpoint.name) && managed?.globalEndpoint !== true
        ? [
            wrong(
              'endpoint.name',
              'is a name of AWS, which nobody else can move. Give a name in a zone of yours, or set managed.globalEndpoint for the global writer endpoint.',
            ),
          ]
        : [],
  },
  {
    reads: ['engine', 'endpoint.zoneId', 'managed'],
    check: ({ engine, endpoint: { zoneId }, managed }) => {
      const isMoved = engine !== 'aurora-global' || managed?.globalEndpoint !== true
      if (isMoved && zoneId === null)
        return [
          wrong(
            'endpoint.zoneId',
            'is missing: Understudy moves the name there. Give the id of its hosted zone in Route 53.',
          ),
        ]
      return !isMoved && zoneId !== null
        ? [
            wrong(
              'endpoint.zoneId',
              'is of no use with managed.globalEndpoint: Aurora moves that name. Remove it, or remove managed.globalEndpoint to have a name of yours moved.',
            ),
          ]
        : []
    },
  },
  {
    reads: ['engine', 'managed'],
    check: ({ engine, managed }) =>
      engine === 'postgres' && managed !== null
        ? [wrong('managed', "is for what AWS runs. Remove it, or set engine to 'rds' or an aurora.")]
        : [],
  },
  {
    reads: ['engine', 'host'],
    check: ({ engine, host }) =>
      isManaged({ engine }) && host !== null
        ? [wrong('host', `must be null: nobody reaches the hosts of ${engine}. Remove it.`)]
        : [],
  },
  {
    // S2: each engine has its own fence, and no other proves anything there.
    reads: ['engine', 'policy.fence'],
    check: ({ engine, policy: { fence } }) => {
      const fits: readonly string[] = fencesOf[engine]
      return fence === undefined || fits.includes(fence)
        ? []
        : [
            wrong(
              'policy.fence',
              `'${fence}' is no fence of ${engine} (S2). Use ${fits.map((each) => `'${each}'`).join(' or ')}, or leave it out.`,
            ),
          ]
    },
  },
  {
    // S10: a replica of RDS is asynchronous. Aurora's members share one storage; a global one has its switchover.
    reads: ['engine', 'policy.loss'],
    check: ({ engine, policy }) =>
      engine === 'rds' && policy.loss.mode === 'never'
        ? [
            wrong(
              'policy.loss',
              "'never' can not be proved: replicas of RDS are asynchronous (S10). Set { mode: 'bounded', seconds } or { mode: 'availability' }. A switchover loses nothing with either.",
            ),
          ]
        : [],
  },
  {
    reads: ['engine', 'policy.synchronous'],
    check: ({ engine, policy: { synchronous } }) =>
      isManaged({ engine }) && synchronous !== undefined && synchronous !== 'none'
        ? [
            wrong(
              'policy.synchronous',
              `must be 'none': ${engine} has no synchronous list that anybody could set. Leave it out.`,
            ),
          ]
        : [],
  },
  {
    reads: ['engine', 'nodes.*.closedGroupId', 'nodes.*.promotable'],
    check: ({ engine, nodes }) =>
      ofNodes(nodes, 'closedGroupId', ({ closedGroupId, promotable }) => {
        if (engine === 'rds')
          return promotable && closedGroupId === null
            ? "is needed: it is the fence of a node that may be primary. Make a security group in its VPC that admits nobody but Understudy's functions (docs/engines.md)."
            : undefined
        return closedGroupId === null ? undefined : `is for rds only: ${engine} has another fence. Remove it.`
      }),
  },
  {
    reads: ['engine', 'nodes.*.groupIds', 'nodes.*.closedGroupId'],
    check: ({ engine, nodes }) => {
      const closed = new Set(nodes.map(({ closedGroupId }) => closedGroupId))
      return ofNodes(nodes, 'groupIds', ({ groupIds }) => {
        if (groupIds === null) return undefined
        if (engine !== 'rds') return `is for rds only: ${engine} is not rebuilt by Understudy. Remove it.`
        const both = groupIds.find((id) => closed.has(id))
        return both === undefined
          ? undefined
          : `names ${both}, which is a closed group: clients of a rebuilt node would be shut out. Give the groups that clients need.`
      })
    },
  },
  {
    // The groups of a new primary do not exist in other Regions, where a replica would get the default one of its VPC.
    reads: ['engine', 'nodes.*.groupIds', 'nodes.*.promotable', 'nodes.*.region', 'policy.rebuild'],
    check: ({ engine, nodes, policy }, fleet) => {
      const regionOf = ({ region }: { region?: string | undefined }) => region ?? fleet.region
      if (engine !== 'rds' || policy.rebuild === 'never') return []
      return ofNodes(nodes, 'groupIds', (node) => {
        const away = nodes.find((other) => other.promotable && regionOf(other) !== regionOf(node))
        return node.groupIds === null && away !== undefined
          ? `is needed: when ${away.id} is the primary, in ${regionOf(away)}, its groups are none of ${regionOf(node)}. Name those of a rebuilt instance, or set policy.rebuild to 'never'.`
          : undefined
      })
    },
  },
  {
    reads: ['engine', 'connection.password', 'connection.tls'],
    check: ({ engine, connection: { password, tls } }) => {
      if (password.from !== 'iam') return []
      if (!isManaged({ engine }))
        return [
          wrong(
            'connection.password',
            "'iam' is a login of RDS and Aurora; servers of your own do not know it. Use 'none' or a secret.",
          ),
        ]
      return tls === 'verify-full'
        ? []
        : [
            wrong(
              'connection.tls',
              "must be 'verify-full' with password 'iam': a token would be shown to whoever answers.",
            ),
          ]
    },
  },
  {
    reads: ['engine', 'managed'],
    check: ({ engine, managed }) => [
      ...(engine === 'aurora-global' && (managed === null || managed.globalClusterId === null)
        ? [wrong('managed.globalClusterId', 'is missing. Give the identifier of the global cluster.')]
        : []),
      ...(engine !== 'aurora-global' && isManaged({ engine }) && managed?.globalClusterId
        ? [
            wrong(
              'managed.globalClusterId',
              "is for engine 'aurora-global' only. Remove it, or change the engine.",
            ),
          ]
        : []),
      ...(engine !== 'aurora-global' && isManaged({ engine }) && managed?.globalEndpoint
        ? [
            wrong(
              'managed.globalEndpoint',
              "is for engine 'aurora-global' only: nothing else has a global writer endpoint. Remove it.",
            ),
          ]
        : []),
      ...(engine !== 'aurora' && isManaged({ engine }) && managed?.clusterId
        ? [
            wrong(
              'managed.clusterId',
              "is for engine 'aurora' only: elsewhere nodes[].instanceId says everything. Remove it.",
            ),
          ]
        : []),
      ...(engine.startsWith('aurora') && familyOf({ managed }) === 'mariadb'
        ? [wrong('managed.family', "must be 'postgres' or 'mysql': there is no Aurora that speaks MariaDB.")]
        : []),
    ],
  },
  {
    reads: ['engine', 'nodes.*.region'],
    check: ({ engine, nodes }, fleet) => {
      const regions = nodes.map(({ region }) => region ?? fleet.region)
      return ofNodes(nodes, 'region', (_, index) => {
        const region = regions[index]
        if (engine === 'aurora-global' && regions.indexOf(region as string) < index)
          return `is used twice (${region}). A node is the cluster of one Region: give each its own.`
        if (engine === 'aurora' && region !== regions[0])
          return `is ${region}, and the first node is in ${regions[0]}: a cluster is in one Region. Use 'aurora-global' for several.`
        return undefined
      })
    },
  },
]

/** Closed groups, with where they are. */
function closedGroups(fleet: FleetDraft) {
  return fleet.clusters.flatMap(({ nodes }, c) =>
    nodes.flatMap((node, n) =>
      node.closedGroupId === null
        ? []
        : [
            {
              id: node.closedGroupId,
              region: node.region ?? fleet.region,
              path: ['clusters', c, 'nodes', n, 'closedGroupId'],
            },
          ],
    ),
  )
}

export const managedFleetRules: readonly Rule<FleetDraft>[] = [
  {
    // What the functions themselves carry is made to let them out, and often to let each other in.
    reads: ['operator', 'observers.*.vpc', 'clusters.*.nodes.*.closedGroupId'],
    check: (fleet) => {
      const own = new Set(
        [...fleet.observers.map(({ vpc }) => vpc), fleet.operator.vpc].flatMap(
          (vpc) => vpc?.securityGroupIds ?? [],
        ),
      )
      return closedGroups(fleet)
        .filter(({ id }) => own.has(id))
        .map(({ id, path }) =>
          wrong(
            path,
            `is ${id}, which the functions carry themselves. Make another group, whose only rules admit that one.`,
          ),
        )
    },
  },
  {
    // A group belongs to one VPC, and so to one Region.
    reads: ['clusters.*.nodes.*.closedGroupId', 'clusters.*.nodes.*.region'],
    check: (fleet) => {
      const groups = closedGroups(fleet)
      return groups.flatMap(({ id, region, path }, index) => {
        const first = groups.findIndex((other) => other.id === id)
        return first < index && groups[first]?.region !== region
          ? [
              wrong(
                path,
                `is ${id}, which is used in ${groups[first]?.region} as well. A security group is in one VPC: make one in each.`,
              ),
            ]
          : []
      })
    },
  },
]
