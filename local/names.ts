/** What `Ref` and the ARN of a resource are, by its type: the types that the local services serve. */
import type { Identity } from './template.ts'

interface NameInput {
  readonly logicalId: string
  /** A property of the resource, resolved. */
  readonly property: (key: string) => string | undefined
  readonly identity: Identity
}
type Namer = (input: NameInput) => { ref: string; arn: string }

const byName =
  (service: string, kind: string, key: string, refIs: 'name' | 'arn'): Namer =>
  ({ logicalId, property, identity }) => {
    const name = property(key) ?? logicalId
    const arn = `arn:aws:${service}:${identity.region}:${identity.accountId}:${kind}${name}`
    return { ref: refIs === 'arn' ? arn : name, arn }
  }

/** Versions are counted per template: the first version of each function is 1, which is the only one after a synth. */
const version: Namer = ({ property, identity }) => {
  const arn = `${functionArn(property('FunctionName') ?? '', identity)}:1`
  return { ref: arn, arn }
}

const alias: Namer = ({ property, identity }) => {
  const arn = `${functionArn(property('FunctionName') ?? '', identity)}:${property('Name')}`
  return { ref: arn, arn }
}

const rule: Namer = ({ logicalId, property, identity }) => {
  const bus = property('EventBusName')?.split('/').at(-1)
  const name = property('Name') ?? logicalId
  const path = bus === undefined || bus === 'default' ? name : `${bus}/${name}`
  const arn = `arn:aws:events:${identity.region}:${identity.accountId}:rule/${path}`
  return { ref: name, arn }
}

export const names: Readonly<Record<string, Namer | undefined>> = {
  'AWS::DynamoDB::Table': byName('dynamodb', 'table/', 'TableName', 'name'),
  'AWS::DynamoDB::GlobalTable': byName('dynamodb', 'table/', 'TableName', 'name'),
  'AWS::Events::EventBus': byName('events', 'event-bus/', 'Name', 'name'),
  'AWS::Events::Rule': rule,
  'AWS::Lambda::Alias': alias,
  'AWS::Lambda::EventInvokeConfig': byName('lambda', 'event-invoke-config:', 'FunctionName', 'name'),
  'AWS::Lambda::EventSourceMapping': byName('lambda', 'event-source-mapping:', 'UUID', 'name'),
  'AWS::Lambda::Function': byName('lambda', 'function:', 'FunctionName', 'name'),
  'AWS::Lambda::Version': version,
  'AWS::SNS::Topic': byName('sns', '', 'TopicName', 'arn'),
  'AWS::StepFunctions::StateMachine': byName('states', 'stateMachine:', 'StateMachineName', 'arn'),
}

/** A name, a name with qualifier, or an ARN with or without qualifier, as the ARN of the function itself. */
export function functionArn(nameOrArn: string, identity: Identity): string {
  const { name } = parseFunctionName(nameOrArn)
  return `arn:aws:lambda:${identity.region}:${identity.accountId}:function:${name}`
}

export function parseFunctionName(nameOrArn: string): { name: string; qualifier: string | null } {
  const match = /^(?:arn:aws[a-z-]*:lambda:[^:]+:)?(?:\d{12}:)?(?:function:)?([^:]+)(?::([^:]+))?$/.exec(
    nameOrArn,
  )
  return { name: match?.[1] ?? nameOrArn, qualifier: match?.[2] ?? null }
}
