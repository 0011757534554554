/**
 * zod compiles a schema when it first meets a value of it, so a function that has only ever read a steady cluster pays
 * for the schema of a plan in the midst of a failover. Made-up values that fit show every part of a schema once.
 */
import { z } from 'zod'

/** Parses made-up values until each alternative of each union was met; what comes of it does not matter. */
export function warmSchemas(schemas: readonly z.ZodType[]): void {
  for (const schema of schemas)
    for (let variant = 0; variant < variants; variant++) schema.safeParse(sampleOf(schema, variant))
}

/** No union of ours has more alternatives. */
export const variants = 8

/** A value that fits the schema but for its rules about text; of a union, the alternative number `variant`. */
export function sampleOf(schema: z.core.$ZodType, variant: number): unknown {
  if (schema instanceof z.ZodObject)
    return Object.fromEntries(
      Object.entries(schema.shape).map(([field, each]) => [field, sampleOf(each as z.ZodType, variant)]),
    )
  if (schema instanceof z.ZodArray) return [sampleOf(schema.element, variant)]
  if (schema instanceof z.ZodRecord) return { a: sampleOf(schema.valueType, variant) }
  if (schema instanceof z.ZodUnion)
    return sampleOf(schema.options[variant % schema.options.length] as z.ZodType, variant)
  if (schema instanceof z.ZodLiteral) return [...schema.values][0]
  if (schema instanceof z.ZodEnum) return schema.options[0]
  if (schema instanceof z.ZodNumber) return 1
  if (schema instanceof z.ZodBoolean) return true
  if (schema instanceof z.ZodPipe) return sampleOf(schema.in, variant)
  if (isWrapper(schema)) return sampleOf(schema.def.innerType, variant)
  return 'a'
}

/** Nullable, optional, read-only, with a default: all hold one schema. */
function isWrapper(schema: object): schema is { def: { innerType: z.core.$ZodType } } {
  return 'def' in schema && typeof schema.def === 'object' && schema.def !== null && 'innerType' in schema.def
}
