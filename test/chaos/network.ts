/**
 * The network of a run: a router, and around it one network namespace for each member, all in private namespaces that
 * end with the run. Faults are made in the router, where no member notices them but by what does not arrive.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** This process is in this member's namespace. */
export const ownMember = 'aws'

/** In whole numbers; either what the kernel's netem does, or without it what a slow line does. */
export interface Delay {
  readonly delayMs: number
  readonly jitterMs: number
}

/** Of a slow line that stands in for netem: packets wait behind each other, so that the delay grows with the load. */
const slowLine = ['tbf', 'rate', '1mbit', 'burst', '2kb', 'latency', '600ms']

const router = 'router'
const routerAddress = '10.77.0.1'

export class Network {
  /** Of all members. */
  readonly cidr = '10.77.0.0/16'
  /** Whether delays are constant (netem), or those of a slow line. */
  readonly hasNetem: boolean
  readonly #members: readonly string[]

  private constructor(members: readonly string[], hasNetem: boolean) {
    this.#members = members
    this.hasNetem = hasNetem
  }

  /** `/run` must be a file system of this world's own. */
  static async build(members: readonly string[]): Promise<Network> {
    await ip(['link', 'set', 'lo', 'up'])
    await ip(['netns', 'add', router])
    const network = new Network([ownMember, ...members], await knowsNetem())
    await run(network.enter(router), ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
    // Whoever can not be reached is silent: no error message comes from the way there.
    await ip(['-n', router, 'route', 'add', 'blackhole', 'default'])
    for (const member of network.#members) await network.#join(member)
    return network
  }

  addressOf(member: string): string {
    const index = this.#members.indexOf(member)
    if (index < 0) throw new Error(`no member ${member}`)
    return `10.77.1.${index + 1}`
  }

  /** The command in front of another that runs it in a member's namespace; empty in this process's own. */
  enter(member: string): readonly string[] {
    return member === ownMember ? [] : ['nsenter', `--net=/run/netns/${member}`, '--']
  }

  /** The cable is pulled. */
  async setLink(member: string, state: 'up' | 'down'): Promise<void> {
    await ip(['-n', router, 'link', 'set', 'dev', member, state])
  }

  /** What `from` sends to `to` vanishes; what comes back does not. Null: whoever it is. */
  async drop(from: string | null, to: string | null): Promise<void> {
    await ip(['-n', router, 'rule', 'add', ...this.#between(from, to), 'blackhole', 'priority', '100'])
  }

  async undrop(from: string | null, to: string | null): Promise<void> {
    await ip(['-n', router, 'rule', 'del', ...this.#between(from, to), 'blackhole', 'priority', '100'])
  }

  /** In both directions. */
  async delay(member: string, { delayMs, jitterMs }: Delay): Promise<void> {
    const how = this.hasNetem ? ['netem', 'delay', `${delayMs}ms`, `${jitterMs}ms`] : slowLine
    await Promise.all(
      this.#cable(member).map((end) =>
        execute('tc', [...end.in, 'qdisc', 'replace', 'dev', end.dev, 'root', ...how]),
      ),
    )
  }

  async undelay(member: string): Promise<void> {
    await Promise.all(
      this.#cable(member).map((end) => execute('tc', [...end.in, 'qdisc', 'del', 'dev', end.dev, 'root'])),
    )
  }

  /** Both ends of a member's cable, for `tc`. */
  #cable(member: string): { in: string[]; dev: string }[] {
    return [
      { in: ['-n', router], dev: member },
      { in: member === ownMember ? [] : ['-n', member], dev: 'eth0' },
    ]
  }

  #between(from: string | null, to: string | null): string[] {
    const address = (member: string | null) => (member === null ? 'all' : this.addressOf(member))
    return ['from', address(from), 'to', address(to)]
  }

  async #join(member: string): Promise<void> {
    const inside = member === ownMember ? [] : ['-n', member]
    const address = this.addressOf(member)
    const home = member === ownMember ? String(process.pid) : member
    if (member !== ownMember) await ip(['netns', 'add', member])
    const veth = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', home]
    await ip(['-n', router, 'link', 'add', 'name', member, ...veth])
    // The addresses of a device stay when it goes down, other routes over it do not.
    await ip(['-n', router, 'addr', 'add', routerAddress, 'peer', address, 'dev', member])
    await ip(['-n', router, 'link', 'set', 'dev', member, 'up'])
    await ip([...inside, 'addr', 'add', address, 'peer', routerAddress, 'dev', 'eth0'])
    for (const device of ['lo', 'eth0']) await ip([...inside, 'link', 'set', 'dev', device, 'up'])
    await ip([...inside, 'route', 'add', 'default', 'via', routerAddress])
  }
}

async function knowsNetem(): Promise<boolean> {
  const on = ['-n', router, 'qdisc']
  const device = ['dev', 'lo', 'root']
  return await execute('tc', [...on, 'add', ...device, 'netem', 'delay', '1ms']).then(
    async () => {
      await execute('tc', [...on, 'del', ...device])
      return true
    },
    () => false,
  )
}

async function ip(args: readonly string[]): Promise<void> {
  await run([], ['ip', ...args])
}

async function run(enter: readonly string[], command: readonly string[]): Promise<void> {
  const [program = '', ...args] = [...enter, ...command]
  await execute(program, args)
}
