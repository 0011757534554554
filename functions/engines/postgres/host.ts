/**
 * Scripts that run on a node's host (through the `Host` port): what SQL can not do, because the server is stopped or
 * its files are replaced. Every script compares on the host before it acts, is safe to run twice, ends its output with
 * `outcome=done …` (exit 0) or `outcome=refused …` (exit 65), and with any other exit the outcome is unknown.
 */
export { detached } from './host/detached.ts'
export { type HostScript, refusedExitCode } from './host/library.ts'
export { discardOldDataScript, type RejoinScript, rejoinScript } from './host/rejoin.ts'
export { resumeWritesScript, stopWritesScript } from './host/switchover.ts'
