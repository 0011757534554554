/** The XML of the Query protocol: values in, the body of an answer out. */
import { randomUUID } from 'node:crypto'
import { escapeXml } from '../front.ts'

/** A list whose members have a name of their own: `<DBInstances><DBInstance>…`. */
export class XmlList {
  readonly member: string
  readonly items: readonly Xml[]
  constructor(member: string, items: readonly Xml[]) {
    this.member = member
    this.items = items
  }
}

/** Null and undefined leave the element out. */
export type Xml = string | number | boolean | Date | null | undefined | XmlList | XmlFields
export interface XmlFields {
  readonly [name: string]: Xml
}

export function list(member: string, items: readonly Xml[]): XmlList {
  return new XmlList(member, items)
}

export function writeXml(value: Xml): string {
  if (value === null || value === undefined) return ''
  if (value instanceof Date) return value.toISOString()
  if (value instanceof XmlList) return value.items.map((item) => element(value.member, item)).join('')
  if (typeof value === 'object') {
    return Object.entries(value)
      .map(([name, field]) => (field === null || field === undefined ? '' : element(name, field)))
      .join('')
  }
  return escapeXml(String(value))
}

function element(name: string, value: Xml): string {
  return `<${name}>${writeXml(value)}</${name}>`
}

export function answerXml(operation: string, result: XmlFields | null): string {
  const inner = result === null ? '' : element(`${operation}Result`, result)
  const metadata = `<ResponseMetadata><RequestId>${randomUUID()}</RequestId></ResponseMetadata>`
  return `<${operation}Response xmlns="http://rds.amazonaws.com/doc/2014-10-31/">${inner}${metadata}</${operation}Response>`
}
