/**
 * The session of an act (S4). `ALTER SYSTEM` can not be made conditional, it is refused in functions and in
 * transaction blocks; so the order of sessions is the guard: connect, then read the claim, then end every other
 * session of the role and wait until they are gone. A stalled statement of an older term is dead after that; one that
 * connects later reads its claim later still, and finds ours.
 */

import { freezeName } from '../../core/limits.ts'
import type { ClusterConfig, FreezeMark, NodeConfig } from '../../core/types.ts'
import type { Clock } from '../../ports.ts'
import type { Authorities } from '../tls.ts'
import { TimedOut } from './errors.ts'
import { deadline, Link, type PasswordOf } from './link.ts'
import { standbyPosition, standbyTimeline } from './query.ts'

/** Throw to answer `refused`: certainly without effect on what the act was for. */
export class Refusal extends Error {
  override name = 'Refusal'
}

export interface OperatorOptions {
  readonly cluster: ClusterConfig
  readonly node: NodeConfig
  readonly deployment: string
  readonly term: number
  readonly timeoutMs: number
  readonly guard: () => Promise<void>
  readonly password: PasswordOf
  readonly authorities?: Authorities | undefined
  readonly clock: Clock
}

/** What an act reads of the node; read again at each comparison. */
export interface NodeView {
  readonly inRecovery: boolean
  readonly conninfo: string
  readonly restoreCommand: string
  readonly receiver: boolean
  readonly timeline: number
  readonly positionBytes: number | null
  readonly receivedBytes: number | null
  readonly replayedBytes: number | null
  readonly paused: boolean
  readonly applyDelayMs: number
}

const viewQuery = `select json_build_object(
  'inRecovery', pg_is_in_recovery(),
  'conninfo', current_setting('primary_conninfo'),
  'restoreCommand', current_setting('restore_command'),
  'receiver', exists (select from pg_stat_wal_receiver)
    or exists (select from pg_stat_activity where backend_type = 'walreceiver'),
  'timeline', case when pg_is_in_recovery() then ${standbyTimeline} else 0 end,
  'positionBytes', case when pg_is_in_recovery() then ${standbyPosition} end,
  'receivedBytes', pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0'),
  'replayedBytes', pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0'),
  'paused', case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end,
  'applyDelayMs', (select setting::bigint from pg_settings where name = 'recovery_min_apply_delay')) as view`

export class Operator {
  readonly link: Link
  readonly mark: FreezeMark
  readonly clock: Clock
  readonly #left: () => number

  private constructor(link: Link, options: OperatorOptions, left: () => number) {
    this.link = link
    this.mark = { deployment: options.deployment, term: options.term }
    this.clock = options.clock
    this.#left = left
  }

  static async open(options: OperatorOptions): Promise<Operator> {
    const left = deadline(options.clock, options.timeoutMs)
    const link = await Link.open({
      ...options,
      user: options.cluster.connection.operatorUser,
      applicationName: freezeName(options.deployment, options.term),
      timeoutMs: left(),
    })
    try {
      const operator = new Operator(link, options, left)
      await operator.#boundedGuard(options.guard)
      await operator.#endOtherSessions()
      return operator
    } catch (error) {
      link.destroy()
      throw error
    }
  }

  async read<Row extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
    return await this.link.query<Row>(text, values, this.#left())
  }

  async change(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    return await this.link.query(text, values, this.#left())
  }

  async view(): Promise<NodeView> {
    const rows = await this.read<{ view: NodeView }>(viewQuery)
    if (!rows[0]) throw new Error('the node returned no row')
    return rows[0].view
  }

  /** Sets, reloads, and waits until this session runs with it. Refuses what the command line overrides. */
  async alterSystem(settings: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(settings)) {
      await this.change(`alter system set ${name} = ${this.link.literal(value)}`)
    }
    await this.change('select pg_reload_conf()')
    const names = Object.keys(settings)
    const text = `select name, current_setting(name) as value, source from pg_settings where name = any($1)`
    await this.until(
      async () => {
        const rows = await this.read<{ name: string; value: string; source: string }>(text, [names])
        const differing = rows.find((row) => row.value !== settings[row.name])
        if (differing?.source === 'command line') {
          throw new Refusal(
            `${differing.name} was given on the server's command line, which overrides ALTER SYSTEM`,
          )
        }
        return differing === undefined
      },
      `the server does not run with the new ${names.join(', ')}`,
    )
  }

  /** Polls every 2 ms until `condition`; a deadline is a `TimedOut`, so that the result is unknown. */
  async until(condition: () => Promise<boolean>, otherwise: string): Promise<void> {
    while (!(await condition())) {
      if (this.#left() <= 0) throw new Error(otherwise)
      await this.clock.sleep(2)
    }
  }

  close(): void {
    this.link.destroy()
  }

  /** The guard reads over the network too: it must not outlive this act. */
  async #boundedGuard(guard: () => Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const expired = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new TimedOut('query', 0)), Math.max(0, this.#left()))
    })
    try {
      await Promise.race([guard(), expired])
    } catch (error) {
      throw new Refusal(
        `the claim could not be shown: ${error instanceof Error ? error.message : String(error)}`,
      )
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Refuses when a session of a newer term of this deployment is there: we are the stalled one. All others go, those
   * of this term too: they belong to an attempt that was given up.
   */
  async #endOtherSessions(): Promise<void> {
    const others = `from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()
      and backend_type = 'client backend'`
    await this.until(async () => {
      const rows = await this.read<{ pid: number; name: string }>(
        `select pid, application_name as name ${others}`,
      )
      const prefix = freezeName(this.mark.deployment, 0).slice(0, -1)
      for (const row of rows) {
        const term = row.name.startsWith(prefix) ? Number(row.name.slice(prefix.length)) : Number.NaN
        if (term > this.mark.term) throw new Refusal(`an operator of the newer term ${term} is on the node`)
      }
      if (rows.length === 0) return true
      const pids = rows.map((row) => row.pid)
      await this.read(`select pg_terminate_backend(pid, 2000) ${others} and pid = any($1)`, [pids])
      return false
    }, 'sessions of an older term do not end')
  }
}
