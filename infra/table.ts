/** The one table, and the two places that people and machines hear from: a topic and a bus. */
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as events from 'aws-cdk-lib/aws-events'
import * as iam from 'aws-cdk-lib/aws-iam'
import * as sns from 'aws-cdk-lib/aws-sns'
import * as subscriptions from 'aws-cdk-lib/aws-sns-subscriptions'
import { Aws, RemovalPolicy } from 'aws-cdk-lib/core'
import type { Construct } from 'constructs'
import type { FleetDocument } from '../functions/config.ts'

/**
 * Single-item conditional writes only, hence a plain table without indexes. No TTL attribute and no transactions: it
 * can also become a multi-Region strongly consistent global table, which knows neither.
 */
export function addTable(scope: Construct, config: FleetDocument): dynamodb.Table {
  return new dynamodb.Table(scope, 'Table', {
    tableName: config.deployment,
    partitionKey: { name: 'pk', type: dynamodb.AttributeType.STRING },
    sortKey: { name: 'sk', type: dynamodb.AttributeType.STRING },
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    stream: dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    // It holds the terms: who deploys anew over a forgotten one starts below the term in DNS.
    deletionProtection: true,
    removalPolicy: RemovalPolicy.RETAIN,
  })
}

/** Where people are told. Alarms of CloudWatch publish here too. */
export function addTopic(scope: Construct, config: FleetDocument): sns.Topic {
  const topic = new sns.Topic(scope, 'Topic', {
    topicName: `${config.deployment}-notifications`,
    enforceSSL: true,
  })
  // A policy of its own replaces the default one, by which alarms of the account might publish.
  topic.addToResourcePolicy(
    new iam.PolicyStatement({
      sid: 'AlarmsOfThisAccount',
      principals: [new iam.ServicePrincipal('cloudwatch.amazonaws.com')],
      actions: ['sns:Publish'],
      resources: [topic.topicArn],
      conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
    }),
  )
  for (const email of config.notifications.emails)
    topic.addSubscription(new subscriptions.EmailSubscription(email))
  return topic
}

/** Every event of every cluster, for other systems to follow. */
export function addBus(scope: Construct, config: FleetDocument): events.EventBus {
  return new events.EventBus(scope, 'Bus', { eventBusName: config.deployment })
}
