import type { PeerHost } from "./peer-host.js";
import type { Timing } from "./timing.js";

/** What holds for every measurement of one call of `bench`. */
export interface BenchSettings {
  /** Timed runs of each side. */
  runs: number;
  threads: number;
  device: string;
  /** Small sizes, to see that everything works: the numbers mean nothing. */
  quick: boolean;
  /** Null where only our own side is timed, with the reason. */
  peers: PeerHost | null;
  /** A folder for files, removed at the end. */
  folder: string;
  /** Progress, for a person. */
  say: (text: string) => void;
  signal?: AbortSignal;
}

/** What the arithmetic and the memory traffic of one run amount to: the least that it must do. */
export interface Floor {
  /** Floating-point operations; a multiplication and an addition are two. */
  operations: number;
  /** Bytes that are read or written at least once. */
  bytes: number;
}

/** One peer beside us. */
export interface Comparison {
  peer: string;
  /** Peers of one group do the same by other means (layouts): the fastest of them counts. */
  group: string;
  timing: Timing | null;
  /** Why there is no timing, and how to mend it. */
  unavailable?: string;
  /** The peer's median over ours; null without a timing. */
  ratio: number | null;
  /** What the ratio should be at least; null where nothing is asked. */
  atLeast: number | null;
  /** Relative L2 difference of our answer from the peer's. */
  difference: number | null;
  /** The peer's own error against the float64 reference. */
  error: number | null;
}

/** A number beside the times, such as a share or a memory. */
export interface Figure {
  what: string;
  value: number;
  unit: "%" | "MB" | "times";
  /** What it should be, in words. */
  target: string | null;
}

export interface BenchResult {
  name: string;
  /** What was timed, on what. */
  title: string;
  /** Null where our own side could not be timed; `unavailable` says why. */
  ours: Timing | null;
  unavailable?: string;
  /** Where it could not for a mistake, and not for something that is known to be missing. */
  failed?: true;
  comparisons: Comparison[];
  figures: Figure[];
  /** Relative L2 error of our answer against the float64 reference, and what it may be; null where there is none. */
  error: number | null;
  tolerance: number | null;
  floor: Floor | null;
  versions: Record<string, string>;
}

/** Something that can be timed, by name. */
export interface BenchCase {
  name: string;
  /** One line for `--help`. */
  summary: string;
  /** Too long or too large for a run of everything: only when named. */
  onDemand?: true;
  /** What is timed is there for a CPU alone: left out of everything on another device. */
  cpuOnly?: true;
  measure(settings: BenchSettings): Promise<BenchResult>;
}
