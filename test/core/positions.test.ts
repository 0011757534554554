import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatLsn, parseLsn } from '../../functions/core/positions.ts'

test.each([
  ['0/0', 0],
  ['0/3000000', 0x3000000],
  ['16/B374D848', 0x16 * 2 ** 32 + 0xb374d848],
  ['1FFFFF/FFFFFFFF', Number.MAX_SAFE_INTEGER],
])('%s', (text, bytes) => {
  expect(parseLsn(text)).toBe(bytes)
  expect(parseLsn(text.toLowerCase())).toBe(bytes)
  expect(formatLsn(bytes)).toBe(text)
})

test.each(['', '0', '/', '0/', '/0', 'x/0', '0/123456789', '0/0 ', ' 0/0', '200000/0', '-1/0'])(
  'refuses %j',
  (text) => {
    expect(() => parseLsn(text)).toThrow()
  },
)

test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('refuses to print %d', (bytes) => {
  expect(() => formatLsn(bytes)).toThrow()
})

test('what is printed is read back, and order is kept', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (bytes) => {
      expect(parseLsn(formatLsn(bytes))).toBe(bytes)
    }),
  )
})
