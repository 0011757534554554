/** EC2 and SSM: power, and commands on hosts. */
import {
  DescribeInstancesCommand,
  EC2Client,
  StartInstancesCommand,
  StopInstancesCommand,
} from '@aws-sdk/client-ec2'
import {
  CancelCommandCommand,
  GetCommandInvocationCommand,
  SendCommandCommand,
  SSMClient,
} from '@aws-sdk/client-ssm'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Ec2Service } from '../../local/ec2.ts'
import { type Front, startFront } from '../../local/front.ts'
import { SsmService } from '../../local/ssm.ts'
import { type CountingMachine, clientConfig, countingMachine, eventually } from './fixture.ts'

let front: Front
let ec2: Ec2Service
let ssm: SsmService
let client: EC2Client
let commands: SSMClient
let machines: CountingMachine[]
let states: string[]

beforeEach(async () => {
  machines = [countingMachine('i-1', '127.0.0.11'), countingMachine('i-2', '127.0.0.12')]
  states = []
  const log = () => {}
  ec2 = new Ec2Service({ machines, stopSeconds: 0.3, log })
  ssm = new SsmService({ machines, state: (id) => ec2.state(id), log })
  ec2.onState((id, state) => {
    states.push(`${id} ${state}`)
    ssm.onState(id, state)
  })
  front = await startFront({
    json: { AmazonSSM: (operation, input) => ssm.handle(operation, input) },
    query: { '2016-11-15': (operation, form) => ec2.handle(operation, form) },
    path: {},
  })
  client = new EC2Client(clientConfig(front.url))
  commands = new SSMClient(clientConfig(front.url))
})
afterEach(async () => {
  client.destroy()
  commands.destroy()
  await ec2.close()
  ssm.close()
  await front.close()
})

const stop = (...InstanceIds: string[]) =>
  client.send(new StopInstancesCommand({ InstanceIds, Force: true, SkipOsShutdown: true }))
const boot = (...InstanceIds: string[]) => client.send(new StartInstancesCommand({ InstanceIds }))
const state = async (id: string) => {
  const { Reservations } = await client.send(new DescribeInstancesCommand({ InstanceIds: [id] }))
  return Reservations?.[0]?.Instances?.[0]?.State?.Name
}

describe('EC2', () => {
  test('describes machines, by id and by filter', async () => {
    const Filters = [{ Name: 'private-ip-address', Values: ['127.0.0.12'] }]
    const { Reservations } = await client.send(new DescribeInstancesCommand({ Filters }))
    expect(Reservations?.flatMap(({ Instances }) => Instances)).toMatchObject([
      {
        InstanceId: 'i-2',
        State: { Code: 16, Name: 'running' },
        PrivateIpAddress: '127.0.0.12',
        Placement: { AvailabilityZone: 'eu-central-1a' },
      },
    ])
    await expect(state('i-9')).rejects.toHaveProperty('name', 'InvalidInstanceID.NotFound')
  })

  test('S2: a stop takes its time, cuts the power at the end of it, and only then is `stopped`', async () => {
    const { StoppingInstances } = await stop('i-1')
    expect(StoppingInstances?.[0]).toMatchObject({
      CurrentState: { Name: 'stopping' },
      PreviousState: { Name: 'running' },
    })
    expect(machines[0]?.calls).toEqual([])
    expect(await state('i-1')).toBe('stopping')
    await expect(boot('i-1')).rejects.toMatchObject({ name: 'IncorrectInstanceState' })
    expect((await stop('i-1')).StoppingInstances?.[0]?.CurrentState?.Name).toBe('stopping')
    await eventually(async () => (await state('i-1')) === 'stopped')
    expect(machines.map(({ calls }) => calls)).toEqual([['off'], []])
    expect((await stop('i-1')).StoppingInstances?.[0]?.PreviousState?.Name).toBe('stopped')
    expect(machines[0]?.calls).toEqual(['off'])
  })

  test('a start is pending, then running; starting what runs changes nothing', async () => {
    ec2.stopSeconds = 0
    await stop('i-1')
    await eventually(async () => (await state('i-1')) === 'stopped')
    expect((await boot('i-1')).StartingInstances?.[0]?.CurrentState?.Name).toBe('pending')
    await eventually(async () => (await state('i-1')) === 'running')
    await boot('i-1')
    expect(machines[0]?.calls).toEqual(['off', 'on'])
    expect(states).toEqual(['i-1 stopping', 'i-1 stopped', 'i-1 pending', 'i-1 running'])
  })

  test('a power cut that fails is not `stopped`: no evidence without the fact', async () => {
    ec2.stopSeconds = 0
    const broken = machines[0] as { powerOff: () => Promise<void> }
    broken.powerOff = async () => {
      machines[0]?.calls.push('tried')
      throw new Error('still there')
    }
    await stop('i-1')
    await eventually(() => machines[0]?.calls.includes('tried'))
    expect(await state('i-1')).toBe('stopping')
  })
})

describe('SSM', () => {
  const send = async (script: string, more: object = {}, id = 'i-1') => {
    const { Command } = await commands.send(
      new SendCommandCommand({
        DocumentName: 'AWS-RunShellScript',
        InstanceIds: [id],
        TimeoutSeconds: 60,
        Parameters: { commands: script.split('\n'), ...more },
      }),
    )
    return { CommandId: Command?.CommandId, InstanceId: id }
  }
  const invocation = (command: { CommandId: string | undefined; InstanceId: string }) =>
    commands.send(new GetCommandInvocationCommand(command))
  const ended = (command: Awaited<ReturnType<typeof send>>) =>
    eventually(async () => {
      const found = await invocation(command)
      return !['Pending', 'InProgress'].includes(found.Status ?? '') && found
    })

  test('runs the script with the host’s variables and reports output and exit code', async () => {
    expect(await ended(await send('echo "$WHO"\necho problem >&2\nexit 3'))).toMatchObject({
      Status: 'Failed',
      ResponseCode: 3,
      StandardOutputContent: 'i-1\n',
      StandardErrorContent: 'problem\n',
    })
    const done = await ended(
      await send('pwd; head -c 30000 /dev/zero | tr "\\0" x', { workingDirectory: ['/tmp'] }),
    )
    expect(done.Status).toBe('Success')
    expect(done.StandardOutputContent).toMatch(/^\/tmp\nx+$/)
    expect(done.StandardOutputContent).toHaveLength(24_000)
  })

  test('what the script leaves behind with its pipes open does not hold it up', async () => {
    const command = await send('(sleep 20) & echo left', { executionTimeout: ['15'] })
    expect(await ended(command)).toMatchObject({ Status: 'Success', StandardOutputContent: 'left\n' })
  })

  test('an unknown instance, a foreign document, a foreign command are refused', async () => {
    await expect(send('true', {}, 'i-9')).rejects.toHaveProperty('name', 'InvalidInstanceId')
    const document = new SendCommandCommand({ DocumentName: 'Other', InstanceIds: ['i-1'] })
    await expect(commands.send(document)).rejects.toHaveProperty('name', 'InvalidDocument')
    const nothing = invocation({ CommandId: '00000000-0000-0000-0000-000000000000', InstanceId: 'i-1' })
    await expect(nothing).rejects.toHaveProperty('name', 'InvocationDoesNotExist')
  })

  test('S11: a command for a stopped machine waits, and runs when it starts', async () => {
    ec2.stopSeconds = 0
    await stop('i-1')
    await eventually(async () => (await state('i-1')) === 'stopped')
    const command = await send('echo late')
    expect((await invocation(command)).Status).toBe('Pending')
    await boot('i-1')
    expect(await ended(command)).toMatchObject({ Status: 'Success', StandardOutputContent: 'late\n' })
  })

  test('a command ends with the power of its machine, with its time-out, and when it is cancelled', async () => {
    const cut = await send('echo $$; sleep 30')
    const shell = async () => Number((await invocation(cut)).StandardOutputContent)
    const pid = await eventually(async () => (await shell()) || undefined)
    const late = await send('sleep 30', { executionTimeout: ['1'] }, 'i-2')
    const cancelled = await send('sleep 30', {}, 'i-2')
    await commands.send(new CancelCommandCommand({ CommandId: cancelled.CommandId }))
    await stop('i-1')
    expect((await ended(cut)).Status).toBe('Cancelled')
    // The whole group is gone, the shell's child included.
    await eventually(() => gone(pid))
    expect((await ended(cancelled)).Status).toBe('Cancelled')
    expect(await ended(late)).toMatchObject({ Status: 'TimedOut', StatusDetails: 'Execution Timed Out' })
  })
})

function gone(group: number): boolean {
  try {
    process.kill(-group, 0)
    return false
  } catch {
    return true
  }
}
