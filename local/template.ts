/**
 * Resolves synthesised CloudFormation templates to concrete local names and ARNs. Nothing is deployed: physical names
 * are those given in the template, else the logical id. Several stacks see each other through exports and imports.
 */
import type { Assembly, Resource, Stack } from './assembly.ts'
import { names } from './names.ts'

export interface Identity {
  readonly region: string
  readonly accountId: string
}

/** A resource with all intrinsic functions resolved. */
export interface Resolved {
  readonly stack: string
  readonly logicalId: string
  readonly type: string
  readonly properties: Record<string, unknown>
  /** What `Ref` gives: a name, a URL or an ARN, as the type has it. */
  readonly ref: string
  readonly arn: string
}

export class Resources {
  readonly #all: readonly Resolved[]
  constructor(all: readonly Resolved[]) {
    this.#all = all
  }
  ofType(...types: string[]): readonly Resolved[] {
    return this.#all.filter((resource) => types.includes(resource.type))
  }
}

/** `parameters`: values for template parameters without default, by name, for every stack. */
export function resolveAssembly(
  assembly: Assembly,
  identity: Identity,
  parameters: Record<string, string> = {},
): Resources {
  const exports = new Map<string, () => unknown>()
  const scopes = assembly.stacks.map((stack) => new Scope(stack, identity, parameters, exports))
  for (const scope of scopes) scope.declareExports()
  return new Resources(scopes.flatMap((scope) => scope.resources()))
}

type Intrinsic = (scope: Scope, operand: unknown) => unknown

const intrinsics: Record<string, Intrinsic> = {
  Ref: (scope, operand) => scope.ref(String(operand)),
  'Fn::GetAtt': (scope, operand) => {
    const [id = '', attribute = ''] = Array.isArray(operand)
      ? operand.map(String)
      : String(operand).split(/\.(.*)/s)
    return scope.attribute(id, attribute)
  },
  'Fn::Join': (scope, operand) => {
    const [separator, parts] = operand as [string, unknown]
    return (scope.resolve(parts) as unknown[]).map(String).join(separator)
  },
  'Fn::Sub': (scope, operand) => scope.substitute(operand),
  'Fn::Select': (scope, operand) => {
    const [index, list] = operand as [unknown, unknown]
    return (scope.resolve(list) as unknown[])[Number(scope.resolve(index))]
  },
  'Fn::Split': (scope, operand) => {
    const [separator, text] = operand as [string, unknown]
    return String(scope.resolve(text)).split(separator)
  },
  'Fn::GetAZs': (scope) => ['a', 'b', 'c'].map((zone) => `${scope.identity.region}${zone}`),
  'Fn::ImportValue': (scope, operand) => scope.imported(String(scope.resolve(operand))),
  'Fn::FindInMap': (scope, operand) => {
    const [map = '', first = '', second = ''] = (operand as unknown[]).map((key) =>
      String(scope.resolve(key)),
    )
    return scope.stack.template.Mappings?.[map]?.[first]?.[second]
  },
  'Fn::Base64': (scope, operand) => Buffer.from(String(scope.resolve(operand))).toString('base64'),
  'Fn::If': (scope, operand) => {
    const [condition, yes, no] = operand as [string, unknown, unknown]
    return scope.resolve(scope.condition(condition) ? yes : no)
  },
  'Fn::Equals': (scope, operand) => {
    const [left, right] = scope.resolve(operand) as unknown[]
    return JSON.stringify(left) === JSON.stringify(right)
  },
  'Fn::Not': (scope, operand) => !(scope.resolve(operand) as unknown[])[0],
  'Fn::And': (scope, operand) => (scope.resolve(operand) as unknown[]).every(Boolean),
  'Fn::Or': (scope, operand) => (scope.resolve(operand) as unknown[]).some(Boolean),
  Condition: (scope, operand) => scope.condition(String(operand)),
}

/** One stack while it is being resolved. */
class Scope {
  readonly stack: Stack
  readonly identity: Identity
  readonly #parameters: Record<string, string>
  readonly #exports: Map<string, () => unknown>
  readonly #known = new Map<string, { ref: string; arn: string }>()

  constructor(
    stack: Stack,
    identity: Identity,
    parameters: Record<string, string>,
    exports: Map<string, () => unknown>,
  ) {
    this.stack = stack
    this.identity = identity
    this.#parameters = parameters
    this.#exports = exports
  }

  declareExports(): void {
    for (const output of Object.values(this.stack.template.Outputs ?? {})) {
      if (output.Export?.Name === undefined) continue
      this.#exports.set(String(this.resolve(output.Export.Name)), () => this.resolve(output.Value))
    }
  }

  resources(): Resolved[] {
    return Object.entries(this.stack.template.Resources ?? {})
      .filter(([, resource]) => resource.Condition === undefined || this.condition(resource.Condition))
      .filter(([, resource]) => names[resource.Type] !== undefined)
      .map(([logicalId, resource]) => ({
        stack: this.stack.name,
        logicalId,
        type: resource.Type,
        properties: this.resolve(resource.Properties ?? {}) as Record<string, unknown>,
        ...this.named(logicalId),
      }))
  }

  resolve(value: unknown): unknown {
    if (Array.isArray(value))
      return value.map((item) => this.resolve(item)).filter((item) => item !== undefined)
    if (typeof value !== 'object' || value === null) return value
    const entries = Object.entries(value)
    const [key, operand] = entries[0] ?? ['', undefined]
    const intrinsic = entries.length === 1 ? intrinsics[key] : undefined
    // `Condition` with an object is an IAM statement's condition, not a reference to one of the template.
    if (intrinsic && !(key === 'Condition' && typeof operand !== 'string')) return intrinsic(this, operand)
    const resolved = entries.map(([name, item]) => [name, this.resolve(item)] as const)
    return Object.fromEntries(resolved.filter(([, item]) => item !== undefined))
  }

  ref(id: string): unknown {
    switch (id) {
      case 'AWS::Region':
        return this.identity.region
      case 'AWS::AccountId':
        return this.identity.accountId
      case 'AWS::Partition':
        return 'aws'
      case 'AWS::URLSuffix':
        return 'amazonaws.com'
      case 'AWS::StackName':
        return this.stack.name
      case 'AWS::StackId':
        return `arn:aws:cloudformation:${this.identity.region}:${this.identity.accountId}:stack/${this.stack.name}/local`
      case 'AWS::NoValue':
        return undefined
    }
    const parameter = this.stack.template.Parameters?.[id]
    if (parameter) return this.#parameters[id] ?? parameter.Default ?? ''
    return this.named(id).ref
  }

  attribute(id: string, attribute: string): unknown {
    const { ref, arn } = this.named(id)
    if (attribute === 'StreamArn') return `${arn}/stream/local`
    if (attribute === 'Arn' || attribute.endsWith('Arn')) return arn
    if (attribute === 'Version') return ref.split(':').at(-1)
    if (attribute === 'Name' || attribute.endsWith('Name')) return arn.split(/[:/]/).at(-1)
    return `${ref}.${attribute}`
  }

  substitute(operand: unknown): string {
    const [text, variables] = Array.isArray(operand)
      ? (operand as [string, Record<string, unknown>])
      : [String(operand), {}]
    return text.replaceAll(/\$\{(!?)([^}]+)\}/g, (_all, literal: string, name: string) => {
      if (literal) return `\${${name}}`
      if (name in variables) return String(this.resolve(variables[name]))
      if (!name.includes('.')) return String(this.ref(name))
      const [id = '', attribute = ''] = name.split(/\.(.*)/s)
      return String(this.attribute(id, attribute))
    })
  }

  imported(name: string): unknown {
    const value = this.#exports.get(name)
    if (!value) throw new Error(`no stack of the assembly exports ${name}`)
    return value()
  }

  condition(name: string): boolean {
    return Boolean(this.resolve(this.stack.template.Conditions?.[name] ?? false))
  }

  named(logicalId: string): { ref: string; arn: string } {
    const known = this.#known.get(logicalId)
    if (known) return known
    const resource: Resource | undefined = this.stack.template.Resources?.[logicalId]
    if (!resource) throw new Error(`stack ${this.stack.name} refers to ${logicalId}, which it does not have`)
    const namer = names[resource.Type]
    const property = (key: string): string | undefined => {
      const value = this.resolve(resource.Properties?.[key])
      return value === undefined ? undefined : String(value)
    }
    const made = namer
      ? namer({ logicalId, property, identity: this.identity })
      : {
          ref: logicalId,
          arn: `arn:aws:local:${this.identity.region}:${this.identity.accountId}:${logicalId}`,
        }
    this.#known.set(logicalId, made)
    return made
  }
}
