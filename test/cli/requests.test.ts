import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { commandSchema } from '../../functions/schemas.ts'
import { awsError, controlPlane, run } from './support.ts'

// Each test starts several processes; a busy machine needs long for that.
vi.setConfig({ testTimeout: 60_000 })

const by = ['--by', 'anna']
const cases: readonly [string[], Record<string, unknown>][] = [
  [
    ['adopt', 'orders', '--take-over', ...by],
    { command: 'adopt', cluster: 'orders', by: 'anna', takeOver: true },
  ],
  [
    ['acknowledge', 'orders', '--reason', 'restored', ...by],
    { command: 'acknowledge', cluster: 'orders', by: 'anna', reason: 'restored' },
  ],
  [
    ['halt', 'orders', '--reason', 'it will not end', ...by],
    { command: 'halt', cluster: 'orders', by: 'anna', reason: 'it will not end' },
  ],
  [
    [...by, 'pause', 'orders', '--reason', 'kernel update', '--minutes', '30'],
    { command: 'pause', cluster: 'orders', owner: 'anna', reason: 'kernel update', minutes: 30 },
  ],
  [
    ['pause', 'orders', '--reason', 'x', '--minutes', '1', '--owner', 'ben'],
    { command: 'pause', cluster: 'orders', owner: 'ben', reason: 'x', minutes: 1 },
  ],
  [['resume', 'orders', ...by], { command: 'resume', cluster: 'orders', by: 'anna' }],
  [
    ['failover', 'orders', '--reason', 'dying', '--no-wait', ...by],
    { command: 'failover', cluster: 'orders', by: 'anna', reason: 'dying' },
  ],
  [
    ['switchover', 'orders', '--reason', 'planned', '--to', 'b', '--no-wait', ...by],
    { command: 'switchover', cluster: 'orders', by: 'anna', reason: 'planned', to: 'b' },
  ],
  [
    ['approve', 'orders', '--term', '8', '--reason', 'agreed', '--minutes', '5', ...by],
    {
      ...{ command: 'approve', cluster: 'orders', by: 'anna', term: 8, reason: 'agreed', minutes: 5 },
      ...{ acceptLoss: false, unfenced: [] },
    },
  ],
  [
    [
      ...['approve', 'orders', '--term', '8', '--reason', 'agreed', '--minutes', '5', ...by],
      ...['--target', 'b', '--accept-loss', '--unfenced', 'a', 'c'],
    ],
    {
      ...{ command: 'approve', cluster: 'orders', by: 'anna', term: 8, reason: 'agreed', minutes: 5 },
      ...{ target: 'b', acceptLoss: true, unfenced: ['a', 'c'] },
    },
  ],
]

test('each command is one request that the command function understands', async () => {
  const plane = await controlPlane(() => ({ outcome: 'done', message: 'as asked', execution: 'x', term: 2 }))
  const ran = await Promise.all(cases.map(([args]) => plane.run(args)))
  expect(ran.map(({ code, stdout, stderr }) => ({ code, stdout, stderr }))).toEqual(
    cases.map(() => ({ code: 0, stdout: 'as asked\n', stderr: '' })),
  )
  const asked = plane.asked.map(({ request }) => request)
  expect(asked).toHaveLength(cases.length)
  for (const [, request] of cases) expect(asked).toContainEqual(request)
  for (const request of asked) expect(commandSchema.safeParse(request).success).toBe(true)
  expect(new Set(plane.asked.map(({ functionName }) => functionName))).toEqual(
    new Set(['understudy-command']),
  )
})

test('the deployment comes from its option, then its variable; who asks is user@host', async () => {
  const plane = await controlPlane(() => ({ outcome: 'refused', reasons: ['no'] }))
  await plane.run(['resume', 'orders', '--deployment', 'second'], { UNDERSTUDY_DEPLOYMENT: 'third' })
  await plane.run(['resume', 'orders'], { UNDERSTUDY_DEPLOYMENT: 'third' })
  expect(plane.asked.map(({ functionName }) => functionName)).toEqual(['second-command', 'third-command'])
  expect(plane.asked[0]?.request.by).toMatch(/^.+@.+$/)
})

test('a refusal ends with 1, every reason on a line of stderr; --json is the very result', async () => {
  const refusal = { outcome: 'refused', reasons: ['L1: the cluster is halted', 'second reason'] }
  const plane = await controlPlane(() => refusal)
  const [plain, json] = await Promise.all([
    plane.run(['failover', 'orders', '--reason', 'x']),
    plane.run(['failover', 'orders', '--reason', 'x', '--json']),
  ])
  expect(plain).toEqual({ code: 1, stdout: '', stderr: 'L1: the cluster is halted\nsecond reason\n' })
  expect(json).toEqual({ ...plain, stdout: `${JSON.stringify(refusal)}\n` })
})

test('what is not understood ends with 2, lists everything that is wrong, and asks nothing', async () => {
  const plane = await controlPlane(() => ({ outcome: 'done', message: 'must not be asked' }))
  const [empty, wrong, swallowed, unknown] = await Promise.all([
    plane.run(['pause']),
    plane.run(['approve', 'Orders!', '--term', 'x', '--minutes', '0', '--region', 'mars', '--bogus']),
    plane.run(['failover', 'orders', 'now', '--reason', '--no-wait', '--wait-minutes', 'long']),
    plane.run(['failoverr', 'orders']),
  ])
  expect([empty, wrong, swallowed, unknown].map((each) => each?.code)).toEqual([2, 2, 2, 2])
  expect(empty?.stderr).toMatch(/<cluster>: missing[\s\S]*--reason: missing[\s\S]*--minutes: missing/)
  for (const said of ['--bogus: unknown', '<cluster>: must be', '--term: expected', '--reason: missing'])
    expect(wrong?.stderr).toContain(said)
  for (const said of ['--minutes: must be at least 1', '--region: "mars"', 'for example: understudy approve'])
    expect(wrong?.stderr).toContain(said)
  for (const said of ['now: not expected', '--reason: needs a value', '--wait-minutes: must be'])
    expect(swallowed?.stderr).toContain(said)
  expect(unknown?.stderr).toContain('failover')
  expect(plane.asked).toEqual([])
})

test('the exit codes are in the help of each command, which ends with 0', async () => {
  const helped = await run(['switchover', '--help'])
  expect(helped.code).toBe(0)
  expect(helped.stdout).toMatch(
    /Exit codes:[\s\S]*\n {2}0[\s\S]*\n {2}1[\s\S]*\n {2}2[\s\S]*\n {2}3[\s\S]*\n {2}4/,
  )
  expect(Math.max(...helped.stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
})

test('a control plane that does not answer ends with 3 and says what to do (S5: it may have happened)', async () => {
  const replies: Record<string, unknown> = {
    absent: awsError(404, 'ResourceNotFoundException', 'Function not found'),
    denied: awsError(403, 'AccessDeniedException', 'not authorized'),
    expired: awsError(403, 'ExpiredTokenException', 'The security token is expired'),
    threw: {
      body: '{"errorType":"Error","errorMessage":"a bug"}',
      headers: { 'x-amz-function-error': 'Unhandled' },
    },
    dropped: 'drop',
    foreign: { hello: 'world' },
  }
  const plane = await controlPlane(({ cluster }) => replies[String(cluster)])
  const resume = (cluster: string) => plane.run(['resume', cluster])
  const [absent, denied, expired, threw, dropped, foreign, refused, anonymous, nowhere] = await Promise.all([
    ...['absent', 'denied', 'expired', 'threw', 'dropped', 'foreign'].map(resume),
    run(['resume', 'orders'], { AWS_ENDPOINT_URL: 'http://127.0.0.1:1' }),
    run(['resume', 'orders'], { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }),
    run(['resume', 'orders'], { AWS_REGION: '' }),
  ])
  const all = [absent, denied, expired, threw, dropped, foreign, refused, anonymous, nowhere]
  expect(all.map((each) => each?.code)).toEqual(all.map(() => 3))
  for (const each of all) expect(each?.stderr).not.toMatch(/\n\s+at /)
  expect(absent?.stderr).toMatch(/understudy-command in Region eu-central-1[\s\S]*deployed in this Region/)
  expect(denied?.stderr).toContain('lambda:InvokeFunction')
  expect(expired?.stderr).toContain('log in again')
  expect(threw?.stderr).toMatch(/a bug[\s\S]*may have been carried out/)
  expect(dropped?.stderr).toContain('may have been carried out')
  expect(foreign?.stderr).toContain('deployed version')
  expect(refused?.stderr).toMatch(/can not be reached[\s\S]*AWS_ENDPOINT_URL/)
  expect(refused?.stderr).not.toContain('may have been carried out')
  expect(anonymous?.stderr).toMatch(/no AWS credentials[\s\S]*--profile/)
  expect(nowhere?.stderr).toContain('--region')
  // Nothing that acts is sent twice.
  expect(plane.asked).toHaveLength(6)
})

test('--local uses the environment that a kept demo wrote, and says so when there is none', async () => {
  const plane = await controlPlane(() => ({ outcome: 'done', message: 'hello' }))
  const directory = mkdtempSync(join(tmpdir(), 'understudy-cli-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  const local = { TMPDIR: directory, AWS_PROFILE: 'work', AWS_REGION: '' }
  const without = await plane.run(['resume', 'orders', '--local'], local)
  expect(without.code).toBe(2)
  expect(without.stderr).toContain('npm run demo -- --keep')
  expect(plane.asked).toEqual([])
  writeFileSync(
    join(directory, 'understudy-local.json'),
    JSON.stringify({
      deployment: 'demo',
      environment: { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' },
    }),
  )
  expect(await plane.run(['resume', 'orders', '--local'], local)).toMatchObject({ code: 0, stderr: '' })
  expect(plane.asked[0]?.functionName).toBe('demo-command')
})

test('a Node that does not strip types hands over to the one that the repository brings, once', async () => {
  const help = await run(['--help'], { NODE_OPTIONS: '--no-experimental-strip-types' })
  expect(help).toMatchObject({ code: 2, stdout: '' })
  expect(help.stderr).toContain('NODE_OPTIONS')
  const handed = await run(['nonsense'], {}, { nodeOptions: ['--no-experimental-strip-types'] })
  expect(handed.code).toBe(2)
  expect(handed.stderr).toContain("unknown command 'nonsense'")
})
