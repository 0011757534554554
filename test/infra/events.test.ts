import { describe, expect, test } from 'vitest'
import type { FunctionName } from '../../functions/core/limits.ts'
import { flat, functionsOf, kindOf, list, ofType, type Statement, synthesize } from './template.ts'

const template = await synthesize()
const functions = functionsOf(template)
const names = Object.keys(functions)
const ofKind = (...kinds: FunctionName[]) => names.filter((name) => kinds.includes(kindOf(name)))
interface Filtered {
  readonly Filters: readonly { readonly Pattern: string }[]
}

describe('what wakes the functions', () => {
  const rules = ofType(template, 'AWS::Events::Rule').map(
    ([, { Properties }]) =>
      Properties as { ScheduleExpression?: string; EventPattern?: unknown; Targets: Target[] },
  )
  interface Target {
    readonly Arn: unknown
    readonly Input?: string
    readonly RetryPolicy?: unknown
  }
  const targets = (schedule: string) =>
    rules
      .filter(({ ScheduleExpression }) => ScheduleExpression === schedule)
      .flatMap(({ Targets }) => Targets)

  test('every minute: assess and each loop once, with the event as it is, which carries its time', () => {
    const minute = targets('rate(1 minute)')
    expect(minute.map(({ Arn }) => flat(Arn)).toSorted()).toEqual(
      ofKind('observe', 'assess')
        .map((name) => `<${functions[name]?.id}.Arn>`)
        .toSorted(),
    )
    for (const target of minute) {
      expect(target).not.toHaveProperty('Input')
      expect(target).not.toHaveProperty('InputTransformer')
      expect(target.RetryPolicy).toEqual({ MaximumEventAgeInSeconds: 60, MaximumRetryAttempts: 0 })
    }
  })

  test('every five minutes: all that a failover calls is kept warm, at the version that is called', () => {
    const warm = targets('rate(5 minutes)')
    expect(warm.map(({ Arn }) => flat(Arn)).toSorted()).toEqual(
      ofType(template, 'AWS::Lambda::Version')
        .map(([id]) => `<${id}>`)
        .toSorted(),
    )
    for (const { Input } of warm) expect(Input).toBe('{"warmup":true}')
  })

  test('no rule has more than five targets', () => {
    for (const { Targets } of rules) expect(Targets.length).toBeLessThanOrEqual(5)
  })

  test('instances of nodes wake assess', () => {
    const [pattern] = rules.flatMap(({ EventPattern }) => EventPattern ?? [])
    expect(pattern).toEqual({
      source: ['aws.ec2'],
      'detail-type': ['EC2 Instance State-change Notification'],
      detail: {
        'instance-id': ['i-0aaaaaaaaaaaaaaaa', 'i-0bbbbbbbbbbbbbbbb', 'i-0cccccccccccccccc'],
        state: ['running', 'stopped', 'terminated'],
      },
    })
  })

  test('H23 the stream wakes assess by changed reports and waking states, record by states, and gives up soon', () => {
    const mappings = ofType(template, 'AWS::Lambda::EventSourceMapping').map(
      ([, { Properties }]) => Properties,
    )
    const of = (name: string) =>
      mappings.find(({ FunctionName }) => flat(FunctionName) === `<${functions[name]?.id}>`)
    const patterns = (name: string) =>
      (of(name)?.FilterCriteria as Filtered | undefined)?.Filters.map(({ Pattern }) => JSON.parse(Pattern))
    expect(mappings).toHaveLength(2)
    expect(of('understudy-assess')).toMatchObject({ MaximumRetryAttempts: 2, MaximumRecordAgeInSeconds: 60 })
    expect(of('understudy-record')).toMatchObject({
      MaximumRetryAttempts: 10,
      StartingPosition: 'TRIM_HORIZON',
    })
    for (const mapping of mappings)
      expect(mapping).toMatchObject({
        BisectBatchOnFunctionError: true,
        FunctionResponseTypes: ['ReportBatchItemFailures'],
      })
    const written = { eventName: ['INSERT', 'MODIFY'] }
    const state = { pk: { S: [{ prefix: 'cluster#' }] }, sk: { S: ['state'] } }
    expect(patterns('understudy-assess')).toEqual([
      {
        ...written,
        dynamodb: { Keys: { pk: { S: [{ prefix: 'report#' }] } }, NewImage: { changed: { BOOL: [true] } } },
      },
      { ...written, dynamodb: { Keys: state, NewImage: { wakeNow: { BOOL: [true] } } } },
    ])
    expect(patterns('understudy-record')).toEqual([{ ...written, dynamodb: { Keys: state } }])
  })
})

describe('people', () => {
  test('are told over TLS only, by e-mail as configured', () => {
    const [[, policy] = ['', undefined]] = ofType(template, 'AWS::SNS::TopicPolicy')
    const document = policy?.Properties.PolicyDocument as { Statement: Statement[] }
    expect(document.Statement.map(({ Effect, Condition }) => [Effect, Condition])).toContainEqual([
      'Deny',
      { Bool: { 'aws:SecureTransport': 'false' } },
    ])
    expect(ofType(template, 'AWS::SNS::Subscription').map(([, { Properties }]) => Properties)).toMatchObject([
      { Protocol: 'email', Endpoint: 'oncall@example.com' },
    ])
  })

  const alarms = Object.fromEntries(
    ofType(template, 'AWS::CloudWatch::Alarm').map(([, { Properties }]) => [
      String(Properties.AlarmName),
      Properties,
    ]),
  )

  test('are paged by alarms that name their section of the runbook', () => {
    expect(Object.keys(alarms).length).toBeGreaterThan(10)
    for (const [name, alarm] of Object.entries(alarms)) {
      expect(alarm.AlarmDescription).toContain(`docs/runbook.md#${name.replace('understudy-', '')}`)
      expect(list(alarm.AlarmActions).map(flat)).toEqual([expect.stringMatching(/^<Topic\w+>$/)])
    }
  })

  test('S13 the alarm on a silent table rests on no function of ours, and fires without data', () => {
    expect(alarms['understudy-table-silent']).toMatchObject({
      Namespace: 'AWS/DynamoDB',
      MetricName: 'SuccessfulRequestLatency',
      Statistic: 'SampleCount',
      ComparisonOperator: 'LessThanThreshold',
      TreatMissingData: 'breaching',
    })
  })

  test('a loop that is not started, and assess that is not, alarm without data', () => {
    for (const name of ['observe-stopped-a', 'observe-stopped-b', 'observe-stopped-c', 'assess-stopped'])
      expect(alarms[`understudy-${name}`]).toMatchObject({
        MetricName: 'Invocations',
        TreatMissingData: 'breaching',
      })
  })

  test('S11 two writers page at the first sight', () => {
    expect(alarms['understudy-two-writers']).toMatchObject({
      Namespace: 'Understudy',
      MetricName: 'TwoWriters',
      EvaluationPeriods: 1,
      Threshold: 1,
      Dimensions: [
        { Name: 'deployment', Value: 'understudy' },
        { Name: 'service', Value: 'understudy' },
      ],
    })
  })

  test('their number does not grow with the clusters', async () => {
    const [orders] = template.config.clusters
    const more = await synthesize({
      clusters: [
        orders,
        {
          ...orders,
          id: 'stock',
          endpoint: { ...orders?.endpoint, name: 'stock.db.example.internal' },
          nodes: orders?.nodes.map((node, index) => ({
            ...node,
            address: `10.0.9.${index}`,
            instanceId: `i-0000000${index}`,
          })),
        },
      ] as never,
    })
    for (const type of ['AWS::CloudWatch::Alarm', 'AWS::Lambda::Function', 'AWS::Events::Rule'])
      expect(ofType(more, type)).toHaveLength(ofType(template, type).length)
  })
})
