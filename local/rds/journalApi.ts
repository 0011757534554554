/** DescribeEvents, and tags. */
import { AwsError, formList } from '../front.ts'
import { nameOfArn, regionOfArn } from './model.ts'
import { tagsXml } from './render.ts'
import { integer, paged, type Request, readTags, required } from './request.ts'
import type { World } from './world.ts'
import { list, type XmlFields } from './xml.ts'

/** The last hour unless told otherwise. The answer has no event ids: only the bus has them. */
export function describeEvents({ world, region, form, asOfMs }: Request): XmlFields {
  const type = form.get('SourceType')
  const source = form.get('SourceIdentifier')
  if (source !== null && type === null) {
    const text = 'Please also specify a SourceType when a SourceIdentifier is specified.'
    throw new AwsError('InvalidParameterCombination', text)
  }
  const now = Math.min(Date.now(), asOfMs)
  const minutes = integer(form, 'Duration') ?? 60
  const end = form.get('EndTime')
  const endMs = end === null ? now : Date.parse(end)
  const start = form.get('StartTime')
  const startMs = start === null ? endMs - minutes * 60_000 : Date.parse(start)
  const categories = formList(form, 'EventCategories.EventCategory')
  const found = world.journal.events
    .map((event, index) => ({ ...event, index }))
    .filter(({ arn, atMs }) => regionOfArn(arn) === region && atMs >= startMs && atMs <= endMs && atMs <= now)
    .filter((event) => type === null || event.sourceType === type)
    .filter(({ arn }) => source === null || nameOfArn(arn) === source.toLowerCase())
    .filter((event) => categories.length === 0 || event.categories.some((one) => categories.includes(one)))
  const page = paged(found, ({ index }) => String(index).padStart(9, '0'), form)
  const items = page.items.map(({ arn, sourceType, message, categories: of, atMs }) => ({
    SourceIdentifier: nameOfArn(arn),
    SourceType: sourceType,
    Message: message,
    EventCategories: list('EventCategory', of),
    Date: new Date(atMs),
    SourceArn: arn,
  }))
  return { Marker: page.marker, Events: list('Event', items) }
}

export function listTags({ world, form }: Request): XmlFields {
  return { TagList: tagsXml(tagsOf(world, required(form, 'ResourceName'))) }
}

export function addTags({ world, form }: Request): null {
  setTags(world, form, (tags) => ({ ...tags, ...readTags(form) }))
  return null
}

export function removeTags({ world, form }: Request): null {
  const keys = formList(form, 'TagKeys.member')
  setTags(world, form, (tags) =>
    Object.fromEntries(Object.entries(tags).filter(([key]) => !keys.includes(key))),
  )
  return null
}

type Tags = Readonly<Record<string, string>>

function setTags(world: World, form: URLSearchParams, change: (tags: Tags) => Tags): void {
  const arn = required(form, 'ResourceName')
  const tags = change(tagsOf(world, arn))
  if (world.instances.get(arn)) world.update(arn, { tags })
  else world.updateCluster(arn, { tags })
}

function tagsOf(world: World, arn: string): Tags {
  const found = world.instances.get(arn) ?? world.clusters.get(arn)
  if (!found) throw new AwsError('DBInstanceNotFound', `The resource ${arn} was not found.`, 404)
  return found.tags
}
