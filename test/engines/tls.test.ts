/** Whose certificate is accepted, and where tokens are good: for managed engines and for others. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { connect, createServer as createTlsServer, TLSSocket } from 'node:tls'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { rdsAuthorities } from '../../functions/aws/authorities.ts'
import { createTokens } from '../../functions/aws/tokens.ts'
import type { ClusterConfig } from '../../functions/core/types.ts'
import { createEngines } from '../../functions/engines/index.ts'
import { passwordsBy } from '../../functions/engines/passwords.ts'
import { tlsOf } from '../../functions/engines/tls.ts'
import { certificate, instanceName, key, root } from './certificates.ts'
import { managedCluster } from './managed.ts'
import { clock } from './postgres/support.ts'

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

const ours = async () => [root]
const authorities = [root]
const verified = (change: Partial<ClusterConfig> = {}) => ({
  ...managedCluster({ tls: 'verify-full' }),
  ...change,
})
const own = (): ClusterConfig => ({ ...verified(), engine: 'postgres', managed: null })

/** Null: the server's certificate was accepted. */
async function shake(cluster: ClusterConfig, address: string, trusted?: () => Promise<readonly string[]>) {
  const options = await tlsOf({ cluster, node: { address }, authorities: trusted })
  if (options === false) throw new Error('no TLS')
  const port = await listen(createTlsServer({ cert: certificate, key }, (socket) => socket.end()))
  const socket = connect({ host: '127.0.0.1', port, ...options })
  return await new Promise<string | null>((resolve) => {
    socket.once('secureConnect', () => resolve(null))
    socket.once('error', (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message))
  }).finally(() => socket.destroy())
}

describe('verify-full', () => {
  test('takes the bundle that is given, and the name of the instance', async () => {
    expect(await shake(verified(), instanceName, ours)).toBeNull()
    expect(await shake(verified(), 'orders-b.abc.eu-west-1.rds.amazonaws.com', ours)).toBe(
      'ERR_TLS_CERT_ALTNAME_INVALID',
    )
  })

  test('refuses whom neither the bundle nor the system knows', async () => {
    expect(await shake(verified(), instanceName)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    expect(await shake(verified(), instanceName, rdsAuthorities)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    // The bundle is for servers that the provider runs, and for no others.
    expect(await shake(own(), instanceName, ours)).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  })

  test('an IP address stands for the node that has it, or for what the endpoint resolved to: any node of ours', async () => {
    expect(await shake(verified(), '127.0.0.1', ours)).toBeNull()
    expect(await shake(verified(), '10.9.9.9', ours)).toBeNull()
    const nodes = managedCluster().nodes.filter(({ id }) => id === 'b')
    // Never `localhost`, which Node would compare with.
    expect(await shake(verified({ nodes }), '10.9.9.9', ours)).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
  })

  test('reads the certificates into one context', async () => {
    const trusted = async () => authorities
    const [one, two] = await Promise.all(
      [1, 2].map(() => tlsOf({ cluster: verified(), node: { address: instanceName }, authorities: trusted })),
    )
    if (!one || !two) throw new Error('no TLS')
    expect(one.secureContext).toBeDefined()
    expect(one.secureContext).toBe(two.secureContext)
  })

  test('the bundle holds roots of RDS, once for all', async () => {
    const found = await rdsAuthorities()
    expect(found.length).toBeGreaterThan(90)
    expect(found.every((text) => text.startsWith('-----BEGIN CERTIFICATE-----'))).toBe(true)
    expect(await rdsAuthorities()).toBe(found)
  })
})

test('`disable` is none, and `require` verifies nothing', async () => {
  const node = { address: instanceName }
  expect(await tlsOf({ cluster: managedCluster({ tls: 'disable' }), node, authorities: ours })).toBe(false)
  expect(await tlsOf({ cluster: managedCluster({ tls: 'require' }), node, authorities: ours })).toEqual({
    rejectUnauthorized: false,
  })
})

/** As PostgreSQL begins: asks for TLS, and then a server that is full. Keeps what was sent to it in clear. */
async function postgresServer(): Promise<{ port: number; startups: string[] }> {
  const startups: string[] = []
  const port = await listen(
    createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.write('S')
        const secure = new TLSSocket(socket, { isServer: true, cert: certificate, key })
        secure.on('error', () => {})
        secure.once('data', (startup) => {
          startups.push(startup.toString('latin1'))
          const fields = 'SFATAL\0C53300\0Msorry, too many clients already\0\0'
          const length = Buffer.alloc(4)
          length.writeInt32BE(4 + fields.length)
          secure.end(Buffer.concat([Buffer.from('E'), length, Buffer.from(fields)]))
        })
      })
    }),
  )
  return { port, startups }
}

describe('the driver', () => {
  test('signs in only where the certificate was verified', async () => {
    const { port, startups } = await postgresServer()
    const engineWith = (trusted: () => Promise<readonly string[]>) =>
      createEngines({ clock, password: async () => 'x', authorities: trusted }).of(verified())
    const node = { address: '127.0.0.1', port }
    const options = { timeoutMs: 20_000, writeProbe: false }
    expect(await engineWith(rdsAuthorities).probe(verified(), node, options)).toMatchObject({
      kind: 'sqlError',
      sqlState: '28000',
      message: expect.stringContaining('TLS'),
    })
    expect(startups).toEqual([])
    expect(await engineWith(ours).probe(verified(), node, options)).toMatchObject({
      kind: 'sqlError',
      sqlState: '53300',
    })
    expect(startups).toHaveLength(1)
  })
})

describe('tokens', () => {
  test('are signed for one instance, its port, its Region and one role, for 15 minutes', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret')
    onTestFinished(() => void vi.unstubAllEnvs())
    const token = await createTokens().token({
      region: 'eu-west-1',
      hostname: instanceName,
      port: 5433,
      username: 'understudy_observer',
    })
    const url = new URL(`https://${token}`)
    expect(url.host).toBe(`${instanceName}:5433`)
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      Action: 'connect',
      DBUser: 'understudy_observer',
      'X-Amz-Expires': '900',
      'X-Amz-Credential': expect.stringMatching(/^AKIDEXAMPLE\/\d{8}\/eu-west-1\/rds-db\/aws4_request$/),
    })
  })

  test('are kept for a few minutes, each for its own place', async () => {
    let now = 0
    const signed: string[] = []
    const tokens = createTokens({
      sign: async ({ hostname, username }) => {
        signed.push(`${username}@${hostname}`)
        return `${signed.length}`
      },
      monotonicMs: () => now,
    })
    const place = { region: 'eu-west-1', hostname: 'h', port: 5432, username: 'u' }
    expect([await tokens.token(place), await tokens.token(place)]).toEqual(['1', '1'])
    expect(await tokens.token({ ...place, username: 'v' })).toBe('2')
    expect(await tokens.token({ ...place, hostname: 'i' })).toBe('3')
    expect(await tokens.token({ ...place, port: 5433 })).toBe('4')
    now = 179_999
    expect(await tokens.token(place)).toBe('1')
    now = 180_000
    expect(await tokens.token(place)).toBe('5')
  })

  test('a signature that fails is not kept', async () => {
    let fails = true
    const tokens = createTokens({
      sign: async () => {
        if (fails) throw new Error('no credentials')
        return 'token'
      },
    })
    const place = { region: 'eu-west-1', hostname: 'h', port: 5432, username: 'u' }
    await expect(tokens.token(place)).rejects.toThrow('no credentials')
    fails = false
    expect(await tokens.token(place)).toBe('token')
  })
})

describe('what a role signs in with', () => {
  const tokens: object[] = []
  const passwords = passwordsBy({
    password: async (secretId) => `of ${secretId}`,
    token: async (place) => {
      tokens.push(place)
      return 'token'
    },
    addressesOf: async (name) =>
      name === 'orders-b.abc.eu-west-1.rds.amazonaws.com'
        ? ['10.1.1.1']
        : Promise.reject(new Error('ENOTFOUND')),
  })
  const byToken = managedCluster({ password: { from: 'iam' } })

  test('nothing, a secret, or a token', async () => {
    const node = { address: instanceName, port: 5432 }
    expect(await passwords(managedCluster(), 'u', node)).toBeUndefined()
    const bySecret = managedCluster({ password: { from: 'secret', secretId: 's' } })
    expect(await passwords(bySecret, 'u', node)).toBe('of s')
    expect(await passwords(byToken, 'u', node)).toBe('token')
    await expect(passwordsBy({ password: async () => '' })(byToken, 'u', node)).rejects.toThrow('no tokens')
  })

  test.each([
    [
      'a name as it is',
      'orders-b.abc.eu-west-1.rds.amazonaws.com',
      'orders-b.abc.eu-west-1.rds.amazonaws.com',
      'eu-west-1',
    ],
    ['an address by the name of its node', '127.0.0.1', instanceName, 'eu-central-1'],
    [
      'what the endpoint resolved to by who has it now',
      '10.1.1.1',
      'orders-b.abc.eu-west-1.rds.amazonaws.com',
      'eu-west-1',
    ],
    ['an address that nobody has', '10.2.2.2', '10.2.2.2', 'eu-central-1'],
  ])('a token for %s', async (_, address, hostname, region) => {
    tokens.length = 0
    await passwords(byToken, 'understudy_observer', { address, port: 5432 })
    expect(tokens).toEqual([{ region, hostname, port: 5432, username: 'understudy_observer' }])
  })
})
