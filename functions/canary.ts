/** Something known to answer in the observer's own zone: when it does not, the observer doubts itself (S6). */
import { connect } from 'node:net'

/** `host:port` accepts a TCP connection within the time. Never throws. */
export function probeCanary(canary: string, timeoutMs: number): Promise<boolean> {
  const at = canary.lastIndexOf(':')
  return new Promise((resolve) => {
    // IPv6 stands in brackets, which are no part of the address.
    const host = canary.slice(0, at).replace(/^\[(.*)\]$/, '$1')
    const socket = connect({ host, port: Number(canary.slice(at + 1)) })
    const finish = (answered: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answered)
    }
    const timer = setTimeout(() => finish(false), timeoutMs)
    socket.once('connect', () => finish(true))
    socket.once('error', () => finish(false))
  })
}
