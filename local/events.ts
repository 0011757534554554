/**
 * EventBridge: rules of the template with event patterns and rate schedules, and Lambda targets. Schedules run in
 * real time, first at once; `minuteMs` makes a scheduled minute shorter, for tests and demonstrations: each tick's
 * event still says a minute more than the one before.
 */
import { randomUUID } from 'node:crypto'
import type { Rule, RuleTarget } from './deployment.ts'
import { AwsError, unknownOperation } from './front.ts'
import { compilePattern, type Matcher } from './patterns.ts'
import type { Identity } from './template.ts'

export interface EventsOptions {
  readonly identity: Identity
  readonly rules: readonly Rule[]
  readonly buses: readonly string[]
  /** An asynchronous invocation of a target. */
  readonly invokeLater: (functionArn: string, payload: unknown) => void
  readonly log: (line: string) => void
  readonly minuteMs?: number
  /** Sees every event that is put on a bus. */
  readonly onEvent?: (bus: string, event: BusEvent) => void
}

export interface BusEvent {
  readonly version: '0'
  readonly id: string
  readonly 'detail-type': string
  readonly source: string
  readonly account: string
  readonly time: string
  readonly region: string
  readonly resources: readonly string[]
  readonly detail: unknown
}

export class EventsService {
  readonly #options: EventsOptions
  readonly #matchers: readonly { readonly rule: Rule; readonly matches: Matcher }[]
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(options: EventsOptions) {
    this.#options = options
    this.#matchers = options.rules
      .filter((rule) => rule.enabled && rule.pattern !== null)
      .map((rule) => ({ rule, matches: compilePattern(rule.pattern) }))
    for (const rule of options.rules) if (rule.schedule !== null) rateMinutes(rule.schedule)
  }

  /** Starts the schedules: each ticks at once, then at its rate. */
  startSchedules(): void {
    const startedAtMs = Date.now()
    const minuteMs = this.#options.minuteMs ?? 60_000
    for (const rule of this.#options.rules.filter(({ enabled }) => enabled)) {
      if (rule.schedule === null) continue
      const minutes = rateMinutes(rule.schedule)
      let count = 0
      const tick = () => {
        this.tick(rule.name, startedAtMs + count * minutes * 60_000)
        count += 1
      }
      tick()
      this.#timers.add(setInterval(tick, minutes * minuteMs))
    }
  }

  /** One tick of a schedule; the event carries the full minute, as EventBridge's does. */
  tick(ruleName: string, atMs = Date.now()): void {
    const rule = this.#options.rules.find(({ name }) => name === ruleName)
    if (!rule) throw new Error(`no rule ${ruleName}`)
    const minute = new Date(Math.floor(atMs / 60_000) * 60_000)
    this.#deliver(rule, this.#event('aws.events', 'Scheduled Event', {}, [rule.arn], minute))
  }

  /** Puts an event on a bus, as a service of AWS does on the default one. */
  put(
    source: string,
    detailType: string,
    detail: unknown,
    resources: readonly string[] = [],
    bus = 'default',
  ): string {
    const event = this.#event(source, detailType, detail, resources, new Date())
    this.#options.onEvent?.(bus, event)
    for (const { rule, matches } of this.#matchers) {
      if (rule.bus === bus && matches(event)) this.#deliver(rule, event)
    }
    return event.id
  }

  handle(operation: string, input: Record<string, unknown>): unknown {
    if (operation !== 'PutEvents') throw unknownOperation(operation)
    const entries = (input.Entries ?? []) as Record<string, unknown>[]
    if (entries.length === 0 || entries.length > 10) {
      throw new AwsError('ValidationException', 'Entries must have between 1 and 10 members')
    }
    const results = entries.map((entry) => this.#putEntry(entry))
    return { FailedEntryCount: results.filter((result) => 'ErrorCode' in result).length, Entries: results }
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  #putEntry(
    entry: Record<string, unknown>,
  ): { EventId: string } | { ErrorCode: string; ErrorMessage: string } {
    const bus =
      String(entry.EventBusName ?? 'default')
        .split('/')
        .at(-1) ?? ''
    const { Source: source, DetailType: type, Detail: detail, Resources: resources } = entry
    if (!source || !type || !detail) {
      return { ErrorCode: 'InvalidArgument', ErrorMessage: 'Source, DetailType and Detail are required.' }
    }
    // AWS drops events for a bus that does not exist without an error; that would hide a mistake here.
    if (!this.#options.buses.includes(bus)) {
      return { ErrorCode: 'InvalidArgument', ErrorMessage: `Event bus ${bus} does not exist.` }
    }
    try {
      const parsed: unknown = JSON.parse(String(detail))
      return { EventId: this.put(String(source), String(type), parsed, (resources ?? []) as string[], bus) }
    } catch {
      return { ErrorCode: 'MalformedDetail', ErrorMessage: 'Detail is malformed.' }
    }
  }

  #event(source: string, type: string, detail: unknown, resources: readonly string[], time: Date): BusEvent {
    return {
      version: '0',
      id: randomUUID(),
      'detail-type': type,
      source,
      account: this.#options.identity.accountId,
      time: time.toISOString().replace(/\.\d{3}Z$/, 'Z'),
      region: this.#options.identity.region,
      resources,
      detail,
    }
  }

  #deliver(rule: Rule, event: BusEvent): void {
    for (const target of rule.targets) {
      if (!target.arn.includes(':lambda:')) continue
      try {
        this.#options.invokeLater(target.arn, targetInput(target, event))
      } catch (error) {
        this.#options.log(`events: ${rule.name}: ${(error as Error).message}`)
      }
    }
  }
}

/** Minutes of `rate(…)`; cron expressions are not understood, and throw. */
function rateMinutes(expression: string): number {
  const match = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(expression)
  if (!match) throw new Error(`schedule expression is not understood locally: ${expression}`)
  return Number(match[1]) * { minute: 1, hour: 60, day: 1440 }[match[2] as 'minute' | 'hour' | 'day']
}

function targetInput(target: RuleTarget, event: BusEvent): unknown {
  if (target.input !== undefined) return JSON.parse(target.input)
  if (target.inputPath !== undefined) return atPath(event, target.inputPath)
  if (target.transformer === undefined) return event
  const { InputPathsMap = {}, InputTemplate } = target.transformer
  // <name> stands for a value: quoted by the template where it is to be a string, raw JSON elsewhere.
  const filled = InputTemplate.replaceAll(
    /("?)<([^<>]+)>("?)/g,
    (_all, open: string, name: string, close: string) => {
      const path = InputPathsMap[name]
      const value = path === undefined ? reserved(name, event) : atPath(event, path)
      if (open && close) return JSON.stringify(typeof value === 'string' ? value : JSON.stringify(value))
      return (
        open +
        (typeof value === 'string' && !open && !close ? JSON.stringify(value) : String(json(value))) +
        close
      )
    },
  )
  return JSON.parse(filled)
}

function json(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null')
}

function reserved(name: string, event: BusEvent): unknown {
  if (name === 'aws.events.event.ingestion-time') return event.time
  if (name === 'aws.events.event' || name === 'aws.events.event.json') return event
  return null
}

function atPath(event: unknown, path: string): unknown {
  const steps = path.split('.').slice(1)
  return steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], event)
}
