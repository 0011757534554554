/** What a role signs in with: nothing, a password in a secret, or a token that is signed for one server. */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { ClusterConfig, NodeConfig } from '../core/types.ts'

/** Where a token is good: RDS takes it only for the name of the instance's own endpoint. */
export interface TokenPlace {
  readonly region: string
  readonly hostname: string
  readonly port: number
  readonly username: string
}

type Place = Pick<NodeConfig, 'address' | 'port'>

export function passwordsBy(options: {
  readonly password: (secretId: string) => Promise<string>
  readonly token?: ((place: TokenPlace) => Promise<string>) | undefined
  readonly addressesOf?: (name: string) => Promise<readonly string[]>
}): (cluster: ClusterConfig, user: string, node: Place) => Promise<string | undefined> {
  const addressesOf = options.addressesOf ?? resolve
  return async (cluster, user, node) => {
    const { password } = cluster.connection
    if (password.from === 'none') return undefined
    if (password.from === 'secret') return await options.password(password.secretId)
    if (options.token === undefined) throw new Error('this function signs no tokens')
    const { region, hostname } = await endpointOf(cluster, node, addressesOf)
    return await options.token({ region, hostname, port: node.port, username: user })
  }
}

/** The name behind an address that may be an IP address: configured so, or what the cluster's endpoint resolved to. */
export async function endpointOf(
  cluster: ClusterConfig,
  { address }: Place,
  addressesOf: (name: string) => Promise<readonly string[]> = resolve,
): Promise<{ region: string; hostname: string }> {
  const own = cluster.nodes.find((node) => node.address === address || node.readerAddress === address)
  const region = (own ?? cluster.nodes[0])?.region ?? ''
  if (isIP(address) === 0) return { region, hostname: address }
  if (own) return { region, hostname: nameOf(own) }
  for (const node of cluster.nodes) {
    const found = await addressesOf(nameOf(node)).catch((): string[] => [])
    if (found.includes(address)) return { region: node.region, hostname: nameOf(node) }
  }
  return { region, hostname: address }
}

const nameOf = (node: NodeConfig): string => (isIP(node.address) === 0 ? node.address : node.dnsName)

async function resolve(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address)
}
