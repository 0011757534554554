/**
 * The whole deployment. It owns neither a database nor a network nor the record that it moves: CloudFormation would
 * put back what a failover changed.
 */
import { CfnOutput, Stack } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'
import { addAlarms } from './alarms.ts'
import { addDashboard } from './dashboard.ts'
import { addEvents, forwardEvents } from './events.ts'
import { addFunctions } from './functions.ts'
import { addBus, addTable, addTopic } from './table.ts'
import { addWorkflow } from './workflow.ts'

export class UnderstudyStack extends Stack {
  constructor(scope: Construct, config: FleetDocument, bundleDirectory: string) {
    super(scope, config.deployment, {
      stackName: config.deployment,
      description: 'Understudy: failover controller for databases',
      env: { region: config.region, ...(config.account === null ? {} : { account: config.account }) },
    })
    const table = addTable(this, config)
    const topic = addTopic(this, config)
    const bus = addBus(this, config)
    const functions = addFunctions(this, config, { table, topic, bus, bundleDirectory })
    const machine = addWorkflow(this, config, functions)
    addEvents(this, config, { table, functions })
    if (config.alarms.enabled) addAlarms(this, config, { table, topic, machine, functions })
    if (config.alarms.dashboard) addDashboard(this, config, { table, machine, functions })

    new CfnOutput(this, 'TableName', { value: table.tableName })
    new CfnOutput(this, 'StateMachineArn', { value: machine.stateMachineArn })
    new CfnOutput(this, 'TopicArn', { value: topic.topicArn })
    new CfnOutput(this, 'CommandFunctionName', { value: functions.command.live.functionName })
  }
}

/** Beside it in every other Region that has nodes: what is told there is told to the deployment as well. */
export class EventsStack extends Stack {
  constructor(scope: Construct, config: FleetDocument, region: string) {
    const name = `${config.deployment}-events-${region}`
    super(scope, name, {
      stackName: name,
      description: `Understudy: events of ${region} for ${config.deployment} in ${config.region}`,
      env: { region, ...(config.account === null ? {} : { account: config.account }) },
    })
    forwardEvents(this, config, region)
  }
}
