/**
 * Nodes that are Aurora clusters have two addresses. The cluster's own endpoint leads to its writer, and nowhere as long
 * as the cluster is the secondary of a global database; its readers show then that it lives.
 */
import type { ClusterConfig, NodeConfig, ProbeOutcome } from '../core/types.ts'
import type { Engine } from '../ports.ts'

type Place = Pick<NodeConfig, 'address' | 'port'>

/** The same engine, which asks the readers of a node as well where they have an address of their own. */
export function withReaders(engine: Engine): Engine {
  return {
    ...engine,
    async probe(cluster, node, options) {
      const readers = readersOf(cluster, node)
      if (readers === null) return await engine.probe(cluster, node, options)
      return told(
        await Promise.all([
          engine.probe(cluster, node, options),
          engine.probe(cluster, readers, { ...options, writeProbe: false }),
        ]),
      )
    },
    openSession(cluster, node, onEnd) {
      const writer = engine.openSession(cluster, node, onEnd)
      const place = readersOf(cluster, node)
      if (place === null) return writer
      // The end of a reader's session is no news of the writer.
      const readers = engine.openSession(cluster, { ...node, ...place }, () => {})
      return {
        probe: async (options) =>
          told(await Promise.all([writer.probe(options), readers.probe({ ...options, writeProbe: false })])),
        close() {
          writer.close()
          readers.close()
        },
      }
    },
  }
}

function readersOf({ nodes }: ClusterConfig, { address, port }: Place): Place | null {
  const node = nodes.find((each) => each.address === address && each.port === port)
  return node === undefined || node.readerAddress === null ? null : { address: node.readerAddress, port }
}

/** What a server said at the cluster's endpoint counts; where none said anything, what a reader answered. */
function told([writer, readers]: readonly [ProbeOutcome, ProbeOutcome]): ProbeOutcome {
  const isSaid = writer.kind === 'answered' || writer.kind === 'sqlError'
  return !isSaid && readers.kind === 'answered' ? readers : writer
}
