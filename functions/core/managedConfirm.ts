/**
 * What RDS says of the primary, before the judge is asked (S12): what the provider does by itself is followed for a
 * while, never raced. Whoever can not be asked has no say: then the looks alone decide.
 */
import { isAlive, isDown, isInTransit, majority } from './classify.ts'
import { counted } from './looks.ts'
import { isBusy, isEnding, type ProviderInstance, waitedMs } from './managedView.ts'
import { fill, firstMatch, listRows, type Row } from './table.ts'
import type { Look, ManagedConfig, NodeId, ObserverId } from './types.ts'

export interface ManagedConfirmInput {
  readonly managed: ManagedConfig
  readonly observers: readonly ObserverId[]
  readonly primary: NodeId
  /** Resource id that was recorded while the primary was healthy. */
  readonly resourceId: string | null
  /** False: the Region of the primary does not answer. */
  readonly answers: boolean
  readonly view: ProviderInstance | null
  readonly looks: readonly Look[]
  readonly manual: boolean
  /** Wait states of confirm so far. */
  readonly waits: number
  /** Why no replica could be promoted; null: one could. */
  readonly nobody: string | null
}

export type ManagedConfirmFacts = {
  readonly primary: NodeId
  readonly manual: boolean
  readonly nobody: string | null
  readonly answers: boolean
  readonly resourceId: string | null
  readonly status: string | null
  readonly multiAz: boolean
  readonly busy: boolean
  readonly ending: boolean
  readonly usable: number
  readonly down: number
  readonly quorum: number
  readonly configured: number
  readonly graceLeftMs: number
  readonly graceMs: number
}

type Does = 'judge' | 'follow' | 'page'

export interface ManagedConfirmAnswer {
  readonly does: Does
  readonly row: string
  readonly reason: string
  readonly facts: Readonly<Record<string, unknown>>
}

const rows: readonly Row<ManagedConfirmFacts, Does>[] = [
  {
    id: 'V1',
    when: 'no replica could be promoted, whoever orders it: a fence would end the writes and begin nothing',
    test: (f) => f.nobody !== null,
    does: 'page',
    reason: '{primary} is not fenced, since no replica could be promoted: {nobody}',
  },
  {
    id: 'V2',
    when: 'a person ordered it',
    test: (f) => f.manual,
    does: 'judge',
    reason: 'ordered by hand: what RDS does with {primary} is not waited for',
  },
  {
    id: 'V3',
    when: 'the primary answers a quorum',
    test: (f) => f.usable >= f.quorum,
    does: 'judge',
    reason: '{primary} answers {usable} of {configured} observers: what RDS calls it does not matter',
  },
  {
    id: 'V4',
    when: 'RDS does not answer in the Region of the primary',
    test: (f) => !f.answers,
    does: 'judge',
    reason: 'RDS does not answer in the Region of {primary}: the looks alone decide',
  },
  {
    id: 'V5',
    when: 'there is no instance with the resource id that was recorded while the primary was healthy',
    test: (f) => f.status === null,
    does: 'judge',
    reason: 'RDS has no instance {resourceId}: the looks alone decide about {primary}',
  },
  {
    id: 'V6',
    when: 'somebody stops or deletes the primary',
    test: (f) => f.ending,
    does: 'page',
    reason:
      '{primary} is {status} by the order of somebody: that is no failure; start it again, or order a failover',
  },
  {
    id: 'V7',
    when: 'RDS is doing something with the primary, within the grace',
    test: (f) => f.busy && f.graceLeftMs > 0,
    does: 'follow',
    reason:
      '{primary} does not answer and RDS calls it {status}: followed for {graceLeftMs} ms more of its grace of {graceMs} ms',
  },
  {
    id: 'V8',
    when: 'RDS is doing something with the primary, and the grace is over',
    test: (f) => f.busy,
    does: 'judge',
    reason: '{primary} has been {status} for longer than the grace of {graceMs} ms: the looks decide',
  },
  {
    id: 'V9',
    when: 'the primary is Multi-AZ, which fails over by itself, within the grace',
    test: (f) => f.multiAz && f.down >= f.quorum && f.graceLeftMs > 0,
    does: 'follow',
    reason:
      '{primary} does not answer and is Multi-AZ: RDS fails it over by itself; followed for {graceLeftMs} ms more of the grace of {graceMs} ms',
  },
  {
    id: 'V10',
    when: 'nothing of the above: RDS does nothing with the primary, whatever it calls it',
    test: () => true,
    does: 'judge',
    reason: 'RDS calls {primary} {status} and does nothing with it: the looks decide',
  },
]

/** The table as it decides, for the golden dump, the docs and the CLI. */
export const managedConfirmRows = listRows(rows)

export const followBy = (facts: ManagedConfirmFacts) => firstMatch(rows, facts)

export function followProvider(input: ManagedConfirmInput): ManagedConfirmAnswer {
  const facts = readFacts(input)
  const row = followBy(facts)
  return { does: row.does, row: row.id, reason: fill(row.reason, facts), facts }
}

function readFacts(input: ManagedConfirmInput): ManagedConfirmFacts {
  const { observers, primary, view, managed } = input
  const classes = counted(input.looks, observers).map((look) => look.nodes[primary]?.class ?? 'unknown')
  return {
    primary,
    manual: input.manual,
    nobody: input.nobody,
    answers: input.answers,
    resourceId: input.resourceId,
    status: view?.status ?? null,
    multiAz: view?.multiAz ?? false,
    busy: view !== null && isBusy(view.status),
    ending: view !== null && isEnding(view.status),
    usable: classes.filter((each) => isAlive(each) && !isInTransit(each)).length,
    down: classes.filter(isDown).length,
    quorum: majority(observers.length),
    configured: observers.length,
    graceLeftMs: Math.max(0, managed.providerGraceMs - waitedMs(input.waits)),
    graceMs: managed.providerGraceMs,
  }
}
