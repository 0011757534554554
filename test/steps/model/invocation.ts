/** One run of one function. A dead one gets no answer any more; what it sent may still arrive. */
export class Invocation {
  readonly name: string
  dead = false
  /** When its function's time is up. */
  endsAtMs = Number.POSITIVE_INFINITY
  /** Ids of the claims that it stored. */
  readonly claims = new Set<string>()
  /** The claim that its last consistent read showed. */
  seen: { id: string | null; term: number } | null = null
  private ending: PromiseWithResolvers<never> | null = null

  constructor(name: string) {
    this.name = name
  }

  /** Rejects when it dies. */
  get died(): Promise<never> {
    if (this.ending === null) {
      this.ending = Promise.withResolvers<never>()
      this.ending.promise.catch(() => undefined)
      if (this.dead) this.ending.reject(new InvocationDied(this.name))
    }
    return this.ending.promise
  }

  /** Called once it has died, after whatever its death interrupts. */
  onDeath: (() => void) | null = null

  readonly kill = (): void => {
    if (!this.dead && this.onDeath !== null) void Promise.resolve().then(this.onDeath)
    this.dead = true
    this.ending?.reject(new InvocationDied(this.name))
  }
}

export class InvocationDied extends Error {
  override readonly name = 'Sandbox.Timedout'
}
