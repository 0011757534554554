/** To people by SNS, and to an EventBridge bus for machines. At least once: a failed half makes both be sent again. */
import { type EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge'
import { PublishCommand, type SNSClient } from '@aws-sdk/client-sns'
import type { Event, Issue } from '../core/types.ts'
import type { Notifier } from '../ports.ts'

/** Both services take 256 KiB; free facts may be longer than a person wants to read. */
const factsMost = { text: 4_000, detail: 100_000 }

interface Message {
  readonly subject: string
  readonly body: string
  readonly detailType: string
  readonly detail: Readonly<Record<string, unknown>>
}

export function createNotifier(options: {
  sns: SNSClient
  eventBridge: EventBridgeClient
  topicArn: string
  busName: string
  deployment: string
}): Notifier {
  const { sns, eventBridge, topicArn, busName, deployment } = options

  async function publish(message: Message): Promise<void> {
    await sns.send(
      new PublishCommand({ TopicArn: topicArn, Subject: subjectOf(message.subject), Message: message.body }),
    )
  }

  async function put(message: Message): Promise<void> {
    const answer = await eventBridge.send(
      new PutEventsCommand({
        Entries: [
          {
            EventBusName: busName,
            Source: 'understudy',
            DetailType: message.detailType,
            Detail: JSON.stringify({ deployment, ...message.detail }),
          },
        ],
      }),
    )
    // PutEvents answers 200 although an entry was not taken.
    if ((answer.FailedEntryCount ?? 0) > 0) {
      const entry = answer.Entries?.find((one) => one.ErrorCode)
      throw new Error(`EventBridge did not take the event: ${entry?.ErrorCode} ${entry?.ErrorMessage ?? ''}`)
    }
  }

  async function send(message: Message): Promise<void> {
    const results = await Promise.allSettled([publish(message), put(message)])
    const reasons = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as unknown] : [],
    )
    if (reasons.length > 0)
      throw new AggregateError(reasons, `not handed over: ${reasons.map(String).join('; ')}`)
  }

  return {
    notify: (cluster, event) => send(eventMessage(deployment, cluster, event)),
    page: (cluster, issue) => send(issueMessage(deployment, cluster, issue)),
  }
}

function eventMessage(deployment: string, cluster: string, event: Event): Message {
  const facts = JSON.stringify(event.facts, null, 2)
  const body = [
    `What happened: ${event.message}`,
    `Why: ${event.row === null ? `a command by ${event.by}` : `row ${event.row} of the decision table`}, term ${event.term}, state version ${event.version}`,
    `By: ${event.by}`,
    `When: ${timeOf(event.atMs)}`,
    `What to do: ${todoOf(event)}`,
    '',
    `Facts: ${facts.length > factsMost.text ? `${facts.slice(0, factsMost.text)} … (cut; the history has all)` : facts}`,
    '',
    `Cluster ${cluster} of deployment ${deployment}. The whole history: understudy explain ${cluster}`,
  ].join('\n')
  const detail = facts.length > factsMost.detail ? { ...event, facts: { cut: true } } : event
  return {
    subject: `[${deployment}] ${cluster}: ${event.kind} (term ${event.term})`,
    body,
    detailType: 'Understudy Event',
    detail: { cluster, ...detail },
  }
}

function todoOf(event: Event): string {
  const todo = event.facts.todo
  if (typeof todo === 'string' && todo !== '') return todo
  return event.kind === 'halted'
    ? 'read the history, put right what stopped it, then run understudy acknowledge'
    : 'nothing, unless an issue says so'
}

function issueMessage(deployment: string, cluster: string, issue: Issue): Message {
  const body = [
    `What happened: ${issue.message}`,
    `Why: issue ${issue.key} (${issue.severity}), open since ${timeOf(issue.sinceMs)}`,
    `What to do: ${issue.todo}`,
    '',
    `Cluster ${cluster} of deployment ${deployment}. Now: understudy status ${cluster}`,
  ].join('\n')
  return {
    subject: `[${deployment}] ${cluster}: ${issue.severity}: ${issue.key}`,
    body,
    detailType: 'Understudy Issue',
    detail: { ...issue, cluster },
  }
}

/** Sending must not fail over a time that was written by hand. */
function timeOf(atMs: number): string {
  const time = new Date(atMs)
  return Number.isNaN(time.getTime()) ? 'unknown' : time.toISOString()
}

/** SNS takes at most 100 printable ASCII characters without line breaks; anything else fails the whole message. */
export function subjectOf(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, '?').slice(0, 100)
}
