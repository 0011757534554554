/** What the stack has for clusters that AWS runs, and what it has not when there are none, or nothing else. */
import { describe, expect, test } from 'vitest'
import { triggerOf } from '../../functions/assess.ts'
import { parseConfig } from '../../functions/config.ts'
import { compilePattern } from '../../local/patterns.ts'
import { type ManagedName, managedExamples } from '../config-samples.ts'
import {
  actionsOf,
  flat,
  functionsOf,
  list,
  ofType,
  type Statement,
  statementsOf,
  synthesize,
  type Template,
} from './template.ts'

const templates = {
  postgres: await synthesize(),
  rds: await synthesize(managedExamples.rds),
  aurora: await synthesize(managedExamples.aurora),
  'aurora-global': await synthesize(managedExamples['aurora-global']),
}
type Engine = keyof typeof templates
const engines = ['rds', 'aurora', 'aurora-global'] as const satisfies readonly ManagedName[]

/** Function, without the deployment and the observer, to its statements. */
function statementsBy(template: Template & { config: { deployment: string } }): Record<string, Statement[]> {
  return Object.fromEntries(
    Object.entries(functionsOf(template)).map(([name, { statements }]) => {
      const [kind = ''] = name.slice(template.config.deployment.length + 1).split('-')
      return [kind, statements]
    }),
  )
}
function who(engine: Engine, action: string): string[] {
  const by = statementsBy(templates[engine])
  return Object.keys(by)
    .filter((name) => by[name]?.some((each) => actionsOf(each).includes(action)))
    .toSorted()
}
function resources(engine: Engine, name: string, action: string): string[] {
  const statements = statementsBy(templates[engine])[name] ?? []
  return statements
    .filter((each) => actionsOf(each).includes(action))
    .flatMap(({ Resource }) => list(Resource).map(flat))
}
function services(engine: Engine): Set<string | undefined> {
  const statements = Object.values(statementsBy(templates[engine])).flat()
  return new Set(
    statements
      .filter(({ Effect, Sid }) => Effect === 'Allow' && Sid !== 'AttachToVpc')
      .flatMap((each) => actionsOf(each).map((action) => action.split(':')[0])),
  )
}
const db = (region: string, name: string) => `arn:aws:rds:${region}:123456789012:db:${name}`
const orders = [db('eu-central-1', 'orders-1'), db('eu-central-1', 'orders-2'), db('eu-west-1', 'orders-far')]
const replaced = orders.map((arn) => `${arn}-t*`)

describe('permissions', () => {
  test('without clusters that AWS runs nobody may ask or change RDS; without others, EC2 and Systems Manager', () => {
    const given = services('postgres')
    for (const service of ['rds', 'rds-db', 'cloudwatch']) expect(given.has(service), service).toBe(false)
    expect(given.has('ec2') && given.has('ssm')).toBe(true)
    for (const engine of engines) {
      expect(services(engine).has('ec2'), engine).toBe(false)
      expect(services(engine).has('ssm'), engine).toBe(false)
      expect(services(engine).has('rds'), engine).toBe(true)
    }
  })

  test('every act on RDS names what it may act on; reads of a whole Region can not', () => {
    for (const engine of engines)
      for (const statement of Object.values(statementsBy(templates[engine])).flat())
        for (const action of actionsOf(statement).filter((each) => /^(rds|rds-db):/.test(each))) {
          expect(action).not.toContain('*')
          expect(list(statement.Resource).includes('*'), action).toBe(action.startsWith('rds:Describe'))
        }
  })

  test('rds: keys of new replicas, of these Regions and through RDS alone; a role for its monitoring and nobody else', () => {
    const statements = statementsBy(templates.rds).settle ?? []
    const of = (action: string) => statements.filter((each) => actionsOf(each).includes(action))
    for (const action of ['kms:CreateGrant', 'kms:DescribeKey']) {
      expect(who('rds', action)).toEqual(['settle'])
      expect(
        of(action).map(({ Resource, Condition }) => [
          list(Resource).map(flat),
          flat(Condition?.StringEquals?.['kms:ViaService']),
        ]),
      ).toEqual(
        ['eu-central-1', 'eu-west-1'].map((region) => [
          [`arn:aws:kms:${region}:123456789012:key/*`],
          `rds.${region}.<AWS::URLSuffix>`,
        ]),
      )
    }
    expect(who('rds', 'iam:PassRole')).toEqual(['settle'])
    expect(of('iam:PassRole').map(({ Condition }) => Condition)).toEqual([
      { StringEquals: { 'iam:PassedToService': 'monitoring.rds.amazonaws.com' } },
    ])
    for (const engine of ['postgres', 'aurora', 'aurora-global'] as const)
      for (const service of ['kms', 'iam']) expect(services(engine).has(service), engine).toBe(false)
  })

  test('aurora: with its identifier no other cluster can be failed over, nor wakes anybody', async () => {
    const [id, cluster] = Object.entries(managedExamples.aurora.clusters)[0] ?? []
    const named = { ...cluster, managed: { ...cluster?.managed, clusterId: 'carts' } }
    const template = await synthesize({
      ...managedExamples.aurora,
      clusters: { [String(id)]: named },
    } as never)
    const [statement] = (statementsBy(template).promote ?? []).filter((each) =>
      actionsOf(each).includes('rds:FailoverDBCluster'),
    )
    expect(list(statement?.Resource).map(flat)).toEqual([
      'arn:aws:rds:eu-central-1:123456789012:cluster:carts',
    ])
    const cluster1 = patternsIn(template).filter(({ detail }) => !('carts-1' in detail))
    expect(cluster1.map(({ detail }) => detail)).toContainEqual({ SourceIdentifier: ['carts'] })
    expect(cluster1.some(({ detail }) => 'EventCategories' in detail)).toBe(false)
    const wakes = (SourceIdentifier: string) => {
      const Message = 'Completed failover to DB instance: carts-2'
      const detail = { SourceType: 'CLUSTER', SourceIdentifier, Message }
      const trigger = triggerOf({ source: 'aws.rds', detail }, template.config)
      return trigger.kind === 'hint' && trigger.woken
    }
    expect([wakes('carts'), wakes('others')]).toEqual([['carts'], []])
  })

  test('without a zone of ours nobody may read or write one', () => {
    expect(services('aurora-global').has('route53')).toBe(false)
    expect(services('aurora').has('route53')).toBe(true)
  })

  test('rds: who may do what, to which instances', () => {
    const observers = ['command', 'confirm', 'fence', 'promote', 'repoint', 'settle']
    expect(who('rds', 'rds:DescribeDBInstances')).toEqual(observers)
    expect(who('rds', 'cloudwatch:GetMetricStatistics')).toEqual(['confirm', 'fence', 'promote'])
    expect(who('rds', 'rds:DescribeDBClusters')).toEqual([])
    const acts: Record<string, readonly [string[], string[]]> = {
      'rds:RebootDBInstance': [
        ['fence', 'settle'],
        [...orders, ...replaced],
      ],
      'rds:PromoteReadReplica': [['promote'], orders],
      'rds:StopDBInstance': [['settle'], [...orders, ...replaced]],
      // An instance is deleted only after it was renamed out of the way.
      'rds:DeleteDBInstance': [['settle'], replaced],
    }
    for (const [action, [functions, arns]] of Object.entries(acts)) {
      expect(who('rds', action), action).toEqual(functions)
      for (const name of functions) expect(resources('rds', name, action), action).toEqual(arns)
    }
    const groups = (region: string) =>
      ['og', 'pg', 'secgrp', 'subgrp'].map((kind) => `arn:aws:rds:${region}:123456789012:${kind}:*`)
    const referred = [...groups('eu-central-1'), ...groups('eu-west-1')]
    expect(who('rds', 'rds:ModifyDBInstance')).toEqual(['confirm', 'fence', 'promote', 'settle'])
    expect(resources('rds', 'fence', 'rds:ModifyDBInstance')).toEqual([...orders, ...replaced, ...referred])
    for (const action of ['rds:CreateDBInstanceReadReplica', 'rds:AddTagsToResource']) {
      expect(who('rds', action)).toEqual(['settle'])
      expect(resources('rds', 'settle', action)).toEqual([...orders, ...referred])
    }
  })

  test('rds without rebuild: nothing is created or deleted', async () => {
    const [id, cluster] = Object.entries(managedExamples.rds.clusters)[0] ?? []
    const never = { ...cluster, policy: { ...cluster?.policy, rebuild: 'never' } }
    const template = await synthesize({ ...managedExamples.rds, clusters: { [String(id)]: never } } as never)
    const actions = new Set(Object.values(statementsBy(template)).flat().flatMap(actionsOf))
    for (const action of ['CreateDBInstanceReadReplica', 'DeleteDBInstance', 'AddTagsToResource'])
      expect(actions.has(`rds:${action}`), action).toBe(false)
    expect(actions.has('rds:StopDBInstance')).toBe(true)
  })

  test('aurora: elections are asked for; no instance is changed', () => {
    for (const action of ['ModifyDBInstance', 'RebootDBInstance', 'PromoteReadReplica', 'DeleteDBInstance'])
      for (const engine of ['aurora', 'aurora-global'] as const)
        expect(who(engine, `rds:${action}`)).toEqual([])
    expect(who('aurora', 'rds:FailoverDBCluster')).toEqual(['promote'])
    expect(resources('aurora', 'promote', 'rds:FailoverDBCluster')).toEqual([
      'arn:aws:rds:eu-central-1:123456789012:cluster:*',
    ])
    expect(who('aurora', 'rds:FailoverGlobalCluster')).toEqual([])
    for (const action of ['rds:FailoverGlobalCluster', 'rds:SwitchoverGlobalCluster']) {
      expect(who('aurora-global', action)).toEqual(['promote'])
      expect(resources('aurora-global', 'promote', action)).toEqual([
        'arn:aws:rds::123456789012:global-cluster:users-global',
        'arn:aws:rds:eu-central-1:123456789012:cluster:users-eu-central-1',
        'arn:aws:rds:eu-north-1:123456789012:cluster:users-eu-north-1',
      ])
    }
    expect(who('aurora-global', 'rds:FailoverDBCluster')).toEqual([])
  })

  test('tokens: who probes signs in as the observer, who acts as the operator', () => {
    const arns = (user: string) =>
      ['eu-central-1', 'eu-west-1'].map((region) => `arn:aws:rds-db:${region}:123456789012:dbuser:*/${user}`)
    expect(who('rds', 'rds-db:connect')).toEqual(['look', 'observe', 'operate'])
    for (const name of ['look', 'observe'])
      expect(resources('rds', name, 'rds-db:connect')).toEqual(arns('understudy_observer'))
    expect(resources('rds', 'operate', 'rds-db:connect')).toEqual(arns('understudy_operator'))
  })
})

const patternsIn = (template: Template) =>
  ofType(template, 'AWS::Events::Rule').flatMap(
    ([
      ,
      {
        Properties: { EventPattern },
      },
    ]) =>
      EventPattern === undefined
        ? []
        : [EventPattern as { detail: Record<string, unknown[]>; source: string[] }],
  )

describe('events', () => {
  const patternsOf = (engine: Engine) => patternsIn(templates[engine])
  const event = (engine: Engine, detail: Record<string, unknown>) => {
    const cluster = detail.SourceType === 'CLUSTER'
    const event = {
      source: 'aws.rds',
      'detail-type': cluster ? 'RDS DB Cluster Event' : 'RDS DB Instance Event',
      detail,
    }
    const matched = patternsOf(engine).some((pattern) => compilePattern(pattern)(event))
    const trigger = triggerOf(event, templates[engine].config)
    return [matched, trigger.kind === 'hint' ? trigger.woken : trigger]
  }
  const instance = (SourceIdentifier: string, Message = 'DB instance restarted') => ({
    SourceType: 'DB_INSTANCE',
    SourceIdentifier,
    Message,
    EventCategories: ['availability'],
  })
  const failover = (Message: string, SourceIdentifier = 'carts') => ({
    SourceType: 'CLUSTER',
    SourceIdentifier,
    Message,
    EventCategories: ['failover'],
  })

  const namesOf = (...ids: string[]) => ids.flatMap((id) => [id, { prefix: `${id}-t` }])
  const told = (...ids: string[]) => ({
    source: ['aws.rds'],
    'detail-type': ['RDS DB Instance Event'],
    detail: { SourceIdentifier: namesOf(...ids) },
  })

  test('rules are for what is configured, in whatever Region', () => {
    const sources = (engine: Engine) => [...new Set(patternsOf(engine).flatMap(({ source }) => source))]
    expect(sources('postgres')).toEqual(['aws.ec2'])
    for (const engine of engines) expect(sources(engine), engine).toEqual(['aws.rds'])
    expect(patternsOf('rds')).toEqual([told('orders-1', 'orders-2', 'orders-far')])
  })

  test('H15 what other Regions tell of their nodes is sent to the bus whose rules are here, and no more', async () => {
    const { forwards, config } = await synthesize(managedExamples.rds)
    // The deployment lives in eu-west-1, with one node; two are elsewhere.
    expect(config.region).toBe('eu-west-1')
    expect(Object.keys(forwards)).toEqual(['understudy-rds-events-eu-central-1'])
    const far = forwards['understudy-rds-events-eu-central-1'] as Template
    expect(patternsIn(far)).toEqual([told('orders-1', 'orders-2')])
    const bus = 'arn:aws:events:eu-west-1:123456789012:event-bus/default'
    const [[, rule] = ['', undefined]] = ofType(far, 'AWS::Events::Rule')
    const [target] = list(rule?.Properties.Targets) as { Arn: unknown; RoleArn: unknown }[]
    expect(flat(target?.Arn)).toBe(bus)
    const [roleId = ''] = ofType(far, 'AWS::IAM::Role')[0] ?? []
    expect(flat(target?.RoleArn)).toBe(`<${roleId}.Arn>`)
    expect(statementsOf(far, roleId).map((each) => [actionsOf(each), list(each.Resource).map(flat)])).toEqual(
      [[['events:PutEvents'], [bus]]],
    )
    expect(ofType(far, 'AWS::IAM::Policy')).toEqual([])
    // Where all is in one Region there is one stack.
    expect((await synthesize(managedExamples.aurora)).forwards).toEqual({})
  })

  test('rds: an instance, and what was renamed out of its way, wake assess; others do not', () => {
    expect(event('rds', instance('orders-far'))).toEqual([true, ['orders']])
    expect(event('rds', instance('orders-far-t12'))).toEqual([true, ['orders']])
    // The pattern can not tell digits; triggerOf can.
    expect(event('rds', instance('orders-far-test'))).toEqual([true, []])
    expect(event('rds', instance('orders-farther'))).toEqual([false, []])
    expect(event('rds', failover('Completed failover to DB instance: orders-far', 'x'))).toEqual([false, []])
  })

  test('aurora: members by name, and the election by the member that it names', () => {
    expect(event('aurora', instance('carts-2'))).toEqual([true, ['carts']])
    expect(event('aurora', instance('carts-2-t1'))).toEqual([false, []])
    expect(event('aurora', failover('Completed failover to DB instance: carts-3'))).toEqual([true, ['carts']])
    expect(event('aurora', failover('Completed failover to DB instance: carts-33'))).toEqual([true, []])
  })

  test('aurora-global: the clusters of all Regions', async () => {
    const template = await synthesize({ ...managedExamples['aurora-global'], region: 'eu-north-1' } as never)
    const [pattern] = patternsIn(template)
    expect(pattern).toEqual({
      source: ['aws.rds'],
      'detail-type': ['RDS DB Cluster Event'],
      detail: { SourceIdentifier: ['users-eu-central-1', 'users-eu-north-1'] },
    })
    const woken = triggerOf(
      { source: 'aws.rds', detail: { SourceType: 'CLUSTER', SourceIdentifier: 'users-eu-north-1' } },
      template.config,
    )
    expect(woken).toEqual({ kind: 'hint', woken: ['users'], reported: [] })
  })

  test('an event of EC2 wakes nobody whose nodes are of RDS', () => {
    const { config } = templates.rds
    const detail = { 'instance-id': 'orders-far', state: 'stopped' }
    expect(triggerOf({ source: 'aws.ec2', detail }, config)).toEqual({
      kind: 'hint',
      woken: [],
      reported: [],
    })
  })

  test('a pattern has room for the longest names; there are as many rules as that takes', async () => {
    const [id, cluster] = Object.entries(managedExamples.rds.clusters)[0] ?? []
    const nodes = Array.from({ length: 40 }, (_none, index) => ({
      ...cluster?.nodes[2],
      id: `n${index}`,
      instanceId: `${'long-name-of-rds-'.repeat(3)}${String(index).padStart(2, '0')}`
        .slice(-52)
        .replace(/^-/, 'x'),
      address: `n${index}.c1.eu-west-1.rds.amazonaws.com`,
    }))
    const input = { ...managedExamples.rds, clusters: { [String(id)]: { ...cluster, nodes } } }
    const names = parseConfig(input).clusters[0]?.nodes.map(({ instanceId }) => instanceId) ?? []
    const template = await synthesize(input as never)
    const patterns = patternsIn(template)
    for (const pattern of patterns) expect(JSON.stringify(pattern).length).toBeLessThanOrEqual(2048)
    expect(patterns.length).toBeGreaterThan(1)
    expect(
      patterns.flatMap(({ detail }) => detail.SourceIdentifier).filter((each) => typeof each === 'string'),
    ).toEqual(names)
  })
})
