/** Tokens for IAM database authentication: signed here, without a call; RDS takes one for 15 minutes. */

export interface TokenPlace {
  readonly region: string
  /** Name of the instance's own endpoint: RDS takes no other for a token. */
  readonly hostname: string
  readonly port: number
  readonly username: string
}

export interface Tokens {
  token(place: TokenPlace): Promise<string>
}

/** Well below the 15 minutes of a token, and below the 5 at the end of Lambda's credentials that the SDK renews in. */
const keepForMs = 180_000

export function createTokens(
  options: {
    sign?: (place: TokenPlace) => Promise<string>
    monotonicMs?: () => number
    keepMs?: number
  } = {},
): Tokens {
  const sign = options.sign ?? signWithCredentials
  const now = options.monotonicMs ?? (() => performance.now())
  const keepMs = options.keepMs ?? keepForMs
  const kept = new Map<string, { readonly token: string; readonly atMs: number }>()
  return {
    async token(place) {
      const key = JSON.stringify([place.region, place.hostname, place.port, place.username])
      const known = kept.get(key)
      if (known !== undefined && now() - known.atMs < keepMs) return known.token
      // The clock is read before the token is signed: it is never kept longer than it says.
      const atMs = now()
      const token = await sign(place)
      kept.set(key, { token, atMs })
      return token
    },
  }
}

async function signWithCredentials(place: TokenPlace): Promise<string> {
  const { Signer } = await import('@aws-sdk/rds-signer')
  return await new Signer(place).getAuthToken()
}
