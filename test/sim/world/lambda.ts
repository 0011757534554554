/**
 * Functions as Lambda runs them: an invocation of its own each time, ended at its time-out. What troubles may do to one:
 * never start it, start it late or twice, tell its caller of a failure while it runs on, let it run on after its time.
 */
import { Invocation } from '../../steps/model/invocation.ts'
import type { World } from '../../steps/world.ts'
import type { Random } from '../random.ts'
import { TaskError } from './stateMachine.ts'

/** How often, of all invocations; 0: never. */
export interface LambdaTroubles {
  /** Refused for too many at once. */
  throttled: number
  /** Lambda answers with an error of its own, before it started anything. */
  lost: number
  /** A cold start, or a queue. */
  delayed: number
  /** Asynchronous ones alone: delivered twice. */
  duplicated: number
  /** The caller is told of a failure at once, and the function runs. */
  unheard: number
  /** Not ended at its time-out, but up to ten seconds later (H06). */
  zombie: number
}

export const calm: LambdaTroubles = {
  throttled: 0,
  lost: 0,
  delayed: 0,
  duplicated: 0,
  unheard: 0,
  zombie: 0,
}

/** No request of an ended function is under way for longer than this. */
export const afterlifeMs = 9_000

type Body<T> = (me: Invocation) => Promise<T>

export class Lambda {
  troubles: LambdaTroubles = { ...calm }
  private readonly world: World
  private readonly random: Random
  private count = 0

  constructor(world: World, random: Random) {
    this.world = world
    this.random = random
  }

  /**
   * One invocation that somebody waits for. Rejects with the error that the caller is told; the function may run on.
   * `name`: what a history calls it, a number is added.
   */
  async invoke<T>(name: string, limitSeconds: number, body: Body<T>): Promise<T> {
    const { time } = this.world
    const { troubles, random } = this
    if (random.chance(troubles.throttled))
      throw new TaskError('Lambda.TooManyRequestsException', 'Rate exceeded')
    if (random.chance(troubles.lost)) throw new TaskError('Lambda.ServiceException', 'an error of Lambda')
    if (random.chance(troubles.delayed)) await time.sleep(random.between(100, 4_000))
    const limitMs = limitSeconds * 1_000
    const run = this.run(name, limitMs, body)
    if (!random.chance(troubles.unheard)) return run
    run.catch(() => undefined)
    await time.sleep(random.between(1, 3_000))
    throw new TaskError('Lambda.Unknown', 'the connection was closed')
  }

  /** An event that nobody waits for: lost, late or twice, and without another attempt. */
  send<T>(name: string, limitSeconds: number, body: Body<T>): void {
    const times = this.random.chance(this.troubles.duplicated) ? 2 : 1
    for (let i = 0; i < times; i++) this.invoke(name, limitSeconds, body).catch(() => undefined)
  }

  /** An error that a function's body ended with. */
  failed: (name: string, error: unknown) => void = () => undefined

  private run<T>(name: string, limitMs: number, body: Body<T>): Promise<T> {
    const { time } = this.world
    const me = new Invocation(`${name} ${++this.count}`)
    const overMs = this.random.chance(this.troubles.zombie) ? this.random.between(1, afterlifeMs) : 0
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const alarm = time.after(limitMs, () => {
      reject(new TaskError('Sandbox.Timedout', `Task timed out after ${limitMs / 1_000} seconds`))
      if (overMs === 0) me.kill()
      else time.after(overMs, me.kill)
    })
    me.endsAtMs = time.nowMs + limitMs
    me.onDeath = () => reject(new TaskError('Lambda.Unknown', 'the sandbox was lost'))
    body(me).then(
      (value) => {
        alarm.cancel()
        // What is answered after its end reaches nobody.
        if (!me.dead) resolve(value)
      },
      (error) => {
        alarm.cancel()
        this.failed(me.name, error)
        reject(error)
      },
    )
    return promise
  }
}
