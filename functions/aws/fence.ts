/** The power fence: EC2 instances, by the ids recorded while the nodes were healthy (S2). */
import {
  DescribeInstancesCommand,
  type EC2Client,
  type Instance,
  StartInstancesCommand,
  StopInstancesCommand,
} from '@aws-sdk/client-ec2'
import type { Fence, InstanceState, InstanceView } from '../ports.ts'
import { BadAnswer, failureOf } from './errors.ts'

const states = ['pending', 'running', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const

export function createFence(options: { client: (region: string) => EC2Client }): Fence {
  async function describe(region: string, ids: readonly string[]): Promise<Instance[]> {
    const found: Instance[] = []
    let NextToken: string | undefined
    do {
      const answer = await options
        .client(region)
        .send(new DescribeInstancesCommand({ InstanceIds: [...ids], ...(NextToken ? { NextToken } : {}) }))
      if (answer.Reservations === undefined)
        throw new BadAnswer(`EC2 answered without instances of ${region}`)
      found.push(...answer.Reservations.flatMap((reservation) => reservation.Instances ?? []))
      NextToken = answer.NextToken
    } while (NextToken)
    return found
  }

  /** EC2 refuses a whole request for one id that it does not know (any more), and names the unknown ones. */
  async function describeKnown(region: string, ids: readonly string[]): Promise<Instance[]> {
    if (ids.length === 0) return []
    try {
      return await describe(region, ids)
    } catch (error) {
      const { code, message } = failureOf(error)
      if (code !== 'InvalidInstanceID.NotFound' && code !== 'InvalidInstanceID.Malformed') throw error
      const named = new Set(message.match(/\bi-[0-9a-z]+/g))
      const rest = ids.filter((id) => !named.has(id))
      // A message that names none of ours tells nothing when several were asked for: ask for each alone.
      if (rest.length < ids.length) return describeKnown(region, rest)
      if (ids.length === 1) return []
      return (await Promise.all(ids.map((id) => describeKnown(region, [id])))).flat()
    }
  }

  async function observe(region: string, instanceIds: readonly string[]): Promise<InstanceView[]> {
    const wanted = [...new Set(instanceIds)]
    const found = await describeKnown(region, wanted)
    return wanted.map((instanceId) => {
      const [instance, ...more] = found.filter(({ InstanceId }) => InstanceId === instanceId)
      if (instance === undefined) return { instanceId, state: 'absent', privateAddress: null }
      const state = stateOf(instance)
      if (more.some((other) => stateOf(other) !== state))
        throw new BadAnswer(`EC2 answered instance ${instanceId} in two states`)
      return { instanceId, state, privateAddress: instance.PrivateIpAddress ?? null }
    })
  }

  /** IncorrectInstanceState: it may be on its way already, which is all that was asked for. */
  async function isAlready(region: string, instanceId: string, wanted: readonly InstanceState[]) {
    try {
      const [view] = await observe(region, [instanceId])
      return view !== undefined && wanted.includes(view.state) ? 'requested' : 'refused'
    } catch {
      return 'unknown'
    }
  }

  async function request(
    act: () => Promise<unknown>,
    region: string,
    instanceId: string,
    wanted: readonly InstanceState[],
  ): Promise<'requested' | 'refused' | 'unknown'> {
    try {
      await act()
      return 'requested'
    } catch (error) {
      const failure = failureOf(error)
      if (failure.code === 'IncorrectInstanceState') return isAlready(region, instanceId, wanted)
      // Throttled: without effect, but to be asked again, as after no answer at all.
      return failure.kind === 'rejected' ? 'refused' : 'unknown'
    }
  }

  return {
    observe,

    stop(region, instanceId) {
      // Force alone still tries an orderly shutdown first; with SkipOsShutdown the power goes at once (StopInstances).
      const command = new StopInstancesCommand({
        InstanceIds: [instanceId],
        Force: true,
        SkipOsShutdown: true,
      })
      return request(() => options.client(region).send(command), region, instanceId, ['stopping', 'stopped'])
    },

    start(region, instanceId) {
      const command = new StartInstancesCommand({ InstanceIds: [instanceId] })
      return request(() => options.client(region).send(command), region, instanceId, ['pending', 'running'])
    },
  }
}

function stateOf(instance: Instance): InstanceState {
  const name = instance.State?.Name
  const known = states.find((state) => state === name)
  // Evidence is a positive fact (S2): a state that we do not know is none, and no other state may be made of it.
  if (known === undefined)
    throw new BadAnswer(`instance ${instance.InstanceId} is in an unknown state: ${name}`)
  return known
}
