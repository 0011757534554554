/** TLS to the servers of a cluster, for every engine: what is verified, and against what. */
import { isIP } from 'node:net'
import { checkServerIdentity, createSecureContext, type PeerCertificate, type SecureContext } from 'node:tls'
import { isManaged } from '../core/engine.ts'
import type { ClusterConfig, NodeConfig } from '../core/types.ts'

/** Certificates, PEM, that sign those of the provider's servers. */
export type Authorities = () => Promise<readonly string[]>

export interface TlsOptions {
  readonly rejectUnauthorized: boolean
  readonly secureContext?: SecureContext
  readonly checkServerIdentity?: (hostname: string, certificate: PeerCertificate) => Error | undefined
}

export async function tlsOf(options: {
  readonly cluster: ClusterConfig
  readonly node: Pick<NodeConfig, 'address'>
  readonly authorities?: Authorities | undefined
}): Promise<TlsOptions | false> {
  const { cluster, node, authorities } = options
  if (cluster.connection.tls === 'disable') return false
  if (cluster.connection.tls === 'require') return { rejectUnauthorized: false }
  const names = namesOf(cluster, node.address)
  const verifying = {
    rejectUnauthorized: true,
    // By what is configured and not by what the driver gives: Node checks 'localhost' when that is an IP address.
    checkServerIdentity: (_hostname: string, certificate: PeerCertificate) => {
      const problems = names.map((name) => checkServerIdentity(name, certificate))
      return problems.includes(undefined) ? undefined : problems[0]
    },
  }
  if (!isManaged(cluster) || authorities === undefined) return verifying
  return { ...verifying, secureContext: contextOf(await authorities()) }
}

/**
 * Who may stand behind an address. An IP address that is no node's own is what the endpoint resolved to: any node of a
 * cluster that the provider runs may have it, but nobody else.
 */
function namesOf(cluster: ClusterConfig, address: string): readonly string[] {
  if (isIP(address) === 0) return [address]
  const own = cluster.nodes.filter((node) => node.address === address)
  const nodes = own.length > 0 || !isManaged(cluster) ? own : cluster.nodes
  return [address, ...nodes.flatMap((node) => [node.address, node.dnsName])]
}

const contexts = new WeakMap<readonly string[], SecureContext>()

/** More than a hundred certificates, which each connection would read anew. */
function contextOf(authorities: readonly string[]): SecureContext {
  const known = contexts.get(authorities)
  if (known !== undefined) return known
  const context = createSecureContext({ ca: [...authorities] })
  contexts.set(authorities, context)
  return context
}
