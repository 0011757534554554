import { expect, test, vi } from 'vitest'
import type { ClusterState, Event, Plan } from '../../functions/core/types.ts'
import { event, report, row, state } from '../aws/samples.ts'
import { controlPlane } from './support.ts'

// Each test starts several processes; a busy machine needs long for that.
vi.setConfig({ testTimeout: 60_000 })

const now = { action: 'wait', row: 'A20', reason: 'a answers 3 of 3 observers: nothing to do' }
const availability = { writes: true, reads: true, staleReads: false, reasons: ['a accepts writes'] }
const zoned = (id: string) => ({ id, address: '10.0.0.1', port: 5432, availabilityZone: 'eu-central-1a' })

function seen(seenClass: 'writable' | 'recovery' | 'silent', positionBytes: number) {
  const answered = { ...row, positionBytes, inRecovery: seenClass === 'recovery' }
  const outcome =
    seenClass === 'silent'
      ? ({ kind: 'timeout', stage: 'connect', afterMs: 400 } as const)
      : ({ kind: 'answered', row: answered } as const)
  return {
    class: seenClass,
    ticks: 1,
    observation: { class: seenClass, outcome, tookMs: 1 },
    sessionEnd: null,
    caughtUpAgeMs: null,
    lastGood: { row: answered, ageMs: 0 },
  }
}

function clusterStatus(present: ClusterState | null, change: Record<string, unknown> = {}) {
  const nodes = { a: seen('writable', 2 ** 32 + 3 * 2 ** 20), b: seen('recovery', 2 ** 32) }
  return {
    cluster: 'orders',
    endpoint: 'orders.db.internal',
    state: present,
    problems: [],
    reports: { x: report({ observer: 'x', nodes }), y: report({ observer: 'y', nodes }), z: null },
    decision: now,
    availability,
    issues: [],
    clockMs: 1_699_999_200_000,
    approval: { term: 2, needed: null, given: null, inForce: false },
    nodes: [zoned('a'), zoned('b')],
    ...change,
  }
}

const widest = (text: string) => Math.max(...text.split('\n').map((line) => line.length))

test('status says first what is possible and why nothing is done, then what that rests on', async () => {
  const plane = await controlPlane(() => ({
    outcome: 'done',
    message: '1 clusters',
    clusters: [clusterStatus(state(3))],
  }))
  const { code, stdout } = await plane.run(['status'])
  expect(code).toBe(0)
  expect(stdout).toMatchInlineSnapshot(`
    "orders  steady, term 1                                        orders.db.internal
      writes: yes   reads: yes   stale reads: no
        a accepts writes
      now: A20, nothing is done: a answers 3 of 3 observers: nothing to do

      node  role     seen as                      position  tl  zone           marks
      a     primary  writable: x,y; no report: z  1/300000  1   eu-central-1a
      b     unknown  recovery: x,y; no report: z  -3.0 MiB  1   eu-central-1a

      synchronous:   provable, ANY 1 of b, c on a
      clock:         2023-11-14 22:00:00Z, the last minute tick
      pause:         none
      approval:      none
      last failover: none
      issues:        none
    "
  `)
  expect(plane.asked[0]?.request).toEqual({ command: 'status' })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no colours are wanted without a terminal
  expect(stdout).not.toMatch(/\x1b/)
})

test('status at 80 columns shows trouble with what to do, whatever the length of its words', async () => {
  const long = 'orders-database-node-in-the-first-availability-zone'
  const nodes = { [long]: seen('silent', 7), b: seen('recovery', 7) }
  const nodeStatus = {
    ...{
      role: 'quarantined' as const,
      term: 7,
      instanceId: 'i-0a',
      fenced: true,
      rejoin: 'copying' as const,
    },
    possibleWriter: { term: 6, timeline: 3, synchronous: state(1).synchronous },
  }
  const troubled = state(9, {
    term: 7,
    phase: 'halted',
    nodes: { [long]: nodeStatus },
    primary: 'b',
    halted: { reason: 'it\u001b[31m went\nwrong '.repeat(20), step: 'promote' },
    pause: { owner: 'anna', reason: 'kernel update '.repeat(9), untilMs: 1_700_000_000_000 },
    lastFailover: { term: 6, atMs: 1_700_000_000_000 },
    synchronous: { ...state(1).synchronous, status: 'unknown', reasons: ['two looks differ '.repeat(9)] },
    plan: {
      ...({ kind: 'failover', reason: 'died '.repeat(40), by: 'assess', from: long, to: null } as Plan),
      ...{
        frozen: {},
        evidence: [{ kind: 'frozenInRecovery', node: long, term: 7 }],
        target: 'b',
        loss: null,
      },
    },
  })
  const issue = (severity: string, key: string) => ({
    ...{ cluster: 'orders', key, severity, message: `message of ${key} `.repeat(9) },
    ...{ todo: `do ${key} `.repeat(20), sinceMs: 1_700_000_000_000 },
  })
  const plane = await controlPlane(() => ({
    outcome: 'done',
    message: '1 clusters',
    clusters: [
      clusterStatus(troubled, {
        reports: {
          x: report({ nodes }),
          y: report({ nodes: { ...nodes, [long]: seen('writable', 7) } }),
        },
        nodes: [zoned(long), zoned('b')],
        issues: [issue('info', 'minor'), issue('critical', 'loud')],
        problems: ['unreadable'.repeat(30)],
      }),
    ],
  }))
  const { stdout, code } = await plane.run(['status', 'orders'])
  expect(code).toBe(0)
  expect(widest(stdout)).toBeLessThanOrEqual(80)
  expect(stdout).not.toContain('\u001b')
  const flat = stdout.replace(/\s+/g, ' ')
  for (const said of ['halted, term 7', 'in step promote: it went wrong', 'anna until 2023-11-14 22:13:20Z'])
    expect(flat).toContain(said)
  for (const said of [
    'term 6, 2023-11-14',
    'two looks differ',
    'to do: do loud',
    'target: b',
    'frozenInRecovery',
  ])
    expect(flat).toContain(said)
  for (const said of ['possible', 'fenced', 'quarantined', 'silent: x', 'writable: y'])
    expect(flat).toContain(said)
  expect(flat.indexOf('message of loud')).toBeLessThan(flat.indexOf('message of minor'))
})

test('status: how long a pause holds, and which approval is needed or in force, by the clock of the fleet', async () => {
  const untilMs = 1_700_000_000_000
  const given = {
    ...{ cluster: 'orders', term: 2, target: 'b', acceptLoss: true, unfenced: ['a'], by: 'kim' },
    ...{ reason: 'agreed', untilMs },
  }
  const paused = state(3, { pause: { owner: 'anna', reason: 'kernel', untilMs } })
  const shown = async (change: Record<string, unknown>) => {
    const clusters = [clusterStatus(paused, change)]
    const plane = await controlPlane(() => ({ outcome: 'done', message: '', clusters }))
    return (await plane.run(['status'])).stdout.replace(/\s+/g, ' ')
  }
  const needed = 'the loss of promoting c'
  const [holds, over, noTick, older] = await Promise.all([
    shown({ clockMs: untilMs - 90_000, approval: { term: 2, needed, given, inForce: true } }),
    shown({ clockMs: untilMs, approval: { term: 2, needed, given, inForce: false } }),
    shown({ clockMs: null, approval: null }),
    shown({ clockMs: undefined, approval: undefined }),
  ])
  expect(holds).toContain('by anna until 2023-11-14 22:13:20Z, 2 minutes more: kernel')
  expect(holds).toContain(
    'term 2: kim accepts the loss of promoting b and the missing fence of a, until 2023-11-14 22:13:20Z (agreed)',
  )
  expect(holds).toContain(
    'needed for term 2: the loss of promoting c (`understudy approve orders --term 2 …`)',
  )
  expect(over).toContain('pause: none; that of anna ended 2023-11-14')
  expect(over).toContain('ended 2023-11-14 22:13:20Z (agreed)')
  expect(noTick).toContain('clock: no minute tick was seen yet')
  for (const text of [noTick, older]) expect(text).toContain('by anna until 2023-11-14 22:13:20Z: kernel')
  expect(older).not.toContain('clock:')
})

test('a cluster that was never adopted, and a fleet of none, are shown too', async () => {
  let clusters: unknown[] = [clusterStatus(null, { reports: {}, problems: ['term: missing'] })]
  const plane = await controlPlane(() => ({ outcome: 'done', message: '', clusters }))
  const absent = await plane.run(['status'])
  expect(absent.stdout).toMatch(/no state[\s\S]*unreadable: term: missing[\s\S]*no report/)
  clusters = []
  expect((await plane.run(['status'])).stdout).toContain('No cluster is configured')
})

test('explain is a log, newest last, and ends with why nothing is done now', async () => {
  const events = [
    event({
      term: 2,
      version: 9,
      kind: 'stood down',
      row: 'C4',
      message: 'it lives '.repeat(20),
      by: 'assess',
    }),
    event(),
  ]
  const answer = { outcome: 'done', message: '2 events', events, now }
  const plane = await controlPlane(() => answer)
  const [plain, facts, json] = await Promise.all([
    plane.run(['explain', 'orders', '--limit', '2']),
    plane.run(['explain', 'orders', '--facts']),
    plane.run(['explain', 'orders', '--json']),
  ])
  expect(plain?.stdout).toMatchInlineSnapshot(`
    "2023-11-14 22:13:20Z  term 1  adopted  by anna
        a quorum sees exactly one writable node
    2023-11-14 22:13:20Z  term 2  stood down C4  by assess
        it lives it lives it lives it lives it lives it lives it lives it lives it
        lives it lives it lives it lives it lives it lives it lives it lives it
        lives it lives it lives it lives
    now: A20, nothing is done: a answers 3 of 3 observers: nothing to do
    "
  `)
  expect(facts?.stdout).toContain('seen = ["a"]')
  expect(json?.stdout).toBe(`${JSON.stringify(answer)}\n`)
  const limits = plane.asked.map(({ request }) => request.limit)
  expect(new Set(limits)).toEqual(new Set([2, undefined]))
})

// ---------------------------------------------------------------------------------------------------------------
// Following what was started by hand

const claimed = (change: Partial<Event> = {}) =>
  event({
    ...{
      term: 2,
      version: 4,
      kind: 'claimed',
      row: 'L9',
      message: 'failover claimed the cluster',
      by: 'anna',
    },
    facts: { execution: 'arn:aws:states:eu-central-1:1:execution:understudy-failover:orders-2' },
    ...change,
  })

/** Each status moves on to the next view; the last one stays. */
async function operation(views: readonly { state: ClusterState; events: readonly Event[] }[]) {
  let at = -1
  return controlPlane(({ command }) => {
    if (command === 'failover')
      return { outcome: 'done', message: 'failover is started as orders-2', execution: 'orders-2', term: 2 }
    if (command === 'status') {
      at = Math.min(at + 1, views.length - 1)
      return { outcome: 'done', message: '', clusters: [clusterStatus(views[at]?.state ?? null)] }
    }
    return { outcome: 'done', message: '', events: views[at]?.events.toReversed(), now }
  })
}

const start = ['failover', 'orders', '--reason', 'dying', '--by', 'anna']
const before = { state: state(3), events: [event({ message: 'older' })] }
const underWay = (change: Partial<ClusterState> = {}) => state(4, { term: 2, phase: 'confirming', ...change })
const repointed = event({ term: 2, version: 8, kind: 'repointed', message: 'the name points to b' })

test('a failover is followed until the name points to its new primary: 0', async () => {
  const plane = await operation([
    before,
    { state: underWay(), events: [...before.events, claimed()] },
    {
      state: state(8, { term: 2, phase: 'settling', primary: 'b' }),
      events: [...before.events, claimed(), repointed],
    },
  ])
  const { code, stdout, stderr } = await plane.run(start)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).not.toContain('older')
  expect(stdout.match(/ claimed L9/g)).toHaveLength(1)
  expect(stdout).toMatch(/orders-2\n[\s\S]*claimed[\s\S]*repointed[\s\S]*done: b is the primary of orders/)
})

test('a resume takes the operation over under a new term, and is followed on (section 6)', async () => {
  const resumed = claimed({ term: 3, version: 7, message: 'resume claimed the cluster as term 3', facts: {} })
  const plane = await operation([
    { state: underWay(), events: [claimed()] },
    { state: state(7, { term: 3, phase: 'confirming' }), events: [claimed(), resumed] },
    {
      state: state(9, { term: 3, phase: 'steady', primary: 'b' }),
      events: [claimed(), resumed, { ...repointed, term: 3, version: 9 }],
    },
  ])
  expect(await plane.run([...start, '--json'])).toMatchObject({
    code: 0,
    stdout: `${JSON.stringify({ outcome: 'done', message: 'failover is started as orders-2', execution: 'orders-2', term: 2 })}\n`,
  })
})

test('what ended without a new primary: stood down 1, taken by another 1, halted 4, superseded 4, too long 4', async () => {
  const stoodDown = event({ term: 2, version: 6, kind: 'stood down', row: 'C4', message: 'it lives' })
  const planes = await Promise.all([
    operation([{ state: state(6, { term: 2 }), events: [claimed(), stoodDown] }]),
    operation([
      { state: underWay(), events: [claimed({ by: 'assess', facts: { execution: 'orders-2-other' } })] },
    ]),
    operation([
      {
        state: underWay({ phase: 'halted', halted: { reason: 'it broke', step: 'fence' } }),
        events: [claimed()],
      },
    ]),
    operation([{ state: state(9, { term: 3 }), events: [claimed()] }]),
    operation([before]),
    operation([{ state: underWay(), events: [claimed()] }]),
  ])
  const ran = await Promise.all(planes.map((plane) => plane.run([...start, '--wait-minutes', '0.01'])))
  expect(ran.map(({ code }) => code)).toEqual([1, 1, 4, 4, 4, 4])
  const said = [
    'stood down: C4: it lives',
    'claimed first by assess',
    'halted: it broke',
    'superseded',
    'orders-2 has not',
    'not finished within 0.01 minutes',
  ]
  for (const [index, text] of said.entries()) expect(ran[index]?.stderr).toContain(text)
})

test('a start that is refused at its claim ends with 1 and the reason, although no version tells of it', async () => {
  const refused = event({
    ...{ term: 1, version: 3, kind: 'refused', row: 'L6', by: 'anna' },
    ...{ message: 'failover (dying) was refused: term 1 is fencing', facts: { execution: 'orders-2' } },
  })
  const other = { ...refused, facts: { execution: 'orders-2-other' }, message: 'of somebody else' }
  const plane = await operation([
    { state: state(3), events: [other] },
    { state: state(3), events: [other] },
    { state: state(3), events: [other, refused] },
  ])
  const { code, stderr } = await plane.run([...start, '--wait-minutes', '0.1'])
  expect(code).toBe(1)
  expect(stderr).toContain('L6: failover (dying) was refused: term 1 is fencing')
  expect(stderr).not.toContain('somebody else')
})

test('a control plane that is away for a moment does not end the wait', async () => {
  let polls = 0
  const plane = await controlPlane(({ command }) => {
    if (command === 'failover') return { outcome: 'done', message: 'started', execution: 'orders-2', term: 2 }
    if (command === 'explain') return { outcome: 'done', message: '', events: [repointed, claimed()], now }
    polls++
    if (polls === 1)
      return { body: '{"errorMessage":"away"}', headers: { 'x-amz-function-error': 'Unhandled' } }
    return {
      ...{ outcome: 'done', message: '' },
      clusters: [clusterStatus(state(8, { term: 2, phase: 'settling', primary: 'b' }))],
    }
  })
  const { code, stderr } = await plane.run(start)
  expect(code).toBe(0)
  expect(stderr).toMatch(/away; trying again/)
})

test('Ctrl-C ends the wait with 4, not the operation, under a handed-over Node too', async () => {
  let ctrlC = () => {}
  const answers = await operation([{ state: underWay(), events: [claimed()] }])
  const shown = new Promise<void>((resolve) => {
    const poll = setInterval(() => {
      // The third poll comes after the first event was shown, so the wait is under way.
      if (answers.asked.filter(({ request }) => request.command === 'status').length < 3) return
      clearInterval(poll)
      resolve()
    }, 10)
  })
  const ran = answers.run(
    start,
    {},
    {
      nodeOptions: ['--no-experimental-strip-types'],
      onStart: (send) => {
        ctrlC = send
      },
    },
  )
  await shown
  ctrlC()
  const { code, stdout, stderr } = await ran
  expect(stderr).toMatch(/interrupted: the operation goes on/)
  expect(stdout).toContain('claimed L9')
  expect(code).toBe(4)
})
