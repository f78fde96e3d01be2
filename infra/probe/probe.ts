/** What an agent measures: a machine, or the processes of one program. */

export interface Sample {
  /** Percent: of the machine's cores together, or, of a program, of one core (so it may pass 100). */
  readonly cpu: number;
  /** Percent of the machine's memory. */
  readonly ram: number;
  /** Percent used of the file system that holds the data. */
  readonly disk: number;
}

export interface Probe {
  /**
   * What is used now, cpu since the sample before. Undefined when there is nothing true to say: no program of that name
   * runs, or something could not be read. Never throws.
   */
  sample(): Promise<Sample | undefined>;
}

/** Which processes are meant. Asked at each sample, for processes come and go. */
export type ProcessChoice =
  | { readonly pids: () => readonly number[] }
  | { readonly name: string; readonly exceptPids?: () => readonly number[] };
