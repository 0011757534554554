/** Virtual time: a sleep costs nothing; whoever sleeps shortest wakes first, and only when nobody else can go on. */
interface Sleeper {
  atMs: number
  order: number
  wake: (() => void) | null
  /** Asked when its time has come: milliseconds until it is asked again, or null: it wakes. */
  readonly again: (() => number | null) | null
}

/** Somebody who was to be woken and needs not be any more. */
export interface Alarm {
  cancel(): void
}

/** A heap, least first: by time, and in the order of their coming where that is the same. */
class Sleepers {
  private readonly heap: Sleeper[] = []

  add(sleeper: Sleeper): void {
    const { heap } = this
    let index = heap.length
    heap.push(sleeper)
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = heap[above] as Sleeper
      if (!isBefore(sleeper, parent)) break
      heap[index] = parent
      index = above
    }
    heap[index] = sleeper
  }

  take(): Sleeper | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let index = 0
    for (;;) {
      let below = 2 * index + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Sleeper, heap[below] as Sleeper)) below++
      const child = heap[below] as Sleeper
      if (!isBefore(child, last)) break
      heap[index] = child
      index = below
    }
    heap[index] = last
    return first
  }
}

const isBefore = (a: Sleeper, b: Sleeper) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** So often the process may turn to something else, such as to a message that ends it. */
const turnsBetweenBreaths = 20_000

/** To queue a microtask by: cheaper than `queueMicrotask`, which keeps a resource for each. */
const resolved = Promise.resolve()

export class VirtualTime {
  nowMs = 1_000
  private order = 0
  private readonly sleepers = new Sleepers()

  after(ms: number, wake: () => void): Alarm {
    const atMs = this.nowMs + Math.max(0, ms)
    const sleeper: Sleeper = { atMs, order: this.order++, wake, again: null }
    this.sleepers.add(sleeper)
    return {
      cancel: () => {
        sleeper.wake = null
      },
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve)
    })
  }

  /**
   * Waits until it is so, asking every so many milliseconds, for the first time after so many; rejects with what `isSo`
   * throws. `isSo` changes nothing, since nobody is woken to ask it: it must become true or throw some time.
   */
  until(isSo: () => boolean, everyMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper: Sleeper = {
        atMs: this.nowMs + everyMs,
        order: this.order++,
        wake: resolve,
        again: () => {
          try {
            return isSo() ? null : everyMs
          } catch (error) {
            sleeper.wake = () => reject(error)
            return null
          }
        },
      }
      this.sleepers.add(sleeper)
    })
  }

  /** Lets time pass until `promise` has an outcome. */
  run<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const end = () => {
      over = true
    }
    promise.then(end, end)
    return new Promise((resolve, reject) => {
      let turns = 0
      let breathed = false
      // Node runs a tick only when no promise is left that could go on: so it was when each of these began.
      const turn = () => {
        if (over) return resolve(promise)
        const next = this.next()
        if (next === undefined) {
          // Something outside of this world, such as a file, may still be under way.
          if (breathed) return reject(new Error('nobody sleeps, and what is waited for does not come'))
          breathed = true
          setImmediate(turn)
          return
        }
        breathed = false
        next()
        if (++turns % turnsBetweenBreaths === 0) setImmediate(turn)
        else void resolved.then(soon)
      }
      const soon = () => process.nextTick(turn)
      void resolved.then(soon)
    })
  }

  private next(): (() => void) | undefined {
    for (let sleeper = this.sleepers.take(); sleeper !== undefined; sleeper = this.sleepers.take()) {
      if (sleeper.wake === null) continue
      this.nowMs = Math.max(this.nowMs, sleeper.atMs)
      const againMs = sleeper.again === null ? null : sleeper.again()
      if (againMs === null) return sleeper.wake
      sleeper.atMs = this.nowMs + againMs
      sleeper.order = this.order++
      this.sleepers.add(sleeper)
    }
    return undefined
  }
}
