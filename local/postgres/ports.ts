import { createServer, type Server } from 'node:net'

/** The addresses that local nodes use; all of 127/8 answers on Linux, macOS needs an alias for each. */
export const loopbackAddresses = ['127.0.0.1', '127.0.0.11', '127.0.0.12', '127.0.0.13'] as const

/**
 * A port that is free on all the addresses. Chosen at random below the ephemeral range, so that neither an outgoing
 * connection nor a cluster that starts at the same time is likely to take it before the server does.
 */
export async function pickPort(addresses: readonly string[] = loopbackAddresses): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await isFree(port, addresses)) return port
  }
  throw new Error(`no free port on ${addresses.join(', ')}`)
}

export async function freePorts(count: number, addresses?: readonly string[]): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await pickPort(addresses))
  return [...ports]
}

async function isFree(port: number, addresses: readonly string[]): Promise<boolean> {
  const servers: Server[] = []
  try {
    for (const address of addresses) servers.push(await listen(port, address))
    return true
  } catch {
    return false
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }
}

async function listen(port: number, address: string): Promise<Server> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ port, host: address, exclusive: true }, () => resolve(server))
  })
}
