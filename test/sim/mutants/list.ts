/**
 * Every rule of safety and every guard that answers a hazard, removed or weakened one at a time. A mutant that nothing
 * catches is a guard that nobody would miss, or a check that is not one. docs/mutants.md says how to add one.
 */
import type { Mutant } from './mutant.ts'

export const mutants: readonly Mutant[] = [
  // S1: one writer, one target
  {
    id: 'write-over-a-newer-version',
    removes: 'a write that lost its condition is made again on top of whatever was written meanwhile',
    answers: ['S1', 'S3', 'H01', 'H06'],
    edits: [
      {
        file: 'functions/operation.ts',
        find: 'if (!again || !isBeside(this.current, newer)) {',
        replace: 'if (!again) {',
      },
    ],
    caughtBy: { story: 'takeovers', seed: 43, property: 'acts in order' },
  },
  {
    id: 'target-is-no-possible-writer',
    removes: 'the write of the target does not make it a possible writer',
    answers: ['S1', 'H01'],
    edits: [
      {
        file: 'functions/promote.ts',
        find: "[target]: { role: 'target', term: state.term, possibleWriter }",
        replace: "[target]: { role: 'target', term: state.term }",
      },
    ],
    caughtBy: { story: 'targets', seed: 1, property: 'one target' },
  },
  {
    id: 'another-target-in-the-same-term',
    removes: 'the row that answers with the recorded target',
    answers: ['S1', 'H01'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'test: (f) => f.recorded !== null,',
        replace: 'test: () => false,',
      },
    ],
    caughtBy: {
      test: 'test/core/rank.test.ts',
      name: 'S1 the target of a term is never another one',
      why: 'promote asks the table only while no target is recorded: the row stands behind that',
    },
  },
  {
    id: 'evidence-not-read-again',
    removes: 'promote trusts the evidence that fence recorded and does not read it again',
    answers: ['S1', 'S2', 'H02'],
    edits: [
      {
        file: 'functions/promote.ts',
        find: 'else if (!(await holds(operation, evidence, quorum)))',
        replace: 'else if (evidence.term < 0)',
      },
    ],
    caughtBy: { story: 'fences', seed: 1, property: 'nothing lost' },
  },

  // S2: evidence is a positive fact
  {
    id: 'stopping-counts-as-stopped',
    removes: 'an instance that is still stopping counts as stopped',
    answers: ['S2', 'H02'],
    edits: [
      {
        file: 'functions/acts/evidence.ts',
        find: "if (view?.state === 'stopped')",
        replace: "if (view?.state === 'stopped' || view?.state === 'stopping')",
      },
    ],
    caughtBy: { story: 'fences', seed: 3, property: 'true evidence' },
  },
  {
    id: 'stopped-although-it-answers',
    removes: 'a stopped instance is evidence although its node still answers: the mapping is wrong',
    answers: ['S2', 'H02'],
    edits: [{ file: 'functions/acts/evidence.ts', find: 'return !answers', replace: 'return true' }],
    caughtBy: { story: 'fences', seed: 9, property: 'true evidence' },
  },
  {
    id: 'no-evidence-needed',
    removes: 'fence goes on to promote although a possible writer has no evidence',
    answers: ['S1', 'S2', 'H02'],
    edits: [
      {
        file: 'functions/fence.ts',
        find: "if (unfenced.length > 0) return waiting(input, 'fence', ",
        replace: "if (unfenced.length < 0) return waiting(input, 'fence', ",
      },
      {
        file: 'functions/promote.ts',
        find: 'if (evidence === undefined) missing.push(',
        replace: 'if (evidence === undefined) void (',
      },
    ],
    caughtBy: { story: 'fences', seed: 1, property: 'acts in order' },
  },
  {
    id: 'evidence-of-an-older-term',
    removes: 'evidence of an older term counts in a later one',
    answers: ['S2', 'H01', 'protocol: a quorum fact reused in a later term'],
    edits: [
      {
        file: 'functions/core/state.ts',
        find: 'evidence.node === node && evidence.term === term',
        replace: 'evidence.node === node',
      },
      {
        file: 'functions/acts/resuming.ts',
        find: 'if (plan.target !== null) return { ...plan, network, evidence: [], looks }',
        replace: 'if (plan.target !== null) return { ...plan, network, looks }',
      },
      {
        file: 'functions/acts/resuming.ts',
        find: 'return { ...plan, frozen, network, evidence: [], looks }',
        replace: 'return { ...plan, frozen, network, looks }',
      },
    ],
    caughtBy: { story: 'targets', seed: 8, property: 'acts in order' },
  },
  {
    id: 'quorum-of-one-frozen-standby',
    removes: 'one frozen standby is a quorum fence, however many the list has',
    answers: ['S2', 'H03'],
    edits: [
      {
        file: 'functions/core/synchronous.ts',
        find: 'if (counted.length < quorumNeeded(set)) return null',
        replace: 'if (counted.length < 1) return null',
      },
    ],
    caughtBy: { story: 'quorum', seed: 1, property: 'nothing lost' },
  },
  {
    id: 'quorum-by-a-list-that-proves-nothing',
    removes: 'a quorum fence by a list that is not provable, or of another writer',
    answers: ['S2', 'S9', 'H04'],
    edits: [
      {
        file: 'functions/core/synchronous.ts',
        find: "if (set.status !== 'provable' || set.primary !== writer) return null",
        replace: '',
      },
    ],
    caughtBy: { story: 'lists', seed: 15, property: 'one writer' },
  },
  {
    id: 'power-fence-behind-the-quorum-forgotten',
    removes: 'nobody asks for the power fence of a writer that only a quorum holds',
    answers: ['S2', 'S11'],
    edits: [
      {
        file: 'functions/promote.ts',
        find: 'if (instanceId) await operation.ports.fence.stop(nodeOf(operation, node).region, instanceId)',
        replace: '',
      },
      {
        file: 'functions/core/settle.ts',
        find: 'test: (f) => needsFence(f) && !f.frozenForTerm && f.recorded,',
        replace: 'test: () => false,',
      },
    ],
    caughtBy: { story: 'oldPrimary', seed: 1, property: 'acts in order' },
  },

  // S3: clocks
  {
    id: 'clock-jump-believed-at-once',
    removes: 'one event of the scheduler with a wrong time moves the clock, and ends a pause',
    answers: ['S3', 'H20'],
    edits: [
      {
        file: 'functions/core/fleet.ts',
        find: 'const accepted = !jumps || agreed',
        replace: 'const accepted = true || agreed || jumps',
      },
    ],
    caughtBy: {
      test: 'test/core/fleet.test.ts',
      name: 'S3 H20 one event with a wrong time moves no clock',
      why: 'the checkers know the time of the scheduler by what is recorded of it',
    },
  },
  {
    id: 'pause-ends-by-the-clock-of-a-host',
    removes: 'a pause ends by the clock of the function that asks',
    answers: ['S3', 'S14', 'H20'],
    edits: [
      {
        file: 'functions/assess.ts',
        find: 'clockMs: fleet?.clockMs ?? 0,\n    breakerOpen',
        replace: 'clockMs: world.ports.clock.wallMs(),\n    breakerOpen',
      },
      {
        file: 'functions/confirm.ts',
        find: "clockMs: fleet.kind === 'found' ? fleet.value.clockMs : null,",
        replace: 'clockMs: ports.clock.wallMs(),',
      },
    ],
    caughtBy: { story: 'people', seed: 1, property: 'people first' },
  },

  // S4: the claim is read at every side effect
  {
    id: 'act-without-a-look-at-the-claim',
    removes: 'an act outside the database is not preceded by a read of the claim',
    answers: ['S4', 'H01', 'H06'],
    edits: [
      {
        file: 'functions/operation.ts',
        find: 'await this.write(change, intent, { open: true })\n    await this.assertMine()',
        replace: 'await this.write(change, intent, { open: true })',
      },
    ],
    caughtBy: { story: 'zombies', seed: 1, property: 'claim at each act' },
  },
  {
    id: 'session-without-a-look-at-the-claim',
    removes: "operate acts on a node although the claim is somebody else's by now",
    answers: ['S4', 'H05', 'H06'],
    edits: [
      {
        file: 'functions/operate.ts',
        find: 'if (superseded !== undefined) throw new Superseded(superseded)',
        replace: 'superseded = undefined',
      },
    ],
    caughtBy: { story: 'zombies', seed: 17, property: 'claim at each act' },
  },
  {
    id: 'open-claim-not-waited-out',
    removes: 'the term is raised over an open claim whose acts may still arrive',
    answers: ['S4', 'H06', 'H12'],
    edits: [
      {
        file: 'functions/core/claim.ts',
        find: 'test: (f) => f.openClaim !== null,',
        replace: 'test: () => false,',
      },
    ],
    caughtBy: { story: 'openClaims', seed: 1, property: 'claim at each act' },
  },
  {
    id: 'settle-over-an-open-claim',
    removes: 'a pass of settle goes on while another one is acting',
    answers: ['S4', 'H06'],
    edits: [
      {
        file: 'functions/settle.ts',
        find: 'if (other?.open && other.holder !== context.execution && other.id !== input.waitedFor) {',
        replace: 'if (other?.id === "") {',
      },
    ],
    caughtBy: {
      test: 'test/steps/guards.test.ts',
      name: 'S4 a pass of settle over an open claim of another one waits, too',
      why: 'what two passes do at once is done twice, or comes late, and is mended by the next one: time is lost',
    },
  },
  {
    id: 'claim-id-of-the-execution',
    removes: 'all attempts of an execution share one claim id',
    answers: ['S4', 'H06'],
    edits: [
      {
        file: 'functions/operation.ts',
        find: 'this.claimId = options.ports.newId()',
        replace: 'this.claimId = options.holder',
      },
    ],
    caughtBy: { story: 'zombies', seed: 1, property: 'claims anew' },
  },
  {
    id: 'step-of-an-older-term',
    removes: 'a step goes on although its term is over',
    answers: ['S4', 'H01', 'H12'],
    edits: [
      {
        file: 'functions/step.ts',
        find: 'if (input.term === state.term && state.phase === phase) return',
        replace: 'if (state.phase === phase) return',
      },
    ],
    caughtBy: {
      test: 'test/steps/guards.test.ts',
      name: 'S4 of an older term is refused, although the cluster is',
      why: 'it goes on in the newer term, whose claim it takes: each of its acts is then one of that term',
    },
  },
  {
    id: 'older-sessions-live-on',
    removes: 'the first act of a term leaves the other sessions of the operator role alone',
    answers: ['S4', 'H05', 'H06', 'protocol: the order of sessions is the guard'],
    edits: [
      {
        file: 'functions/engines/postgres/operator.ts',
        find: 'await operator.#endOtherSessions()',
        replace: '',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'H06 a late statement of an older term is dead',
      why: 'the sessions of the simulation are a model of those of PostgreSQL',
    },
  },
  {
    id: 'claim-read-before-the-connection',
    removes: 'the claim is read before the session is open',
    answers: ['S4', 'protocol: connect, then read the claim, then act'],
    edits: [
      {
        file: 'functions/engines/postgres/operator.ts',
        find: 'const left = deadline(options.clock, options.timeoutMs)\n    const link',
        replace:
          'const left = deadline(options.clock, options.timeoutMs)\n    await options.guard().catch((e) => { throw new Refusal(String(e)) })\n    const link',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'reads the claim after the connection is made',
      why: 'the sessions of the simulation are a model of those of PostgreSQL',
    },
  },
  {
    id: 'promotion-compares-nothing',
    removes: 'the promoting statement promotes whatever node it finds',
    answers: ['S4', 'H05', 'protocol: one statement that compares'],
    edits: [
      {
        file: 'functions/engines/postgres/promote.ts',
        find: 'if (view.conninfo !== prefix && ',
        replace: "if (view.conninfo === '' && ",
      },
      {
        file: 'functions/engines/postgres/promote.ts',
        find: "and (current_setting('primary_conninfo') = $1 or starts_with(current_setting('primary_conninfo'), $1 || ' '))",
        replace: 'and ($1::text is not null)',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'H05 is refused: not frozen, wrong term, wrong timeline',
      why: 'the statement is SQL, which the simulation models',
    },
  },
  {
    id: 'own-write-taken-for-another',
    removes: 'a refused condition whose item is my own counts as lost',
    answers: ['S4', 'S5', 'H06'],
    edits: [
      {
        file: 'functions/aws/store.ts',
        find: "if (same) return { kind: 'written', attempts }",
        replace: "if (same && attempts < 0) return { kind: 'written', attempts }",
      },
    ],
    caughtBy: {
      test: 'test/aws/store.test.ts',
      name: 'H06.3 the claim took effect, its answer was lost',
      why: 'the simulation has a table of its own with the same answers',
    },
  },

  // S5: a time-out means unknown
  {
    id: 'target-recorded-and-judged-anew',
    removes: 'a resume with a recorded target begins anew with the old primary',
    answers: ['S5', 'H01'],
    edits: [
      {
        file: 'functions/confirm.ts',
        find: "if (input.kind === 'resume' && plan.target !== null)",
        replace: "if (input.kind === 'resume' && plan.target === '')",
      },
    ],
    caughtBy: { story: 'switchovers', seed: 14, property: 'acts in order' },
  },
  {
    id: 'freeze-left-behind',
    removes: 'standing down leaves the standbys frozen',
    answers: ['S5', 'H07'],
    edits: [
      {
        file: 'functions/acts/compensate.ts',
        find: 'const frozen = await liftFreeze(operation)',
        replace: 'const frozen: string[] = []',
      },
    ],
    caughtBy: { story: 'switchovers', seed: 4, property: 'undone' },
  },
  {
    id: 'write-stop-left-behind',
    removes: 'standing down leaves the writes of a switchover stopped',
    answers: ['S5', 'H07', 'protocol: the write-stop is recorded, so that whoever takes over can lift it'],
    edits: [
      {
        file: 'functions/acts/compensate.ts',
        find: 'const stopped = await liftWriteStop(operation)',
        replace: 'const stopped: string[] = []',
      },
    ],
    caughtBy: { story: 'switchovers', seed: 5, property: 'promise kept' },
  },
  {
    id: 'write-stop-not-recorded-before',
    removes: 'the write-stop is recorded only after it was applied',
    answers: ['S5', 'H07'],
    edits: [
      {
        file: 'functions/acts/switchover.ts',
        find: 'writeStop: { node: operation.state.primary, checkpointBytes: null },',
        replace: 'writeStop: null,',
      },
    ],
    caughtBy: { story: 'switchovers', seed: 1, property: 'acts in order' },
  },
  {
    id: 'spared-behind-our-own-fence',
    removes: 'a primary whose power fence is requested is spared when it answers once more',
    answers: ['S5'],
    edits: [
      {
        file: 'functions/acts/judging.ts',
        find: 'if (plan.fenceRequested.length > 0) return goFence(operation, input, looks, said, verdict)',
        replace: '',
      },
    ],
    caughtBy: {
      test: 'test/steps/resume.test.ts',
      name: 'S5 S6 a primary that answers again behind our own power fence is not spared by the resume',
      why: 'its instance stops all the same, and the next operation finds it dead: time is lost',
    },
  },

  // S6: doubt yourself first
  {
    id: 'confirm-believes-the-reports',
    removes: 'confirm takes the word of assess for a death',
    answers: ['S6', 'H10'],
    edits: [
      {
        file: 'functions/acts/judging.ts',
        find: "if (verdict.verdict === 'dead') return goFence",
        replace: "if (verdict.verdict === 'dead' || plan.automatic) return goFence",
      },
    ],
    caughtBy: { story: 'life', seed: 3, property: 'living primary' },
  },
  {
    id: 'quorum-of-those-who-answer',
    removes: 'a majority of the observers that answer is a quorum',
    answers: ['S6', 'H24', 'H02'],
    edits: [
      {
        file: 'functions/core/judgeFacts.ts',
        find: 'const quorum = majority(observers.length)\n  const rounds',
        replace: 'const quorum = majority(input.rounds.at(-1)?.length ?? 0)\n  const rounds',
      },
      {
        file: 'functions/core/judgeFacts.ts',
        find: 'const quorum = majority(input.observers.length)\n  let',
        replace: 'const quorum = majority(input.rounds.at(-1)?.length ?? 0)\n  let',
      },
    ],
    caughtBy: { story: 'life', seed: 3, property: 'living primary' },
  },
  {
    id: 'look-with-a-failed-canary-counts',
    removes: 'a look of an observer whose own canary failed counts',
    answers: ['S6'],
    edits: [
      {
        file: 'functions/core/judgeFacts.ts',
        find: 'look.cluster === cluster.id && observers.includes(look.observer) && look.canary !== false',
        replace: 'look.cluster === cluster.id && observers.includes(look.observer)',
      },
      {
        file: 'functions/core/sight.ts',
        find: 'const counted = found.filter(([, report]) => report.canary !== false)',
        replace: 'const counted = found',
      },
    ],
    caughtBy: {
      test: 'test/core/confirm.test.ts',
      name: 'S6 a look whose canary failed counts for nothing',
      why: 'who is cut off from his canary as well sees no standby either, which makes the observers the suspect first',
    },
  },
  {
    id: 'all-dead-is-believed',
    removes: 'when primary and all replicas look dead, the observers are not suspected',
    answers: ['S6', 'H19'],
    edits: [
      {
        file: 'functions/core/confirm.ts',
        find: 'downByQuorum(f) && f.allReplicasDown && !(f.canaries >= f.quorum && f.sharedDomain !== null)',
        replace: 'downByQuorum(f) && f.configured === 0',
      },
      {
        file: 'functions/core/decisions.ts',
        find: 'isDownByQuorum(f) && f.allReplicasDown && !(f.canaries >= f.quorum && f.sharedDomain !== null)',
        replace: 'isDownByQuorum(f) && f.configured === 0',
      },
    ],
    caughtBy: { story: 'life', seed: 17, property: 'living primary' },
  },
  {
    id: 'isolated-primary-fenced-by-quorum',
    removes: 'a primary that a minority still reaches is failed over behind a quorum alone',
    answers: ['S6'],
    edits: [
      {
        file: 'functions/acts/judging.ts',
        find: 'const facts = verdict.facts.needsPower === true ? { ...plan.facts, needsPower: true } : plan.facts',
        replace: 'const facts = plan.facts',
      },
    ],
    caughtBy: { story: 'life', seed: 34, property: 'isolated behind power' },
  },
  {
    id: 'isolated-primary-failed-over',
    removes: 'a primary that answers a minority is dead, whatever the policy says',
    answers: ['S6'],
    edits: [
      {
        file: 'functions/core/confirm.ts',
        find: 'const isIsolated = (f: JudgeFacts) => f.aliveFor.length > 0 && f.alive < f.quorum && downByQuorum(f)',
        replace: 'const isIsolated = (_: JudgeFacts) => false',
      },
      {
        file: 'functions/core/judgeFacts.ts',
        find: 'if (isDownByQuorum && (!anybody || patient)) silent += 1',
        replace: 'if (isDownByQuorum) silent += 1',
      },
      {
        file: 'functions/core/decisions.ts',
        find: 'const isIsolated = (f: Facts) => isDownByQuorum(f) && f.aliveFor.length > 0',
        replace: 'const isIsolated = (_: Facts) => false',
      },
    ],
    caughtBy: { story: 'life', seed: 15, property: 'isolated behind power' },
  },
  {
    id: 'no-breaker-for-the-fleet',
    removes: 'any number of clusters fails over at once',
    answers: ['S6', 'H19'],
    edits: [
      {
        file: 'functions/core/decisions.ts',
        find: 'test: (f) => isDownByQuorum(f) && f.failoversUnderWay >= fleetFailoversMost,',
        replace: 'test: () => false,',
      },
    ],
    caughtBy: {
      test: 'test/core/assess.test.ts',
      name: 'H19 S6 the breaker, failovers under way, deaths across domains',
      why: 'a history of the simulation has one cluster',
    },
  },

  // S7: some answers prove life
  {
    id: 'an-error-is-no-answer',
    removes: 'too many connections, or a refused login, counts as broken',
    answers: ['S7'],
    edits: [
      {
        file: 'functions/core/classify.ts',
        find: "if (sqlState.startsWith('53')) return 'busy'",
        replace: "if (sqlState.startsWith('53')) return 'broken'",
      },
      {
        file: 'functions/core/classify.ts',
        find: "return /^[0-9A-Z]{5}$/.test(sqlState) ? 'denied' : 'broken'",
        replace: "return 'broken'",
      },
    ],
    caughtBy: { story: 'life', seed: 14, property: 'living primary' },
  },
  {
    id: 'starting-up-is-refused',
    removes: 'a server that says that it is starting up counts as refused',
    answers: ['S7', 'H15'],
    edits: [
      {
        file: 'functions/core/classify.ts',
        find: "return /shutting down/i.test(message) ? 'stopping' : 'starting'",
        replace: "return /shutting down/i.test(message) ? 'stopping' : 'refused'",
      },
    ],
    caughtBy: { story: 'life', seed: 5, property: 'living primary' },
  },
  {
    id: 'a-stream-that-moves-proves-nothing',
    removes: 'a primary whose standbys receive from it is dead when no observer has an answer',
    answers: ['S7', 'H14'],
    edits: [
      {
        file: 'functions/core/judgeFacts.ts',
        find: 'return { streamsAlive: alive, streamsSaid: said }',
        replace: 'return { streamsAlive: alive.slice(alive.length), streamsSaid: said.slice(said.length) }',
      },
    ],
    caughtBy: { story: 'life', seed: 11, property: 'living primary' },
  },
  {
    id: 'idle-streams-are-not-asked',
    removes: 'receivers are not made to reconnect, so that a frozen primary seems to stream for a minute',
    answers: ['S7', 'H14'],
    edits: [
      {
        file: 'functions/acts/judging.ts',
        find: 'await askStreams(operation, looks)',
        replace: '',
      },
    ],
    caughtBy: { story: 'life', seed: 1, property: 'promise kept' },
  },
  {
    id: 'blocked-writes-are-a-death',
    removes: 'a primary whose commits wait for its standbys counts as broken',
    answers: ['S7', 'H30', 'protocol: blocked means the class writes blocked, not dead'],
    edits: [
      {
        file: 'functions/core/classify.ts',
        find: "return outcome.row.writeProbe === 'blocked' ? 'writes blocked' : 'writable'",
        replace: "return outcome.row.writeProbe === 'blocked' ? 'broken' : 'writable'",
      },
    ],
    caughtBy: { story: 'life', seed: 2, property: 'living primary' },
  },

  // S8: no stale promotion
  {
    id: 'enough-standbys-need-not-be-measured',
    removes: 'loss is excluded although fewer than N-k+1 listed standbys are measured',
    answers: ['S8', 'H03'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'if (measured.length < needed) {',
        replace: 'if (needed < 0) {',
      },
    ],
    caughtBy: { story: 'survivors', seed: 1, property: 'nothing lost' },
  },
  {
    id: 'a-listed-standby-may-be-ahead',
    removes: 'loss is excluded although a listed standby that can not be promoted is further',
    answers: ['S8', 'H03'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'return ahead.length === 0 ? null :',
        replace: 'return ahead.length >= 0 ? null :',
      },
    ],
    caughtBy: { story: 'survivors', seed: 7, property: 'nothing lost' },
  },
  {
    id: 'not-the-furthest',
    removes: 'preference decides before the position does',
    answers: ['S8', 'H05'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'at(b.id) - at(a.id) || b.preference - a.preference',
        replace: 'b.preference - a.preference || a.id.localeCompare(b.id) || at(b.id) - at(a.id)',
      },
      {
        file: 'functions/core/rank.ts',
        find: 'return ahead.length === 0 ? null :',
        replace: 'return ahead.length >= 0 ? null :',
      },
    ],
    caughtBy: { story: 'survivors', seed: 4, property: 'nothing lost' },
  },
  {
    id: 'positions-across-timelines',
    removes: 'positions of different timelines are compared',
    answers: ['S8', 'protocol: positions across timelines'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'if (timeline !== plan.fromTimeline || measured.timeline !== plan.fromTimeline) {',
        replace: 'if (timeline < 0) {',
      },
    ],
    caughtBy: {
      test: 'test/core/rank.test.ts',
      name: 'positions across timelines are not compared',
      why: 'three more guards stand behind it: the list of the state, the list of the target, the promoting statement',
    },
  },
  {
    id: 'what-can-not-be-replayed',
    removes: 'a standby whose replay is paused or delayed is eligible',
    answers: ['S8', 'H30', 'protocol: eligible only if everything received can be replayed'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'if (!measured.replayable)',
        replace: 'if (measured === null)',
      },
    ],
    caughtBy: {
      test: 'test/core/rank.test.ts',
      name: 'H05 F36 a node that is not frozen, not measured, or can not replay is not eligible',
      why: 'the servers of the simulation replay what they receive at once',
    },
  },
  {
    id: 'freeze-without-a-host',
    removes:
      'the frozen conninfo names no host: the standby streams from whoever listens on the default socket',
    answers: ['S8', 'H05', 'protocol: freeze without a host'],
    edits: [
      { file: 'functions/engines/postgres/conninfo.ts', find: "['host', frozenHost],", replace: '' },
      {
        file: 'functions/engines/postgres/conninfo.ts',
        find: "options.get('host') === frozenHost",
        replace: "!options.has('host')",
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/conninfo.test.ts',
      name: 'names a host, leaves no other way to connect',
      why: 'what libpq does without a host is not modelled',
    },
  },
  {
    id: 'freeze-keeps-restore-command',
    removes: 'a frozen standby goes on replaying from the archive',
    answers: ['S8', 'H05', 'protocol: freeze that keeps restore_command'],
    edits: [
      {
        file: 'functions/engines/postgres/freeze.ts',
        find: "restore_command: '',\n    })",
        replace: '})',
      },
      {
        file: 'functions/engines/postgres/freeze.ts',
        find: "view.restoreCommand === '' &&",
        replace: '',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'empties restore_command, and unfreeze restores it',
      why: 'the servers of the simulation have no archive',
    },
  },
  {
    id: 'measured-while-it-receives',
    removes: 'a position is taken while the receiver still runs',
    answers: [
      'S8',
      'H05',
      'protocol: frozen means no row in pg_stat_wal_receiver, and two measurements that agree',
    ],
    edits: [
      {
        file: 'functions/engines/postgres/freeze.ts',
        find: 'if (view.receiver || view.receivedBytes === null) last = undefined',
        replace: 'if (view !== undefined) settled = view',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'H05 is refused while a receiver is left',
      why: 'a receiver of the simulation ends with the conninfo it was made by',
    },
  },
  {
    id: 'position-by-received-only',
    removes: 'the position of a standby is the received one alone, which falls back after a restart',
    answers: ['S8', 'protocol: position by received only'],
    edits: [
      {
        file: 'functions/engines/postgres/query.ts',
        find: "bytes('greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())')",
        replace: "bytes('pg_last_wal_receive_lsn()')",
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'measures the greater of received and replayed',
      why: 'a server of the simulation has one position',
    },
  },

  // S9: the synchronous set
  {
    id: 'a-changed-list-is-not-recorded',
    removes: 'a list that somebody changed stays in the record as it was',
    answers: ['S9', 'H04'],
    edits: [
      {
        file: 'functions/core/settle.ts',
        find: "test: (f) => !sameSet(f.seen, f.recorded) && (f.seen.status !== 'provable' || f.held),",
        replace: "test: (f) => f.recorded.status === 'unknown' && (f.seen.status !== 'provable' || f.held),",
      },
    ],
    caughtBy: { story: 'lists', seed: 3, property: 'nothing lost' },
  },
  {
    id: 'a-list-counts-for-what-was-before-it',
    removes:
      'a list is recorded as soon as it is seen, whatever its standbys lack of what was acknowledged before it',
    answers: ['S9', 'S8', 'H03'],
    edits: [
      {
        file: 'functions/core/settle.ts',
        find: " && (f.seen.status !== 'provable' || f.held)",
        replace: '',
      },
    ],
    caughtBy: { story: 'random', seed: 155, property: 'nothing lost' },
  },
  {
    id: 'a-weakened-commit-is-provable',
    removes: 'a list counts although synchronous_commit is local',
    answers: ['S9', 'H04', 'protocol: synchronous_commit is on or remote_apply'],
    edits: [
      {
        file: 'functions/core/synchronous.ts',
        find: "if (synchronous.commit !== 'on' && synchronous.commit !== 'remote_apply') {",
        replace: "if (synchronous.commit === '') {",
      },
    ],
    caughtBy: { story: 'lists', seed: 9, property: 'nothing lost' },
  },
  {
    id: 'a-clone-under-a-listed-name',
    removes: 'a connection from elsewhere under the name of a listed standby is taken for it',
    answers: ['S9', 'protocol: a clone that carries a listed name'],
    edits: [
      {
        file: 'functions/core/synchronous.ts',
        find: '.filter((sender) => !comesFrom(node, sender.clientAddress))',
        replace: '.filter((sender) => sender.applicationName === comesFrom.name)',
      },
      {
        file: 'functions/core/synchronous.ts',
        find: 'if (senders.length > 1) return',
        replace: 'if (senders.length > 99) return',
      },
    ],
    caughtBy: {
      test: 'test/core/synchronous.test.ts',
      name: 'S9 a provable list',
      why: 'nobody but the configured nodes connects to a server of the simulation',
    },
  },
  {
    id: 'a-weaker-list-is-applied-first',
    removes: 'a list is made weaker before the record says so',
    answers: ['S9', 'H04'],
    edits: [
      {
        file: 'functions/core/settle.ts',
        find: "if (newBlocksOld) return 'recordFirst'",
        replace: "if (newBlocksOld) return 'applyFirst'",
      },
    ],
    caughtBy: { story: 'lists', seed: 1, property: 'nothing lost' },
  },
  {
    id: 'a-diverged-standby-is-listed',
    removes: 'a standby beyond the fork stands in the list of the new primary and is pointed at it',
    answers: ['S9', 'H03b', 'protocol: listing a diverged standby'],
    edits: [
      {
        file: 'functions/core/synchronous.ts',
        find: 'measured.timeline === timeline && measured.positionBytes <= targetPositionBytes',
        replace: 'measured.timeline === timeline',
      },
    ],
    caughtBy: { story: 'survivors', seed: 7, property: 'acts in order' },
  },
  {
    id: 'a-standby-beyond-the-fork-follows',
    removes: 'a standby that was away and is beyond the fork is pointed at the primary, never copied anew',
    answers: ['S9', 'H03b'],
    edits: [
      {
        file: 'functions/core/settle.ts',
        find: 'test: (f) => isStandby(f) && !f.streaming && f.errant,',
        replace: 'test: () => false,',
      },
      {
        file: 'functions/acts/settling.ts',
        find: '!onOurTimeline &&\n    (forkBytes',
        replace: 'onOurTimeline && !onOurTimeline &&\n    (forkBytes',
      },
    ],
    caughtBy: { story: 'survivors', seed: 1, property: 'well in the end' },
  },
  {
    id: 'settled-before-a-commit-returned',
    removes: 'settling begins although no commit was seen to return',
    answers: ['S9', 'H27'],
    edits: [
      {
        file: 'functions/repoint.ts',
        find: 'if (found.commit !== null) return withoutCommit(context, operation, input, found)',
        replace: '',
      },
    ],
    caughtBy: { story: 'alone', seed: 1, property: 'settling after a commit' },
  },

  // S10: loss is a decision
  {
    id: 'bounded-without-a-bound',
    removes: 'a bounded loss is proved by any age',
    answers: ['S10', 'H21'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: "f.policy === 'bounded' && f.caughtUpAgeMs !== null && f.caughtUpAgeMs <= f.boundMs",
        replace: "f.policy === 'bounded' && f.caughtUpAgeMs !== null",
      },
    ],
    caughtBy: { story: 'bounded', seed: 1, property: 'nothing lost' },
  },
  {
    id: 'ages-of-old-reports',
    removes: 'the age in a report counts as it stands there, however old the report is',
    answers: ['S10', 'S3', 'H21'],
    edits: [
      {
        file: 'functions/acts/ages.ts',
        find: "read.kind !== 'found' || before?.kind !== 'found' || !isNewer(read.value, before.value)",
        replace: "read.kind !== 'found' || before?.kind !== 'found' || isNewer(before.value, read.value)",
      },
    ],
    caughtBy: { story: 'bounded', seed: 5, property: 'nothing lost' },
  },
  {
    id: 'loss-that-nobody-accepted',
    removes: 'with loss never a target is promoted although a loss can not be excluded',
    answers: ['S10', 'S8', 'H03'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'nothingLost: input.mustReachBytes !== null || whyNot === null,',
        replace: 'nothingLost: true,',
      },
    ],
    caughtBy: { story: 'survivors', seed: 1, property: 'nothing lost' },
  },
  {
    id: 'approval-for-another-target',
    removes: 'an accepted loss counts for whichever node is the candidate',
    answers: ['S10', 'S14', 'H25'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'approval.target === candidate',
        replace: 'approval.target !== null',
      },
    ],
    caughtBy: { story: 'survivors', seed: 8, property: 'nothing lost' },
  },
  {
    id: 'cancelled-waits-not-accepted',
    removes: 'loss never with a quorum fence is valid without the declaration about cancelled waits',
    answers: ['S2', 'S10', 'protocol: a cancelled wait'],
    edits: [
      {
        file: 'functions/config-rules.ts',
        find: "policy.cancelledWaits !== 'accepted'",
        replace: "String(policy.cancelledWaits) === ''",
      },
    ],
    caughtBy: {
      test: 'test/config-problems.test.ts',
      name: 'S2 quorum and never without the declaration',
      why: 'no history begins with a configuration that is refused',
    },
  },

  // S11: own the old primary
  {
    id: 'a-newer-name-does-not-stop-the-fence',
    removes: 'settle fences although the name carries a newer term than our state',
    answers: ['S11', 'H09'],
    edits: [
      {
        file: 'functions/acts/settling.ts',
        find: 'if (reason === null) return false',
        replace: 'if (reason !== undefined) return false',
      },
    ],
    caughtBy: { story: 'newer', seed: 1, property: 'never the newest writer' },
  },
  {
    id: 'a-newer-timeline-is-fenced',
    removes:
      'a node that is out of recovery on a newer timeline is fenced, and a failover starts from our older state',
    answers: ['S11', 'H09'],
    edits: [
      {
        file: 'functions/core/facts.ts',
        find: 'superseded: state && !electsNatively(cluster) ? supersededBy(state, deployment, sight) : [],',
        replace: 'superseded: [] as string[],',
      },
    ],
    caughtBy: {
      test: 'test/core/assess.test.ts',
      name: 'H09 H17 superseded: a foreign or newer freeze, a newer timeline',
      why: 'a second writer that was never ours, a newer timeline in settle and the name stop it, too: rows A11 and T1, section 7',
    },
  },
  {
    id: 'two-writers-fence-one',
    removes: 'a second writer that was never ours is fenced without asking a person',
    answers: ['S11', 'H09'],
    edits: [
      {
        file: 'functions/core/facts.ts',
        find: 'return Boolean(known) && timelines.length > 0 && timelines.every((t) => t <= (state?.timeline ?? 0))',
        replace: 'return known !== undefined || timelines.length > 0',
      },
    ],
    caughtBy: {
      test: 'test/core/settling.test.ts',
      name: 'H09 a newer timeline, or a node that never was our writer: page, fence nobody',
      why: 'settle itself fences possible writers only, and halts before a newer timeline (row T1)',
    },
  },
  {
    id: 'joined-before-it-streams',
    removes: 'a rejoining node is a standby again before it was seen to stream',
    answers: ['S11', 'H08', 'protocol: streaming with its position advancing before it is listed'],
    edits: [
      {
        file: 'functions/core/settle.ts',
        find: 'test: (f) => isRejoining(f) && f.streaming,',
        replace: "test: (f) => isRejoining(f) && f.sees === 'recovery' && !f.frozen,",
      },
    ],
    caughtBy: {
      test: 'test/core/settleNode.test.ts',
      name: 'S11 H08 a rejoining node is a standby once it streams on our timeline',
      why: 'the list is only made longer by those who stream, and positions of another timeline are not compared: it would merely count too early',
    },
  },
  {
    id: 'old-primary-not-fenced-again',
    removes: 'a fenced or rejoining writer that shows up out of recovery is left alone',
    answers: ['S11', 'H08'],
    edits: [
      {
        file: 'functions/core/settle.ts',
        find: "f.writer && (f.out || !(f.fenced || f.rejoin !== 'none' || f.followed))",
        replace: "f.writer && !(f.fenced || f.rejoin !== 'none' || f.followed)",
      },
    ],
    caughtBy: { story: 'oldPrimary', seed: 9, property: 'well in the end' },
  },
  {
    id: 'rejoin-without-a-signal-file',
    removes: 'the copy begins before the signal file and the mark are written',
    answers: ['S11', 'H08', 'protocol: standby.signal and upstream written before the server may start'],
    edits: [
      {
        file: 'functions/engines/postgres/host/rejoin.ts',
        find: 'freeze_files "$data"\nstop_and_wait\n\n#',
        replace: 'stop_and_wait\n\n#',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/host.test.ts',
      name: 'H08 a copy that fails leaves a server that can only come up frozen',
      why: 'the scripts run on hosts, which the simulation models',
    },
  },
  {
    id: 'late-host-command',
    removes: 'a host command of an older term is carried out beside the mark of a newer one',
    answers: ['S11', 'S4', 'H08', 'protocol: a late rebuild command'],
    edits: [
      {
        file: 'functions/engines/postgres/host/library.ts',
        find: '[ "$mark_term" -le "$term" ] || refuse "the server carries the mark of the newer term $mark_term"',
        replace: 'true',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/host.test.ts',
      name: 'S11 a late command of an older term, or of another deployment, is refused',
      why: 'the scripts run on hosts, which the simulation models',
    },
  },
  {
    id: 'rejoin-of-a-running-primary',
    removes: 'the rejoin stops a server that runs as a primary',
    answers: ['S11', 'H09'],
    edits: [
      {
        file: 'functions/engines/postgres/host/rejoin.ts',
        find: '[ "$state" = 5 ] || refuse "the server is not in recovery (state $state)"',
        replace: 'true',
      },
      {
        file: 'functions/engines/postgres/host/rejoin.ts',
        find: `[ "$mark_term" -gt 0 ] || refuse 'the server is in recovery and carries no mark of ours'`,
        replace: 'true',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/host.test.ts',
      name: 'a running primary, and a standby without a mark, are refused',
      why: 'the scripts run on hosts, which the simulation models',
    },
  },
  {
    id: 'late-unfreeze',
    removes: 'an un-freeze of an older term lifts the freeze of a newer one',
    answers: ['S4', 'S5', 'protocol: a late un-freeze'],
    edits: [
      {
        file: 'functions/engines/postgres/freeze.ts',
        find: "if (!view.inRecovery) throw new Refusal('the node is out of recovery')\n  refuseForeignMark(operator, view)\n  if (!isFrozen(view.conninfo)) return",
        replace:
          "if (!view.inRecovery) throw new Refusal('the node is out of recovery')\n  if (!isFrozen(view.conninfo)) return",
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'the mark of a newer term or of another deployment refuses every act',
      why: 'what a node compares is modelled in the simulation',
    },
  },
  {
    id: 'unfreeze-after-the-promotion',
    removes: 'an un-freeze lands on the node that was promoted meanwhile',
    answers: ['S5', 'protocol: un-freeze after the promotion'],
    edits: [
      {
        file: 'functions/engines/postgres/freeze.ts',
        find: "if (!view.inRecovery) throw new Refusal('the node is out of recovery')\n  refuseForeignMark(operator, view)\n  if (!isFrozen(view.conninfo)) return",
        replace: 'refuseForeignMark(operator, view)\n  if (!isFrozen(view.conninfo)) return',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'a late un-freeze after the promotion is refused',
      why: 'what a node compares is modelled in the simulation',
    },
  },

  // S12: planned is not broken
  {
    id: 'a-restart-is-a-death',
    removes: 'a told end starts no grace',
    answers: ['S12', 'H15', 'protocol: death, told apart from a stop'],
    edits: [
      {
        file: 'functions/core/judgeFacts.ts',
        find: "return { told: by('told'), untold: by('untold') }",
        replace: "return { told: [], untold: [...by('told'), ...by('untold')] }",
      },
    ],
    caughtBy: { story: 'restarts', seed: 4, property: 'living primary' },
  },
  {
    id: 'no-hold',
    removes: 'refused once is dead, without a hold and without a second look',
    answers: ['S12', 'H15'],
    edits: [
      {
        file: 'functions/core/confirm.ts',
        find: '(f.rounds >= 2 || f.holdMs === 0) && (f.heldMs >= f.holdMs || isHeldByLooks(f))',
        replace: 'f.rounds >= 1',
      },
    ],
    caughtBy: { story: 'restarts', seed: 1, property: 'living primary' },
  },
  {
    id: 'switchover-target-lacks-the-end-of-the-log',
    removes: 'a switchover promotes a candidate that has not received the shutdown checkpoint',
    answers: ['S8', 'S10', 'H07', 'protocol: the candidate has received the shutdown checkpoint'],
    edits: [
      {
        file: 'functions/core/rank.ts',
        find: 'f.mustReachBytes !== null && (f.positionBytes ?? -1) < f.mustReachBytes',
        replace: 'f.mustReachBytes !== null && (f.positionBytes ?? -1) < 0',
      },
    ],
    caughtBy: { story: 'switchovers', seed: 4, property: 'acts in order' },
  },
  {
    id: 'write-stop-by-a-stop-that-is-not-clean',
    removes: 'a server that did not shut down cleanly is good enough for a switchover',
    answers: ['H07', 'protocol: clean shutdown'],
    edits: [
      {
        file: 'functions/engines/postgres/host/switchover.ts',
        find: `[ "$stopped_term" = "$term" ] || refuse 'the server is stopped, and not by this term'`,
        replace: 'true',
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/host.test.ts',
      name: 'a standby, and a server that others stopped, are left alone',
      why: 'the scripts run on hosts, which the simulation models',
    },
  },

  // S13: fail static, and finish
  {
    id: 'no-name-without-the-table',
    removes: 'the name waits for the table after the promotion',
    answers: ['S13', 'H28'],
    edits: [
      {
        file: 'functions/repoint.ts',
        find: 'if (error instanceof StoreUnavailable) return withoutTable(context, input, error)',
        replace: '',
      },
    ],
    caughtBy: { story: 'names', seed: 7, property: 'promise kept' },
  },
  {
    id: 'name-goes-back',
    removes: 'an operation of an older term moves the name back',
    answers: ['S13', 'H09', 'H17'],
    edits: [
      {
        file: 'functions/core/endpoint.ts',
        find: 'if (mine && token.term > facts.term) {',
        replace: 'if (mine && token.term < 0) {',
      },
    ],
    caughtBy: { story: 'names', seed: 11, property: 'name forward' },
  },
  {
    id: 'name-of-another-deployment',
    removes: 'the name of another deployment is moved without an explicit take-over',
    answers: ['S13', 'H17'],
    edits: [
      {
        file: 'functions/core/endpoint.ts',
        find: '(token.deployment !== facts.deployment || token.cluster !== facts.cluster) &&\n    !facts.takeOver',
        replace: 'token.deployment === "" && !facts.takeOver',
      },
    ],
    caughtBy: { story: 'twoDeployments', seed: 12, property: 'name forward' },
  },
  {
    id: 'absent-txt-counts-as-ours',
    removes: 'an absent TXT record that we never wrote is created by a failover',
    answers: ['S13', 'H17', 'protocol: an absent TXT'],
    edits: [
      {
        file: 'functions/core/endpoint.ts',
        find: '!facts.adopting && facts.writtenTerm === null',
        replace: '!facts.adopting && facts.term < 0',
      },
    ],
    caughtBy: {
      test: 'test/steps/name.test.ts',
      name: 'an absent token counts only because our state says that we wrote it',
      why: 'every state that adopt makes has written the name, so only an item edited by hand comes here',
    },
  },
  {
    id: 'mark-of-another-deployment',
    removes: 'an act on a node that carries the mark of another deployment is carried out',
    answers: ['S11', 'H17'],
    edits: [
      {
        file: 'functions/engines/postgres/freeze.ts',
        find: 'if (mark.deployment !== operator.mark.deployment) {',
        replace: "if (mark.deployment === '') {",
      },
    ],
    caughtBy: {
      test: 'test/engines/postgres/act.test.ts',
      name: 'the mark of a newer term or of another deployment refuses every act',
      why: 'what a node compares is modelled in the simulation',
    },
  },
  {
    id: 'name-changed-without-comparing',
    removes: 'the change of the name does not delete what was read, so that it compares nothing',
    answers: ['S4', 'S13', 'H16'],
    edits: [
      {
        file: 'functions/aws/endpoint.ts',
        find: "changes.push({\n      Action: 'DELETE',\n      ResourceRecordSet: record(txt,",
        replace: "changes.push({\n      Action: 'UPSERT',\n      ResourceRecordSet: record(txt,",
      },
    ],
    caughtBy: {
      test: 'test/aws/endpoint.test.ts',
      name: 'H16 one batch: each record deleted as it was read',
      why: 'the records of the simulation compare by themselves',
    },
  },
  {
    id: 'ttl-by-hand-blocks-the-name',
    removes: 'a record is deleted with the TTL that it should have, not with the one it has',
    answers: ['H16'],
    edits: [
      {
        file: 'functions/aws/endpoint.ts',
        find: "record(name, 'CNAME', read.cname.ttlSeconds, read.cname.target)",
        replace: "record(name, 'CNAME', ttlSeconds, read.cname.target)",
      },
    ],
    caughtBy: {
      test: 'test/aws/endpoint.test.ts',
      name: 'H16 one batch: each record deleted as it was read',
      why: 'the records of the simulation compare by themselves',
    },
  },

  // S14: rate limits and people
  {
    id: 'no-cooldown',
    removes: 'a second automatic failover needs no approval inside the cooldown',
    answers: ['S14'],
    edits: [
      {
        file: 'functions/core/claim.ts',
        find: 'test: (f) => f.automatic && !f.follows && f.inCooldown && !f.approved,',
        replace: 'test: () => false,',
      },
      {
        file: 'functions/core/decisions.ts',
        find: 'isDownByQuorum(f) && f.cooldownLeftMinutes > 0 && f.approvedBy === null',
        replace: 'isDownByQuorum(f) && f.cooldownLeftMinutes < 0 && f.approvedBy === null',
      },
    ],
    caughtBy: { story: 'people', seed: 1, property: 'people first' },
  },
  {
    id: 'a-pause-is-not-heeded',
    removes: 'a failover starts by itself while the cluster is paused',
    answers: ['S14'],
    edits: [
      { file: 'functions/core/decisions.ts', find: 'test: (f) => f.paused,', replace: 'test: () => false,' },
      {
        file: 'functions/core/claim.ts',
        find: "test: (f) => f.automatic && f.kind !== 'settle' && f.paused,",
        replace: 'test: () => false,',
      },
    ],
    caughtBy: { story: 'people', seed: 3, property: 'people first' },
  },
  {
    id: 'a-halt-is-not-heeded',
    removes: 'an operation begins on a halted cluster',
    answers: ['S14'],
    edits: [
      {
        file: 'functions/core/claim.ts',
        find: "test: (f) => f.phase === 'halted',",
        replace: 'test: () => false,',
      },
      { file: 'functions/core/decisions.ts', find: 'test: (f) => f.halted,', replace: 'test: () => false,' },
    ],
    caughtBy: { story: 'people', seed: 2, property: 'people first' },
  },
  {
    id: 'a-halt-does-not-take-the-claim',
    removes: 'the step that runs when a person halts keeps its claim',
    answers: ['S14', 'S4'],
    edits: [
      {
        file: 'functions/commands/halt.ts',
        find: '{ claim: takenClaim(claim, operation.id), wake: true }',
        replace: '{ claim, wake: true }',
      },
    ],
    caughtBy: { story: 'people', seed: 6, property: 'people first' },
  },

  // The rest of the hazards
  {
    id: 'a-report-is-never-overtaken',
    removes: 'the report of an older invocation replaces that of a newer one',
    answers: ['H11'],
    edits: [
      {
        file: 'functions/aws/store.ts',
        find: "'attribute_not_exists(#token) OR #token <= :token OR #token > :wrong'",
        replace: "'attribute_not_exists(#token) OR #token <= :wrong OR #token > :wrong'",
      },
    ],
    caughtBy: {
      test: 'test/aws/store.test.ts',
      name: 'H11 a report is overtaken by a newer token',
      why: 'the simulation has a table of its own with the same conditions',
    },
  },
  {
    id: 'nobody-resumes',
    removes: 'an operation whose beat stands still is left alone',
    answers: ['H12'],
    edits: [
      {
        file: 'functions/core/decisions.ts',
        find: 'test: (f) => f.inOperation && f.stoodStill,',
        replace: 'test: (f) => f.inOperation && f.stoodStill && f.isTick === f.halted,',
      },
    ],
    caughtBy: { story: 'resumes', seed: 3, property: 'promise kept' },
  },
  {
    id: 'resume-of-what-goes-on',
    removes: 'a resume claims although the operation went on by itself',
    answers: ['H12', 'S3'],
    edits: [
      {
        file: 'functions/core/claim.ts',
        find: 'const stoodStill = seen.version === state.version && seen.beat === state.beat',
        replace: 'const stoodStill = seen.version <= state.version',
      },
    ],
    caughtBy: {
      test: 'test/steps/guards.test.ts',
      name: 'H12 L5 a resume of an operation that went on meanwhile is refused',
      why: 'it would raise the term and go on with the same facts: needless, and without harm that a checker could see',
    },
  },
  {
    id: 'the-name-of-an-execution-is-used-up',
    removes: 'the name of an execution holds no facts, so that one which never ran blocks the next',
    answers: ['H13'],
    edits: [
      {
        file: 'functions/assess.ts',
        find: '.update(JSON.stringify([state.version, kind, row, used.sort()]))',
        replace: '.update(state.cluster)',
      },
    ],
    caughtBy: { story: 'resumes', seed: 11, property: 'promise kept' },
  },
  {
    id: 'settling-blocks-a-failover',
    removes: 'the next failover waits until redundancy is back',
    answers: ['H18'],
    edits: [
      {
        file: 'functions/core/claim.ts',
        find: "const isUnderWay = ({ phase }: ClusterState) =>\n  ['confirming',",
        replace: "const isUnderWay = ({ phase }: ClusterState) =>\n  ['settling', 'confirming',",
      },
    ],
    caughtBy: { story: 'resumes', seed: 12, property: 'promise kept' },
  },
  {
    id: 'decision-without-its-facts',
    removes: 'a state is written without the facts that explain it',
    answers: ['H22'],
    edits: [
      {
        file: 'functions/core/state.ts',
        find: 'facts: happening.facts ?? {},\n    atMs',
        replace: 'facts: {},\n    atMs',
      },
    ],
    caughtBy: { story: 'random', seed: 1, property: 'decisions explained' },
  },
  {
    id: 'event-that-nobody-keeps',
    removes: 'the next writer does not store the event of the version before',
    answers: ['H22'],
    edits: [
      {
        file: 'functions/aws/store.ts',
        find: "if (unstored && (await keepEvent(next.cluster, previous.lastEvent)) === 'unknown') return 'unknown'",
        replace: 'if (unstored && next.version < 0) return "unknown"',
      },
    ],
    caughtBy: {
      test: 'test/aws/store.test.ts',
      name: 'H22 the previous event is stored first',
      why: 'the simulation has a table of its own, which keeps the event as this one does',
    },
  },
  {
    id: 'one-bad-item-stops-all',
    removes: 'a report that can not be read makes the others unreadable too',
    answers: ['H23'],
    edits: [
      {
        file: 'functions/aws/store.ts',
        find: "if (!parsed.success) return { kind: 'unreadable', problems: problemsOf(parsed.error) }",
        replace: "if (!parsed.success) throw new Error(problemsOf(parsed.error).join('; '))",
      },
    ],
    caughtBy: {
      test: 'test/aws/store.test.ts',
      name: 'a report that does not parse is unreadable and hides no other',
      why: 'the simulation has a table of its own that nobody edits by hand',
    },
  },
  {
    id: 'closed-group-is-enough',
    removes: 'rds: a closed group is evidence before the reboot was seen',
    answers: ['H26', 'S2'],
    edits: [
      {
        file: 'functions/core/managedFence.ts',
        find: "does: 'reboot',\n    reason: '{node}: {resourceId} is rebooted behind",
        replace: "does: 'evidence',\n    reason: '{node}: {resourceId} is rebooted behind",
      },
    ],
    caughtBy: {
      test: 'test/managed/rds.test.ts',
      name: 'a dead primary: closed, rebooted',
      why: 'the simulation is of PostgreSQL on instances; engines of the provider have a world of their own',
    },
  },
  {
    id: 'wait-on-the-fast-path',
    removes: 'the workflow waits between the steps of a failover',
    answers: ['H29'],
    edits: [{ file: 'infra/workflow.ts', find: "Default: 'Dispatch',", replace: "Default: 'Pause'," }],
    caughtBy: {
      test: 'test/infra/workflow.test.ts',
      name: 'a failover goes through all steps, and no state on its way waits (H29)',
      why: 'a Wait state costs time and breaks no promise that a checker could see',
    },
  },
]
