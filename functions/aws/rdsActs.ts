/** Acts on RDS: each is one request, sent once. */
import {
  CreateDBInstanceReadReplicaCommand,
  DeleteDBInstanceCommand,
  FailoverDBClusterCommand,
  FailoverGlobalClusterCommand,
  ModifyDBInstanceCommand,
  PromoteReadReplicaCommand,
  type RDSClient,
  RebootDBInstanceCommand,
  StopDBInstanceCommand,
  SwitchoverGlobalClusterCommand,
} from '@aws-sdk/client-rds'
import type { RdsAct, RdsOutcome } from '../ports.ts'
import { outcomeOf } from './rdsOutcome.ts'
import type { RdsClientOf, RdsReads, SeenInstance } from './rdsReads.ts'
import { replicaOf } from './rdsReplica.ts'

type Act<Do extends RdsAct['do']> = Extract<RdsAct, { do: Do }>
type Refused = Extract<RdsOutcome, { outcome: 'refused' }>
type Send = (client: RDSClient) => Promise<unknown>

/** Never throws. The clients must make one attempt: the answer to a second would say nothing of the first. */
export async function carryOut(
  options: { client: RdsClientOf; reads: RdsReads },
  region: string,
  act: RdsAct,
): Promise<RdsOutcome> {
  try {
    const prepared = await prepare(options.reads, region, act)
    if (typeof prepared !== 'function') return prepared
    const client = await options.client(region)
    options.reads.forget(region)
    await prepared(client)
    return { outcome: 'requested' }
  } catch (error) {
    return outcomeOf(error)
  } finally {
    options.reads.forget(region)
  }
}

/** What is to be sent, or why nothing is. */
async function prepare(reads: RdsReads, region: string, act: RdsAct): Promise<Send | Refused> {
  switch (act.do) {
    case 'setGroups': {
      // Applied as soon as possible in any case. With ApplyImmediately, so would be whatever else is pending.
      const command = new ModifyDBInstanceCommand({
        DBInstanceIdentifier: act.instance,
        VpcSecurityGroupIds: [...act.groupIds],
      })
      return (client) => client.send(command)
    }
    case 'rename': {
      // Without ApplyImmediately a name waits for the maintenance window.
      const command = new ModifyDBInstanceCommand({
        DBInstanceIdentifier: act.instance,
        NewDBInstanceIdentifier: act.to,
        ApplyImmediately: true,
      })
      return (client) => client.send(command)
    }
    case 'reboot': {
      const command = new RebootDBInstanceCommand({ DBInstanceIdentifier: act.instance })
      return (client) => client.send(command)
    }
    case 'promote': {
      const command = new PromoteReadReplicaCommand({
        DBInstanceIdentifier: act.instance,
        BackupRetentionPeriod: act.backupRetentionDays,
      })
      return (client) => client.send(command)
    }
    case 'stop': {
      const command = new StopDBInstanceCommand({ DBInstanceIdentifier: act.instance })
      return (client) => client.send(command)
    }
    case 'createReplica':
      return await prepareReplica(reads, region, act)
    case 'setParameterGroup': {
      const command = new ModifyDBInstanceCommand({
        DBInstanceIdentifier: act.instance,
        DBParameterGroupName: act.name,
      })
      return (client) => client.send(command)
    }
    case 'deleteReplica':
      return await prepareDeletion(reads, region, act)
    case 'failoverCluster': {
      const command = new FailoverDBClusterCommand({
        DBClusterIdentifier: act.cluster,
        ...(act.target === null ? {} : { TargetDBInstanceIdentifier: act.target }),
      })
      return (client) => client.send(command)
    }
    case 'switchoverGlobal': {
      const command = new SwitchoverGlobalClusterCommand({
        GlobalClusterIdentifier: act.global,
        TargetDbClusterIdentifier: act.targetArn,
      })
      return (client) => client.send(command)
    }
    case 'failoverGlobal': {
      // Without AllowDataLoss the same call is a switchover.
      const command = new FailoverGlobalClusterCommand({
        GlobalClusterIdentifier: act.global,
        TargetDbClusterIdentifier: act.targetArn,
        AllowDataLoss: true,
      })
      return (client) => client.send(command)
    }
  }
}

/** As the instance that it replaces, which is read for that; so is the source, whose ARN only RDS knows for certain. */
async function prepareReplica(
  reads: RdsReads,
  region: string,
  act: Act<'createReplica'>,
): Promise<Send | Refused> {
  const source = await find(reads, act.source.region, act.source.identifier)
  if ('outcome' in source) return source
  if (source.raw.DBInstanceArn === undefined)
    return notSent('BadAnswer', true, `RDS answered instance ${act.source.identifier} without DBInstanceArn`)
  const like = act.like === null ? null : await find(reads, region, act.like)
  // One that is gone has nothing to tell; one that could not be read may have.
  if (like !== null && 'outcome' in like && like.later) return like
  const planned = replicaOf({
    act,
    region,
    source: source.raw,
    like: like === null || 'outcome' in like ? null : like.raw,
  })
  if ('missingKey' in planned) return notSent('KeyNeeded', false, planned.missingKey)
  const command = new CreateDBInstanceReadReplicaCommand(planned.input)
  return (client) => client.send(command)
}

/** Data goes for good: what is no replica of anything, or feeds replicas itself, is not deleted whoever asks. */
async function prepareDeletion(
  reads: RdsReads,
  region: string,
  act: Act<'deleteReplica'>,
): Promise<Send | Refused> {
  const seen = await find(reads, region, act.instance, { fresh: true })
  if ('outcome' in seen) return seen
  if (seen.view.source === null)
    return notSent('NotAReplica', false, `${act.instance} is no replica: it is not deleted`)
  if (seen.view.replicas.length > 0)
    return notSent('HasReplicas', false, `${act.instance} has replicas of its own: it is not deleted`)
  const command = new DeleteDBInstanceCommand({ DBInstanceIdentifier: act.instance, SkipFinalSnapshot: true })
  return (client) => client.send(command)
}

async function find(
  reads: RdsReads,
  region: string,
  identifier: string,
  options: { fresh?: boolean } = {},
): Promise<SeenInstance | Refused> {
  let all: readonly SeenInstance[]
  try {
    all = await reads.instances(region, options)
  } catch (error) {
    return notSent('NotRead', true, `${region} was not read, nothing was sent: ${(error as Error).message}`)
  }
  const seen = all.find(({ view }) => view.identifier === identifier.toLowerCase())
  return seen ?? notSent('DBInstanceNotFound', false, `there is no instance ${identifier} in ${region}`)
}

function notSent(code: string, later: boolean, message: string): Refused {
  return { outcome: 'refused', code, later, message }
}
