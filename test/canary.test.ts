/** What an observer compares itself with. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { expect, onTestFinished, test } from 'vitest'
import { probeCanary } from '../functions/canary.ts'

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
)

async function listening(host: string): Promise<number> {
  const server = createServer((socket) => socket.destroy())
  server.listen(0, host)
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

test('answers when it accepts a connection', async () => {
  const port = await listening('127.0.0.1')
  expect(await probeCanary(`127.0.0.1:${port}`, 10_000)).toBe(true)
})

test.skipIf(!hasIpv6)('H24 the brackets of an IPv6 address are no part of it', async () => {
  const port = await listening('::1')
  expect(await probeCanary(`[::1]:${port}`, 10_000)).toBe(true)
})
