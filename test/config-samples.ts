/** The example configuration, and variants of it. */
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

export function problemsOf(input: unknown): readonly string[] {
  try {
    parseConfig(input)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}
