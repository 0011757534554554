import { expect, test } from 'vitest'
import type { Template } from '../../local/assembly.ts'
import { readDeployment } from '../../local/deployment.ts'
import { resolveAssembly } from '../../local/template.ts'
import { accountId, lambdaFunction, region } from './fixture.ts'

const identity = { accountId, region }
const topic = (properties: Record<string, unknown> = {}) => ({
  Type: 'AWS::SNS::Topic',
  Properties: properties,
})

function resolve(templates: Record<string, Template>, assets: Record<string, string> = {}) {
  const assembly = {
    stacks: Object.entries(templates).map(([name, template]) => ({ name, template })),
    assets: new Map(Object.entries(assets)),
  }
  const resources = resolveAssembly(assembly, identity, { Wanted: 'given' })
  return { resources, deployment: readDeployment(assembly, resources) }
}

/** What a value of a template becomes, in a stack with some of everything. */
function value(expression: unknown): unknown {
  const template = {
    Parameters: { Wanted: { Type: 'String' }, Other: { Type: 'String', Default: 'default' } },
    Conditions: {
      Yes: { 'Fn::Equals': [{ Ref: 'AWS::Region' }, region] },
      No: { 'Fn::Not': [{ Condition: 'Yes' }] },
    },
    Mappings: { Map: { [region]: { key: 'mapped' } } },
    Resources: { T: topic({ TopicName: 'people' }), Probe: topic({ Value: expression }) },
  }
  const { resources } = resolve({ Stack: template as Template })
  return resources.ofType('AWS::SNS::Topic').find(({ logicalId }) => logicalId === 'Probe')?.properties.Value
}

test.each([
  [{ Ref: 'AWS::Region' }, region],
  [{ Ref: 'AWS::StackName' }, 'Stack'],
  [{ Ref: 'Wanted' }, 'given'],
  [{ Ref: 'Other' }, 'default'],
  [{ Ref: 'T' }, `arn:aws:sns:${region}:${accountId}:people`],
  [{ 'Fn::GetAtt': ['T', 'TopicName'] }, 'people'],
  [{ 'Fn::GetAtt': 'T.TopicArn' }, `arn:aws:sns:${region}:${accountId}:people`],
  [{ 'Fn::Join': ['-', ['a', { Ref: 'AWS::Region' }, 'b']] }, `a-${region}-b`],
  [{ 'Fn::Sub': `\${AWS::AccountId} \${T.TopicName} \${!x} \${Other}` }, `${accountId} people \${x} default`],
  [{ 'Fn::Sub': [`\${name}:\${AWS::Region}`, { name: { Ref: 'Other' } }] }, `default:${region}`],
  [{ 'Fn::Select': [1, { 'Fn::Split': [',', 'a,b,c'] }] }, 'b'],
  [{ 'Fn::FindInMap': ['Map', { Ref: 'AWS::Region' }, 'key'] }, 'mapped'],
  [{ 'Fn::If': ['Yes', 1, 2] }, 1],
  [{ 'Fn::If': ['No', 1, 2] }, 2],
  [
    [1, { Ref: 'AWS::NoValue' }, { a: { Ref: 'AWS::NoValue' }, b: 2 }],
    [1, { b: 2 }],
  ],
])('%j', (expression, expected) => {
  expect(value(expression)).toEqual(expected)
})

test('stacks see each other through exports; a missing one is named', () => {
  const imports = (name: string) => ({
    Producer: {
      Resources: { T: topic({ TopicName: 'a' }) },
      Outputs: { O: { Value: { Ref: 'T' }, Export: { Name: 'E' } } },
    },
    Consumer: { Resources: { U: topic({ TopicName: { 'Fn::ImportValue': name } }) } },
  })
  const { resources } = resolve(imports('E'))
  expect(resources.ofType('AWS::SNS::Topic')[1]?.properties.TopicName).toBe(
    `arn:aws:sns:${region}:${accountId}:a`,
  )
  expect(() => resolve(imports('F'))).toThrow('no stack of the assembly exports F')
})

test('a reference to nothing is refused', () => {
  expect(() => value({ Ref: 'Nothing' })).toThrow('refers to Nothing')
})

test('functions with their code, versions, retries and variables; what a condition leaves out is left out', () => {
  const { deployment } = resolve(
    {
      Stack: {
        Conditions: { No: { 'Fn::Equals': [1, 2] } },
        Resources: {
          F: lambdaFunction('f', 'a.handler', { Environment: { Variables: { A: 1 } } }) as never,
          G: { ...(lambdaFunction('g', 'a.handler') as { Type: string }), Condition: 'No' },
          V: { Type: 'AWS::Lambda::Version', Properties: { FunctionName: { Ref: 'F' } } },
          L: {
            Type: 'AWS::Lambda::Alias',
            Properties: {
              Name: 'live',
              FunctionName: { Ref: 'F' },
              FunctionVersion: { 'Fn::GetAtt': ['V', 'Version'] },
            },
          },
          E: {
            Type: 'AWS::Lambda::EventInvokeConfig',
            Properties: { FunctionName: { Ref: 'F' }, Qualifier: '$LATEST', MaximumRetryAttempts: 0 },
          },
        },
      },
    },
    { 'code.zip': '/somewhere' },
  )
  expect(deployment.functions).toHaveLength(1)
  expect(deployment.functions[0]).toMatchObject({
    name: 'f',
    taskRoot: '/somewhere',
    timeoutSeconds: 5,
    asyncRetries: 0,
    environment: { A: '1', AWS_LAMBDA_FUNCTION_NAME: 'f' },
  })
  expect([...(deployment.functions[0]?.qualifiers ?? [])]).toEqual([
    ['1', '1'],
    ['live', '1'],
  ])
})
