/** The commands and their options as data: what a person types, and the request that becomes of it. */

export interface CliOption {
  readonly flags: string
  readonly text: string
}

export interface CliCommand {
  readonly name: string
  readonly cluster: 'required' | 'optional'
  readonly summary: string
  readonly example: string
  readonly options: readonly CliOption[]
  /** Options of the CLI itself are left out; what is missing or wrong is found by the request's schema. */
  readonly request: (options: Readonly<Record<string, unknown>>, by: string) => Record<string, unknown>
}

const reason = { flags: '--reason <text>', text: 'why; it is kept in the history' }
const minutes = { flags: '--minutes <n>', text: 'how long it holds, at most a week' }
const to = { flags: '--to <node>', text: 'the node that is to become the primary; default: the best one' }
const waits = [
  { flags: '--no-wait', text: 'start it, and do not follow it' },
  { flags: '--wait-minutes <n>', text: 'follow it for at most so long (default: 10)' },
]

/** A number if it is one; the schema says what is wrong with anything else. */
export function number(text: unknown): unknown {
  return typeof text === 'string' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

export const cliCommands: readonly CliCommand[] = [
  {
    name: 'status',
    cluster: 'optional',
    summary: 'what is possible now, what is done about it and why, nodes, issues',
    example: 'understudy status orders',
    options: [],
    request: () => ({}),
  },
  {
    name: 'explain',
    cluster: 'required',
    summary: 'what happened and why, newest last, and why nothing happens now',
    example: 'understudy explain orders --limit 50 --facts',
    options: [
      { flags: '--limit <n>', text: 'how many events (default: 20)' },
      { flags: '--facts', text: 'show the facts that each decision rests on' },
    ],
    request: ({ limit }) => ({ limit: number(limit) }),
  },
  {
    name: 'doctor',
    cluster: 'required',
    summary: 'try what a failover needs: quorum, logins, fence, name, table, the right to act',
    example: 'understudy doctor orders',
    options: [],
    request: () => ({}),
  },
  {
    name: 'adopt',
    cluster: 'required',
    summary: 'take a cluster into care: its primary is what a quorum of observers sees',
    example: 'understudy adopt orders',
    options: [{ flags: '--take-over', text: 'take the name from another target or deployment' }],
    request: ({ takeOver }, by) => ({ by, takeOver }),
  },
  {
    name: 'acknowledge',
    cluster: 'required',
    summary: 'go on after a halt, once the recorded primary is seen writable',
    example: 'understudy acknowledge orders --reason "restored the network"',
    options: [reason],
    request: ({ reason: why }, by) => ({ by, reason: why }),
  },
  {
    name: 'halt',
    cluster: 'required',
    summary: 'stop an operation that waits and will not end; nothing is undone',
    example: 'understudy halt orders --reason "only the fenced primary has the data"',
    options: [reason],
    request: ({ reason: why }, by) => ({ by, reason: why }),
  },
  {
    name: 'pause',
    cluster: 'required',
    summary: 'no automatic failover for a while',
    example: 'understudy pause orders --reason "kernel update" --minutes 30',
    options: [
      reason,
      minutes,
      { flags: '--owner <name>', text: 'who is responsible meanwhile; default: --by' },
    ],
    request: ({ reason: why, minutes: n, owner }, by) => ({
      owner: owner ?? by,
      reason: why,
      minutes: number(n),
    }),
  },
  {
    name: 'resume',
    cluster: 'required',
    summary: 'end a pause',
    example: 'understudy resume orders',
    options: [],
    request: (_, by) => ({ by }),
  },
  {
    name: 'failover',
    cluster: 'required',
    summary: 'replace a primary that is dead or to be given up: it is fenced, a standby promoted',
    example: 'understudy failover orders --reason "host is failing"',
    options: [reason, to, ...waits],
    request: ({ reason: why, to: node }, by) => ({ by, reason: why, to: node }),
  },
  {
    name: 'switchover',
    cluster: 'required',
    summary: 'change the primary as planned, without loss',
    example: 'understudy switchover orders --reason "host maintenance" --to orders-b',
    options: [reason, to, ...waits],
    request: ({ reason: why, to: node }, by) => ({ by, reason: why, to: node }),
  },
  {
    name: 'approve',
    cluster: 'required',
    summary: 'allow one term what its policy does not, once: a loss, or a missing fence',
    example:
      'understudy approve orders --term 8 --target orders-b --accept-loss --reason "agreed with the owner" --minutes 30',
    options: [
      { flags: '--term <n>', text: 'the term it is for: the one of the operation that waits' },
      reason,
      minutes,
      { flags: '--target <node>', text: 'only for this target' },
      { flags: '--accept-loss', text: 'the loss that was shown is accepted; needs --target' },
      { flags: '--unfenced <node...>', text: 'nodes whose missing fence is accepted' },
    ],
    request: ({ term, reason: why, minutes: n, target, acceptLoss, unfenced }, by) => ({
      by,
      term: number(term),
      target,
      acceptLoss: acceptLoss ?? false,
      unfenced: unfenced ?? [],
      reason: why,
      minutes: number(n),
    }),
  },
]
