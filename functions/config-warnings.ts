/** What is allowed and probably not meant; shown at each synth. */
import { isIP } from 'node:net'
import type { FleetDocument } from './config.ts'

type Cluster = FleetDocument['clusters'][number]
/** Does it apply, and what is said. */
type Warning = readonly [boolean, string]

export function configWarnings(fleet: FleetDocument): string[] {
  const zones = fleet.observers.map((observer) => observer.availabilityZone).filter((zone) => zone !== null)
  const crowded = zones.find(
    (zone) => zones.filter((other) => other === zone).length * 2 > fleet.observers.length,
  )
  const ofFleet =
    crowded === undefined
      ? []
      : [`observers: a majority is in ${crowded}; its loss stops every failover (H24). Spread them.`]
  const ofClusters = fleet.clusters.flatMap((cluster) =>
    [...clusterWarnings(cluster, fleet), ...managedWarnings(cluster, fleet)]
      .filter(([applies]) => applies)
      .map(([, text]) => `clusters.${cluster.id}.${text}`),
  )
  return [...ofFleet, ...ofClusters]
}

/** An address that RDS may change at each failover, restore and change of class. Loopback is a trial. */
const isBareAddress = (address: string) => isIP(address) !== 0 && !address.startsWith('127.')

/** Between two samples of CloudWatch. */
const minuteMs = 60_000

/** Nodes in several Regions, where the loss of one is what the cluster is there for. */
const spansRegions = ({ nodes }: Cluster) => new Set(nodes.map((node) => node.region)).size > 1

const names = (some: Cluster['nodes']) => some.map((node) => node.id).join(', ')

function clusterWarnings(cluster: Cluster, fleet: FleetDocument): Warning[] {
  const { engine, nodes, policy, connection } = cluster
  const standbys = nodes.length - 1
  const preferredInVain = nodes.filter((node) => node.preference > 0 && !node.promotable)
  const regions = new Map(
    nodes.map((node) => [node.region, nodes.filter((each) => each.region === node.region)]),
  )
  const aloneInRegion = [...regions.values()].flatMap((all) =>
    all.length === 1 ? all.filter((node) => node.promotable) : [],
  )
  return [
    [
      policy.synchronous === 'managed' && policy.synchronousCount === standbys,
      'nodes: every standby must acknowledge each commit; one that fails stops writes. Add a node or lower policy.synchronousCount.',
    ],
    [
      nodes.filter((node) => node.promotable).length === 1,
      'nodes: only one is promotable; it has no understudy itself.',
    ],
    [
      preferredInVain.length > 0,
      `nodes: ${names(preferredInVain)} with a preference, but promotable false: never promoted, so the preference says nothing. Remove one of the two.`,
    ],
    [
      policy.crossRegion === 'forbidden' && aloneInRegion.length > 0,
      `nodes: ${names(aloneInRegion)} alone in a Region, and policy.crossRegion is forbidden: never promoted, and as the primary never replaced. Allow it, or set promotable false.`,
    ],
    [
      new Set(nodes.map((node) => node.availabilityZone)).size === 1,
      'nodes: all are in one Availability Zone; its loss is the loss of the cluster.',
    ],
    [
      (engine === 'postgres' || !spansRegions(cluster)) && nodes.some((node) => node.region !== fleet.region),
      `nodes: some are outside ${fleet.region}, where all observers are; the loss of ${fleet.region} can not be confirmed from there (H24).`,
    ],
    [
      connection.password.from === 'secret' && fleet.observers.some((observer) => observer.vpc !== null),
      `connection.password: a secret needs an interface endpoint for Secrets Manager in each zone of the observers, which costs more than the rest. ${
        engine === 'postgres' ? 'Client certificates or trusted networks do' : "'iam' does"
      } not.`,
    ],
    [connection.tls === 'disable', "connection.tls: 'disable' sends queries in the clear."],
  ]
}

function managedWarnings(cluster: Cluster, fleet: FleetDocument): Warning[] {
  const { engine, nodes, policy, connection } = cluster
  if (engine === 'postgres') return []
  const family = cluster.managed?.family ?? 'postgres'
  const promotable = nodes.filter((node) => node.promotable)
  const here = promotable.filter((node) => node.region === fleet.region)
  const unfenced = nodes.filter((node) => node.closedGroupId === null)
  const bare = nodes.filter((node) => isBareAddress(node.address))
  return [
    [
      spansRegions(cluster) && here.length > 0,
      `nodes: ${names(here)} in ${fleet.region}, where the deployment is. While the primary is there, the loss of that Region takes Understudy with it. Deploy in the Region of the replica, or in a third one.`,
    ],
    [
      engine === 'rds' && policy.rebuild === 'never',
      "policy.rebuild: 'never' leaves the new primary without any replica after a failover: the others still follow the old one. Use 'approve' to be asked.",
    ],
    [
      engine === 'rds' && family !== 'postgres' && policy.loss.mode === 'bounded',
      `policy.loss: 'bounded' can not be proved for ${family}, whose logs have no positions to compare: each failover waits for an approval. Use 'availability' if it shall not.`,
    ],
    [
      engine === 'aurora-global' &&
        policy.loss.mode === 'bounded' &&
        policy.loss.seconds * 1_000 <= (cluster.managed?.providerGraceMs ?? 0) + minuteMs,
      "policy.loss: the bound counts from CloudWatch's last sample, which comes once a minute, and managed.providerGraceMs passes within it: each failover waits for an approval. Raise the bound above both, or shorten the grace.",
    ],
    [
      engine === 'rds' && promotable.length === 2,
      'nodes: only one replica can be promoted, and RDS promotes none while it is backed up. Choose its backup window for an hour in which waiting is bearable, or add a replica with another window.',
    ],
    [
      engine === 'rds' && unfenced.length > 0,
      `nodes: ${names(unfenced)} without closedGroupId. As a primary it can not be fenced; its failover waits for an approval.`,
    ],
    [
      bare.length > 0,
      `nodes: ${names(bare)} by IP address, which RDS changes. Give the name that RDS shows as the endpoint.`,
    ],
    [
      connection.password.from === 'none',
      "connection.password: RDS lets nobody in without one. Use { from: 'iam' } with tls 'verify-full', or a secret.",
    ],
    [
      connection.tls === 'require',
      "connection.tls: 'require' does not check who answers. Use 'verify-full'.",
    ],
  ]
}
