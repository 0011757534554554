/** One run of one function. A dead one gets no answer any more; what it sent may still arrive. */
export class Invocation {
  readonly name: string
  readonly died: Promise<never>
  dead = false
  /** When its function's time is up. */
  endsAtMs = Number.POSITIVE_INFINITY
  /** Ids of the claims that it stored. */
  readonly claims = new Set<string>()
  /** The claim that its last consistent read showed. */
  seen: { id: string | null; term: number } | null = null
  kill: () => void = () => undefined

  constructor(name: string) {
    this.name = name
    this.died = new Promise((_, reject) => {
      this.kill = () => {
        this.dead = true
        reject(new InvocationDied(name))
      }
    })
    this.died.catch(() => undefined)
  }
}

export class InvocationDied extends Error {
  override readonly name = 'Sandbox.Timedout'
}
