/** SNS Publish: messages to people, handed to a callback. */
import { randomUUID } from 'node:crypto'
import { AwsError, unknownOperation } from './front.ts'

export interface Message {
  readonly topicArn: string
  readonly subject: string
  readonly message: string
}

export class SnsService {
  readonly #topics: readonly string[]
  readonly #onMessage: (message: Message) => void

  constructor(topics: readonly string[], onMessage: (message: Message) => void) {
    this.#topics = topics
    this.#onMessage = onMessage
  }

  handle(operation: string, form: URLSearchParams): string {
    if (operation !== 'Publish') throw unknownOperation(operation)
    const topicArn = form.get('TopicArn') ?? form.get('TargetArn') ?? ''
    const subject = form.get('Subject') ?? ''
    if (!this.#topics.includes(topicArn)) throw new AwsError('NotFound', 'Topic does not exist', 404)
    // SNS refuses such subjects; a mail header could not carry them.
    if (subject.length > 100 || /[^\x20-\x7e]/.test(subject))
      throw new AwsError('InvalidParameter', 'Invalid parameter: Subject')
    this.#onMessage({ topicArn, subject, message: form.get('Message') ?? '' })
    return `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>${randomUUID()}</MessageId></PublishResult></PublishResponse>`
  }
}
