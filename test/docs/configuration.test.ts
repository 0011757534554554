/** configuration.md names every field that the schema fills in, no other, with the default that it has. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import rds from '../../docs/examples/rds.config.ts'
import { type FleetInput, parseConfig } from '../../functions/config.ts'

const vpc = { vpcId: 'vpc-1', subnetIds: ['subnet-1'], securityGroupIds: ['sg-1'] }

function minimal(full: boolean): FleetInput {
  return {
    region: 'eu-central-1',
    observers: ['a', 'b', 'c'].map((id) => ({ id, ...(full ? { vpc } : {}) })),
    clusters: [
      {
        id: 'orders',
        nodes: ['a', 'b'].map((id, index) => ({
          id,
          address: `10.0.${index}.1`,
          instanceId: `i-0000000${index}`,
          availabilityZone: 'eu-central-1a',
        })),
        endpoint: { name: 'orders.example.internal', zoneId: 'Z0000000' },
        ...(full
          ? { host: { dataDirectory: '/data', binDirectory: '/bin' } }
          : { policy: { rejoin: 'never' } }),
      },
    ],
  }
}

/** Values by path, parents included; of a list only its first entry: `clusters[].nodes[].port`. */
function paths(value: unknown, at = ''): Map<string, unknown> {
  const found = new Map<string, unknown>(at === '' ? [] : [[at, value]])
  const list = Array.isArray(value)
  const inner: readonly (readonly [string, unknown])[] = list
    ? [[`${at}[]`, value[0]]]
    : Object.entries(value ?? {}).map(([key, each]) => [at === '' ? key : `${at}.${key}`, each])
  for (const [path, each] of inner) {
    if (typeof each === 'object' && each !== null) for (const entry of paths(each, path)) found.set(...entry)
    else if (!list) found.set(path, each)
  }
  return found
}

const text = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
const rows = [...text.matchAll(/^\| `([^`]+)` +\| ([^|]+) \|/gm)].map(([, path = '', value = '']) => ({
  path,
  value: value.trim(),
}))
const bare = paths(parseConfig(minimal(false)))
const managed = paths(parseConfig(rds))
const full = new Map([...paths(parseConfig(minimal(true))), ...managed])

/** Described as a whole. */
const whole = ['operator.vpc', 'clusters[].policy.loss', 'clusters[].connection.password']
const isLeaf = ([path, value]: [string, unknown]) =>
  typeof value !== 'object' || value === null || Array.isArray(value) || whole.includes(path)
const wanted = [...full]
  .filter(isLeaf)
  .map(([path]) => path)
  .filter((path) => !/^(observers|clusters|clusters\[\]\.nodes)$/.test(path))
  .filter((path) => !whole.some((each) => path.startsWith(`${each}.`)))

test('every field is described once', () => {
  const described = rows.map(({ path }) => path)
  expect(wanted.filter((path) => !described.includes(path))).toEqual([])
  expect(described.filter((path, index) => described.indexOf(path) !== index)).toEqual([])
})

test('nothing is described that the schema does not know', () => {
  expect(rows.map(({ path }) => path).filter((path) => !full.has(path))).toEqual([])
})

test('defaults are those of the schema', () => {
  const wrong = rows.filter(({ path, value }) => {
    const shown = /^`(.*)`$/.exec(value)?.[1]
    return (
      shown !== undefined && ![bare, full, managed].some((each) => JSON.stringify(each.get(path)) === shown)
    )
  })
  expect(wrong).toEqual([])
})
