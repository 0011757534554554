/**
 * Records with their past: a read may be answered with what was true a while ago, as an eventually consistent API
 * does, and a test sees every state that a record went through. Records are replaced, never changed in place.
 */
export interface Version<T> {
  readonly atMs: number
  /** Null: deleted. */
  readonly value: T | null
}

export class History<T> {
  readonly #versions = new Map<string, Version<T>[]>()

  /** `atMs` 0: it was always so. */
  set(key: string, value: T | null, atMs = Date.now()): void {
    const versions = this.#versions.get(key) ?? []
    versions.push({ atMs, value })
    this.#versions.set(key, versions)
  }

  get(key: string): T | undefined {
    return this.#versions.get(key)?.at(-1)?.value ?? undefined
  }

  /** Every record as of a time; default: the present ones. */
  all(asOfMs = Number.POSITIVE_INFINITY): T[] {
    const found: T[] = []
    for (const versions of this.#versions.values()) {
      const version = versions.findLast(({ atMs }) => atMs <= asOfMs)
      if (version?.value) found.push(version.value)
    }
    return found
  }

  versions(key: string): readonly Version<T>[] {
    return this.#versions.get(key) ?? []
  }
}
