/**
 * An Aurora global database over two Regions, with the global writer endpoint that Aurora moves by itself. The deployment
 * is in a third Region. See ../engines.md.
 */
import { defineConfig } from '../../functions/config.ts'

const observer = (zone: string, subnetId: string) => ({
  id: zone,
  availabilityZone: `eu-west-1${zone}`,
  vpc: {
    vpcId: 'vpc-0a1b2c3d4e5f60718',
    subnetIds: [subnetId],
    securityGroupIds: ['sg-0fffffffffffffff0'],
  },
})

/** A node is the cluster of one Region: its endpoint, which answers while it is the primary, and that of its readers. */
const clusterOf = (region: string, zone: string) => ({
  id: `users-${region}`,
  instanceId: `users-${region}`,
  address: `users-${region}.cluster-c1abcdefghij.${region}.rds.amazonaws.com`,
  readerAddress: `users-${region}.cluster-ro-c1abcdefghij.${region}.rds.amazonaws.com`,
  region,
  availabilityZone: `${region}${zone}`,
})

export default defineConfig({
  deployment: 'understudy-global',
  region: 'eu-west-1',
  observers: [
    observer('a', 'subnet-0aaaaaaaaaaaaaaaa'),
    observer('b', 'subnet-0bbbbbbbbbbbbbbbb'),
    observer('c', 'subnet-0cccccccccccccccc'),
  ],
  notifications: { emails: ['oncall@example.com'] },

  clusters: {
    users: {
      engine: 'aurora-global',
      managed: { globalClusterId: 'users-global', globalEndpoint: true },
      // What clients write to: the global writer endpoint itself, or an alias that leads to it for good. It is watched.
      endpoint: { name: 'users-global.global-c1abcdefghij.global.rds.amazonaws.com' },
      nodes: [clusterOf('eu-central-1', 'a'), clusterOf('eu-north-1', 'a')],
      // 'never': an unplanned failover over Regions asks for an approval. A switchover loses nothing.
      policy: { loss: { mode: 'never' } },
      connection: { password: { from: 'iam' }, tls: 'verify-full' },
    },
  },
})
