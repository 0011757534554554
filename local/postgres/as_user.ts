/**
 * `node as_user.ts <uid> <gid> <program> [argument…]`: runs a server program as the user of the servers, with the
 * environment that they all get. Host commands run as the user of this process, and `pg_ctl` refuses root.
 */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { serverEnvironment } from './binaries.ts'

const [uid, gid, program = '', ...args] = process.argv.slice(2)
const child = spawn(program, args, {
  uid: Number(uid),
  gid: Number(gid),
  cwd: dirname(program), // the caller's may be closed to that user
  env: serverEnvironment(),
  stdio: 'inherit',
})
child.once('error', (error) => {
  console.error(error.message)
  process.exit(126)
})
child.once('exit', (code, name) => process.exit(code ?? (name ? 128 : 1)))
