/** Virtual time: a sleep costs nothing; whoever sleeps shortest wakes first, and only when nobody else can go on. */
interface Sleeper {
  readonly atMs: number
  readonly order: number
  readonly wake: () => void
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

export class VirtualTime {
  nowMs = 1_000
  private order = 0
  private sleepers: Sleeper[] = []

  after(ms: number, wake: () => void): void {
    const sleeper = { atMs: this.nowMs + Math.max(0, ms), order: this.order++, wake }
    const index = this.sleepers.findLastIndex((each) => each.atMs <= sleeper.atMs)
    this.sleepers.splice(index + 1, 0, sleeper)
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve))
  }

  /** Lets time pass until `promise` has an outcome. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const end = () => {
      over = true
    }
    promise.then(end, end)
    for (;;) {
      await turn()
      if (over) return promise
      const next = this.sleepers.shift()
      if (next === undefined) throw new Error('nobody sleeps, and what is waited for does not come')
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.wake()
    }
  }
}
