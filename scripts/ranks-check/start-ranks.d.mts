import type { ChildProcess } from "node:child_process";
import type { NetworkSpec } from "../../dist/native/network-spec.js";
import type { TrainerOptions } from "../../dist/native/trainer.js";

/** A training of a few steps, whoever takes them. */
export interface Setting {
  name: string;
  spec: NetworkSpec;
  trained: "full" | "partial" | "frozen";
  /** [C, D, H, W] of a sample. */
  input: number[];
  /** Of a sample. */
  target:
    | { kind: "mask" | "volume" | "hidden" | "lesion"; shape: number[] }
    | { kind: "classes"; shape: []; classes: number }
    /** A teacher's and a student's views of slices: self-distillation. */
    | { kind: "views"; shape: [] };
  /** Samples of each step, over all ranks. */
  batches: number[];
  options: TrainerOptions;
  /** What is computed in: in float64, what differs by rounding alone stays below 1e-12. */
  dtype: "float32" | "float64";
  /** Default: 1e-3. */
  learningRate?: number;
  /** Of a frozen encoder: whether its features are given. */
  kept?: boolean;
}

export interface Trained {
  steps: { loss: number; gradientNorm: number }[];
  values: Record<string, Float64Array>;
  answer: Float64Array;
}

/** What a rank tells of a setting: its result, which rank 0 alone sends, and a checksum of its network. */
export interface Told {
  result?: Trained;
  checksum?: string;
  error?: string;
}

export interface RankProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  answer(index: number): Promise<Told>;
  told(): Promise<Told[]>;
}

export function startRanks(
  count: number,
  settings: Setting[],
  where?: { port?: number; devices?: string[] },
): Promise<RankProcess[]>;
