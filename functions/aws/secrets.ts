/**
 * Passwords, for `password.from = secret`. In a VPC without NAT this needs an interface endpoint, which is why it is
 * not the default; the client is loaded on first use, so that who has no secret does not pay for it at each cold start.
 */
import { timeouts } from './clients.ts'

export interface Secrets {
  /** The password in the secret: its `password` field when it is a JSON object, else its text. Throws without it. */
  password(secretId: string): Promise<string>
  /** To be called when a server refused the password: it may have been rotated. */
  forget(secretId: string): void
}

export function createSecrets(
  options: {
    fetch?: (secretId: string) => Promise<string | undefined>
    monotonicMs?: () => number
    keepMs?: number
  } = {},
): Secrets {
  const fetch = options.fetch ?? fetchFromSecretsManager
  const now = options.monotonicMs ?? (() => performance.now())
  const keepMs = options.keepMs ?? 300_000
  const kept = new Map<string, { readonly password: string; readonly atMs: number }>()
  return {
    async password(secretId) {
      const known = kept.get(secretId)
      if (known !== undefined && now() - known.atMs < keepMs) return known.password
      const atMs = now()
      try {
        const password = passwordIn(secretId, await fetch(secretId))
        kept.set(secretId, { password, atMs })
        return password
      } catch (error) {
        // An outage of the service must not stop a failover for which the old password very probably still holds.
        if (known !== undefined) return known.password
        throw error
      }
    },
    forget(secretId) {
      kept.delete(secretId)
    },
  }
}

async function fetchFromSecretsManager(secretId: string): Promise<string | undefined> {
  const { GetSecretValueCommand, SecretsManagerClient } = await import('@aws-sdk/client-secrets-manager')
  const client = new SecretsManagerClient({ maxAttempts: 3, requestHandler: timeouts(2_000) })
  try {
    return (await client.send(new GetSecretValueCommand({ SecretId: secretId }))).SecretString
  } finally {
    client.destroy()
  }
}

/** Never puts the secret's text into an error: errors are logged. */
function passwordIn(secretId: string, text: string | undefined): string {
  if (text === undefined || text === '') throw new Error(`secret ${secretId} has no text`)
  if (!text.trimStart().startsWith('{')) return text
  let fields: unknown
  try {
    fields = JSON.parse(text)
  } catch {
    return text
  }
  const password = (fields as { password?: unknown }).password
  if (typeof password !== 'string' || password === '')
    throw new Error(`secret ${secretId} has no field "password"`)
  return password
}
