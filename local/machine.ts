/** A machine that the local EC2 switches on and off, and on whose host the local SSM runs commands. */
export interface Machine {
  readonly instanceId: string
  readonly privateAddress: string
  readonly availabilityZone: string
  /** Cuts the power: resolves when no process of the machine is left. */
  powerOff(): Promise<void>
  /** Resolves when the machine runs; what starts with it (a server) may still be starting. */
  powerOn(): Promise<void>
  /** Of its host's shell: directory, variables besides PATH, and user (null or absent: the present one). */
  readonly cwd?: string
  readonly shellEnvironment?: Readonly<Record<string, string>>
  readonly uid?: number | null
  readonly gid?: number | null
  /** In front of its host's shell: a command that enters the machine's namespaces and runs the rest. */
  readonly enter?: readonly string[]
}

export type PowerState = 'pending' | 'running' | 'stopping' | 'stopped'
