import { expect, test } from 'vitest'
import { z } from 'zod'
import * as schemas from '../functions/schemas.ts'
import { sampleOf, variants } from '../functions/warmSchemas.ts'

const named = Object.entries(schemas).flatMap(([name, each]): [string, z.ZodType][] =>
  each instanceof z.ZodType ? [[name, each]] : [],
)

test.each(named)(
  '%s accepts its made-up values, so that a warm-up reaches every part of it',
  (_name, schema) => {
    for (let variant = 0; variant < variants; variant++) {
      const read = schema.safeParse(sampleOf(schema, variant))
      expect(read.error?.issues ?? []).toEqual([])
    }
  },
)

test('a union shows each of its alternatives', () => {
  const kinds = new Set(
    Array.from({ length: variants }, (_, variant) =>
      JSON.stringify((sampleOf(schemas.sqlResultSchema, variant) as { outcome: string }).outcome),
    ),
  )
  expect([...kinds].sort()).toEqual(['"done"', '"refused"', '"unknown"'])
})
