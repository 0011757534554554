/**
 * PostgreSQL on RDS: a primary, a replica in its Region, a replica in another Region. The deployment is in the Region of
 * the far replica, so that it outlives the Region that it may have to leave. See ../engines.md.
 */
import { defineConfig } from '../../functions/config.ts'

/** Subnets from which all nodes can be reached (peering or a transit gateway). The group lets the functions out. */
const inZone = (zone: string, subnetId: string) => ({
  id: zone,
  availabilityZone: `eu-west-1${zone}`,
  vpc: {
    vpcId: 'vpc-0a1b2c3d4e5f60718',
    subnetIds: [subnetId],
    securityGroupIds: ['sg-0fffffffffffffff0'],
  },
})

const endpointOf = (instance: string, region: string) =>
  `${instance}.c1abcdefghij.${region}.rds.amazonaws.com`

export default defineConfig({
  deployment: 'understudy-rds',
  region: 'eu-west-1',
  observers: [
    inZone('a', 'subnet-0aaaaaaaaaaaaaaaa'),
    inZone('b', 'subnet-0bbbbbbbbbbbbbbbb'),
    inZone('c', 'subnet-0cccccccccccccccc'),
  ],
  notifications: { emails: ['oncall@example.com'] },

  clusters: {
    orders: {
      engine: 'rds',
      endpoint: { name: 'orders.db.example.internal', zoneId: 'Z0123456789ABCDEFGHIJ', ttlSeconds: 5 },
      nodes: [
        {
          id: 'orders-1',
          instanceId: 'orders-1',
          address: endpointOf('orders-1', 'eu-central-1'),
          region: 'eu-central-1',
          availabilityZone: 'eu-central-1a',
          // The fence: admits Understudy's functions and nobody else. One for each VPC.
          closedGroupId: 'sg-0ccccccccccccccc1',
          // What clients need, for an instance that is made anew behind a primary in another Region.
          groupIds: ['sg-0ddddddddddddddd1'],
        },
        {
          id: 'orders-2',
          instanceId: 'orders-2',
          address: endpointOf('orders-2', 'eu-central-1'),
          region: 'eu-central-1',
          availabilityZone: 'eu-central-1b',
          closedGroupId: 'sg-0ccccccccccccccc1',
          groupIds: ['sg-0ddddddddddddddd1'],
          preference: 1,
        },
        {
          id: 'orders-far',
          instanceId: 'orders-far',
          address: endpointOf('orders-far', 'eu-west-1'),
          region: 'eu-west-1',
          availabilityZone: 'eu-west-1a',
          closedGroupId: 'sg-0ccccccccccccccc2',
          groupIds: ['sg-0ddddddddddddddd2'],
        },
      ],
      // Replicas of RDS are asynchronous: how much may a failover lose?
      policy: { loss: { mode: 'bounded', seconds: 10 }, rebuild: 'approve' },
      connection: { password: { from: 'iam' }, tls: 'verify-full' },
    },
  },
})
