/** A small assembly on disk, as `cdk synth` lays it out, and machines that only count. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Machine } from '../../local/machine.ts'

export const accountId = '000000000000'
export const region = 'eu-central-1'

export interface Fixture {
  readonly directory: string
  remove(): void
}

/** `modules`: file name without extension to source; bundled with what it imports, SDK clients included. */
export async function writeAssembly(
  resources: Record<string, unknown>,
  modules: Record<string, string>,
  more: Record<string, unknown> = {},
): Promise<Fixture> {
  const directory = mkdtempSync(join(tmpdir(), 'understudy-assembly-'))
  const asset = join(directory, 'asset.code')
  mkdirSync(asset)
  await Promise.all(
    Object.entries(modules).map(([name, contents]) =>
      build({
        stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' },
        outfile: join(asset, `${name}.mjs`),
        bundle: true,
        platform: 'node',
        target: 'node24',
        format: 'esm',
        banner: {
          js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
        },
        logLevel: 'error',
      }),
    ),
  )
  const write = (name: string, value: unknown) => writeFileSync(join(directory, name), JSON.stringify(value))
  write('manifest.json', {
    artifacts: {
      'Test.assets': { type: 'cdk:asset-manifest', properties: { file: 'Test.assets.json' } },
      Test: { type: 'aws:cloudformation:stack', properties: { templateFile: 'Test.template.json' } },
    },
  })
  write('Test.template.json', { Resources: resources, ...more })
  write('Test.assets.json', {
    files: {
      code: {
        source: { path: 'asset.code', packaging: 'zip' },
        destinations: { here: { objectKey: 'code.zip' } },
      },
    },
  })
  return { directory, remove: () => rmSync(directory, { recursive: true, force: true }) }
}

export function lambdaFunction(name: string, handler: string, more: Record<string, unknown> = {}): unknown {
  return {
    Type: 'AWS::Lambda::Function',
    Properties: {
      FunctionName: name,
      Handler: handler,
      Timeout: 5,
      Code: { S3Bucket: { 'Fn::Join': ['-', ['assets', { Ref: 'AWS::AccountId' }]] }, S3Key: 'code.zip' },
      ...more,
    },
  }
}

export const table = {
  Type: 'AWS::DynamoDB::GlobalTable',
  Properties: {
    TableName: 'understudy',
    AttributeDefinitions: [
      { AttributeName: 'pk', AttributeType: 'S' },
      { AttributeName: 'sk', AttributeType: 'S' },
    ],
    KeySchema: [
      { AttributeName: 'pk', KeyType: 'HASH' },
      { AttributeName: 'sk', KeyType: 'RANGE' },
    ],
    BillingMode: 'PAY_PER_REQUEST',
    StreamSpecification: { StreamViewType: 'NEW_AND_OLD_IMAGES' },
    Replicas: [{ Region: { Ref: 'AWS::Region' } }],
  },
}

export interface CountingMachine extends Machine {
  readonly calls: string[]
}

export function countingMachine(instanceId: string, privateAddress = '127.0.0.11'): CountingMachine {
  const calls: string[] = []
  return {
    instanceId,
    privateAddress,
    availabilityZone: 'eu-central-1a',
    calls,
    async powerOff() {
      calls.push('off')
    },
    async powerOn() {
      calls.push('on')
    },
    shellEnvironment: { WHO: instanceId },
  }
}

/** SDK client settings for a local endpoint; one attempt, so that a test sees the first answer. */
export function clientConfig(endpoint: string) {
  return {
    endpoint,
    region,
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: 1,
  }
}

/** Polls until `check` gives something other than undefined or false. */
export async function eventually<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const until = Date.now() + 20_000
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== false) return value as T
    if (Date.now() > until) throw new Error(`never came true: ${check}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
