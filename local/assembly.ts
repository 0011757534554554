/**
 * Reads a cloud assembly, the output directory of `cdk synth`: its templates, and where the code assets lie.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Resource {
  readonly Type: string
  readonly Properties?: Record<string, unknown>
  readonly Condition?: string
}

export interface Template {
  readonly Resources?: Record<string, Resource>
  readonly Parameters?: Record<string, { Type?: string; Default?: unknown }>
  readonly Conditions?: Record<string, unknown>
  readonly Mappings?: Record<string, Record<string, Record<string, unknown>>>
  readonly Outputs?: Record<string, { Value?: unknown; Export?: { Name?: unknown } }>
}

export interface Stack {
  readonly name: string
  readonly template: Template
}

export interface Assembly {
  /** In the order of their deployment, as far as `cdk synth` wrote it. */
  readonly stacks: readonly Stack[]
  /** Key of a file asset in the bootstrap bucket (`S3Key` of a function) to its directory or file. */
  readonly assets: ReadonlyMap<string, string>
}

interface Manifest {
  artifacts?: Record<
    string,
    {
      type: string
      properties?: { templateFile?: string; file?: string; directoryName?: string; stackName?: string }
    }
  >
}

interface AssetManifest {
  files?: Record<string, { source: { path?: string }; destinations: Record<string, { objectKey: string }> }>
}

/** Throws when the directory holds no assembly: run `cdk synth` first. */
export function readAssembly(directory: string): Assembly {
  const stacks: Stack[] = []
  const assets = new Map<string, string>()
  readInto(directory, stacks, assets)
  return { stacks, assets }
}

function readInto(directory: string, stacks: Stack[], assets: Map<string, string>): void {
  const manifest = readJson<Manifest>(join(directory, 'manifest.json'))
  for (const [id, artifact] of Object.entries(manifest.artifacts ?? {})) {
    const properties = artifact.properties ?? {}
    if (artifact.type === 'aws:cloudformation:stack' && properties.templateFile) {
      const template = readJson<Template>(join(directory, properties.templateFile))
      stacks.push({ name: properties.stackName ?? id, template })
    } else if (artifact.type === 'cdk:asset-manifest' && properties.file) {
      readAssets(directory, join(directory, properties.file), assets)
    } else if (artifact.type === 'cdk:cloud-assembly' && properties.directoryName) {
      readInto(join(directory, properties.directoryName), stacks, assets)
    }
  }
}

function readAssets(directory: string, file: string, assets: Map<string, string>): void {
  for (const { source, destinations } of Object.values(readJson<AssetManifest>(file).files ?? {})) {
    if (!source.path) continue
    for (const { objectKey } of Object.values(destinations))
      assets.set(objectKey, join(directory, source.path))
  }
}

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T
}
