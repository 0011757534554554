/**
 * SSM Run Command (document AWS-RunShellScript) on the hosts of the local machines. A command for a machine that does
 * not run is kept and carried out when it starts within the command's delivery time-out, as on AWS.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { AwsError, unknownOperation } from './front.ts'
import type { Machine, PowerState } from './machine.ts'

export interface SsmOptions {
  readonly machines: readonly Machine[]
  readonly state: (instanceId: string) => PowerState | null
  readonly log: (line: string) => void
}

type Status = 'Pending' | 'InProgress' | 'Success' | 'Failed' | 'TimedOut' | 'Cancelled'

interface Invocation {
  readonly commandId: string
  readonly machine: Machine
  readonly script: string
  readonly directory: string | undefined
  readonly executionTimeoutMs: number
  readonly requestedAtMs: number
  readonly deliveryTimeoutSeconds: number
  status: Status
  statusDetails: string
  responseCode: number
  stdout: string
  stderr: string
  child: ChildProcess | null
  timer: NodeJS.Timeout | null
}

/** Longest output that GetCommandInvocation gives. */
const stdoutMost = 24_000
const stderrMost = 8_000

export class SsmService {
  readonly #options: SsmOptions
  readonly #invocations: Invocation[] = []

  constructor(options: SsmOptions) {
    this.#options = options
  }

  handle(operation: string, input: Record<string, unknown>): unknown {
    switch (operation) {
      case 'SendCommand':
        return this.#send(input)
      case 'GetCommandInvocation':
        return this.#describe(String(input.CommandId), String(input.InstanceId))
      case 'CancelCommand':
        for (const invocation of this.#invocations) {
          if (invocation.commandId === input.CommandId) this.#end(invocation, 'Cancelled', 'Cancelled')
        }
        return {}
    }
    throw unknownOperation(operation)
  }

  /** To be called with every change of a machine's power. */
  onState(instanceId: string, state: PowerState): void {
    for (const invocation of this.#invocations) {
      if (invocation.machine.instanceId !== instanceId) continue
      if (state === 'running' && invocation.status === 'Pending') this.#run(invocation)
      // On AWS it would stay InProgress until its execution time-out; here nothing can come of it any more.
      if (state === 'stopped' && invocation.status === 'InProgress')
        this.#end(invocation, 'Cancelled', 'Cancelled')
    }
  }

  close(): void {
    for (const invocation of this.#invocations) this.#end(invocation, 'Cancelled', 'Cancelled')
  }

  #send(input: Record<string, unknown>): unknown {
    if (input.DocumentName !== 'AWS-RunShellScript') {
      throw new AwsError('InvalidDocument', `Document with name ${input.DocumentName} does not exist.`)
    }
    const ids = (input.InstanceIds ?? []) as string[]
    const machines = ids.map((id) => this.#options.machines.find(({ instanceId }) => instanceId === id))
    if (ids.length === 0 || machines.includes(undefined)) {
      throw new AwsError('InvalidInstanceId', `Instances [[${ids}]] not in a valid state for account local`)
    }
    const commandId = randomUUID()
    const parameters = (input.Parameters ?? {}) as Record<string, string[]>
    const deliveryTimeoutSeconds = Number(input.TimeoutSeconds ?? 3600)
    if (deliveryTimeoutSeconds < 30) {
      throw new AwsError('ValidationException', 'timeoutSeconds must have value greater than or equal to 30')
    }
    for (const machine of machines) {
      if (!machine) continue
      const invocation: Invocation = {
        commandId,
        machine,
        script: (parameters.commands ?? []).join('\n'),
        directory: parameters.workingDirectory?.[0] || undefined,
        executionTimeoutMs: Number(parameters.executionTimeout?.[0] ?? 3600) * 1000,
        requestedAtMs: Date.now(),
        deliveryTimeoutSeconds,
        status: 'Pending',
        statusDetails: 'Pending',
        responseCode: -1,
        stdout: '',
        stderr: '',
        child: null,
        timer: null,
      }
      this.#invocations.push(invocation)
      const late = () => this.#end(invocation, 'TimedOut', 'Undeliverable')
      invocation.timer = setTimeout(late, deliveryTimeoutSeconds * 1000)
      const state = this.#options.state(machine.instanceId)
      if (state === 'running' || state === 'stopping') this.#run(invocation)
    }
    const requested = Date.now() / 1000
    return {
      Command: {
        CommandId: commandId,
        DocumentName: input.DocumentName,
        InstanceIds: ids,
        Status: 'Pending',
        StatusDetails: 'Pending',
        RequestedDateTime: requested,
        TimeoutSeconds: deliveryTimeoutSeconds,
      },
    }
  }

  #run(invocation: Invocation): void {
    const { machine, script } = invocation
    if (invocation.timer) clearTimeout(invocation.timer)
    invocation.status = 'InProgress'
    invocation.statusDetails = 'InProgress'
    const [program = '', ...args] = [...(machine.enter ?? []), '/bin/sh', '-c', script]
    const child = spawn(program, args, {
      cwd: invocation.directory ?? machine.cwd ?? '/',
      env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', ...machine.shellEnvironment },
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its own process group, so that the whole script can be ended.
      detached: true,
      ...(typeof machine.uid === 'number' ? { uid: machine.uid } : {}),
      ...(typeof machine.gid === 'number' ? { gid: machine.gid } : {}),
    })
    invocation.child = child
    invocation.timer = setTimeout(
      () => this.#end(invocation, 'TimedOut', 'Execution Timed Out'),
      invocation.executionTimeoutMs,
    )
    child.stdout.on('data', (bytes: Buffer) => {
      invocation.stdout = (invocation.stdout + bytes).slice(0, stdoutMost)
    })
    child.stderr.on('data', (bytes: Buffer) => {
      invocation.stderr = (invocation.stderr + bytes).slice(0, stderrMost)
    })
    const closed = new Promise<void>((resolve) => child.on('close', () => resolve()))
    child.on('error', (error) => {
      invocation.stderr = error.message
      this.#finish(invocation, 126)
    })
    child.on('exit', async (code) => {
      // A server that the script started may keep the pipes open for ever.
      const patience = new Promise<void>((resolve) => setTimeout(resolve, 100).unref())
      await Promise.race([closed, patience])
      child.stdout.destroy()
      child.stderr.destroy()
      this.#finish(invocation, code ?? 137)
    })
  }

  #finish(invocation: Invocation, code: number): void {
    if (invocation.timer) clearTimeout(invocation.timer)
    if (invocation.status !== 'InProgress') return
    invocation.responseCode = code
    invocation.status = code === 0 ? 'Success' : 'Failed'
    invocation.statusDetails = invocation.status
    this.#options.log(
      `ssm: ${invocation.machine.instanceId}: ${invocation.status} (${code}) ${invocation.stderr}`.trim(),
    )
  }

  /** Ends the script with everything in its process group; what it put into a session of its own goes on. */
  #end(invocation: Invocation, status: Status, details: string): void {
    if (invocation.timer) clearTimeout(invocation.timer)
    if (invocation.status !== 'Pending' && invocation.status !== 'InProgress') return
    invocation.status = status
    invocation.statusDetails = details
    const pid = invocation.child?.pid
    if (pid === undefined || invocation.child?.exitCode !== null) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // It has just ended.
    }
  }

  #describe(commandId: string, instanceId: string): unknown {
    const invocation = this.#invocations.find(
      (item) => item.commandId === commandId && item.machine.instanceId === instanceId,
    )
    if (!invocation) throw new AwsError('InvocationDoesNotExist', 'no such command on this instance')
    return {
      CommandId: commandId,
      InstanceId: instanceId,
      DocumentName: 'AWS-RunShellScript',
      Status: invocation.status,
      StatusDetails: invocation.statusDetails,
      ResponseCode: invocation.responseCode,
      StandardOutputContent: invocation.stdout,
      StandardErrorContent: invocation.stderr,
    }
  }
}
