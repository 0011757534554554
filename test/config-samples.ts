/** The example configurations, and variants of them. */

import aurora from '../docs/examples/aurora.config.ts'
import auroraGlobal from '../docs/examples/aurora-global.config.ts'
import rds from '../docs/examples/rds.config.ts'
import { ConfigError, type FleetInput, parseConfig } from '../functions/config.ts'
import example from '../understudy.config.ts'

export { example }

type Plain = Record<string, unknown>
type ClusterInput = Exclude<FleetInput['clusters'], readonly unknown[]>[string]

export const orders = (example.clusters as Record<string, ClusterInput>).orders as ClusterInput

/** The example with something else in its cluster. */
export const withCluster = (change: Plain) => ({ ...example, clusters: { orders: { ...orders, ...change } } })
export const withNodes = (...changes: Plain[]) =>
  withCluster({ nodes: orders.nodes.map((node, index) => ({ ...node, ...changes[index] })) })
export const withPolicy = (policy: Plain) => withCluster({ policy: { ...orders.policy, ...policy } })

/** One example for each engine that AWS runs, each with one cluster. */
export const managedExamples = { rds, aurora, 'aurora-global': auroraGlobal } as const
export type ManagedName = keyof typeof managedExamples

const nested = ['policy', 'connection', 'managed'] as const

export function managedCluster(name: ManagedName): { id: string; cluster: ClusterInput } {
  const [entry] = Object.entries(managedExamples[name].clusters as Record<string, ClusterInput>)
  if (entry === undefined) throw new Error(name)
  return { id: entry[0], cluster: entry[1] }
}

/** An example with something else in its cluster; `policy`, `connection` and `managed` add to what is there. */
export function withManaged(name: ManagedName, change: Plain) {
  const { id, cluster } = managedCluster(name)
  const added = nested.flatMap((key) =>
    typeof change[key] === 'object' ? [[key, { ...cluster[key], ...change[key] }]] : [],
  )
  const changed: Plain = { ...cluster, ...change, ...Object.fromEntries(added) }
  return { ...managedExamples[name], clusters: { [id]: changed } }
}

/** Nodes of an example, changed by their place. */
export const managedNodes = (name: ManagedName, ...changes: Plain[]): Plain[] =>
  managedCluster(name).cluster.nodes.map((node, index) => ({ ...node, ...changes[index] }))
export const withManagedNodes = (name: ManagedName, ...changes: Plain[]) =>
  withManaged(name, { nodes: managedNodes(name, ...changes) })

export function problemsOf(input: unknown): readonly string[] {
  try {
    parseConfig(input)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}
