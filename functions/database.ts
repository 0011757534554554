/** The engines of the functions in the VPC, with everything that a connection may need of AWS. Made once per sandbox. */
import { rdsAuthorities } from './aws/authorities.ts'
import { createSecrets } from './aws/secrets.ts'
import { createTokens } from './aws/tokens.ts'
import { systemClock } from './clock.ts'
import { createEngines } from './engines/index.ts'

const secrets = createSecrets()
const tokens = createTokens()

export const engines = createEngines({
  clock: systemClock,
  password: (secretId) => secrets.password(secretId),
  token: (place) => tokens.token(place),
  authorities: rdsAuthorities,
})
