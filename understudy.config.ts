/**
 * The fleet: one cluster of three nodes in three Availability Zones, seen by three observers. Change the ids and run
 * `npx cdk synth`: it lists everything that does not fit, needs no credentials and looks nothing up.
 */
import { defineConfig } from './functions/config.ts'

/** One private subnet of the databases' VPC per zone; the gateway endpoint for DynamoDB must be in its route table. */
const inZone = (subnetId: string) => ({
  vpcId: 'vpc-0a1b2c3d4e5f60718',
  subnetIds: [subnetId],
  securityGroupIds: ['sg-0a1b2c3d4e5f60718'],
})

export default defineConfig({
  // Prefix of every resource; two deployments in one account need two names.
  deployment: 'understudy',
  region: 'eu-central-1',

  // Three vantage points, an odd number, none of which shares its fate with a majority of the others.
  observers: [
    { id: 'a', availabilityZone: 'eu-central-1a', vpc: inZone('subnet-0aaaaaaaaaaaaaaaa') },
    { id: 'b', availabilityZone: 'eu-central-1b', vpc: inZone('subnet-0bbbbbbbbbbbbbbbb') },
    { id: 'c', availabilityZone: 'eu-central-1c', vpc: inZone('subnet-0cccccccccccccccc') },
  ],

  notifications: { emails: ['oncall@example.com'] },

  clusters: {
    orders: {
      // The name that clients write to. Understudy moves it; nothing else may.
      endpoint: { name: 'orders.db.example.internal', zoneId: 'Z0123456789ABCDEFGHIJ', ttlSeconds: 5 },

      // Any of them may be the primary: `understudy adopt orders` finds out which one is.
      nodes: [
        {
          id: 'orders-a',
          address: '10.0.1.11',
          instanceId: 'i-0aaaaaaaaaaaaaaaa',
          availabilityZone: 'eu-central-1a',
        },
        {
          id: 'orders-b',
          address: '10.0.2.11',
          instanceId: 'i-0bbbbbbbbbbbbbbbb',
          availabilityZone: 'eu-central-1b',
        },
        {
          id: 'orders-c',
          address: '10.0.3.11',
          instanceId: 'i-0cccccccccccccccc',
          availabilityZone: 'eu-central-1c',
        },
      ],

      policy: {
        // Wait for the stopped instance (tens of seconds). 'quorum' is faster; read the safety rule S2 first.
        fence: 'power',
        // No acknowledged commit is lost: commits wait for one standby.
        loss: { mode: 'never' },
        synchronous: 'managed',
      },

      // Where the server lives on its instance, for a switchover and for rebuilding an old primary, both through
      // Systems Manager. The service must not start at boot: a fenced primary would come back as one.
      host: {
        dataDirectory: '/var/lib/postgresql/18/main',
        binDirectory: '/usr/lib/postgresql/18/bin',
        osUser: 'postgres',
        startCommand: 'systemctl start postgresql@18-main',
        stopCommand: 'systemctl stop postgresql@18-main',
      },
    },
  },
})
