/**
 * What is accepted from outside: items of the table (a person can edit them), answers of other functions, input of
 * the workflow, and commands. Each schema gives exactly the core's type; `test/schemas.test.ts` holds both together.
 */
import { z } from 'zod'
import { nodeClasses, nodeRoles, phases, steps } from './core/types.ts'
import { oneOf, problemsOf } from './problems.ts'

export { problemsOf }

const text = z.string()
const filled = z.string().trim().min(1)
const count = z.int().min(0)
const ms = z.number()
/** Readonly as a type only: zod's own `readonly` freezes whatever it gets, and throws on bytes (H23). */
const list = <T extends z.ZodType>(item: T): z.ZodType<readonly z.output<T>[], readonly z.input<T>[]> =>
  z.array(item)
const byKey = <T extends z.ZodType>(item: T) => z.record(z.string(), item)
const facts = byKey(z.unknown())

/** `[a-z0-9-]`, at most 40 characters: it is part of execution names (80 characters at most, `StartExecution`). */
export const clusterIdSchema = z
  .string()
  .regex(/^[a-z0-9-]{1,40}$/, 'must be 1 to 40 of a-z, 0-9 and -, as in understudy.config')

// ---------------------------------------------------------------------------------------------------------------
// What a probe brings back

const downstreamSchema = z.object({
  applicationName: text,
  clientAddress: text.nullable(),
  state: text,
  syncState: text,
  flushedBytes: count.nullable(),
})

const upstreamSchema = z.object({
  pid: z.int(),
  status: text,
  timeline: count,
  host: text,
  port: z.int(),
  latestEndBytes: count.nullable(),
  lastMessageAgeMs: ms.nullable(),
})

export const probeRowSchema = z.object({
  inRecovery: z.boolean(),
  timeline: count,
  systemIdentifier: text,
  positionBytes: count,
  receivedBytes: count.nullable(),
  replayedBytes: count.nullable(),
  replayPaused: z.boolean(),
  applyDelayMs: ms,
  upstream: upstreamSchema.nullable(),
  primaryConninfo: text,
  restoreCommand: text,
  frozenBy: z.object({ deployment: text, term: count }).nullable(),
  downstream: list(downstreamSchema),
  synchronous: z.object({
    names: text,
    commit: text,
    filesAgree: z.boolean().nullable(),
    overrides: list(text),
  }),
  readOnlyDefault: z.boolean(),
  writeProbe: oneOf(['ok', 'blocked', 'skipped']),
  startedAt: text,
  settings: byKey(text),
})

const outcomeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('answered'), row: probeRowSchema }),
  z.object({ kind: z.literal('sqlError'), sqlState: text, message: text }),
  z.object({ kind: z.literal('refused'), message: text }),
  z.object({ kind: z.literal('reset'), message: text }),
  z.object({ kind: z.literal('timeout'), stage: oneOf(['connect', 'startup', 'query']), afterMs: ms }),
  z.object({ kind: z.literal('unreachable'), message: text }),
  z.object({ kind: z.literal('protocol'), message: text }),
  z.object({ kind: z.literal('notProbed'), message: text }),
])

const observationSchema = z.object({ class: oneOf(nodeClasses), outcome: outcomeSchema, tookMs: ms })

export const lookSchema = z.object({
  lookId: text,
  cluster: text,
  observer: text,
  nodes: byKey(observationSchema),
  canary: z.boolean().nullable(),
  endpoint: z.exactOptional(
    z.object({
      name: text,
      addresses: list(text),
      cname: text.nullable(),
      class: oneOf(nodeClasses),
      message: text,
    }),
  ),
})

// ---------------------------------------------------------------------------------------------------------------
// Items of the table

const reportedNodeSchema = z.object({
  class: oneOf(nodeClasses),
  ticks: count,
  observation: observationSchema,
  sessionEnd: z
    .object({ how: oneOf(['told', 'untold']), code: text.nullable(), ticks: count, ageMs: ms })
    .nullable(),
  caughtUpAgeMs: ms.nullable(),
  lastGood: z.object({ row: probeRowSchema, ageMs: ms }).nullable(),
})

export const reportSchema = z.object({
  cluster: text,
  observer: text,
  token: z.int(),
  holder: text,
  sequence: count,
  changed: z.boolean(),
  canary: z.boolean().nullable(),
  nodes: byKey(reportedNodeSchema),
})

export const eventSchema = z.object({
  term: count,
  version: count,
  kind: filled,
  row: text.nullable(),
  message: text,
  by: text,
  facts,
  atMs: ms,
})

const evidenceSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('instanceStopped'), node: text, instanceId: text, term: count }),
  z.object({ kind: z.literal('frozenInRecovery'), node: text, term: count }),
  z.object({
    kind: z.literal('quorum'),
    node: text,
    term: count,
    listed: list(text),
    k: count,
    counted: list(text),
  }),
  z.object({
    kind: z.literal('closedAndRebooted'),
    node: text,
    term: count,
    resourceId: text,
    groupId: text,
  }),
  z.object({ kind: z.literal('elected'), node: text, term: count, writer: text }),
  z.object({ kind: z.literal('approved'), node: text, term: count, by: text, reason: text }),
])

const networkFenceSchema = z.object({
  resourceId: text,
  groupId: text,
  groupsBefore: list(text),
  closed: z.boolean(),
  startedAtBefore: text.nullable(),
  restartBefore: text.nullable(),
  reboot: oneOf(['none', 'requested', 'seen']),
  drainSince: count.nullable().default(null),
  firstEndBytes: count.nullable().default(null),
  drainToBytes: count.nullable(),
  drained: z.boolean(),
  missingBytes: count.nullable().default(null),
})

const frozenNodeSchema = z.object({
  primaryConninfo: text,
  restoreCommand: text,
  timeline: count.nullable(),
  positionBytes: count.nullable(),
  replayable: z.boolean().nullable(),
})

const kinds = ['failover', 'switchover', 'resume', 'settle'] as const

const planSchema = z.object({
  kind: oneOf(kinds),
  reason: text,
  by: text,
  automatic: z.boolean(),
  to: text.nullable(),
  returnTo: oneOf(['steady', 'settling']),
  facts,
  from: text,
  fromTimeline: count,
  looks: z.object({ asked: count, dead: count, silent: count, restart: count }),
  frozen: byKey(frozenNodeSchema),
  writeStop: z.object({ node: text, checkpointBytes: count.nullable() }).nullable(),
  network: byKey(networkFenceSchema).default({}),
  evidence: list(evidenceSchema),
  fenceRequested: list(text),
  target: text.nullable(),
  targetPositionBytes: count.nullable(),
  loss: z
    .object({ provable: oneOf(['none', 'bounded', 'unknown']), boundMs: ms.nullable(), reason: text })
    .nullable(),
  promotedTimeline: count.nullable(),
})

const synchronousSetSchema = z.object({
  status: oneOf(['provable', 'asynchronous', 'unknown']),
  names: text,
  method: oneOf(['ANY', 'FIRST']).nullable(),
  k: count,
  listed: list(text),
  primary: text,
  reasons: list(text),
})

const nodeStatusSchema = z.object({
  role: oneOf(nodeRoles),
  term: count,
  possibleWriter: z.object({ term: count, timeline: count, synchronous: synchronousSetSchema }).nullable(),
  instanceId: text.nullable(),
  fenced: z.boolean(),
  rejoin: oneOf(['none', 'starting', 'copying', 'streaming']),
})

export const stateSchema = z.object({
  cluster: text,
  deployment: text,
  version: z.int().min(1),
  term: count,
  phase: oneOf(phases),
  claim: z
    .object({
      term: count,
      step: oneOf(steps),
      attempt: count,
      id: filled,
      open: z.boolean(),
      holder: text,
    })
    .nullable(),
  beat: count,
  plan: planSchema.nullable(),
  primary: text,
  timeline: count,
  systemIdentifier: text,
  nodes: byKey(nodeStatusSchema),
  synchronous: synchronousSetSchema,
  lastFailover: z.object({ term: count, atMs: ms }).nullable(),
  pause: z.object({ owner: text, reason: text, untilMs: ms }).nullable(),
  halted: z.object({ reason: text, step: text }).nullable(),
  endpointTerm: count.nullable(),
  lastEvent: eventSchema,
  wake: count,
  replaced: list(
    z.object({
      node: text,
      resourceId: text,
      region: text,
      term: count,
      was: oneOf(['primary', 'replica']),
    }),
  ).default([]),
  findings: list(
    z.object({
      key: filled,
      severity: oneOf(['info', 'warning', 'critical']),
      message: text,
      todo: text,
    }),
  ).default([]),
})

export const approvalSchema = z.object({
  cluster: text,
  term: count,
  target: text.nullable(),
  acceptLoss: z.boolean(),
  unfenced: list(text),
  by: filled,
  reason: filled,
  untilMs: ms,
})

export const issueSchema = z.object({
  cluster: text,
  key: filled,
  severity: oneOf(['info', 'warning', 'critical']),
  message: text,
  todo: text,
  sinceMs: ms,
})

export const fleetSchema = z.object({
  version: z.int().min(1),
  clockMs: ms,
  jumpMs: ms.nullable(),
  seen: byKey(z.object({ version: count, beat: count })),
  breaker: z.object({ open: z.boolean(), reason: text }),
})

// ---------------------------------------------------------------------------------------------------------------
// Requests between functions

export const lookRequestSchema = z.object({
  cluster: clusterIdSchema,
  lookId: filled,
  writeProbeOn: text.nullable(),
  endpoint: z.boolean(),
})

const sqlActionSchema = z.discriminatedUnion('do', [
  z.object({ do: z.literal('freeze') }),
  z.object({ do: z.literal('measure') }),
  z.object({ do: z.literal('unfreeze'), primaryConninfo: text, restoreCommand: text }),
  z.object({ do: z.literal('promote'), expectedTimeline: count, synchronousStandbyNames: text }),
  z.object({
    do: z.literal('follow'),
    upstream: z.object({ address: filled, port: z.int() }),
    applicationName: text,
    restoreCommand: text,
  }),
  z.object({ do: z.literal('list'), synchronousStandbyNames: text }),
  z.object({ do: z.literal('reconnect') }),
  z.object({ do: z.literal('endSessions'), keepOutMs: z.exactOptional(ms) }),
])

export const operateRequestSchema = z.object({
  cluster: clusterIdSchema,
  node: filled,
  term: count,
  claimId: filled,
  action: sqlActionSchema,
})

export const sqlResultSchema = z.discriminatedUnion('outcome', [
  z.object({
    outcome: z.literal('done'),
    measurement: z.exactOptional(
      z.object({
        timeline: count,
        positionBytes: count,
        replayable: z.boolean(),
        primaryConninfo: text,
        restoreCommand: text,
      }),
    ),
    timeline: z.exactOptional(count),
    message: text,
  }),
  z.object({ outcome: z.literal('refused'), message: text }),
  z.object({ outcome: z.literal('unknown'), message: text }),
])

// ---------------------------------------------------------------------------------------------------------------
// The workflow's data

export const stepPayloadSchema = z.object({ input: z.unknown(), execution: filled })

/**
 * Input of the workflow and, as its data, of every step: a person's `cluster`, `kind`, `reason`; what assess adds;
 * what the step before added. Anything else is a typing mistake that would silently be ignored, so it is refused,
 * except `error`, which Step Functions puts there (`Catch` with `ResultPath`).
 */
export const workflowInputSchema = z.strictObject({
  cluster: clusterIdSchema,
  kind: oneOf(kinds),
  reason: z.string().trim().min(1, 'is empty; say why, it is kept in the history'),
  by: filled.optional(),
  to: filled.optional(),
  automatic: z.object({ version: count, beat: count, row: text, facts }).optional(),
  term: count.optional(),
  promoted: z.object({ node: filled, timeline: count }).optional(),
  waitedFor: text.optional(),
  waits: count.optional(),
  outcome: oneOf(['done', 'waiting', 'refused']).optional(),
  next: oneOf(['confirm', 'fence', 'promote', 'repoint', 'settle', 'end']).optional(),
  waitSeconds: ms.optional(),
  reasons: list(text).optional(),
  error: z.unknown().optional(),
})
export type WorkflowData = z.infer<typeof workflowInputSchema>

const example = '{"cluster":"orders","kind":"failover","reason":"primary host is being replaced","by":"anna"}'

/** Everything wrong with an input in one message that says what to do; or the input. */
export function readWorkflowInput(
  input: unknown,
): { readonly ok: true; readonly value: WorkflowData } | { readonly ok: false; readonly message: string } {
  const read = workflowInputSchema.safeParse(input)
  if (read.success) return { ok: true, value: read.data }
  const problems = problemsOf(read.error)
  return {
    ok: false,
    message: `This input cannot be carried out: ${problems.join('; ')}. Nothing was done. Start again with an input such as ${example}.`,
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Commands: what an operator can ask of the command function

const cluster = clusterIdSchema
const by = filled
const reason = z.string().trim().min(1, 'is empty; say why, it is kept in the history')
/** A pause or an approval that nobody ends must not outlive a week. */
const minutes = z
  .int()
  .min(1)
  .max(7 * 24 * 60)

export const commandSchema = z.discriminatedUnion('command', [
  z.strictObject({
    command: z.literal('adopt'),
    cluster,
    takeOver: z.boolean().optional(),
    by: by.optional(),
  }),
  z.strictObject({ command: z.literal('acknowledge'), cluster, reason, by }),
  z.strictObject({ command: z.literal('pause'), cluster, owner: filled, reason, minutes }),
  z.strictObject({ command: z.literal('resume'), cluster, by }),
  z.strictObject({
    command: z.literal('failover'),
    cluster,
    reason,
    by,
    to: filled.optional(),
  }),
  z.strictObject({ command: z.literal('switchover'), cluster, reason, by, to: filled.optional() }),
  z.strictObject({
    command: z.literal('approve'),
    cluster,
    term: z.int().min(0),
    target: filled.nullable().optional(),
    acceptLoss: z.boolean(),
    unfenced: list(filled),
    reason,
    by,
    minutes,
  }),
  z.strictObject({ command: z.literal('status'), cluster: cluster.optional() }),
  z.strictObject({ command: z.literal('explain'), cluster, limit: z.int().min(1).max(1000).default(20) }),
  z.strictObject({ command: z.literal('doctor'), cluster }),
  z.strictObject({ command: z.literal('halt'), cluster, reason, by }),
])
export type Command = z.infer<typeof commandSchema>

/** The workflow's own way out: tolerant, since it must work with whatever is left of the data. */
export const workflowHaltSchema = z.object({
  command: z.literal('halt'),
  cluster,
  error: z.unknown().optional(),
  execution: z.string(),
})
export type WorkflowHalt = z.infer<typeof workflowHaltSchema>

/** Only the workflow names its execution. */
export const isWorkflowHalt = (event: unknown): boolean =>
  typeof event === 'object' &&
  event !== null &&
  'command' in event &&
  event.command === 'halt' &&
  'execution' in event
