/** The template as tests read it: resources by type, statements by role, intrinsic functions as text. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FleetDocument, type FleetInput, parseConfig } from '../../functions/config.ts'
import type { FunctionName } from '../../functions/core/limits.ts'
import { createApp } from '../../infra/app.ts'
import example from '../../understudy.config.ts'

export interface Resource {
  readonly Type: string
  readonly Properties: Readonly<Record<string, unknown>>
  readonly DeletionPolicy?: string
  readonly UpdateReplacePolicy?: string
  readonly DependsOn?: readonly string[]
}

export interface Statement {
  readonly Sid: string
  readonly Effect: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  readonly Resource: unknown
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>
  readonly Outputs: Readonly<Record<string, unknown>>
}

/** Synthesises in process, with an empty bundle: nothing in the template depends on the code but its hash. */
export async function synthesize(
  change: Partial<FleetInput> = {},
): Promise<Template & { config: FleetDocument; forwards: Readonly<Record<string, Template>> }> {
  const config = parseConfig({ ...example, ...change })
  const directory = mkdtempSync(join(tmpdir(), 'understudy-infra-'))
  try {
    const bundleDirectory = join(directory, 'bundle')
    mkdirSync(bundleDirectory)
    writeFileSync(join(bundleDirectory, 'look.mjs'), 'export const handler = 0\n')
    const app = await createApp(config, { bundleDirectory, outdir: join(directory, 'out') })
    const assembly = app.synth()
    const read = (name: string) =>
      JSON.parse(readFileSync(join(assembly.directory, `${name}.template.json`), 'utf8')) as Template
    const others = assembly.stacks.map(({ id }) => id).filter((id) => id !== config.deployment)
    const forwards = Object.fromEntries(others.map((id) => [id, read(id)]))
    return { ...read(config.deployment), config, forwards }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Intrinsic functions as text: a reference is `<LogicalId>`, an attribute `<LogicalId.Arn>`. */
export function flat(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const { Ref, ...rest } = value as { Ref?: string } & Record<string, unknown>
  if (Ref === 'AWS::Partition') return 'aws'
  if (Ref === 'AWS::AccountId') return '123456789012'
  if (Ref !== undefined) return `<${Ref}>`
  const join = rest['Fn::Join'] as [string, unknown[]] | undefined
  if (join !== undefined) return join[1].map(flat).join(join[0])
  const attribute = rest['Fn::GetAtt'] as string[] | undefined
  return attribute === undefined ? JSON.stringify(value) : `<${attribute.join('.')}>`
}

/** `understudy-look-a` is a `look`. */
export const kindOf = (physicalName: string) => physicalName.split('-')[1] as FunctionName

export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value])

export function ofType(template: Template, type: string): [string, Resource][] {
  return Object.entries(template.Resources).filter(([, resource]) => resource.Type === type)
}

/** Functions by physical name, with the statements of their roles. */
export function functionsOf(
  template: Template,
): Record<string, { id: string; properties: Record<string, unknown>; statements: Statement[] }> {
  return Object.fromEntries(
    ofType(template, 'AWS::Lambda::Function').map(([id, { Properties }]) => {
      const role = flat(Properties.Role).slice(1, -'.Arn>'.length)
      return [
        String(Properties.FunctionName),
        { id, properties: Properties, statements: statementsOf(template, role) },
      ]
    }),
  )
}

export function statementsOf(template: Template, roleId: string): Statement[] {
  const policies = template.Resources[roleId]?.Properties.Policies as
    | { PolicyDocument: { Statement: Statement[] } }[]
    | undefined
  return (policies ?? []).flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
}

export const actionsOf = (statement: Statement): string[] => list(statement.Action).map(String)
