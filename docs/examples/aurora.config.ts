/** One Aurora cluster of three instances. Aurora elects; Understudy verifies and moves a name of yours. See ../engines.md. */
import { defineConfig } from '../../functions/config.ts'

const observer = (zone: string, subnetId: string) => ({
  id: zone,
  availabilityZone: `eu-central-1${zone}`,
  vpc: {
    vpcId: 'vpc-0a1b2c3d4e5f60718',
    subnetIds: [subnetId],
    securityGroupIds: ['sg-0fffffffffffffff0'],
  },
})

/** An instance, by its own endpoint and never by one of the cluster, which AWS moves. */
const instance = (id: string, zone: string) => ({
  id,
  instanceId: id,
  address: `${id}.c1abcdefghij.eu-central-1.rds.amazonaws.com`,
  availabilityZone: zone,
})

export default defineConfig({
  deployment: 'understudy-aurora',
  region: 'eu-central-1',
  observers: [
    observer('a', 'subnet-0aaaaaaaaaaaaaaaa'),
    observer('b', 'subnet-0bbbbbbbbbbbbbbbb'),
    observer('c', 'subnet-0cccccccccccccccc'),
  ],
  notifications: { emails: ['oncall@example.com'] },

  clusters: {
    carts: {
      engine: 'aurora',
      endpoint: { name: 'carts.db.example.internal', zoneId: 'Z0123456789ABCDEFGHIJ', ttlSeconds: 5 },
      nodes: [
        instance('carts-1', 'eu-central-1a'),
        instance('carts-2', 'eu-central-1b'),
        instance('carts-3', 'eu-central-1c'),
      ],
      // The instances share one storage: a failover inside of the cluster loses nothing.
      policy: { loss: { mode: 'never' } },
      connection: { password: { from: 'iam' }, tls: 'verify-full' },
    },
  },
})
