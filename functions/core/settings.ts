/** Server settings that cost time in a failover, or make one impossible: advice, never a condition. */
import type { ProbeRow } from './types.ts'

export interface SettingAdvice {
  readonly setting: string
  readonly value: string
  readonly wanted: string
  readonly why: string
}

interface Check {
  readonly setting: string
  readonly wanted: string
  readonly why: string
  readonly isGood: (value: string, row: ProbeRow) => boolean
}

const checks: readonly Check[] = [
  {
    setting: 'wal_retrieve_retry_interval',
    wanted: 'at most 500ms',
    why: 'a standby waits this long before it follows the new primary, so writes wait too (default 5s)',
    isGood: (value) => durationMs(value) <= 500,
  },
  {
    setting: 'wal_receiver_status_interval',
    wanted: 'above 0 and at most 1s',
    why: 'a standby that is added to the synchronous list releases waiting commits only with its next reply (default 10s)',
    isGood: (value) => durationMs(value) > 0 && durationMs(value) <= 1000,
  },
  {
    setting: 'wal_receiver_timeout',
    wanted: 'above 0 and at most 10s',
    why: 'a standby holds on to the stream of a frozen primary this long (default 60s)',
    isGood: (value) => durationMs(value) > 0 && durationMs(value) <= 10_000,
  },
  {
    setting: 'hot_standby',
    wanted: 'on',
    why: 'a standby that takes no connections can not be looked at, frozen or promoted',
    isGood: isOn,
  },
  {
    setting: 'wal_keep_size',
    wanted: 'at least 64MB, or replication slots',
    why: 'without it a standby that was away for a moment needs a fresh copy',
    isGood: (value, row) => sizeBytes(value) >= 64 * 1024 ** 2 || Boolean(row.settings.primary_slot_name),
  },
  {
    setting: 'max_wal_senders',
    wanted: 'two more than there are standbys',
    why: 'a standby that finds no free sender can not follow, and a fresh copy needs two',
    isGood: (value, row) => Number(value) >= row.downstream.length + 2,
  },
  {
    setting: 'wal_log_hints',
    wanted: 'on, or data checksums',
    why: 'without it the old primary can not be rewound and needs a fresh copy',
    isGood: (value, row) => isOn(value) || isOn(row.settings.data_checksums ?? 'off'),
  },
]

/** What should be changed on this node; settings that the row does not carry are not judged. */
export function checkSettings(row: ProbeRow): readonly SettingAdvice[] {
  return checks.flatMap(({ setting, wanted, why, isGood }) => {
    const value = row.settings[setting]
    return value === undefined || isGood(value, row) ? [] : [{ setting, value, wanted, why }]
  })
}

function isOn(value: string): boolean {
  return value === 'on'
}

const durationUnits: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
}

/** As `current_setting()` prints it; a number without unit is 0 (never printed otherwise). NaN when it is neither. */
function durationMs(value: string): number {
  return quantity(value, durationUnits)
}

function sizeBytes(value: string): number {
  return quantity(value, sizeUnits)
}

function quantity(value: string, units: Readonly<Record<string, number>>): number {
  const match = /^(-?\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(value)
  if (!match) return Number.NaN
  return Number(match[1]) * (match[2] ? (units[match[2]] ?? Number.NaN) : 1)
}
