import { expect, test } from 'vitest'
import type { FunctionName } from '../../functions/core/limits.ts'
import {
  actionsOf,
  flat,
  functionsOf,
  kindOf,
  list,
  ofType,
  type Statement,
  statementsOf,
  synthesize,
} from './template.ts'

const template = await synthesize()
const functions = functionsOf(template)
const names = Object.keys(functions)
const ofKind = (...kinds: FunctionName[]) => names.filter((name) => kinds.includes(kindOf(name)))
const statements = (name: string): Statement[] => functions[name]?.statements ?? []
const allows = (name: string, action: string) =>
  statements(name).filter((each) => each.Effect === 'Allow' && actionsOf(each).includes(action))
const writes = ['dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem']
const keysOf = (name: string, action: string) =>
  allows(name, action).flatMap((each) =>
    list(each.Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys']).map(String),
  )
const who = (action: string) => names.filter((name) => allows(name, action).length > 0)

test('every role holds its statements itself; nothing adds policies beside', () => {
  expect(ofType(template, 'AWS::IAM::Policy')).toEqual([])
  expect(ofType(template, 'AWS::IAM::ManagedPolicy')).toEqual([])
  for (const [id, { Properties }] of ofType(template, 'AWS::IAM::Role'))
    expect(Properties, id).not.toHaveProperty('ManagedPolicyArns')
})

test('no action is a pattern, and only these have any resource', () => {
  const open = new Set<string>()
  for (const [id] of ofType(template, 'AWS::IAM::Role'))
    for (const statement of statementsOf(template, id)) {
      for (const action of actionsOf(statement)) expect(action).not.toContain('*')
      if (statement.Effect === 'Allow' && list(statement.Resource).includes('*'))
        for (const action of actionsOf(statement)) open.add(action)
    }
  expect([...open].toSorted()).toEqual(
    [
      // Describe calls, and calls without a resource (service authorization reference).
      'dynamodb:ListStreams',
      'ec2:DescribeInstances',
      'ssm:GetCommandInvocation',
      'xray:GetSamplingRules',
      'xray:GetSamplingTargets',
      'xray:PutTelemetryRecords',
      'xray:PutTraceSegments',
      // Network interfaces of functions in a VPC; denied to their code.
      'ec2:AssignPrivateIpAddresses',
      'ec2:CreateNetworkInterface',
      'ec2:DeleteNetworkInterface',
      'ec2:DescribeNetworkInterfaces',
      'ec2:DescribeSubnets',
      'ec2:UnassignPrivateIpAddresses',
      // Log delivery of the state machine.
      'logs:CreateLogDelivery',
      'logs:DeleteLogDelivery',
      'logs:DescribeLogGroups',
      'logs:DescribeResourcePolicies',
      'logs:GetLogDelivery',
      'logs:ListLogDeliveries',
      'logs:PutResourcePolicy',
      'logs:UpdateLogDelivery',
    ].toSorted(),
  )
})

test('every access to an item names partitions; nobody scans or writes in batches', () => {
  for (const name of names)
    for (const statement of statements(name))
      for (const action of actionsOf(statement).filter((each) => each.startsWith('dynamodb:'))) {
        expect([
          'GetItem',
          'Query',
          'PutItem',
          'UpdateItem',
          'DeleteItem',
          'DescribeStream',
          'GetRecords',
          'GetShardIterator',
          'ListStreams',
        ]).toContain(action.replace('dynamodb:', ''))
        if (/Item$|Query$/.test(action))
          expect(keysOf(name, action), `${name} ${action}`).not.toContain('undefined')
      }
})

test('H25 an observer writes reports and nothing else; look and operate write nothing', () => {
  for (const name of ofKind('observe')) {
    expect(keysOf(name, 'dynamodb:PutItem')).toEqual(['report#*'])
    expect(writes.filter((action) => allows(name, action).length > 0)).toEqual(['dynamodb:PutItem'])
  }
  for (const name of ofKind('look', 'operate'))
    expect(writes.filter((action) => allows(name, action).length > 0)).toEqual([])
})

test('assess writes no state: it can put the fleet alone', () => {
  expect(keysOf('understudy-assess', 'dynamodb:PutItem')).toEqual(['fleet'])
})

test('who tells people: assess of issues, record of events', () => {
  expect(who('sns:Publish').toSorted()).toEqual(['understudy-assess', 'understudy-record'])
  expect(who('events:PutEvents').toSorted()).toEqual(['understudy-assess', 'understudy-record'])
})

test('H25 only commands write approvals: no step approves itself', () => {
  const approvers = names.filter((name) =>
    writes.some((action) => keysOf(name, action).includes('approval#*')),
  )
  expect(approvers).toEqual(['understudy-command'])
})

test('who may delete: only who closes issues', () => {
  expect(who('dynamodb:DeleteItem')).toEqual(['understudy-assess'])
})

test('functions in the VPC reach the table and nothing else of AWS', () => {
  const services = new Set(
    ofKind('observe', 'look', 'operate').flatMap((name) =>
      statements(name)
        .filter(({ Effect, Sid }) => Effect === 'Allow' && Sid !== 'AttachToVpc')
        .flatMap((each) => actionsOf(each).map((action) => action.split(':')[0])),
    ),
  )
  expect([...services].toSorted()).toEqual(['dynamodb', 'logs', 'xray'])
})

test('a secret is readable by those who connect, and by its name', async () => {
  const [orders] = template.config.clusters
  const secret = functionsOf(
    await synthesize({
      clusters: [{ ...orders, connection: { password: { from: 'secret', secretId: 'db/orders' } } }] as never,
    }),
  )
  const readers = Object.keys(secret).filter((name) =>
    secret[name]?.statements.some((each) => actionsOf(each).includes('secretsmanager:GetSecretValue')),
  )
  expect(readers.toSorted()).toEqual(ofKind('observe', 'look', 'operate').toSorted())
  const statement = secret['understudy-operate']?.statements.find(({ Sid }) => Sid === 'ReadPasswords')
  expect(flat(list(statement?.Resource)[0])).toBe(
    'arn:aws:secretsmanager:eu-central-1:123456789012:secret:db/orders-??????',
  )
})

test('the code of a function in the VPC can not use the permissions of the service', () => {
  for (const name of ofKind('observe', 'look', 'operate')) {
    const attach = statements(name).find(({ Sid }) => Sid === 'AttachToVpc')
    const deny = statements(name).find(({ Effect }) => Effect === 'Deny')
    expect(deny?.Action).toEqual(attach?.Action)
    expect(list(deny?.Condition?.ArnEquals?.['lambda:SourceFunctionArn']).map(flat)).toEqual([
      `arn:aws:lambda:eu-central-1:123456789012:function:${name}`,
    ])
  }
})

test('instances are stopped, started and commanded by their ids', () => {
  const instances = ['a', 'b', 'c'].map(
    (id) => `arn:aws:ec2:eu-central-1:123456789012:instance/i-0${id.repeat(16)}`,
  )
  for (const action of ['ec2:StopInstances', 'ec2:StartInstances'])
    for (const name of who(action))
      expect(allows(name, action).flatMap(({ Resource }) => list(Resource).map(flat))).toEqual(instances)
  expect(who('ec2:StartInstances')).toEqual(['understudy-settle'])
  for (const name of who('ssm:SendCommand'))
    expect(allows(name, 'ssm:SendCommand').flatMap(({ Resource }) => list(Resource).map(flat))).toEqual([
      ...instances,
      'arn:aws:ssm:eu-central-1::document/AWS-RunShellScript',
    ])
})

test('H16 names change only as CREATE and DELETE of the endpoint and its token', () => {
  expect(who('route53:ChangeResourceRecordSets').toSorted()).toEqual(
    ['repoint', 'settle', 'command'].map((name) => `understudy-${name}`).toSorted(),
  )
  for (const name of who('route53:ChangeResourceRecordSets')) {
    const [change] = allows(name, 'route53:ChangeResourceRecordSets')
    expect(flat(list(change?.Resource)[0])).toBe('arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ')
    expect(change?.Condition).toEqual({
      'ForAllValues:StringEquals': {
        'route53:ChangeResourceRecordSetsNormalizedRecordNames': [
          'orders.db.example.internal',
          '_understudy.orders.db.example.internal',
        ],
        'route53:ChangeResourceRecordSetsRecordTypes': ['CNAME', 'TXT'],
        'route53:ChangeResourceRecordSetsActions': ['CREATE', 'DELETE'],
      },
    })
  }
})

test('only assess and commands start the workflow', () => {
  expect(who('states:StartExecution').toSorted()).toEqual(['understudy-assess', 'understudy-command'])
  expect(flat(list(allows('understudy-assess', 'states:StartExecution')[0]?.Resource)[0])).toBe(
    'arn:aws:states:eu-central-1:123456789012:stateMachine:understudy-failover',
  )
})
