/**
 * A stand-in for `pg_basebackup`, which the npm package of the server binaries does not ship: the part of its command
 * line that our host scripts use, on the same machine as the source. Run as root it gives the files to the user in
 * UNDERSTUDY_RUN_AS (`uid:gid`), because the servers run as that user.
 */
import { existsSync, readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { parseConninfo } from '../../functions/engines/postgres/conninfo.ts'
import { takeBackup } from './backup.ts'
import type { RunAs } from './binaries.ts'

function runAsFromEnvironment(): RunAs {
  const [uid, gid] = (process.env.UNDERSTUDY_RUN_AS ?? '').split(':').map(Number)
  return uid ? { uid, gid: gid ?? uid } : null
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      pgdata: { type: 'string', short: 'D' },
      dbname: { type: 'string', short: 'd' },
      'wal-method': { type: 'string', short: 'X' },
      checkpoint: { type: 'string', short: 'c' },
      'no-password': { type: 'boolean', short: 'w' },
      'no-sync': { type: 'boolean', short: 'N' },
      progress: { type: 'boolean', short: 'P' },
      verbose: { type: 'boolean', short: 'v' },
      format: { type: 'string', short: 'F' },
    },
  })
  const target = values.pgdata
  if (!target || !values.dbname) throw new Error('-D and -d are needed')
  if (existsSync(target) && readdirSync(target).length > 0) {
    throw new Error(`directory "${target}" exists but is not empty`)
  }
  const upstream = parseConninfo(values.dbname)
  await takeBackup({
    // The backup functions need SQL, which a replication connection does not speak: the superuser of local clusters.
    source: {
      host: upstream.get('host') ?? '127.0.0.1',
      port: Number(upstream.get('port') ?? 5432),
      user: 'postgres',
      database: 'postgres',
      connectionTimeoutMillis: 5000,
    },
    sourceDirectory: null,
    targets: [target],
    runAs: runAsFromEnvironment(),
  })
}

main().catch((error: unknown) => {
  console.error(`pg_basebackup: error: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
})
