import { expect, test } from 'vitest'
import { checkSettings } from '../../functions/core/settings.ts'
import { primaryRow } from './build.ts'

const good = {
  wal_retrieve_retry_interval: '500ms',
  wal_receiver_status_interval: '1s',
  wal_receiver_timeout: '5s',
  hot_standby: 'on',
  wal_keep_size: '128MB',
  max_wal_senders: '10',
  wal_log_hints: 'on',
}
const named = (settings: Record<string, string>) =>
  checkSettings(primaryRow({ settings })).map((advice) => advice.setting)

test('good settings, and settings that the row does not carry, need no advice', () => {
  expect(named(good)).toEqual([])
  expect(named({})).toEqual([])
})

test.each([
  ['wal_retrieve_retry_interval', '5s'],
  ['wal_retrieve_retry_interval', '501ms'],
  ['wal_receiver_status_interval', '10s'],
  ['wal_receiver_status_interval', '0'],
  ['wal_receiver_timeout', '1min'],
  ['wal_receiver_timeout', '0'],
  ['hot_standby', 'off'],
  ['wal_keep_size', '0'],
  ['wal_keep_size', '16MB'],
  ['wal_keep_size', 'nonsense'],
  ['max_wal_senders', '3'],
  ['wal_log_hints', 'off'],
])('%s = %s', (setting, value) => {
  expect(named({ ...good, [setting]: value })).toEqual([setting])
})

test('slots and checksums do as well', () => {
  expect(named({ ...good, wal_keep_size: '0', primary_slot_name: 'b' })).toEqual([])
  expect(named({ ...good, wal_log_hints: 'off', data_checksums: 'on' })).toEqual([])
})
