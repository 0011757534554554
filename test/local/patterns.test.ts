import { expect, test } from 'vitest'
import { compilePattern } from '../../local/patterns.ts'

const event = {
  source: 'aws.ec2',
  detail: { state: 'stopped', tags: ['a', 'b'], on: true, empty: '', nested: { x: 1 } },
}

test.each([
  [{ source: ['aws.rds', 'aws.ec2'] }, true],
  [{ source: ['aws.rds'] }, false],
  [{ source: ['aws.ec2'], detail: { state: ['running'] } }, false],
  [{ detail: { on: [true] } }, true],
  [{ detail: { on: ['true'] } }, false],
  [{ detail: { tags: ['b'] } }, true],
  [{ detail: { tags: ['c'] } }, false],
  [{ source: [{ prefix: 'aws.' }] }, true],
  [{ source: [{ prefix: 'awx.' }] }, false],
  [{ source: [{ suffix: 'ec2' }] }, true],
  [{ detail: { state: [{ exists: true }] } }, true],
  [{ detail: { missing: [{ exists: true }] } }, false],
  [{ detail: { missing: [{ exists: false }] } }, true],
  [{ detail: { nested: [{ exists: true }] } }, false],
  [{ detail: { state: [{ 'anything-but': ['running'] }] } }, true],
  [{ detail: { state: [{ 'anything-but': 'stopped' }] } }, false],
  [{ detail: { missing: [{ 'anything-but': ['x'] }] } }, false],
  [{ missing: { deeper: ['x'] } }, false],
  [{ $or: [{ source: ['x'] }, { detail: { state: ['stopped'] } }] }, true],
])('%j matches: %s', (pattern, expected) => {
  expect(compilePattern(pattern)(event)).toBe(expected)
})

test('an operator that is not understood is refused at the start, not silently never true', () => {
  expect(() => compilePattern({ source: [{ wildcard: '*' }] })).toThrow('not understood')
})
