/** Loaded before a function's code: every connection of the process then comes from `LOCAL_SOURCE`. */
import { Socket } from 'node:net'

const localAddress = process.env.LOCAL_SOURCE
if (localAddress === undefined) throw new Error('LOCAL_SOURCE is not set')
const connect = Socket.prototype.connect as (...args: unknown[]) => Socket

Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
  const [first, second, ...rest] = args
  // `net.connect` has normalised what it was given: a list that begins with the options.
  if (Array.isArray(first)) Object.assign(first[0] as object, { localAddress })
  else if (typeof first === 'object') Object.assign(first as object, { localAddress })
  else return connect.call(this, { port: Number(first), host: String(second), localAddress }, ...rest)
  return connect.apply(this, args)
} as Socket['connect']
