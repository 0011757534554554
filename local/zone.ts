/**
 * The records of a hosted zone: what Route 53 has stored, and what its servers already answer, which follows when a
 * change is in sync. All names are lower case with a final dot.
 */
export interface RecordSet {
  readonly name: string
  readonly type: string
  readonly ttl: number
  /** As in the API: TXT with its quotes, host names as given. */
  readonly values: readonly string[]
  /** Weighted and other routing: kept and listed, answered as if simple. */
  readonly setIdentifier: string | null
  readonly weight: string | null
}

export class Zone {
  readonly id: string
  readonly name: string
  #stored = new Map<string, RecordSet>()
  #answered = new Map<string, RecordSet>()

  constructor(id: string, name: string) {
    this.id = id
    this.name = absolute(name)
  }

  /** In Route 53's order: by name with its labels reversed, then by type. */
  list(): RecordSet[] {
    return [...this.#stored.values()].sort((left, right) => compare(sortKey(left), sortKey(right)))
  }

  snapshot(): Map<string, RecordSet> {
    return new Map(this.#stored)
  }

  store(next: Map<string, RecordSet>): void {
    this.#stored = next
  }

  /** The servers answer from these records from now on. */
  publish(records: Map<string, RecordSet>): void {
    this.#answered = records
  }

  answers(name: string): RecordSet[] {
    return [...this.#answered.values()].filter((record) => record.name === name)
  }

  contains(name: string): boolean {
    return name === this.name || name.endsWith(`.${this.name}`)
  }
}

export function recordKey(record: Pick<RecordSet, 'name' | 'type' | 'setIdentifier'>): string {
  return `${record.name} ${record.type} ${record.setIdentifier ?? ''}`
}

export function absolute(name: string): string {
  const lower = name.toLowerCase()
  return lower.endsWith('.') ? lower : `${lower}.`
}

export function sortKey(record: Pick<RecordSet, 'name' | 'type'>): string {
  return `${record.name.split('.').reverse().join('.')} ${record.type}`
}

export function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
