/**
 * Numbers that look random and are a function of a seed. Each concern has its own stream, split off by a name: one more
 * number drawn in one place shifts nothing in another.
 */
export class Random {
  private a: number
  private b: number
  private c: number
  private d: number

  private constructor(a: number, b: number, c: number, d: number) {
    this.a = a
    this.b = b
    this.c = c
    this.d = d
    // The first numbers still resemble the seed.
    for (let i = 0; i < 12; i++) this.next()
  }

  static of(seed: number): Random {
    return new Random(mix(seed), mix(seed ^ 0x9e3779b9), mix(Math.floor(seed / 2 ** 32) + 0x85ebca6b), 1)
  }

  /** Another stream, of the same seed and this name. Draws nothing from this one. */
  split(name: string): Random {
    let hash = 0x811c9dc5
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
    return new Random(mix(this.a ^ hash), mix(this.b + hash), mix(this.c ^ Math.imul(hash, 31)), mix(hash))
  }

  /** At least 0, below 1 (sfc32, by Chris Doty-Humphrey). */
  next(): number {
    const sum = (((this.a + this.b) | 0) + this.d) | 0
    this.d = (this.d + 1) | 0
    this.a = this.b ^ (this.b >>> 9)
    this.b = (this.c + (this.c << 3)) | 0
    this.c = (this.c << 21) | (this.c >>> 11)
    this.c = (this.c + sum) | 0
    return (sum >>> 0) / 2 ** 32
  }

  /** A whole number, at least 0 and below `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below)
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(all: readonly T[]): T {
    const picked = all[this.below(all.length)]
    if (picked === undefined) throw new Error('nothing to pick from')
    return picked
  }

  /** As many as that in an order of their own, each at most once. */
  some<T>(all: readonly T[], count: number): T[] {
    const left = [...all]
    const picked: T[] = []
    while (picked.length < count && left.length > 0) picked.push(...left.splice(this.below(left.length), 1))
    return picked
  }
}

/** Spreads what differs in few bits (the finaliser of MurmurHash3, by Austin Appleby). */
function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
