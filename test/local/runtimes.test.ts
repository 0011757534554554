/** What a function runs in makes no difference to who calls it: a thread, or a process that is put somewhere else. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { LambdaFunction } from '../../local/deployment.ts'
import { LambdaService } from '../../local/lambda.ts'
import { eventually } from './fixture.ts'

const source = `
export async function handler(event, context) {
  if (event.do === 'fail') throw new TypeError('as it was asked to')
  if (event.do === 'exit') process.exit(7)
  if (event.do === 'hang') console.log('hangs')
  if (event.do === 'hang') await new Promise(() => setTimeout(() => {}, 60_000))
  if (event.do === 'spin') for (;;);
  console.log('said ' + event.do)
  return { pid: process.pid, ours: process.env.OURS, place: process.env.PLACE ?? null, home: process.env.HOME ?? null,
    remains: context.getRemainingTimeInMillis() > 0, name: context.functionName }
}`

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'understudy-runtimes-'))
  writeFileSync(join(directory, 'main.mjs'), source)
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const runtimes: [name: string, enter: readonly string[] | undefined][] = [
  ['a thread', undefined],
  ['a process', ['env', 'PLACE=elsewhere']],
]

describe.each(runtimes)('%s', (_name, enter) => {
  let lambda: LambdaService
  const lines: string[] = []
  beforeEach(() => {
    const fn: LambdaFunction = {
      name: 'echo',
      arn: 'arn:aws:lambda:eu-central-1:000000000000:function:echo',
      taskRoot: directory,
      handler: 'main.handler',
      timeoutSeconds: 2,
      memoryMb: 128,
      environment: { OURS: 'yes' },
      reservedConcurrency: null,
      qualifiers: new Map(),
      asyncRetries: 0,
    }
    const log = (line: string) => void lines.push(line)
    lambda = new LambdaService({ functions: [fn], environment: () => ({}), log, enter: () => enter })
  })
  afterEach(() => lambda.close())

  const invoke = async (what: string) => {
    const { payload, functionError } = await lambda.invoke('echo', { do: what })
    return { ...JSON.parse(payload), functionError }
  }

  test('runs where it was put, with its own variables and nothing of ours', async () => {
    const first = await invoke('speak')
    const place = enter ? 'elsewhere' : null
    expect(first).toMatchObject({ ours: 'yes', place, home: null, remains: true, name: 'echo' })
    expect(first.pid === process.pid).toBe(enter === undefined)
    expect(await invoke('speak')).toEqual(first)
    await eventually(() => lines.includes('echo: said speak'))
  })

  test('its errors are told, and it is used again', async () => {
    const { pid } = await invoke('speak')
    expect(await invoke('fail')).toMatchObject({
      functionError: 'Unhandled',
      errorType: 'TypeError',
      errorMessage: 'as it was asked to',
    })
    expect(await invoke('speak')).toMatchObject({ pid })
  })

  test('H06 what exceeds its time-out, hanging or spinning, is cut off; the next call works', async () => {
    for (const what of ['hang', 'spin'])
      expect(await invoke(what)).toMatchObject({ errorType: 'Sandbox.Timedout' })
    expect(await invoke('speak')).toMatchObject({ ours: 'yes' })
  })

  test('one that ends by itself, or is killed in the middle, fails its call; the next one works', async () => {
    expect(await invoke('exit')).toMatchObject({ errorType: 'Runtime.ExitError' })
    lines.length = 0
    const hanging = invoke('hang')
    await eventually(() => lines.includes('echo: hangs'))
    await lambda.crash('echo')
    expect(await hanging).toMatchObject({ errorType: 'Runtime.ExitError' })
    expect(await invoke('speak')).toMatchObject({ ours: 'yes' })
  })
})

test('a command that is not there is told as a module that can not be loaded', async () => {
  const enter = () => ['/nowhere/enter']
  const fn = { name: 'echo', arn: 'a', taskRoot: directory, handler: 'main.handler', timeoutSeconds: 2 }
  const rest = {
    memoryMb: 128,
    environment: {},
    reservedConcurrency: null,
    qualifiers: new Map(),
    asyncRetries: 0,
  }
  const lambda = new LambdaService({
    functions: [{ ...fn, ...rest }],
    environment: () => ({}),
    log: () => {},
    enter,
  })
  const { payload } = await lambda.invoke('echo', {})
  expect(JSON.parse(payload)).toMatchObject({ errorType: 'Runtime.ImportModuleError' })
  await lambda.close()
})
