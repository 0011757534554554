/** What clients get for a name, asked as they ask. */
import { Resolver } from 'node:dns/promises'

export interface Resolved {
  readonly addresses: readonly string[]
  /** The name that it stands for; null: it is no alias. */
  readonly cname: string | null
}

/** `resolver`: DNS server `address:port`; null: that of the host. Rejects when the name has no address. */
export type Resolve = (
  name: string,
  options: { readonly resolver: string | null; readonly timeoutMs: number },
) => Promise<Resolved>

export const resolveName: Resolve = async (name, { resolver, timeoutMs }) => {
  const dns = new Resolver({ timeout: timeoutMs, tries: 1 })
  if (resolver !== null) dns.setServers([resolver])
  const [addresses, cname] = await Promise.all([
    dns.resolve4(name),
    dns.resolveCname(name).then(
      (names) => names[0] ?? null,
      () => null,
    ),
  ])
  return { addresses, cname }
}
