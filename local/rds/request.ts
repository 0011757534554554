/** Reading a call: parameters of the form, filters, pages. */
import { AwsError, formList } from '../front.ts'
import type { World } from './world.ts'

export interface Request {
  readonly world: World
  readonly region: string
  readonly form: URLSearchParams
  /** Reads see what was true at this time. */
  readonly asOfMs: number
}

export function required(form: URLSearchParams, name: string): string {
  const value = form.get(name)
  if (!value) throw new AwsError('MissingParameter', `The request must contain the parameter ${name}`)
  return value
}

export function flag(form: URLSearchParams, name: string): boolean | undefined {
  const value = form.get(name)
  return value === null ? undefined : value === 'true'
}

export function integer(form: URLSearchParams, name: string): number | undefined {
  const value = form.get(name)
  return value === null ? undefined : Number(value)
}

export function groupIds(form: URLSearchParams): string[] {
  return formList(form, 'VpcSecurityGroupIds.VpcSecurityGroupId')
}

export function readTags(form: URLSearchParams): Record<string, string> {
  const tags: Record<string, string> = {}
  for (let index = 1; form.has(`Tags.Tag.${index}.Key`); index++)
    tags[form.get(`Tags.Tag.${index}.Key`) ?? ''] = form.get(`Tags.Tag.${index}.Value`) ?? ''
  return tags
}

/** All filters must match; a filter matches one of its values. Unknown ones are refused, as RDS does. */
export function filtered<T>(
  items: readonly T[],
  form: URLSearchParams,
  fields: Readonly<Record<string, (item: T) => readonly string[]>>,
): T[] {
  let left = [...items]
  for (let index = 1; form.has(`Filters.Filter.${index}.Name`); index++) {
    const name = form.get(`Filters.Filter.${index}.Name`) ?? ''
    const values = formList(form, `Filters.Filter.${index}.Values.Value`)
    const field = fields[name]
    if (!field) throw new AwsError('InvalidParameterValue', `Unrecognized filter name: ${name}`)
    left = left.filter((item) => field(item).some((value) => values.includes(value)))
  }
  return left
}

export interface Page<T> {
  readonly items: readonly T[]
  readonly marker: string | null
}

/** A marker is opaque; it names the last item that was given, so that it stays good while others come and go. */
export function paged<T>(items: readonly T[], key: (item: T) => string, form: URLSearchParams): Page<T> {
  const most = integer(form, 'MaxRecords') ?? 100
  if (!(most >= 20 && most <= 100)) {
    throw new AwsError(
      'InvalidParameterValue',
      `Invalid value ${most} for MaxRecords. Must be between 20 and 100`,
    )
  }
  const marker = form.get('Marker')
  const after = marker === null ? '' : Buffer.from(marker, 'base64url').toString()
  if (marker !== null && !after.startsWith('after:'))
    throw new AwsError('InvalidParameterValue', `Marker is invalid: ${marker}`)
  const sorted = [...items].sort((left, right) => (key(left) < key(right) ? -1 : 1))
  const rest = sorted.filter((item) => `after:${key(item)}` > after)
  const last = rest[most - 1]
  return {
    items: rest.slice(0, most),
    marker:
      rest.length > most && last !== undefined
        ? Buffer.from(`after:${key(last)}`).toString('base64url')
        : null,
  }
}
