/**
 * Scenarios as text. A block is a title (`# …`), commands, `----`, and the transcript of what the judge answered after
 * each round. Commands:
 *
 *     policy isolated=failover silentLooks=3     changes the policy
 *     zone b=1                                   moves a node to another zone
 *     ended told az1 az2                         how the session of these observers to the primary ended
 *     manual                                     a person ordered it
 *     asked                                      the receivers are made to reconnect before the next round
 *     round [x3] a=refused b=+8 az1:a=primary az3=missing az2=canary-failed canaries
 *
 * A node shows a word of `build.ts`, `+8` (streams from the primary, 8 bytes further), `+8/200` (with that receiver),
 * `delayed` (no stream, delayed replay); not named, it is healthy. Rounds are 500 ms apart.
 */
import { type JudgeInput, judge } from '../../functions/core/confirm.ts'
import type { Look, NodeConfig, Policy, Report } from '../../functions/core/types.ts'
import * as build from './build.ts'

export function runScenarios(text: string): string {
  return `${text.split(/\n\n+/).map(runBlock).join('\n\n').trimEnd()}\n`
}

export function titles(text: string): string[] {
  return text.split('\n').filter((line) => line.startsWith('# '))
}

function runBlock(block: string): string {
  const given = block.split('\n----\n')[0]?.trimEnd() ?? ''
  if (!given.includes('\nround')) return given
  const world = new World()
  const transcript = given.split('\n').flatMap((line) => world.run(line))
  return `${given}\n----\n${transcript.join('\n')}`
}

class World {
  policy: Partial<Policy> = {}
  nodes: NodeConfig[] = [...build.cluster().nodes]
  reports = new Map<string, Report>()
  rounds: Look[][] = []
  manual = false
  streamsAsked = false

  run(line: string): string[] {
    const [command, ...words] = line.split(/\s+/)
    switch (command) {
      case '#':
        return []
      case 'policy':
        this.policy = { ...this.policy, ...Object.fromEntries(words.map(policyWord)) }
        return []
      case 'zone':
        for (const word of words) this.move(word)
        return []
      case 'ended':
        for (const [id, report] of build.ended(
          words[0] === 'told' ? build.told : build.untold,
          words.slice(1),
        )) {
          this.reports.set(id, report)
        }
        return []
      case 'manual':
        this.manual = true
        return []
      case 'asked':
        this.streamsAsked = true
        return []
      case 'round':
        return this.round(words)
      default:
        throw new Error(`unknown command: ${line}`)
    }
  }

  private move(word: string): void {
    const [id, zone] = word.split('=')
    this.nodes = this.nodes.map((node) =>
      node.id === id ? { ...node, availabilityZone: `eu-central-1${zone}` } : node,
    )
  }

  private round(words: string[]): string[] {
    const times = Number(/^x(\d+)$/.exec(words[0] ?? '')?.[1] ?? 1)
    let last: string[] = []
    for (let i = 0; i < times; i++) {
      this.rounds.push(build.observers.flatMap((id) => lookOf(id, words)))
      const verdict = judge(this.input())
      const power = verdict.facts.needsPower ? ' (needs power)' : ''
      last = [`${verdict.row} ${verdict.verdict}${power}: ${verdict.reason}`]
    }
    return last
  }

  private input(): JudgeInput {
    return build.judgeInput({
      cluster: build.cluster({ policy: this.policy, nodes: this.nodes }),
      rounds: this.rounds,
      reports: this.reports,
      manual: this.manual,
      heldMs: 500 * (this.rounds.length - 1),
      streamsAsked: this.streamsAsked,
    })
  }
}

function policyWord(word: string): [string, unknown] {
  const [name, value] = word.split('=')
  return [name ?? '', Number.isNaN(Number(value)) ? value : Number(value)]
}

function lookOf(observer: string, words: readonly string[]): Look[] {
  if (words.includes(`${observer}=missing`)) return []
  const canary = words.includes(`${observer}=canary-failed`)
    ? false
    : words.includes('canaries')
      ? true
      : null
  const nodes: Record<string, build.Shown> = { ...build.healthy }
  for (const own of [false, true]) {
    for (const word of words) {
      const match = /^(?:(az\d):)?([abc])=(\S+)$/.exec(word)
      if (match?.[2] && match[3] && (own ? match[1] === observer : match[1] === undefined)) {
        nodes[match[2]] = shownWord(match[3])
      }
    }
  }
  return [build.look(observer, nodes, canary)]
}

function shownWord(word: string): build.Shown {
  if (word === 'delayed') return build.loneRow(build.base, { applyDelayMs: 3_600_000 })
  const moved = /^\+(\d+)(?:\/(\d+))?$/.exec(word)
  if (!moved) return word as build.Word
  const row = build.standbyRow(build.base + Number(moved[1]))
  const upstream = row.upstream && { ...row.upstream, pid: Number(moved[2] ?? row.upstream.pid) }
  return { ...row, upstream }
}
