/** What `network.test.ts` looks at: this process asks `b` by UDP, and is told what it heard and whether it answered. */
import { execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Network, ownMember } from './network.ts'

const port = 7_000
const answerWithinMs = 300

execFileSync('mount', ['-t', 'tmpfs', 'none', '/run'])
const network = await Network.build(['b', 'c'])

const echo = (address: string) => `
  const socket = require('node:dgram').createSocket('udp4')
  socket.on('message', (bytes, from) => { process.send(String(bytes)); socket.send(bytes, from.port, from.address) })
  socket.bind(${port}, '${address}', () => process.send('ready'))`
const heard: string[] = []
for (const member of ['b', 'c']) {
  const [program = '', ...args] = [...network.enter(member), process.execPath]
  const child = spawn(program, [...args, '-e', echo(network.addressOf(member))], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  child.on('message', (text) => heard.push(String(text)))
}

let count = 0
async function look(member = 'b'): Promise<{ hears: boolean; isAnswered: boolean }> {
  const socket = createSocket('udp4')
  const errors: Error[] = []
  socket.on('error', (error) => errors.push(error))
  const text = String(count++)
  socket.connect(port, network.addressOf(member))
  await once(socket, 'connect')
  socket.send(text)
  const answered = once(socket, 'message').then(() => true)
  const isAnswered = await Promise.race([answered, sleep(answerWithinMs).then(() => false)])
  // What was heard is told by another way, which may be slower than the answer.
  await sleep(50)
  socket.close()
  if (errors.length > 0) throw errors[0]
  return { hears: heard.includes(text), isAnswered }
}

async function during(begin: Promise<void>, end: () => Promise<void>) {
  await begin
  const seen = await look()
  await end()
  return seen
}

const seen = {
  healthy: await look(),
  answersDropped: await during(network.drop('b', ownMember), () => network.undrop('b', ownMember)),
  questionsDropped: await during(network.drop(ownMember, 'b'), () => network.undrop(ownMember, 'b')),
  everythingFromDropped: await during(network.drop('b', null), () => network.undrop('b', null)),
  everythingToDropped: await during(network.drop(null, 'b'), () => network.undrop(null, 'b')),
  linkDown: await during(network.setLink('b', 'down'), async () => undefined),
  others: await look('c'),
}
await network.setLink('b', 'up')
const healed = await look()
const disciplines = () =>
  execFileSync('tc', ['-n', 'router', 'qdisc', 'show', 'dev', 'b'], { encoding: 'utf8' })
await network.delay('b', { delayMs: 60, jitterMs: 0 })
const delayed = { ...(await look()), isSlowed: /netem|tbf/.test(disciplines()) }
await network.undelay('b')
const undelayed = { ...(await look()), isSlowed: /netem|tbf/.test(disciplines()) }
console.log(JSON.stringify({ ...seen, healed, delayed, undelayed }))
process.exit(0)
