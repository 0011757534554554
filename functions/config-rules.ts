/**
 * What settings must be to each other. A rule runs when everything that it reads has the right shape, so that one
 * mistyped field hides no other problem.
 */
import type { ClusterDraft, FleetDraft } from './config.ts'
import { findDefaultDnsName, portOf, synchronousOf } from './config-defaults.ts'
import { type Rule, type RuleProblem, repeated, wrong } from './config-rule.ts'
import { managedFleetRules, managedRules } from './config-rules-managed.ts'

const clusterRules: readonly Rule<ClusterDraft>[] = [
  ...managedRules,
  {
    reads: ['nodes.*.id'],
    check: ({ nodes }) =>
      repeated(
        nodes.map((node, index) => ({ id: node.id, index })),
        ({ id }) => id,
        ({ id, index }) => wrong(['nodes', index, 'id'], `is used twice (${id}). Give each node its own id.`),
      ),
  },
  {
    reads: ['nodes.*.promotable'],
    check: ({ nodes }) =>
      nodes.some((node) => node.promotable)
        ? []
        : [wrong('nodes', 'no node may be promoted. Set promotable true on one node at least.')],
  },
  {
    reads: ['engine', 'policy.crossRegion', 'nodes.*.region', 'nodes.*.promotable'],
    check: ({ engine, policy, nodes }, { region }) => {
      if (policy.crossRegion === 'allowed') return []
      if (engine === 'aurora-global')
        return [
          wrong(
            'policy.crossRegion',
            "'forbidden' leaves nothing to do for aurora-global, whose nodes are in one Region each. Use 'allowed', or engine 'aurora' for the cluster of one Region.",
          ),
        ]
      const regionOf = (node: (typeof nodes)[number]) => node.region ?? region
      const isReplaceable = nodes.some((node) =>
        nodes.some((other) => other !== node && other.promotable && regionOf(other) === regionOf(node)),
      )
      return isReplaceable
        ? []
        : [
            wrong(
              'policy.crossRegion',
              "'forbidden', and no Region has a promotable node beside another one: nobody could ever take over. Use 'allowed', or add a standby.",
            ),
          ]
    },
  },
  {
    reads: ['engine', 'nodes.*.address', 'nodes.*.region', 'nodes.*.dnsName'],
    check: ({ engine, nodes }, fleet) =>
      nodes.flatMap((node, index) =>
        node.dnsName === undefined &&
        findDefaultDnsName(engine, node.address, node.region ?? String(fleet.region)) === undefined
          ? [
              wrong(
                ['nodes', index, 'dnsName'],
                engine === 'postgres'
                  ? 'is missing, and only private IPv4 addresses have a name by default. Give the name that resolves to the address: the endpoint is a CNAME.'
                  : "is missing, and an IP address is no name. Give the name that RDS shows as the endpoint: your clients' name is a CNAME.",
              ),
            ]
          : [],
      ),
  },
  {
    // S10: an engine that can not prove `never` refuses it here, not in a failover.
    reads: ['engine', 'policy.loss', 'policy.synchronous'],
    check: ({ engine, policy }) =>
      engine === 'postgres' && policy.loss.mode === 'never' && policy.synchronous === 'none'
        ? [
            wrong(
              'policy.loss',
              "'never' can not be proved with synchronous 'none' (S10). Set policy.synchronous to 'managed' or 'fixed', or accept a bounded loss.",
            ),
          ]
        : [],
  },
  {
    // S2: the quorum fence rests on a list that nobody weakens.
    reads: ['engine', 'policy.fence', 'policy.synchronous'],
    check: ({ engine, policy }) =>
      engine === 'postgres' && policy.fence === 'quorum' && policy.synchronous === 'none'
        ? [
            wrong(
              'policy.fence',
              "'quorum' needs a provable synchronous list (S2). Set policy.synchronous to 'managed' or 'fixed', or use fence 'power'.",
            ),
          ]
        : [],
  },
  {
    reads: ['engine', 'policy.fence', 'policy.loss', 'policy.cancelledWaits'],
    check: ({ engine, policy }) =>
      engine === 'postgres' &&
      policy.fence === 'quorum' &&
      policy.loss.mode === 'never' &&
      policy.cancelledWaits !== 'accepted'
        ? [
            wrong(
              'policy.cancelledWaits',
              "must be 'accepted' for fence 'quorum' with loss 'never' (S2): a commit whose wait a driver's time-out cancels looks like success on the old primary. Declare it, or use fence 'power'.",
            ),
          ]
        : [],
  },
  {
    reads: ['engine', 'policy.synchronous', 'policy.synchronousCount', 'nodes.*.id'],
    check: ({ engine, policy, nodes }) =>
      synchronousOf(engine, policy.synchronous) === 'managed' && policy.synchronousCount > nodes.length - 1
        ? [
            wrong(
              'policy.synchronousCount',
              `is ${policy.synchronousCount}, but there are ${nodes.length - 1} standbys: no commit would return. Lower it or add nodes.`,
            ),
          ]
        : [],
  },
  {
    reads: ['engine', 'policy.rejoin', 'host'],
    check: ({ engine, policy, host }) =>
      engine === 'postgres' && policy.rejoin === 'automatic' && host === null
        ? [
            wrong(
              'host',
              "is needed by policy.rejoin 'automatic'. Give { dataDirectory, binDirectory }, or set policy.rejoin to 'never'.",
            ),
          ]
        : [],
  },
  {
    reads: ['observe'],
    check: ({ observe }) => [
      ...(observe.urgentIntervalMs > observe.intervalMs
        ? [
            wrong(
              'observe.urgentIntervalMs',
              'is above intervalMs. Trouble is looked at more often, not less.',
            ),
          ]
        : []),
      ...(observe.probeTimeoutMs > 2 * observe.intervalMs
        ? [
            wrong(
              'observe.probeTimeoutMs',
              'is above two intervals: probes of a silent node would pile up. Lower it or raise intervalMs.',
            ),
          ]
        : []),
      ...(observe.heartbeatMs < observe.intervalMs
        ? [
            wrong(
              'observe.heartbeatMs',
              'is below intervalMs. Reports can not be written more often than nodes are probed.',
            ),
          ]
        : []),
    ],
  },
]

/** Nodes of all clusters with their paths. */
function allNodes(fleet: FleetDraft) {
  return fleet.clusters.flatMap((cluster, c) =>
    cluster.nodes.map((node, n) => ({ cluster, node, path: ['clusters', c, 'nodes', n] as const })),
  )
}

const sameName = (name: string) => name.toLowerCase().replace(/\.$/, '')

const fleetRules: readonly Rule<FleetDraft>[] = [
  ...managedFleetRules,
  {
    reads: ['clusters.*.id'],
    check: ({ clusters }) =>
      repeated(
        clusters.map((cluster, index) => ({ id: cluster.id, index })),
        ({ id }) => id,
        ({ id, index }) =>
          wrong(['clusters', index, 'id'], `is used twice (${id}). Give each cluster its own id.`),
      ),
  },
  {
    reads: ['clusters.*.endpoint.name'],
    check: ({ clusters }) =>
      repeated(
        clusters.map((cluster, index) => ({ name: sameName(cluster.endpoint.name), index })),
        ({ name }) => name,
        ({ name, index }) =>
          wrong(
            ['clusters', index, 'endpoint', 'name'],
            `is used twice (${name}). Two clusters would fight over it: give each its own name.`,
          ),
      ),
  },
  {
    // H30: a probe of the moving name would see another member each time.
    reads: ['clusters.*.endpoint.name', 'clusters.*.nodes.*.address', 'clusters.*.nodes.*.dnsName'],
    check: (fleet) => {
      const endpoints = new Set(fleet.clusters.map((cluster) => sameName(cluster.endpoint.name)))
      return allNodes(fleet).flatMap(({ node, path }) =>
        (['address', 'dnsName'] as const)
          .filter((key) => endpoints.has(sameName(node[key] ?? '')))
          .map((key) =>
            wrong(
              [...path, key],
              'is the name of an endpoint, which moves (H30). Give the address of the server itself.',
            ),
          ),
      )
    },
  },
  {
    reads: ['clusters.*.nodes.*.address', 'clusters.*.nodes.*.port', 'clusters.*.managed'],
    check: (fleet) =>
      repeated(
        allNodes(fleet).map(({ cluster, node, path }) => ({
          server: `${sameName(node.address)}:${portOf(node, cluster)}`,
          path,
        })),
        ({ server }) => server,
        ({ server, path }) =>
          wrong(
            [...path, 'address'],
            `is used twice (${server}). A server belongs to one node of one cluster.`,
          ),
      ),
  },
  {
    // Stopping an instance fences everything on it. Names of RDS are unique in one Region only.
    reads: ['clusters.*.engine', 'clusters.*.nodes.*.instanceId', 'clusters.*.nodes.*.region'],
    check: (fleet) =>
      repeated(
        allNodes(fleet),
        ({ cluster, node }) =>
          cluster.engine === 'postgres'
            ? node.instanceId
            : `${node.region ?? fleet.region} ${cluster.engine === 'aurora-global'} ${node.instanceId}`,
        ({ cluster, node, path }) =>
          wrong(
            [...path, 'instanceId'],
            `is used twice (${node.instanceId}). ${
              cluster.engine === 'postgres'
                ? 'The power fence stops the whole instance: give each node its own.'
                : 'A node is an instance or cluster of its own.'
            }`,
          ),
      ),
  },
  {
    reads: ['observers.*.id'],
    check: ({ observers }) =>
      repeated(
        observers.map((observer, index) => ({ id: observer.id, index })),
        ({ id }) => id,
        ({ id, index }) =>
          wrong(['observers', index, 'id'], `is used twice (${id}). Give each observer its own id.`),
      ),
  },
  {
    reads: ['observers.length'],
    check: ({ observers }) =>
      observers.length > 2 && observers.length % 2 === 0
        ? [
            wrong(
              'observers',
              `there are ${observers.length}, an even number: it costs one more and tolerates no more (S6). Use an odd number.`,
            ),
          ]
        : [],
  },
  {
    // H24: the loss of that one zone would take the primary and everybody who could say so.
    reads: ['observers.*.availabilityZone', 'clusters.*.nodes.*.availabilityZone'],
    check: ({ observers, clusters }) => {
      const zone = observers[0]?.availabilityZone
      const shared =
        typeof zone === 'string' && observers.every((observer) => observer.availabilityZone === zone)
      return shared && clusters.some(({ nodes }) => nodes.some((node) => node.availabilityZone === zone))
        ? [
            wrong(
              'observers',
              `all are in ${zone}, and so is a node: the loss of that zone is never confirmed (H24). Spread them over three zones.`,
            ),
          ]
        : []
    },
  },
  {
    reads: ['operator', 'observers.*.vpc'],
    check: ({ operator, observers }) =>
      operator.vpc === undefined && new Set(observers.flatMap(({ vpc }) => vpc?.vpcId ?? [])).size > 1
        ? [
            wrong(
              'operator.vpc',
              'is needed when observers are in several VPCs. Name subnets from which all nodes can be reached.',
            ),
          ]
        : [],
  },
]

/** Problems of all rules whose settings have the right shape; `spoiled`: paths at which the shape is wrong. */
export function ruleProblems(fleet: FleetDraft, spoiled: readonly (readonly PropertyKey[])[]): RuleProblem[] {
  const runs = (reads: readonly string[], under: readonly PropertyKey[]) =>
    !reads.some((path) => spoiled.some((bad) => overlap(bad, [...under, ...path.split('.')])))
  const ofFleet = fleetRules.flatMap((rule) => (runs(rule.reads, []) ? rule.check(fleet, fleet) : []))
  const clusters = Array.isArray(fleet?.clusters) ? fleet.clusters : []
  const ofClusters = clusters.flatMap((cluster, index) =>
    clusterRules.flatMap((rule) => {
      const under = ['clusters', index]
      const found = runs(rule.reads, under) ? rule.check(cluster, fleet) : []
      return found.map(({ path, message }) => ({ path: [...under, ...path], message }))
    }),
  )
  return [...ofFleet, ...ofClusters]
}

/** One is the beginning of the other; `*` matches anything. */
function overlap(bad: readonly PropertyKey[], read: readonly PropertyKey[]): boolean {
  const shorter = Math.min(bad.length, read.length)
  return Array.from({ length: shorter }).every(
    (_, index) => read[index] === '*' || String(read[index]) === String(bad[index]),
  )
}
